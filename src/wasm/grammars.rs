//! Constraints of the grammar build, as an engine in its own WebAssembly module uses them.

use wasm_bindgen::prelude::*;

use super::values::caught;
use crate::error::{Error, Result};
use crate::grammar::{Compile, Constraint, Grammar, TokenSet};

#[wasm_bindgen]
extern "C" {
    /// `Grammars` of the grammar build.
    pub type JsGrammars;

    #[wasm_bindgen(method, catch)]
    fn compile(this: &JsGrammars, grammar: &str) -> std::result::Result<JsConstraint, JsValue>;

    /// `Constraint` of the grammar build.
    type JsConstraint;

    #[wasm_bindgen(method, catch)]
    fn allowed(this: &JsConstraint) -> std::result::Result<Vec<u32>, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn accept(this: &JsConstraint, id: u32) -> std::result::Result<(), JsValue>;

    #[wasm_bindgen(method)]
    fn free(this: &JsConstraint);
}

/// The other module's `Grammars`.
pub struct Grammars(pub JsGrammars);

impl Compile for Grammars {
    fn compile(&self, grammar: &Grammar) -> Result<Box<dyn Constraint>> {
        let grammar = serde_json::to_string(grammar).map_err(|error| Error::internal(error.to_string()))?;
        let constraint = self.0.compile(&grammar).map_err(|thrown| caught(&thrown))?;
        Ok(Box::new(Remote(constraint)))
    }
}

/// The other module's `Constraint`, whose memory there is given back with this.
struct Remote(JsConstraint);

impl Constraint for Remote {
    fn allowed(&mut self) -> Result<TokenSet> {
        self.0.allowed().map(TokenSet).map_err(|thrown| caught(&thrown))
    }

    fn accept(&mut self, id: u32) -> Result<()> {
        self.0.accept(id).map_err(|thrown| caught(&thrown))
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.0.free();
    }
}
