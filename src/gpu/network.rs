//! The network as lists of dispatches over static bindings: one list for a decode step of so many sequences, one for a chunk
//! of a prefill.

use std::cell::OnceCell;

use super::device::Dispatch;
use super::frame::{Frame, Layer, Steps};
use super::kernels::attention::{Attention, Precision, Step};
use super::kernels::embed::Embed;
use super::kernels::guess;
use super::kernels::linear::{Columns, WIDTHS};
use super::kernels::order;
use super::kernels::sampler;
use super::kv_cache::KvCache;
use super::weights::Matrix;
use crate::error::Result;
use crate::formats::DType;

/// What one reading of the weights does for some of a step's columns.
struct Pass {
    layers: Vec<Steps>,
    head: Vec<Dispatch>,
}

/// A layer and what it does in a prefill and for one column.
pub struct Built {
    layer: Layer,
    prefill: Steps,
    alone: Steps,
}

impl Built {
    /// The layer in its frame.
    pub fn new(frame: &Frame, layer: Layer) -> Result<Self> {
        let (prefill, alone) = (frame.layer(&layer, Columns::Tokens)?, frame.layer(&layer, Columns::Sequences(1))?);
        Ok(Self { layer, prefill, alone })
    }
}

/// The weights before and after the layers.
pub struct Ends {
    /// `[vocab][hidden]`
    pub embedding: Matrix,
    /// `[hidden]`
    pub final_norm: wgpu::Buffer,
    /// `[vocab][hidden]`, where it is not the embedding.
    pub untied_head: Option<Matrix>,
}

impl Ends {
    fn head(&self) -> &Matrix {
        self.untied_head.as_ref().unwrap_or(&self.embedding)
    }
}

/// A model on a device, without its cache.
pub struct Network {
    pub(super) frame: Frame,
    pub(super) quantization: DType,
    pub(super) precision: Precision,
    pub(super) weight_bytes: u64,
    ends: Ends,
    layers: Vec<Layer>,
    decode_embed: Vec<Dispatch>,
    /// By place in [`WIDTHS`]; more than one column is seldom wanted, and compiled when it is.
    decode: [OnceCell<Pass>; WIDTHS.len()],
    prefill_embed: Vec<Dispatch>,
    prefill: Vec<Steps>,
    keep: Dispatch,
    /// Draws from the logits, then guesses.
    sample: Vec<Dispatch>,
    /// Draws from the last column's logits; like all that only guesses need, built when the first is tried.
    sample_last: OnceCell<Vec<Dispatch>>,
}

/// The attention over a cache, by layer.
pub struct AttentionSteps {
    decode: Vec<Vec<Dispatch>>,
    last_guess: OnceCell<Vec<Vec<Dispatch>>>,
    prefill: Vec<Vec<Dispatch>>,
}

impl Network {
    /// Puts the parts of a model together.
    pub fn new(frame: Frame, built: Vec<Built>, ends: Ends, quantization: DType, precision: Precision) -> Result<Self> {
        let Frame { device, activations, sampler, .. } = &frame;
        let state = &frame.state.buffer;
        let embed = |tokens| Embed { matrix: &ends.embedding, tokens, x: &activations.x, state }.dispatches(device);
        let (decode_embed, prefill_embed) = (embed(None)?, embed(Some(&activations.tokens))?);
        let mut sample = sampler::dispatches(device, &activations.logits, sampler, state, false)?;
        sample.push(guess::dispatch(device, frame.context_length, &sampler.text, state)?);
        let keep = order::keep(device, frame.config.hidden, &activations.x, &frame.kept, state)?;
        let head = frame.head(ends.head(), &ends.final_norm, Columns::Sequences(1))?;
        let (mut layers, mut prefill, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for built in built {
            layers.push(built.layer);
            prefill.push(built.prefill);
            alone.push(built.alone);
        }
        let matrices = layers.iter().flat_map(|layer: &Layer| {
            [&layer.output, &layer.down].into_iter().chain(layer.qkv.matrices()).chain(layer.gate_up.matrices())
        });
        let weight_bytes = matrices.chain([&ends.embedding]).chain(&ends.untied_head).map(Matrix::bytes).sum();
        let decode = [OnceCell::from(Pass { layers: alone, head }), OnceCell::new(), OnceCell::new(), OnceCell::new()];
        Ok(Self {
            frame,
            quantization,
            precision,
            weight_bytes,
            ends,
            layers,
            decode_embed,
            decode,
            prefill_embed,
            prefill,
            keep,
            sample,
            sample_last: OnceCell::new(),
        })
    }

    /// What decode steps of so many columns run, built when first asked for.
    fn pass(&self, columns: usize) -> Result<&Pass> {
        let place = WIDTHS.iter().position(|width| *width as usize >= columns).unwrap_or(WIDTHS.len() - 1);
        once(&self.decode[place], || {
            let columns = Columns::Sequences(WIDTHS[place]);
            let layers =
                self.layers.iter().map(|layer| self.frame.layer(layer, columns)).collect::<Result<Vec<_>>>()?;
            let head = self.frame.head(self.ends.head(), &self.ends.final_norm, columns)?;
            Ok(Pass { layers, head })
        })
    }

    /// The dispatches that bind the cache.
    pub fn attention_steps(&self, cache: &KvCache) -> Result<AttentionSteps> {
        let (decode, prefill) = (self.attention(cache, Step::Decode)?, self.attention(cache, Step::Prefill)?);
        Ok(AttentionSteps { decode, last_guess: OnceCell::new(), prefill })
    }

    fn attention(&self, cache: &KvCache, step: Step) -> Result<Vec<Vec<Dispatch>>> {
        let Frame { device, config, activations, state, rope, .. } = &self.frame;
        let one = |(layer, (keys, values)): (&Layer, &(wgpu::Buffer, wgpu::Buffer))| {
            Attention {
                config,
                qkv: &activations.qkv,
                vectors: layer.head_vectors.as_ref(),
                window: layer.window,
                rope,
                precision: cache.precision,
                pages: state.pages,
                keys,
                values,
                y: &activations.attended,
                softmax: &activations.softmax,
                state: &state.buffer,
            }
            .dispatches(device, step)
        };
        self.layers.iter().zip(&cache.layers).map(one).collect()
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
        cache: &KvCache,
    ) -> Result<impl Iterator<Item = (&'a Dispatch, u32)>> {
        let columns = columns as u32;
        let each = move |dispatches: &'a [Dispatch]| {
            (1..=columns).flat_map(move |last| dispatches.iter().map(move |dispatch| (dispatch, last)))
        };
        let all = move |dispatches: &'a [Dispatch]| dispatches.iter().map(move |dispatch| (dispatch, columns));
        // Without the fused kernel all keys are there before any guess attends.
        let at_once = self.frame.device.software;
        let one_by_one = once(&attention.last_guess, || match at_once {
            true => Ok(self.layers.iter().map(|_| Vec::new()).collect()),
            false => self.attention(cache, Step::LastGuess),
        })?;
        let sample_last = once(&self.sample_last, || {
            let Frame { device, activations, sampler, state, .. } = &self.frame;
            sampler::dispatches(device, &activations.logits, sampler, &state.buffer, true)
        })?;
        let pass = self.pass(columns as usize)?;
        let layers = pass.layers.iter().enumerate().flat_map(move |(layer, steps)| {
            let together: &[Dispatch] = if at_once { &attention.decode[layer] } else { &[] };
            all(&steps.before).chain(all(together)).chain(each(&one_by_one[layer])).chain(all(&steps.after))
        });
        let guess = self.sample.last().map(|dispatch| (dispatch, 1));
        Ok(all(&self.decode_embed).chain(layers).chain(all(&pass.head)).chain(each(sample_last)).chain(guess))
    }

    /// A chunk of a prefill, without logits: the embedding, then layer by layer, and its last token's activations kept.
    pub fn prefill_step<'a>(&'a self, attention: &'a AttentionSteps) -> Vec<Vec<&'a Dispatch>> {
        let layers = self.prefill.iter().zip(&attention.prefill).map(|layer| chain(layer).collect());
        let mut parts: Vec<Vec<_>> = std::iter::once(self.prefill_embed.iter().collect()).chain(layers).collect();
        if let Some(last) = parts.last_mut() {
            last.push(&self.keep);
        }
        parts
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
        &self.frame.activations.logits
    }

    /// Writes the tokens of a chunk.
    pub fn write_tokens(&self, tokens: &[u32]) {
        self.frame.device.queue.write_buffer(&self.frame.activations.tokens, 0, bytemuck::cast_slice(tokens));
    }

    /// Makes what was kept the first row of x.
    pub fn recall(&self, encoder: &mut wgpu::CommandEncoder, slot: usize) {
        let Frame { activations, kept, config, .. } = &self.frame;
        let bytes = (config.hidden * 4) as u64;
        encoder.copy_buffer_to_buffer(kept, slot as u64 * bytes, &activations.x, 0, bytes);
    }
}

/// What a cell holds, made if it holds nothing.
fn once<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(made) = cell.get() {
        return Ok(made);
    }
    let made = make()?;
    Ok(cell.get_or_init(|| made))
}

fn chain<'a>((steps, attention): (&'a Steps, &'a Vec<Dispatch>)) -> impl Iterator<Item = &'a Dispatch> {
    steps.before.iter().chain(attention).chain(&steps.after)
}
