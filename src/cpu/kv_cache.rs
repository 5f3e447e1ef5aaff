//! One sequence's keys and values, in slabs that are allocated as the sequence grows and never copied.

use super::activations::quantize_together;
use super::quant::BLOCK;
use crate::error::{Error, ErrorKind, Result};

/// Positions of one slab.
pub const SLAB: usize = 64;

/// How an element is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 4 bytes: for float weights, whose products are f32 too.
    Float32,
    /// 2 bytes and its part of a scale, as accurate as the activations of quantised products.
    Int16,
}

/// One layer's keys or values of a slab; zeros where none have come yet.
pub enum Half {
    /// `[SLAB, kv_heads · head_dim]`
    Float32(Vec<f32>),
    /// Integers that are multiplied in pairs, and scales; laid out so that a vector is four sums' worth.
    Int16 {
        /// Keys: `[kv_heads][SLAB / 4][head_dim / 2][4 positions][2]`; values: `[kv_heads][SLAB / 2][head_dim][2 positions]`.
        values: Vec<[i16; 8]>,
        /// Keys: `[kv_heads][SLAB / 4][head_dim / 32][4 positions]`; values: `[kv_heads][SLAB]`.
        scales: Vec<f32>,
    },
}

/// Keys or values.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Keys, normed and rotated.
    Keys,
    /// Values.
    Values,
}

/// All layers' keys and values of one sequence.
pub struct KvCache {
    layers: usize,
    kv_heads: usize,
    head_dim: usize,
    precision: Precision,
    /// `[slab][layer][kind]`
    slabs: Vec<Vec<[Half; 2]>>,
    /// One head's row as integers.
    row: Vec<i16>,
}

impl KvCache {
    /// Room for nothing yet.
    pub fn new(layers: usize, kv_heads: usize, head_dim: usize, precision: Precision) -> Self {
        Self { layers, kv_heads, head_dim, precision, slabs: Vec::new(), row: Vec::new() }
    }

    /// Bytes one position takes.
    pub fn bytes_per_position(&self) -> usize {
        let width = self.kv_heads * self.head_dim;
        let keys_and_values = match self.precision {
            Precision::Float32 => width * 8,
            Precision::Int16 => width * 4 + (width / BLOCK + self.kv_heads) * 4,
        };
        self.layers * keys_and_values
    }

    /// Makes room for `positions`; on failure nothing has changed.
    pub fn reserve(&mut self, positions: usize) -> Result<()> {
        let before = self.slabs.len();
        while self.slabs.len() * SLAB < positions {
            let slab: Option<Vec<_>> =
                (0..self.layers).map(|_| Some([self.half(Kind::Keys)?, self.half(Kind::Values)?])).collect();
            let Some(slab) = slab else {
                self.slabs.truncate(before);
                return Err(Error::new(
                    ErrorKind::OutOfMemory,
                    format!("no room for the keys and values of {positions} tokens"),
                )
                .hint("use a shorter context, or end other conversations"));
            };
            self.slabs.push(slab);
        }
        Ok(())
    }

    fn half(&self, kind: Kind) -> Option<Half> {
        let elements = SLAB * self.kv_heads * self.head_dim;
        Some(match (self.precision, kind) {
            (Precision::Float32, _) => Half::Float32(zeros(elements)?),
            (Precision::Int16, Kind::Keys) => {
                Half::Int16 { values: zeros(elements / 8)?, scales: zeros(elements / BLOCK)? }
            }
            (Precision::Int16, Kind::Values) => {
                Half::Int16 { values: zeros(elements / 8)?, scales: zeros(SLAB * self.kv_heads)? }
            }
        })
    }

    /// Frees what only positions from `length` on need.
    pub fn truncate(&mut self, length: usize) {
        self.slabs.truncate(length.div_ceil(SLAB));
    }

    /// Stores `row: [kv_heads · head_dim]` of one position, for which there must be room.
    pub fn store(&mut self, layer: usize, kind: Kind, position: usize, row: &[f32]) {
        let (d, at) = (self.head_dim, position % SLAB);
        let (values, scales) = match &mut self.slabs[position / SLAB][layer][kind as usize] {
            Half::Float32(floats) => return floats[at * row.len()..][..row.len()].copy_from_slice(row),
            Half::Int16 { values, scales } => (values, scales),
        };
        let integers = &mut self.row;
        integers.resize(d, 0);
        for (head, row) in row.chunks_exact(d).enumerate() {
            let slab = &mut values[head * SLAB * d / 8..][..SLAB * d / 8];
            match kind {
                Kind::Keys => {
                    let (four, place) = (at / 4, at % 4);
                    let scales = &mut scales[(head * SLAB / 4 + four) * d / BLOCK * 4..][..d / BLOCK * 4];
                    let to = &mut slab[four * d / 2..][..d / 2];
                    let blocks = row.chunks_exact(BLOCK).zip(integers.chunks_exact_mut(BLOCK));
                    for (scales, (row, integers)) in scales.chunks_exact_mut(4).zip(blocks) {
                        scales[place] = quantize_together(row, integers);
                    }
                    for (to, pair) in to.iter_mut().zip(integers.as_chunks::<2>().0) {
                        to.as_chunks_mut::<2>().0[place] = *pair;
                    }
                }
                Kind::Values => {
                    let to = &mut slab[at / 2 * d / 4..][..d / 4];
                    scales[head * SLAB + at] = quantize_together(row, integers);
                    for (to, values) in to.iter_mut().zip(integers.as_chunks::<4>().0) {
                        for (i, value) in values.iter().enumerate() {
                            to[2 * i + at % 2] = *value;
                        }
                    }
                }
            }
        }
    }

    /// A slab.
    pub fn half_of(&self, layer: usize, kind: Kind, slab: usize) -> &Half {
        &self.slabs[slab][layer][kind as usize]
    }
}

/// `n` zeros; none if there is no room.
fn zeros<T: Clone + Default>(n: usize) -> Option<Vec<T>> {
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(n).ok()?;
    zeros.resize(n, T::default());
    Some(zeros)
}
