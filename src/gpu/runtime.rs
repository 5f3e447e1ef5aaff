//! The `Runtime` on a device: sequences, their pages of the cache, and prefill in chunks. Decoding is in `decoding.rs`.

use std::collections::{BTreeMap, VecDeque};

use web_time::Instant;

use super::decoding::{Ahead, CpuDraws, Decoding, Flight};
use super::kernels::attention::TILE;
use super::kernels::sampler::Options;
use super::kv_cache::{KvCache, SLAB, cache_bytes};
use super::network::{AttentionSteps, Network};
use super::pace::Pace;
use super::state::{self, SLOTS};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DecodePlan, Pending, Runtime, RuntimeInfo, SequenceId};
use crate::sampling::Sampler;

/// A model resident on a device.
pub struct Gpu {
    pub(super) network: Network,
    info: RuntimeInfo,
    pub(super) cache: KvCache,
    pub(super) attention: AttentionSteps,
    pub(super) sequences: BTreeMap<SequenceId, Sequence>,
    /// What the device's columns are, slots and guesses ahead, if known.
    pub(super) columns: Vec<(usize, usize)>,
    /// Steps submitted and not read, oldest first.
    pub(super) in_flight: VecDeque<Flight>,
    pub(super) ahead: Ahead,
    pace: Pace,
    next_id: u32,
    next_run: u64,
}

/// A conversation's place.
pub(super) struct Sequence {
    /// Its row in everything that the device holds by slot.
    pub(super) slot: usize,
    /// Its tiles of the cache, in order.
    pages: Vec<u32>,
    /// Tokens cached, a running decode not counted.
    length: usize,
    /// The activations of the last token were kept: it was prefilled just now.
    kept: bool,
    pub(super) decoding: Option<Decoding>,
    /// See [`Runtime::device_ms`].
    worked: f64,
}

impl Sequence {
    /// Positions there are pages for.
    pub(super) fn room(&self) -> usize {
        self.pages.len() * TILE
    }

    /// The device has worked so long for it, if it tells.
    pub(super) fn note_work(&mut self, milliseconds: Option<f64>) {
        self.worked += milliseconds.unwrap_or(0.0);
    }
}

impl Gpu {
    /// The runtime of a network.
    pub async fn new(network: Network) -> Result<Self> {
        let device = network.frame.device.clone();
        let mut latency = f64::INFINITY;
        // The first has to wait for the weights.
        for _ in 0..3 {
            let begun = Instant::now();
            device.read_buffer(&network.frame.state.buffer, 4).await?;
            latency = latency.min(begun.elapsed().as_secs_f64() * 1e3);
        }
        let pace = Pace::new(device.software, network.frame.config.layers + 1, latency);
        let info = RuntimeInfo {
            device: "webgpu",
            adapter: Some(device.description.clone()),
            context_length: network.frame.context_length,
            weight_bytes: network.weight_bytes,
            kv_cache_bytes: cache_bytes(&network.frame.config, network.precision, network.frame.context_length),
            quantization: network.quantization,
            prefill_chunk: pace.chunk,
        };
        let cache = KvCache::new(&device, &network.frame.config, network.precision, network.frame.state.pages);
        let attention = network.attention_steps(&cache)?;
        Ok(Self {
            network,
            info,
            cache,
            attention,
            sequences: BTreeMap::new(),
            columns: Vec::new(),
            in_flight: VecDeque::new(),
            ahead: Ahead::new(Ahead::FIRST, latency),
            pace,
            next_id: 0,
            next_run: 0,
        })
    }

    pub(super) fn sequence(&mut self, id: SequenceId) -> Result<&mut Sequence> {
        self.sequences.get_mut(&id).ok_or_else(|| Error::internal(format!("there is no sequence {}", id.0)))
    }

    /// Makes room for `positions` of a sequence.
    pub(super) async fn grow(&mut self, id: SequenceId, positions: usize) -> Result<()> {
        let (slot, held) = self.sequence(id).map(|sequence| (sequence.slot, sequence.pages.len()))?;
        let needed = positions.div_ceil(TILE);
        if needed <= held {
            return Ok(());
        }
        let wanted = needed.next_multiple_of(SLAB).min(self.network.frame.state.pages) - held;
        let device = self.network.frame.device.clone();
        if self.cache.reserve(&device, wanted).await? {
            self.attention = device.checked(|| self.network.attention_steps(&self.cache)).await?;
        }
        let pages = self.cache.take(wanted);
        self.network.frame.state.write_pages(slot, held, &pages);
        self.sequence(id)?.pages.extend(pages);
        Ok(())
    }

    /// Takes in one chunk, in as many submits as the pace says.
    async fn prefill_chunk(&mut self, id: SequenceId, tokens: &[u32]) -> Result<()> {
        let (slot, start) = self.sequence(id).map(|sequence| (sequence.slot, sequence.length))?;
        self.grow(id, start + tokens.len()).await?;
        // In a prefill all columns are one slot's, which the next decode step must not take for its own.
        self.columns.clear();
        let network = &self.network;
        network.write_tokens(tokens);
        network.frame.sampler.write_text(slot, start, tokens);
        network.frame.state.write_columns(tokens.len(), &[(slot, 0)]);
        network.frame.state.write_sequence(slot, state::Sequence { pos: start as u32, ..state::Sequence::default() });
        let begun = Instant::now();
        let parts = network.prefill_step(&self.attention);
        let mut worked = None;
        let mut slices = parts.chunks(parts.len().div_ceil(self.pace.submits)).peekable();
        while let Some(slice) = slices.next() {
            let mut encoder = network.frame.device.encoder();
            network.frame.device.encode(&mut encoder, tokens.len() as u32, slice.iter().flatten().copied());
            if slices.peek().is_some() {
                network.frame.device.queue.submit([encoder.finish()]);
                continue;
            }
            let staged = network.frame.device.stage(&mut encoder, &network.frame.state.buffer, 4);
            (_, worked) = network.frame.device.read_timed(network.frame.device.submit(encoder, staged)).await?;
        }
        self.pace.note(tokens.len(), begun.elapsed().as_secs_f64() * 1e3);
        self.info.prefill_chunk = self.pace.chunk;
        let sequence = self.sequence(id)?;
        sequence.length += tokens.len();
        sequence.kept = true;
        sequence.note_work(worked);
        Ok(())
    }
}

impl Runtime for Gpu {
    fn info(&self) -> &RuntimeInfo {
        &self.info
    }

    fn dispatches(&self) -> usize {
        let forward = self.network.forward_step(1, &self.attention).map_or(0, Iterator::count);
        forward + self.network.sample_step().count()
    }

    fn open(&mut self) -> Result<SequenceId> {
        let taken = |slot: &usize| self.sequences.values().any(|sequence| sequence.slot == *slot);
        let slot = (0..SLOTS).find(|slot| !taken(slot)).ok_or_else(|| {
            Error::new(ErrorKind::OutOfMemory, format!("the device holds {SLOTS} conversations, and all are in use"))
                .hint("end one of them")
        })?;
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        let sequence = Sequence { slot, pages: Vec::new(), length: 0, kept: false, decoding: None, worked: 0.0 };
        self.sequences.insert(id, sequence);
        Ok(id)
    }

    fn release(&mut self, sequence: SequenceId) {
        if let Some(released) = self.sequences.remove(&sequence) {
            self.cache.give_back(released.pages);
            self.drop_stale_flights();
        }
    }

    fn length(&self, sequence: SequenceId) -> usize {
        let Some(sequence) = self.sequences.get(&sequence) else { return 0 };
        sequence.decoding.as_ref().map_or(sequence.length, Decoding::cached)
    }

    fn prefill<'a>(&'a mut self, sequence: SequenceId, tokens: &'a [u32]) -> Pending<'a, ()> {
        Box::pin(async move {
            let context = self.network.frame.context_length;
            let vocab = self.network.frame.config.vocab;
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
            let mut rest = tokens;
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(self.pace.chunk.min(rest.len()));
                self.prefill_chunk(sequence, chunk).await?;
                rest = after;
            }
            Ok(())
        })
    }

    fn logits(&mut self, sequence: SequenceId) -> Pending<'_, Vec<f32>> {
        Box::pin(async move {
            let known = self.sequence(sequence)?;
            let slot = known.slot;
            if !known.kept || known.decoding.is_some() {
                return Err(Error::internal("there are no logits before a prefill"));
            }
            self.name_columns(&[(slot, 0)]);
            let network = &self.network;
            let mut encoder = network.frame.device.encoder();
            network.recall(&mut encoder, slot);
            network.frame.device.encode(&mut encoder, 1, network.head_step()?);
            let staged = network.frame.device.stage(&mut encoder, network.logits(), network.frame.config.vocab * 4);
            let (bytes, worked) = network.frame.device.read_timed(network.frame.device.submit(encoder, staged)).await?;
            self.sequence(sequence)?.note_work(worked);
            Ok(bytemuck::pod_collect_to_vec(&bytes))
        })
    }

    fn decode(&mut self, sequence: SequenceId, plan: DecodePlan) -> Result<()> {
        let context = self.network.frame.context_length;
        let known = self.sequence(sequence)?;
        if known.decoding.is_some() || !known.kept {
            return Err(Error::internal("a decode must follow a prefill"));
        }
        let (slot, start) = (known.slot, known.length);
        let on_cpu = match Options::new(&plan, context) {
            Some(options) => {
                self.network.frame.sampler.write_plan(slot, &plan, &options);
                // The sampler moves on from the position before the first drawn token's.
                let (pos, step) = ((start - 1) as u32, plan.reply.len() as u32);
                self.network
                    .frame
                    .state
                    .write_sequence(slot, state::Sequence { pos, step, ..state::Sequence::default() });
                None
            }
            None => {
                let sampler = Sampler::new(plan.sampling.clone(), &plan.prompt, &plan.reply);
                Some(CpuDraws { sampler, stop: plan.stop.clone(), last: None })
            }
        };
        let run = self.next_run;
        self.next_run += 1;
        let known = self.sequence(sequence)?;
        known.kept = false;
        known.decoding = Some(Decoding {
            run,
            start,
            submitted: 0,
            flying: 0,
            coming: 0,
            received: 0,
            luck: 0.0,
            guessed: 0,
            ready: VecDeque::new(),
            before: plan.reply.len(),
            max_tokens: plan.max_tokens,
            bound: false,
            ended: false,
            on_cpu,
        });
        Ok(())
    }

    fn next(&mut self, sequence: SequenceId) -> Pending<'_, Vec<u32>> {
        Box::pin(self.next_draws(sequence, None))
    }

    fn next_among<'a>(&'a mut self, sequence: SequenceId, allowed: &'a [u32]) -> Pending<'a, Vec<u32>> {
        Box::pin(self.next_draws(sequence, Some(allowed)))
    }

    fn truncate(&mut self, sequence: SequenceId, length: usize) -> Result<()> {
        let known = self.sequence(sequence)?;
        let cached = known.decoding.take().map_or(known.length, |decoding| decoding.cached());
        if length < known.length || cached != known.length {
            known.kept = false;
        }
        known.length = length.min(cached);
        self.drop_stale_flights();
        Ok(())
    }

    fn device_ms(&mut self, sequence: SequenceId) -> Option<f64> {
        let tells_time = self.network.frame.device.tells_time();
        self.sequences.get_mut(&sequence).filter(|_| tells_time).map(|known| std::mem::take(&mut known.worked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::DType;
    use crate::gpu::self_test::relative_error;
    use crate::gpu::testing::{Random, devices, prefill_devices, random_model, random_model_of};
    use crate::model::Weight;
    use crate::sampling::Sampling;
    use pollster::block_on;

    const VOCAB: u32 = 256;

    fn prompt(seed: u64, tokens: usize) -> Vec<u32> {
        let mut random = Random(seed);
        (0..tokens).map(|_| random.bits() as u32 % VOCAB).collect()
    }

    fn plan(prompt: &[u32], seed: u64, max_tokens: usize) -> DecodePlan {
        let sampling = Sampling { temperature: 1.5, top_k: 50, seed, ..Sampling::default() };
        DecodePlan { sampling, prompt: prompt.to_vec(), reply: Vec::new(), stop: Vec::new(), max_tokens }
    }

    fn opened(gpu: &mut Gpu, prompt: &[u32]) -> SequenceId {
        let sequence = gpu.open().unwrap();
        block_on(gpu.prefill(sequence, prompt)).unwrap();
        sequence
    }

    fn rest(gpu: &mut Gpu, sequence: SequenceId) -> Vec<u32> {
        let mut tokens = Vec::new();
        loop {
            let next = block_on(gpu.next(sequence)).unwrap();
            if next.is_empty() {
                return tokens;
            }
            tokens.extend(next);
        }
    }

    fn reply(gpu: &mut Gpu, prompt: &[u32], plan: DecodePlan) -> Vec<u32> {
        let sequence = opened(gpu, prompt);
        gpu.decode(sequence, plan).unwrap();
        let tokens = rest(gpu, sequence);
        gpu.release(sequence);
        tokens
    }

    #[test]
    fn running_ahead_changes_no_token_and_a_late_stop_leaves_nothing_behind() {
        let prompt = prompt(1, 40);
        for device in devices() {
            let mut gpu = random_model(&device, 2);
            // Left while the device is ahead, rewound, and continued otherwise.
            let rewound = |gpu: &mut Gpu| {
                let sequence = opened(gpu, &prompt);
                gpu.decode(sequence, plan(&prompt, 3, 24)).unwrap();
                let mut read = 0;
                while read < 8 {
                    read += block_on(gpu.next(sequence)).unwrap().len();
                }
                gpu.truncate(sequence, prompt.len() + 7).unwrap();
                assert_eq!(gpu.length(sequence), prompt.len() + 7);
                block_on(gpu.prefill(sequence, &[9])).unwrap();
                gpu.decode(sequence, plan(&prompt, 4, 8)).unwrap();
                let tokens = rest(gpu, sequence);
                gpu.release(sequence);
                tokens
            };
            gpu.ahead = Ahead::new(1, 0.0);
            let expected = reply(&mut gpu, &prompt, plan(&prompt, 3, 24));
            let continued = rewound(&mut gpu);
            assert_eq!((expected.len(), continued.len()), (24, 8));
            for depth in [2, 4, 9] {
                gpu.ahead = Ahead::new(depth, 0.0);
                assert_eq!(reply(&mut gpu, &prompt, plan(&prompt, 3, 24)), expected, "{depth} steps ahead");
                assert_eq!(rewound(&mut gpu), continued, "{depth} steps ahead");
                for stop in [0, 1, 2, 3, 7] {
                    let stops = vec![expected[stop]];
                    let until = expected.iter().position(|token| *token == stops[0]).unwrap();
                    let stopped = reply(&mut gpu, &prompt, DecodePlan { stop: stops, ..plan(&prompt, 3, 24) });
                    assert_eq!(stopped, expected[..=until], "{depth} steps ahead, stopped at {stop}");
                }
            }
        }
    }

    /// Projections of different types have dispatches of their own; both sets of kernels compute the same with them.
    #[test]
    fn projections_of_different_types_go_side_by_side() {
        let prompt = prompt(15, 40);
        let of = |weight| match weight {
            Weight::Up(_) | Weight::Value(_) => DType::Q8_0,
            Weight::Key(_) => DType::Q5_1,
            _ => DType::Q4_0,
        };
        let [hardware, software] = devices().map(|device| {
            let mut gpu = random_model_of(&device, 16, of);
            let sequence = opened(&mut gpu, &prompt);
            gpu.decode(sequence, plan(&prompt, 5, 12)).unwrap();
            let drawn = rest(&mut gpu, sequence);
            gpu.truncate(sequence, usize::MAX).unwrap();
            block_on(gpu.prefill(sequence, &[7])).unwrap();
            (drawn, block_on(gpu.logits(sequence)).unwrap())
        });
        assert_eq!(hardware.0, software.0);
        let expected: Vec<f64> = software.1.iter().map(|x| f64::from(*x)).collect();
        let error = relative_error(&hardware.1, &expected);
        assert!(error < 1e-4, "{error}");
    }

    #[test]
    fn chunks_and_submits_of_a_prefill_change_no_bit() {
        let prompt = prompt(5, 333);
        for device in prefill_devices() {
            let mut gpu = random_model(&device, 6);
            let mut logits = |chunk: usize, submits: usize| {
                let sequence = gpu.open().unwrap();
                for part in prompt.chunks(chunk) {
                    gpu.pace.chunk = part.len();
                    gpu.pace.submits = submits;
                    block_on(gpu.prefill(sequence, part)).unwrap();
                }
                let logits = block_on(gpu.logits(sequence)).unwrap();
                gpu.release(sequence);
                logits.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let expected = logits(256, 1);
            assert!(expected.iter().any(|bits| *bits != expected[0]));
            for (chunk, submits) in [(256, 3), (100, 2), (37, 1), (64, 5), (9, 1)] {
                assert!(logits(chunk, submits) == expected, "chunks of {chunk} in {submits} submits");
            }
        }
    }

    /// Guesses are tried all the time, or never: the tokens are the same, and right guesses save steps.
    #[test]
    fn guessing_changes_no_token() {
        let prompt = prompt(13, 60);
        for device in devices() {
            let mut gpu = random_model(&device, 14);
            let mut reply = |plan: &DecodePlan, luck: f32| {
                let sequence = opened(&mut gpu, &prompt);
                gpu.decode(sequence, plan.clone()).unwrap();
                let mut tokens = Vec::new();
                loop {
                    gpu.decoding(sequence).unwrap().luck = luck;
                    let next = block_on(gpu.next(sequence)).unwrap();
                    if next.is_empty() {
                        break;
                    }
                    tokens.extend(next);
                }
                let steps = gpu.decoding(sequence).unwrap().submitted;
                gpu.truncate(sequence, usize::MAX).unwrap();
                assert_eq!(gpu.length(sequence), prompt.len() + tokens.len() - 1);
                gpu.release(sequence);
                (tokens, steps)
            };
            let sampled = plan(&prompt, 15, 40);
            let greedy = DecodePlan { sampling: Sampling::default(), ..sampled.clone() };
            let warm = Sampling { temperature: 0.3, top_k: 5, seed: 16, ..Sampling::default() };
            let penalised = Sampling { presence_penalty: 0.4, repetition_penalty: 1.1, ..warm };
            let (expected, _) = reply(&greedy, -1.0);
            assert_eq!(reply(&greedy, 0.6).0, expected, "software {}", device.software);
            let plans = [
                DecodePlan { stop: vec![expected[30]], ..greedy.clone() },
                DecodePlan { sampling: penalised, ..sampled.clone() },
                sampled,
            ];
            for plan in plans {
                let (expected, _) = reply(&plan, -1.0);
                assert_eq!(reply(&plan, 1.0).0, expected, "{:?}, software {}", plan.sampling, device.software);
            }
            // Greedy replies of a small network go round in circles, which is what guesses are good for.
            let (tokens, steps) = reply(&DecodePlan { max_tokens: 90, ..greedy }, 1.0);
            assert_eq!(tokens[..40], expected);
            assert!(steps < tokens.len() * 3 / 4, "{steps} steps for {} tokens", tokens.len());
        }
    }

    /// A reply that repeats itself is guessed without being told to, one that does not is not.
    #[test]
    fn guesses_are_switched_on_by_their_success() {
        let prompt = prompt(13, 60);
        let [device, _] = devices();
        let mut gpu = random_model(&device, 14);
        let mut steps = |plan: DecodePlan| {
            let sequence = opened(&mut gpu, &prompt);
            gpu.decode(sequence, plan).unwrap();
            let tokens = rest(&mut gpu, sequence).len();
            let steps = gpu.decoding(sequence).unwrap().submitted;
            gpu.release(sequence);
            (steps, tokens)
        };
        let random = plan(&prompt, 15, 60);
        let circular = DecodePlan { sampling: Sampling::default(), max_tokens: 200, ..random.clone() };
        let (circular, tokens) = steps(circular);
        assert!(circular < tokens * 3 / 4, "{circular} steps for {tokens} tokens");
        let (irregular, tokens) = steps(random);
        assert!(irregular >= tokens, "{irregular} steps for {tokens} tokens");
    }

    /// More sequences than one reading of the weights serves, of all kinds, some of which join later or end sooner.
    #[test]
    fn replies_are_the_same_alone_and_beside_others() {
        for device in devices() {
            let mut gpu = random_model(&device, 8);
            let works: Vec<(Vec<u32>, DecodePlan)> = (0..11)
                .map(|nth| {
                    let prompt = prompt(nth, 5 + 31 * nth as usize);
                    let mut plan = plan(&prompt, nth, 40 - nth as usize);
                    match nth {
                        1 => plan.sampling.temperature = 0.0,
                        2 => plan.sampling.frequency_penalty = 0.7,
                        3 => plan.sampling.repetition_penalty = 1.3,
                        // The device does not draw so.
                        4 => plan.sampling.top_k = 0,
                        _ => {}
                    }
                    (prompt, plan)
                })
                .collect();
            let alone: Vec<_> = works.iter().map(|(prompt, plan)| reply(&mut gpu, prompt, plan.clone())).collect();
            let mut running = Vec::new();
            let mut together = vec![Vec::<u32>::new(); works.len()];
            let mut most = 0;
            for round in 0.. {
                // A reply joins every round.
                if let Some((prompt, plan)) = works.get(round) {
                    let sequence = opened(&mut gpu, prompt);
                    gpu.decode(sequence, plan.clone()).unwrap();
                    running.push((round, sequence));
                }
                running.retain(|(nth, sequence)| {
                    let next = block_on(gpu.next(*sequence)).unwrap();
                    most = most.max(gpu.columns.len());
                    together[*nth].extend(&next);
                    if next.is_empty() {
                        gpu.release(*sequence);
                    }
                    !next.is_empty()
                });
                if running.is_empty() && round >= works.len() {
                    break;
                }
            }
            assert!(most > 4, "at most {most} sequences shared a step");
            for (nth, (together, alone)) in together.iter().zip(&alone).enumerate() {
                assert_eq!(together, alone, "reply {nth}, software {}", device.software);
            }
            assert!(gpu.in_flight.is_empty() && gpu.sequences.is_empty());
        }
    }

    #[test]
    fn a_full_house_is_an_error_and_a_place_that_was_left_is_free() {
        let [_, device] = devices();
        let mut gpu = random_model(&device, 9);
        let all: Vec<_> = (0..SLOTS).map(|_| gpu.open().unwrap()).collect();
        assert_eq!(gpu.open().unwrap_err().kind, ErrorKind::OutOfMemory);
        gpu.release(all[3]);
        gpu.open().unwrap();
    }
}
