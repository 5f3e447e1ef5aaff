//! The network as lists of dispatches over static bindings: one list for a decode step of so many sequences, one for a chunk
//! of a prefill.

use std::cell::OnceCell;

use super::device::{Device, Dispatch};
use super::kernels::attention::{Attention, Precision, Step, TILE, splits};
use super::kernels::embed::Embed;
use super::kernels::guess;
use super::kernels::linear::{Columns, Input, Linear, Output, WIDTHS, padded_tokens, swiglu};
use super::kernels::norm::Norm;
use super::kernels::sampler::{self, SamplerBuffers};
use super::kv_cache::KvCache;
use super::state::{SLOTS, State};
use super::weights::Matrix;
use crate::error::Result;
use crate::formats::DType;
use crate::model::Config;

/// The most tokens of one chunk of a prefill.
pub const CHUNK: usize = 256;

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

/// The activations of a step, `[column][…]` each.
struct Activations {
    tokens: wgpu::Buffer,
    x: wgpu::Buffer,
    normed: wgpu::Buffer,
    qkv: wgpu::Buffer,
    attended: wgpu::Buffer,
    softmax: wgpu::Buffer,
    inner: wgpu::Buffer,
    up: wgpu::Buffer,
    logits: wgpu::Buffer,
}

/// The dispatches of one layer around its attention, which binds the cache.
struct Steps {
    before: Vec<Dispatch>,
    after: Vec<Dispatch>,
}

/// What one reading of the weights does for some of a step's columns.
struct Pass {
    layers: Vec<Steps>,
    head: Vec<Dispatch>,
}

/// A model on a device, without its cache.
pub struct Network {
    pub(super) device: Device,
    pub(super) config: Config,
    pub(super) context_length: usize,
    pub(super) quantization: DType,
    pub(super) precision: Precision,
    pub(super) weight_bytes: u64,
    pub(super) state: State,
    pub(super) sampler: SamplerBuffers,
    embedding: Matrix,
    layers: Vec<Layer>,
    final_norm: wgpu::Buffer,
    untied_head: Option<Matrix>,
    activations: Activations,
    rope: wgpu::Buffer,
    /// The last activations of each slot's last prefill: `[slot][hidden]`.
    kept: wgpu::Buffer,
    decode_embed: Vec<Dispatch>,
    /// By place in [`WIDTHS`]; more than one column is seldom wanted, and compiled when it is.
    decode: [OnceCell<Pass>; WIDTHS.len()],
    prefill_embed: Vec<Dispatch>,
    prefill: Vec<Steps>,
    /// Draws from the logits, then guesses.
    sample: Vec<Dispatch>,
    /// Draws from the last column's logits.
    sample_last: Vec<Dispatch>,
}

/// The attention over a cache, by layer.
pub struct AttentionSteps {
    decode: Vec<Vec<Dispatch>>,
    last_guess: Vec<Vec<Dispatch>>,
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
            attended: floats("attended", attention * tokens.max(SLOTS * splits(&device) as usize)),
            softmax: floats("softmax", SLOTS * config.heads * splits(&device) as usize * 2),
            inner: floats("inner", tokens * config.intermediate),
            up: floats("up", tokens * config.intermediate),
            logits: floats("logits", SLOTS * sampler::padded(config.vocab)),
        };
        let state = State::new(&device, context_length.div_ceil(TILE));
        let rope = device.storage_of("rope", &config.rope.table(config.head_dim, 0..context_length));
        let kept = floats("kept", SLOTS * config.hidden);
        let sampler = SamplerBuffers::new(&device, config.vocab, context_length);
        let build = Builder { device: &device, config: &config, activations: &activations, state: &state.buffer };
        let prefill = layers.iter().map(|layer| build.layer(layer, Columns::Tokens)).collect::<Result<Vec<_>>>()?;
        let embed =
            |tokens| Embed { matrix: &embedding, tokens, x: &activations.x, state: &state.buffer }.dispatches(&device);
        let (decode_embed, prefill_embed) = (embed(None)?, embed(Some(&activations.tokens))?);
        let sampling = |last| sampler::dispatches(&device, &activations.logits, &sampler, &state.buffer, last);
        let (mut sample, sample_last) = (sampling(false)?, sampling(true)?);
        sample.push(guess::dispatch(&device, context_length, &sampler.text, &state.buffer)?);
        let matrices = layers.iter().flat_map(|layer| {
            [&layer.output, &layer.down].into_iter().chain(layer.qkv.matrices()).chain(layer.gate_up.matrices())
        });
        let weight_bytes = matrices.chain([&embedding]).chain(&untied_head).map(Matrix::bytes).sum();
        let network = Self {
            device,
            config,
            context_length,
            quantization,
            precision,
            weight_bytes,
            state,
            sampler,
            embedding,
            layers,
            final_norm,
            untied_head,
            activations,
            rope,
            kept,
            decode_embed,
            decode: Default::default(),
            prefill_embed,
            prefill,
            sample,
            sample_last,
        };
        network.pass(1)?;
        Ok(network)
    }

    fn builder(&self) -> Builder<'_> {
        let Self { device, config, activations, state, .. } = self;
        Builder { device, config, activations, state: &state.buffer }
    }

    /// What decode steps of so many columns run, built when first asked for.
    fn pass(&self, columns: usize) -> Result<&Pass> {
        let place = WIDTHS.iter().position(|width| *width as usize >= columns).unwrap_or(WIDTHS.len() - 1);
        let columns = Columns::Sequences(WIDTHS[place]);
        if let Some(pass) = self.decode[place].get() {
            return Ok(pass);
        }
        let build = self.builder();
        let layers = self.layers.iter().map(|layer| build.layer(layer, columns)).collect::<Result<Vec<_>>>()?;
        let head = Linear {
            matrix: self.untied_head.as_ref().unwrap_or(&self.embedding),
            input: Input::Norm { x: &self.activations.x, weight: &self.final_norm, eps: self.config.rms_eps },
            output: Output::Store,
            y: &self.activations.logits,
            y_columns: sampler::padded(self.config.vocab),
            y_offset: 0,
            columns,
            state: &self.state.buffer,
        }
        .dispatches(&self.device)?;
        Ok(self.decode[place].get_or_init(|| Pass { layers, head }))
    }

    /// The dispatches that bind the cache.
    pub fn attention_steps(&self, cache: &KvCache) -> Result<AttentionSteps> {
        let attention = |step: Step| {
            let one = |(layer, (keys, values)): (&Layer, &(wgpu::Buffer, wgpu::Buffer))| {
                Attention {
                    config: &self.config,
                    qkv: &self.activations.qkv,
                    vectors: layer.head_vectors.as_ref(),
                    window: layer.window,
                    rope: &self.rope,
                    precision: cache.precision,
                    pages: self.state.pages,
                    keys,
                    values,
                    y: &self.activations.attended,
                    softmax: &self.activations.softmax,
                    state: &self.state.buffer,
                }
                .dispatches(&self.device, step)
            };
            self.layers.iter().zip(&cache.layers).map(one).collect::<Result<Vec<_>>>()
        };
        Ok(AttentionSteps {
            decode: attention(Step::Decode)?,
            last_guess: attention(Step::LastGuess)?,
            prefill: attention(Step::Prefill)?,
        })
    }

    /// A decode step of so many sequences, to their logits: the state's tokens in.
    pub fn forward_step<'a>(
        &'a self,
        columns: usize,
        attention: &'a AttentionSteps,
    ) -> Result<impl Iterator<Item = &'a Dispatch>> {
        let pass = self.pass(columns)?;
        let layers = pass.layers.iter().zip(&attention.decode);
        Ok(self.decode_embed.iter().chain(layers.flat_map(chain)).chain(&pass.head))
    }

    /// A decode step of one sequence and guesses of what comes after its token, to the last draw: each dispatch with the
    /// columns that it is for.
    pub fn guess_step<'a>(
        &'a self,
        columns: usize,
        attention: &'a AttentionSteps,
    ) -> Result<impl Iterator<Item = (&'a Dispatch, u32)>> {
        let columns = columns as u32;
        let each = move |dispatches: &'a [Dispatch]| {
            (1..=columns).flat_map(move |last| dispatches.iter().map(move |dispatch| (dispatch, last)))
        };
        let all = move |dispatches: &'a [Dispatch]| dispatches.iter().map(move |dispatch| (dispatch, columns));
        // Without the fused kernel all keys are there before any guess attends.
        let at_once = self.device.software;
        let pass = self.pass(columns as usize)?;
        let layers = pass.layers.iter().enumerate().flat_map(move |(layer, steps)| {
            let together: &[Dispatch] = if at_once { &attention.decode[layer] } else { &[] };
            let one_by_one: &[Dispatch] = if at_once { &[] } else { &attention.last_guess[layer] };
            all(&steps.before).chain(all(together)).chain(each(one_by_one)).chain(all(&steps.after))
        });
        let guess = self.sample.last().map(|dispatch| (dispatch, 1));
        Ok(all(&self.decode_embed).chain(layers).chain(all(&pass.head)).chain(each(&self.sample_last)).chain(guess))
    }

    /// A chunk of a prefill, without logits: the embedding, then layer by layer.
    pub fn prefill_step<'a>(&'a self, attention: &'a AttentionSteps) -> impl Iterator<Item = Vec<&'a Dispatch>> {
        let layers = self.prefill.iter().zip(&attention.prefill).map(|layer| chain(layer).collect());
        std::iter::once(self.prefill_embed.iter().collect()).chain(layers)
    }

    /// The head over the first row of x.
    pub fn head_step(&self) -> Result<impl Iterator<Item = &Dispatch>> {
        Ok(self.pass(1)?.head.iter())
    }

    /// Draws from the logits there are, and guesses what comes then.
    pub fn sample_step(&self) -> impl Iterator<Item = &Dispatch> {
        self.sample.iter()
    }

    /// The logits of a step's columns: `[column][padded vocab]`.
    pub fn logits(&self) -> &wgpu::Buffer {
        &self.activations.logits
    }

    /// Writes the tokens of a chunk.
    pub fn write_tokens(&self, tokens: &[u32]) {
        self.device.queue.write_buffer(&self.activations.tokens, 0, bytemuck::cast_slice(tokens));
    }

    /// Keeps row `index` of x, the last of a slot's prefill.
    pub fn keep(&self, encoder: &mut wgpu::CommandEncoder, index: usize, slot: usize) {
        let bytes = (self.config.hidden * 4) as u64;
        encoder.copy_buffer_to_buffer(
            &self.activations.x,
            index as u64 * bytes,
            &self.kept,
            slot as u64 * bytes,
            bytes,
        );
    }

    /// Makes what was kept the first row of x.
    pub fn recall(&self, encoder: &mut wgpu::CommandEncoder, slot: usize) {
        let bytes = (self.config.hidden * 4) as u64;
        encoder.copy_buffer_to_buffer(&self.kept, slot as u64 * bytes, &self.activations.x, 0, bytes);
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
    fn layer(&self, layer: &Layer, columns: Columns) -> Result<Steps> {
        let (config, at) = (self.config, self.activations);
        let attention = config.heads * config.head_dim;
        let mut before = Vec::new();
        let input = self.normed(&layer.attention_norm, columns, &mut before)?;
        let qkv_columns = attention + 2 * config.kv_heads * config.head_dim;
        self.project(&layer.qkv, input, &at.qkv, qkv_columns, columns, &mut before)?;

        let fused = columns != Columns::Tokens && !self.device.software;
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
            columns,
            state: self.state,
        };
        let mut after = residual(&layer.output, merged).dispatches(self.device)?;
        let input = self.normed(&layer.feed_forward_norm, columns, &mut after)?;
        match &layer.gate_up {
            Projection::Fused(matrix) => after.extend(
                Linear {
                    matrix,
                    input,
                    output: Output::Swiglu,
                    y: &at.inner,
                    y_columns: config.intermediate,
                    y_offset: 0,
                    columns,
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
                        columns,
                        state: self.state,
                    };
                    after.extend(linear.dispatches(self.device)?);
                }
                after.push(swiglu(self.device, config.intermediate, &at.up, &at.inner)?);
            }
        }
        after.extend(residual(&layer.down, Input::Plain(&at.inner)).dispatches(self.device)?);
        Ok(Steps { before, after })
    }

    /// x normalised: fused into the next kernel in decode, a dispatch of its own in a prefill.
    fn normed<'b>(&'b self, weight: &'b wgpu::Buffer, of: Columns, steps: &mut Vec<Dispatch>) -> Result<Input<'b>> {
        let (x, y) = (&self.activations.x, &self.activations.normed);
        let (columns, eps) = (self.config.hidden, self.config.rms_eps);
        if of != Columns::Tokens {
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
        columns: Columns,
        steps: &mut Vec<Dispatch>,
    ) -> Result<()> {
        let mut y_offset = 0;
        for matrix in projection.matrices() {
            let linear =
                Linear { matrix, input, output: Output::Store, y, y_columns, y_offset, columns, state: self.state };
            steps.extend(linear.dispatches(self.device)?);
            y_offset += matrix.rows;
        }
        Ok(())
    }
}
