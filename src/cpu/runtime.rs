//! `model::Runtime` on the CPU: sequences, prefill, and decoding one token a call.

use std::collections::BTreeMap;

use super::kv_cache::{KvCache, Precision};
use super::network::{Layer, Network, TILE, Workspace};
use super::sink::quantization;
use super::team::Team;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DecodePlan, Pending, Runtime, RuntimeInfo, SequenceId};
use crate::sampling::{Sampler, ids_of};

/// A model in memory and its sequences.
pub struct Cpu {
    info: RuntimeInfo,
    network: Network,
    workspace: Workspace,
    team: Team,
    sequences: BTreeMap<u32, Sequence>,
    opened: u32,
}

struct Sequence {
    kv: KvCache,
    /// Tokens whose keys and values are cached.
    length: usize,
    /// `[hidden]`, of the last cached token; none when that was cut off.
    hidden: Option<Vec<f32>>,
    /// `[vocab]`, of `hidden`, once somebody has asked.
    logits: Option<Vec<f32>>,
    decode: Option<Decode>,
}

struct Decode {
    sampler: Sampler,
    stop: Vec<u32>,
    /// Tokens that may still be drawn.
    remaining: usize,
    /// The last drawn token, which is not cached.
    drawn: Option<u32>,
}

impl Cpu {
    pub(super) fn new(network: Network, context_length: usize, weight_bytes: u64, team: Team) -> Self {
        let per_position = empty_cache(&network).bytes_per_position();
        let info = RuntimeInfo {
            device: "cpu",
            adapter: None,
            context_length,
            weight_bytes,
            kv_cache_bytes: per_position as u64 * context_length as u64,
            quantization: quantization(&network),
            prefill_chunk: TILE,
        };
        Self { info, network, workspace: Workspace::default(), team, sequences: BTreeMap::new(), opened: 0 }
    }

    fn sequence(&mut self, id: SequenceId) -> Result<&mut Sequence> {
        self.sequences.get_mut(&id.0).ok_or_else(|| unknown(id))
    }

    /// Appends `tokens` to what is cached and keeps what the head needs of the last.
    fn append(&mut self, id: SequenceId, tokens: &[u32]) -> Result<()> {
        let (limit, vocab) = (self.info.context_length, self.network.config.vocab);
        let sequence = self.sequences.get_mut(&id.0).ok_or_else(|| unknown(id))?;
        if let Some(token) = tokens.iter().find(|t| **t as usize >= vocab) {
            return Err(Error::invalid(format!("expected token ids below {vocab}, got {token}")));
        }
        if tokens.len() > limit - sequence.length {
            let message = format!("expected at most {limit} tokens, got {}", sequence.length + tokens.len());
            return Err(Error::new(ErrorKind::ContextOverflow, message)
                .hint("shorten the conversation, or load the model with a larger contextLength"));
        }
        if tokens.is_empty() {
            return Ok(());
        }
        let (kv, workspace) = (&mut sequence.kv, &mut self.workspace);
        let hidden = self.network.forward(tokens, sequence.length, kv, workspace, &mut self.team)?;
        sequence.length += tokens.len();
        (sequence.hidden, sequence.logits) = (Some(hidden), None);
        Ok(())
    }

    /// The logits of the last cached token.
    fn head(&mut self, id: SequenceId) -> Result<&[f32]> {
        let sequence = self.sequences.get_mut(&id.0).ok_or_else(|| unknown(id))?;
        let hidden = sequence.hidden.as_ref().ok_or_else(no_logits)?;
        if sequence.logits.is_none() {
            sequence.logits = Some(self.network.logits(hidden, &mut self.workspace, &mut self.team));
        }
        sequence.logits.as_deref().ok_or_else(no_logits)
    }

    fn draw(&mut self, id: SequenceId, allowed: Option<&[u32]>) -> Result<Vec<u32>> {
        let limit = self.info.context_length;
        let sequence = self.sequence(id)?;
        let Some(decode) = &mut sequence.decode else { return Ok(Vec::new()) };
        let full = decode.drawn.is_some() && sequence.length == limit;
        if decode.remaining == 0 || full {
            return Ok(Vec::new());
        }
        if let Some(token) = decode.drawn.take() {
            self.append(id, &[token])?;
        }
        self.head(id)?;
        let sequence = self.sequence(id)?;
        let (Some(decode), Some(logits)) = (&mut sequence.decode, &sequence.logits) else { return Ok(Vec::new()) };
        let token = match allowed {
            Some(allowed) => decode.sampler.draw_among(logits, ids_of(allowed, logits.len())),
            None => decode.sampler.draw(logits),
        };
        decode.drawn = Some(token);
        decode.remaining = if decode.stop.contains(&token) { 0 } else { decode.remaining - 1 };
        Ok(vec![token])
    }
}

fn empty_cache(network: &Network) -> KvCache {
    let c = &network.config;
    let quantised = network.layers.iter().flat_map(Layer::matrices).any(|m| m.dtype().is_quantised());
    let precision = if quantised { Precision::Int16 } else { Precision::Float32 };
    KvCache::new(c.layers, c.kv_heads, c.head_dim, precision)
}

fn unknown(id: SequenceId) -> Error {
    Error::internal(format!("there is no sequence {}", id.0))
}

fn no_logits() -> Error {
    Error::internal("logits are known only after a prefill")
}

impl Runtime for Cpu {
    fn info(&self) -> &RuntimeInfo {
        &self.info
    }

    fn open(&mut self) -> Result<SequenceId> {
        let kv = empty_cache(&self.network);
        let id = self.opened;
        self.opened += 1;
        self.sequences.insert(id, Sequence { kv, length: 0, hidden: None, logits: None, decode: None });
        Ok(SequenceId(id))
    }

    fn release(&mut self, sequence: SequenceId) {
        self.sequences.remove(&sequence.0);
    }

    fn length(&self, sequence: SequenceId) -> usize {
        self.sequences.get(&sequence.0).map_or(0, |s| s.length)
    }

    fn prefill<'a>(&'a mut self, sequence: SequenceId, tokens: &'a [u32]) -> Pending<'a, ()> {
        Box::pin(async move {
            self.sequence(sequence)?.decode = None;
            self.append(sequence, tokens)
        })
    }

    fn logits(&mut self, sequence: SequenceId) -> Pending<'_, Vec<f32>> {
        Box::pin(async move { Ok(self.head(sequence)?.to_vec()) })
    }

    fn decode(&mut self, sequence: SequenceId, plan: DecodePlan) -> Result<()> {
        let sequence = self.sequence(sequence)?;
        if sequence.hidden.is_none() {
            return Err(no_logits());
        }
        sequence.decode = Some(Decode {
            sampler: Sampler::new(plan.sampling, &plan.prompt, &plan.reply),
            stop: plan.stop,
            remaining: plan.max_tokens,
            drawn: None,
        });
        Ok(())
    }

    fn next(&mut self, sequence: SequenceId) -> Pending<'_, Vec<u32>> {
        Box::pin(async move { self.draw(sequence, None) })
    }

    fn next_among<'a>(&'a mut self, sequence: SequenceId, allowed: &'a [u32]) -> Pending<'a, Vec<u32>> {
        Box::pin(async move { self.draw(sequence, Some(allowed)) })
    }

    fn truncate(&mut self, sequence: SequenceId, length: usize) -> Result<()> {
        let sequence = self.sequence(sequence)?;
        sequence.decode = None;
        if length < sequence.length {
            sequence.length = length;
            (sequence.hidden, sequence.logits) = (None, None);
            sequence.kv.truncate(length);
        }
        Ok(())
    }
}
