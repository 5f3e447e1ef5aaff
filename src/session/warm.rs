//! Reading ahead while nobody waits: a reply becomes history without its thinking, in other tokens than it was drawn in.
//! Those are read into the cache right after it, so that the next turn starts warm.

use super::engine::{Engine, Fitted};
use super::options::Options;
use super::reply::Reply;
use crate::chat::message::{Message, Role};
use crate::error::Result;

/// What a reply answers.
pub(super) struct History {
    pub(super) messages: Vec<Message>,
    pub(super) options: Options,
}

/// What the next turn of a conversation will begin with.
pub(super) struct Ahead {
    slot: usize,
    /// The slot's last use when the reply ended: after another one it holds another conversation.
    last_use: u64,
    tokens: Vec<u32>,
}

impl Engine {
    /// A bounded piece of work that a later call will be glad of, for when there is nothing else to do. Whether there is
    /// more of it.
    pub async fn idle(&mut self) -> Result<bool> {
        let Some(Ahead { slot, last_use, tokens }) = self.ahead.take() else { return Ok(false) };
        if !self.pool.take_again(slot, last_use) {
            return Ok(false);
        }
        let held = self.pool.rewind(&mut *self.runtime, slot, &tokens);
        let read = match held {
            Ok(_) => self.read_chunk(slot, &tokens).await,
            Err(error) => Err(error),
        };
        let goes_on = self.hand_back(slot, read)? < tokens.len();
        if goes_on {
            self.ahead = Some(Ahead { slot, last_use, tokens });
        }
        Ok(goes_on)
    }

    /// A reply with this content has ended.
    pub(super) fn look_ahead(&mut self, reply: &mut Reply, content: &str) {
        let Some(History { mut messages, mut options }) = reply.history.take() else { return };
        messages.push(Message::new(Role::Assistant, content));
        // Only a question after it makes it history.
        messages.push(Message::new(Role::User, ""));
        options.settings.add_generation_prompt = false;
        options.drop_oldest_turns = false;
        // What does not fit will not be the next turn.
        let Ok(Fitted { mut tokens, .. }) = self.fit(messages, &options) else { return };
        let question = self.tokenizer.added_id("<|im_start|>");
        tokens.truncate(tokens.iter().rposition(|&id| Some(id) == question).map_or(0, |at| at + 1));
        if !tokens.is_empty() {
            self.ahead = Some(Ahead { slot: reply.slot, last_use: self.pool.last_use(reply.slot), tokens });
        }
    }
}
