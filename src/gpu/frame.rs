//! The frame of a network: everything that its dispatches bind beside weights and cache, and the dispatches of a layer. Each
//! layer is put in as soon as its weights have come, so that its kernels compile while the rest is on its way.

use super::device::{Device, Dispatch};
use super::kernels::attention::{TILE, splits};
use super::kernels::linear::{Columns, Input, Linear, Output, padded_tokens, swiglu};
use super::kernels::merge::Partials;
use super::kernels::norm::Norm;
use super::kernels::sampler::{self, SamplerBuffers};
use super::state::{SLOTS, State};
use super::weights::Matrix;
use crate::error::Result;
use crate::model::Config;

/// The most tokens of one chunk of a prefill.
pub const CHUNK: usize = 512;

/// Projections of one input: one matrix where possible, so that they share a dispatch.
pub enum Projection {
    /// The rows of all of them.
    Fused(Matrix),
    /// Different types, or too large for one binding.
    Apart(Vec<Matrix>),
}

impl Projection {
    /// The parts.
    pub fn matrices(&self) -> &[Matrix] {
        match self {
            Self::Fused(matrix) => std::slice::from_ref(matrix),
            Self::Apart(parts) => parts,
        }
    }
}

/// The weights of one transformer block.
pub struct Layer {
    /// `[hidden]`
    pub attention_norm: wgpu::Buffer,
    /// Query, key and value.
    pub qkv: Projection,
    /// See [`Attention::vectors`].
    pub head_vectors: Option<wgpu::Buffer>,
    /// Positions back to which it sees.
    pub window: Option<usize>,
    /// Attention's output.
    pub output: Matrix,
    /// `[hidden]`
    pub feed_forward_norm: wgpu::Buffer,
    /// Gate and up.
    pub gate_up: Projection,
    /// Down.
    pub down: Matrix,
}

/// The activations of a step, `[column][…]` each.
pub struct Activations {
    pub tokens: wgpu::Buffer,
    pub x: wgpu::Buffer,
    pub normed: wgpu::Buffer,
    pub qkv: wgpu::Buffer,
    pub attended: wgpu::Buffer,
    pub softmax: wgpu::Buffer,
    pub merged: wgpu::Buffer,
    pub inner: wgpu::Buffer,
    pub up: wgpu::Buffer,
    pub logits: wgpu::Buffer,
}

/// The dispatches of one layer around its attention, which binds the cache.
pub struct Steps {
    pub before: Vec<Dispatch>,
    pub after: Vec<Dispatch>,
}

/// A network without its layers, its ends and its cache.
pub struct Frame {
    pub device: Device,
    pub config: Config,
    pub context_length: usize,
    pub state: State,
    pub sampler: SamplerBuffers,
    pub activations: Activations,
    /// See [`super::kernels::attention::Attention::rope`].
    pub rope: wgpu::Buffer,
    /// The last activations of each slot's last prefill, as decode reads them: `[slot][hidden]`.
    pub kept: wgpu::Buffer,
}

impl Frame {
    /// Room for a model of this shape.
    pub fn new(device: Device, config: Config, context_length: usize) -> Self {
        let tokens = padded_tokens(CHUNK);
        let (attention, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let floats = |label: &str, count: usize| device.storage(label, count * 4);
        let activations = Activations {
            tokens: floats("tokens", tokens),
            x: floats("x", tokens * config.hidden),
            normed: floats("normed", tokens * config.hidden),
            qkv: floats("qkv", tokens * (attention + 2 * kv)),
            attended: floats("attended", attention * tokens.max(SLOTS * splits(&device) as usize)),
            softmax: floats("softmax", SLOTS * config.heads * splits(&device) as usize * 2),
            merged: floats("merged", SLOTS * attention),
            inner: floats("inner", tokens * config.intermediate),
            up: floats("up", tokens * config.intermediate),
            logits: floats("logits", SLOTS * sampler::padded(config.vocab)),
        };
        let state = State::new(&device, context_length.div_ceil(TILE));
        let sampler = SamplerBuffers::new(&device, config.vocab, context_length);
        let rope = floats("rope", context_length * config.head_dim);
        let kept = floats("kept", SLOTS * config.hidden);
        Self { device, config, context_length, state, sampler, activations, rope, kept }
    }

    /// Writes the table of RoPE, when all that it depends on is known.
    pub fn write_rope(&self) {
        let table = self.config.rope.table(self.config.head_dim, 0..self.context_length);
        self.device.queue.write_buffer(&self.rope, 0, bytemuck::cast_slice(&table));
    }

    /// The head over normalised x, to the logits.
    pub fn head(&self, matrix: &Matrix, norm: &wgpu::Buffer, columns: Columns) -> Result<Vec<Dispatch>> {
        let (x, logits) = (&self.activations.x, &self.activations.logits);
        let input = Input::Norm { x, weight: norm, eps: self.config.rms_eps };
        self.linear(matrix, input, Output::Store, (logits, sampler::padded(self.config.vocab), 0), columns)
    }

    /// What a layer does with a step's columns.
    pub fn layer(&self, layer: &Layer, columns: Columns) -> Result<Steps> {
        let (config, at) = (&self.config, &self.activations);
        let attention = config.heads * config.head_dim;
        let mut before = Vec::new();
        let input = self.normed(&layer.attention_norm, columns, &mut before)?;
        let qkv_columns = attention + 2 * config.kv_heads * config.head_dim;
        let mut y_offset = 0;
        for matrix in layer.qkv.matrices() {
            before.extend(self.linear(matrix, input, Output::Store, (&at.qkv, qkv_columns, y_offset), columns)?);
            y_offset += matrix.rows;
        }

        let fused = columns != Columns::Tokens && !self.device.software;
        let merged = if fused {
            let splits = splits(&self.device);
            let Config { heads, head_dim, .. } = *config;
            let (partials, softmax, whole) = (&at.attended, &at.softmax, &at.merged);
            Input::Partials(Partials { partials, softmax, whole, heads, head_dim, splits })
        } else {
            Input::Plain(&at.attended)
        };
        let x = (&at.x, config.hidden, 0);
        let mut after = self.linear(&layer.output, merged, Output::Residual, x, columns)?;
        let input = self.normed(&layer.feed_forward_norm, columns, &mut after)?;
        let (inner, up) = ((&at.inner, config.intermediate, 0), (&at.up, config.intermediate, 0));
        match &layer.gate_up {
            Projection::Fused(matrix) => after.extend(self.linear(matrix, input, Output::Swiglu, inner, columns)?),
            Projection::Apart(parts) => {
                for (matrix, y) in parts.iter().zip([inner, up]) {
                    after.extend(self.linear(matrix, input, Output::Store, y, columns)?);
                }
                after.push(swiglu(&self.device, config.intermediate, &at.up, &at.inner)?);
            }
        }
        after.extend(self.linear(&layer.down, Input::Plain(&at.inner), Output::Residual, x, columns)?);
        Ok(Steps { before, after })
    }

    /// A product into `y`, of so many columns, from an element on.
    fn linear(
        &self,
        matrix: &Matrix,
        input: Input,
        output: Output,
        (y, y_columns, y_offset): (&wgpu::Buffer, usize, usize),
        columns: Columns,
    ) -> Result<Vec<Dispatch>> {
        let (state, at) = (&self.state.buffer, &self.activations);
        let feeds = [&at.x, &at.inner, &at.up].contains(&y);
        Linear { matrix, input, output, y, y_columns, y_offset, feeds, columns, state }.dispatches(&self.device)
    }

    /// x normalised: fused into the next kernel in decode, a dispatch of its own in a prefill.
    fn normed<'b>(&'b self, weight: &'b wgpu::Buffer, of: Columns, steps: &mut Vec<Dispatch>) -> Result<Input<'b>> {
        let (x, y) = (&self.activations.x, &self.activations.normed);
        let (columns, eps) = (self.config.hidden, self.config.rms_eps);
        if of != Columns::Tokens {
            return Ok(Input::Norm { x, weight, eps });
        }
        steps.push(Norm { columns, eps, x, weight, y }.dispatch(&self.device)?);
        Ok(Input::Plain(y))
    }
}
