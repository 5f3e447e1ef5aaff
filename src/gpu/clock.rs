//! The device's own clock: when each compute pass begins and ends, read back with the results of the passes, so that nobody
//! waits for a time. What it tells changes nothing of what is computed.

use std::cell::Cell;

/// Passes that are timed between one reading back and the next; the work of any more is not told.
const PASSES: u32 = 256;
/// Bytes of a pass's two times.
const PASS_BYTES: usize = 2 * size_of::<u64>();

/// Times compute passes.
pub struct Clock {
    queries: wgpu::QuerySet,
    /// What becomes of the queries: `[pass]` (begin, end), in ticks.
    ticks: wgpu::Buffer,
    milliseconds_per_tick: f64,
    /// Passes encoded since the last reading back.
    passes: Cell<u32>,
}

impl Clock {
    /// The clock of a device that was opened with `TIMESTAMP_QUERY`.
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("clock"),
            ty: wgpu::QueryType::Timestamp,
            count: 2 * PASSES,
        });
        let ticks = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("ticks"),
            size: PASSES as u64 * PASS_BYTES as u64,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let milliseconds_per_tick = f64::from(queue.get_timestamp_period()) / 1e6;
        Self { queries, ticks, milliseconds_per_tick, passes: Cell::new(0) }
    }

    /// Times the pass that is encoded next.
    pub fn writes(&self) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let pass = self.passes.get();
        if pass == PASSES {
            return None;
        }
        self.passes.set(pass + 1);
        Some(wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(2 * pass),
            end_of_pass_write_index: Some(2 * pass + 1),
        })
    }

    /// Bytes that the times of the passes take in what is read back next.
    pub fn bytes(&self) -> usize {
        self.passes.get() as usize * PASS_BYTES
    }

    /// Copies the times of all passes up to now behind the first `offset` bytes of a read-back buffer.
    pub fn stage(&self, encoder: &mut wgpu::CommandEncoder, buffer: &wgpu::Buffer, offset: usize) {
        let passes = self.passes.take();
        if passes > 0 {
            encoder.resolve_query_set(&self.queries, 0..2 * passes, &self.ticks, 0);
            let bytes = u64::from(passes) * PASS_BYTES as u64;
            encoder.copy_buffer_to_buffer(&self.ticks, 0, buffer, offset as u64, bytes);
        }
    }

    /// The sum of what was staged, in milliseconds.
    pub fn milliseconds(&self, staged: &[u8]) -> f64 {
        let tick = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        let ticks = staged.chunks_exact(PASS_BYTES).map(|pass| {
            let (begin, end) = pass.split_at(PASS_BYTES / 2);
            // A clock that was set back in between, which WebGPU allows, tells nothing.
            tick(end).saturating_sub(tick(begin))
        });
        ticks.sum::<u64>() as f64 * self.milliseconds_per_tick
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::device::Device;
    use crate::gpu::testing::random_model;
    use crate::model::{DecodePlan, Runtime};
    use crate::sampling::Sampling;
    use pollster::block_on;

    /// The tokens of two replies that run together, and the milliseconds that prefill and decode of each took.
    fn replies(device: &Device) -> (Vec<Vec<u32>>, Vec<[Option<f64>; 2]>) {
        let mut gpu = random_model(device, 21);
        let prompts = [(0..70).collect(), vec![1, 2, 3]];
        let mut opened = Vec::new();
        for (seed, prompt) in prompts.into_iter().enumerate() {
            let sequence = gpu.open().unwrap();
            block_on(gpu.prefill(sequence, &prompt)).unwrap();
            let sampling = Sampling { temperature: 1.5, top_k: 50, seed: seed as u64, ..Sampling::default() };
            opened.push((sequence, gpu.device_ms(sequence)));
            let plan = DecodePlan { sampling, prompt, reply: Vec::new(), stop: Vec::new(), max_tokens: 12 };
            gpu.decode(sequence, plan).unwrap();
        }
        let mut tokens = vec![Vec::new(); opened.len()];
        while tokens.iter().any(|drawn| drawn.len() < 12) {
            for (drawn, (sequence, _)) in tokens.iter_mut().zip(&opened) {
                drawn.extend(block_on(gpu.next(*sequence)).unwrap());
            }
        }
        let times = opened.iter().map(|(sequence, prefill)| [*prefill, gpu.device_ms(*sequence)]).collect();
        assert!(opened.iter().all(|(sequence, _)| gpu.device_ms(*sequence).is_none_or(|ms| ms == 0.0)));
        (tokens, times)
    }

    #[test]
    fn a_clock_tells_of_prefill_and_decode_and_changes_no_token() {
        for software in [false, true] {
            let [plain, timed] = [false, true]
                .map(|timestamps| block_on(Device::open(true, timestamps)).unwrap().treat_as_software(software));
            assert!(timed.tells_time(), "{} has no clock", timed.description);
            let (expected, untimed) = replies(&plain);
            let (tokens, times) = replies(&timed);
            assert_eq!(tokens, expected, "software {software}");
            assert_eq!(untimed, [[None; 2]; 2]);
            for [prefill, decode] in &times {
                assert!(prefill.is_some_and(|ms| ms > 0.0) && decode.is_some_and(|ms| ms > 0.0), "{times:?}");
            }
        }
    }

    #[test]
    fn passes_beyond_what_the_clock_holds_are_not_timed() {
        let device = block_on(Device::open(true, true)).unwrap();
        let clock = Clock::new(&device.raw, &device.queue);
        let timed = (0..PASSES + 2).filter(|_| clock.writes().is_some()).count();
        assert_eq!((timed, clock.bytes()), (PASSES as usize, PASSES as usize * PASS_BYTES));
    }

    #[test]
    fn a_clock_set_back_tells_nothing() {
        let device = block_on(Device::open(true, true)).unwrap();
        let clock = Clock { milliseconds_per_tick: 1e-3, ..Clock::new(&device.raw, &device.queue) };
        let staged: Vec<u8> = [5u64, 2005, 90, 3, 10, 510].iter().flat_map(|tick| tick.to_le_bytes()).collect();
        assert_eq!(clock.milliseconds(&staged), 2.5);
    }
}
