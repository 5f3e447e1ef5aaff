//! Constrained decoding: what the answer of a reply must be, and which tokens keep to it. The automaton is a library's,
//! which the browser fetches as a WebAssembly file of its own; whoever asks for tokens knows only the traits here.

#[cfg(feature = "grammar")]
mod automaton;

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[cfg(feature = "grammar")]
pub use automaton::Automata;

use crate::error::{Error, Result};

/// Text of a given form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Format {
    /// JSON that is valid under a JSON Schema.
    Json {
        /// The schema.
        schema: Value,
    },
    /// What a regular expression matches as a whole.
    Regex {
        /// The expression, in the syntax that JavaScript and Rust share.
        pattern: String,
    },
    /// What a context-free grammar derives.
    Lark {
        /// The grammar in Lark's notation; its start rule is `start`.
        grammar: String,
    },
}

/// Tool calls between their tags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calls {
    /// The tools that may be called: a name, and the JSON Schema of its arguments.
    pub tools: Vec<(String, Value)>,
    /// More than one call may follow.
    pub several: bool,
    /// The token `<tool_call>`.
    pub open: u32,
    /// The token `</tool_call>`.
    pub close: u32,
}

/// What an answer must be: of a format, or calls, whichever the model begins with if both are given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Grammar {
    /// Text.
    pub format: Option<Format>,
    /// Calls.
    pub calls: Option<Calls>,
}

/// A set of tokens: bit `id % 32` of word `id / 32`; what lies beyond the words is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenSet(pub Vec<u32>);

impl TokenSet {
    /// Adds a token.
    pub fn insert(&mut self, id: u32) {
        let word = id as usize / 32;
        self.0.resize(self.0.len().max(word + 1), 0);
        self.0[word] |= 1 << (id % 32);
    }

    /// The set without a token.
    #[must_use]
    pub fn without(mut self, id: &u32) -> Self {
        if let Some(word) = self.0.get_mut(*id as usize / 32) {
            *word &= !(1 << (id % 32));
        }
        self
    }

    /// Whether no token is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    /// Whether a token is in the set.
    pub fn contains(&self, id: u32) -> bool {
        self.0.get(id as usize / 32).is_some_and(|word| word & (1 << (id % 32)) != 0)
    }

    /// The one token in the set, if there is just one.
    pub fn only(&self) -> Option<u32> {
        let mut ids = self.ids();
        ids.next().filter(|_| ids.next().is_none())
    }

    /// The tokens in ascending order.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        let words = (0..).zip(&self.0).filter(|(_, bits)| **bits != 0);
        words
            .flat_map(|(word, &bits)| (0..32).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| word * 32 + bit))
    }
}

/// The way of one reply through a grammar.
pub trait Constraint {
    /// The tokens that can come next, at least one; a token that ends the reply is among them where the answer is whole.
    fn allowed(&mut self) -> Result<TokenSet>;

    /// Goes on by a token that was allowed.
    fn accept(&mut self, id: u32) -> Result<()>;
}

/// Makes constraints for one vocabulary.
pub trait Compile {
    /// `invalid-argument` with the reason where the grammar is wrong, or says what cannot be kept to.
    fn compile(&self, grammar: &Grammar) -> Result<Box<dyn Constraint>>;
}

/// What tokens are to a grammar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// The bytes of each token by id, none for an id not in use. Those of a control token follow a byte 0xFF, which
    /// occurs in no text, so that text can never become one.
    pub tokens: Vec<Vec<u8>>,
    /// Tokens that end a reply.
    pub eos: Vec<u32>,
}

impl Vocabulary {
    /// The tokens as one string of bytes: the length of each as two bytes, the lower first, and then itself.
    pub fn pack(&self) -> Vec<u8> {
        self.tokens.iter().flat_map(|token| [&(token.len() as u16).to_le_bytes(), token.as_slice()].concat()).collect()
    }

    /// The reverse of [`Vocabulary::pack`].
    pub fn unpack(mut packed: &[u8], eos: Vec<u32>) -> Result<Self> {
        let mut tokens = Vec::new();
        while let Some((&length, rest)) = packed.split_first_chunk::<2>() {
            let token = rest.split_at_checked(u16::from_le_bytes(length).into());
            let (token, rest) = token.ok_or_else(|| Error::internal("a packed vocabulary that is cut off"))?;
            tokens.push(token.to_vec());
            packed = rest;
        }
        Ok(Self { tokens, eos })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_set_holds_what_was_put_in() {
        let mut set = TokenSet::default();
        for id in [0, 31, 32, 100] {
            set.insert(id);
        }
        assert_eq!(set.ids().collect::<Vec<_>>(), [0, 31, 32, 100]);
        assert_eq!((set.only(), TokenSet(vec![0, 4]).only()), (None, Some(34)));
        assert!(set.clone().without(&100).ids().eq([0, 31, 32]) && TokenSet(vec![2]).without(&1).is_empty());
        assert!(set.contains(100) && !set.contains(99) && !set.contains(4000));
    }

    #[test]
    fn a_vocabulary_survives_packing() {
        let tokens = vec![b"a".to_vec(), vec![], vec![0xFF, b'<'], vec![7; 300]];
        let vocabulary = Vocabulary { tokens, eos: vec![2] };
        let packed = vocabulary.pack();
        assert_eq!(Vocabulary::unpack(&packed, vec![2]).unwrap(), vocabulary);
        assert!(Vocabulary::unpack(&packed[..packed.len() - 1], vec![2]).is_err());
    }
}
