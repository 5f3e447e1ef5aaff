//! Causal grouped-query attention over the KV cache: `softmax(q · kᵀ / √head_dim) · v`.
//!
//! Over a cache of integers, queries and probabilities become 15-bit integers with a scale too, and are multiplied as integers; sums
//! go over to f32 before they can overflow (8 · 16383² < 2³¹). Slabs lie at fixed positions, so a query's sums run in the same order
//! however the prompt is cut into chunks, and whichever queries are computed with it.

use core::array::from_fn;
use std::cell::Cell;

use super::activations::{quantize, quantize_together};
use super::floats::{add_scaled, dot_f32, exp_of_all};
use super::kv_cache::{Half, Kind, KvCache, SLAB};
use super::quant::BLOCK;
use super::team::{Outputs, Team};
use super::vector::{
    V, add_f32, add_i32, dot_i16, i32_to_f32, load_f32, load_i16, mul_f32, splat_f32, splat_i32, splat_pair, store_f32,
};
use crate::model::Config;

/// Queries that are computed together, at most.
const TOGETHER: usize = 4;
/// Queries of one kv head that are a piece of work, at most.
const PIECE: usize = 32;

/// Buffers, reused by all layers.
#[derive(Default)]
pub struct Attention {
    /// `[tokens, heads, head_dim]`
    queries: Vec<i16>,
    /// `[tokens, heads, head_dim / 32]`, with the `1 / √head_dim`.
    scales: Vec<f32>,
}

/// A thread's buffers.
#[derive(Default)]
pub struct Attending {
    /// `[queries that are computed together, slabs · SLAB]`
    scores: Vec<f32>,
    /// `[queries that are computed together, head_dim]`
    sums: Vec<f32>,
}

impl Attending {
    /// Makes room for queries that see so many slabs.
    fn fit(&mut self, slabs: usize, head_dim: usize) {
        self.scores.reserve((TOGETHER * slabs * SLAB).saturating_sub(self.scores.len()));
        self.sums.reserve((TOGETHER * head_dim).saturating_sub(self.sums.len()));
    }
}

/// The queries of all heads that share a kv head, and what they see: query `i` is token `i / group`'s.
struct Queries<'a> {
    kv: &'a KvCache,
    layer: usize,
    kv_head: usize,
    head_dim: usize,
    /// `heads · head_dim`
    width: usize,
    group: usize,
    /// The first token's position.
    first: usize,
    window: usize,
    /// `1 / √head_dim`
    scale: f32,
    floats: &'a [f32],
    values: &'a [i16],
    /// With the `1 / √head_dim`.
    scales: &'a [f32],
}

impl Attention {
    /// `out: [tokens, heads, head_dim]` for `queries` of the same shape at positions `first..`, whose own keys and
    /// values are cached already.
    pub fn run(
        &mut self,
        c: &Config,
        (kv, layer): (&KvCache, usize),
        first: usize,
        queries: &[f32],
        out: &mut [f32],
        team: &mut Team,
    ) {
        let (d, group) = (c.head_dim, c.heads / c.kv_heads);
        self.queries.resize(queries.len(), 0);
        self.scales.resize(queries.len() / BLOCK, 0.0);
        quantize(queries, &mut self.queries, &mut self.scales);
        let scale = 1.0 / (d as f32).sqrt();
        self.scales.iter_mut().for_each(|s| *s *= scale);
        let of_head = |kv_head| Queries {
            kv,
            layer,
            kv_head,
            head_dim: d,
            width: c.heads * d,
            group,
            first,
            window: c.window(layer).unwrap_or(usize::MAX),
            scale,
            floats: queries,
            values: &self.queries,
            scales: &self.scales,
        };
        let count = queries.len() / d / c.kv_heads;
        let (parts, slabs) = (count.div_ceil(PIECE), (first + count / group).div_ceil(SLAB));
        let out = Outputs::of(out);
        team.share(
            c.kv_heads * parts,
            |scratch| scratch.attending.fit(slabs, d),
            |scratch, piece| {
                let queries = of_head(piece / parts);
                let mut query = piece % parts * PIECE;
                let end = count.min(query + PIECE);
                while query < end {
                    query += match end - query {
                        1 => queries.attend::<1>(query, &mut scratch.attending, out.cells()),
                        2 | 3 => queries.attend::<2>(query, &mut scratch.attending, out.cells()),
                        _ => queries.attend::<TOGETHER>(query, &mut scratch.attending, out.cells()),
                    }
                }
            },
        );
    }
}

impl Queries<'_> {
    /// Where a query's head begins in a `[tokens, heads, head_dim]`.
    fn place(&self, query: usize) -> usize {
        query / self.group * self.width + (self.kv_head * self.group + query % self.group) * self.head_dim
    }

    /// The `Q` queries from `query` on; returns `Q`.
    fn attend<const Q: usize>(&self, query: usize, scratch: &mut Attending, out: &[Cell<f32>]) -> usize {
        let ends: [usize; Q] = from_fn(|q| self.first + (query + q) / self.group + 1);
        let slabs = ends[0].saturating_sub(self.window) / SLAB..ends[Q - 1].div_ceil(SLAB);
        let (origin, row) = (slabs.start * SLAB, slabs.len() * SLAB);
        let Attending { scores, sums } = scratch;
        scores.resize(Q * row, 0.0);
        sums.clear();
        sums.resize(Q * self.head_dim, 0.0);
        // Of a slab, those that any of the queries sees; what one of them does not see has the probability 0.
        let positions = |slab: usize| SLAB.min(ends[Q - 1] - slab * SLAB);
        for slab in slabs.clone() {
            let positions = positions(slab);
            let scores = &mut scores[slab * SLAB - origin..];
            match self.kv.half_of(self.layer, Kind::Keys, slab) {
                Half::Float32(keys) => self.score_floats::<Q>(query, keys, positions, scores, row),
                Half::Int16 { values, scales } => {
                    self.score::<Q>(query, values, scales, positions, scores, row);
                }
            }
        }
        let mut inverse_sums = [0.0; Q];
        for q in 0..Q {
            let scores = &mut scores[q * row..][..row];
            let (unseen, later) = (ends[q].saturating_sub(self.window).max(origin) - origin, ends[q] - origin);
            scores[..unseen].fill(f32::NEG_INFINITY);
            scores[later..].fill(f32::NEG_INFINITY);
            inverse_sums[q] = 1.0 / exp_of_all(scores);
            scores[..unseen].fill(0.0);
            scores[later..].fill(0.0);
        }
        for slab in slabs {
            let probabilities: [&[f32]; Q] = from_fn(|q| &scores[q * row + slab * SLAB - origin..][..positions(slab)]);
            match self.kv.half_of(self.layer, Kind::Values, slab) {
                Half::Float32(values) => self.add_floats(probabilities, values, sums),
                Half::Int16 { values, scales } => self.add_values(probabilities, values, scales, sums),
            }
        }
        for (q, (sums, inverse)) in sums.chunks_exact(self.head_dim).zip(inverse_sums).enumerate() {
            let out = &out[self.place(query + q)..];
            out.iter().zip(sums).for_each(|(out, sum)| out.set(sum * inverse));
        }
        Q
    }

    /// Scores of a slab's first keys; a query's are `row` after those of the one before.
    fn score_floats<const Q: usize>(
        &self,
        query: usize,
        keys: &[f32],
        positions: usize,
        scores: &mut [f32],
        row: usize,
    ) {
        let (d, width) = (self.head_dim, keys.len() / SLAB);
        for q in 0..Q {
            let query = &self.floats[self.place(query + q)..][..d];
            for (score, keys) in scores[q * row..][..positions].iter_mut().zip(keys.chunks_exact(width)) {
                *score = self.scale * dot_f32(query, &keys[self.kv_head * d..][..d]);
            }
        }
    }

    /// `sums: [Q, head_dim] += probabilities · values` for the first positions of a slab.
    fn add_floats<const Q: usize>(&self, probabilities: [&[f32]; Q], values: &[f32], sums: &mut [f32]) {
        let (d, width) = (self.head_dim, values.len() / SLAB);
        for (y, probabilities) in sums.chunks_exact_mut(d).zip(probabilities) {
            for (probability, values) in probabilities.iter().zip(values.chunks_exact(width)) {
                add_scaled(y, *probability, &values[self.kv_head * d..][..d]);
            }
        }
    }

    /// The same as [`Queries::score_floats`] for at least the first `positions`.
    fn score<const Q: usize>(
        &self,
        query: usize,
        keys: &[[i16; 8]],
        scales: &[f32],
        positions: usize,
        scores: &mut [f32],
        row: usize,
    ) {
        let d = self.head_dim;
        let (pairs, blocks) = (d / 2, d / BLOCK);
        let keys = keys[self.kv_head * SLAB / 4 * pairs..][..SLAB / 4 * pairs].chunks_exact(2 * pairs);
        let scales = scales[self.kv_head * SLAB * blocks..][..SLAB * blocks].chunks_exact(8 * blocks);
        let queries: [&[[i16; 2]]; Q] = from_fn(|q| self.values[self.place(query + q)..][..d].as_chunks().0);
        let query_scales: [&[f32]; Q] = from_fn(|q| &self.scales[self.place(query + q) / BLOCK..][..blocks]);
        for (eight, (keys, scales)) in keys.zip(scales).enumerate().take(positions.div_ceil(8)) {
            let (keys, scales) = (keys.split_at(pairs), scales.split_at(4 * blocks));
            let mut sums = [[splat_f32(0.0); 2]; Q];
            for (b, start) in (0..pairs).step_by(BLOCK / 2).enumerate() {
                let here = start..start + BLOCK / 2;
                let (first, second) = (&keys.0[here.clone()], &keys.1[here.clone()]);
                let products =
                    products(queries.map(|query| &query[here.clone()]), first.iter().zip(second).map(|(a, b)| [a, b]));
                let scales = [scales.0, scales.1].map(|scales| load_f32(&scales.as_chunks().0[b]));
                for q in 0..Q {
                    for f in 0..2 {
                        let scale = mul_f32(splat_f32(query_scales[q][b]), scales[f]);
                        sums[q][f] = add_f32(sums[q][f], mul_f32(products[q][f], scale));
                    }
                }
            }
            for (q, sums) in sums.into_iter().enumerate() {
                let (scores, _) = scores[q * row + eight * 8..][..8].as_chunks_mut::<4>();
                store_f32(&mut scores[0], sums[0]);
                store_f32(&mut scores[1], sums[1]);
            }
        }
    }

    /// The same as [`Queries::add_floats`].
    fn add_values<const Q: usize>(
        &self,
        probabilities: [&[f32]; Q],
        values: &[[i16; 8]],
        scales: &[f32],
        sums: &mut [f32],
    ) {
        let d = self.head_dim;
        // A value's scale goes into its probability, so that one scale is left for the slab.
        let scales = &scales[self.kv_head * SLAB..][..SLAB];
        let mut weights = [[0; SLAB]; Q];
        let slab_scales: [V; Q] = from_fn(|q| {
            let mut scaled = [0.0; SLAB];
            let products = probabilities[q].iter().zip(scales).map(|(probability, scale)| probability * scale);
            scaled.iter_mut().zip(products).for_each(|(to, product)| *to = product);
            splat_f32(quantize_together(&scaled, &mut weights[q]))
        });
        let used = probabilities[0].len().next_multiple_of(8);
        let weights: [&[[i16; 2]]; Q] = from_fn(|q| weights[q][..used].as_chunks().0);
        let values = &values[self.kv_head * SLAB * d / 8..][..SLAB * d / 8];
        for eight in 0..d / 8 {
            let pairs = values.chunks_exact(d / 4).map(|pair| [&pair[2 * eight], &pair[2 * eight + 1]]);
            let products = products(weights, pairs);
            for (q, products) in products.into_iter().enumerate() {
                let (y, _) = sums[q * d + eight * 8..][..8].as_chunks_mut::<4>();
                for (y, product) in y.iter_mut().zip(products) {
                    store_f32(y, add_f32(load_f32(y), mul_f32(product, slab_scales[q])));
                }
            }
        }
    }
}

/// For each of `Q` rows of pairs the products with those of eight others, whose pairs come as two vectors of four: exact integers of
/// every four pairs, added up in f32.
#[inline(always)]
fn products<'a, const Q: usize>(
    rows: [&[[i16; 2]]; Q],
    mut others: impl Iterator<Item = [&'a [i16; 8]; 2]>,
) -> [[V; 2]; Q] {
    let rows = rows.map(|row| row.as_chunks::<4>().0);
    let row = |q: usize, four: usize, pair: usize| splat_pair(&rows[q][four][pair]);
    let mut sums = [[splat_f32(0.0); 2]; Q];
    for four in 0..rows[0].len() {
        let mut integers = [[splat_i32(0); 2]; Q];
        for pair in 0..4 {
            let Some(other) = others.next() else { break };
            for (q, integers) in integers.iter_mut().enumerate() {
                let row = row(q, four, pair);
                for f in 0..2 {
                    integers[f] = add_i32(integers[f], dot_i16(row, load_i16(other[f])));
                }
            }
        }
        for q in 0..Q {
            for f in 0..2 {
                sums[q][f] = add_f32(sums[q][f], i32_to_f32(integers[q][f]));
            }
        }
    }
    sums
}
