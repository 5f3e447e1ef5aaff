//! The edge of an engine: a model and its replies, on the device this build is for. A worker calls it; no call may be made
//! into an object while one of its promises is pending.

use std::collections::BTreeMap;

use serde_json::Value;
use wasm_bindgen::prelude::*;

#[cfg(all(feature = "cpu", not(feature = "gpu")))]
use super::cpu as device;
#[cfg(feature = "gpu")]
use super::gpu as device;
use super::grammars::{Grammars, JsGrammars};
use super::templates::{ChatTemplate, JsChatTemplate};
use super::thrown::{JsResult, thrown};
use super::values::{from_js, to_js};
use crate::error::{Error, Result};
use crate::model::Positions;
use crate::{model, session};

/// Positions of KV cache when the caller does not say, at most the model's own.
const DEFAULT_CONTEXT: usize = 4096;

#[wasm_bindgen]
extern "C" {
    /// Milliseconds on a clock that only goes forward.
    #[wasm_bindgen(js_namespace = performance)]
    pub fn now() -> f64;
}

/// Takes the bytes of a model in order.
#[wasm_bindgen]
pub struct Loader {
    loader: model::Loader,
    variant: Option<String>,
}

/// What a caller wants of the device.
#[allow(dead_code, reason = "a CPU leaves less to choose")]
pub struct Wanted<'a> {
    /// Take a software adapter too.
    pub insist: bool,
    /// The set of kernels meant for `hardware` or `software` adapters, whatever the adapter is.
    pub kernels: Option<&'a str>,
    /// What an earlier loader's `variant` was.
    pub variant: Option<&'a str>,
    /// Of the KV cache.
    pub positions: Positions,
    /// Keys and values in 8 bits, where the device can.
    pub q8_cache: bool,
    /// The device's own times, where it has a clock.
    pub timestamps: bool,
    /// Threads on the engine's memory, where a CPU computes.
    pub threads: JsValue,
}

#[wasm_bindgen]
impl Loader {
    /// Takes the device and says what will come: `{ format: 'gguf' | 'safetensors', contextLength?, yarnFactor?, kvCache?,
    /// insist, gpuTimestamps?, kernels?, variant?, configJson?, tokenizerJson?, tokenizerConfigJson?, chatTemplate? }`, the last
    /// four with safetensors; a GGUF's own tokenizer gives way to `tokenizerJson`. The `Threads` of `js/threads.ts`, if there are
    /// any, are for an engine on the CPU.
    pub async fn open(options: JsValue, threads: JsValue) -> JsResult<Loader> {
        let tokenizer = js_sys::Reflect::get(&options, &"tokenizerJson".into())?;
        let tokenizer = tokenizer.dyn_ref::<js_sys::Uint8Array>().map(js_sys::Uint8Array::to_vec);
        // Bytes are no JSON: they have been taken out above.
        let rest = js_sys::Object::assign(&js_sys::Object::new(), options.unchecked_ref());
        js_sys::Reflect::delete_property(&rest, &"tokenizerJson".into())?;
        let options = from_js("options", &rest).map_err(thrown)?;
        let (loader, variant) = open(&options, tokenizer, threads).await.map_err(thrown)?;
        Ok(Loader { loader, variant })
    }

    /// The kernels that the adapter was found to be fastest with: it need not be tried again.
    #[wasm_bindgen(getter)]
    pub fn variant(&self) -> Option<String> {
        self.variant.clone()
    }

    /// So many bytes the current file has, where that is known.
    pub fn expect(&mut self, bytes: f64) {
        self.loader.expect(bytes as u64);
    }

    /// The next bytes of the current file.
    pub fn push(&mut self, bytes: &[u8]) -> JsResult<()> {
        self.loader.push(bytes).map_err(thrown)
    }

    /// What follows belongs to the next file of a split model.
    #[wasm_bindgen(js_name = nextFile)]
    pub fn next_file(&mut self) -> JsResult<()> {
        self.loader.next_file().map_err(thrown)
    }

    /// Every byte has been pushed: the model. The loader is gone, whether this succeeds or not.
    pub async fn finish(self) -> JsResult<Engine> {
        let engine = finish(self.loader).await.map_err(thrown)?;
        Ok(Engine { engine, replies: BTreeMap::new(), next_reply: 0 })
    }
}

async fn open(
    options: &Value,
    tokenizer: Option<Vec<u8>>,
    threads: JsValue,
) -> Result<(model::Loader, Option<String>)> {
    let context_length = match &options["contextLength"] {
        Value::Null => None,
        length => {
            Some(length.as_u64().filter(|length| *length > 0).map(|length| length as usize).ok_or_else(|| {
                Error::invalid(format!("contextLength must be a positive whole number, got {length}"))
            })?)
        }
    };
    let yarn_factor = match &options["yarnFactor"] {
        Value::Null => None,
        factor => Some(
            factor.as_f64().ok_or_else(|| Error::invalid(format!("yarnFactor: expected a number, got {factor}")))?,
        ),
    };
    let (kernels, variant) = (options["kernels"].as_str(), options["variant"].as_str());
    let wanted = Wanted {
        insist: options["insist"] == true,
        kernels,
        variant,
        positions: Positions { wanted: context_length, usual: DEFAULT_CONTEXT, yarn_factor },
        q8_cache: options["kvCache"] == "q8",
        timestamps: options["gpuTimestamps"] == true,
        threads,
    };
    let (make_sink, variant) = device::open(wanted).await?;
    let loader = match options["format"].as_str() {
        Some("gguf") => {
            let loader = model::Loader::gguf(make_sink);
            match tokenizer {
                Some(json) => loader.with_tokenizer(json),
                None => loader,
            }
        }
        Some("safetensors") => {
            let config = options["configJson"].as_str().ok_or_else(|| Error::invalid("safetensors need configJson"))?;
            let tokenizer = tokenizer.ok_or_else(|| Error::invalid("safetensors need tokenizerJson"))?;
            let (beside, template) = (options["tokenizerConfigJson"].as_str(), options["chatTemplate"].as_str());
            let turns = model::Turns::read(beside.map(str::as_bytes), template.map(str::to_owned))?;
            model::Loader::safetensors(config.as_bytes(), tokenizer, make_sink)?.with_turns(turns)
        }
        _ => return Err(Error::invalid(format!("format must be 'gguf' or 'safetensors', got {}", options["format"]))),
    };
    Ok((loader, variant))
}

async fn finish(loader: model::Loader) -> Result<session::Engine> {
    session::Engine::load(loader.finish()?, Box::new(now)).await
}

/// A loaded model.
#[wasm_bindgen]
pub struct Engine {
    engine: session::Engine,
    replies: BTreeMap<u32, session::Reply>,
    next_reply: u32,
}

#[wasm_bindgen]
impl Engine {
    /// What is loaded, as `model.info`.
    pub fn info(&self) -> JsResult<JsValue> {
        to_js(&self.engine.info())
    }

    /// Whether a reply with these options needs {@link Engine.setGrammars} first.
    #[wasm_bindgen(js_name = needsGrammars)]
    pub fn needs_grammars(&self, options: &JsValue) -> JsResult<bool> {
        self.engine.needs_grammars(&from_js("options", options).map_err(thrown)?).map_err(thrown)
    }

    /// What the constructor of `Grammars` in the grammar build takes: the tokens, packed.
    pub fn vocabulary(&self) -> Vec<u8> {
        self.engine.vocabulary().pack()
    }

    /// And the tokens that end a reply.
    #[wasm_bindgen(js_name = endTokens)]
    pub fn end_tokens(&self) -> Vec<u32> {
        self.engine.vocabulary().eos
    }

    /// Where constraints come from: a `Grammars` of the grammar build.
    #[wasm_bindgen(js_name = setGrammars)]
    pub fn set_grammars(&mut self, grammars: JsGrammars) {
        self.engine.set_grammars(Box::new(Grammars(grammars)));
    }

    /// What the constructor of `ChatTemplate` in the Jinja build takes, if {@link Engine.setTemplate} must come before the first
    /// conversation.
    #[wasm_bindgen(js_name = needsTemplate)]
    pub fn needs_template(&self) -> JsResult<Option<String>> {
        let carried = self.engine.needs_template().map(serde_json::to_string).transpose();
        carried.map_err(|error| thrown(Error::internal(error.to_string())))
    }

    /// What makes prompts: a `ChatTemplate` of the Jinja build, which is freed with the engine.
    #[wasm_bindgen(js_name = setTemplate)]
    pub fn set_template(&mut self, template: JsChatTemplate) {
        self.engine.set_template(Box::new(ChatTemplate(template)));
    }

    /// The ids of a text; what spells a control token becomes it.
    pub fn tokenize(&self, text: &str) -> JsResult<Vec<u32>> {
        self.engine.tokenize(text).map_err(thrown)
    }

    /// The text of ids.
    pub fn detokenize(&self, ids: &[u32]) -> String {
        self.engine.detokenize(ids)
    }

    /// The exact prompt of a conversation.
    #[wasm_bindgen(js_name = applyChatTemplate)]
    pub fn apply_chat_template(&self, messages: &JsValue, options: &JsValue) -> JsResult<String> {
        let (messages, options) = conversation(messages, options)?;
        self.engine.apply_chat_template(&messages, &options).map_err(thrown)
    }

    /// The length of that prompt in tokens.
    #[wasm_bindgen(js_name = countTokens)]
    pub fn count_tokens(&self, messages: &JsValue, options: &JsValue) -> JsResult<u32> {
        let (messages, options) = conversation(messages, options)?;
        self.engine.count_tokens(&messages, &options).map(|count| count as u32).map_err(thrown)
    }

    /// Logits for the position after the last of the ids: `[vocabulary_size]`.
    pub async fn logits(&mut self, ids: Vec<u32>) -> JsResult<Vec<f32>> {
        self.engine.logits(&ids).await.map_err(thrown)
    }

    /// Starts a reply to a conversation and returns its number.
    pub fn chat(&mut self, messages: &JsValue, options: &JsValue) -> JsResult<u32> {
        let (messages, options) = conversation(messages, options)?;
        let reply = self.engine.chat(&messages, &options).map_err(thrown)?;
        Ok(self.keep(reply))
    }

    /// Starts the continuation of a text and returns its number.
    pub fn complete(&mut self, prompt: &str, options: &JsValue) -> JsResult<u32> {
        let options = from_js("options", options).map_err(thrown)?;
        let reply = self.engine.complete(prompt, &options).map_err(thrown)?;
        Ok(self.keep(reply))
    }

    /// One bounded piece of work for a reply: its next events. After `done`, or after it has thrown, the number is free.
    pub async fn step(&mut self, reply: u32) -> JsResult<JsValue> {
        let mut running = self.replies.remove(&reply).ok_or_else(|| unknown(reply))?;
        let events = self.engine.step(&mut running).await.map_err(thrown)?;
        if !running.is_done() {
            self.replies.insert(reply, running);
        }
        to_js(&events)
    }

    /// Ends a reply: its next step yields `done`.
    pub fn abort(&mut self, reply: u32) -> JsResult<()> {
        let running = self.replies.get_mut(&reply).ok_or_else(|| unknown(reply))?;
        self.engine.abort(running);
        Ok(())
    }

    /// Closes a reply's thinking: its next steps answer.
    #[wasm_bindgen(js_name = skipThinking)]
    pub fn skip_thinking(&mut self, reply: u32) -> JsResult<()> {
        let running = self.replies.get_mut(&reply).ok_or_else(|| unknown(reply))?;
        self.engine.skip_thinking(running);
        Ok(())
    }

    /// A reply under way as plain data.
    pub fn save(&self, reply: u32) -> JsResult<JsValue> {
        let running = self.replies.get(&reply).ok_or_else(|| unknown(reply))?;
        to_js(&self.engine.save(running).map_err(thrown)?)
    }

    /// Goes on with a saved reply and returns its number.
    pub fn resume(&mut self, saved: &JsValue) -> JsResult<u32> {
        let saved = from_js("saved", saved).map_err(thrown)?;
        let reply = self.engine.resume(&saved).map_err(thrown)?;
        Ok(self.keep(reply))
    }

    /// A bounded piece of work for when there is nothing else to do; whether there is more of it.
    pub async fn idle(&mut self) -> JsResult<bool> {
        self.engine.idle().await.map_err(thrown)
    }

    /// Reads a conversation into the cache ahead of the call that will need it.
    pub async fn prefill(&mut self, messages: JsValue, options: JsValue) -> JsResult<()> {
        let (messages, options) = conversation(&messages, &options)?;
        self.engine.prefill(&messages, &options).await.map_err(thrown)
    }
}

impl Engine {
    fn keep(&mut self, reply: session::Reply) -> u32 {
        let id = self.next_reply;
        self.next_reply += 1;
        self.replies.insert(id, reply);
        id
    }
}

fn conversation(messages: &JsValue, options: &JsValue) -> JsResult<(Value, Value)> {
    let messages = from_js("messages", messages).map_err(thrown)?;
    let options = from_js("options", options).map_err(thrown)?;
    Ok((messages, options))
}

fn unknown(reply: u32) -> JsValue {
    thrown(Error::invalid(format!("reply {reply} is over or never was")))
}
