//! The edge of the grammar build: constraints for the vocabulary of an engine in another WebAssembly module.

use wasm_bindgen::prelude::*;

use super::thrown::{JsResult, thrown};
use crate::error::Error;
use crate::grammar::{self, Automata, Compile, TokenSet, Vocabulary};

/// Makes constraints for one vocabulary.
#[wasm_bindgen]
pub struct Grammars {
    automata: Automata,
}

#[wasm_bindgen]
impl Grammars {
    /// Takes an engine's `vocabulary()` and `endTokens()`.
    #[wasm_bindgen(constructor)]
    pub fn new(vocabulary: &[u8], end_tokens: Vec<u32>) -> JsResult<Grammars> {
        let automata = Vocabulary::unpack(vocabulary, end_tokens).and_then(|vocabulary| Automata::new(&vocabulary));
        Ok(Self { automata: automata.map_err(thrown)? })
    }

    /// The constraint of a grammar, which comes as its JSON text.
    pub fn compile(&self, grammar: &str) -> JsResult<Constraint> {
        let grammar = serde_json::from_str(grammar).map_err(|error| thrown(Error::internal(error.to_string())))?;
        Ok(Constraint { constraint: self.automata.compile(&grammar).map_err(thrown)? })
    }
}

/// The way of one reply through a grammar.
#[wasm_bindgen]
pub struct Constraint {
    constraint: Box<dyn grammar::Constraint>,
}

#[wasm_bindgen]
impl Constraint {
    /// The tokens that can come next, one bit each.
    pub fn allowed(&mut self) -> JsResult<Vec<u32>> {
        self.constraint.allowed().map(|TokenSet(words)| words).map_err(thrown)
    }

    /// Goes on by a token that was allowed.
    pub fn accept(&mut self, id: u32) -> JsResult<()> {
        self.constraint.accept(id).map_err(thrown)
    }
}
