//! Vectors in plain Rust: the definition of the others, and what targets without a file of their own run.

use core::array::from_fn;

use bytemuck::must_cast;

/// 128 bits, little-endian.
pub type V = [u8; 16];

/// Declares functions of vectors, element by element.
macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident($($x:ident),*): $element:ty = $value:expr;)*) => {
        $($(#[$doc])* #[inline(always)] pub fn $name($($x: V),*) -> V {
            $(let $x: [$element; 16 / size_of::<$element>()] = must_cast($x);)*
            let elements: [$element; 16 / size_of::<$element>()] = from_fn(|i| {
                $(let $x = $x[i];)*
                $value
            });
            must_cast(elements)
        })*
    };
}

functions! {
    /// `a & b`
    and(a, b): u32 = a & b;
    /// `a | b`
    or(a, b): u32 = a | b;
    /// `a − b`
    sub_i8(a, b): i8 = a.wrapping_sub(b);
    /// `a − b`
    sub_i16(a, b): i16 = a.wrapping_sub(b);
    /// The low halves of `a · b`.
    mul_i16(a, b): i16 = a.wrapping_mul(b);
    /// `a + b`
    add_i32(a, b): i32 = a.wrapping_add(b);
    /// All ones where equal, else zeros.
    equal_i32(a, b): i32 = -i32::from(a == b);
    /// The larger of both.
    max_i32(a, b): i32 = a.max(b);
    /// `a + b`
    add_f32(a, b): f32 = a + b;
    /// `a · b`
    mul_f32(a, b): f32 = a * b;
}

/// `a · b`, neighbours added up in an i32.
#[inline(always)]
pub fn dot_i16(a: V, b: V) -> V {
    let (a, b): ([i16; 8], [i16; 8]) = (must_cast(a), must_cast(b));
    let product = |i: usize| i32::from(a[i]) * i32::from(b[i]);
    must_cast(from_fn::<i32, 4, _>(|i| product(2 * i).wrapping_add(product(2 * i + 1))))
}

/// Those of `a`, then those of `b`, as 16-bit integers, the nearest where they do not fit.
#[inline(always)]
pub fn narrow_i32(a: V, b: V) -> V {
    let both: [[i32; 4]; 2] = [must_cast(a), must_cast(b)];
    let nearest = |x: i32| x.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    must_cast(from_fn::<i16, 8, _>(|i| nearest(both[i / 4][i % 4])))
}

/// The nearest floats.
#[inline(always)]
pub fn i32_to_f32(a: V) -> V {
    let a: [i32; 4] = must_cast(a);
    must_cast(a.map(|x| x as f32))
}

/// Elements 0 to 7 as 16-bit integers.
#[inline(always)]
pub fn low_u8(a: V) -> V {
    must_cast(from_fn::<u16, 8, _>(|i| u16::from(a[i])))
}

/// Elements 8 to 15 as 16-bit integers.
#[inline(always)]
pub fn high_u8(a: V) -> V {
    must_cast(from_fn::<u16, 8, _>(|i| u16::from(a[i + 8])))
}

/// Elements 0 to 7 as 16-bit integers.
#[inline(always)]
pub fn low_i8(a: V) -> V {
    must_cast(from_fn::<i16, 8, _>(|i| i16::from(a[i] as i8)))
}

/// Elements 8 to 15 as 16-bit integers.
#[inline(always)]
pub fn high_i8(a: V) -> V {
    must_cast(from_fn::<i16, 8, _>(|i| i16::from(a[i + 8] as i8)))
}

/// Elements of `a` and `b`, from `first` on, in turns.
#[inline(always)]
fn zip_32(a: V, b: V, first: usize) -> V {
    let (a, b): ([u32; 4], [u32; 4]) = (must_cast(a), must_cast(b));
    must_cast([a[first], b[first], a[first + 1], b[first + 1]])
}

/// `a0 b0 a1 b1`
#[inline(always)]
pub fn zip_low_32(a: V, b: V) -> V {
    zip_32(a, b, 0)
}

/// `a2 b2 a3 b3`
#[inline(always)]
pub fn zip_high_32(a: V, b: V) -> V {
    zip_32(a, b, 2)
}

/// `a0 a1 b0 b1`
#[inline(always)]
pub fn zip_low_64(a: V, b: V) -> V {
    let (a, b): ([u64; 2], [u64; 2]) = (must_cast(a), must_cast(b));
    must_cast([a[0], b[0]])
}

/// `a2 a3 b2 b3`
#[inline(always)]
pub fn zip_high_64(a: V, b: V) -> V {
    let (a, b): ([u64; 2], [u64; 2]) = (must_cast(a), must_cast(b));
    must_cast([a[1], b[1]])
}

/// `a << N`
#[inline(always)]
pub fn shl_u16<const N: i32>(a: V) -> V {
    let a: [u16; 8] = must_cast(a);
    must_cast(a.map(|x| x << N))
}

/// `a >> N`
#[inline(always)]
pub fn shr_u16<const N: i32>(a: V) -> V {
    let a: [u16; 8] = must_cast(a);
    must_cast(a.map(|x| x >> N))
}

/// `a << N`
#[inline(always)]
pub fn shl_i32<const N: i32>(a: V) -> V {
    let a: [i32; 4] = must_cast(a);
    must_cast(a.map(|x| x << N))
}

/// Sixteen times `x`.
#[inline(always)]
pub fn splat_u8(x: u8) -> V {
    [x; 16]
}

/// Eight times `x`.
#[inline(always)]
pub fn splat_i16(x: i16) -> V {
    must_cast([x; 8])
}

/// Four times `x`.
#[inline(always)]
pub fn splat_i32(x: i32) -> V {
    must_cast([x; 4])
}

/// Four times `x`.
#[inline(always)]
pub fn splat_f32(x: f32) -> V {
    must_cast([x; 4])
}

/// Four times both of `x`.
#[inline(always)]
pub fn splat_pair(x: &[i16; 2]) -> V {
    must_cast([*x; 4])
}

/// `x`
#[inline(always)]
pub fn load_u8(x: &[u8; 16]) -> V {
    *x
}

/// `x`
#[inline(always)]
pub fn load_i16(x: &[i16; 8]) -> V {
    must_cast(*x)
}

/// `x`
#[inline(always)]
pub fn load_f32(x: &[f32; 4]) -> V {
    must_cast(*x)
}

/// Little-endian 16-bit integers as 32-bit ones.
#[inline(always)]
pub fn extend_i16(x: [&[u8; 2]; 4]) -> V {
    must_cast(x.map(|x| i32::from(i16::from_le_bytes(*x))))
}

/// Stores `v`.
#[inline(always)]
pub fn store_i16(x: &mut [i16; 8], v: V) {
    *x = must_cast(v);
}

/// Stores `v`.
#[inline(always)]
pub fn store_f32(x: &mut [f32; 4], v: V) {
    *x = must_cast(v);
}
