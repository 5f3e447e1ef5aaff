//! WebAssembly's own vectors.

use core::arch::wasm32::{
    f32x4_add, f32x4_convert_i32x4, f32x4_mul, f32x4_splat, i8x16_sub, i16x8_extend_high_i8x16, i16x8_extend_low_i8x16,
    i16x8_mul, i16x8_narrow_i32x4, i16x8_splat, i16x8_sub, i32x4_add, i32x4_dot_i16x8, i32x4_eq,
    i32x4_extend_low_i16x8, i32x4_max, i32x4_shl, i32x4_shuffle, i32x4_splat, i64x2_shuffle, u8x16_splat,
    u16x8_extend_high_u8x16, u16x8_extend_low_u8x16, u16x8_shl, u16x8_shr, v128, v128_and, v128_load, v128_load16_lane,
    v128_load32_splat, v128_or, v128_store,
};

/// 128 bits.
pub type V = v128;

/// Declares functions of vectors, each a single instruction.
macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident($($x:ident),*) = $instruction:expr;)*) => {
        $($(#[$doc])* #[inline(always)] pub fn $name($($x: V),*) -> V { $instruction })*
    };
}

functions! {
    /// `a & b`
    and(a, b) = v128_and(a, b);
    /// `a | b`
    or(a, b) = v128_or(a, b);
    /// `a − b`
    sub_i8(a, b) = i8x16_sub(a, b);
    /// `a − b`
    sub_i16(a, b) = i16x8_sub(a, b);
    /// The low halves of `a · b`.
    mul_i16(a, b) = i16x8_mul(a, b);
    /// `a · b`, neighbours added up in an i32.
    dot_i16(a, b) = i32x4_dot_i16x8(a, b);
    /// `a + b`
    add_i32(a, b) = i32x4_add(a, b);
    /// All ones where equal, else zeros.
    equal_i32(a, b) = i32x4_eq(a, b);
    /// The larger of both.
    max_i32(a, b) = i32x4_max(a, b);
    /// Those of `a`, then those of `b`, as 16-bit integers, the nearest where they do not fit.
    narrow_i32(a, b) = i16x8_narrow_i32x4(a, b);
    /// `a + b`
    add_f32(a, b) = f32x4_add(a, b);
    /// `a · b`
    mul_f32(a, b) = f32x4_mul(a, b);
    /// The nearest floats.
    i32_to_f32(a) = f32x4_convert_i32x4(a);
    /// Elements 0 to 7 as 16-bit integers.
    low_u8(a) = u16x8_extend_low_u8x16(a);
    /// Elements 8 to 15 as 16-bit integers.
    high_u8(a) = u16x8_extend_high_u8x16(a);
    /// Elements 0 to 7 as 16-bit integers.
    low_i8(a) = i16x8_extend_low_i8x16(a);
    /// Elements 8 to 15 as 16-bit integers.
    high_i8(a) = i16x8_extend_high_i8x16(a);
    /// `a0 b0 a1 b1`
    zip_low_32(a, b) = i32x4_shuffle::<0, 4, 1, 5>(a, b);
    /// `a2 b2 a3 b3`
    zip_high_32(a, b) = i32x4_shuffle::<2, 6, 3, 7>(a, b);
    /// `a0 a1 b0 b1`
    zip_low_64(a, b) = i64x2_shuffle::<0, 2>(a, b);
    /// `a2 a3 b2 b3`
    zip_high_64(a, b) = i64x2_shuffle::<1, 3>(a, b);
}

/// `a << N`
#[inline(always)]
pub fn shl_u16<const N: i32>(a: V) -> V {
    u16x8_shl(a, N as u32)
}

/// `a >> N`
#[inline(always)]
pub fn shr_u16<const N: i32>(a: V) -> V {
    u16x8_shr(a, N as u32)
}

/// `a << N`
#[inline(always)]
pub fn shl_i32<const N: i32>(a: V) -> V {
    i32x4_shl(a, N as u32)
}

/// Sixteen times `x`.
#[inline(always)]
pub fn splat_u8(x: u8) -> V {
    u8x16_splat(x)
}

/// Eight times `x`.
#[inline(always)]
pub fn splat_i16(x: i16) -> V {
    i16x8_splat(x)
}

/// Four times `x`.
#[inline(always)]
pub fn splat_i32(x: i32) -> V {
    i32x4_splat(x)
}

/// Four times `x`.
#[inline(always)]
pub fn splat_f32(x: f32) -> V {
    f32x4_splat(x)
}

/// Four times both of `x`.
#[inline(always)]
pub fn splat_pair(x: &[i16; 2]) -> V {
    // SAFETY: four bytes are read, and `x` has them.
    unsafe { v128_load32_splat(x.as_ptr().cast()) }
}

/// `x`
#[inline(always)]
pub fn load_u8(x: &[u8; 16]) -> V {
    // SAFETY: sixteen bytes are read, and `x` has them.
    unsafe { v128_load(x.as_ptr().cast()) }
}

/// `x`
#[inline(always)]
pub fn load_i16(x: &[i16; 8]) -> V {
    // SAFETY: sixteen bytes are read, and `x` has them.
    unsafe { v128_load(x.as_ptr().cast()) }
}

/// `x`
#[inline(always)]
pub fn load_f32(x: &[f32; 4]) -> V {
    // SAFETY: sixteen bytes are read, and `x` has them.
    unsafe { v128_load(x.as_ptr().cast()) }
}

/// Little-endian 16-bit integers as 32-bit ones.
#[inline(always)]
pub fn extend_i16([a, b, c, d]: [&[u8; 2]; 4]) -> V {
    let v = i32x4_splat(0);
    // SAFETY: two bytes are read of each, and they have them.
    let v = unsafe {
        let v = v128_load16_lane::<0>(v, a.as_ptr().cast());
        let v = v128_load16_lane::<1>(v, b.as_ptr().cast());
        let v = v128_load16_lane::<2>(v, c.as_ptr().cast());
        v128_load16_lane::<3>(v, d.as_ptr().cast())
    };
    i32x4_extend_low_i16x8(v)
}

/// Stores `v`.
#[inline(always)]
pub fn store_i16(x: &mut [i16; 8], v: V) {
    // SAFETY: sixteen bytes are written, and `x` has them.
    unsafe { v128_store(x.as_mut_ptr().cast(), v) }
}

/// Stores `v`.
#[inline(always)]
pub fn store_f32(x: &mut [f32; 4], v: V) {
    // SAFETY: sixteen bytes are written, and `x` has them.
    unsafe { v128_store(x.as_mut_ptr().cast(), v) }
}
