//! Dot products with SSE2, which every x86-64 has.

use core::arch::x86_64::{
    _mm_add_epi32, _mm_add_ps, _mm_cvtepi32_ps, _mm_loadu_si128, _mm_madd_epi16, _mm_mul_ps, _mm_set1_ps,
    _mm_setzero_ps, _mm_setzero_si128, _mm_storeu_ps,
};

use super::{BLOCK, Row};

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
    sums.map(|sum| {
        let mut lanes = [0.0f32; 4];
        // SAFETY: `lanes` has room for four.
        unsafe { _mm_storeu_ps(lanes.as_mut_ptr(), sum) };
        (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
    })
}
