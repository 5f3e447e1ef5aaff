//! The network as lists of dispatches over static bindings: one list for a decode step, one for a chunk of a prefill.

use bytemuck::{Pod, Zeroable};

use super::device::{Device, Dispatch};
use super::kernels::attention::{Attention, Precision, splits};
use super::kernels::embed::Embed;
use super::kernels::linear::{Input, Linear, Output, padded_tokens, swiglu};
use super::kernels::norm::Norm;
use super::kernels::sampler::{self, SamplerBuffers};
use super::kv_cache::KvCache;
use super::weights::Matrix;
use crate::error::Result;
use crate::formats::DType;
use crate::model::Config;

/// The most tokens of one chunk of a prefill.
pub const CHUNK: usize = 64;

/// What a step works on, as `state.wgsl` declares it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct State {
    /// Position of the step's first token.
    pub pos: u32,
    /// Tokens of the step.
    pub count: u32,
    /// The token to take in (decode); after sampling, the drawn one.
    pub token: u32,
    /// Not 0: the reply has ended.
    pub done: u32,
    /// Tokens drawn so far.
    pub step: u32,
}

/// Projections of one input: one matrix where possible, so that they share a dispatch.
pub enum Projection {
    /// The rows of all of them.
    Fused(Matrix),
    /// Different types, or too large for one binding.
    Apart(Vec<Matrix>),
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

/// The activations of a step, `[token][…]` each.
struct Activations {
    tokens: wgpu::Buffer,
    x: wgpu::Buffer,
    normed: wgpu::Buffer,
    qkv: wgpu::Buffer,
    attended: wgpu::Buffer,
    softmax: wgpu::Buffer,
    inner: wgpu::Buffer,
    up: wgpu::Buffer,
}

/// The dispatches of one layer around its attention, which belongs to a sequence.
struct Steps {
    before: Vec<Dispatch>,
    after: Vec<Dispatch>,
}

/// A model on a device, without any sequence.
pub struct Network {
    pub(super) device: Device,
    pub(super) config: Config,
    pub(super) context_length: usize,
    pub(super) quantization: DType,
    pub(super) precision: Precision,
    pub(super) weight_bytes: u64,
    pub(super) state: wgpu::Buffer,
    pub(super) logits: wgpu::Buffer,
    pub(super) sampler: SamplerBuffers,
    layers: Vec<Layer>,
    activations: Activations,
    rope: wgpu::Buffer,
    decode_embed: Vec<Dispatch>,
    decode: Vec<Steps>,
    prefill_embed: Vec<Dispatch>,
    prefill: Vec<Steps>,
    head: Vec<Dispatch>,
    sample: Vec<Dispatch>,
}

/// The attention of one sequence, by layer.
pub struct SequenceSteps {
    decode: Vec<Vec<Dispatch>>,
    prefill: Vec<Vec<Dispatch>>,
}

impl Network {
    /// Builds every dispatch that does not depend on a sequence.
    #[expect(clippy::too_many_arguments, reason = "each is one part of the model, named at the only call")]
    pub fn new(
        device: Device,
        config: Config,
        context_length: usize,
        quantization: DType,
        precision: Precision,
        embedding: Matrix,
        layers: Vec<Layer>,
        final_norm: wgpu::Buffer,
        untied_head: Option<Matrix>,
    ) -> Result<Self> {
        let tokens = padded_tokens(CHUNK);
        let (attention, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let floats = |label: &str, count: usize| device.storage(label, count * 4);
        let activations = Activations {
            tokens: floats("tokens", tokens),
            x: floats("x", tokens * config.hidden),
            normed: floats("normed", tokens * config.hidden),
            qkv: floats("qkv", tokens * (attention + 2 * kv)),
            attended: floats("attended", attention * tokens.max(splits(&device) as usize)),
            softmax: floats("softmax", config.heads * splits(&device) as usize * 2),
            inner: floats("inner", tokens * config.intermediate),
            up: floats("up", tokens * config.intermediate),
        };
        let state = device.storage("state", size_of::<State>());
        // Whole groups of rows are written, so the logits have room for the last one.
        let logits = floats("logits", config.vocab.next_multiple_of(4));
        let rope = device.storage_of("rope", &config.rope.table(config.head_dim, 0..context_length));
        let sampler = SamplerBuffers::new(&device, config.vocab);
        let head_matrix = untied_head.as_ref().unwrap_or(&embedding);
        let head = Linear {
            matrix: head_matrix,
            input: Input::Norm { x: &activations.x, weight: &final_norm, eps: config.rms_eps },
            output: Output::Store,
            y: &logits,
            y_columns: config.vocab.next_multiple_of(4),
            y_offset: 0,
            prefill: false,
            state: &state,
        }
        .dispatches(&device)?;
        let build = Builder { device: &device, config: &config, activations: &activations, state: &state };
        let decode = layers.iter().map(|layer| build.layer(layer, false)).collect::<Result<Vec<_>>>()?;
        let prefill = layers.iter().map(|layer| build.layer(layer, true)).collect::<Result<Vec<_>>>()?;
        let embed = |tokens| Embed { matrix: &embedding, tokens, x: &activations.x, state: &state }.dispatches(&device);
        let (decode_embed, prefill_embed) = (embed(None)?, embed(Some(&activations.tokens))?);
        let sample = sampler::dispatches(&device, config.vocab, &logits, &sampler, &state)?;
        let matrices = layers.iter().flat_map(|layer| {
            [&layer.output, &layer.down].into_iter().chain(layer.qkv.matrices()).chain(layer.gate_up.matrices())
        });
        let weight_bytes = matrices.chain([&embedding]).chain(&untied_head).map(Matrix::bytes).sum();
        Ok(Self {
            device,
            config,
            context_length,
            quantization,
            precision,
            weight_bytes,
            state,
            logits,
            sampler,
            layers,
            activations,
            rope,
            decode_embed,
            decode,
            prefill_embed,
            prefill,
            head,
            sample,
        })
    }

    /// The dispatches that bind a sequence's cache.
    pub fn sequence_steps(&self, cache: &KvCache) -> Result<SequenceSteps> {
        let attention = |prefill: bool| {
            let one = |(layer, (keys, values)): (&Layer, &(wgpu::Buffer, wgpu::Buffer))| {
                Attention {
                    config: &self.config,
                    qkv: &self.activations.qkv,
                    vectors: layer.head_vectors.as_ref(),
                    window: layer.window,
                    rope: &self.rope,
                    precision: cache.precision,
                    keys,
                    values,
                    y: &self.activations.attended,
                    softmax: &self.activations.softmax,
                    state: &self.state,
                }
                .dispatches(&self.device, prefill)
            };
            self.layers.iter().zip(&cache.layers).map(one).collect::<Result<Vec<_>>>()
        };
        Ok(SequenceSteps { decode: attention(false)?, prefill: attention(true)? })
    }

    /// A decode step: the state's token in, the next one drawn.
    pub fn decode_step<'a>(&'a self, sequence: &'a SequenceSteps) -> impl Iterator<Item = &'a Dispatch> {
        let layers = self.decode.iter().zip(&sequence.decode);
        self.decode_embed.iter().chain(layers.flat_map(chain)).chain(&self.head).chain(&self.sample)
    }

    /// A decode step that ends at the logits.
    pub fn forward_step<'a>(&'a self, sequence: &'a SequenceSteps) -> impl Iterator<Item = &'a Dispatch> {
        let layers = self.decode.iter().zip(&sequence.decode);
        self.decode_embed.iter().chain(layers.flat_map(chain)).chain(&self.head)
    }

    /// A chunk of a prefill, without logits.
    pub fn prefill_step<'a>(&'a self, sequence: &'a SequenceSteps) -> impl Iterator<Item = &'a Dispatch> {
        let layers = self.prefill.iter().zip(&sequence.prefill);
        self.prefill_embed.iter().chain(layers.flat_map(chain))
    }

    /// The head over the first row of x.
    pub fn head_step(&self) -> impl Iterator<Item = &Dispatch> {
        self.head.iter()
    }

    /// Draws from the logits there are.
    pub fn sample_step(&self) -> impl Iterator<Item = &Dispatch> {
        self.sample.iter()
    }

    /// Writes the tokens of a chunk.
    pub fn write_tokens(&self, tokens: &[u32]) {
        self.device.queue.write_buffer(&self.activations.tokens, 0, bytemuck::cast_slice(tokens));
    }

    /// Writes the state.
    pub fn write_state(&self, state: State) {
        self.device.queue.write_buffer(&self.state, 0, bytemuck::bytes_of(&state));
    }

    /// Moves token `index` of x to where the head reads it.
    pub fn keep_token(&self, encoder: &mut wgpu::CommandEncoder, index: usize) {
        let bytes = (self.config.hidden * 4) as u64;
        if index > 0 {
            let (from, to) = (&self.activations.x, &self.activations.normed);
            encoder.copy_buffer_to_buffer(from, index as u64 * bytes, to, 0, bytes);
            encoder.copy_buffer_to_buffer(to, 0, from, 0, bytes);
        }
    }
}

fn chain<'a>((steps, attention): (&'a Steps, &'a Vec<Dispatch>)) -> impl Iterator<Item = &'a Dispatch> {
    steps.before.iter().chain(attention).chain(&steps.after)
}

impl Projection {
    fn matrices(&self) -> &[Matrix] {
        match self {
            Self::Fused(matrix) => std::slice::from_ref(matrix),
            Self::Apart(parts) => parts,
        }
    }
}

/// Builds the dispatches of a layer.
struct Builder<'a> {
    device: &'a Device,
    config: &'a Config,
    activations: &'a Activations,
    state: &'a wgpu::Buffer,
}

impl Builder<'_> {
    fn layer(&self, layer: &Layer, prefill: bool) -> Result<Steps> {
        let (config, at) = (self.config, self.activations);
        let attention = config.heads * config.head_dim;
        let mut before = Vec::new();
        let input = self.normed(&layer.attention_norm, prefill, &mut before)?;
        let qkv_columns = attention + 2 * config.kv_heads * config.head_dim;
        self.project(&layer.qkv, input, &at.qkv, qkv_columns, prefill, &mut before)?;

        let fused = !prefill && !self.device.software;
        let merged = if fused {
            let splits = splits(self.device);
            Input::Combine { partials: &at.attended, softmax: &at.softmax, head_dim: config.head_dim, splits }
        } else {
            Input::Plain(&at.attended)
        };
        let residual = |matrix, input| Linear {
            matrix,
            input,
            output: Output::Residual,
            y: &at.x,
            y_columns: config.hidden,
            y_offset: 0,
            prefill,
            state: self.state,
        };
        let mut after = residual(&layer.output, merged).dispatches(self.device)?;
        let input = self.normed(&layer.feed_forward_norm, prefill, &mut after)?;
        match &layer.gate_up {
            Projection::Fused(matrix) => after.extend(
                Linear {
                    matrix,
                    input,
                    output: Output::Swiglu,
                    y: &at.inner,
                    y_columns: config.intermediate,
                    y_offset: 0,
                    prefill,
                    state: self.state,
                }
                .dispatches(self.device)?,
            ),
            Projection::Apart(parts) => {
                for (matrix, y) in parts.iter().zip([&at.inner, &at.up]) {
                    let y_columns = config.intermediate;
                    let linear = Linear {
                        matrix,
                        input,
                        output: Output::Store,
                        y,
                        y_columns,
                        y_offset: 0,
                        prefill,
                        state: self.state,
                    };
                    after.extend(linear.dispatches(self.device)?);
                }
                after.push(swiglu(self.device, config.intermediate, &at.up, &at.inner, self.state)?);
            }
        }
        after.extend(residual(&layer.down, Input::Plain(&at.inner)).dispatches(self.device)?);
        Ok(Steps { before, after })
    }

    /// x normalised: fused into the next kernel in decode, a dispatch of its own in a prefill.
    fn normed<'b>(&'b self, weight: &'b wgpu::Buffer, prefill: bool, steps: &mut Vec<Dispatch>) -> Result<Input<'b>> {
        let (x, y) = (&self.activations.x, &self.activations.normed);
        let (columns, eps) = (self.config.hidden, self.config.rms_eps);
        if !prefill {
            return Ok(Input::Norm { x, weight, eps });
        }
        steps.push(Norm { columns, eps, x, weight, y }.dispatch(self.device)?);
        Ok(Input::Plain(y))
    }

    /// All parts of a projection into one y, one after the other.
    fn project(
        &self,
        projection: &Projection,
        input: Input,
        y: &wgpu::Buffer,
        y_columns: usize,
        prefill: bool,
        steps: &mut Vec<Dispatch>,
    ) -> Result<()> {
        let mut y_offset = 0;
        for matrix in projection.matrices() {
            let linear =
                Linear { matrix, input, output: Output::Store, y, y_columns, y_offset, prefill, state: self.state };
            steps.extend(linear.dispatches(self.device)?);
            y_offset += matrix.rows;
        }
        Ok(())
    }
}
