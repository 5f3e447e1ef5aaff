//! Quantised weights as 16-bit integers with a scale, and for some types an offset, per 32 (layouts: `formats::quant`).
//!
//! Exact but for one rounding of a scale times a sub-block's scale. |value| is at most 4096 (Q6_K: −32 · −128).

use super::vector::{
    V, and, f16_to_f32, f32s, high_i8, high_u8, load_f32, load_i16, load_u8, low_i8, low_u8, mul_i16, or, shl_u16,
    shr_u16, splat_f32, splat_i16, splat_u8, sub_i8, sub_i16,
};
use crate::formats::quant::scale_min;

/// Elements that share a scale.
pub const BLOCK: usize = 32;

/// A type whose blocks in the file are `N` bytes.
pub trait Quantised<const N: usize> {
    /// Blocks of 32 that one of the file's holds: 1 or 8.
    const BLOCKS: usize = 1;
    /// Whether there are offsets.
    const AFFINE: bool = false;

    /// Values of block `I`: eight 16-bit integers a vector.
    fn values<const I: usize>(block: &[u8; N]) -> [V; 4];

    /// The scales of block `I` of four rows.
    fn scales<const I: usize>(rows: &[[u8; N]; 4]) -> V;

    /// What four rows add to every element of block `I`.
    #[inline(always)]
    fn offsets<const I: usize>(_rows: &[[u8; N]; 4]) -> V {
        splat_f32(0.0)
    }
}

/// Declares the types.
macro_rules! types {
    ($($name:ident)*) => {
        $(#[doc = concat!("GGML's ", stringify!($name), ".")] #[allow(non_camel_case_types, reason = "the names are GGML's own")] pub struct $name;)*
    };
}

types!(Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q4_K Q5_K Q6_K);

impl Quantised<18> for Q4_0 {
    #[inline(always)]
    fn values<const I: usize>(block: &[u8; 18]) -> [V; 4] {
        let [low, high] = nibbles(part(block, 2));
        let eight = splat_u8(8);
        signed([sub_i8(low, eight), sub_i8(high, eight)])
    }

    #[inline(always)]
    fn scales<const I: usize>(rows: &[[u8; 18]; 4]) -> V {
        halves(rows, 0)
    }
}

impl Quantised<20> for Q4_1 {
    const AFFINE: bool = true;

    #[inline(always)]
    fn values<const I: usize>(block: &[u8; 20]) -> [V; 4] {
        unsigned(nibbles(part(block, 4)))
    }

    #[inline(always)]
    fn scales<const I: usize>(rows: &[[u8; 20]; 4]) -> V {
        halves(rows, 0)
    }

    #[inline(always)]
    fn offsets<const I: usize>(rows: &[[u8; 20]; 4]) -> V {
        halves(rows, 2)
    }
}

impl Quantised<22> for Q5_0 {
    #[inline(always)]
    fn values<const I: usize>(block: &[u8; 22]) -> [V; 4] {
        fifth_bits(part(block, 2), unsigned(nibbles(part(block, 6)))).map(|v| sub_i16(v, splat_i16(16)))
    }

    #[inline(always)]
    fn scales<const I: usize>(rows: &[[u8; 22]; 4]) -> V {
        halves(rows, 0)
    }
}

impl Quantised<24> for Q5_1 {
    const AFFINE: bool = true;

    #[inline(always)]
    fn values<const I: usize>(block: &[u8; 24]) -> [V; 4] {
        fifth_bits(part(block, 4), unsigned(nibbles(part(block, 8))))
    }

    #[inline(always)]
    fn scales<const I: usize>(rows: &[[u8; 24]; 4]) -> V {
        halves(rows, 0)
    }

    #[inline(always)]
    fn offsets<const I: usize>(rows: &[[u8; 24]; 4]) -> V {
        halves(rows, 2)
    }
}

impl Quantised<34> for Q8_0 {
    #[inline(always)]
    fn values<const I: usize>(block: &[u8; 34]) -> [V; 4] {
        signed([load_u8(part(block, 2)), load_u8(part(block, 18))])
    }

    #[inline(always)]
    fn scales<const I: usize>(rows: &[[u8; 34]; 4]) -> V {
        halves(rows, 0)
    }
}

impl Quantised<144> for Q4_K {
    const BLOCKS: usize = 8;
    const AFFINE: bool = true;

    #[inline(always)]
    fn values<const I: usize>(block: &[u8; 144]) -> [V; 4] {
        unsigned(half_bytes(part(block, 16 + I / 2 * 32), I % 2 == 1))
    }

    #[inline(always)]
    fn scales<const I: usize>(rows: &[[u8; 144]; 4]) -> V {
        sub_scales::<I, _>(rows)
    }

    #[inline(always)]
    fn offsets<const I: usize>(rows: &[[u8; 144]; 4]) -> V {
        sub_minima::<I, _>(rows)
    }
}

impl Quantised<176> for Q5_K {
    const BLOCKS: usize = 8;
    const AFFINE: bool = true;

    #[inline(always)]
    fn values<const I: usize>(block: &[u8; 176]) -> [V; 4] {
        let low = half_bytes(part(block, 48 + I / 2 * 32), I % 2 == 1);
        let high = [load_u8(part(block, 16)), load_u8(part(block, 32))];
        let bit = splat_u8(16);
        unsigned([0, 1].map(|i| or(low[i], and(to_bit_4(high[i], I), bit))))
    }

    #[inline(always)]
    fn scales<const I: usize>(rows: &[[u8; 176]; 4]) -> V {
        sub_scales::<I, _>(rows)
    }

    #[inline(always)]
    fn offsets<const I: usize>(rows: &[[u8; 176]; 4]) -> V {
        sub_minima::<I, _>(rows)
    }
}

impl Quantised<210> for Q6_K {
    const BLOCKS: usize = 8;

    /// Four bits and two, less 32, times the eight-bit scales of 16, so that a scale covers 32.
    #[inline(always)]
    fn values<const I: usize>(block: &[u8; 210]) -> [V; 4] {
        let (half, quarter) = (I / 4, I % 4);
        let low = half_bytes(part(block, half * 64 + quarter % 2 * 32), quarter >= 2);
        let high: &[u8; 32] = part(block, 128 + half * 32);
        let (two, zero) = (splat_u8(0x30), splat_u8(32));
        let q = [0, 1].map(|i| {
            let high = to_bit_4(load_u8(part(high, i * 16)), 2 * quarter);
            sub_i8(or(low[i], and(high, two)), zero)
        });
        let [a, b, c, d] = signed(q);
        let scale = |i: usize| splat_i16(i16::from(block[192 + I * 2 + i] as i8));
        let (first, second) = (scale(0), scale(1));
        [mul_i16(a, first), mul_i16(b, first), mul_i16(c, second), mul_i16(d, second)]
    }

    #[inline(always)]
    fn scales<const I: usize>(rows: &[[u8; 210]; 4]) -> V {
        halves(rows, 208)
    }
}

/// `M` bytes from `at` on.
#[inline(always)]
fn part<const M: usize>(block: &[u8], at: usize) -> &[u8; M] {
    block[at..].first_chunk().expect("a block is longer than any part of it")
}

/// The halves at `at` of four rows.
#[inline(always)]
fn halves<const N: usize>(rows: &[[u8; N]; 4], at: usize) -> V {
    f16_to_f32([part(&rows[0], at), part(&rows[1], at), part(&rows[2], at), part(&rows[3], at)])
}

/// Sixteen bytes as two vectors of bytes: their low halves and their high ones.
#[inline(always)]
fn nibbles(bytes: &[u8; 16]) -> [V; 2] {
    let (bytes, low) = (load_u8(bytes), splat_u8(15));
    [and(bytes, low), and(shr_u16::<4>(bytes), low)]
}

/// The low halves of thirty-two bytes, or the high ones.
#[inline(always)]
fn half_bytes(bytes: &[u8; 32], high: bool) -> [V; 2] {
    [0, 16].map(|at| nibbles(part(bytes, at))[usize::from(high)])
}

/// Bytes with bit `bit` as bit 4, the next as bit 5 (but bit 8 is not there); the other bits may be anything.
#[inline(always)]
fn to_bit_4(bytes: V, bit: usize) -> V {
    match bit {
        0 => shl_u16::<4>(bytes),
        1 => shl_u16::<3>(bytes),
        2 => shl_u16::<2>(bytes),
        3 => shl_u16::<1>(bytes),
        4 => bytes,
        5 => shr_u16::<1>(bytes),
        6 => shr_u16::<2>(bytes),
        _ => shr_u16::<3>(bytes),
    }
}

/// Thirty-two bytes as 16-bit integers.
#[inline(always)]
fn unsigned([a, b]: [V; 2]) -> [V; 4] {
    [low_u8(a), high_u8(a), low_u8(b), high_u8(b)]
}

/// The same of bytes with a sign.
#[inline(always)]
fn signed([a, b]: [V; 2]) -> [V; 4] {
    [low_i8(a), high_i8(a), low_i8(b), high_i8(b)]
}

/// Adds bit `i` of `bits`, worth 16, to value `i`.
#[inline(always)]
fn fifth_bits(bits: &[u8; 4], values: [V; 4]) -> [V; 4] {
    let bits = u32::from_le_bytes(*bits);
    let eight = |v: usize| core::array::from_fn(|i| ((bits >> (8 * v + i) & 1) << 4) as i16);
    [0, 1, 2, 3].map(|v| or(values[v], load_i16(&eight(v))))
}

/// The scales of sub-block `I` of Q4_K and Q5_K.
#[inline(always)]
fn sub_scales<const I: usize, const N: usize>(rows: &[[u8; N]; 4]) -> V {
    let d = f32s(halves(rows, 0));
    load_f32(&[0, 1, 2, 3].map(|r| d[r] * scale_min(&rows[r][4..16], I).0))
}

/// Their minima, which are taken off.
#[inline(always)]
fn sub_minima<const I: usize, const N: usize>(rows: &[[u8; N]; 4]) -> V {
    let d = f32s(halves(rows, 2));
    load_f32(&[0, 1, 2, 3].map(|r| -(d[r] * scale_min(&rows[r][4..16], I).1)))
}
