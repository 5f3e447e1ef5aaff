//! What the products need of a machine: one vector of 128 bits, as four 32-bit lanes or eight 16-bit halves of lanes.

use bytemuck::Pod;

/// A vector. Integer operations wrap; float operations round as single ones do, so all implementations give the same
/// bits.
pub trait Lanes: Copy {
    /// The same bits in all lanes.
    fn splat(bits: u32) -> Self;

    /// Sixteen bytes, whatever they hold.
    fn load<T: Pod, const N: usize>(from: &[T; N]) -> Self;

    /// The reverse of [`Lanes::load`].
    fn store<T: Pod, const N: usize>(self, to: &mut [T; N]);

    /// In each lane the sum of the two products of its signed halves.
    fn dot(self, other: Self) -> Self;

    /// Adds lanes.
    fn add(self, other: Self) -> Self;

    /// The low half of the products of halves.
    fn mul_halves(self, other: Self) -> Self;

    /// Both bits set.
    fn and(self, other: Self) -> Self;

    /// Either bit set.
    fn or(self, other: Self) -> Self;

    /// Halves, shifted towards their high end and filled with zeros.
    fn left<const BITS: u32>(self) -> Self;

    /// Halves, shifted towards their low end and filled with zeros.
    fn right<const BITS: u32>(self) -> Self;

    /// Lanes, shifted towards their high end and filled with zeros.
    fn left_lanes<const BITS: u32>(self) -> Self;

    /// Bytes, each as a half: the first eight, the last eight.
    fn widen(self) -> [Self; 2];

    /// Signed lanes as floats.
    fn to_f32(self) -> Self;

    /// Adds float lanes.
    fn add_f32(self, other: Self) -> Self;

    /// Multiplies float lanes.
    fn mul_f32(self, other: Self) -> Self;

    /// Lane `j` of row `i` becomes lane `i` of row `j`.
    fn transpose(rows: [Self; 4]) -> [Self; 4];

    /// A float in all lanes.
    #[inline(always)]
    fn splat_f32(x: f32) -> Self {
        Self::splat(x.to_bits())
    }

    /// In lane `i` the sum of the lanes of row `i`.
    #[inline(always)]
    fn totals(rows: [Self; 4]) -> Self {
        let [a, b, c, d] = Self::transpose(rows);
        a.add(b).add(c.add(d))
    }
}

/// For the assertion that an array is one vector.
pub const fn is_vector<T, const N: usize>() -> bool {
    size_of::<[T; N]>() == 16
}
