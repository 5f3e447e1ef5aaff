//! Vectors of 128 bits: one file for each instruction set, with the same functions, which give the same bits.
//!
//! A vector has no element type; a function's name says what it takes it for: `u8`, `i8` (sixteen elements), `u16`, `i16`
//! (eight), `i32` or `f32` (four).

#[cfg(any(test, not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128")))))]
mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;
#[cfg(target_arch = "x86_64")]
mod sse2;

#[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
pub use portable::*;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub use simd128::*;
#[cfg(target_arch = "x86_64")]
pub use sse2::*;

/// Element `j` of vector `i` of the result is element `i` of vector `j`, of 32 bits each.
#[inline(always)]
pub fn transpose_32([a, b, c, d]: [V; 4]) -> [V; 4] {
    let (ab, cd) = (zip_low_32(a, b), zip_low_32(c, d));
    let (ab_high, cd_high) = (zip_high_32(a, b), zip_high_32(c, d));
    [zip_low_64(ab, cd), zip_high_64(ab, cd), zip_low_64(ab_high, cd_high), zip_high_64(ab_high, cd_high)]
}

/// 32 integers in four vectors.
#[inline(always)]
pub fn load_block(x: &[i16; 32]) -> [V; 4] {
    let (x, _) = x.as_chunks::<8>();
    [load_i16(&x[0]), load_i16(&x[1]), load_i16(&x[2]), load_i16(&x[3])]
}

/// Four rows of 32 integers, each in four vectors, with the rows side by side: `store` is given every pair of all rows, `[4 rows][2]`.
#[inline(always)]
pub fn lay_side_by_side([a, b, c, d]: [[V; 4]; 4], mut store: impl FnMut(usize, V)) {
    let mut four = |v: usize| {
        let [first, second, third, fourth] = transpose_32([a[v], b[v], c[v], d[v]]);
        store(4 * v, first);
        store(4 * v + 1, second);
        store(4 * v + 2, third);
        store(4 * v + 3, fourth);
    };
    four(0);
    four(1);
    four(2);
    four(3);
}

/// The elements of a vector.
#[inline(always)]
pub fn f32s(v: V) -> [f32; 4] {
    let mut elements = [0.0; 4];
    store_f32(&mut elements, v);
    elements
}

/// Element `i` is the sum of the elements of vector `i`.
#[inline(always)]
pub fn sums_i32([a, b, c, d]: [V; 4]) -> V {
    let ab = add_i32(zip_low_32(a, b), zip_high_32(a, b));
    let cd = add_i32(zip_low_32(c, d), zip_high_32(c, d));
    add_i32(zip_low_64(ab, cd), zip_high_64(ab, cd))
}

/// Numbers of 16 bits, little-endian, as f32. Shifting exponent and fraction into place and multiplying by 2¹¹² is exact for every
/// finite number; infinity and NaN have an exponent of all ones in both.
#[inline(always)]
pub fn f16_to_f32(halves: [&[u8; 2]; 4]) -> V {
    let shifted = and(shl_i32::<13>(extend_i16(halves)), splat_i32(0x8fff_e000_u32 as i32));
    let exponent = splat_i32(0x0f80_0000);
    let special = and(equal_i32(and(shifted, exponent), exponent), splat_i32(0x7f80_0000));
    or(mul_f32(shifted, splat_f32(f32::from_bits((112 + 127) << 23))), special)
}

#[cfg(test)]
mod tests {
    use super::portable;

    /// Bytes of every kind, floats among them.
    fn vectors() -> Vec<[u8; 16]> {
        let mut state = 1u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let mut vectors: Vec<[u8; 16]> = (0..50).map(|_| [0; 16].map(|_| byte())).collect();
        vectors.extend([[0; 16], [0xff; 16], [0x80; 16], [0x7f; 16]]);
        vectors.push(
            [[0, 0, 0x80, 0x3f], [0, 0, 0, 0xc0], [1, 2, 3, 0x40], [9, 8, 7, 0xbd]].concat().try_into().expect("16"),
        );
        vectors
    }

    fn floats_of(v: super::V) -> [u32; 4] {
        super::f32s(v).map(f32::to_bits)
    }

    fn portable_floats_of(v: portable::V) -> [u32; 4] {
        let mut floats = [0.0; 4];
        portable::store_f32(&mut floats, v);
        floats.map(f32::to_bits)
    }

    macro_rules! same {
        ($a:expr, $b:expr; $($function:ident),*) => {
            $(assert_eq!(
                floats_of(super::$function(super::load_u8($a), super::load_u8($b))),
                portable_floats_of(portable::$function(portable::load_u8($a), portable::load_u8($b))),
                "{} of {:?} and {:?}", stringify!($function), $a, $b
            );)*
        };
        ($a:expr; $($function:expr, $portable:expr);*) => {
            $(assert_eq!(
                floats_of($function(super::load_u8($a))),
                portable_floats_of($portable(portable::load_u8($a))),
                "{} of {:?}", stringify!($function), $a
            );)*
        };
    }

    #[test]
    fn every_function_of_this_target_gives_the_bits_of_the_portable_one() {
        let vectors = vectors();
        for a in &vectors {
            for b in &vectors {
                same!(a, b; and, or, sub_i8, sub_i16, mul_i16, dot_i16, add_i32, equal_i32, max_i32, narrow_i32, zip_low_32, zip_high_32, zip_low_64, zip_high_64);
            }
            same!(a; super::low_u8, portable::low_u8; super::high_u8, portable::high_u8; super::low_i8, portable::low_i8;
                super::high_i8, portable::high_i8; super::shr_u16::<4>, portable::shr_u16::<4>; super::shl_u16::<2>, portable::shl_u16::<2>;
                super::shl_i32::<13>, portable::shl_i32::<13>; super::i32_to_f32, portable::i32_to_f32);
            let [b0, b1, ..] = *a;
            same!(a; |_| super::splat_u8(b0), |_| portable::splat_u8(b0);
                |_| super::splat_i16(i16::from_le_bytes([b0, b1])), |_| portable::splat_i16(i16::from_le_bytes([b0, b1]));
                |_| super::splat_pair(&[b0 as i16, -7]), |_| portable::splat_pair(&[b0 as i16, -7]);
                |_| super::splat_i32(i32::from(b0) - 99), |_| portable::splat_i32(i32::from(b0) - 99);
                |_| super::load_i16(&[1, -2, 3, -4, 5, -6, 7, b0 as i16]), |_| portable::load_i16(&[1, -2, 3, -4, 5, -6, 7, b0 as i16]);
                |_| super::extend_i16([&[b0, b1], &[1, 2], &[3, 0xff], &[0, 0x80]]),
                |_| portable::extend_i16([&[b0, b1], &[1, 2], &[3, 0xff], &[0, 0x80]]));
            let (x, y) = ([1.5, -2.25, f32::from(b0), 1e-20], [0.1, f32::from(b1), -3.0, 1e20]);
            same!(a; |_| super::add_f32(super::load_f32(&x), super::splat_f32(y[1])), |_| portable::add_f32(portable::load_f32(&x), portable::splat_f32(y[1]));
                |_| super::mul_f32(super::load_f32(&x), super::load_f32(&y)), |_| portable::mul_f32(portable::load_f32(&x), portable::load_f32(&y)));
            let (mut stored, mut expected) = ([0; 8], [0; 8]);
            super::store_i16(&mut stored, super::load_u8(a));
            portable::store_i16(&mut expected, portable::load_u8(a));
            assert_eq!(stored, expected);
        }
    }

    #[test]
    fn every_f16_converts_exactly() {
        for bits in 0..=u16::MAX {
            let expected = half::f16::from_bits(bits).to_f32();
            let one = &bits.to_le_bytes();
            for got in floats_of(super::f16_to_f32([one, one, one, one])) {
                assert!(got == expected.to_bits() || f32::from_bits(got).is_nan() && expected.is_nan(), "{bits:#x}");
            }
        }
    }

    #[test]
    fn vectors_are_transposed_and_their_elements_added_up() {
        let rows = [0, 1, 2, 3].map(|r| super::load_i16(&[r * 4, 0, r * 4 + 1, 0, r * 4 + 2, 0, r * 4 + 3, 0]));
        let floats = |v| floats_of(super::i32_to_f32(v)).map(f32::from_bits);
        assert_eq!(super::transpose_32(rows).map(floats)[1], [1.0, 5.0, 9.0, 13.0]);
        assert_eq!(floats(super::sums_i32(rows)), [6.0, 22.0, 38.0, 54.0]);
    }
}
