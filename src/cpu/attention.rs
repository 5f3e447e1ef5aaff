//! Causal grouped-query attention over the KV cache: `softmax(q · kᵀ / √head_dim) · v` in f32.
//!
//! A slab of keys or values is brought to f32 once for all queries of a chunk and all heads of a group. Slabs lie at
//! fixed positions, so a query's sums run in the same order however the prompt is cut into chunks.

use std::ops::Range;

use super::kernels::{add_scaled, dot_f32, exp};
use super::kv_cache::{Kind, KvCache, SLAB};
use crate::model::Config;

/// Buffers, reused by all layers.
#[derive(Default)]
pub struct Attention {
    slab: Vec<f32>,
    /// `[queries · heads of a group, positions]`
    scores: Vec<f32>,
}

impl Attention {
    /// `out: [tokens, heads, head_dim]` for `queries` of the same shape at positions `first..`, whose own keys and
    /// values are cached already.
    pub fn run(&mut self, c: &Config, kv: &KvCache, layer: usize, first: usize, queries: &[f32], out: &mut [f32]) {
        let (d, width, group) = (c.head_dim, c.heads * c.head_dim, c.heads / c.kv_heads);
        let tokens = queries.len() / width;
        let positions = first + tokens;
        let scale = 1.0 / (d as f32).sqrt();
        let window = c.window(layer).unwrap_or(usize::MAX);
        let seen = |query: usize| {
            let end = first + query / group + 1;
            end.saturating_sub(window)..end
        };
        let oldest = seen(0).start / SLAB;
        self.slab.resize(SLAB * d, 0.0);
        self.scores.resize(tokens * group * positions, 0.0);
        out.fill(0.0);
        for head in 0..c.kv_heads {
            let place = |query: usize| query / group * width + (head * group + query % group) * d;
            for slab in oldest..positions.div_ceil(SLAB) {
                let start = slab * SLAB;
                let filled = SLAB.min(positions - start);
                kv.load(layer, Kind::Keys, slab, head, d, &mut self.slab[..filled * d]);
                for (query, scores) in self.scores.chunks_exact_mut(positions).enumerate() {
                    let q = &queries[place(query)..][..d];
                    let here = within(seen(query), start..start + filled);
                    let keys = self.slab.chunks_exact(d).skip(here.start - start);
                    for (score, key) in scores[here].iter_mut().zip(keys) {
                        *score = scale * dot_f32(q, key);
                    }
                }
            }
            for (query, scores) in self.scores.chunks_exact_mut(positions).enumerate() {
                softmax(&mut scores[seen(query)]);
            }
            for slab in oldest..positions.div_ceil(SLAB) {
                let start = slab * SLAB;
                let filled = SLAB.min(positions - start);
                kv.load(layer, Kind::Values, slab, head, d, &mut self.slab[..filled * d]);
                for (query, scores) in self.scores.chunks_exact(positions).enumerate() {
                    let y = &mut out[place(query)..][..d];
                    let here = within(seen(query), start..start + filled);
                    let values = self.slab.chunks_exact(d).skip(here.start - start);
                    for (score, value) in scores[here].iter().zip(values) {
                        add_scaled(y, *score, value);
                    }
                }
            }
        }
    }
}

/// The positions of `seen` that are in a slab's `there`.
fn within(seen: Range<usize>, there: Range<usize>) -> Range<usize> {
    seen.start.clamp(there.start, there.end)..seen.end.clamp(there.start, there.end)
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
