//! Activations in the forms that products take: f32, and 16-bit integers with a scale per 32.

use super::floats::ROUND;
use super::quant::BLOCK;
use super::vector::{
    add_f32, add_i32, and, dot_i16, f32s, lay_side_by_side, load_block, load_f32, load_i16, max_i32, mul_f32,
    narrow_i32, splat_f32, splat_i16, splat_i32, store_i16,
};

/// The largest magnitude of an integer: 15 bits, so that products of a block fit into an i32 (`products`).
const LARGEST: f32 = 16383.0;

/// `[tokens, columns]` of activations; `columns` is a multiple of 32.
#[derive(Default)]
pub struct Activations {
    columns: usize,
    floats: Vec<f32>,
    /// Of the only token.
    row: Integers,
    tokens: Tokens,
}

/// Integers and the scales and sums of their blocks.
#[derive(Default)]
struct Integers {
    values: Vec<i16>,
    scales: Vec<f32>,
    sums: Vec<f32>,
}

/// One token: element `i` is `values[i / 32][i % 32] · scales[i / 32]`.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// `[blocks]`
    pub values: &'a [[i16; BLOCK]],
    /// `[blocks]`
    pub scales: &'a [f32],
    /// The sum of each block's elements.
    pub sums: &'a [f32],
}

/// Tokens side by side in eights, written in fours: there are zeros where the last four are fewer, and anything in a half that has none.
#[derive(Default)]
pub struct Tokens {
    tokens: usize,
    blocks: usize,
    values: Vec<[[[i16; 8]; 2]; BLOCK / 2]>,
    scales: Vec<[[f32; 4]; 2]>,
    sums: Vec<[[f32; 4]; 2]>,
}

/// Eight tokens, as two times four.
#[derive(Clone, Copy)]
pub struct Eight<'a> {
    /// `[blocks][16 pairs][2][4 tokens][2]`
    pub values: &'a [[[[i16; 8]; 2]; BLOCK / 2]],
    /// `[blocks][2][4 tokens]`
    pub scales: &'a [[[f32; 4]; 2]],
    /// `[blocks][2][4 tokens]`: of each block's elements.
    pub sums: &'a [[[f32; 4]; 2]],
}

impl Tokens {
    /// How many times four tokens there are, the last of them perhaps fewer.
    pub fn fours(&self) -> usize {
        self.tokens.div_ceil(4)
    }

    /// Eight of them; of the last, the first four alone where [`Tokens::fours`] is odd.
    pub fn eight(&self, index: usize) -> Eight<'_> {
        let here = index * self.blocks..(index + 1) * self.blocks;
        Eight { values: &self.values[here.clone()], scales: &self.scales[here.clone()], sums: &self.sums[here] }
    }

    /// Room for so many.
    fn resize(&mut self, tokens: usize, blocks: usize) {
        (self.tokens, self.blocks) = (tokens, blocks);
        let length = tokens.div_ceil(8) * blocks;
        self.values.resize(length, [[[0; 8]; 2]; BLOCK / 2]);
        self.scales.resize(length, [[0.0; 4]; 2]);
        self.sums.resize(length, [[0.0; 4]; 2]);
    }

    /// Takes in at most eight tokens of `columns` elements.
    fn set(&mut self, eight: usize, floats: &[f32], columns: usize) {
        let here = eight * self.blocks..(eight + 1) * self.blocks;
        let scales = self.scales[here.clone()].iter_mut().zip(&mut self.sums[here.clone()]);
        for (b, (to, (scales, sums))) in self.values[here].iter_mut().zip(scales).enumerate() {
            for (half, floats) in floats.chunks(4 * columns).enumerate() {
                let mut values = [[0; BLOCK]; 4];
                (scales[half], sums[half]) = ([0.0; 4], [0.0; 4]);
                for (r, row) in floats.chunks_exact(columns).enumerate() {
                    let scale = quantize_together(&row.as_chunks::<BLOCK>().0[b], &mut values[r]);
                    (scales[half][r], sums[half][r]) = (scale, total(&values[r]) * scale);
                }
                lay_side_by_side(values.each_ref().map(load_block), |pair, rows| store_i16(&mut to[pair][half], rows));
            }
        }
    }
}

impl Activations {
    /// Takes in `floats: [tokens, columns]`.
    pub fn set(&mut self, floats: impl Iterator<Item = f32>, columns: usize) {
        self.columns = columns;
        self.floats.clear();
        self.floats.extend(floats);
        if self.tokens() == 1 {
            return self.row.set(&self.floats);
        }
        self.tokens.resize(self.tokens(), columns / BLOCK);
        for (eight, floats) in self.floats.chunks(8 * columns).enumerate() {
            self.tokens.set(eight, floats, columns);
        }
    }

    /// Rows.
    pub fn tokens(&self) -> usize {
        self.floats.len() / self.columns
    }

    /// Elements of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// `[columns]` in f32.
    pub fn floats(&self, token: usize) -> &[f32] {
        &self.floats[token * self.columns..][..self.columns]
    }

    /// The only token as integers; none if there are several.
    pub fn one(&self) -> Option<Row<'_>> {
        let values = self.row.values.as_chunks().0;
        (self.tokens() == 1).then_some(Row { values, scales: &self.row.scales, sums: &self.row.sums })
    }

    /// Several as integers.
    pub fn several(&self) -> &Tokens {
        &self.tokens
    }
}

impl Integers {
    fn set(&mut self, floats: &[f32]) {
        self.values.resize(floats.len(), 0);
        self.scales.resize(floats.len() / BLOCK, 0.0);
        quantize(floats, &mut self.values, &mut self.scales);
        let (blocks, _) = self.values.as_chunks();
        self.sums.clear();
        self.sums.extend(blocks.iter().zip(&self.scales).map(|(values, scale)| total(values) * scale));
    }
}

/// The sum of a block's integers.
#[inline(always)]
fn total(values: &[i16; BLOCK]) -> f32 {
    let pairs = values.as_chunks::<8>().0.iter().map(|eight| dot_i16(load_i16(eight), splat_i16(1)));
    let sums = f32s(pairs.fold(splat_i32(0), add_i32)).map(|sum| sum.to_bits() as i32);
    sums.into_iter().sum::<i32>() as f32
}

/// Each 32 of `floats` to integers of at most 16383 in magnitude and the scale that gives them back to within half of
/// it. A block with an infinity or NaN gives back NaN.
pub fn quantize(floats: &[f32], values: &mut [i16], scales: &mut [f32]) {
    let (floats, _) = floats.as_chunks::<BLOCK>();
    let (values, _) = values.as_chunks_mut::<BLOCK>();
    for ((floats, values), scale) in floats.iter().zip(values).zip(scales) {
        *scale = quantize_together(floats, values);
    }
}

/// The same of any multiple of eight `floats` with one scale, which is returned.
#[inline(always)]
pub fn quantize_together(floats: &[f32], values: &mut [i16]) -> f32 {
    let (floats, values) = (floats.as_chunks::<8>().0, values.as_chunks_mut::<8>().0);
    let halves = |eight: &[f32; 8]| {
        let (fours, _) = eight.as_chunks::<4>();
        [load_f32(&fours[0]), load_f32(&fours[1])]
    };
    // Without their sign, floats are in the order of their bits, infinities and NaN last.
    let mut largest = splat_i32(0);
    for eight in floats {
        let [low, high] = halves(eight).map(|half| and(half, splat_i32(0x7fff_ffff)));
        largest = max_i32(largest, max_i32(low, high));
    }
    let largest = f32s(largest).map(f32::to_bits).into_iter().fold(0, u32::max);
    let (finite, largest) = (largest < f32::INFINITY.to_bits(), f32::from_bits(largest));
    let scale = if finite { largest / LARGEST } else { f32::NAN };
    let inverse = splat_f32(if scale >= f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 });
    for (values, eight) in values.iter_mut().zip(floats) {
        // The low bits of the sum are the rounded product.
        let [low, high] = halves(eight).map(|half| {
            let rounded = add_f32(mul_f32(half, inverse), splat_f32(ROUND));
            add_i32(rounded, splat_i32(-(ROUND.to_bits() as i32)))
        });
        store_i16(values, narrow_i32(low, high));
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, quantize};

    /// The reverse of [`quantize`].
    fn dequantize(values: &[i16], scales: &[f32], floats: &mut [f32]) {
        let (values, _) = values.as_chunks::<BLOCK>();
        let (floats, _) = floats.as_chunks_mut::<BLOCK>();
        for ((values, scale), floats) in values.iter().zip(scales).zip(floats) {
            for (x, v) in floats.iter_mut().zip(values) {
                *x = *v as f32 * scale;
            }
        }
    }

    #[test]
    fn fifteen_bits_keep_activations_to_within_5e_5() {
        let mut x: Vec<f32> = (0..64).map(|i| ((i * 37 % 64) as f32 - 31.5).powi(3) / 1000.0).collect();
        x[40] = 0.0;
        let (mut values, mut scales, mut back) = (vec![0; 64], vec![0.0; 2], vec![0.0; 64]);
        quantize(&x, &mut values, &mut scales);
        dequantize(&values, &scales, &mut back);
        let error: f32 = x.iter().zip(&back).map(|(a, b)| (a - b).powi(2)).sum();
        let norm: f32 = x.iter().map(|a| a * a).sum();
        assert!((error / norm).sqrt() < 5e-5, "{}", (error / norm).sqrt());
    }

    #[test]
    fn zeros_stay_zero_and_nan_stays_nan() {
        let mut x = [0.0; 64];
        x[33] = f32::NAN;
        let (mut values, mut scales, mut back) = ([1; 64], [1.0; 2], [1.0; 64]);
        quantize(&x, &mut values, &mut scales);
        dequantize(&values, &scales, &mut back);
        assert_eq!(back[..32], [0.0; 32]);
        assert!(back[32..].iter().all(|x| x.is_nan()));
    }

    #[test]
    fn tiny_activations_do_not_divide_by_zero() {
        let x = [1e-42; 32];
        let (mut values, mut scales) = ([0; 32], [0.0; 1]);
        quantize(&x, &mut values, &mut scales);
        assert!(values.iter().all(|v| (*v as f32 * scales[0]).is_finite()));
    }
}
