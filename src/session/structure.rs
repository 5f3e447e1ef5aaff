//! The part of a reply that has to keep to a grammar: it begins where the answer does, never in the thinking.

use serde_json::Value;

use super::engine::Engine;
use super::options::{Call, Options, ToolChoice};
use crate::chat::reply::{Start, Tags};
use crate::error::{Error, Result};
use crate::grammar::{Calls, Compile, Constraint, Grammar, TokenSet, Vocabulary};

/// A reply's constraint and whether it holds already.
pub(super) struct Structure {
    constraint: Box<dyn Constraint>,
    state: State,
    /// What may come next, once it was asked for.
    allowed: Option<TokenSet>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The reply begins with its thinking, which this token opens, or with its answer.
    Open { think: u32 },
    /// The reply is thinking.
    Thinking,
    /// The reply answers.
    Answer,
}

impl Structure {
    /// The structure of a reply that starts in `start`.
    pub(super) fn new(constraint: Box<dyn Constraint>, start: Start, tags: Tags) -> Self {
        let state = match (start, tags.think) {
            (Start::Reply, Some(think)) => State::Open { think },
            (Start::Thinking, _) => State::Thinking,
            _ => State::Answer,
        };
        Self { constraint, state, allowed: None }
    }

    /// Whether the next token must be one of [`Structure::allowed`]; if not, the end of the thinking is waited for.
    pub(super) fn holds(&self) -> bool {
        self.state != State::Thinking
    }

    /// The tokens that may come next.
    pub(super) fn allowed(&mut self) -> Result<&TokenSet> {
        if self.allowed.is_none() {
            let mut allowed = self.constraint.allowed()?;
            if let State::Open { think } = self.state {
                allowed.insert(think);
            }
            self.allowed = Some(allowed);
        }
        Ok(self.allowed.get_or_insert_default())
    }

    /// A token was drawn.
    pub(super) fn accept(&mut self, id: u32) -> Result<()> {
        self.allowed = None;
        match self.state {
            State::Open { think } if id == think => self.state = State::Thinking,
            State::Thinking => {}
            _ => {
                self.state = State::Answer;
                self.constraint.accept(id)?;
            }
        }
        Ok(())
    }

    /// The thinking is over, or there will be none.
    pub(super) fn answer(&mut self) {
        self.allowed = None;
        self.state = State::Answer;
    }
}

impl Engine {
    /// Whether a reply with these options needs [`Engine::set_grammars`] first.
    pub fn needs_grammars(&self, options: &Value) -> Result<bool> {
        let options = Options::read(options, Call::Chat, self.config.vocab)?;
        Ok(options.format.is_some() || options.tool_choice != ToolChoice::Auto)
    }

    /// Where constraints come from.
    pub fn set_grammars(&mut self, grammars: Box<dyn Compile>) {
        self.grammars = Some(grammars);
    }

    /// What a grammar has to know of this engine's tokens.
    pub fn vocabulary(&self) -> Vocabulary {
        let ids = 0..self.tokenizer.vocabulary_size() as u32;
        // No text has a byte 0xFF, by which control tokens are known.
        let text = |id| Some(self.tokenizer.token_bytes(id)).filter(|bytes| bytes.first() != Some(&0xFF));
        let mut tokens: Vec<Vec<u8>> = ids.map(|id| text(id).unwrap_or_default().to_vec()).collect();
        for (content, id) in self.tokenizer.added_tokens() {
            tokens[id as usize] = [b"\xFF", content.as_bytes()].concat();
        }
        Vocabulary { tokens, eos: self.eos.clone() }
    }

    /// The structure that these options ask of a reply.
    pub(super) fn structure(&self, options: &Options, start: Start) -> Result<Option<Structure>> {
        let grammar = Grammar { format: options.format.clone(), calls: self.calls(options)? };
        let grammar = match options.tool_choice {
            ToolChoice::Auto if grammar.format.is_none() => return Ok(None),
            ToolChoice::Auto => grammar,
            _ => Grammar { format: None, ..grammar },
        };
        let grammars = self.grammars.as_deref().ok_or_else(|| Error::internal("there are no grammars"))?;
        Ok(Some(Structure::new(grammars.compile(&grammar)?, start, self.tags)))
    }

    /// The calls a reply may or must make.
    fn calls(&self, options: &Options) -> Result<Option<Calls>> {
        let wanted = |name: &str| match &options.tool_choice {
            ToolChoice::Named(named) => named == name,
            _ => true,
        };
        let tools: Vec<(String, Value)> = options
            .tools()
            .filter(|(name, _)| wanted(name))
            .map(|(name, parameters)| (name.to_owned(), parameters.clone()))
            .collect();
        if tools.is_empty() {
            return Ok(None);
        }
        let (Some(open), Some(close)) = (self.tags.tool_call, self.tags.end_tool_call) else {
            return Err(Error::unsupported("expected a model with the token <tool_call>, got one without"));
        };
        Ok(Some(Calls { tools, several: !matches!(options.tool_choice, ToolChoice::Named(_)), open, close }))
    }
}
