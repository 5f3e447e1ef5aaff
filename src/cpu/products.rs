//! Products of four rows of quantised weights with activations: of one token straight from the file's blocks, of several from
//! weights that have been unpacked once for all of them.
//!
//! A product is the same however it is computed: the products of a block of 32 add up exactly, as an integer, which times both
//! scales is added to the sum in f32, block after block; an offset times the sum of the block's activations comes next. An
//! integer cannot overflow: 32 · 4096 · 16383 < 2³¹ (`quant`, `activations`).

use super::activations::{Eight, Row, Tokens};
use super::quant::{BLOCK, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0, Quantised};
use super::vector::{
    V, add_f32, add_i32, dot_i16, f32s, i32_to_f32, lay_side_by_side, load_block, load_f32, load_i16, mul_f32,
    splat_f32, splat_i32, splat_pair, store_i16, sums_i32, transpose_32,
};
use crate::formats::DType;

/// Rows that are computed together. Their blocks lie side by side: first block of each, second block of each, and so on.
pub const ROWS: usize = 4;

/// What to do with four rows of a type.
#[derive(Clone, Copy)]
pub struct Products {
    /// Their products with one token.
    pub with_one: fn(&[u8], Row) -> [f32; ROWS],
    /// Unpacks them for [`Unpacked::multiply`].
    pub unpack: fn(&[u8], &mut Unpacked),
}

impl Products {
    /// None for float types.
    pub fn of(dtype: DType) -> Option<Self> {
        match dtype {
            DType::F32 | DType::F16 | DType::BF16 => None,
            DType::Q4_0 => Some(Self::new::<Q4_0, _>()),
            DType::Q4_1 => Some(Self::new::<Q4_1, _>()),
            DType::Q5_0 => Some(Self::new::<Q5_0, _>()),
            DType::Q5_1 => Some(Self::new::<Q5_1, _>()),
            DType::Q8_0 => Some(Self::new::<Q8_0, _>()),
            DType::Q4_K => Some(Self::new::<Q4_K, _>()),
            DType::Q5_K => Some(Self::new::<Q5_K, _>()),
            DType::Q6_K => Some(Self::new::<Q6_K, _>()),
        }
    }

    fn new<T: Quantised<N>, const N: usize>() -> Self {
        Self { with_one: with_one::<T, N>, unpack: unpack::<T, N> }
    }
}

fn with_one<T: Quantised<N>, const N: usize>(rows: &[u8], x: Row) -> [f32; ROWS] {
    let (blocks, rest) = rows.as_chunks::<N>();
    let (rows, _) = blocks.as_chunks::<ROWS>();
    assert!(rest.is_empty() && x.values.len() == rows.len() * T::BLOCKS, "rows of different lengths");
    let mut sum = splat_f32(0.0);
    if T::BLOCKS == 1 {
        for (((rows, values), scale), total) in rows.iter().zip(x.values).zip(x.scales).zip(x.sums) {
            sum = with_block::<T, N, 0>(rows, values, *scale, *total, sum);
        }
    } else {
        let (values, scales, totals) =
            (x.values.as_chunks::<8>().0, x.scales.as_chunks::<8>().0, x.sums.as_chunks::<8>().0);
        for (((rows, x), s), t) in rows.iter().zip(values).zip(scales).zip(totals) {
            sum = with_block::<T, N, 0>(rows, &x[0], s[0], t[0], sum);
            sum = with_block::<T, N, 1>(rows, &x[1], s[1], t[1], sum);
            sum = with_block::<T, N, 2>(rows, &x[2], s[2], t[2], sum);
            sum = with_block::<T, N, 3>(rows, &x[3], s[3], t[3], sum);
            sum = with_block::<T, N, 4>(rows, &x[4], s[4], t[4], sum);
            sum = with_block::<T, N, 5>(rows, &x[5], s[5], t[5], sum);
            sum = with_block::<T, N, 6>(rows, &x[6], s[6], t[6], sum);
            sum = with_block::<T, N, 7>(rows, &x[7], s[7], t[7], sum);
        }
    }
    f32s(sum)
}

/// `sum` and the product of block `I`.
#[inline(always)]
fn with_block<T: Quantised<N>, const N: usize, const I: usize>(
    rows: &[[u8; N]; ROWS],
    x: &[i16; BLOCK],
    scale: f32,
    total: f32,
    sum: V,
) -> V {
    let x = load_block(x);
    // Written out, because a loop over rows would keep them in memory.
    let row = |row: &[u8; N]| {
        let [a, b, c, d] = T::values::<I>(row);
        add_i32(add_i32(dot_i16(a, x[0]), dot_i16(b, x[1])), add_i32(dot_i16(c, x[2]), dot_i16(d, x[3])))
    };
    let products = sums_i32([row(&rows[0]), row(&rows[1]), row(&rows[2]), row(&rows[3])]);
    let sum = add_f32(sum, mul_f32(i32_to_f32(products), mul_f32(T::scales::<I>(rows), splat_f32(scale))));
    if T::AFFINE { add_f32(sum, mul_f32(T::offsets::<I>(rows), splat_f32(total))) } else { sum }
}

/// Four rows of weights, reused for all of a product's.
#[derive(Default)]
pub struct Unpacked {
    /// `[blocks][16 pairs][4 rows][2]`
    values: Vec<[[i16; 8]; BLOCK / 2]>,
    /// `[blocks][4 rows]`
    scales: Vec<[f32; ROWS]>,
    /// The same; empty for types without.
    offsets: Vec<[f32; ROWS]>,
}

fn unpack<T: Quantised<N>, const N: usize>(rows: &[u8], to: &mut Unpacked) {
    let (rows, _) = rows.as_chunks::<N>().0.as_chunks::<ROWS>();
    let blocks = rows.len() * T::BLOCKS;
    to.values.resize(blocks, [[0; 8]; BLOCK / 2]);
    to.scales.resize(blocks, [0.0; ROWS]);
    to.offsets.resize(if T::AFFINE { blocks } else { 0 }, [0.0; ROWS]);
    for (b, rows) in rows.iter().enumerate() {
        let b = T::BLOCKS * b;
        unpack_block::<T, N, 0>(rows, to, b);
        if T::BLOCKS == 8 {
            unpack_block::<T, N, 1>(rows, to, b + 1);
            unpack_block::<T, N, 2>(rows, to, b + 2);
            unpack_block::<T, N, 3>(rows, to, b + 3);
            unpack_block::<T, N, 4>(rows, to, b + 4);
            unpack_block::<T, N, 5>(rows, to, b + 5);
            unpack_block::<T, N, 6>(rows, to, b + 6);
            unpack_block::<T, N, 7>(rows, to, b + 7);
        }
    }
}

#[inline(always)]
fn unpack_block<T: Quantised<N>, const N: usize, const I: usize>(rows: &[[u8; N]; ROWS], to: &mut Unpacked, b: usize) {
    let [first, second, third, fourth] = rows;
    let values = [T::values::<I>(first), T::values::<I>(second), T::values::<I>(third), T::values::<I>(fourth)];
    let pairs = &mut to.values[b];
    lay_side_by_side(values, |pair, rows| store_i16(&mut pairs[pair], rows));
    to.scales[b] = f32s(T::scales::<I>(rows));
    if T::AFFINE {
        to.offsets[b] = f32s(T::offsets::<I>(rows));
    }
}

impl Unpacked {
    /// Makes room for so many blocks of a row.
    pub fn reserve(&mut self, blocks: usize) {
        self.values.reserve(blocks.saturating_sub(self.values.len()));
        self.scales.reserve(blocks.saturating_sub(self.scales.len()));
        self.offsets.reserve(blocks.saturating_sub(self.offsets.len()));
    }

    /// Calls `take` with the index of each four tokens and their products with the rows: `[token][row]`.
    pub fn multiply(&self, x: &Tokens, mut take: impl FnMut(usize, [[f32; ROWS]; 4])) {
        let fours = x.fours();
        for eight in 0..fours / 2 {
            let [first, second] = self.products(x.eight(eight));
            take(2 * eight, first);
            take(2 * eight + 1, second);
        }
        if fours % 2 == 1 {
            let [products] = self.products(x.eight(fours / 2));
            take(fours - 1, products);
        }
    }

    fn products<const F: usize>(&self, x: Eight) -> [[[f32; ROWS]; 4]; F] {
        if self.offsets.is_empty() { self.tile::<F, false>(x) } else { self.tile::<F, true>(x) }
    }

    /// Products of the rows with the first `F` fours of eight tokens: `[F][token][row]`.
    #[inline(never)]
    fn tile<const F: usize, const AFFINE: bool>(&self, x: Eight) -> [[[f32; ROWS]; 4]; F] {
        let mut sums = [[splat_f32(0.0); ROWS]; F];
        let mut totals = self.offsets.iter().zip(x.sums);
        for (((weights, scales), x), x_scales) in self.values.iter().zip(&self.scales).zip(x.values).zip(x.scales) {
            let mut products = [[splat_i32(0); ROWS]; F];
            for (weights, x) in weights.iter().zip(x) {
                let (weights, _) = weights.as_chunks::<2>();
                for r in 0..ROWS {
                    let weight = splat_pair(&weights[r]);
                    for f in 0..F {
                        products[f][r] = add_i32(products[f][r], dot_i16(weight, load_i16(&x[f])));
                    }
                }
            }
            for f in 0..F {
                for r in 0..ROWS {
                    let scale = mul_f32(splat_f32(scales[r]), load_f32(&x_scales[f]));
                    sums[f][r] = add_f32(sums[f][r], mul_f32(i32_to_f32(products[f][r]), scale));
                }
            }
            if AFFINE && let Some((offsets, totals)) = totals.next() {
                for f in 0..F {
                    for r in 0..ROWS {
                        let offset = mul_f32(splat_f32(offsets[r]), load_f32(&totals[f]));
                        sums[f][r] = add_f32(sums[f][r], offset);
                    }
                }
            }
        }
        sums.map(|sums| transpose_32(sums).map(f32s))
    }
}

#[cfg(test)]
pub mod tests {
    use super::{Products, ROWS, Unpacked};
    use crate::cpu::activations::Activations;
    use crate::formats::DType;
    use crate::formats::quant::dequantize;

    /// Blocks of pseudo-random bytes with finite f16 scales.
    pub fn random_blocks(dtype: DType, columns: usize, seed: u32) -> Vec<u8> {
        let mut state = seed;
        let mut bytes: Vec<u8> = (0..columns / dtype.block_elements() * dtype.block_bytes())
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let halves: &[usize] = match dtype {
            DType::Q4_1 | DType::Q5_1 | DType::Q4_K | DType::Q5_K => &[1, 3],
            DType::Q6_K => &[209],
            _ => &[1],
        };
        for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
            for &at in halves {
                block[at] = block[at] & 0x83 | 0x20;
            }
        }
        bytes
    }

    fn quantised() -> impl Iterator<Item = (DType, Products)> {
        DType::ALL.into_iter().filter_map(|dtype| Some((dtype, Products::of(dtype)?)))
    }

    /// What the module says a product is, of the first row.
    fn product(unpacked: &Unpacked, x: &Activations) -> f32 {
        let x = x.one().expect("a token");
        let mut sum = 0.0;
        for (b, values) in x.values.iter().enumerate() {
            let integer: i32 =
                (0..32).map(|i| i32::from(unpacked.values[b][i / 2][i % 2]) * i32::from(values[i])).sum();
            sum += integer as f32 * (unpacked.scales[b][0] * x.scales[b]);
            if let Some(offset) = unpacked.offsets.get(b) {
                sum += offset[0] * x.sums[b];
            }
        }
        sum
    }

    #[test]
    fn products_of_every_type_have_the_bits_of_their_definition_with_one_token_and_with_several() {
        for (dtype, products) in quantised() {
            let columns = 1280;
            let rows = random_blocks(dtype, ROWS * columns, 5);
            let mut unpacked = Unpacked::default();
            (products.unpack)(&rows, &mut unpacked);
            for tokens in [1, 2, 4, 7, 8, 13] {
                let floats: Vec<f32> = (0..tokens * columns).map(|i| (i * 7919 % 2003) as f32 / 1001.0 - 1.0).collect();
                let mut all = Activations::default();
                all.set(floats.iter().copied(), columns);
                let mut several = Vec::new();
                if tokens > 1 {
                    unpacked.multiply(all.several(), |four, products| {
                        several.extend((0..4).map(|t| (four * 4 + t, products[t])))
                    });
                }
                for (token, floats) in floats.chunks_exact(columns).enumerate() {
                    let mut x = Activations::default();
                    x.set(floats.iter().copied(), columns);
                    let alone = (products.with_one)(&rows, x.one().expect("a token"));
                    assert_eq!(alone[0], product(&unpacked, &x), "{} of {tokens} tokens", dtype.name());
                    assert!(tokens == 1 || several[token] == (token, alone), "{} of {tokens} tokens", dtype.name());
                }
            }
        }
    }

    #[test]
    fn every_type_unpacks_to_what_it_dequantises_to() {
        for (dtype, products) in quantised() {
            let columns = 768;
            let rows = random_blocks(dtype, ROWS * columns, 7);
            let mut unpacked = Unpacked::default();
            (products.unpack)(&rows, &mut unpacked);
            for (i, block) in rows.chunks_exact(dtype.block_bytes()).enumerate() {
                let mut expected = vec![0.0; dtype.block_elements()];
                dequantize(dtype, block, &mut expected);
                let (row, first) = (i % ROWS, i / ROWS * expected.len());
                for (element, expected) in (first..).zip(expected) {
                    let (b, e) = (element / 32, element % 32);
                    let offset = unpacked.offsets.get(b).map_or(0.0, |offsets| offsets[row]);
                    let scaled = f32::from(unpacked.values[b][e / 2][row * 2 + e % 2]) * unpacked.scales[b][row];
                    let tolerance = 1e-6 * scaled.abs().max(offset.abs());
                    let got = scaled + offset;
                    assert!((got - expected).abs() <= tolerance, "{}[{element}]: {got}, not {expected}", dtype.name());
                }
            }
        }
    }

    #[test]
    fn the_largest_values_do_not_overflow() {
        let mut block = [0xff; 210];
        block[..192].fill(0); // Integers of -32,
        block[192..208].fill(0x80); // scales of -128,
        block[208..].copy_from_slice(&[0, 0x3c]); // and one of 1.
        let mut x = Activations::default();
        x.set([1.0; 256].into_iter(), 256);
        let products = Products::of(DType::Q6_K).expect("a quantised type");
        let [sum, ..] = (products.with_one)([block; ROWS].as_flattened(), x.one().expect("a token"));
        assert!((sum / (4096.0 * 256.0) - 1.0).abs() < 1e-6, "{sum}");
    }
}
