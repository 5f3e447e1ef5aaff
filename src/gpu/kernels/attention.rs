//! Attention over the KV cache: biases, QK-norm, RoPE, append, and causal grouped-query softmax(q·kᵀ / √head_dim)·v.
//!
//! Decode on hardware is one dispatch (`attention.wgsl`, fused); a prefill is `append.wgsl` and then `attention.wgsl` over
//! several tokens at once;
//! a software adapter always takes `append.wgsl` and `attention_serial.wgsl`, which need no barrier.

use super::WORKGROUP;
use super::order::interleaved;
use crate::error::Result;
use crate::gpu::device::{Binding, Device, Dispatch};
use crate::gpu::shader::Defines;
use crate::model::{Config, Pairing};

/// Positions of one tile of the cache's layouts.
pub const TILE: usize = 32;

/// How the KV cache holds numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Half the bytes; rounding moves logits by 2e-4 to 1e-3 of their norm, less than quantised weights do.
    F16,
    /// Exact.
    F32,
    /// A little more than half of f16's bytes, where heads have a multiple of 64 elements.
    Q8,
}

impl Precision {
    /// Bytes of so many numbers, whole heads of them.
    pub fn bytes(self, numbers: usize) -> usize {
        match self {
            Self::F16 => numbers * 2,
            Self::F32 => numbers * 4,
            // A level, and for 32 of them an f32 scale.
            Self::Q8 => numbers + numbers / 8,
        }
    }
}

/// What a step's columns are to attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Tokens of one sequence, all appended before any of them attends.
    Prefill,
    /// Of different sequences.
    Decode,
    /// Guesses of one sequence, of which only the last attends; a fused kernel's dispatch for each of them makes that a
    /// decode of one after the other.
    LastGuess,
}

/// One layer's attention.
pub struct Attention<'a> {
    /// Heads and epsilon.
    pub config: &'a Config,
    /// `[column][query heads, key heads, value heads][head_dim]`
    pub qkv: &'a wgpu::Buffer,
    /// `q_norm [head_dim], k_norm [head_dim], biases [query heads, key heads, value heads][head_dim]`, as far as the
    /// architecture has them.
    pub vectors: Option<&'a wgpu::Buffer>,
    /// Positions back to which it sees, the token's own among them; none: all.
    pub window: Option<usize>,
    /// `[position][head_dim / 2]` (cos, sin), in f64 until here: WGSL's own sine may be off by 2⁻¹¹ and is undefined
    /// outside [−π, π] (WGSL specification, accuracy of built-in functions).
    pub rope: &'a wgpu::Buffer,
    /// How the cache holds numbers.
    pub precision: Precision,
    /// Tiles of the cache that one sequence can have.
    pub pages: usize,
    /// Keys: `[tile][kv head][head_dim / 8][position % 32]`, 8 numbers each.
    pub keys: &'a wgpu::Buffer,
    /// Values: `[tile][kv head][position % 32][head_dim / 4]`, 4 numbers each.
    pub values: &'a wgpu::Buffer,
    /// Whole results: `[column][head][head_dim]`; in fused decode partial ones: `[column][split]`, and each as decode reads them.
    pub y: &'a wgpu::Buffer,
    /// Fused decode: `[column][head][split]` (maximum, sum).
    pub softmax: &'a wgpu::Buffer,
    /// The step's `State`.
    pub state: &'a wgpu::Buffer,
}

/// Workgroups that share the positions of one KV head in fused decode.
pub fn splits(device: &Device) -> u32 {
    if device.software { 1 } else { 8 }
}

/// Queries that share a workgroup in a prefill on hardware, unless more heads share a KV head.
const QUERIES: usize = 8;
/// Elements of all these queries, for which there is room in workgroup memory.
const QUERY_ELEMENTS: usize = 1024;

impl Attention<'_> {
    /// The dispatches of a step.
    pub fn dispatches(&self, device: &Device, step: Step) -> Result<Vec<Dispatch>> {
        let prefill = step == Step::Prefill;
        let config = self.config;
        let group = config.heads / config.kv_heads;
        let defines = Defines::new()
            .set("HEAD_DIM", config.head_dim)
            .set("HEADS", config.heads)
            .set("KV_HEADS", config.kv_heads)
            .set("G", group)
            .set("CHUNKS", config.head_dim.div_ceil(128))
            .set("AT_ONCE", [8, 4, 2].into_iter().find(|keys| (config.head_dim / 8).is_multiple_of(*keys)).unwrap_or(1))
            .set("PAGES", self.pages)
            .flag("PREFILL", prefill)
            .flag("KV_F32", self.precision == Precision::F32)
            .flag("KV_Q8", self.precision == Precision::Q8)
            .set("KV_ACCESS", "read")
            .flag("NORMED", config.qk_norm)
            .flag("BIASED", config.qkv_bias)
            .set("BIASES", if config.qk_norm { 2 * config.head_dim } else { 0 })
            .flag("NEIGHBOURS", config.rope.pairing == Pairing::Neighbours)
            .set("WINDOW", self.window.unwrap_or(0))
            .set("EPS", format!("{:e}", config.rms_eps))
            .set("SCALE", format!("{:e}", (config.head_dim as f32).sqrt().recip()));
        let read: [Binding; 5] = [
            (0, self.qkv.as_entire_binding()),
            (3, self.keys.as_entire_binding()),
            (4, self.values.as_entire_binding()),
            (6, self.y.as_entire_binding()),
            (7, self.state.as_entire_binding()),
        ];
        if !prefill && !device.software {
            let mut bindings = read.to_vec();
            bindings.extend(self.vectors.map(|vectors| (1, vectors.as_entire_binding())));
            bindings.push((2, self.rope.as_entire_binding()));
            bindings.push((5, self.softmax.as_entire_binding()));
            let defines = defines
                .flag("FUSED", true)
                .set("TOKENS", 1)
                .set("Q", group)
                .set("NSPLIT", splits(device))
                .flag("INTERLEAVED", interleaved(device))
                .set("KV_ACCESS", "read_write")
                .flag("LAST", step == Step::LastGuess);
            let grid = [config.kv_heads as u32, splits(device), 1];
            return Ok(vec![device.dispatch("attention", defines, &bindings, grid)?.for_tokens(2, 1)]);
        }
        let append = {
            let team = if device.software { 1 } else { 32 };
            let mut bindings = vec![
                (0, self.qkv.as_entire_binding()),
                (2, self.rope.as_entire_binding()),
                (3, self.keys.as_entire_binding()),
                (4, self.values.as_entire_binding()),
                (7, self.state.as_entire_binding()),
            ];
            bindings.extend(self.vectors.map(|vectors| (1, vectors.as_entire_binding())));
            let heads = (config.heads + 2 * config.kv_heads) as u32;
            let threads = if device.software { 4 } else { WORKGROUP };
            let defines = defines.clone().set("TEAM", team).set("WG", threads).set("KV_ACCESS", "read_write");
            device.dispatch("append", defines, &bindings, [heads.div_ceil(threads / team), 1, 1])?.for_tokens(1, 1)
        };
        let attend = if device.software {
            let threads = 4;
            let grid = [(config.heads as u32).div_ceil(threads), 1, 1];
            device.dispatch("attention_serial", defines.set("WG", threads), &read, grid)?.for_tokens(1, 1)
        } else {
            let grid = [config.kv_heads as u32, 1, 1];
            let tokens = (QUERIES.min(QUERY_ELEMENTS / config.head_dim) / group).max(1);
            let defines = defines.flag("FUSED", false).set("TOKENS", tokens).set("Q", group * tokens).set("NSPLIT", 1);
            device.dispatch("attention", defines, &read, grid)?.for_tokens(2, tokens as u32)
        };
        Ok(vec![append, attend])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::self_test::relative_error;
    use crate::gpu::testing::{PAGES, Random, devices, merged, run, state};
    use crate::model::Rope;

    /// Qwen3's, or an architecture unlike it in everything.
    fn config(heads: usize, kv_heads: usize, head_dim: usize, other: bool) -> Config {
        Config {
            architecture: "qwen3".to_owned(),
            name: None,
            layers: 1,
            hidden: 32,
            intermediate: 32,
            heads,
            kv_heads,
            head_dim,
            vocab: 8,
            rms_eps: 1e-6,
            rope: Rope { pairing: if other { Pairing::Neighbours } else { Pairing::Halves }, ..Rope::unscaled(1e6) },
            qk_norm: !other,
            qkv_bias: other,
            windows: if other { vec![Some(WINDOW)] } else { Vec::new() },
            max_context: 1024,
            tied: true,
        }
    }

    /// Less than most prompts below, and no multiple of a tile.
    const WINDOW: usize = 37;

    fn rounded(x: f64, precision: Precision) -> f64 {
        match precision {
            Precision::F16 => f64::from(half::f16::from_f32(x as f32).to_f32()),
            Precision::F32 | Precision::Q8 => x,
        }
    }

    /// What the cache holds of a token's keys or values.
    fn held(numbers: Vec<f64>, precision: Precision) -> Vec<f64> {
        if precision != Precision::Q8 {
            return numbers.into_iter().map(|x| rounded(x, precision)).collect();
        }
        let block = |block: &[f64]| {
            let scale = block.iter().fold(0.0f64, |top, x| top.max(x.abs())) / 127.0;
            block.iter().map(|x| (x / scale).round_ties_even() * scale).collect::<Vec<_>>()
        };
        numbers.chunks(32).flat_map(block).collect()
    }

    /// One sequence's attention in f64, keys and values rounded as the cache holds them.
    struct Reference<'a> {
        config: &'a Config,
        precision: Precision,
        vectors: &'a [f32],
        keys: Vec<Vec<f64>>, // [position][kv head · head_dim]
        values: Vec<Vec<f64>>,
    }

    impl Reference<'_> {
        fn rotate(&self, head: &[f32], norm: &[f32], position: usize) -> Vec<f64> {
            let half = head.len() / 2;
            let mean = head.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / head.len() as f64;
            let inverse = (mean + f64::from(self.config.rms_eps)).sqrt().recip();
            let scaled = |(i, x): (usize, &f32)| f64::from(*x) * norm.get(i).map_or(1.0, |w| inverse * f64::from(*w));
            let x: Vec<f64> = head.iter().enumerate().map(scaled).collect();
            let mut out = x.clone();
            for i in 0..half {
                let (a, b) = match self.config.rope.pairing {
                    Pairing::Halves => (i, half + i),
                    Pairing::Neighbours => (2 * i, 2 * i + 1),
                };
                let angle = position as f64 * self.config.rope.theta.powf(-(i as f64) / half as f64);
                out[a] = x[a] * angle.cos() - x[b] * angle.sin();
                out[b] = x[b] * angle.cos() + x[a] * angle.sin();
            }
            out
        }

        /// Appends the token's key and value and attends: `[head][head_dim]`.
        fn token(&mut self, qkv: &[f32]) -> Vec<f64> {
            let Config { heads, kv_heads, head_dim, .. } = *self.config;
            let (norms, biases) = self.vectors.split_at(if self.config.qk_norm { 2 * head_dim } else { 0 });
            let (query_norm, key_norm) = norms.split_at(norms.len() / 2);
            let biased: Vec<f32> =
                qkv.iter().enumerate().map(|(i, x)| x + biases.get(i).copied().unwrap_or(0.0)).collect();
            let qkv = &biased;
            let position = self.keys.len();
            let first = self.config.window(0).map_or(0, |window| (position + 1).saturating_sub(window));
            let head = |index: usize| &qkv[index * head_dim..][..head_dim];
            let key = (0..kv_heads).flat_map(|h| self.rotate(head(heads + h), key_norm, position)).collect();
            let value = (0..kv_heads).flat_map(|h| head(heads + kv_heads + h).iter().map(|x| f64::from(*x))).collect();
            self.keys.push(held(key, self.precision));
            self.values.push(held(value, self.precision));
            let mut out = Vec::new();
            for h in 0..heads {
                let query = self.rotate(head(h), query_norm, position);
                let at = h / (heads / kv_heads) * head_dim;
                let score = |key: &Vec<f64>| {
                    query.iter().zip(&key[at..]).map(|(q, k)| q * k).sum::<f64>() / (head_dim as f64).sqrt()
                };
                let scores: Vec<f64> = self.keys[first..].iter().map(score).collect();
                let top = scores.iter().copied().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
                let sum: f64 = weights.iter().sum();
                out.extend(
                    (0..head_dim).map(|d| {
                        self.values[first..].iter().zip(&weights).map(|(v, w)| v[at + d] * w).sum::<f64>() / sum
                    }),
                );
            }
            out
        }
    }

    /// A prefill, then decode steps, over a cache whose unused part is NaN: nothing beyond the position is read.
    #[test]
    fn prefill_and_decode_match_the_reference_over_a_poisoned_cache() {
        let mut random = Random(4);
        for device in devices() {
            for (precision, heads, kv_heads, head_dim, prompt, other) in [
                (Precision::F16, 4, 2, 64, 70, false),
                (Precision::F32, 4, 2, 64, 33, false),
                (Precision::F16, 8, 2, 128, 31, false),
                (Precision::F32, 2, 1, 128, 300, false),
                (Precision::F16, 4, 4, 8, 1, false),
                (Precision::F32, 6, 2, 64, 150, true),
                (Precision::F16, 7, 1, 96, 36, true),
                (Precision::Q8, 4, 2, 128, 70, false),
                (Precision::Q8, 6, 2, 64, 45, true),
            ] {
                let config = config(heads, kv_heads, head_dim, other);
                // Of 8 bits a number that lies between two levels may go to the other one.
                let tolerance = if precision == Precision::Q8 { 1e-3 } else { 1e-4 };
                let rows = heads + 2 * kv_heads;
                let (attention, splits) = (heads * head_dim, splits(&device));
                let vectors = random.numbers(if other { rows } else { 2 } * head_dim);
                let mut reference =
                    Reference { config: &config, precision, vectors: &vectors, keys: Vec::new(), values: Vec::new() };
                let poison = vec![0x7fc0_7fc0u32; precision.bytes(512 * kv_heads * head_dim) / 4];
                let (keys, values) = (device.storage_of("keys", &poison), device.storage_of("values", &poison));
                let tokens = prompt.max(8);
                let y = device.storage("y", attention * tokens.max(splits as usize) * 4);
                let softmax = device.storage("softmax", heads * splits as usize * 8);
                let vectors = device.storage_of("vectors", &vectors);
                let rope = device.storage_of("rope", &config.rope.table(head_dim, 0..512));
                let attend = |qkv: &[f32], position: usize, count: usize, prefill: bool| {
                    let (qkv, state) = (device.storage_of("qkv", qkv), state(&device, position, count));
                    let layer = Attention {
                        config: &config,
                        precision,
                        pages: PAGES,
                        qkv: &qkv,
                        vectors: Some(&vectors),
                        window: config.window(0),
                        rope: &rope,
                        keys: &keys,
                        values: &values,
                        y: &y,
                        softmax: &softmax,
                        state: &state,
                    };
                    run(
                        &device,
                        count as u32,
                        &layer.dispatches(&device, if prefill { Step::Prefill } else { Step::Decode }).unwrap(),
                        &y,
                        attention * count.max(splits as usize),
                    )
                };

                let qkv = random.numbers(prompt * rows * head_dim);
                let actual = attend(&qkv, 0, prompt, true);
                let expected: Vec<f64> = qkv.chunks(rows * head_dim).flat_map(|qkv| reference.token(qkv)).collect();
                let error = relative_error(&actual[..attention * prompt], &expected);
                assert!(
                    error < tolerance,
                    "prefill {heads}/{kv_heads}x{head_dim} software {}: {error}",
                    device.software
                );

                for step in 0..3 {
                    let qkv = random.numbers(rows * head_dim);
                    let expected = reference.token(&qkv);
                    let y = attend(&qkv, prompt + step, 1, false);
                    let actual = if device.software {
                        y[..attention].to_vec()
                    } else {
                        let softmax = run(&device, 1, &[], &softmax, heads * splits as usize * 2);
                        merged(&device, &y, &softmax, head_dim).iter().map(|x| *x as f32).collect()
                    };
                    let error = relative_error(&actual, &expected);
                    assert!(
                        error < tolerance,
                        "decode {heads}/{kv_heads}x{head_dim} software {}: {error}",
                        device.software
                    );
                }
            }
        }
    }
}
