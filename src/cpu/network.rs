//! The network over a tile of tokens (`transformers` `models/*/modeling_*.py` are the definition).

use super::activations::Activations;
use super::attention::Attention;
use super::floats::{dot_f32, exp};
use super::kv_cache::{Kind, KvCache};
use super::matrix::Matrix;
use super::team::Team;
use crate::error::Result;
use crate::model::{Config, Pairing};

/// Tokens that go through the network together: enough that unpacking weights costs little, few enough that their
/// activations stay in the cache of a core.
pub const TILE: usize = 64;

/// One transformer block's weights.
pub struct Layer {
    /// `[hidden]`
    pub attention_norm: Vec<f32>,
    /// `[heads · head_dim, hidden]`
    pub query: Matrix,
    /// `[kv_heads · head_dim, hidden]`
    pub key: Matrix,
    /// `[kv_heads · head_dim, hidden]`
    pub value: Matrix,
    /// Of query, key and value; empty where the architecture has none.
    pub biases: [Vec<f32>; 3],
    /// `[head_dim]`; empty where the architecture has none.
    pub query_norm: Vec<f32>,
    /// `[head_dim]`; empty where the architecture has none.
    pub key_norm: Vec<f32>,
    /// `[hidden, heads · head_dim]`
    pub output: Matrix,
    /// `[hidden]`
    pub feed_forward_norm: Vec<f32>,
    /// `[intermediate, hidden]`
    pub gate: Matrix,
    /// `[intermediate, hidden]`
    pub up: Matrix,
    /// `[hidden, intermediate]`
    pub down: Matrix,
}

impl Layer {
    /// All matrices, in the order of use.
    pub fn matrices(&self) -> [&Matrix; 7] {
        [&self.query, &self.key, &self.value, &self.output, &self.gate, &self.up, &self.down]
    }
}

/// All weights.
pub struct Network {
    /// Shapes and constants.
    pub config: Config,
    /// `[vocab, hidden]`
    pub embedding: Matrix,
    /// The blocks.
    pub layers: Vec<Layer>,
    /// `[hidden]`
    pub final_norm: Vec<f32>,
    /// `[vocab, hidden]`; none when the embedding is the head.
    pub head: Option<Matrix>,
}

/// Buffers for [`TILE`] tokens, reused by all layers and sequences.
#[derive(Default)]
pub struct Workspace {
    hidden: Vec<f32>,
    normed: Vec<f32>,
    x: Activations,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    attended: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    rotation: Vec<[f32; 2]>,
    attention: Attention,
}

impl Workspace {
    /// Lets go of all tokens but the last.
    fn keep_last(&mut self, c: &Config) {
        for rows in [&mut self.hidden, &mut self.normed] {
            rows.drain(..rows.len() - c.hidden);
        }
        self.query.truncate(c.heads * c.head_dim);
        self.attended.truncate(c.heads * c.head_dim);
        self.gate.truncate(c.intermediate);
        self.up.truncate(c.intermediate);
    }
}

impl Network {
    /// Takes `tokens` in at positions `first..` and returns the last one's hidden state, `[hidden]`; there is at least one.
    pub fn forward(
        &self,
        tokens: &[u32],
        first: usize,
        kv: &mut KvCache,
        w: &mut Workspace,
        team: &mut Team,
    ) -> Result<Vec<f32>> {
        kv.reserve(first + tokens.len())?;
        team.step(tokens.len(), |team| {
            for (i, tile) in tokens.chunks(TILE).enumerate() {
                self.tile(tile, first + i * TILE, kv, w, team);
            }
        });
        Ok(w.hidden[w.hidden.len() - self.config.hidden..].to_vec())
    }

    fn tile(&self, tokens: &[u32], first: usize, kv: &mut KvCache, w: &mut Workspace, team: &mut Team) {
        let c = &self.config;
        let n = tokens.len();
        w.hidden.resize(n * c.hidden, 0.0);
        w.query.resize(n * c.heads * c.head_dim, 0.0);
        w.attended.resize(n * c.heads * c.head_dim, 0.0);
        w.key.resize(n * c.kv_heads * c.head_dim, 0.0);
        w.value.resize(n * c.kv_heads * c.head_dim, 0.0);
        w.gate.resize(n * c.intermediate, 0.0);
        w.up.resize(n * c.intermediate, 0.0);
        for (token, row) in tokens.iter().zip(w.hidden.chunks_exact_mut(c.hidden)) {
            self.embedding.row(*token as usize, row);
        }
        w.rotation = c.rope.table(c.head_dim, first..first + n);
        for (i, layer) in self.layers.iter().enumerate() {
            self.attend(i, layer, first, kv, w, team);
            feed_forward(c, layer, w, team);
        }
    }

    fn attend(&self, index: usize, layer: &Layer, first: usize, kv: &mut KvCache, w: &mut Workspace, team: &mut Team) {
        let c = &self.config;
        norm_rows(&w.hidden, &layer.attention_norm, c.rms_eps, &mut w.normed);
        w.x.set(w.normed.iter().copied(), c.hidden);
        let tokens = w.x.tokens();
        let of_keys = (&layer.key, &mut w.key[..]);
        let of_values = (&layer.value, &mut w.value[..]);
        // Nobody asks for more of the last layer than its keys, its values, and the last token's hidden state.
        let queries = if index + 1 < self.layers.len() { tokens } else { 1 };
        if queries == tokens {
            team.multiply(&w.x, [(&layer.query, &mut w.query[..]), of_keys, of_values]);
        } else {
            team.multiply(&w.x, [of_keys, of_values]);
            w.keep_last(c);
            w.x.set(w.normed.iter().copied(), c.hidden);
            team.multiply(&w.x, [(&layer.query, &mut w.query[..])]);
        }
        for (x, bias) in [&mut w.query, &mut w.key, &mut w.value].into_iter().zip(&layer.biases) {
            add_to_rows(x, bias);
        }
        let before = tokens - queries;
        norm_and_rotate(&mut w.query, &layer.query_norm, c, &w.rotation[before * c.head_dim / 2..]);
        norm_and_rotate(&mut w.key, &layer.key_norm, c, &w.rotation);
        let width = c.kv_heads * c.head_dim;
        for (t, (key, value)) in w.key.chunks_exact(width).zip(w.value.chunks_exact(width)).enumerate() {
            kv.store(index, Kind::Keys, first + t, key);
            kv.store(index, Kind::Values, first + t, value);
        }
        w.attention.run(c, (kv, index), first + before, &w.query, &mut w.attended, team);
        w.x.set(w.attended.iter().copied(), c.heads * c.head_dim);
        w.normed.resize(w.hidden.len(), 0.0);
        team.multiply(&w.x, [(&layer.output, &mut w.normed[..])]);
        add(&mut w.hidden, &w.normed);
    }

    /// The head's `[vocab]` for one token's `hidden: [hidden]`.
    pub fn logits(&self, hidden: &[f32], w: &mut Workspace, team: &mut Team) -> Vec<f32> {
        let c = &self.config;
        norm_rows(hidden, &self.final_norm, c.rms_eps, &mut w.normed);
        w.x.set(w.normed.iter().copied(), c.hidden);
        let mut logits = vec![0.0; c.vocab];
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        team.multiply(&w.x, [(head, &mut logits[..])]);
        logits
    }
}

/// `hidden += down · (silu(gate · x) ⊙ up · x)`, x the normed hidden.
fn feed_forward(c: &Config, layer: &Layer, w: &mut Workspace, team: &mut Team) {
    norm_rows(&w.hidden, &layer.feed_forward_norm, c.rms_eps, &mut w.normed);
    w.x.set(w.normed.iter().copied(), c.hidden);
    team.multiply(&w.x, [(&layer.gate, &mut w.gate[..]), (&layer.up, &mut w.up[..])]);
    let gated = w.gate.iter().zip(&w.up).map(|(gate, up)| gate * (up / (1.0 + exp(-gate))));
    w.x.set(gated, c.intermediate);
    team.multiply(&w.x, [(&layer.down, &mut w.normed[..])]);
    add(&mut w.hidden, &w.normed);
}

fn add(y: &mut [f32], x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += x;
    }
}

/// `1 / √(mean(x²) + ε)`
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (dot_f32(x, x) / x.len() as f32 + eps).sqrt()
}

/// RMSNorm of every row of `x: [rows, weight.len()]`.
fn norm_rows(x: &[f32], weight: &[f32], eps: f32, out: &mut Vec<f32>) {
    out.resize(x.len(), 0.0);
    for (x, out) in x.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
        let scale = inverse_rms(x, eps);
        for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
            *out = x * scale * weight;
        }
    }
}

/// Adds a bias to every row; nothing where there is none.
fn add_to_rows(x: &mut [f32], bias: &[f32]) {
    if !bias.is_empty() {
        x.chunks_exact_mut(bias.len()).for_each(|row| add(row, bias));
    }
}

/// RMSNorm of each head of `x: [tokens, heads, head_dim]` unless the weight is empty, then the rotation of its pairs.
fn norm_and_rotate(x: &mut [f32], weight: &[f32], c: &Config, rotation: &[[f32; 2]]) {
    let half = c.head_dim / 2;
    let tokens = rotation.len() / half;
    let per_token = x.len() / tokens;
    for (token, rotation) in x.chunks_exact_mut(per_token).zip(rotation.chunks_exact(half)) {
        for head in token.chunks_exact_mut(c.head_dim) {
            if !weight.is_empty() {
                let scale = inverse_rms(head, c.rms_eps);
                head.iter_mut().zip(weight).for_each(|(x, weight)| *x = *x * scale * weight);
            }
            match c.rope.pairing {
                Pairing::Halves => {
                    let (a, b) = head.split_at_mut(half);
                    a.iter_mut().zip(b).zip(rotation).for_each(|((a, b), by)| rotate(a, b, *by));
                }
                Pairing::Neighbours => {
                    let pairs = head.as_chunks_mut::<2>().0;
                    pairs.iter_mut().zip(rotation).for_each(|([a, b], by)| rotate(a, b, *by));
                }
            }
        }
    }
}

fn rotate(a: &mut f32, b: &mut f32, [cos, sin]: [f32; 2]) {
    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
}
