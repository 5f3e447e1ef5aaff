//! How the engine moves a reply on: one chunk of its prompt, or the tokens that are ready, and what follows from them.

use super::engine::Engine;
use super::event::{Event, FinishReason};
use super::reply::{Phase, Reply, Turn};
use crate::error::Result;
use crate::grammar::TokenSet;
use crate::model::DecodePlan;

impl Engine {
    /// One bounded piece of device work.
    pub(super) async fn advance(&mut self, reply: &mut Reply, events: &mut Vec<Event>) -> Result<()> {
        if reply.requests.abort {
            return self.end(reply, FinishReason::Abort, events);
        }
        if std::mem::take(&mut reply.requests.skip_thinking) {
            self.close_thinking(reply, events)?;
        }
        match reply.phase {
            Phase::Prefill => self.advance_prefill(reply, events).await,
            Phase::Decode => self.advance_decode(reply, events).await,
            Phase::Done => Ok(()),
        }
    }

    /// What the device has worked for a reply since this was last noted.
    fn note_device(&mut self, reply: &mut Reply, decoding: bool) {
        let worked = self.runtime.device_ms(self.pool.slot(reply.slot).id);
        reply.times.note_device(worked, decoding);
    }

    async fn advance_prefill(&mut self, reply: &mut Reply, events: &mut Vec<Event>) -> Result<()> {
        let before = (self.clock)();
        let processed = self.read_chunk(reply.slot, &reply.tokens).await?;
        self.note_device(reply, reply.times.drawn > 0);
        if reply.times.drawn == 0 {
            reply.times.prefill += (self.clock)() - before;
            let (total, cached) = (reply.prompt_tokens, reply.cached_tokens);
            events.push(Event::Prefill { processed: processed.min(total), total, cached });
        }
        if processed < reply.tokens.len() {
            return Ok(());
        }
        if reply.drawn().len() >= reply.max_tokens {
            return self.end(reply, FinishReason::Length, events);
        }
        if reply.is_drawn_singly() {
            return self.draw_one(reply, events).await;
        }
        self.start_decode(reply)
    }

    /// One token at a time, where the device does not know what is wanted. Tokens that a form leaves no choice in need no
    /// logits, and are read together.
    async fn draw_one(&mut self, reply: &mut Reply, events: &mut Vec<Event>) -> Result<()> {
        while let Some(id) = reply.allowed()?.and_then(TokenSet::only).filter(|_| reply.top_logprobs.is_none()) {
            self.leave_decode(reply)?;
            reply.times.note_token((self.clock)());
            match reply.take(&self.tokenizer, &self.eos, id, events)? {
                Turn::GoOn if reply.is_drawn_singly() => {}
                turn => return self.turn(reply, turn, events),
            }
        }
        let slot = self.pool.slot(reply.slot);
        if reply.phase == Phase::Prefill && slot.tokens.len() < reply.tokens.len() {
            return Ok(());
        }
        let sequence = slot.id;
        let id = if reply.top_logprobs.is_some() {
            let logits = self.runtime.logits(sequence).await?;
            self.note_device(reply, true);
            reply.draw(&self.tokenizer, &self.eos, &logits)?
        } else {
            if reply.phase == Phase::Prefill {
                self.start_decode(reply)?;
            }
            let allowed = reply.allowed()?.cloned().unwrap_or_default();
            let drawn = self.runtime.next_among(sequence, &allowed.0).await?;
            self.note_device(reply, true);
            match drawn.first() {
                Some(&id) => id,
                None => return self.end(reply, FinishReason::Length, events),
            }
        };
        reply.times.note_token((self.clock)());
        let turn = reply.take(&self.tokenizer, &self.eos, id, events)?;
        self.turn(reply, turn, events)
    }

    fn start_decode(&mut self, reply: &mut Reply) -> Result<()> {
        let plan = DecodePlan {
            sampling: reply.sampling.clone(),
            prompt: reply.tokens[..reply.prompt_tokens].to_vec(),
            reply: reply.drawn().to_vec(),
            stop: self.stop_tokens(reply),
            max_tokens: reply.max_tokens - reply.drawn().len(),
        };
        self.runtime.decode(self.pool.slot(reply.slot).id, plan)?;
        reply.phase = Phase::Decode;
        Ok(())
    }

    /// Ends a running decode: what the device drew beyond the reply is dropped.
    fn leave_decode(&mut self, reply: &mut Reply) -> Result<()> {
        if reply.phase == Phase::Decode {
            self.pool.slot(reply.slot).tokens = reply.tokens.clone();
            self.pool.settle(&mut *self.runtime, reply.slot, reply.tokens.len())?;
            reply.phase = Phase::Prefill;
        }
        Ok(())
    }

    /// Tokens after which the device must not go on by itself.
    fn stop_tokens(&self, reply: &Reply) -> Vec<u32> {
        let form_follows = reply.structure.is_some();
        self.eos.iter().copied().chain(self.tags.end_think.filter(|_| form_follows)).collect()
    }

    async fn advance_decode(&mut self, reply: &mut Reply, events: &mut Vec<Event>) -> Result<()> {
        if reply.is_drawn_singly() {
            return self.draw_one(reply, events).await;
        }
        let drawn = self.runtime.next(self.pool.slot(reply.slot).id).await?;
        self.note_device(reply, true);
        if drawn.is_empty() {
            return self.end(reply, FinishReason::Length, events);
        }
        let now = (self.clock)();
        for id in drawn {
            reply.times.note_token(now);
            let turn = reply.take(&self.tokenizer, &self.eos, id, events)?;
            if turn != Turn::GoOn {
                return self.turn(reply, turn, events);
            }
        }
        Ok(())
    }

    fn turn(&mut self, reply: &mut Reply, turn: Turn, events: &mut Vec<Event>) -> Result<()> {
        match turn {
            Turn::GoOn => Ok(()),
            Turn::CloseThinking => self.close_thinking(reply, events),
            Turn::Answer => self.go_on_with(reply, self.tokenizer.encode_text("\n\n")?, events),
            Turn::Finish(reason) => self.end(reply, reason, events),
        }
    }

    /// Closes an open thinking block as the model would, or puts an empty one where it might have begun.
    fn close_thinking(&mut self, reply: &mut Reply, events: &mut Vec<Event>) -> Result<()> {
        let (Some(think), Some(end_think)) = (self.tags.think, self.tags.end_think) else { return Ok(()) };
        let not_begun = reply.starts_empty && reply.drawn().is_empty();
        if !reply.parser.is_thinking() && !not_begun {
            return Ok(());
        }
        let newlines = match reply.parser.trailing_newlines() {
            _ if not_begun => "\n\n",
            None => "\n\n",
            Some(0) => "\n",
            Some(_) => "",
        };
        let mut closing = if not_begun { vec![think] } else { Vec::new() };
        closing.extend(self.tokenizer.encode_text(newlines)?);
        closing.push(end_think);
        closing.extend(self.tokenizer.encode_text("\n\n")?);
        self.go_on_with(reply, closing, events)
    }

    /// Adds tokens that were not drawn, with which the thinking is over; what the device drew beyond is dropped.
    fn go_on_with(&mut self, reply: &mut Reply, mut closing: Vec<u32>, events: &mut Vec<Event>) -> Result<()> {
        self.leave_decode(reply)?;
        closing.truncate(reply.max_tokens - reply.drawn().len());
        for id in closing {
            reply.force(&self.tokenizer, id, events);
        }
        Ok(())
    }

    /// Ends a reply: the sequence keeps what is certain, the events get their last.
    pub(super) fn end(&mut self, reply: &mut Reply, reason: FinishReason, events: &mut Vec<Event>) -> Result<()> {
        if reply.phase == Phase::Decode {
            self.pool.slot(reply.slot).tokens = reply.tokens.clone();
        }
        let held = self.pool.slot(reply.slot).tokens.len();
        self.pool.settle(&mut *self.runtime, reply.slot, held)?;
        self.pool.release(reply.slot);
        reply.finish(reason, (self.clock)(), events);
        // An aborted reply may be said again, and what was called is not history before it is answered.
        if let Some(Event::Done { result }) = events.last()
            && reason != FinishReason::Abort
            && result.tool_calls.is_empty()
        {
            self.look_ahead(reply, &result.content);
        }
        Ok(())
    }
}
