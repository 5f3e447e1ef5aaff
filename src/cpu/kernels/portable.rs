//! Dot products in plain Rust: the reference of the others, and what targets without a file of their own run.

use super::{BLOCK, Row, f16_to_f32};

/// `Σ w · x`
pub fn dot(w: Row, x: Row) -> f32 {
    assert_eq!(w.blocks(), x.blocks());
    let mut sums = [0.0f32; 4];
    for (b, (w_scale, x_scale)) in w.scales.iter().zip(x.scales).enumerate() {
        let w = &w.values[b * BLOCK..][..BLOCK];
        let x = &x.values[b * BLOCK..][..BLOCK];
        let mut lanes = [0i32; 4];
        for v in 0..4 {
            for (l, lane) in lanes.iter_mut().enumerate() {
                let i = 8 * v + 2 * l;
                *lane += w[i] as i32 * x[i] as i32 + w[i + 1] as i32 * x[i + 1] as i32;
            }
        }
        let scale = w_scale * x_scale;
        for (sum, lane) in sums.iter_mut().zip(lanes) {
            *sum += lane as f32 * scale;
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

/// [`dot`] of one row of weights with four of activations.
pub fn dot4(w: Row, x: [Row; 4]) -> [f32; 4] {
    x.map(|x| dot(w, x))
}

/// [`dot`] with a row of Q4_0 as it lies in the file (layout: `formats::quant`).
pub fn dot_q4_0(w: &[[u8; 18]], x: Row) -> f32 {
    let scales: Vec<f32> = w.iter().map(|b| f16_to_f32([b[0], b[1]])).collect();
    let low_high = |b: &[u8; 18], i: usize| (b[2 + i % 16] >> (i / 16 * 4) & 15) as i16 - 8;
    let values: Vec<i16> = w.iter().flat_map(|b| (0..BLOCK).map(move |i| low_high(b, i))).collect();
    dot(Row { values: &values, scales: &scales }, x)
}
