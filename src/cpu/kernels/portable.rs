//! [`Lanes`] in plain Rust: the reference of the others, and what targets without a file of their own run.

use bytemuck::{Pod, bytes_of, cast, pod_read_unaligned};

use super::lanes::{Lanes, is_vector};

/// The bits of four 32-bit lanes.
#[derive(Clone, Copy)]
pub struct Portable([u32; 4]);

impl Portable {
    fn halves(self) -> [i16; 8] {
        cast(self.0)
    }

    fn zip(self, other: Self, f: impl Fn(u32, u32) -> u32) -> Self {
        Self(std::array::from_fn(|l| f(self.0[l], other.0[l])))
    }
}

impl Lanes for Portable {
    fn splat(bits: u32) -> Self {
        Self([bits; 4])
    }

    fn load<T: Pod, const N: usize>(from: &[T; N]) -> Self {
        const { assert!(is_vector::<T, N>()) };
        Self(pod_read_unaligned(bytemuck::cast_slice(from)))
    }

    fn store<T: Pod, const N: usize>(self, to: &mut [T; N]) {
        const { assert!(is_vector::<T, N>()) };
        bytemuck::cast_slice_mut(to).copy_from_slice(bytes_of(&self.0));
    }

    fn dot(self, other: Self) -> Self {
        let (a, b) = (self.halves(), other.halves());
        let product = |i: usize| a[i] as i32 * b[i] as i32;
        Self(std::array::from_fn(|l| product(2 * l).wrapping_add(product(2 * l + 1)) as u32))
    }

    fn add(self, other: Self) -> Self {
        self.zip(other, u32::wrapping_add)
    }

    fn mul_halves(self, other: Self) -> Self {
        let (a, b) = (self.halves(), other.halves());
        Self(cast::<[i16; 8], _>(std::array::from_fn(|i| a[i].wrapping_mul(b[i]))))
    }

    fn and(self, other: Self) -> Self {
        self.zip(other, |a, b| a & b)
    }

    fn or(self, other: Self) -> Self {
        self.zip(other, |a, b| a | b)
    }

    fn left<const BITS: u32>(self) -> Self {
        Self(cast(self.halves().map(|h| h << BITS)))
    }

    fn right<const BITS: u32>(self) -> Self {
        Self(cast(self.halves().map(|h| h as u16 >> BITS)))
    }

    fn left_lanes<const BITS: u32>(self) -> Self {
        Self(self.0.map(|x| x << BITS))
    }

    fn widen(self) -> [Self; 2] {
        let bytes: [u8; 16] = cast(self.0);
        [0, 8].map(|first| Self(cast::<[u16; 8], _>(std::array::from_fn(|i| bytes[first + i] as u16))))
    }

    fn to_f32(self) -> Self {
        Self(self.0.map(|x| (x as i32 as f32).to_bits()))
    }

    fn add_f32(self, other: Self) -> Self {
        self.zip(other, |a, b| (f32::from_bits(a) + f32::from_bits(b)).to_bits())
    }

    fn mul_f32(self, other: Self) -> Self {
        self.zip(other, |a, b| (f32::from_bits(a) * f32::from_bits(b)).to_bits())
    }

    fn transpose(rows: [Self; 4]) -> [Self; 4] {
        std::array::from_fn(|j| Self(rows.map(|row| row.0[j])))
    }
}
