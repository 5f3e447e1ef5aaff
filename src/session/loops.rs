//! Notices when thinking goes round in circles: the same stretch of tokens over and over, word for word.

/// The longest stretch that is looked for, in tokens.
const LONGEST: usize = 256;
/// A stretch must have come this often in a row,
const TIMES: usize = 4;
/// and these repetitions together must be so many tokens: short ones occur in honest text, such as a row of dashes.
const TOKENS: usize = 128;

/// Watches the tokens of one thinking.
#[derive(Clone, Debug, Default)]
pub(super) struct LoopGuard {
    tokens: Vec<u32>,
    /// For each distance − 1: how many tokens up to the last equal the one that far before them.
    runs: Vec<usize>,
}

impl LoopGuard {
    /// Takes the next token, and says whether the thinking goes in circles.
    pub(super) fn push(&mut self, id: u32) -> bool {
        let n = self.tokens.len();
        if self.runs.len() < n.min(LONGEST) {
            self.runs.push(0);
        }
        let mut circles = false;
        for (distance, run) in (1..).zip(&mut self.runs) {
            *run = if self.tokens[n - distance] == id { *run + 1 } else { 0 };
            circles |= *run >= (TIMES - 1) * distance && *run + distance >= TOKENS;
        }
        self.tokens.push(id);
        circles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many tokens of `stretch`, said over and over after `before`, are let through.
    fn until_noticed(before: &[u32], stretch: &[u32]) -> Option<usize> {
        let mut guard = LoopGuard::default();
        assert!(!before.iter().any(|&id| guard.push(id)));
        stretch.iter().cycle().take(4000).position(|&id| guard.push(id))
    }

    #[test]
    fn a_loop_is_noticed_after_its_fourth_round_or_128_tokens() {
        let before: Vec<u32> = (1000..1500).collect();
        for length in [1, 2, 3, 31, 32, 33, 100, 255, 256] {
            let stretch: Vec<u32> = (0..length).collect();
            let expected = (4 * length as usize).max(128);
            assert_eq!(until_noticed(&before, &stretch), Some(expected - 1), "a stretch of {length}");
            assert_eq!(until_noticed(&[], &stretch), Some(expected - 1), "a stretch of {length}");
        }
        assert_eq!(until_noticed(&before, &(0..257).collect::<Vec<_>>()), None);
    }

    #[test]
    fn text_that_repeats_with_changes_is_no_loop() {
        let mut guard = LoopGuard::default();
        // "Let me check 1. Let me check 2. …"
        assert!(!(0..2000u32).any(|i| guard.push(if i % 10 == 9 { 1000 + i } else { i % 10 })));
        // The same thrice, at some length.
        let mut guard = LoopGuard::default();
        assert!(!(0..600u32).any(|i| guard.push(i % 200)));
    }
}
