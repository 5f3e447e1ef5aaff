//! Dot products with SSE2, which every x86-64 has.

use core::arch::x86_64::{
    __m128, _mm_add_epi32, _mm_add_ps, _mm_and_si128, _mm_cvtepi32_ps, _mm_loadu_si128, _mm_madd_epi16, _mm_mul_ps,
    _mm_set1_epi8, _mm_set1_epi16, _mm_set1_ps, _mm_setzero_ps, _mm_setzero_si128, _mm_srli_epi16, _mm_storeu_ps,
    _mm_sub_epi16, _mm_unpackhi_epi8, _mm_unpacklo_epi8,
};

use super::{BLOCK, Row, f16_to_f32};

/// `Σ w · x`
pub fn dot(w: Row, x: Row) -> f32 {
    // SAFETY: every x86-64 has SSE2.
    let [sum] = unsafe { dots(w, [x]) };
    sum
}

/// [`dot`] of one row of weights with four of activations: a weight is loaded once for all.
pub fn dot4(w: Row, x: [Row; 4]) -> [f32; 4] {
    // SAFETY: every x86-64 has SSE2.
    unsafe { dots(w, x) }
}

#[target_feature(enable = "sse2")]
#[inline]
fn dots<const N: usize>(w: Row, x: [Row; N]) -> [f32; N] {
    let blocks = w.blocks();
    for x in x {
        assert_eq!(x.blocks(), blocks, "rows of different lengths");
    }
    let mut sums = [_mm_setzero_ps(); N];
    for b in 0..blocks {
        let mut lanes = [_mm_setzero_si128(); N];
        for v in 0..4 {
            let at = b * BLOCK + v * 8;
            // SAFETY: `blocks` has checked that all rows hold `blocks · 32` values, and `at + 8 <= (b + 1) · 32`.
            let weights = unsafe { _mm_loadu_si128(w.values.as_ptr().add(at).cast()) };
            for t in 0..N {
                // SAFETY: as above.
                let values = unsafe { _mm_loadu_si128(x[t].values.as_ptr().add(at).cast()) };
                lanes[t] = _mm_add_epi32(lanes[t], _mm_madd_epi16(weights, values));
            }
        }
        for t in 0..N {
            // SAFETY: `blocks` has checked that all rows hold `blocks` scales.
            let scale = unsafe { w.scales.get_unchecked(b) * x[t].scales.get_unchecked(b) };
            sums[t] = _mm_add_ps(sums[t], _mm_mul_ps(_mm_cvtepi32_ps(lanes[t]), _mm_set1_ps(scale)));
        }
    }
    sums.map(|sum| total(sum))
}

#[target_feature(enable = "sse2")]
#[inline]
fn total(sum: __m128) -> f32 {
    let mut lanes = [0.0f32; 4];
    // SAFETY: `lanes` has room for four.
    unsafe { _mm_storeu_ps(lanes.as_mut_ptr(), sum) };
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
}

/// [`dot`] with a row of Q4_0 as it lies in the file (layout: `formats::quant`).
pub fn dot_q4_0(w: &[[u8; 18]], x: Row) -> f32 {
    // SAFETY: every x86-64 has SSE2.
    unsafe { q4_0(w, x) }
}

#[target_feature(enable = "sse2")]
#[inline]
fn q4_0(w: &[[u8; 18]], x: Row) -> f32 {
    assert_eq!(x.blocks(), w.len(), "rows of different lengths");
    let (zero, eight, low) = (_mm_setzero_si128(), _mm_set1_epi16(8), _mm_set1_epi8(15));
    let mut sum = _mm_setzero_ps();
    let (values, _) = x.values.as_chunks::<BLOCK>();
    for ((w, values), x_scale) in w.iter().zip(values).zip(x.scales) {
        // SAFETY: 16 bytes follow the scale's two.
        let nibbles = unsafe { _mm_loadu_si128(w.as_ptr().add(2).cast()) };
        let (first, second) = (_mm_and_si128(nibbles, low), _mm_and_si128(_mm_srli_epi16::<4>(nibbles), low));
        let weights = [
            _mm_unpacklo_epi8(first, zero),
            _mm_unpackhi_epi8(first, zero),
            _mm_unpacklo_epi8(second, zero),
            _mm_unpackhi_epi8(second, zero),
        ];
        let mut lanes = zero;
        for (v, weights) in weights.into_iter().enumerate() {
            // SAFETY: a block has 32 values, and `v` is below four.
            let values = unsafe { _mm_loadu_si128(values.as_ptr().add(v * 8).cast()) };
            lanes = _mm_add_epi32(lanes, _mm_madd_epi16(_mm_sub_epi16(weights, eight), values));
        }
        let scale = _mm_set1_ps(f16_to_f32([w[0], w[1]]) * x_scale);
        sum = _mm_add_ps(sum, _mm_mul_ps(_mm_cvtepi32_ps(lanes), scale));
    }
    total(sum)
}
