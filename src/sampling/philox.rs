//! The random stream: Philox4x32-10, a counter-based generator, so that the number of a step needs no earlier step and
//! is the same on every device. J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// One block of the generator: four random words for a counter and a key.
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let wide = |multiplier: u32, word: u32| {
        let product = u64::from(multiplier) * u64::from(word);
        ((product >> 32) as u32, product as u32)
    };
    let (mut c, mut k) = (counter, key);
    for _ in 0..ROUNDS {
        let (high0, low0) = wide(MULTIPLIERS[0], c[0]);
        let (high1, low1) = wide(MULTIPLIERS[1], c[2]);
        c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0];
        k = [k[0].wrapping_add(KEY_STEPS[0]), k[1].wrapping_add(KEY_STEPS[1])];
    }
    c
}

/// The uniform number in [0, 1) of one step, `step` being the index of the drawn token in the reply.
///
/// The block's counter is `[step, 0, 0, 0]` and its key `[low half of seed, high half of seed]`; the number is the
/// upper 24 bits of the block's first word times 2⁻²⁴, which f32 holds exactly.
pub fn uniform(seed: u64, step: u32) -> f32 {
    let word = philox4x32_10([step, 0, 0, 0], [seed as u32, (seed >> 32) as u32])[0];
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_random123() {
        // tests/kat_vectors of https://github.com/DEShawResearch/random123, "philox4x32 10".
        let cases = [
            ([0; 4], [0; 2], [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD]),
            (
                [0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344],
                [0xA409_3822, 0x299F_31D0],
                [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox4x32_10(counter, key), expected);
        }
    }

    #[test]
    fn uniform_takes_the_upper_24_bits_of_the_first_word() {
        assert_eq!(uniform(0, 0), 0x0066_27E8 as f32 / 16_777_216.0);
        let key = 0x1234_5678_9ABC_DEF0_u64;
        let word = philox4x32_10([7, 0, 0, 0], [0x9ABC_DEF0, 0x1234_5678])[0];
        assert_eq!(uniform(key, 7), (word >> 8) as f32 / 16_777_216.0);
    }

    #[test]
    fn uniform_is_uniform() {
        // 64 bins, 64,000 draws: χ² with 63 degrees of freedom is below 103.4 with probability 0.999.
        let mut bins = [0u32; 64];
        for step in 0..64_000 {
            bins[(uniform(42, step) * 64.0) as usize] += 1;
        }
        let chi_square: f64 = bins.iter().map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi_square < 103.4, "χ² = {chi_square}");
    }
}
