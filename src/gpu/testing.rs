//! What the kernels' tests share: a device, seeded numbers, random weights of any type, and the relative error.

use super::device::{Device, Dispatch, Numbers, Variant};
use super::kernels::attention::splits;
use super::kernels::order::arranged;
use super::planes;
use super::runtime::Gpu;
use super::sink::Sink;
use super::state::{Sequence, State};
use super::weights::Matrix;
use crate::formats::{DType, ROW_GROUP, TensorInfo, quant};
use crate::model::{Config, Rope, Weight, WeightSink};

/// Whatever adapter there is with the kernels for hardware; Mesa's lavapipe will do.
pub fn hardware() -> Device {
    let device =
        pollster::block_on(Device::open(true, false)).expect("a Vulkan, Metal or DX12 adapter, software will do");
    device.treat_as_software(false)
}

/// The variants that an adapter can run.
pub fn variants(device: &Device) -> Vec<Variant> {
    let subgroups = device.raw.features().contains(wgpu::Features::SUBGROUP);
    let adds: &[bool] = if subgroups { &[false, true] } else { &[false] };
    let sized = |subgroups: &bool| {
        [64, 128, 256].map(|workgroup| Variant { subgroups: *subgroups, workgroup, ..Variant::default() })
    };
    adds.iter().flat_map(sized).collect()
}

/// Both sets of kernels on that adapter.
pub fn devices() -> [Device; 2] {
    let device = hardware();
    [device.clone(), device.treat_as_software(true)]
}

/// And all that a prefill has.
pub fn prefill_devices() -> Vec<Device> {
    let [hardware, software] = devices();
    let there = Numbers::ALL.into_iter().filter(|numbers| hardware.has(*numbers));
    let mut devices: Vec<Device> =
        there.map(|numbers| hardware.clone().with_variant(Variant { numbers, ..Variant::default() })).collect();
    devices.push(software);
    devices
}

/// A seeded generator: splitmix64 (Steele, Lea & Flood, 2014).
pub struct Random(pub u64);

impl Random {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number in [−1, 1).
    pub fn number(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// So many numbers in [−1, 1).
    pub fn numbers(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.number()).collect()
    }

    /// Rows of random blocks as a file holds them, with scales around 1/16.
    pub fn rows(&mut self, dtype: DType, rows: usize, columns: usize) -> Vec<u8> {
        let count = rows * columns / dtype.block_elements() * dtype.block_bytes();
        let mut bytes: Vec<u8> = (0..count).map(|_| self.bits() as u8).collect();
        // The places of f16 scales within a block.
        let scales: &[usize] = match dtype {
            DType::Q4_0 | DType::Q5_0 | DType::Q8_0 => &[0],
            DType::Q4_1 | DType::Q5_1 | DType::Q4_K | DType::Q5_K => &[0, 2],
            DType::Q6_K => &[208],
            DType::F32 | DType::F16 | DType::BF16 => &[],
        };
        for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
            let value = self.number();
            match dtype {
                DType::F32 => block.copy_from_slice(&value.to_le_bytes()),
                DType::F16 => block.copy_from_slice(&half::f16::from_f32(value).to_le_bytes()),
                DType::BF16 => block.copy_from_slice(&half::bf16::from_f32(value).to_le_bytes()),
                _ => {}
            }
            for &at in scales {
                let scale = half::f16::from_f32(self.number() / 16.0);
                block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
            }
        }
        bytes
    }
}

/// A matrix of random weights, on the device and as numbers, `[row][column]`.
pub fn random_matrix(
    device: &Device,
    random: &mut Random,
    dtype: DType,
    rows: usize,
    columns: usize,
) -> (Matrix, Vec<f32>) {
    let bytes = random.rows(dtype, rows, columns);
    let matrix = Matrix::new(device, dtype, rows, columns);
    matrix.write(device, 0, &bytes);
    let mut weights = vec![0.0; rows * columns];
    quant::dequantize(dtype, &bytes, &mut weights);
    (matrix, weights)
}

/// Tiles of the cache that [`state`] gives to its sequence, in no order.
pub const PAGES: usize = 16;

/// A state for a step of `columns` at `pos` of the sequence in slot 0.
pub fn state(device: &Device, pos: usize, columns: usize) -> wgpu::Buffer {
    let state = State::new(device, PAGES);
    state.write_columns(columns, &[(0, 0)]);
    state.write_sequence(0, Sequence { pos: pos as u32, ..Sequence::default() });
    state.write_pages(0, 0, &(0..PAGES as u32).map(|page| (page * 7 + 3) % PAGES as u32).collect::<Vec<_>>());
    state.buffer
}

/// A model of random weights, with the shape of a Qwen3: 2 layers, 256 tokens, 1024 positions.
pub fn random_model(device: &Device, seed: u64) -> Gpu {
    random_model_of(device, seed, |_| DType::Q4_0)
}

/// The same, with matrices of other types.
pub fn random_model_of(device: &Device, seed: u64, dtype: impl Fn(Weight) -> DType) -> Gpu {
    let config = Config {
        architecture: "qwen3".to_owned(),
        name: None,
        layers: 2,
        hidden: 128,
        intermediate: 96,
        heads: 4,
        kv_heads: 2,
        head_dim: 32,
        vocab: 256,
        rms_eps: 1e-6,
        rope: Rope::unscaled(1e4),
        qk_norm: true,
        qkv_bias: false,
        windows: Vec::new(),
        max_context: 1024,
        tied: true,
    };
    let mut random = Random(seed);
    let mut sink = Sink::new(device, &config, 1024).expect("a sink");
    let mut add = |weight: Weight, rows: usize, columns: usize| {
        let (dtype, shape) = match rows {
            1 => (DType::F32, vec![columns]),
            _ => (dtype(weight), vec![rows, columns]),
        };
        let tensor = TensorInfo { name: format!("{weight:?}"), dtype, shape };
        sink.rows(weight, &tensor, 0, &random.rows(dtype, rows, columns)).expect("rows");
    };
    let (attention, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
    add(Weight::Embedding, config.vocab, config.hidden);
    add(Weight::FinalNorm, 1, config.hidden);
    for layer in 0..config.layers {
        add(Weight::AttentionNorm(layer), 1, config.hidden);
        add(Weight::Query(layer), attention, config.hidden);
        add(Weight::Key(layer), kv, config.hidden);
        add(Weight::Value(layer), kv, config.hidden);
        add(Weight::QueryNorm(layer), 1, config.head_dim);
        add(Weight::KeyNorm(layer), 1, config.head_dim);
        add(Weight::Output(layer), config.hidden, attention);
        add(Weight::FeedForwardNorm(layer), 1, config.hidden);
        add(Weight::Gate(layer), config.intermediate, config.hidden);
        add(Weight::Up(layer), config.intermediate, config.hidden);
        add(Weight::Down(layer), config.hidden, config.intermediate);
    }
    pollster::block_on(Gpu::new(sink.network().expect("a network"))).expect("a model")
}

/// The merge of one column's partial results, each in a decode step's order, as `kernels/merge.rs` defines it: the reference of
/// `shares.wgsl`. `softmax` is `[head][split]` (maximum, sum).
pub fn merged(device: &Device, partials: &[f32], softmax: &[f32], head_dim: usize) -> Vec<f64> {
    let splits = splits(device) as usize;
    let attention = partials.len() / splits;
    let elements: Vec<usize> = (0..attention).collect();
    let mut whole = vec![0.0; attention];
    for (place, element) in arranged(device, &elements).into_iter().enumerate() {
        let of = |split: usize, which: usize| f64::from(softmax[(element / head_dim * splits + split) * 2 + which]);
        let top = (0..splits).map(|split| of(split, 0)).fold(f64::MIN, f64::max);
        let weight = |split: usize| (of(split, 0) - top).exp();
        let sum: f64 = (0..splits).map(|split| weight(split) * of(split, 1)).sum();
        let part = |split: usize| f64::from(partials[split * attention + place]);
        whole[element] = (0..splits).map(|split| weight(split) * part(split)).sum::<f64>() / sum;
    }
    whole
}

/// Runs dispatches for `tokens` tokens, failing on any validation error, and reads `count` numbers of `result`.
pub fn run(device: &Device, tokens: u32, dispatches: &[Dispatch], result: &wgpu::Buffer, count: usize) -> Vec<f32> {
    let mut encoder = device.encoder();
    device.encode(&mut encoder, tokens, dispatches);
    device.queue.submit([encoder.finish()]);
    let bytes = pollster::block_on(device.read_buffer(result, count * 4)).expect("a result");
    bytemuck::pod_collect_to_vec(&bytes)
}

/// The weights of one row out of planes, by the same formula as the kernels: the reference of `kernels/quant/*.wgsl`.
pub fn dequantize_row(dtype: DType, columns: usize, data: &[Vec<u8>; planes::PLANES], row: usize) -> Vec<f32> {
    let blocks = columns / planes::BLOCK;
    let word =
        |plane: usize, at: usize| u32::from_le_bytes(data[plane][at * 4..at * 4 + 4].try_into().expect("4 bytes"));
    let half = |plane: usize, at: usize| {
        half::f16::from_le_bytes(data[plane][at * 2..at * 2 + 2].try_into().expect("2 bytes")).to_f32()
    };
    let (group, lane) = (row / ROW_GROUP, row % ROW_GROUP);
    let element = |e: usize| -> f32 {
        let (b, i) = (e / planes::BLOCK, e % planes::BLOCK);
        let scale = (group * blocks + b) * ROW_GROUP + lane;
        let super_scale = (group * (blocks / 8) + b / 8) * ROW_GROUP + lane;
        let nibble = || {
            let byte = data[0][(row * blocks + b) * 16 + i % 16];
            f32::from(byte >> (i / 16 * 4) & 15)
        };
        let fifth = || (word(3, row * blocks + b) >> i & 1) as f32 * 16.0;
        let (q, s, m) = match dtype {
            DType::F32 => (f32::from_bits(word(0, row * columns + e)), 1.0, 0.0),
            DType::F16 => (half(0, row * columns + e), 1.0, 0.0),
            DType::BF16 => {
                let at = (row * columns + e) * 2;
                let bits = u16::from_le_bytes([data[0][at], data[0][at + 1]]);
                (half::bf16::from_bits(bits).to_f32(), 1.0, 0.0)
            }
            DType::Q4_0 => (nibble(), half(1, scale), half(1, scale) * 8.0),
            DType::Q4_1 => (nibble(), half(1, scale * 2), -half(1, scale * 2 + 1)),
            DType::Q5_0 => (nibble() + fifth(), half(1, scale), half(1, scale) * 16.0),
            DType::Q5_1 => (nibble() + fifth(), half(1, scale * 2), -half(1, scale * 2 + 1)),
            DType::Q8_0 => {
                let byte = data[0][((row * 2 + i / 16) * blocks + b) * 16 + i % 16];
                (f32::from(byte as i8), half(1, scale), 0.0)
            }
            DType::Q4_K | DType::Q5_K => {
                let q = if dtype == DType::Q5_K { nibble() + fifth() } else { nibble() };
                let s = half(2, super_scale * 2) * f32::from(data[1][scale * 2]);
                (q, s, half(2, super_scale * 2 + 1) * f32::from(data[1][scale * 2 + 1]))
            }
            DType::Q6_K => {
                let byte = data[3][(row * blocks + b) * 8 + i / 16 * 4 + i % 4];
                let q = nibble() + f32::from(byte >> (i % 16 / 4 * 2) & 3) * 16.0;
                let s = half(2, super_scale) * f32::from(data[1][scale * 2 + i / 16] as i8);
                (q, s, s * 32.0)
            }
        };
        s * q - m
    };
    (0..columns).map(element).collect()
}

#[test]
fn planes_hold_every_bit() {
    let mut random = Random(1);
    for dtype in DType::ALL {
        let (rows, columns) = (7, 512);
        let bytes = random.rows(dtype, rows, columns);
        let mut expected = vec![0.0; rows * columns];
        quant::dequantize(dtype, &bytes, &mut expected);
        let repacked = planes::repack(dtype, columns, &bytes);
        for (row, expected) in expected.chunks(columns).enumerate() {
            let actual = dequantize_row(dtype, columns, &repacked, row);
            let same = actual.iter().zip(expected).all(|(a, b)| a.to_bits() == b.to_bits() || (*a == 0.0 && *b == 0.0));
            assert!(same, "{} row {row}", dtype.name());
        }
    }
}
