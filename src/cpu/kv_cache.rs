//! One sequence's keys and values, in slabs that are allocated as the sequence grows and never copied.

use super::activations::quantize;
use super::quant::BLOCK;
use crate::error::{Error, ErrorKind, Result};

/// Positions of one slab.
pub const SLAB: usize = 64;

/// How an element is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 4 bytes: for float weights, whose products are f32 too.
    Float32,
    /// 2.125 bytes, an integer and its part of a scale per 32: as accurate as the activations of quantised products.
    Int16,
}

/// One layer's keys or values of a slab, `[SLAB, kv_heads · head_dim]`; zeros where none have come yet.
pub enum Half {
    /// The elements.
    Float32(Vec<f32>),
    /// Integers, and a scale for each 32.
    Int16 { values: Vec<i16>, scales: Vec<f32> },
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
    /// `kv_heads · head_dim`
    width: usize,
    precision: Precision,
    /// `[slab][layer][kind]`
    slabs: Vec<Vec<[Half; 2]>>,
}

impl KvCache {
    /// Room for nothing yet.
    pub fn new(layers: usize, width: usize, precision: Precision) -> Self {
        Self { layers, width, precision, slabs: Vec::new() }
    }

    /// Bytes one position takes.
    pub fn bytes_per_position(&self) -> usize {
        let row = match self.precision {
            Precision::Float32 => self.width * 4,
            Precision::Int16 => self.width * 2 + self.width / BLOCK * 4,
        };
        self.layers * 2 * row
    }

    /// Makes room for `positions`; on failure nothing has changed.
    pub fn reserve(&mut self, positions: usize) -> Result<()> {
        let before = self.slabs.len();
        while self.slabs.len() * SLAB < positions {
            let slab: Option<Vec<_>> = (0..self.layers).map(|_| Some([self.half()?, self.half()?])).collect();
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

    fn half(&self) -> Option<Half> {
        let elements = SLAB * self.width;
        Some(match self.precision {
            Precision::Float32 => Half::Float32(zeros(elements)?),
            Precision::Int16 => Half::Int16 { values: zeros(elements)?, scales: zeros(elements / BLOCK)? },
        })
    }

    /// Frees what only positions from `length` on need.
    pub fn truncate(&mut self, length: usize) {
        self.slabs.truncate(length.div_ceil(SLAB));
    }

    /// Stores `row: [kv_heads · head_dim]` of one position, for which there must be room.
    pub fn store(&mut self, layer: usize, kind: Kind, position: usize, row: &[f32]) {
        let at = position % SLAB * self.width;
        match &mut self.slabs[position / SLAB][layer][kind as usize] {
            Half::Float32(floats) => floats[at..][..row.len()].copy_from_slice(row),
            Half::Int16 { values, scales } => {
                quantize(row, &mut values[at..][..row.len()], &mut scales[at / BLOCK..][..row.len() / BLOCK]);
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
