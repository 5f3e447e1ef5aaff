//! The next token drawn on the device, in two dispatches: `select.wgsl` and `sample.wgsl`. Reference: `crate::sampling`.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::formats::ROW_GROUP;
use crate::gpu::device::{Device, Dispatch};
use crate::gpu::shader::Defines;
use crate::gpu::state::SLOTS;
use crate::model::DecodePlan;

/// The most candidates a reply can choose among on the device.
pub const MAX_K: usize = 64;
/// The most stop tokens the device knows.
pub const MAX_STOP: usize = 16;
/// Slices of the logits, each with its own candidates.
const SLICES: usize = 64;

/// The options of one reply, as `sampler.wgsl` declares them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Options {
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    repetition: f32,
    presence: f32,
    frequency: f32,
    penalised: u32,
    seed: [u32; 2],
    max_tokens: u32,
    context: u32,
    stop_count: u32,
    stop: [u32; MAX_STOP],
    padding: u32,
}

impl Options {
    /// The device's form of a plan for a sequence of `context` positions; none when only the CPU can draw as it asks:
    /// more than [`MAX_K`] candidates, or more than [`MAX_STOP`] stop tokens.
    pub fn new(plan: &DecodePlan, context: usize) -> Option<Self> {
        let sampling = &plan.sampling;
        let greedy = sampling.temperature == 0.0;
        let top_k = if greedy { 1 } else { sampling.top_k };
        if top_k == 0 || top_k as usize > MAX_K || plan.stop.len() > MAX_STOP {
            return None;
        }
        let mut stop = [0; MAX_STOP];
        stop[..plan.stop.len()].copy_from_slice(&plan.stop);
        let drawn = plan.reply.len();
        Some(Self {
            temperature: sampling.temperature,
            top_k,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            repetition: sampling.repetition_penalty,
            presence: sampling.presence_penalty,
            frequency: sampling.frequency_penalty,
            penalised: u32::from(penalised(plan)),
            seed: [sampling.seed as u32, (sampling.seed >> 32) as u32],
            max_tokens: (drawn + plan.max_tokens).min(u32::MAX as usize) as u32,
            context: context as u32,
            stop_count: plan.stop.len() as u32,
            stop,
            padding: 0,
        })
    }
}

/// Whether logits depend on anything but the network.
fn penalised(plan: &DecodePlan) -> bool {
    let sampling = &plan.sampling;
    sampling.repetition_penalty != 1.0
        || sampling.presence_penalty != 0.0
        || sampling.frequency_penalty != 0.0
        || !sampling.logit_bias.is_empty()
}

/// Each token's history at the start of a decode, `(uses in the reply | in the prompt << 31, f32 bias)`, one pair a
/// token of the vocabulary; empty where no option reads it.
fn history(plan: &DecodePlan, vocab: usize) -> Vec<[u32; 2]> {
    if !penalised(plan) {
        return Vec::new();
    }
    let mut history = vec![[0, 0]; vocab];
    let known = |token: &&u32| (**token as usize) < vocab;
    for &token in plan.prompt.iter().filter(known) {
        history[token as usize][0] |= 1 << 31;
    }
    for &token in plan.reply.iter().filter(known) {
        history[token as usize][0] += 1;
    }
    for &(token, bias) in plan.sampling.logit_bias.iter().filter(|(token, _)| (*token as usize) < vocab) {
        let entry = &mut history[token as usize][1];
        *entry = (f32::from_bits(*entry) + bias).to_bits();
    }
    history
}

/// The tokens that can be drawn: 1 and a bit for each, of which `words` has the first.
fn allowed(words: &[u32], vocab: usize) -> Vec<u32> {
    let given = words.iter().copied().chain(std::iter::repeat(0)).take(vocab.div_ceil(32));
    std::iter::once(1).chain(given).collect()
}

/// Elements from one column of logits to the next: whole groups of rows are written, so the last has room.
pub fn padded(vocab: usize) -> usize {
    vocab.next_multiple_of(ROW_GROUP)
}

/// The buffers of the sampler, by slot.
pub struct SamplerBuffers {
    /// `[slot][vocab]` pairs, see [`history`].
    history: wgpu::Buffer,
    /// `[slot]` [`Options`].
    options: wgpu::Buffer,
    /// `[slot]`, see [`allowed`].
    allowed: wgpu::Buffer,
    /// `[column][slice][MAX_K]`
    candidates: wgpu::Buffer,
    /// `[slot][context]` tokens by position, those drawn among them.
    pub text: wgpu::Buffer,
    vocab: usize,
    context: usize,
    queue: wgpu::Queue,
}

impl SamplerBuffers {
    /// Room for a vocabulary, and for the tokens of a context.
    pub fn new(device: &Device, vocab: usize, context: usize) -> Self {
        Self {
            history: device.storage("history", SLOTS * vocab * 8),
            options: device.storage("sampler options", SLOTS * size_of::<Options>()),
            allowed: device.storage("allowed tokens", SLOTS * allowed(&[], vocab).len() * 4),
            candidates: device.storage("candidates", SLOTS * SLICES * MAX_K * 8),
            text: device.storage("text", SLOTS * context * 4),
            vocab,
            context,
            queue: device.queue.clone(),
        }
    }

    /// Makes a slot draw as a plan says.
    pub fn write_plan(&self, slot: usize, plan: &DecodePlan, options: &Options) {
        self.queue.write_buffer(&self.options, (slot * size_of::<Options>()) as u64, bytemuck::bytes_of(options));
        let history = history(plan, self.vocab);
        self.queue.write_buffer(&self.history, (slot * self.vocab * 8) as u64, bytemuck::cast_slice(&history));
        self.write_allowed(slot, None);
    }

    /// Tells what a sequence's tokens are from `position` on.
    pub fn write_text(&self, slot: usize, position: usize, tokens: &[u32]) {
        self.queue.write_buffer(
            &self.text,
            ((slot * self.context + position) * 4) as u64,
            bytemuck::cast_slice(tokens),
        );
    }

    /// Makes a slot draw among these tokens, or among all.
    pub fn write_allowed(&self, slot: usize, words: Option<&[u32]>) {
        let stride = allowed(&[], self.vocab).len() * 4;
        let words = words.map_or(vec![0], |words| allowed(words, self.vocab));
        self.queue.write_buffer(&self.allowed, (slot * stride) as u64, bytemuck::cast_slice(&words));
    }
}

/// Draws from `logits: [column][padded vocab]`, writes the tokens into the state and advances it; with `last` only for the
/// last of the columns, which may be a guess that the one before it has to confirm.
pub fn dispatches(
    device: &Device,
    logits: &wgpu::Buffer,
    buffers: &SamplerBuffers,
    state: &wgpu::Buffer,
    last: bool,
) -> Result<Vec<Dispatch>> {
    let lanes = if device.software { 1 } else { 64 };
    let defines = Defines::new()
        .set("VOCAB", buffers.vocab)
        .set("LOGITS", padded(buffers.vocab))
        .set("CONTEXT", buffers.context)
        .flag("LAST", last)
        .set("LANES", lanes)
        .set("SLICES", SLICES)
        .set("MAX_K", MAX_K)
        .set("MAX_STOP", MAX_STOP);
    let history = || (1, buffers.history.as_entire_binding());
    let options = || (2, buffers.options.as_entire_binding());
    let candidates = || (3, buffers.candidates.as_entire_binding());
    let allowed = (4, buffers.allowed.as_entire_binding());
    let state = || (7, state.as_entire_binding());
    let select = [(0, logits.as_entire_binding()), history(), options(), candidates(), allowed, state()];
    let text = (4, buffers.text.as_entire_binding());
    let sample = [history(), options(), candidates(), text, state()];
    Ok(vec![
        device.dispatch("select", defines.clone(), &select, [SLICES as u32, 1, 1])?.for_tokens(1, 1),
        device.dispatch("sample", defines.flag("ADVANCES", true), &sample, [1, 1, 1])?.for_tokens(0, 1),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::state::{Header, Sequence, State};
    use crate::gpu::testing::{Random, devices, run};
    use crate::sampling::{Sampler, Sampling};

    fn plan(sampling: Sampling) -> DecodePlan {
        let (prompt, reply) = (vec![3, 5, 5, 900], vec![7, 7, 11]);
        DecodePlan { sampling, prompt, reply, stop: vec![42], max_tokens: 1000 }
    }

    /// Draws once for the sequences of these slots.
    fn drawn(device: &Device, dispatches: &[Dispatch], state: &State, slots: &[usize]) -> Vec<Sequence> {
        state.write_columns(slots.len(), &slots.iter().map(|slot| (*slot, 0)).collect::<Vec<_>>());
        let words = run(device, slots.len() as u32, dispatches, &state.buffer, size_of::<Header>() / 4);
        let header: Header = bytemuck::pod_read_unaligned(bytemuck::cast_slice(&words));
        slots.iter().map(|slot| header.sequences[*slot]).collect()
    }

    #[test]
    fn draws_what_the_reference_draws() {
        let vocab = 1003;
        let base = Sampling { temperature: 0.8, top_k: 20, ..Sampling::default() };
        let options = [
            Sampling::default(),
            base.clone(),
            Sampling { top_p: 0.5, ..base.clone() },
            Sampling { min_p: 0.3, top_k: 64, ..base.clone() },
            Sampling { repetition_penalty: 1.3, presence_penalty: 0.5, frequency_penalty: 0.25, ..base.clone() },
            Sampling { logit_bias: vec![(7, -2.0), (900, 4.0), (900, 1.0)], temperature: 1.5, ..base.clone() },
        ];
        let mut random = Random(5);
        for device in devices() {
            for sampling in &options {
                let buffers = SamplerBuffers::new(&device, vocab, 4096);
                let logits = device.storage("logits", SLOTS * padded(vocab) * 4);
                let state = State::new(&device, 1);
                let dispatches = dispatches(&device, &logits, &buffers, &state.buffer, false).unwrap();
                // Two sequences draw at once, and not in the order of their slots.
                let slots = [5, 2];
                let mut references = slots.map(|slot| {
                    let plan = plan(Sampling { seed: random.bits(), ..sampling.clone() });
                    buffers.write_plan(slot, &plan, &Options::new(&plan, 4096).unwrap());
                    let step = plan.reply.len() as u32;
                    state.write_sequence(slot, Sequence { pos: 10, step, ..Sequence::default() });
                    Sampler::new(plan.sampling.clone(), &plan.prompt, &plan.reply)
                });
                for draw in 0..20 {
                    let values = slots.map(|_| {
                        let mut values: Vec<f32> = random.numbers(padded(vocab)).iter().map(|x| x * 4.0).collect();
                        values[13] = values[14]; // a tie
                        values
                    });
                    device.queue.write_buffer(&logits, 0, bytemuck::cast_slice(&values.concat()));
                    let after = drawn(&device, &dispatches, &state, &slots);
                    for ((after, reference), values) in after.iter().zip(&mut references).zip(&values) {
                        assert_eq!(after.token, reference.draw(&values[..vocab]), "draw {draw} of {sampling:?}");
                        assert_eq!((after.pos, after.step), (11 + draw, 4 + draw));
                        assert_eq!(after.done != 0, after.token == 42, "ended without a stop token");
                    }
                    if after.iter().any(|after| after.done != 0) {
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn draws_among_allowed_tokens_what_the_reference_draws() {
        let vocab = 1003;
        let mut random = Random(6);
        for device in devices() {
            for (temperature, top_k, n_allowed) in [(0.0, 0, 5), (0.8, 20, 500), (1.0, 64, 3), (0.8, 20, 1)] {
                let sampling = Sampling { temperature, top_k, seed: random.bits(), ..Sampling::default() };
                let plan = plan(sampling);
                let buffers = SamplerBuffers::new(&device, vocab, 4096);
                let logits = device.storage("logits", vocab * 4);
                let state = State::new(&device, 1);
                let slot = 3;
                buffers.write_plan(slot, &plan, &Options::new(&plan, 4096).unwrap());
                let step = plan.reply.len() as u32;
                state.write_sequence(slot, Sequence { pos: 10, step, ..Sequence::default() });
                let dispatches = dispatches(&device, &logits, &buffers, &state.buffer, false).unwrap();
                let mut reference = Sampler::new(plan.sampling.clone(), &plan.prompt, &plan.reply);
                for draw in 0..8 {
                    let mut words = vec![0u32; vocab.div_ceil(32)];
                    for _ in 0..n_allowed {
                        let id = random.bits() as usize % vocab;
                        words[id / 32] |= 1 << (id % 32);
                    }
                    let values: Vec<f32> = random.numbers(vocab).iter().map(|x| x * 4.0).collect();
                    device.queue.write_buffer(&logits, 0, bytemuck::cast_slice(&values));
                    // Every other draw is of all tokens.
                    let bound = draw % 2 == 0;
                    buffers.write_allowed(slot, bound.then_some(&words));
                    let token = drawn(&device, &dispatches, &state, &[slot])[0].token;
                    let expected = match bound {
                        true => reference.draw_among(&values, crate::sampling::ids_of(&words, vocab)),
                        false => reference.draw(&values),
                    };
                    assert_eq!(token, expected, "draw {draw} of {:?} on {n_allowed}", plan.sampling);
                    if token == 42 {
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn ends_at_the_token_limit_and_then_stands_still() {
        for device in devices() {
            let plan = DecodePlan { max_tokens: 2, reply: Vec::new(), ..plan(Sampling::default()) };
            let buffers = SamplerBuffers::new(&device, 8, 4096);
            let logits = device.storage_of("logits", &[0.0f32, 1.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
            let state = State::new(&device, 1);
            buffers.write_plan(0, &plan, &Options::new(&plan, 4096).unwrap());
            let dispatches = dispatches(&device, &logits, &buffers, &state.buffer, false).unwrap();
            let states: Vec<Sequence> = (0..4).map(|_| drawn(&device, &dispatches, &state, &[0])[0]).collect();
            let seen: Vec<_> = states.iter().map(|s| (s.step, s.done, s.token)).collect();
            assert_eq!(seen, [(1, 0, 2), (2, 1, 2), (2, 1, 2), (2, 1, 2)]);
        }
    }

    #[test]
    fn what_the_device_cannot_draw_is_left_to_the_reference() {
        let sampling = Sampling { temperature: 1.0, ..Sampling::default() };
        for top_k in [0, MAX_K as u32 + 1] {
            assert!(Options::new(&plan(Sampling { top_k, ..sampling.clone() }), 4096).is_none());
        }
    }
}
