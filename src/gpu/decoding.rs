//! The decode loop: steps of all running sequences at once, or of one and what is guessed to follow, submitted ahead of their
//! readers.

use std::collections::VecDeque;

use web_time::Instant;

use super::device::Readback;
use super::kernels::linear::WIDTHS;
use super::runtime::{Gpu, Sequence};
use super::state::{self, Header};
use crate::error::{Error, Result};
use crate::model::SequenceId;
use crate::sampling::{Sampler, ids_of};

/// How far the device runs ahead of who reads its results: so many steps are on it before the first of them is read.
pub struct Ahead {
    /// The steps.
    pub steps: usize,
    /// Milliseconds from a submit of nothing to its result.
    latency: f64,
    /// Steps read in this measurement, and when it began.
    read: usize,
    since: Instant,
}

impl Ahead {
    /// Steps to begin with.
    pub const FIRST: usize = 4;
    /// The most, where results are long on their way: a browser may look for them ten times a second only.
    const MOST: usize = 16;
    /// Reads of one measurement.
    const READS: usize = 16;

    /// Nothing has been read yet.
    pub fn new(steps: usize, latency: f64) -> Self {
        Self { steps, latency, read: 0, since: Instant::now() }
    }

    /// A step has been read.
    fn note(&mut self) {
        self.read += 1;
        if self.read == Self::READS {
            let interval = self.since.elapsed().as_secs_f64() * 1e3 / self.read as f64;
            *self = Self::new(deep_enough(self.steps, self.latency, interval), self.latency);
        }
    }
}

/// So many steps that the device never waits for the reader of the first, or, as long as it does, more than before.
fn deep_enough(steps: usize, latency: f64, interval: f64) -> usize {
    let enough = ((latency / interval).ceil() + 1.0) as usize;
    enough.clamp(steps, Ahead::MOST.max(steps))
}

/// A sequence's running decode.
pub struct Decoding {
    /// Tells its draws from those of a decode of the same sequence before.
    pub run: u64,
    /// Cached tokens at the start.
    pub start: usize,
    /// Steps submitted, and those of them not read.
    pub submitted: usize,
    pub flying: usize,
    /// The most draws that they can bring.
    pub coming: usize,
    /// Draws read from the device.
    pub received: usize,
    /// The share of first guesses that were right, the latest counting most.
    pub luck: f32,
    /// Right first guesses so far.
    pub guessed: u32,
    /// Of these, those that nobody has asked for yet.
    pub ready: VecDeque<u32>,
    /// Draws of the reply before this decode.
    pub before: usize,
    pub max_tokens: usize,
    /// The next draw is among allowed tokens only.
    pub bound: bool,
    pub ended: bool,
    /// For options that the device's sampler does not know: the reference draws, in lock-step.
    pub on_cpu: Option<CpuDraws>,
}

/// What draws on the CPU.
pub struct CpuDraws {
    pub sampler: Sampler,
    pub stop: Vec<u32>,
    pub last: Option<u32>,
}

impl Decoding {
    /// Tokens certainly cached: the last one that was asked for is not.
    pub fn cached(&self) -> usize {
        self.start + (self.received - self.ready.len()).saturating_sub(1)
    }

    /// Whether another step may be submitted: positions up to `room` are there.
    fn goes_on(&self, run_ahead: usize, room: usize) -> bool {
        let last = self.received + self.flying >= self.max_tokens || self.start + self.received + self.coming > room;
        self.on_cpu.is_none() && !self.ended && !last && self.flying + self.ready.len() < run_ahead
    }

    /// Columns of the next step: the token, and as many guesses as have lately been worth their while.
    fn columns(&self, room: usize) -> usize {
        let [_, _, some, most] = WIDTHS.map(|width| width as usize);
        let wanted = match self.luck {
            luck if luck > MOSTLY => most,
            luck if luck > OFTEN => some,
            _ => 1,
        };
        let first = self.submitted == 0 || self.bound;
        if first || self.start + self.received + self.coming + wanted > room { 1 } else { wanted }
    }

    /// A step has brought these draws.
    fn take(&mut self, state: &state::Sequence, most: usize) {
        self.flying -= 1;
        self.coming -= most;
        let drawn = (state.step as usize).saturating_sub(self.before + self.received);
        self.ready.extend(&state.drawn[..drawn.min(most)]);
        self.received += drawn;
        if drawn > 0 {
            let right = state.guessed != std::mem::replace(&mut self.guessed, state.guessed);
            self.luck += (f32::from(u8::from(right)) - self.luck) * LATEST;
        }
        self.ended |= state.done != 0;
    }
}

/// How much the last guess counts.
const LATEST: f32 = 0.125;
/// The share of right guesses from which a few are tried at once: a step of four columns must bring more than it costs.
const OFTEN: f32 = 0.5;
/// And from which as many as there are.
const MOSTLY: f32 = 0.8;

/// A submitted step, and whose draws it holds, how many at most each.
pub struct Flight {
    readback: Readback,
    draws: Vec<(SequenceId, u64, usize)>,
}

impl Gpu {
    /// The next draws of a sequence, at least one unless it has ended.
    pub(super) async fn next_draws(&mut self, id: SequenceId, allowed: Option<&[u32]>) -> Result<Vec<u32>> {
        if self.decoding(id)?.on_cpu.is_some() {
            return self.next_draw_on_cpu(id, allowed).await;
        }
        self.bind(id, allowed)?;
        let run_ahead = if allowed.is_some() { 1 } else { self.ahead.steps };
        let context = self.network.frame.context_length;
        let decoding = self.decoding(id)?;
        let most = decoding.columns(usize::MAX) * run_ahead;
        let ahead = (decoding.start + decoding.received + decoding.coming + most).min(context);
        self.grow(id, ahead).await?;
        loop {
            while self.decoding(id)?.goes_on(run_ahead, context) {
                self.submit_step(id)?;
            }
            let decoding = self.decoding(id)?;
            if !decoding.ready.is_empty() {
                return Ok(decoding.ready.drain(..).collect());
            }
            if decoding.ended || decoding.flying == 0 {
                return Ok(Vec::new());
            }
            self.receive().await?;
        }
    }

    /// Says among which tokens the next draw is.
    fn bind(&mut self, id: SequenceId, allowed: Option<&[u32]>) -> Result<()> {
        let slot = self.sequence(id)?.slot;
        let decoding = self.decoding(id)?;
        if allowed.is_some() && (decoding.flying > 0 || !decoding.ready.is_empty()) {
            return Err(Error::internal("the device has run ahead of a constraint"));
        }
        let was_bound = std::mem::replace(&mut decoding.bound, allowed.is_some());
        if allowed.is_some() || was_bound {
            self.network.frame.sampler.write_allowed(slot, allowed);
        }
        Ok(())
    }

    /// Submits the next step of a sequence, and of all others that are waiting for theirs: the weights are read once. A
    /// sequence that is alone takes guesses along.
    fn submit_step(&mut self, id: SequenceId) -> Result<()> {
        let context = self.network.frame.context_length;
        let known = self.sequence(id)?;
        let (slot, room) = (known.slot, known.room().min(context));
        let decoding = self.decoding(id)?;
        let first = decoding.submitted == 0;
        let (alone, mut guesses) = (first || decoding.bound, decoding.columns(room));
        let run_ahead = self.ahead.steps;
        let joins = |(other, sequence): (&SequenceId, &Sequence)| {
            let decoding = sequence.decoding.as_ref().filter(|decoding| decoding.submitted > 0 && !decoding.bound)?;
            let ready = *other != id && decoding.goes_on(run_ahead, sequence.room().min(context));
            ready.then_some((*other, sequence.slot))
        };
        let mut members = vec![(id, slot)];
        if !alone {
            members.extend(self.sequences.iter().filter_map(joins));
        }
        if members.len() > 1 {
            guesses = 1;
        }
        let columns: Vec<_> = members.iter().flat_map(|(_, slot)| (0..guesses).map(|ahead| (*slot, ahead))).collect();
        self.name_columns(&columns);
        let network = &self.network;
        let mut encoder = network.frame.device.encoder();
        if first {
            network.recall(&mut encoder, slot);
            network.frame.device.encode(&mut encoder, 1, network.head_step()?.chain(network.sample_step()));
        } else if guesses > 1 {
            let step = network.guess_step(guesses, &self.attention, &self.cache)?;
            network.frame.device.encode_each(&mut encoder, step);
        } else {
            let step = network.forward_step(columns.len(), &self.attention)?;
            network.frame.device.encode(&mut encoder, columns.len() as u32, step.chain(network.sample_step()));
        }
        let staged = network.frame.device.stage(&mut encoder, &network.frame.state.buffer, size_of::<Header>());
        let readback = network.frame.device.submit(encoder, staged);
        let mut draws = Vec::new();
        for (member, _) in members {
            let decoding = self.decoding(member)?;
            decoding.submitted += 1;
            decoding.flying += 1;
            decoding.coming += guesses;
            draws.push((member, decoding.run, guesses));
        }
        self.in_flight.push_back(Flight { readback, draws });
        Ok(())
    }

    /// Says which slot's each column of the next steps is, and how many guesses ahead.
    pub(super) fn name_columns(&mut self, columns: &[(usize, usize)]) {
        if self.columns != columns {
            self.network.frame.state.write_columns(columns.len(), columns);
            self.columns = columns.to_vec();
        }
    }

    /// Waits for the oldest step in flight and gives its draws to their sequences.
    async fn receive(&mut self) -> Result<()> {
        let flight = self.in_flight.pop_front().ok_or_else(|| Error::internal("no step is in flight"))?;
        let (bytes, worked) = self.network.frame.device.read_timed(flight.readback).await?;
        self.ahead.note();
        let header: Header = bytemuck::pod_read_unaligned(&bytes);
        let share = worked.map(|milliseconds| milliseconds / flight.draws.len() as f64);
        for (id, run, most) in flight.draws {
            let Some(sequence) = self.sequences.get_mut(&id) else { continue };
            sequence.note_work(share);
            let Some(decoding) = sequence.decoding.as_mut().filter(|decoding| decoding.run == run) else { continue };
            decoding.take(&header.sequences[sequence.slot], most);
        }
        Ok(())
    }

    /// Forgets steps in flight whose draws nobody wants any more, so that nobody waits for them.
    pub(super) fn drop_stale_flights(&mut self) {
        let wanted = |(id, run, _): &(SequenceId, u64, usize)| {
            let decoding = self.sequences.get(id).and_then(|sequence| sequence.decoding.as_ref());
            decoding.is_some_and(|decoding| decoding.run == *run)
        };
        self.in_flight.retain(|flight| flight.draws.iter().any(wanted));
    }

    async fn next_draw_on_cpu(&mut self, id: SequenceId, allowed: Option<&[u32]>) -> Result<Vec<u32>> {
        let (context, vocab) = (self.network.frame.context_length, self.network.frame.config.vocab);
        let slot = self.sequence(id)?.slot;
        let decoding = self.decoding(id)?;
        let position = decoding.start + decoding.received;
        if decoding.ended || decoding.received >= decoding.max_tokens || position > context {
            return Ok(Vec::new());
        }
        let last = decoding.on_cpu.as_ref().and_then(|draws| draws.last);
        self.grow(id, position).await?;
        self.name_columns(&[(slot, 0)]);
        let network = &self.network;
        let mut encoder = network.frame.device.encoder();
        match last {
            Some(token) => {
                let pos = (position - 1) as u32;
                network.frame.state.write_sequence(slot, state::Sequence { pos, token, ..state::Sequence::default() });
                network.frame.sampler.write_text(slot, position - 1, &[token]);
                network.frame.device.encode(&mut encoder, 1, network.forward_step(1, &self.attention)?);
            }
            None => {
                network.recall(&mut encoder, slot);
                network.frame.device.encode(&mut encoder, 1, network.head_step()?);
            }
        }
        let staged = network.frame.device.stage(&mut encoder, network.logits(), vocab * 4);
        let (bytes, worked) = network.frame.device.read_timed(network.frame.device.submit(encoder, staged)).await?;
        self.sequence(id)?.note_work(worked);
        let logits: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        let decoding = self.decoding(id)?;
        decoding.received += 1;
        let draws = decoding.on_cpu.as_mut().ok_or_else(|| Error::internal("not drawn on the CPU"))?;
        let token = match allowed {
            Some(allowed) => draws.sampler.draw_among(&logits, ids_of(allowed, logits.len())),
            None => draws.sampler.draw(&logits),
        };
        draws.last = Some(token);
        decoding.ended = draws.stop.contains(&token);
        Ok(vec![token])
    }

    pub(super) fn decoding(&mut self, id: SequenceId) -> Result<&mut Decoding> {
        self.sequence(id)?.decoding.as_mut().ok_or_else(|| Error::internal("the sequence is not decoding"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of the run-ahead where a step takes `step` milliseconds and a result `latency` more.
    fn settled(step: f64, latency: f64) -> usize {
        (0..20).fold(Ahead::FIRST, |steps, _| deep_enough(steps, latency, step.max((step + latency) / steps as f64)))
    }

    #[test]
    fn the_device_runs_as_far_ahead_as_results_are_long_on_their_way() {
        assert_eq!(settled(10.0, 0.5), Ahead::FIRST);
        assert_eq!(settled(2.0, 5.0), Ahead::FIRST);
        assert_eq!(settled(10.0, 100.0), 11);
        assert_eq!(settled(1.0, 100.0), Ahead::MOST);
        assert_eq!(deep_enough(4, 1.0, 0.0), Ahead::MOST, "a clock that has stood still");
    }

    #[test]
    fn a_measurement_takes_several_reads() {
        let mut ahead = Ahead::new(4, 1e9);
        (1..Ahead::READS).for_each(|_| ahead.note());
        assert_eq!(ahead.steps, 4);
        ahead.note();
        assert_eq!((ahead.steps, ahead.read), (Ahead::MOST, 0));
        let mut near = Ahead::new(9, 0.0);
        (0..40).for_each(|_| near.note());
        assert_eq!(near.steps, 9, "never fewer");
    }
}
