//! One sequence's keys and values: 16-bit integers with a scale per 32 (as accurate as the activations), in slabs that
//! are allocated as the sequence grows and never copied.

use super::activations::{dequantize, quantize};
use super::kernels::BLOCK;
use crate::error::{Error, ErrorKind, Result};

/// Positions of one slab.
pub const SLAB: usize = 64;

/// `[SLAB, width]` of one layer's keys or values.
struct Half {
    values: Vec<i16>,
    scales: Vec<f32>,
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
    /// `[slab][layer][kind]`
    slabs: Vec<Vec<[Half; 2]>>,
}

impl KvCache {
    /// Room for nothing yet.
    pub fn new(layers: usize, width: usize) -> Self {
        Self { layers, width, slabs: Vec::new() }
    }

    /// Bytes one position takes: a 16-bit integer per element and an f32 per 32 of them.
    pub fn bytes_per_position(layers: usize, width: usize) -> usize {
        layers * 2 * (width * 2 + width / BLOCK * 4)
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
        let (mut values, mut scales) = (Vec::new(), Vec::new());
        values.try_reserve_exact(SLAB * self.width).ok()?;
        scales.try_reserve_exact(SLAB * self.width / BLOCK).ok()?;
        values.resize(SLAB * self.width, 0);
        scales.resize(SLAB * self.width / BLOCK, 0.0);
        Some(Half { values, scales })
    }

    /// Frees what only positions from `length` on need.
    pub fn truncate(&mut self, length: usize) {
        self.slabs.truncate(length.div_ceil(SLAB));
    }

    /// Stores `row: [kv_heads · head_dim]` of one position, for which there must be room.
    pub fn store(&mut self, layer: usize, kind: Kind, position: usize, row: &[f32]) {
        let (width, at) = (self.width, position % SLAB);
        let half = &mut self.slabs[position / SLAB][layer][kind as usize];
        let blocks = width / BLOCK;
        quantize(row, &mut half.values[at * width..][..width], &mut half.scales[at * blocks..][..blocks]);
    }

    /// One head's rows of a slab in f32: `out: [positions, head_dim]`, at most [`SLAB`] of them.
    pub fn load(&self, layer: usize, kind: Kind, slab: usize, head: usize, head_dim: usize, out: &mut [f32]) {
        let half = &self.slabs[slab][layer][kind as usize];
        for (position, out) in out.chunks_exact_mut(head_dim).enumerate() {
            let at = position * self.width + head * head_dim;
            let scales = &half.scales[at / BLOCK..][..head_dim / BLOCK];
            dequantize(&half.values[at..][..head_dim], scales, out);
        }
    }
}
