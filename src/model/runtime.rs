//! The seam between a conversation and a device: a whole model, not single operations, because a GPU's speed comes
//! from fusing across operations and from keeping the token loop on the device.

use std::future::Future;
use std::pin::Pin;

use super::{Config, Weight};
use crate::error::Result;
use crate::formats::{DType, TensorInfo};
use crate::sampling::Sampling;

/// Work a device has been given; on the CPU it is done when first polled.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// A conversation's place on a device: its KV cache and its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(pub u32);

/// What a resident model is and takes.
#[derive(Clone, Debug)]
pub struct RuntimeInfo {
    /// `"webgpu"` or `"cpu"`, as `model.info.device`.
    pub device: &'static str,
    /// The adapter's description, where there is one.
    pub adapter: Option<String>,
    /// Positions of KV cache of one sequence.
    pub context_length: usize,
    /// Bytes of weights on the device.
    pub weight_bytes: u64,
    /// Bytes of one sequence's KV cache at full length.
    pub kv_cache_bytes: u64,
    /// The type most of the weights have.
    pub quantization: DType,
    /// The most tokens the next call of [`Runtime::prefill`] should take, so that the device stays responsive. It follows
    /// what the calls before have taken.
    pub prefill_chunk: usize,
}

/// What a device needs to know to decode by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodePlan {
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Tokens of the prompt, for the repetition penalty.
    pub prompt: Vec<u32>,
    /// Tokens of the reply so far (not empty when a reply goes on after text was forced into it), for all penalties;
    /// their number is also the step at which the random stream goes on.
    pub reply: Vec<u32>,
    /// Tokens that end the reply. They are delivered, and nothing after them.
    pub stop: Vec<u32>,
    /// The most tokens to draw.
    pub max_tokens: usize,
}

/// A model resident on one device.
///
/// A sequence holds `length` tokens whose keys and values are cached. After a prefill the logits of the last of them
/// are known and decoding can start. The device may run ahead of what has been asked for: only [`Runtime::truncate`]
/// makes `length` final again, and it must be called before the next prefill of that sequence.
pub trait Runtime {
    /// What is resident, and its limits.
    fn info(&self) -> &RuntimeInfo;

    /// Kernels that one token of one sequence launches; 0 where nothing is launched.
    fn dispatches(&self) -> usize {
        0
    }

    /// A new, empty sequence. `out-of-memory` when the device has no room for its KV cache.
    fn open(&mut self) -> Result<SequenceId>;

    /// Frees a sequence.
    fn release(&mut self, sequence: SequenceId);

    /// Tokens whose keys and values are certainly cached.
    fn length(&self, sequence: SequenceId) -> usize;

    /// Appends tokens; resolves when the device has taken them in. `context-overflow` when they do not fit.
    fn prefill<'a>(&'a mut self, sequence: SequenceId, tokens: &'a [u32]) -> Pending<'a, ()>;

    /// Logits for the position after the last prefilled token: `[vocabulary_size]`.
    fn logits(&mut self, sequence: SequenceId) -> Pending<'_, Vec<f32>>;

    /// Starts decoding from the current logits.
    fn decode(&mut self, sequence: SequenceId, plan: DecodePlan) -> Result<()>;

    /// The next tokens of the running decode, at least one, in order; empty once it has ended (stop token,
    /// `max_tokens`, or a full context). The device may move other running decodes on in the same step; what it draws for
    /// them waits for their own calls, and is what they would have drawn alone.
    fn next(&mut self, sequence: SequenceId) -> Pending<'_, Vec<u32>>;

    /// The next token of the running decode, drawn among `allowed`: bit `id % 32` of word `id / 32`, and none beyond the
    /// words. The device must not have run ahead, so that after a [`Runtime::next`] this is an error.
    fn next_among<'a>(&'a mut self, sequence: SequenceId, allowed: &'a [u32]) -> Pending<'a, Vec<u32>>;

    /// Forgets everything from position `length` on, and ends a running decode. A `length` beyond what is cached
    /// (the last drawn token is not) is cut to it: read [`Runtime::length`] afterwards.
    fn truncate(&mut self, sequence: SequenceId, length: usize) -> Result<()>;

    /// Milliseconds that the device, by its own clock, has worked for a sequence since this was last asked; of a step of
    /// several sequences each has an equal part, and what it drew beyond the end of a reply counts as far as it was read. None
    /// where the device has no clock, or was opened without.
    fn device_ms(&mut self, _sequence: SequenceId) -> Option<f64> {
        None
    }
}

/// Takes a model's weights as they arrive and becomes its runtime.
pub trait WeightSink {
    /// Rows `first_row..` of `tensor`, as [`crate::formats::OnRows`] delivers them.
    fn rows(&mut self, weight: Weight, tensor: &TensorInfo, first_row: usize, bytes: &[u8]) -> Result<()>;

    /// All weights are there.
    fn finish(self: Box<Self>) -> Pending<'static, Box<dyn Runtime>>;
}

/// Makes the sink once the header of the file is known. It may have the network stretched before ([`Positions::apply`]).
pub type SinkFactory = dyn FnOnce(&mut Config) -> Result<Box<dyn WeightSink>>;

/// The positions that a caller wants of a sequence.
#[derive(Clone, Copy, Debug)]
pub struct Positions {
    /// So many, whatever the network was trained for; a sink refuses what is too many.
    pub wanted: Option<usize>,
    /// Else so many, or what the network was trained for if that is less.
    pub usual: usize,
    /// See [`Config::stretch`].
    pub yarn_factor: Option<f64>,
}

impl Positions {
    /// Stretches the network if that is wanted. The positions of its sequences.
    pub fn apply(self, config: &mut Config) -> Result<usize> {
        if let Some(factor) = self.yarn_factor {
            config.stretch(factor)?;
        }
        Ok(self.wanted.unwrap_or(self.usual.min(config.max_context)))
    }
}
