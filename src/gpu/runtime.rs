//! The `Runtime` on a device: sequences, chunks of prefill, and a decode loop that runs ahead of its reader.

use std::collections::{HashMap, VecDeque};

use super::device::{Readback, encode};
use super::kernels::sampler::{self, Options};
use super::kv_cache::{KvCache, cache_bytes};
use super::network::{CHUNK, Network, SequenceSteps, State};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DecodePlan, Pending, Runtime, RuntimeInfo, SequenceId};
use crate::sampling::{Sampler, ids_of};

/// Decode steps on the device before the first of them is read.
const RUN_AHEAD: usize = 4;
/// Tokens of one prefill call on a software adapter, where every token takes long.
const SOFTWARE_CHUNK: usize = 16;

/// A model resident on a device.
pub struct Gpu {
    network: Network,
    info: RuntimeInfo,
    sequences: HashMap<SequenceId, Sequence>,
    /// The sequence whose state the shared buffers hold.
    active: Option<SequenceId>,
    next_id: u32,
}

struct Sequence {
    cache: KvCache,
    steps: SequenceSteps,
    /// Tokens cached, a running decode not counted.
    length: usize,
    logits: Logits,
    decoding: Option<Decoding>,
    /// The shared buffers' contents while another sequence is active.
    parked: Option<Vec<wgpu::Buffer>>,
}

/// What is known of the logits after a sequence's last token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Logits {
    /// The last token was not prefilled just now.
    None,
    /// Its activations are there, the head has not run.
    Pending,
    /// They are in the logits buffer.
    Ready,
}

struct Decoding {
    /// Cached tokens at the start.
    start: usize,
    /// Draws submitted.
    submitted: usize,
    /// Draws read.
    drawn: usize,
    /// Draws of the reply before this decode.
    before: usize,
    max_tokens: usize,
    in_flight: VecDeque<Readback>,
    /// The next draw is among allowed tokens only.
    bound: bool,
    ended: bool,
    /// For options that the device's sampler does not know: the reference draws, in lock-step.
    on_cpu: Option<CpuDraws>,
}

struct CpuDraws {
    sampler: Sampler,
    stop: Vec<u32>,
    last: Option<u32>,
}

impl Decoding {
    /// Tokens certainly cached: the last drawn one is not.
    fn cached(&self) -> usize {
        self.start + self.drawn.saturating_sub(1)
    }
}

impl Gpu {
    /// The runtime of a network.
    pub fn new(network: Network) -> Result<Self> {
        let device = &network.device;
        let info = RuntimeInfo {
            device: "webgpu",
            adapter: Some(device.description.clone()),
            context_length: network.context_length,
            weight_bytes: network.weight_bytes,
            kv_cache_bytes: cache_bytes(&network.config, network.precision, network.context_length),
            quantization: network.quantization,
            prefill_chunk: if device.software { SOFTWARE_CHUNK } else { CHUNK },
        };
        let sequences = HashMap::new();
        Ok(Self { network, info, sequences, active: None, next_id: 0 })
    }

    fn sequence(&mut self, id: SequenceId) -> Result<&mut Sequence> {
        self.sequences.get_mut(&id).ok_or_else(|| Error::internal(format!("there is no sequence {}", id.0)))
    }

    fn shared(&self) -> [&wgpu::Buffer; 5] {
        let Network { state, logits, sampler, .. } = &self.network;
        [state, logits, &sampler.options, &sampler.history, &sampler.allowed]
    }

    /// Makes the shared buffers this sequence's own, putting away those of the one before.
    fn activate(&mut self, id: SequenceId) -> Result<()> {
        if self.active == Some(id) {
            return Ok(());
        }
        if let Some(before) = self.active.filter(|before| self.sequences.contains_key(before)) {
            self.finish_logits(before)?;
            let mut encoder = self.network.device.encoder();
            let park = |buffer: &&wgpu::Buffer| {
                let copy = self.network.device.storage("parked", buffer.size() as usize);
                encoder.copy_buffer_to_buffer(buffer, 0, &copy, 0, buffer.size());
                copy
            };
            let parked = self.shared().iter().map(park).collect();
            self.network.device.queue.submit([encoder.finish()]);
            self.sequence(before)?.parked = Some(parked);
        }
        if let Some(parked) = self.sequence(id)?.parked.take() {
            let mut encoder = self.network.device.encoder();
            for (from, to) in parked.iter().zip(self.shared()) {
                encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
            }
            self.network.device.queue.submit([encoder.finish()]);
        }
        self.active = Some(id);
        Ok(())
    }

    /// Runs the head if the active sequence's logits wait for it.
    fn finish_logits(&mut self, id: SequenceId) -> Result<()> {
        if self.sequence(id)?.logits == Logits::Pending {
            let mut encoder = self.network.device.encoder();
            encode(&mut encoder, 1, self.network.head_step());
            self.network.device.queue.submit([encoder.finish()]);
            self.sequence(id)?.logits = Logits::Ready;
        }
        Ok(())
    }

    /// Makes room for `positions` in a sequence's cache.
    fn grow(&mut self, id: SequenceId, positions: usize) -> Result<()> {
        let network = &self.network;
        let sequence = self.sequences.get_mut(&id).ok_or_else(|| Error::internal("no such sequence"))?;
        if sequence.cache.grow(&network.device, &network.config, positions) {
            sequence.steps = network.sequence_steps(&sequence.cache)?;
        }
        Ok(())
    }

    async fn prefill_chunk(&mut self, id: SequenceId, tokens: &[u32]) -> Result<()> {
        let start = self.sequence(id)?.length;
        let device = self.network.device.clone();
        device.checked(|| self.grow(id, start + tokens.len())).await?;
        let network = &self.network;
        let sequence = &self.sequences[&id];
        network.write_tokens(tokens);
        network.write_state(State { pos: start as u32, count: tokens.len() as u32, ..State::default() });
        let mut encoder = network.device.encoder();
        encode(&mut encoder, tokens.len() as u32, network.prefill_step(&sequence.steps));
        network.keep_token(&mut encoder, tokens.len() - 1);
        let staged = network.device.stage(&mut encoder, &network.state, size_of::<State>());
        let done = network.device.submit(encoder, staged);
        network.device.read(done).await?;
        let sequence = self.sequence(id)?;
        sequence.length += tokens.len();
        sequence.logits = Logits::Pending;
        Ok(())
    }

    /// Submits the next draw of the running decode, and everything that has to come before it.
    fn submit_draw(&mut self, id: SequenceId) -> Result<()> {
        let decoding = self.decoding(id)?;
        let nth = decoding.submitted;
        let network = &self.network;
        let mut encoder = network.device.encoder();
        let steps = &self.sequences[&id].steps;
        if nth == 0 {
            encode(&mut encoder, 1, network.sample_step());
        } else {
            encode(&mut encoder, 1, network.decode_step(steps));
        }
        let staged = network.device.stage(&mut encoder, &network.state, size_of::<State>());
        let readback = network.device.submit(encoder, staged);
        let decoding = self.decoding(id)?;
        decoding.submitted += 1;
        decoding.in_flight.push_back(readback);
        Ok(())
    }

    fn decoding(&mut self, id: SequenceId) -> Result<&mut Decoding> {
        self.sequence(id)?.decoding.as_mut().ok_or_else(|| Error::internal("the sequence is not decoding"))
    }

    /// Says among which tokens the next draw is.
    fn bind(&mut self, id: SequenceId, allowed: Option<&[u32]>) -> Result<()> {
        let vocab = self.network.config.vocab;
        let decoding = self.decoding(id)?;
        if allowed.is_some() && !decoding.in_flight.is_empty() {
            return Err(Error::internal("the device has run ahead of a constraint"));
        }
        let was_bound = std::mem::replace(&mut decoding.bound, allowed.is_some());
        let words = match allowed {
            Some(words) => sampler::allowed(words, vocab),
            None if was_bound => vec![0],
            None => return Ok(()),
        };
        self.network.device.queue.write_buffer(&self.network.sampler.allowed, 0, bytemuck::cast_slice(&words));
        Ok(())
    }

    async fn next_draw(&mut self, id: SequenceId, allowed: Option<&[u32]>) -> Result<Vec<u32>> {
        if self.decoding(id)?.on_cpu.is_some() {
            return self.next_draw_on_cpu(id, allowed).await;
        }
        self.bind(id, allowed)?;
        let run_ahead = if allowed.is_some() { 1 } else { RUN_AHEAD };
        let context = self.network.context_length;
        let decoding = self.decoding(id)?;
        let ahead = (decoding.start + decoding.submitted + run_ahead).min(context);
        if ahead > self.sequence(id)?.cache.capacity {
            let device = self.network.device.clone();
            device.checked(|| self.grow(id, ahead)).await?;
        }
        loop {
            let decoding = self.decoding(id)?;
            let last = decoding.submitted >= decoding.max_tokens || decoding.start + decoding.submitted > context;
            if decoding.ended || last || decoding.in_flight.len() >= run_ahead {
                break;
            }
            self.submit_draw(id)?;
        }
        let Some(readback) = self.decoding(id)?.in_flight.pop_front() else {
            return Ok(Vec::new());
        };
        let bytes = self.network.device.read(readback).await?;
        let state: State = bytemuck::pod_read_unaligned(&bytes);
        let decoding = self.decoding(id)?;
        if state.done != 0 {
            decoding.ended = true;
            decoding.in_flight.clear();
        }
        if state.step as usize <= decoding.before + decoding.drawn {
            return Ok(Vec::new());
        }
        decoding.drawn += 1;
        Ok(vec![state.token])
    }

    async fn next_draw_on_cpu(&mut self, id: SequenceId, allowed: Option<&[u32]>) -> Result<Vec<u32>> {
        let context = self.network.context_length;
        let decoding = self.decoding(id)?;
        let position = decoding.start + decoding.drawn;
        if decoding.ended || decoding.drawn >= decoding.max_tokens || position > context {
            return Ok(Vec::new());
        }
        if let Some(token) = decoding.on_cpu.as_ref().and_then(|draws| draws.last) {
            let pos = (position - 1) as u32;
            let device = self.network.device.clone();
            device.checked(|| self.grow(id, position)).await?;
            self.network.write_state(State { pos, count: 1, token, ..State::default() });
            let mut encoder = self.network.device.encoder();
            encode(&mut encoder, 1, self.network.forward_step(&self.sequences[&id].steps));
            self.network.device.queue.submit([encoder.finish()]);
        }
        let logits = self.read_logits().await?;
        let decoding = self.decoding(id)?;
        decoding.drawn += 1;
        let draws = decoding.on_cpu.as_mut().ok_or_else(|| Error::internal("not drawn on the CPU"))?;
        let token = match allowed {
            Some(allowed) => draws.sampler.draw_among(&logits, ids_of(allowed, logits.len())),
            None => draws.sampler.draw(&logits),
        };
        draws.last = Some(token);
        decoding.ended = draws.stop.contains(&token);
        Ok(vec![token])
    }

    async fn read_logits(&self) -> Result<Vec<f32>> {
        let bytes = self.network.device.read_buffer(&self.network.logits, self.network.config.vocab * 4).await?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }
}

impl Runtime for Gpu {
    fn info(&self) -> &RuntimeInfo {
        &self.info
    }

    fn open(&mut self) -> Result<SequenceId> {
        let network = &self.network;
        let cache = KvCache::new(&network.device, &network.config, network.precision, network.context_length);
        let steps = self.network.sequence_steps(&cache)?;
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        let sequence = Sequence { cache, steps, length: 0, logits: Logits::None, decoding: None, parked: None };
        self.sequences.insert(id, sequence);
        Ok(id)
    }

    fn release(&mut self, sequence: SequenceId) {
        self.sequences.remove(&sequence);
        self.active = self.active.filter(|active| *active != sequence);
    }

    fn length(&self, sequence: SequenceId) -> usize {
        let Some(sequence) = self.sequences.get(&sequence) else { return 0 };
        sequence.decoding.as_ref().map_or(sequence.length, Decoding::cached)
    }

    fn prefill<'a>(&'a mut self, sequence: SequenceId, tokens: &'a [u32]) -> Pending<'a, ()> {
        Box::pin(async move {
            let context = self.network.context_length;
            let vocab = self.network.config.vocab;
            let known = self.sequence(sequence)?;
            if known.decoding.is_some() {
                return Err(Error::internal("a prefill while the sequence is decoding"));
            }
            let length = known.length;
            if length + tokens.len() > context {
                let message = format!("{} tokens do not fit the context of {context}", length + tokens.len());
                return Err(
                    Error::new(ErrorKind::ContextOverflow, message).hint("raise contextLength or shorten the prompt")
                );
            }
            if let Some(token) = tokens.iter().find(|token| **token as usize >= vocab) {
                return Err(Error::invalid(format!("token {token} is outside the vocabulary of {vocab}")));
            }
            self.activate(sequence)?;
            for chunk in tokens.chunks(CHUNK) {
                self.prefill_chunk(sequence, chunk).await?;
            }
            Ok(())
        })
    }

    fn logits(&mut self, sequence: SequenceId) -> Pending<'_, Vec<f32>> {
        Box::pin(async move {
            self.activate(sequence)?;
            if self.sequence(sequence)?.logits == Logits::None {
                return Err(Error::internal("there are no logits before a prefill"));
            }
            self.finish_logits(sequence)?;
            self.read_logits().await
        })
    }

    fn decode(&mut self, sequence: SequenceId, plan: DecodePlan) -> Result<()> {
        self.activate(sequence)?;
        self.finish_logits(sequence)?;
        let context = self.network.context_length;
        let known = self.sequence(sequence)?;
        if known.decoding.is_some() || known.logits != Logits::Ready {
            return Err(Error::internal("a decode must follow a prefill"));
        }
        let start = known.length;
        let network = &self.network;
        let on_cpu = match Options::new(&plan, context) {
            Some(options) => {
                network.device.queue.write_buffer(&network.sampler.options, 0, bytemuck::bytes_of(&options));
                let history = sampler::history(&plan, network.config.vocab);
                network.device.queue.write_buffer(&network.sampler.history, 0, bytemuck::cast_slice(&history));
                network.device.queue.write_buffer(&network.sampler.allowed, 0, bytemuck::bytes_of(&0u32));
                // The sampler moves on from the position before the first drawn token's.
                let (pos, step) = ((start - 1) as u32, plan.reply.len() as u32);
                network.write_state(State { pos, count: 1, step, ..State::default() });
                None
            }
            None => {
                let sampler = Sampler::new(plan.sampling.clone(), &plan.prompt, &plan.reply);
                Some(CpuDraws { sampler, stop: plan.stop.clone(), last: None })
            }
        };
        let known = self.sequence(sequence)?;
        known.logits = Logits::None;
        known.decoding = Some(Decoding {
            start,
            submitted: 0,
            drawn: 0,
            before: plan.reply.len(),
            max_tokens: plan.max_tokens,
            in_flight: VecDeque::new(),
            bound: false,
            ended: false,
            on_cpu,
        });
        Ok(())
    }

    fn next(&mut self, sequence: SequenceId) -> Pending<'_, Vec<u32>> {
        Box::pin(async move {
            self.activate(sequence)?;
            self.next_draw(sequence, None).await
        })
    }

    fn next_among<'a>(&'a mut self, sequence: SequenceId, allowed: &'a [u32]) -> Pending<'a, Vec<u32>> {
        Box::pin(async move {
            self.activate(sequence)?;
            self.next_draw(sequence, Some(allowed)).await
        })
    }

    fn truncate(&mut self, sequence: SequenceId, length: usize) -> Result<()> {
        let known = self.sequence(sequence)?;
        let cached = known.decoding.take().map_or(known.length, |decoding| decoding.cached());
        if length < known.length || cached != known.length {
            known.logits = Logits::None;
        }
        known.length = length.min(cached);
        Ok(())
    }
}
