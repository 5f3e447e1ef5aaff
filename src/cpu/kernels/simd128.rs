//! [`Lanes`] on WebAssembly's 128-bit vectors.

use core::arch::wasm32::{
    f32x4_add, f32x4_convert_i32x4, f32x4_mul, i16x8_mul, i16x8_shl, i32x4_add, i32x4_dot_i16x8, i32x4_shl,
    i32x4_shuffle, u16x8_extend_high_u8x16, u16x8_extend_low_u8x16, u16x8_shr, u32x4_splat, v128, v128_and, v128_load,
    v128_or, v128_store,
};

use bytemuck::Pod;

use super::lanes::{Lanes, is_vector};

impl Lanes for v128 {
    #[inline(always)]
    fn splat(bits: u32) -> Self {
        u32x4_splat(bits)
    }

    #[inline(always)]
    fn load<T: Pod, const N: usize>(from: &[T; N]) -> Self {
        const { assert!(is_vector::<T, N>()) };
        // SAFETY: the array is 16 bytes without padding; no alignment is needed.
        unsafe { v128_load(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store<T: Pod, const N: usize>(self, to: &mut [T; N]) {
        const { assert!(is_vector::<T, N>()) };
        // SAFETY: the array is 16 bytes that may hold any bits; no alignment is needed.
        unsafe { v128_store(to.as_mut_ptr().cast(), self) }
    }

    #[inline(always)]
    fn dot(self, other: Self) -> Self {
        i32x4_dot_i16x8(self, other)
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        i32x4_add(self, other)
    }

    #[inline(always)]
    fn mul_halves(self, other: Self) -> Self {
        i16x8_mul(self, other)
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        v128_and(self, other)
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        v128_or(self, other)
    }

    #[inline(always)]
    fn left<const BITS: u32>(self) -> Self {
        i16x8_shl(self, BITS)
    }

    #[inline(always)]
    fn right<const BITS: u32>(self) -> Self {
        u16x8_shr(self, BITS)
    }

    #[inline(always)]
    fn left_lanes<const BITS: u32>(self) -> Self {
        i32x4_shl(self, BITS)
    }

    #[inline(always)]
    fn widen(self) -> [Self; 2] {
        [u16x8_extend_low_u8x16(self), u16x8_extend_high_u8x16(self)]
    }

    #[inline(always)]
    fn to_f32(self) -> Self {
        f32x4_convert_i32x4(self)
    }

    #[inline(always)]
    fn add_f32(self, other: Self) -> Self {
        f32x4_add(self, other)
    }

    #[inline(always)]
    fn mul_f32(self, other: Self) -> Self {
        f32x4_mul(self, other)
    }

    #[inline(always)]
    fn transpose([a, b, c, d]: [Self; 4]) -> [Self; 4] {
        let (low_ab, high_ab) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b));
        let (low_cd, high_cd) = (i32x4_shuffle::<0, 4, 1, 5>(c, d), i32x4_shuffle::<2, 6, 3, 7>(c, d));
        [
            i32x4_shuffle::<0, 1, 4, 5>(low_ab, low_cd),
            i32x4_shuffle::<2, 3, 6, 7>(low_ab, low_cd),
            i32x4_shuffle::<0, 1, 4, 5>(high_ab, high_cd),
            i32x4_shuffle::<2, 3, 6, 7>(high_ab, high_cd),
        ]
    }
}
