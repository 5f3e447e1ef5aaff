//! SSE2, which every x86-64 has.

use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_add_ps, _mm_and_si128, _mm_andnot_si128, _mm_castps_si128, _mm_castsi128_ps,
    _mm_cmpeq_epi32, _mm_cmpgt_epi32, _mm_cvtepi32_ps, _mm_loadu_si128, _mm_madd_epi16, _mm_mul_ps, _mm_mullo_epi16,
    _mm_or_si128, _mm_packs_epi32, _mm_set_epi32, _mm_set1_epi8, _mm_set1_epi16, _mm_set1_epi32, _mm_set1_ps,
    _mm_setzero_si128, _mm_slli_epi16, _mm_slli_epi32, _mm_srai_epi16, _mm_srli_epi16, _mm_storeu_si128, _mm_sub_epi8,
    _mm_sub_epi16, _mm_unpackhi_epi8, _mm_unpackhi_epi32, _mm_unpackhi_epi64, _mm_unpacklo_epi8, _mm_unpacklo_epi32,
    _mm_unpacklo_epi64,
};

/// 128 bits.
pub type V = __m128i;

/// Declares functions of vectors.
macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident($($x:ident),*) = $instructions:expr;)*) => {
        // SAFETY: every x86-64 has SSE2.
        $($(#[$doc])* #[inline(always)] pub fn $name($($x: V),*) -> V { unsafe { $instructions } })*
    };
}

functions! {
    /// `a & b`
    and(a, b) = _mm_and_si128(a, b);
    /// `a | b`
    or(a, b) = _mm_or_si128(a, b);
    /// `a − b`
    sub_i8(a, b) = _mm_sub_epi8(a, b);
    /// `a − b`
    sub_i16(a, b) = _mm_sub_epi16(a, b);
    /// The low halves of `a · b`.
    mul_i16(a, b) = _mm_mullo_epi16(a, b);
    /// `a · b`, neighbours added up in an i32.
    dot_i16(a, b) = _mm_madd_epi16(a, b);
    /// `a + b`
    add_i32(a, b) = _mm_add_epi32(a, b);
    /// All ones where equal, else zeros.
    equal_i32(a, b) = _mm_cmpeq_epi32(a, b);
    /// The larger of both.
    max_i32(a, b) = {
        let larger = _mm_cmpgt_epi32(a, b);
        _mm_or_si128(_mm_and_si128(larger, a), _mm_andnot_si128(larger, b))
    };
    /// Those of `a`, then those of `b`, as 16-bit integers, the nearest where they do not fit.
    narrow_i32(a, b) = _mm_packs_epi32(a, b);
    /// `a + b`
    add_f32(a, b) = _mm_castps_si128(_mm_add_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b)));
    /// `a · b`
    mul_f32(a, b) = _mm_castps_si128(_mm_mul_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b)));
    /// The nearest floats.
    i32_to_f32(a) = _mm_castps_si128(_mm_cvtepi32_ps(a));
    /// Elements 0 to 7 as 16-bit integers.
    low_u8(a) = _mm_unpacklo_epi8(a, _mm_setzero_si128());
    /// Elements 8 to 15 as 16-bit integers.
    high_u8(a) = _mm_unpackhi_epi8(a, _mm_setzero_si128());
    /// Elements 0 to 7 as 16-bit integers.
    low_i8(a) = _mm_srai_epi16::<8>(_mm_unpacklo_epi8(a, a));
    /// Elements 8 to 15 as 16-bit integers.
    high_i8(a) = _mm_srai_epi16::<8>(_mm_unpackhi_epi8(a, a));
    /// `a0 b0 a1 b1`
    zip_low_32(a, b) = _mm_unpacklo_epi32(a, b);
    /// `a2 b2 a3 b3`
    zip_high_32(a, b) = _mm_unpackhi_epi32(a, b);
    /// `a0 a1 b0 b1`
    zip_low_64(a, b) = _mm_unpacklo_epi64(a, b);
    /// `a2 a3 b2 b3`
    zip_high_64(a, b) = _mm_unpackhi_epi64(a, b);
}

/// `a << N`
#[inline(always)]
pub fn shl_u16<const N: i32>(a: V) -> V {
    // SAFETY: every x86-64 has SSE2.
    unsafe { _mm_slli_epi16::<N>(a) }
}

/// `a >> N`
#[inline(always)]
pub fn shr_u16<const N: i32>(a: V) -> V {
    // SAFETY: every x86-64 has SSE2.
    unsafe { _mm_srli_epi16::<N>(a) }
}

/// `a << N`
#[inline(always)]
pub fn shl_i32<const N: i32>(a: V) -> V {
    // SAFETY: every x86-64 has SSE2.
    unsafe { _mm_slli_epi32::<N>(a) }
}

/// Sixteen times `x`.
#[inline(always)]
pub fn splat_u8(x: u8) -> V {
    // SAFETY: every x86-64 has SSE2.
    unsafe { _mm_set1_epi8(x as i8) }
}

/// Eight times `x`.
#[inline(always)]
pub fn splat_i16(x: i16) -> V {
    // SAFETY: every x86-64 has SSE2.
    unsafe { _mm_set1_epi16(x) }
}

/// Four times `x`.
#[inline(always)]
pub fn splat_i32(x: i32) -> V {
    // SAFETY: every x86-64 has SSE2.
    unsafe { _mm_set1_epi32(x) }
}

/// Four times `x`.
#[inline(always)]
pub fn splat_f32(x: f32) -> V {
    // SAFETY: every x86-64 has SSE2.
    unsafe { _mm_castps_si128(_mm_set1_ps(x)) }
}

/// Four times both of `x`.
#[inline(always)]
pub fn splat_pair(x: &[i16; 2]) -> V {
    splat_i32(i32::from(x[0] as u16) | i32::from(x[1]) << 16)
}

/// `x`
#[inline(always)]
pub fn load_u8(x: &[u8; 16]) -> V {
    // SAFETY: sixteen bytes are read, and `x` has them.
    unsafe { _mm_loadu_si128(x.as_ptr().cast()) }
}

/// `x`
#[inline(always)]
pub fn load_i16(x: &[i16; 8]) -> V {
    // SAFETY: sixteen bytes are read, and `x` has them.
    unsafe { _mm_loadu_si128(x.as_ptr().cast()) }
}

/// `x`
#[inline(always)]
pub fn load_f32(x: &[f32; 4]) -> V {
    // SAFETY: sixteen bytes are read, and `x` has them.
    unsafe { _mm_loadu_si128(x.as_ptr().cast()) }
}

/// Little-endian 16-bit integers as 32-bit ones.
#[inline(always)]
pub fn extend_i16(x: [&[u8; 2]; 4]) -> V {
    let [a, b, c, d] = x.map(|x| i32::from(i16::from_le_bytes(*x)));
    // SAFETY: every x86-64 has SSE2.
    unsafe { _mm_set_epi32(d, c, b, a) }
}

/// Stores `v`.
#[inline(always)]
pub fn store_i16(x: &mut [i16; 8], v: V) {
    // SAFETY: sixteen bytes are written, and `x` has them.
    unsafe { _mm_storeu_si128(x.as_mut_ptr().cast(), v) }
}

/// Stores `v`.
#[inline(always)]
pub fn store_f32(x: &mut [f32; 4], v: V) {
    // SAFETY: sixteen bytes are written, and `x` has them.
    unsafe { _mm_storeu_si128(x.as_mut_ptr().cast(), v) }
}
