//! A row of quantised weights as 16-bit integers with a scale, and for some types an offset, per 32.
//!
//! Exact but for one rounding of a scale times a sub-block's scale. |value| is at most 4096 (Q6_K: −32 · −128).

use super::kernels::{BLOCK, Row, f16_to_f32};
use crate::formats::DType;
use crate::formats::quant::scale_min;

/// One unpacked row, reused for all rows of a product: element `i` is `values[i] · scales[i / 32] + offsets[i / 32]`.
#[derive(Default)]
pub struct Unpacked {
    values: Vec<i16>,
    scales: Vec<f32>,
    offsets: Vec<f32>,
    affine: bool,
}

impl Unpacked {
    /// The integers and their scales.
    pub fn row(&self) -> Row<'_> {
        Row { values: &self.values, scales: &self.scales }
    }

    /// `[blocks]`; none for types without.
    pub fn offsets(&self) -> Option<&[f32]> {
        self.affine.then_some(&self.offsets[..])
    }

    /// Takes in a row of `columns` weights.
    ///
    /// # Panics
    /// For the float types, which are never unpacked to integers.
    pub fn set(&mut self, dtype: DType, columns: usize, bytes: &[u8]) {
        self.values.resize(columns, 0);
        self.scales.resize(columns / BLOCK, 0.0);
        self.offsets.resize(columns / BLOCK, 0.0);
        self.affine = matches!(dtype, DType::Q4_1 | DType::Q5_1 | DType::Q4_K | DType::Q5_K);
        match dtype {
            DType::F32 | DType::F16 | DType::BF16 => panic!("{} is not made of blocks", dtype.name()),
            DType::Q4_0 => self.blocks(bytes, |b: &[u8; 18], mut out| {
                out.scale(half(b, 0));
                nibbles(part(b, 2), 8, &mut out.values[0]);
            }),
            DType::Q4_1 => self.blocks(bytes, |b: &[u8; 20], mut out| {
                out.scale(half(b, 0));
                out.offsets[0] = half(b, 2);
                nibbles(part(b, 4), 0, &mut out.values[0]);
            }),
            DType::Q5_0 => self.blocks(bytes, |b: &[u8; 22], mut out| {
                out.scale(half(b, 0));
                nibbles(part(b, 6), 16, &mut out.values[0]);
                fifth_bits([b[2], b[3], b[4], b[5]], &mut out.values[0]);
            }),
            DType::Q5_1 => self.blocks(bytes, |b: &[u8; 24], mut out| {
                out.scale(half(b, 0));
                out.offsets[0] = half(b, 2);
                nibbles(part(b, 8), 0, &mut out.values[0]);
                fifth_bits([b[4], b[5], b[6], b[7]], &mut out.values[0]);
            }),
            DType::Q8_0 => self.blocks(bytes, |b: &[u8; 34], mut out| {
                out.scale(half(b, 0));
                for (v, q) in out.values[0].iter_mut().zip(part::<32>(b, 2)) {
                    *v = *q as i8 as i16;
                }
            }),
            DType::Q4_K => self.blocks(bytes, |b: &[u8; 144], mut out| {
                out.sub_scales(half(b, 0), half(b, 2), &b[4..16]);
                pairs(&b[16..], out.values);
            }),
            DType::Q5_K => self.blocks(bytes, |b: &[u8; 176], mut out| {
                out.sub_scales(half(b, 0), half(b, 2), &b[4..16]);
                pairs(&b[48..], out.values);
                for (j, values) in out.values.iter_mut().enumerate() {
                    for (v, high) in values.iter_mut().zip(&b[16..48]) {
                        *v |= ((high >> j & 1) << 4) as i16;
                    }
                }
            }),
            DType::Q6_K => self.blocks(bytes, q6_k),
        }
    }

    /// Calls `unpack` with every block of `N` bytes and the place of its elements.
    fn blocks<const N: usize>(&mut self, bytes: &[u8], unpack: impl Fn(&[u8; N], Place)) {
        let (blocks, rest) = bytes.as_chunks::<N>();
        let (values, _) = self.values.as_chunks_mut::<BLOCK>();
        assert!(rest.is_empty() && values.len() % blocks.len().max(1) == 0, "a row of whole blocks");
        let each = values.len() / blocks.len().max(1);
        let scales = self.scales.chunks_exact_mut(each);
        let offsets = self.offsets.chunks_exact_mut(each);
        for (((block, values), scales), offsets) in
            blocks.iter().zip(values.chunks_exact_mut(each)).zip(scales).zip(offsets)
        {
            unpack(block, Place { values, scales, offsets });
        }
    }
}

/// Where one block's elements go: 1 or 8 times 32.
struct Place<'a> {
    values: &'a mut [[i16; BLOCK]],
    scales: &'a mut [f32],
    offsets: &'a mut [f32],
}

impl Place<'_> {
    fn scale(&mut self, d: f32) {
        self.scales.fill(d);
    }

    /// The eight scales and minima of Q4_K and Q5_K.
    fn sub_scales(&mut self, d: f32, dmin: f32, packed: &[u8]) {
        for (j, (s, o)) in self.scales.iter_mut().zip(self.offsets.iter_mut()).enumerate() {
            let (scale, min) = scale_min(packed, j);
            (*s, *o) = (d * scale, -(dmin * min));
        }
    }
}

fn half(b: &[u8], at: usize) -> f32 {
    f16_to_f32([b[at], b[at + 1]])
}

/// `N` bytes from `at` on: loops over arrays need no checks and become vector instructions.
#[inline(always)]
fn part<const N: usize>(b: &[u8], at: usize) -> &[u8; N] {
    b[at..].first_chunk().expect("a block is longer than any part of it")
}

/// Sixteen bytes, low halves first, less `zero`.
#[inline(always)]
fn nibbles(b: &[u8; 16], zero: i16, values: &mut [i16; BLOCK]) {
    for i in 0..16 {
        values[i] = (b[i] & 15) as i16 - zero;
        values[i + 16] = (b[i] >> 4) as i16 - zero;
    }
}

/// Adds bit `i` of `bits`, worth 16, to value `i`.
fn fifth_bits(bits: [u8; 4], values: &mut [i16; BLOCK]) {
    let bits = u32::from_le_bytes(bits);
    for (i, v) in values.iter_mut().enumerate() {
        *v += ((bits >> i & 1) << 4) as i16;
    }
}

/// Thirty-two bytes hold two sub-blocks, one in the low halves and the next in the high halves.
fn pairs(b: &[u8], values: &mut [[i16; BLOCK]]) {
    for (b, values) in b.chunks_exact(32).zip(values.chunks_exact_mut(2)) {
        for (i, q) in b.iter().enumerate() {
            values[0][i] = (q & 15) as i16;
            values[1][i] = (q >> 4) as i16;
        }
    }
}

/// Layout: `formats::quant`. The eight-bit scales of 16 go into the values, so that a scale covers 32.
fn q6_k(b: &[u8; 210], mut out: Place) {
    out.scale(half(b, 208));
    for (p, values) in out.values.chunks_exact_mut(4).enumerate() {
        let (first, second) = (part(b, p * 64), part(b, p * 64 + 32));
        let (high, scales) = (part(b, 128 + p * 32), part(b, 192 + p * 8));
        six_bits::<0, 0>(first, high, scales, &mut values[0]);
        six_bits::<0, 2>(second, high, scales, &mut values[1]);
        six_bits::<4, 4>(first, high, scales, &mut values[2]);
        six_bits::<4, 6>(second, high, scales, &mut values[3]);
    }
}

/// Four bits of `low` and two of `high`, less 32, times their scales: those at `HIGH` and `HIGH + 1`.
#[inline(always)]
fn six_bits<const LOW: usize, const HIGH: usize>(
    low: &[u8; 32],
    high: &[u8; 32],
    scales: &[u8; 8],
    values: &mut [i16; BLOCK],
) {
    for group in 0..2 {
        let scale = scales[HIGH + group] as i8 as i16;
        for i in group * 16..group * 16 + 16 {
            let q = (low[i] >> LOW & 15) | (high[i] >> HIGH & 3) << 4;
            values[i] = (q as i16 - 32) * scale;
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::Unpacked;
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

    #[test]
    fn every_quantised_type_unpacks_to_what_it_dequantises_to() {
        for dtype in DType::ALL.into_iter().filter(|d| d.block_elements() > 1) {
            let columns = 768;
            let bytes = random_blocks(dtype, columns, 7);
            let mut expected = vec![0.0; columns];
            dequantize(dtype, &bytes, &mut expected);
            let mut unpacked = Unpacked::default();
            unpacked.set(dtype, columns, &bytes);
            let row = unpacked.row();
            for (i, expected) in expected.iter().enumerate() {
                let offset = unpacked.offsets().map_or(0.0, |o| o[i / 32]);
                let got = row.values[i] as f32 * row.scales[i / 32] + offset;
                let tolerance = 1e-6 * (row.values[i] as f32 * row.scales[i / 32]).abs().max(offset.abs());
                assert!((got - expected).abs() <= tolerance, "{}[{i}]: {got}, not {expected}", dtype.name());
            }
        }
    }
}
