//! A reply as data, so that it can go on in another page's engine: the ids of its prompt and of what it has said, and all
//! that decides what comes next. The same model then says the same.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::engine::{Engine, Ready};
use super::event::Event;
use super::options::{Call, Options};
use super::reply::Reply;
use crate::chat::presets::{NON_THINKING, THINKING};
use crate::chat::reply::Start;
use crate::error::{Error, Result};

/// What a reply began with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Origin {
    pub(super) call: Call,
    pub(super) start: Start,
    /// The mode, which chooses the preset.
    pub(super) thinks: bool,
    /// The caller's.
    pub(super) options: Value,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Saved {
    version: u32,
    /// Of the model.
    vocabulary_size: usize,
    #[serde(flatten)]
    origin: Origin,
    seed: u64,
    /// Ids.
    prompt: Vec<u32>,
    /// Ids.
    reply: Vec<u32>,
    /// Places in `reply` of tokens that were not drawn.
    forced: Vec<usize>,
}

const VERSION: u32 = 1;

impl Engine {
    /// A reply under way as plain data. `invalid-argument` after its last event.
    pub fn save(&self, reply: &Reply) -> Result<Value> {
        if reply.is_done() {
            return Err(Error::invalid("reply: expected one under way, got one that has ended"));
        }
        let saved = Saved {
            version: VERSION,
            vocabulary_size: self.config.vocab,
            origin: reply.origin.clone(),
            seed: reply.sampling.seed,
            prompt: reply.tokens[..reply.prompt_tokens].to_vec(),
            reply: reply.drawn().to_vec(),
            forced: reply.forced.clone(),
        };
        serde_json::to_value(saved).map_err(|error| Error::internal(error.to_string()))
    }

    /// Goes on with a saved reply. Its first events tell again what it had said.
    pub fn resume(&mut self, saved: &Value) -> Result<Reply> {
        let wrong = |got: String| Error::invalid(format!("saved: expected what saving a reply gave, got {got}"));
        let saved: Saved = serde_json::from_value(saved.clone()).map_err(|error| wrong(error.to_string()))?;
        let Saved { version, vocabulary_size, origin, seed, prompt, reply: said, forced } = saved;
        let vocab = self.config.vocab;
        if version != VERSION || vocabulary_size != vocab {
            return Err(wrong(format!("version {version} and a model of {vocabulary_size} tokens, not of {vocab}")));
        }
        if prompt.is_empty() || prompt.iter().chain(&said).any(|&id| id as usize >= vocab) {
            return Err(wrong("ids that are not the model's".into()));
        }
        self.check_fits(prompt.len() + said.len())?;
        let options = Options::read(&origin.options, origin.call, vocab)?;
        let sampling = options.sampling(if origin.thinks { THINKING } else { NON_THINKING }, seed);
        let mut reply = self.begin(Ready::new((self.clock)(), prompt, origin), sampling, options)?;
        let mut events = Vec::new();
        for (place, &id) in said.iter().enumerate() {
            let told = if forced.contains(&place) {
                reply.force(&self.tokenizer, id, &mut events);
                Ok(())
            } else {
                reply.take(&self.tokenizer, &self.eos, id, &mut events).map(|_| ())
            };
            if let Err(error) = told {
                self.release(reply)?;
                return Err(error);
            }
        }
        events.retain(|event| !matches!(event, Event::Notice { .. }));
        reply.waiting = events;
        Ok(reply)
    }
}
