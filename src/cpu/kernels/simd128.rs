//! Dot products with WebAssembly's 128-bit vectors.

use core::arch::wasm32::{
    f32x4_add, f32x4_convert_i32x4, f32x4_extract_lane, f32x4_mul, f32x4_splat, i16x8_splat, i16x8_sub, i32x4_add,
    i32x4_dot_i16x8, i32x4_splat, u8x16_shr, u8x16_splat, u16x8_extend_high_u8x16, u16x8_extend_low_u8x16, v128,
    v128_and, v128_load,
};

use super::{BLOCK, Row, f16_to_f32};

/// `Σ w · x`
pub fn dot(w: Row, x: Row) -> f32 {
    dots(w, [x])[0]
}

/// [`dot`] of one row of weights with four of activations: a weight is loaded once for all.
pub fn dot4(w: Row, x: [Row; 4]) -> [f32; 4] {
    dots(w, x)
}

#[inline(always)]
fn dots<const N: usize>(w: Row, x: [Row; N]) -> [f32; N] {
    let blocks = w.blocks();
    for x in x {
        assert_eq!(x.blocks(), blocks, "rows of different lengths");
    }
    let mut sums = [f32x4_splat(0.0); N];
    for b in 0..blocks {
        let mut lanes = [i32x4_splat(0); N];
        for v in 0..4 {
            let at = b * BLOCK + v * 8;
            // SAFETY: `blocks` has checked that all rows hold `blocks · 32` values, and `at + 8 <= (b + 1) · 32`.
            let weights = unsafe { v128_load(w.values.as_ptr().add(at).cast()) };
            for t in 0..N {
                // SAFETY: as above.
                let values = unsafe { v128_load(x[t].values.as_ptr().add(at).cast()) };
                lanes[t] = i32x4_add(lanes[t], i32x4_dot_i16x8(weights, values));
            }
        }
        for t in 0..N {
            // SAFETY: `blocks` has checked that all rows hold `blocks` scales.
            let scale = unsafe { w.scales.get_unchecked(b) * x[t].scales.get_unchecked(b) };
            sums[t] = f32x4_add(sums[t], f32x4_mul(f32x4_convert_i32x4(lanes[t]), f32x4_splat(scale)));
        }
    }
    sums.map(total)
}

fn total(sum: v128) -> f32 {
    (f32x4_extract_lane::<0>(sum) + f32x4_extract_lane::<1>(sum))
        + (f32x4_extract_lane::<2>(sum) + f32x4_extract_lane::<3>(sum))
}

/// [`dot`] with a row of Q4_0 as it lies in the file (layout: `formats::quant`).
pub fn dot_q4_0(w: &[[u8; 18]], x: Row) -> f32 {
    assert_eq!(x.blocks(), w.len(), "rows of different lengths");
    let (eight, low) = (i16x8_splat(8), u8x16_splat(15));
    let mut sum = f32x4_splat(0.0);
    let (values, _) = x.values.as_chunks::<BLOCK>();
    for ((w, values), x_scale) in w.iter().zip(values).zip(x.scales) {
        // SAFETY: 16 bytes follow the scale's two.
        let nibbles = unsafe { v128_load(w.as_ptr().add(2).cast()) };
        let (first, second) = (v128_and(nibbles, low), u8x16_shr(nibbles, 4));
        let weights = [
            u16x8_extend_low_u8x16(first),
            u16x8_extend_high_u8x16(first),
            u16x8_extend_low_u8x16(second),
            u16x8_extend_high_u8x16(second),
        ];
        let mut lanes = i32x4_splat(0);
        for (v, weights) in weights.into_iter().enumerate() {
            // SAFETY: a block has 32 values, and `v` is below four.
            let values = unsafe { v128_load(values.as_ptr().add(v * 8).cast()) };
            lanes = i32x4_add(lanes, i32x4_dot_i16x8(i16x8_sub(weights, eight), values));
        }
        let scale = f32x4_splat(f16_to_f32([w[0], w[1]]) * x_scale);
        sum = f32x4_add(sum, f32x4_mul(f32x4_convert_i32x4(lanes), scale));
    }
    total(sum)
}
