//! Keys and values of one sequence, growing by doubling, tiles of 32 positions outermost so that growth is a copy.

use super::device::Device;
use super::kernels::attention::{Precision, TILE};
use crate::formats::DType;
use crate::model::Config;

/// Positions of a new cache.
const FIRST: usize = 256;

/// One sequence's keys and values, all layers.
pub struct KvCache {
    /// How it holds numbers.
    pub precision: Precision,
    /// Positions there is room for now.
    pub capacity: usize,
    /// The most positions it may ever hold.
    pub limit: usize,
    /// `(keys, values)` of each layer.
    pub layers: Vec<(wgpu::Buffer, wgpu::Buffer)>,
}

/// Bytes up to which a whole cache is kept in f32: exactness that costs nothing worth naming.
const SMALL: u64 = 64 << 20;

/// f32 where the cache is small, or where the weights are unquantised and rounding the cache would be the largest
/// error of all; else f16.
pub fn precision(config: &Config, weights: DType, positions: usize) -> Precision {
    let unquantised = matches!(weights, DType::F32 | DType::F16 | DType::BF16);
    if unquantised || cache_bytes(config, Precision::F32, positions) <= SMALL { Precision::F32 } else { Precision::F16 }
}

/// Bytes of keys, or of values, of one layer for a number of positions.
fn layer_bytes(config: &Config, precision: Precision, positions: usize) -> usize {
    positions.next_multiple_of(TILE) * config.kv_heads * config.head_dim * precision.bytes()
}

/// Bytes of a whole cache of so many positions.
pub fn cache_bytes(config: &Config, precision: Precision, positions: usize) -> u64 {
    (2 * config.layers * layer_bytes(config, precision, positions)) as u64
}

impl KvCache {
    /// An empty cache.
    pub fn new(device: &Device, config: &Config, precision: Precision, limit: usize) -> Self {
        let capacity = FIRST.min(limit);
        Self { precision, capacity, limit, layers: buffers(device, config, precision, capacity) }
    }

    /// Makes room for `positions`; true if buffers were replaced, so that what binds them must be rebuilt.
    pub fn grow(&mut self, device: &Device, config: &Config, positions: usize) -> bool {
        if positions <= self.capacity {
            return false;
        }
        let capacity = positions.next_power_of_two().min(self.limit);
        let bytes = layer_bytes(config, self.precision, self.capacity) as u64;
        let layers = buffers(device, config, self.precision, capacity);
        let mut encoder = device.encoder();
        for ((old_keys, old_values), (keys, values)) in self.layers.iter().zip(&layers) {
            encoder.copy_buffer_to_buffer(old_keys, 0, keys, 0, bytes);
            encoder.copy_buffer_to_buffer(old_values, 0, values, 0, bytes);
        }
        device.queue.submit([encoder.finish()]);
        for (keys, values) in &self.layers {
            keys.destroy();
            values.destroy();
        }
        self.capacity = capacity;
        self.layers = layers;
        true
    }
}

impl Drop for KvCache {
    fn drop(&mut self) {
        for (keys, values) in &self.layers {
            keys.destroy();
            values.destroy();
        }
    }
}

fn buffers(
    device: &Device,
    config: &Config,
    precision: Precision,
    positions: usize,
) -> Vec<(wgpu::Buffer, wgpu::Buffer)> {
    let bytes = layer_bytes(config, precision, positions);
    (0..config.layers).map(|_| (device.storage("keys", bytes), device.storage("values", bytes))).collect()
}
