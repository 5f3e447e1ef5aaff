//! Causal grouped-query attention over the KV cache: `softmax(q · kᵀ / √head_dim) · v`.
//!
//! Over a cache of integers, queries and probabilities become 15-bit integers with a scale too, and are multiplied as integers; sums
//! go over to f32 before they can overflow (8 · 16383² < 2³¹). Slabs lie at fixed positions, so a query's sums run in the same order
//! however the prompt is cut into chunks.

use super::activations::{quantize, quantize_together};
use super::floats::{add_scaled, dot_f32, exp};
use super::kv_cache::{Half, Kind, KvCache, SLAB};
use super::quant::BLOCK;
use super::vector::{
    V, add_f32, add_i32, dot_i16, i32_to_f32, load_f32, load_i16, mul_f32, splat_f32, splat_i32, splat_pair, store_f32,
    sums_f32, zip_high_16, zip_low_16,
};
use crate::model::Config;

/// Buffers, reused by all layers.
#[derive(Default)]
pub struct Attention {
    /// `[tokens, heads, head_dim]`
    queries: Vec<i16>,
    /// `[tokens, heads, head_dim / 32]`, with the `1 / √head_dim`.
    scales: Vec<f32>,
    /// `[queries of a group, slabs · SLAB]`
    scores: Vec<f32>,
}

impl Attention {
    /// `out: [tokens, heads, head_dim]` for `queries` of the same shape at positions `first..`, whose own keys and
    /// values are cached already.
    pub fn run(&mut self, c: &Config, kv: &KvCache, layer: usize, first: usize, queries: &[f32], out: &mut [f32]) {
        let (d, width, group) = (c.head_dim, c.heads * c.head_dim, c.heads / c.kv_heads);
        let tokens = queries.len() / width;
        let window = c.window(layer).unwrap_or(usize::MAX);
        let seen = |query: usize| {
            let end = first + query / group + 1;
            end.saturating_sub(window)..end
        };
        let slabs = seen(0).start / SLAB..(first + tokens).div_ceil(SLAB);
        let origin = slabs.start * SLAB;
        self.queries.resize(queries.len(), 0);
        self.scales.resize(queries.len() / BLOCK, 0.0);
        quantize(queries, &mut self.queries, &mut self.scales);
        let scale = 1.0 / (d as f32).sqrt();
        self.scales.iter_mut().for_each(|s| *s *= scale);
        self.scores.resize(tokens * group * slabs.len() * SLAB, 0.0);
        out.fill(0.0);
        for head in 0..c.kv_heads {
            let place = |query: usize| query / group * width + (head * group + query % group) * d;
            for (query, scores) in self.scores.chunks_exact_mut(slabs.len() * SLAB).enumerate() {
                let (at, seen) = (place(query), seen(query));
                let query = Query {
                    floats: &queries[at..][..d],
                    values: &self.queries[at..][..d],
                    scales: &self.scales[at / BLOCK..][..d / BLOCK],
                };
                let last = seen.end.div_ceil(SLAB);
                for (slab, scores) in (slabs.start..last).zip(scores.chunks_exact_mut(SLAB)) {
                    let positions = SLAB.min(seen.end - slab * SLAB);
                    match kv.half_of(layer, Kind::Keys, slab) {
                        Half::Float32(keys) => score_floats(&query, scale, keys, head, &mut scores[..positions]),
                        Half::Int16 { values, scales } => score(&query, values, scales, head, positions, scores),
                    }
                }
                let (unseen, later) = (seen.start - origin, seen.end - origin);
                softmax(&mut scores[unseen..later]);
                scores[..unseen].fill(0.0);
                scores[later..].fill(0.0);
                let y = &mut out[at..][..d];
                for (slab, probabilities) in (slabs.start..last).zip(scores.chunks_exact(SLAB)) {
                    let positions = SLAB.min(seen.end - slab * SLAB);
                    match kv.half_of(layer, Kind::Values, slab) {
                        Half::Float32(values) => add_floats(y, &probabilities[..positions], values, head),
                        Half::Int16 { values, scales } => add_values(y, probabilities, values, scales, head, positions),
                    }
                }
            }
        }
    }
}

/// One head's query, in f32 and as integers; `1 / √head_dim` is in the scales.
struct Query<'a> {
    floats: &'a [f32],
    values: &'a [i16],
    scales: &'a [f32],
}

/// The scores of the first keys of a slab.
fn score_floats(query: &Query, scale: f32, keys: &[f32], head: usize, scores: &mut [f32]) {
    let (d, width) = (query.floats.len(), keys.len() / SLAB);
    for (score, keys) in scores.iter_mut().zip(keys.chunks_exact(width)) {
        *score = scale * dot_f32(query.floats, &keys[head * d..][..d]);
    }
}

/// `y += probabilities · values` for one head and the first positions of a slab.
fn add_floats(y: &mut [f32], probabilities: &[f32], values: &[f32], head: usize) {
    let (d, width) = (y.len(), values.len() / SLAB);
    for (probability, values) in probabilities.iter().zip(values.chunks_exact(width)) {
        add_scaled(y, *probability, &values[head * d..][..d]);
    }
}

/// The scores of at least the first `positions` keys of a slab.
fn score(query: &Query, keys: &[i16], scales: &[f32], head: usize, positions: usize, scores: &mut [f32]) {
    let (d, width) = (query.values.len(), keys.len() / SLAB);
    let (q, _) = query.values.as_chunks::<BLOCK>();
    for (four, scores) in scores.as_chunks_mut::<4>().0.iter_mut().enumerate().take(positions.div_ceil(4)) {
        let products = [0, 1, 2, 3].map(|i| {
            let at = (four * 4 + i) * width + head * d;
            let (key, _) = keys[at..][..d].as_chunks::<BLOCK>();
            let scales = &scales[at / BLOCK..][..d / BLOCK];
            let mut sum = splat_f32(0.0);
            for (((q, key), q_scale), scale) in q.iter().zip(key).zip(query.scales).zip(scales) {
                sum = add_f32(sum, mul_f32(i32_to_f32(dot(q, key)), splat_f32(q_scale * scale)));
            }
            sum
        });
        store_f32(scores, sums_f32(products));
    }
}

/// Products of a block; each element of the result is the sum of eight.
#[inline(always)]
fn dot(a: &[i16; BLOCK], b: &[i16; BLOCK]) -> V {
    let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    let product = |i: usize| dot_i16(load_i16(&a[i]), load_i16(&b[i]));
    add_i32(add_i32(product(0), product(1)), add_i32(product(2), product(3)))
}

/// `y += probabilities · values` for one head and a slab, of which no probability from `positions` on counts.
fn add_values(y: &mut [f32], probabilities: &[f32], values: &[i16], scales: &[f32], head: usize, positions: usize) {
    let (d, width) = (y.len(), values.len() / SLAB);
    let (y, _) = y.as_chunks_mut::<BLOCK>();
    for (block, y) in y.iter_mut().enumerate() {
        let column = head * d + block * BLOCK;
        // A value's scale goes into its probability, so that one scale is left for the slab.
        let mut floats = [0.0; SLAB];
        let scales = scales[column / BLOCK..].iter().step_by(width / BLOCK);
        for ((float, probability), scale) in floats.iter_mut().zip(probabilities).zip(scales) {
            *float = probability * scale;
        }
        let mut weights = [0; SLAB];
        let scale = splat_f32(quantize_together(&floats, &mut weights));
        let (y, _) = y.as_chunks_mut::<4>();
        for (eight, weights) in weights.as_chunks::<8>().0.iter().enumerate().take(positions.div_ceil(8)) {
            let mut sums = [splat_i32(0); BLOCK / 4];
            for (pair, weights) in weights.as_chunks::<2>().0.iter().enumerate() {
                let weights = splat_pair(weights);
                let at = (eight * 8 + pair * 2) * width + column;
                let (even, odd) = (row(values, at), row(values, at + width));
                for v in 0..BLOCK / 8 {
                    let (even, odd) = (load_i16(&even[v]), load_i16(&odd[v]));
                    sums[2 * v] = add_i32(sums[2 * v], dot_i16(zip_low_16(even, odd), weights));
                    sums[2 * v + 1] = add_i32(sums[2 * v + 1], dot_i16(zip_high_16(even, odd), weights));
                }
            }
            for (y, sum) in y.iter_mut().zip(sums) {
                store_f32(y, add_f32(load_f32(y), mul_f32(i32_to_f32(sum), scale)));
            }
        }
    }
}

/// A block from `at` on.
#[inline(always)]
fn row(values: &[i16], at: usize) -> &[[i16; 8]] {
    values[at..][..BLOCK].as_chunks().0
}

fn softmax(x: &mut [f32]) {
    let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for x in x.iter_mut() {
        *x = exp(*x - largest);
    }
    for x in x.iter() {
        sum += x;
    }
    for x in x.iter_mut() {
        *x /= sum;
    }
}
