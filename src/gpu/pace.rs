//! How a prefill is cut, so that the device is the page's again soon: into chunks of tokens, and each chunk into submits.

use super::frame::CHUNK;

/// Milliseconds that one submit shall take at most: half a frame.
const SUBMIT_MS: f64 = 8.0;
/// Milliseconds after which a chunk shall be over, and with it a call that may be the last of an aborted reply.
const CHUNK_MS: f64 = 64.0;
/// The fewest tokens of a chunk on hardware: a tile of the matmul kernel.
const TILE: usize = 32;
/// How many times as large a chunk is as the one before it, at most.
const GROWTH: f64 = 8.0;
/// Tokens of a chunk on a software adapter, where every token takes long and none gets cheaper by company.
const SOFTWARE_CHUNK: usize = 16;

/// The cut, which follows what the chunks before have taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Tokens of the next chunk.
    pub chunk: usize,
    /// Submits of the next chunk.
    pub submits: usize,
    least: usize,
    most: usize,
    most_submits: usize,
    /// Milliseconds from a submit of nothing to its result.
    latency: f64,
}

impl Pace {
    /// For a network that can be cut into `most_submits`; careful until something has been measured.
    pub fn new(software: bool, most_submits: usize, latency: f64) -> Self {
        let (least, first, most) = match software {
            true => (SOFTWARE_CHUNK, SOFTWARE_CHUNK, SOFTWARE_CHUNK),
            false => (TILE, 2 * TILE, CHUNK),
        };
        Self { chunk: first, submits: most_submits, least, most, most_submits, latency }
    }

    /// A chunk of so many tokens has taken so long.
    pub fn note(&mut self, tokens: usize, milliseconds: f64) {
        // The rest of a prompt says little about whole chunks.
        if tokens < self.chunk {
            return;
        }
        let work = (milliseconds - self.latency).max(0.01);
        // Waiting shall not be most of the time where the way to the device is long.
        let wanted = tokens as f64 * CHUNK_MS.max(2.0 * self.latency) / work;
        let before = self.chunk;
        let whole_tiles = wanted.min(GROWTH * before as f64) as usize / TILE * TILE;
        self.chunk = whole_tiles.clamp(self.least, self.most);
        let next = work * self.chunk as f64 / before as f64;
        self.submits = ((next / SUBMIT_MS).ceil() as usize).clamp(1, self.most_submits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks on a device that needs `per_token` milliseconds for a token beside `latency` for a chunk.
    fn after_many(per_token: f64, latency: f64) -> Pace {
        let mut pace = Pace::new(false, 29, latency);
        for _ in 0..20 {
            pace.note(pace.chunk, latency + pace.chunk as f64 * per_token);
        }
        pace
    }

    #[test]
    fn a_fast_device_gets_whole_chunks_in_few_submits() {
        let pace = after_many(0.01, 0.5);
        assert_eq!((pace.chunk, pace.submits), (CHUNK, 1));
    }

    #[test]
    fn one_chunk_says_enough_for_eight_times_as_many_tokens() {
        let next = |tokens: usize| {
            let mut pace = Pace { chunk: tokens, ..Pace::new(false, 29, 0.5) };
            pace.note(tokens, 1.0);
            pace.chunk
        };
        assert_eq!((next(32), next(64)), (256, CHUNK));
    }

    #[test]
    fn a_slow_device_gets_small_chunks_in_many_submits() {
        let pace = after_many(1.0, 0.5);
        assert_eq!((pace.chunk, pace.submits), (64, 8));
        let slowest = after_many(100.0, 0.5);
        assert_eq!((slowest.chunk, slowest.submits), (TILE, 29));
    }

    #[test]
    fn a_long_way_to_the_device_makes_larger_chunks() {
        assert!(after_many(0.5, 100.0).chunk > after_many(0.5, 0.5).chunk);
    }

    #[test]
    fn the_rest_of_a_prompt_changes_nothing() {
        let mut pace = after_many(1.0, 0.5);
        let before = pace;
        pace.note(3, 1000.0);
        assert_eq!(pace, before);
    }

    #[test]
    fn a_software_adapter_keeps_its_chunk() {
        let mut pace = Pace::new(true, 29, 0.5);
        pace.note(pace.chunk, 5000.0);
        assert_eq!((pace.chunk, pace.submits), (SOFTWARE_CHUNK, 29));
    }
}
