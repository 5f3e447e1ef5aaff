//! How the engine moves a reply on: one chunk of its prompt, or the tokens that are ready, and what follows from them.

use super::engine::Engine;
use super::event::{Event, FinishReason};
use super::reply::{Phase, Reply, Turn};
use crate::error::Result;
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

    async fn advance_prefill(&mut self, reply: &mut Reply, events: &mut Vec<Event>) -> Result<()> {
        let before = (self.clock)();
        let processed = self.read_chunk(reply.slot, &reply.tokens).await?;
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
        if reply.top_logprobs.is_some() {
            // Logits are wanted, so the device cannot run ahead: it reads what was drawn here, one token at a time.
            let logits = self.runtime.logits(self.pool.slot(reply.slot).id).await?;
            reply.times.note_token((self.clock)());
            let turn = reply.draw(&self.tokenizer, &self.eos, &logits, events);
            return self.turn(reply, turn, events);
        }
        let plan = DecodePlan {
            sampling: reply.sampling.clone(),
            prompt: reply.tokens[..reply.prompt_tokens].to_vec(),
            reply: reply.drawn().to_vec(),
            stop: self.eos.clone(),
            max_tokens: reply.max_tokens - reply.drawn().len(),
        };
        self.runtime.decode(self.pool.slot(reply.slot).id, plan)?;
        reply.phase = Phase::Decode;
        Ok(())
    }

    async fn advance_decode(&mut self, reply: &mut Reply, events: &mut Vec<Event>) -> Result<()> {
        let drawn = self.runtime.next(self.pool.slot(reply.slot).id).await?;
        if drawn.is_empty() {
            return self.end(reply, FinishReason::Length, events);
        }
        let now = (self.clock)();
        for id in drawn {
            reply.times.note_token(now);
            let turn = reply.take(&self.tokenizer, &self.eos, id, events);
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
            Turn::Finish(reason) => self.end(reply, reason, events),
        }
    }

    /// Closes an open thinking block as the model would, or puts an empty one where it might have begun; what the device
    /// drew beyond is dropped.
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
        if reply.phase == Phase::Decode {
            self.pool.slot(reply.slot).tokens = reply.tokens.clone();
            self.pool.settle(&mut *self.runtime, reply.slot, reply.tokens.len())?;
            reply.phase = Phase::Prefill;
        }
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
        Ok(())
    }
}
