//! Activations in the two forms products take: f32, and 16-bit integers with a scale per 32.

use super::kernels::{BLOCK, ROUND, Row};

/// `[tokens, columns]` of activations; `columns` is a multiple of 32.
#[derive(Default)]
pub struct Activations {
    columns: usize,
    floats: Vec<f32>,
    values: Vec<i16>,
    scales: Vec<f32>,
    sums: Vec<f32>,
}

impl Activations {
    /// Takes in `floats: [tokens, columns]`.
    pub fn set(&mut self, floats: &[f32], columns: usize) {
        self.columns = columns;
        self.floats.clear();
        self.floats.extend_from_slice(floats);
        self.values.resize(floats.len(), 0);
        self.scales.resize(floats.len() / BLOCK, 0.0);
        self.sums.resize(floats.len() / BLOCK, 0.0);
        quantize(floats, &mut self.values, &mut self.scales);
        for ((sum, scale), values) in self.sums.iter_mut().zip(&self.scales).zip(self.values.chunks_exact(BLOCK)) {
            *sum = values.iter().map(|v| *v as i32).sum::<i32>() as f32 * scale;
        }
    }

    /// Rows.
    pub fn tokens(&self) -> usize {
        self.floats.len() / self.columns
    }

    /// `[columns]` in f32.
    pub fn floats(&self, token: usize) -> &[f32] {
        &self.floats[token * self.columns..][..self.columns]
    }

    /// `[columns]` as integers.
    pub fn row(&self, token: usize) -> Row<'_> {
        let blocks = self.columns / BLOCK;
        Row {
            values: &self.values[token * self.columns..][..self.columns],
            scales: &self.scales[token * blocks..][..blocks],
        }
    }

    /// The sum of each 32: `[columns / 32]`.
    pub fn sums(&self, token: usize) -> &[f32] {
        let blocks = self.columns / BLOCK;
        &self.sums[token * blocks..][..blocks]
    }
}

/// Each 32 of `floats` to integers of at most 32767 in magnitude and the scale that gives them back to within half of
/// it. A block with an infinity or NaN gives back NaN.
pub fn quantize(floats: &[f32], values: &mut [i16], scales: &mut [f32]) {
    let (floats, _) = floats.as_chunks::<BLOCK>();
    let (values, _) = values.as_chunks_mut::<BLOCK>();
    for ((floats, values), scale) in floats.iter().zip(values).zip(scales) {
        // Without their sign, floats are in the order of their bits, infinities and NaN last; integers have vector
        // instructions for the larger of two.
        let largest = floats.iter().fold(0, |largest: u32, x| largest.max(x.to_bits() & 0x7fff_ffff));
        let (finite, largest) = (largest < f32::INFINITY.to_bits(), f32::from_bits(largest));
        *scale = if finite { largest / 32767.0 } else { f32::NAN };
        let inverse = if *scale > 0.0 { 1.0 / *scale } else { 0.0 };
        for (v, x) in values.iter_mut().zip(floats) {
            *v = ((x * inverse + ROUND) - ROUND) as i16;
        }
    }
}

/// The reverse of [`quantize`].
pub fn dequantize(values: &[i16], scales: &[f32], floats: &mut [f32]) {
    let (values, _) = values.as_chunks::<BLOCK>();
    let (floats, _) = floats.as_chunks_mut::<BLOCK>();
    for ((values, scale), floats) in values.iter().zip(scales).zip(floats) {
        for (x, v) in floats.iter_mut().zip(values) {
            *x = *v as f32 * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{dequantize, quantize};

    #[test]
    fn sixteen_bits_keep_activations_to_within_3e_5() {
        let mut x: Vec<f32> = (0..64).map(|i| ((i * 37 % 64) as f32 - 31.5).powi(3) / 1000.0).collect();
        x[40] = 0.0;
        let (mut values, mut scales, mut back) = (vec![0; 64], vec![0.0; 2], vec![0.0; 64]);
        quantize(&x, &mut values, &mut scales);
        dequantize(&values, &scales, &mut back);
        let error: f32 = x.iter().zip(&back).map(|(a, b)| (a - b).powi(2)).sum();
        let norm: f32 = x.iter().map(|a| a * a).sum();
        assert!((error / norm).sqrt() < 3e-5, "{}", (error / norm).sqrt());
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
