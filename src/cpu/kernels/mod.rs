//! The innermost loops: products with integers over one vector type per instruction set, and loops in f32.

mod floats;
mod lanes;
#[cfg(any(test, not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128")))))]
mod portable;
mod products;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;
#[cfg(target_arch = "x86_64")]
mod sse2;

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub use core::arch::wasm32::v128 as Native;
#[cfg(target_arch = "x86_64")]
pub use core::arch::x86_64::__m128i as Native;

pub use floats::{add_weighted, dot_f32, exp, scores};
#[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
pub use portable::Portable as Native;
pub use products::{Panel, dot_panels, dot_q4_0, dot_q6_k, dot_rows};

use half::f16;

/// Elements that share a scale.
pub const BLOCK: usize = 32;

/// Rows of weights that a product takes at once.
pub const ROWS: usize = 4;

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

#[cfg(test)]
mod tests {
    use super::portable::Portable;
    use super::{BLOCK, Native, Panel, ROWS, Row, dot_panels, dot_q4_0, dot_q6_k, dot_rows, f16_to_f32};
    use crate::cpu::unpack::Unpacked;
    use crate::cpu::unpack::tests::random_blocks;
    use crate::formats::DType;

    fn numbers(seed: u32, n: usize, limit: i32) -> Vec<i16> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as i32 % (2 * limit + 1) - limit) as i16
        };
        (0..n).map(|_| next()).collect()
    }

    /// What `products` says it computes.
    fn reference(w: Row, x: Row) -> f32 {
        let products: Vec<i32> = w.values.iter().zip(x.values).map(|(w, x)| *w as i32 * *x as i32).collect();
        let blocks = products.chunks(BLOCK).zip(w.scales.iter().zip(x.scales));
        blocks.fold(0.0, |sum, (block, (w, x))| sum + block.iter().sum::<i32>() as f32 * (w * x))
    }

    #[test]
    fn products_of_this_target_and_of_plain_rust_equal_their_definition_bit_for_bit() {
        for blocks in [1, 3, 5, 32] {
            let n = blocks * BLOCK;
            let scales: Vec<f32> = (0..blocks).map(|b| 0.01 + b as f32 * 0.003).collect();
            let weights: Vec<_> = (0..8).map(|s| numbers(s, n, 4096)).collect();
            let values: Vec<_> = (8..12).map(|s| numbers(s, n, 16383)).collect();
            let row = |values| Row { values, scales: &scales };
            let (w, v) = ([0, 1].map(|p| [0, 1, 2, 3].map(|r| row(&weights[p * 4 + r]))), values.iter());
            let x: Vec<Row> = v.map(|v| row(v)).collect();
            let mut panels = [Panel::default(), Panel::default()];
            let mut plain = [Panel::default(), Panel::default()];
            for p in 0..2 {
                panels[p].set::<Native>(w[p]);
                plain[p].set::<Portable>(w[p]);
            }
            let expected = [0, 1, 2, 3].map(|t| w.map(|w| w.map(|w| reference(w, x[t]))));
            let four = [x[0], x[1], x[2], x[3]];
            assert_eq!(dot_panels::<Native, 2, 4>(panels.each_ref(), four), expected, "{blocks} blocks");
            assert_eq!(dot_panels::<Portable, 2, 4>(plain.each_ref(), four), expected, "{blocks} blocks");
            assert_eq!(dot_panels::<Native, 2, 1>(panels.each_ref(), [x[0]]), [expected[0]]);
            assert_eq!(dot_rows::<Native>(w[0], x[1]), expected[1][0]);
            assert_eq!(dot_rows::<Portable>(w[0], x[1]), expected[1][0]);
        }
    }

    #[test]
    fn products_with_blocks_of_the_file_equal_those_with_unpacked_rows_bit_for_bit() {
        let columns = 768;
        let (values, scales) = (numbers(3, columns, 16383), vec![0.5; columns / BLOCK]);
        let x = Row { values: &values, scales: &scales };
        let totals: Vec<[i32; 2]> = (0..columns / BLOCK)
            .map(|b| [0, 16].map(|at| values[b * BLOCK + at..][..16].iter().map(|v| *v as i32).sum()))
            .collect();
        for dtype in [DType::Q4_0, DType::Q6_K] {
            let bytes = [1, 2, 3, 4].map(|seed| random_blocks(dtype, columns, seed));
            let mut unpacked: [Unpacked; ROWS] = Default::default();
            for (row, bytes) in unpacked.iter_mut().zip(&bytes) {
                row.set(dtype, columns, bytes);
            }
            let expected = unpacked.each_ref().map(|row| reference(row.row(), x));
            let [native, portable] = match dtype {
                DType::Q4_0 => {
                    let rows = bytes.each_ref().map(|b| b.as_chunks().0);
                    [dot_q4_0::<Native>(rows, x, &totals), dot_q4_0::<Portable>(rows, x, &totals)]
                }
                _ => {
                    let rows = bytes.each_ref().map(|b| b.as_chunks().0);
                    [dot_q6_k::<Native>(rows, x, &totals), dot_q6_k::<Portable>(rows, x, &totals)]
                }
            };
            assert_eq!(native, expected, "{}", dtype.name());
            assert_eq!(portable, expected, "{}", dtype.name());
        }
    }

    #[test]
    fn the_largest_values_do_not_overflow() {
        let (least, most, ones) = (vec![-4096; BLOCK], vec![16383; BLOCK], [1.0]);
        let w = Row { values: &least, scales: &ones };
        let x = Row { values: &most, scales: &ones };
        assert_eq!(dot_rows::<Native>([w; ROWS], x), [-4096.0 * 16383.0 * BLOCK as f32; ROWS]);
    }

    #[test]
    fn every_f16_converts_exactly() {
        for bits in 0..=u16::MAX {
            let expected = half::f16::from_bits(bits).to_f32();
            let got = f16_to_f32(bits.to_le_bytes());
            assert!(got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan(), "{bits:#x}");
        }
    }
}
