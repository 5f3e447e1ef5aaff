//! [`Lanes`] on SSE2, which every x86-64 has.

use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_add_ps, _mm_and_si128, _mm_castps_si128, _mm_castsi128_ps, _mm_cvtepi32_ps,
    _mm_cvtsi32_si128, _mm_loadu_si128, _mm_madd_epi16, _mm_mul_ps, _mm_mullo_epi16, _mm_or_si128, _mm_set1_epi32,
    _mm_setzero_si128, _mm_sll_epi16, _mm_sll_epi32, _mm_srl_epi16, _mm_storeu_si128, _mm_unpackhi_epi8,
    _mm_unpackhi_epi32, _mm_unpackhi_epi64, _mm_unpacklo_epi8, _mm_unpacklo_epi32, _mm_unpacklo_epi64,
};

use bytemuck::Pod;

use super::lanes::{Lanes, is_vector};

/// An instruction that only needs SSE2.
macro_rules! sse2 {
    ($($instructions:tt)*) => {
        // SAFETY: every x86-64 has SSE2, and these instructions touch no memory.
        unsafe { $($instructions)* }
    };
}

impl Lanes for __m128i {
    #[inline(always)]
    fn splat(bits: u32) -> Self {
        sse2!(_mm_set1_epi32(bits as i32))
    }

    #[inline(always)]
    fn load<T: Pod, const N: usize>(from: &[T; N]) -> Self {
        const { assert!(is_vector::<T, N>()) };
        // SAFETY: the array is 16 bytes without padding; no alignment is needed.
        unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store<T: Pod, const N: usize>(self, to: &mut [T; N]) {
        const { assert!(is_vector::<T, N>()) };
        // SAFETY: the array is 16 bytes that may hold any bits; no alignment is needed.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), self) }
    }

    #[inline(always)]
    fn dot(self, other: Self) -> Self {
        sse2!(_mm_madd_epi16(self, other))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        sse2!(_mm_add_epi32(self, other))
    }

    #[inline(always)]
    fn mul_halves(self, other: Self) -> Self {
        sse2!(_mm_mullo_epi16(self, other))
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        sse2!(_mm_and_si128(self, other))
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        sse2!(_mm_or_si128(self, other))
    }

    #[inline(always)]
    fn left<const BITS: u32>(self) -> Self {
        sse2!(_mm_sll_epi16(self, _mm_cvtsi32_si128(BITS as i32)))
    }

    #[inline(always)]
    fn right<const BITS: u32>(self) -> Self {
        sse2!(_mm_srl_epi16(self, _mm_cvtsi32_si128(BITS as i32)))
    }

    #[inline(always)]
    fn left_lanes<const BITS: u32>(self) -> Self {
        sse2!(_mm_sll_epi32(self, _mm_cvtsi32_si128(BITS as i32)))
    }

    #[inline(always)]
    fn widen(self) -> [Self; 2] {
        sse2!([_mm_unpacklo_epi8(self, _mm_setzero_si128()), _mm_unpackhi_epi8(self, _mm_setzero_si128())])
    }

    #[inline(always)]
    fn to_f32(self) -> Self {
        sse2!(_mm_castps_si128(_mm_cvtepi32_ps(self)))
    }

    #[inline(always)]
    fn add_f32(self, other: Self) -> Self {
        sse2!(_mm_castps_si128(_mm_add_ps(_mm_castsi128_ps(self), _mm_castsi128_ps(other))))
    }

    #[inline(always)]
    fn mul_f32(self, other: Self) -> Self {
        sse2!(_mm_castps_si128(_mm_mul_ps(_mm_castsi128_ps(self), _mm_castsi128_ps(other))))
    }

    #[inline(always)]
    fn transpose([a, b, c, d]: [Self; 4]) -> [Self; 4] {
        sse2! {
            let (low_ab, high_ab) = (_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
            let (low_cd, high_cd) = (_mm_unpacklo_epi32(c, d), _mm_unpackhi_epi32(c, d));
            [
                _mm_unpacklo_epi64(low_ab, low_cd),
                _mm_unpackhi_epi64(low_ab, low_cd),
                _mm_unpacklo_epi64(high_ab, high_cd),
                _mm_unpackhi_epi64(high_ab, high_cd),
            ]
        }
    }
}
