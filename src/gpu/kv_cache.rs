//! Keys and values of all sequences, in tiles of 32 positions that belong to a sequence by its table of pages.

use super::device::Device;
use super::kernels::attention::{Precision, TILE};
use super::state::SLOTS;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::DType;
use crate::model::Config;

/// Tiles that a sequence takes at a time.
pub const SLAB: usize = 8;

/// The cache of a model, all layers.
pub struct KvCache {
    /// How it holds numbers.
    pub precision: Precision,
    /// `(keys, values)` of each layer.
    pub layers: Vec<(wgpu::Buffer, wgpu::Buffer)>,
    /// Tiles there are now, and can ever be.
    tiles: usize,
    limit: usize,
    /// Tiles of no sequence.
    free: Vec<u32>,
    /// Bytes of a tile's keys, or values, in one layer.
    tile_bytes: usize,
}

/// Bytes up to which a whole cache is kept in f32: exactness that costs nothing worth naming.
const SMALL: u64 = 64 << 20;

/// f32 where the cache is small, or where the weights are unquantised and rounding the cache would be the largest
/// error of all; else f16.
pub fn precision(config: &Config, weights: DType, positions: usize) -> Precision {
    let small = cache_bytes(config, Precision::F32, positions) <= SMALL;
    if small || !weights.is_quantised() { Precision::F32 } else { Precision::F16 }
}

/// Bytes of keys, or of values, of one layer's tile.
fn tile_bytes(config: &Config, precision: Precision) -> usize {
    precision.bytes(TILE * config.kv_heads * config.head_dim)
}

/// Bytes of a sequence's cache of so many positions, which may be more than a `usize` of 32 bits holds.
pub fn cache_bytes(config: &Config, precision: Precision, positions: usize) -> u64 {
    let factors = [config.layers, positions.div_ceil(TILE), tile_bytes(config, precision)];
    2 * factors.map(|factor| factor as u64).iter().product::<u64>()
}

impl KvCache {
    /// A cache with room for a first slab; sequences have `pages` tiles at most.
    pub fn new(device: &Device, config: &Config, precision: Precision, pages: usize) -> Self {
        let limits = device.limits();
        let tile_bytes = tile_bytes(config, precision);
        let most = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size) / tile_bytes as u64;
        let tiles = SLAB.min(pages);
        let layers = (0..config.layers).map(|_| buffers(device, tiles * tile_bytes)).collect();
        let free = (0..tiles as u32).rev().collect();
        Self { precision, layers, tiles, limit: most.min((SLOTS * pages) as u64) as usize, free, tile_bytes }
    }

    /// Makes room for so many more tiles; true if buffers were replaced, so that what binds them must be rebuilt. The
    /// cache doubles, so that what is copied is less than what is written. `out-of-memory` changes nothing.
    pub async fn reserve(&mut self, device: &Device, tiles: usize) -> Result<bool> {
        if tiles <= self.free.len() {
            return Ok(false);
        }
        let needed = self.tiles - self.free.len() + tiles;
        if needed > self.limit {
            let message = format!("the adapter holds {} positions of all conversations", self.limit * TILE);
            return Err(Error::new(ErrorKind::OutOfMemory, message).hint("end a conversation or shorten it"));
        }
        let capacity = needed.next_power_of_two().min(self.limit);
        let bytes = capacity * self.tile_bytes;
        let larger =
            device.checked(|| Ok(self.layers.iter().map(|_| buffers(device, bytes)).collect::<Vec<_>>())).await?;
        let mut encoder = device.encoder();
        let written = (self.tiles * self.tile_bytes) as u64;
        for ((old_keys, old_values), (keys, values)) in self.layers.iter().zip(&larger) {
            encoder.copy_buffer_to_buffer(old_keys, 0, keys, 0, written);
            encoder.copy_buffer_to_buffer(old_values, 0, values, 0, written);
        }
        device.queue.submit([encoder.finish()]);
        destroy(&std::mem::replace(&mut self.layers, larger));
        self.free.splice(0..0, (self.tiles as u32..capacity as u32).rev());
        self.tiles = capacity;
        Ok(true)
    }

    /// Tiles for a sequence, for which room was made.
    pub fn take(&mut self, tiles: usize) -> Vec<u32> {
        let left = self.free.len().saturating_sub(tiles);
        self.free.drain(left..).rev().collect()
    }

    /// Takes a sequence's tiles back.
    pub fn give_back(&mut self, tiles: Vec<u32>) {
        self.free.extend(tiles.into_iter().rev());
    }
}

impl Drop for KvCache {
    fn drop(&mut self) {
        destroy(&self.layers);
    }
}

fn destroy(layers: &[(wgpu::Buffer, wgpu::Buffer)]) {
    for (keys, values) in layers {
        keys.destroy();
        values.destroy();
    }
}

fn buffers(device: &Device, bytes: usize) -> (wgpu::Buffer, wgpu::Buffer) {
    (device.storage("keys", bytes), device.storage("values", bytes))
}
