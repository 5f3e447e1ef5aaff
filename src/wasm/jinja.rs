//! The edge of the Jinja build: the chat template of a model whose engine is in another WebAssembly module.

use js_sys::Date;
use serde_json::Value;
use wasm_bindgen::prelude::*;

use super::thrown::{JsResult, thrown};
use crate::chat::message::messages;
use crate::chat::template::Render;
use crate::error::{Error, Result};
use crate::jinja::Jinja;

/// A template ready to run.
#[wasm_bindgen]
pub struct ChatTemplate {
    jinja: Jinja,
}

#[wasm_bindgen]
impl ChatTemplate {
    /// Takes an engine's `needsTemplate()`.
    #[wasm_bindgen(constructor)]
    pub fn new(carried: &str) -> JsResult<ChatTemplate> {
        let carried = serde_json::from_str(carried).map_err(|error| thrown(Error::internal(error.to_string())))?;
        Ok(Self { jinja: Jinja::new(carried).map_err(thrown)?.with_clock(Box::new(wall_clock)) })
    }

    /// The prompt of `{ messages, settings }` as `{ pieces, start }`, both as JSON text.
    pub fn prompt(&self, conversation: &str) -> JsResult<String> {
        self.render(conversation).map_err(thrown)
    }
}

/// The browser's time where it is.
fn wall_clock() -> i64 {
    let now = Date::new_0();
    (now.get_time() - now.get_timezone_offset() * 60_000.0) as i64
}

impl ChatTemplate {
    fn render(&self, conversation: &str) -> Result<String> {
        let failed = |error: serde_json::Error| Error::internal(error.to_string());
        let mut conversation: Value = serde_json::from_str(conversation).map_err(failed)?;
        let settings = serde_json::from_value(conversation["settings"].take()).map_err(failed)?;
        let prompt = self.jinja.prompt(&messages(&conversation["messages"])?, &settings)?;
        serde_json::to_string(&prompt).map_err(failed)
    }
}
