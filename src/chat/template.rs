//! Qwen3's chat template as prompt pieces. Their concatenation is, byte for byte, what the official Jinja template
//! gives; control pieces are only where the template itself wrote them, so that text cannot forge a turn.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::json::dumps;
use super::message::{Message, Role};
use super::reply::Start;
use crate::error::{Error, Result};

/// A stretch of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Piece {
    /// A control token by its text.
    Control(Cow<'static, str>),
    /// Text, whatever it looks like.
    Text(String),
}

/// The control tokens the template writes.
pub const CONTROLS: [&str; 8] = [
    "<|im_start|>",
    "<|im_end|>",
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
];

const TOOLS_BEFORE: &str = "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are \
    provided with function signatures within <tools></tools> XML tags:\n<tools>";
const TOOLS_AFTER: &str = "\n</tools>\n\nFor each function call, return a json object with function name and arguments \
    within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": \
    <args-json-object>}\n</tool_call><|im_end|>\n";

/// What the template is given besides the messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Tools the model may call, as JSON objects of OpenAI's shape.
    pub tools: Vec<Value>,
    /// The hard switch: off closes an empty thinking block in the prompt.
    pub enable_thinking: bool,
    /// Ends the prompt where the assistant begins to speak.
    pub add_generation_prompt: bool,
    /// Ends the prompt inside the last message, an assistant's, for the model to go on: after its content, or within
    /// its thinking if it has thinking and no content. Replaces the generation prompt.
    pub continue_final_message: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { tools: Vec::new(), enable_thinking: true, add_generation_prompt: true, continue_final_message: false }
    }
}

/// The template that a model's file carries, and what it is run with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Carried {
    /// Jinja.
    pub source: String,
    /// The text of the token that begins a text, where the model has one.
    pub bos_token: Option<String>,
    /// The text of the token that ends a reply.
    pub eos_token: Option<String>,
    /// The texts of all added tokens.
    pub controls: Vec<String>,
}

impl Carried {
    /// Whether the template is Qwen3's, which [`prompt`] is: the one with the hard switch for thinking.
    pub fn is_qwen3(&self) -> bool {
        ["<|im_start|>", "last_query_index", "enable_thinking is false"].iter().all(|mark| self.source.contains(mark))
    }
}

/// What makes prompts of conversations, as [`prompt`] does.
pub trait Render {
    /// Renders a conversation. `invalid-argument` for one that the template refuses.
    fn prompt(&self, messages: &[Message], settings: &Settings) -> Result<Prompt>;
}

/// A prompt and the state its reply starts in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// In order; neighbours may both be text.
    pub pieces: Vec<Piece>,
    /// What the reply goes on with.
    pub start: Start,
}

impl Prompt {
    /// The prompt as the official template prints it.
    pub fn text(&self) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Control(control) => control.as_ref(),
                Piece::Text(text) => text.as_str(),
            })
            .collect()
    }

    /// Adds text of the template's own, control tokens included.
    fn template(&mut self, mut text: &str) {
        while let Some((at, control)) =
            CONTROLS.iter().filter_map(|&control| Some((text.find(control)?, control))).min_by_key(|&(at, _)| at)
        {
            self.content(&text[..at]);
            self.pieces.push(Piece::Control(control.into()));
            text = &text[at + control.len()..];
        }
        self.content(text);
    }

    /// Adds text of somebody else's.
    fn content(&mut self, text: &str) {
        match self.pieces.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }
}

/// Renders a conversation. `invalid-argument` without a message, or if the message to continue is not an assistant's.
pub fn prompt(messages: &[Message], settings: &Settings) -> Result<Prompt> {
    let [first, ..] = messages else {
        return Err(Error::invalid("messages: expected at least one message, got none"));
    };
    let mut out = Prompt { pieces: Vec::new(), start: Start::Reply };
    let system = (first.role == Role::System).then_some(first.content.as_str());
    if !settings.tools.is_empty() {
        out.template("<|im_start|>system\n");
        if let Some(system) = system {
            out.content(system);
            out.content("\n\n");
        }
        out.template(TOOLS_BEFORE);
        for tool in &settings.tools {
            out.content("\n");
            out.content(&dumps(tool));
        }
        out.template(TOOLS_AFTER);
    } else if let Some(system) = system {
        turn(&mut out, "system", system);
    }

    let last_query = last_query(messages);
    for (index, message) in messages.iter().enumerate() {
        let is_last = index + 1 == messages.len();
        match message.role {
            Role::System if index == 0 => {}
            Role::System => turn(&mut out, "system", &message.content),
            Role::User => turn(&mut out, "user", &message.content),
            Role::Assistant if is_last && settings.continue_final_message => {
                out.start = open_turn(&mut out, message, index > last_query);
                return Ok(out);
            }
            Role::Assistant => {
                assistant(&mut out, message, index > last_query, is_last);
            }
            Role::Tool => {
                if index == 0 || messages[index - 1].role != Role::Tool {
                    out.template("<|im_start|>user");
                }
                out.template("\n<tool_response>\n");
                out.content(&message.content);
                out.template("\n</tool_response>");
                if is_last || messages[index + 1].role != Role::Tool {
                    out.template("<|im_end|>\n");
                }
            }
        }
    }
    if settings.continue_final_message {
        return Err(Error::invalid("continueFinalMessage: expected the last message to be an assistant's"));
    }
    if settings.add_generation_prompt {
        out.template("<|im_start|>assistant\n");
        if !settings.enable_thinking {
            out.template("<think>\n\n</think>\n\n");
            out.start = Start::Content;
        }
    }
    Ok(out)
}

/// The last user message that is not a tool's result in disguise; the last message if there is none.
fn last_query(messages: &[Message]) -> usize {
    let is_query = |message: &Message| {
        let is_result = message.content.starts_with("<tool_response>") && message.content.ends_with("</tool_response>");
        message.role == Role::User && !is_result
    };
    messages.iter().rposition(is_query).unwrap_or(messages.len() - 1)
}

fn turn(out: &mut Prompt, role: &str, content: &str) {
    out.template("<|im_start|>");
    out.content(role);
    out.content("\n");
    out.content(content);
    out.template("<|im_end|>\n");
}

/// Thinking and content of an assistant's message; thinking written into the content is taken out of it.
fn thinking_and_content(message: &Message) -> (&str, &str) {
    let content = message.content.as_str();
    match (&message.thinking, content.split_once("</think>"), content.rsplit_once("</think>")) {
        (Some(thinking), _, _) => (thinking, content),
        (None, Some((before, _)), Some((_, after))) => {
            let before = before.trim_end_matches('\n');
            let thinking = before.rsplit_once("<think>").map_or(before, |(_, thinking)| thinking);
            (thinking.trim_start_matches('\n'), after.trim_start_matches('\n'))
        }
        _ => ("", content),
    }
}

fn assistant(out: &mut Prompt, message: &Message, after_query: bool, is_last: bool) {
    let (thinking, content) = thinking_and_content(message);
    out.template("<|im_start|>assistant\n");
    if after_query && (is_last || !thinking.is_empty()) {
        out.template("<think>\n");
        out.content(thinking.trim_matches('\n'));
        out.template("\n</think>\n\n");
        out.content(content.trim_start_matches('\n'));
    } else {
        out.content(content);
    }
    for (index, call) in message.tool_calls.iter().enumerate() {
        if index > 0 || !content.is_empty() {
            out.content("\n");
        }
        out.template("<tool_call>\n");
        out.content("{\"name\": \"");
        out.content(&call.name);
        out.content("\", \"arguments\": ");
        match &call.arguments {
            Value::String(json) => out.content(json),
            arguments => out.content(&dumps(arguments)),
        }
        out.template("}\n</tool_call>");
    }
    out.template("<|im_end|>\n");
}

/// The last assistant's turn, left open.
fn open_turn(out: &mut Prompt, message: &Message, after_query: bool) -> Start {
    let (thinking, content) = thinking_and_content(message);
    out.template("<|im_start|>assistant\n");
    if content.is_empty() && !thinking.is_empty() {
        out.template("<think>\n");
        out.content(thinking.trim_start_matches('\n'));
        return Start::Thinking;
    }
    if !after_query {
        out.content(content);
        return if content.is_empty() { Start::Reply } else { Start::MidContent };
    }
    out.template("<think>\n");
    out.content(thinking.trim_matches('\n'));
    out.template("\n</think>\n\n");
    let content = content.trim_start_matches('\n');
    out.content(content);
    if content.is_empty() { Start::Content } else { Start::MidContent }
}
