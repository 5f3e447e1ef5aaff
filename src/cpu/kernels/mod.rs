//! The innermost loops, one file per instruction set with the same functions; all of them give the same bits.
//!
//! The order of a dot product is fixed: in a block of 32, lane `l` of four holds the i32 sum of the products `8v + 2l`
//! and `8v + 2l + 1`, `v` from 0 to 3; as f32 it is multiplied by the product of both scales and added to the lane's
//! sum; lanes are added as `(0 + 1) + (2 + 3)`. Lanes cannot overflow: 8 · 4096 · 32767 < 2³¹ (`unpack` gives the 4096).

#[cfg(any(test, not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128")))))]
mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;
#[cfg(target_arch = "x86_64")]
mod sse2;

#[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
pub use portable::{dot, dot_q4_0, dot4};
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub use simd128::{dot, dot_q4_0, dot4};
#[cfg(target_arch = "x86_64")]
pub use sse2::{dot, dot_q4_0, dot4};

use half::f16;

/// Elements that share a scale.
pub const BLOCK: usize = 32;

/// A vector of 16-bit integers: element `i` is `values[i] · scales[i / 32]`.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// `[blocks · 32]`
    pub values: &'a [i16],
    /// `[blocks]`
    pub scales: &'a [f32],
}

impl<'a> Row<'a> {
    /// Blocks of 32.
    ///
    /// # Panics
    /// When values and scales do not match: what the kernels read without further checks.
    pub fn blocks(self) -> usize {
        assert_eq!(self.values.len(), self.scales.len() * BLOCK, "values and scales of different lengths");
        self.scales.len()
    }
}

/// A block's scale, little-endian. Shifting exponent and fraction into place and multiplying by 2¹¹² is exact for
/// every finite number, and there is one per 32 weights: a conversion with branches would cost as much as the product.
#[inline(always)]
pub fn f16_to_f32(bytes: [u8; 2]) -> f32 {
    let bits = u16::from_le_bytes(bytes) as u32;
    if bits & 0x7c00 == 0x7c00 {
        return f16::from_le_bytes(bytes).to_f32();
    }
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((112 + 127) << 23);
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

/// Elements that the f32 loops below take at once: four vectors of four, which every target has.
const LANES: usize = 16;

/// `Σ a[i] · b[i]` in f32, in an order that does not depend on the target.
pub fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for l in 0..LANES {
            lanes[l] += a[l] * b[l];
        }
    }
    for (l, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[l] += a * b;
    }
    for half in [8, 4, 2, 1] {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
    }
    lanes[0]
}

/// Adding and subtracting 1.5 · 2²³ rounds to the nearest integer, on every target in the same way.
pub const ROUND: f32 = 12_582_912.0;

/// `eˣ` to within 2e-7 of itself, with no branch or call, so that loops of it become vector instructions: 2ⁿ times a polynomial
/// for what is left of x, at most ln 2 / 2 (the coefficients are those of Cephes' `expf`, S. Moshier). From −87 down it stays 1.6e-38.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * core::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_2e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + coefficient;
    }
    // The low bits of `shifted` are n.
    (p * r * r + r + 1.0) * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// `y[i] += s · x[i]`
pub fn add_scaled(y: &mut [f32], s: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += s * x;
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Row, dot, dot_f32, dot_q4_0, dot4, exp, f16_to_f32, portable};

    use crate::cpu::unpack::Unpacked;
    use crate::formats::DType;

    fn numbers(seed: u32, n: usize, limit: i32) -> Vec<i16> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as i32 % (2 * limit + 1) - limit) as i16
        };
        (0..n).map(|_| next()).collect()
    }

    #[test]
    fn kernels_of_this_target_equal_the_portable_ones_bit_for_bit() {
        for blocks in [1, 3, 5, 32] {
            let n = blocks * BLOCK;
            let weights = numbers(1, n, 4096);
            let scales: Vec<f32> = (0..blocks).map(|b| 0.01 + b as f32 * 0.003).collect();
            let rows: Vec<Vec<i16>> = (2..6).map(|s| numbers(s, n, 32767)).collect();
            let w = Row { values: &weights, scales: &scales };
            let x = [0, 1, 2, 3].map(|t| Row { values: &rows[t], scales: &scales });
            assert_eq!(x.map(|x| dot(w, x)), x.map(|x| portable::dot(w, x)), "{blocks} blocks");
            assert_eq!(dot4(w, x), x.map(|x| dot(w, x)), "{blocks} blocks, four at once");
            assert_eq!(portable::dot4(w, x), x.map(|x| dot(w, x)));
        }
    }

    #[test]
    fn q4_0_products_equal_those_of_unpacked_rows_bit_for_bit() {
        let blocks: Vec<[u8; 18]> = (0..5u8)
            .map(|b| {
                let mut block = [0; 18];
                let bytes = numbers(b as u32 + 9, 18, 127);
                block.iter_mut().zip(bytes).for_each(|(to, from)| *to = from as u8);
                block[1] = 0x20 + b;
                block
            })
            .collect();
        let scales = [0.5; 5];
        let values = numbers(3, 5 * BLOCK, 32767);
        let x = Row { values: &values, scales: &scales };
        let mut unpacked = Unpacked::default();
        unpacked.set(DType::Q4_0, 5 * BLOCK, blocks.as_flattened());
        assert_eq!(dot_q4_0(&blocks, x), dot(unpacked.row(), x));
        assert_eq!(portable::dot_q4_0(&blocks, x), dot(unpacked.row(), x));
    }

    #[test]
    fn every_f16_converts_exactly() {
        for bits in 0..=u16::MAX {
            let expected = half::f16::from_bits(bits).to_f32();
            let got = f16_to_f32(bits.to_le_bytes());
            assert!(got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan(), "{bits:#x}");
        }
    }

    #[test]
    fn exp_is_that_of_f64_to_the_last_bits() {
        for i in -87_000..88_000 {
            let x = i as f32 / 1000.0;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) / expected - 1.0).abs() < 2e-7, "{x}: {}, not {expected}", exp(x));
        }
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && exp(f32::INFINITY) > 1e38);
    }

    #[test]
    fn the_largest_values_do_not_overflow() {
        let weights = vec![-4096; BLOCK];
        let ones = [1.0];
        let x = vec![32767; BLOCK];
        let sum = dot(Row { values: &weights, scales: &ones }, Row { values: &x, scales: &ones });
        assert_eq!(sum, -4096.0 * 32767.0 * BLOCK as f32);
    }

    #[test]
    fn f32_dot_takes_lengths_that_are_no_multiple_of_its_lanes() {
        for n in [0, 1, 15, 16, 17, 100] {
            let a: Vec<f32> = (0..n).map(|i| i as f32).collect();
            assert_eq!(dot_f32(&a, &vec![2.0; n]), (n * n) as f32 - n as f32, "{n}");
        }
    }
}
