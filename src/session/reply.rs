//! One reply in the making: its tokens, what they said so far, and what ends it. The engine moves it on.

use super::event::{Event, FinishReason, GpuTimings, ReplyResult, Timings, TokenLogprob, TokenLogprobs, Usage};
use super::loops::LoopGuard;
use super::saved::Origin;
use super::stop::StopFilter;
use super::structure::Structure;
use super::warm::History;
use crate::chat::ToolCall;
use crate::chat::reply::{Event as Said, Parser};
use crate::error::Result;
use crate::grammar::TokenSet;
use crate::sampling::{Sampler, Sampling, log_probabilities};
use crate::tokenizer::{Decoder, Tokenizer};

/// How far a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Tokens are there that the device has not read.
    Prefill,
    /// The device draws.
    Decode,
    /// The last event is out.
    Done,
}

/// Why drawing stops for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It does not.
    GoOn,
    /// The thinking has used its budget, or the model ended the reply in it though an answer of some form is due.
    CloseThinking,
    /// The thinking is over and an answer of some form is due.
    Answer,
    /// The reply is over.
    Finish(FinishReason),
}

/// What the caller asked for while the reply runs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Requests {
    pub(super) abort: bool,
    pub(super) skip_thinking: bool,
}

/// When things happened, by the engine's clock, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    pub(super) start: f64,
    /// Spent reading the prompt.
    pub(super) prefill: f64,
    pub(super) first_token: Option<f64>,
    pub(super) last_token: f64,
    /// Tokens the device drew.
    pub(super) drawn: usize,
    /// By the device's clock, if it tells: spent reading the prompt, and on all after it.
    pub(super) device: Option<[f64; 2]>,
}

impl Times {
    /// A token was drawn.
    pub(super) fn note_token(&mut self, now: f64) {
        self.first_token.get_or_insert(now);
        self.last_token = now;
        self.drawn += 1;
    }

    /// The device has worked so long, if it tells.
    pub(super) fn note_device(&mut self, milliseconds: Option<f64>, decoding: bool) {
        if let Some(milliseconds) = milliseconds {
            self.device.get_or_insert_default()[usize::from(decoding)] += milliseconds;
        }
    }
}

/// A reply in the making.
pub struct Reply {
    /// The sequence's place in the pool.
    pub(super) slot: usize,
    /// Prompt and reply.
    pub(super) tokens: Vec<u32>,
    pub(super) prompt_tokens: usize,
    pub(super) cached_tokens: usize,
    pub(super) sampling: Sampling,
    pub(super) max_tokens: usize,
    pub(super) thinking_budget: Option<usize>,
    /// Unless it is switched off.
    pub(super) loop_guard: Option<LoopGuard>,
    pub(super) phase: Phase,
    pub(super) requests: Requests,
    pub(super) times: Times,
    pub(super) parser: Parser,
    /// The assistant's turn began with nothing in it.
    pub(super) starts_empty: bool,
    pub(super) stop: StopFilter,
    /// A stop string came.
    pub(super) stopped: bool,
    /// Events of no device work, which go out with the next step.
    pub(super) waiting: Vec<Event>,
    /// What it began with, to be saved.
    pub(super) origin: Origin,
    /// What it answers, if that is a conversation.
    pub(super) history: Option<History>,
    /// Places in the reply of tokens that were not drawn.
    pub(super) forced: Vec<usize>,
    /// What the ids of this reply's tool calls begin with.
    pub(super) call_prefix: String,
    pub(super) decoder: Decoder,
    pub(super) thinking_tokens: usize,
    pub(super) thinking: String,
    pub(super) content: String,
    pub(super) tool_calls: Vec<ToolCall>,
    /// How many of the likeliest tokens to tell of, if log probabilities are wanted.
    pub(super) top_logprobs: Option<usize>,
    /// What the answer has to keep to.
    pub(super) structure: Option<Structure>,
    /// Draws where the device does not; none until then, and after a token was forced.
    pub(super) sampler: Option<Sampler>,
    pub(super) logprobs: Vec<TokenLogprobs>,
}

impl Reply {
    /// Whether the last event is out.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Tokens of the reply so far.
    pub(super) fn drawn(&self) -> &[u32] {
        &self.tokens[self.prompt_tokens..]
    }

    /// Whether the device must not run ahead.
    pub(super) fn is_drawn_singly(&self) -> bool {
        self.top_logprobs.is_some() || self.structure.as_ref().is_some_and(Structure::holds)
    }

    /// The tokens that may come next; none for all.
    pub(super) fn allowed(&mut self) -> Result<Option<&TokenSet>> {
        self.structure.as_mut().filter(|structure| structure.holds()).map(Structure::allowed).transpose()
    }

    /// Takes in a token that was drawn.
    pub(super) fn take(
        &mut self,
        tokenizer: &Tokenizer,
        eos: &[u32],
        id: u32,
        events: &mut Vec<Event>,
    ) -> Result<Turn> {
        let was_thinking = self.parser.is_thinking();
        if was_thinking && self.structure.is_some() && eos.contains(&id) {
            return Ok(Turn::CloseThinking);
        }
        self.tokens.push(id);
        if let Some(structure) = &mut self.structure {
            structure.accept(id)?;
        }
        if eos.contains(&id) {
            return Ok(Turn::Finish(FinishReason::Stop));
        }
        self.say(tokenizer, id, events);
        if self.stopped {
            return Ok(Turn::Finish(FinishReason::Stop));
        }
        if self.drawn().len() >= self.max_tokens {
            return Ok(Turn::Finish(FinishReason::Length));
        }
        if was_thinking && !self.parser.is_thinking() && self.structure.is_some() {
            return Ok(Turn::Answer);
        }
        if !self.parser.is_thinking() {
            return Ok(Turn::GoOn);
        }
        if self.thinking_budget.is_some_and(|budget| self.thinking_tokens >= budget) {
            return Ok(Turn::CloseThinking);
        }
        if self.loop_guard.as_mut().is_some_and(|guard| guard.push(id)) {
            let message = "the thinking repeated itself over and over and was closed";
            events.push(Event::notice("thinking-loop", message));
            return Ok(Turn::CloseThinking);
        }
        Ok(Turn::GoOn)
    }

    /// Draws a token from its logits, keeping how likely it was if that is wanted.
    pub(super) fn draw(&mut self, tokenizer: &Tokenizer, eos: &[u32], logits: &[f32]) -> Result<u32> {
        let known = |id: &u32| (*id as usize) < logits.len();
        let allowed: Option<Vec<u32>> = self.allowed()?.map(|allowed| allowed.ids().filter(known).collect());
        let (prompt, drawn) = self.tokens.split_at(self.prompt_tokens);
        let sampler = self.sampler.get_or_insert_with(|| Sampler::new(self.sampling.clone(), prompt, drawn));
        let id = match allowed {
            Some(allowed) => sampler.draw_among(logits, allowed),
            None => sampler.draw(logits),
        };
        let is_answer = !self.parser.is_thinking() && !self.parser.is_tag(id) && !eos.contains(&id);
        if let Some(top) = self.top_logprobs.filter(|_| is_answer) {
            let (logprob, top) = log_probabilities(logits, id, top);
            let told = |(token_id, logprob): (u32, f32)| {
                let token = String::from_utf8_lossy(tokenizer.token_bytes(token_id)).into_owned();
                TokenLogprob { token, token_id, logprob }
            };
            let top_logprobs = top.into_iter().map(told).collect();
            self.logprobs.push(TokenLogprobs { token: told((id, logprob)), top_logprobs });
        }
        Ok(id)
    }

    /// Adds a token that was not drawn: it belongs to the end of the thinking.
    pub(super) fn force(&mut self, tokenizer: &Tokenizer, id: u32, events: &mut Vec<Event>) {
        self.forced.push(self.drawn().len());
        self.tokens.push(id);
        if let Some(structure) = &mut self.structure {
            structure.answer();
        }
        self.sampler = None;
        let thought = self.thinking_tokens;
        self.say(tokenizer, id, events);
        // What closes the thinking is not thought.
        self.thinking_tokens = thought;
    }

    /// Tells what a token says.
    fn say(&mut self, tokenizer: &Tokenizer, id: u32, events: &mut Vec<Event>) {
        let mut said = Vec::new();
        let was_thinking = self.parser.is_thinking();
        if self.parser.is_tag(id) {
            self.parser.push_text(&self.decoder.finish(), &mut said);
            self.parser.push_token(id, &String::from_utf8_lossy(tokenizer.token_bytes(id)), &mut said);
        } else {
            let text = self.decoder.push(tokenizer, id);
            self.parser.push_token(id, &text, &mut said);
        }
        self.thinking_tokens += usize::from(was_thinking && self.parser.is_thinking());
        self.pass_on(said, events);
    }

    /// Turns what was said into events and keeps it; what was said after a stop string is dropped.
    fn pass_on(&mut self, said: Vec<Said>, events: &mut Vec<Event>) {
        for said in said {
            match said {
                Said::Content(text) => {
                    let (text, stopped) = self.stop.push(&text);
                    self.add_content(text, events);
                    self.stopped = stopped;
                    if stopped {
                        return;
                    }
                    continue;
                }
                _ => self.release_content(events),
            }
            match said {
                Said::Content(_) => {}
                Said::Thinking(text) => {
                    self.thinking.push_str(&text);
                    match events.last_mut() {
                        Some(Event::Thinking { text: last }) => last.push_str(&text),
                        _ => events.push(Event::Thinking { text }),
                    }
                }
                Said::ToolCallDelta { index, name, arguments } => match events.last_mut() {
                    Some(Event::ToolCallDelta { index: open, arguments: last, .. }) if *open == index => {
                        last.push_str(&arguments);
                    }
                    _ => events.push(Event::ToolCallDelta { index, name, arguments }),
                },
                Said::ToolCall { index, call } => {
                    let call = ToolCall { id: format!("{}{index}", self.call_prefix), ..call };
                    self.tool_calls.push(call.clone());
                    events.push(Event::ToolCall { index, call });
                }
                Said::MalformedToolCall { index } => events.push(Event::notice(
                    "malformed-tool-call",
                    format!("tool call {index} could not be read; its text follows as content"),
                )),
            }
        }
    }

    fn add_content(&mut self, text: String, events: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        self.content.push_str(&text);
        match events.last_mut() {
            Some(Event::Content { text: last }) => last.push_str(&text),
            _ => events.push(Event::Content { text }),
        }
    }

    fn release_content(&mut self, events: &mut Vec<Event>) {
        let held = self.stop.flush();
        self.add_content(held, events);
    }

    /// The last events, `done` included.
    pub(super) fn finish(&mut self, reason: FinishReason, now: f64, events: &mut Vec<Event>) {
        if !self.stopped {
            let mut said = Vec::new();
            let rest = self.decoder.finish();
            self.parser.push_text(&rest, &mut said);
            self.parser.finish(&mut said);
            self.pass_on(said, events);
            if !self.stopped {
                self.release_content(events);
            }
        }
        let called = reason == FinishReason::Stop && !self.tool_calls.is_empty();
        let result = ReplyResult {
            thinking: std::mem::take(&mut self.thinking),
            content: std::mem::take(&mut self.content),
            tool_calls: std::mem::take(&mut self.tool_calls),
            finish_reason: if called { FinishReason::ToolCalls } else { reason },
            usage: self.usage(),
            timings: self.timings(now),
            seed: self.sampling.seed,
            logprobs: self.top_logprobs.map(|_| std::mem::take(&mut self.logprobs)),
        };
        events.push(Event::Done { result });
        self.phase = Phase::Done;
    }

    fn usage(&self) -> Usage {
        let completion_tokens = self.drawn().len();
        Usage {
            prompt_tokens: self.prompt_tokens,
            cached_tokens: self.cached_tokens,
            thinking_tokens: self.thinking_tokens,
            content_tokens: completion_tokens - self.thinking_tokens,
            completion_tokens,
        }
    }

    fn timings(&self, now: f64) -> Timings {
        let per_second = |n: usize, ms: f64| if ms > 0.0 { n as f64 * 1000.0 / ms } else { 0.0 };
        let times = &self.times;
        let first = times.first_token;
        Timings {
            time_to_first_token_ms: first.map_or(0.0, |first| first - times.start),
            prefill_tokens_per_second: per_second(self.prompt_tokens - self.cached_tokens, times.prefill),
            decode_tokens_per_second: first
                .map_or(0.0, |first| per_second(times.drawn.saturating_sub(1), times.last_token - first)),
            total_ms: now - times.start,
            gpu: times.device.map(|[prefill_ms, decode_ms]| GpuTimings {
                prefill_ms,
                decode_ms,
                decode_ms_per_token: decode_ms / times.drawn.max(1) as f64,
            }),
        }
    }
}
