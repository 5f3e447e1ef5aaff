//! The chat template of the Jinja build, as an engine in its own WebAssembly module uses it.

use serde_json::json;
use wasm_bindgen::prelude::*;

use super::values::caught;
use crate::chat::Message;
use crate::chat::template::{Prompt, Render, Settings};
use crate::error::{Error, Result};

#[wasm_bindgen]
extern "C" {
    /// `ChatTemplate` of the Jinja build.
    pub type JsChatTemplate;

    #[wasm_bindgen(method, catch)]
    fn prompt(this: &JsChatTemplate, conversation: &str) -> std::result::Result<String, JsValue>;

    #[wasm_bindgen(method)]
    fn free(this: &JsChatTemplate);
}

/// The other module's `ChatTemplate`, whose memory there is given back with this.
pub struct ChatTemplate(pub JsChatTemplate);

impl Render for ChatTemplate {
    fn prompt(&self, messages: &[Message], settings: &Settings) -> Result<Prompt> {
        let conversation = json!({ "messages": messages, "settings": settings }).to_string();
        let prompt = self.0.prompt(&conversation).map_err(|thrown| caught(&thrown))?;
        serde_json::from_str(&prompt).map_err(|error| Error::internal(error.to_string()))
    }
}

impl Drop for ChatTemplate {
    fn drop(&mut self) {
        self.0.free();
    }
}
