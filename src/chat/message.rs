//! Messages as callers give them: JSON in the shapes of the API, checked field by field so that an error names its place.

use serde::Serialize;
use serde_json::{Map, Value};

use super::json::kind_of;
use crate::error::{Error, Result};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sets the frame; the template lets it speak anywhere.
    System,
    /// Asks.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// A call of a tool by the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToolCall {
    /// Unique within a conversation; names the call in the `tool` message that answers it.
    pub id: String,
    /// The tool.
    pub name: String,
    /// An object as the model wrote it; in messages also its JSON text, which is then printed as it is.
    pub arguments: Value,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; `null` is empty.
    pub content: String,
    /// What an assistant thought before it spoke.
    pub thinking: Option<String>,
    /// Tools an assistant called.
    pub tool_calls: Vec<ToolCall>,
    /// The call that a tool's result answers.
    pub tool_call_id: Option<String>,
}

impl Message {
    /// A message that says `content`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), thinking: None, tool_calls: Vec::new(), tool_call_id: None }
    }
}

/// Reads `messages`: a non-empty array of `{ role, content, thinking?, toolCalls?, toolCallId? }`. The OpenAI spellings
/// (`reasoning_content`, `reasoning`, `tool_calls`, `tool_call_id`, text parts as content) are understood too; other fields are left
/// alone. `invalid-argument` naming the place otherwise.
pub fn messages(value: &Value) -> Result<Vec<Message>> {
    let Value::Array(list) = value else {
        return Err(Error::invalid(format!("messages: expected an array, got {}", kind_of(value))));
    };
    if list.is_empty() {
        return Err(Error::invalid("messages: expected at least one message, got none"));
    }
    list.iter().enumerate().map(|(index, value)| message(value, &format!("messages[{index}]"))).collect()
}

fn message(value: &Value, place: &str) -> Result<Message> {
    let fields = object(value, place)?;
    let role = match fields.get("role").and_then(Value::as_str) {
        Some("system") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool") => Role::Tool,
        _ => {
            return Err(Error::invalid(format!(
                "{place}.role: expected system, user, assistant or tool, got {}",
                fields.get("role").unwrap_or(&Value::Null)
            )));
        }
    };
    let thinking = first(fields, &["thinking", "reasoning_content", "reasoning"]);
    let thinking = thinking.map(|value| text(value, &format!("{place}.thinking"))).transpose()?;
    let tool_calls = match first(fields, &["toolCalls", "tool_calls"]) {
        None => Vec::new(),
        Some(Value::Array(calls)) => calls
            .iter()
            .enumerate()
            .map(|(index, call)| tool_call(call, &format!("{place}.toolCalls[{index}]")))
            .collect::<Result<_>>()?,
        Some(other) => {
            return Err(Error::invalid(format!("{place}.toolCalls: expected an array, got {}", kind_of(other))));
        }
    };
    let tool_call_id = first(fields, &["toolCallId", "tool_call_id"]);
    let tool_call_id = tool_call_id.map(|value| text(value, &format!("{place}.toolCallId"))).transpose()?;
    let content = content(fields.get("content"), &format!("{place}.content"))?;
    Ok(Message { role, content, thinking, tool_calls, tool_call_id })
}

/// A string, nothing, or OpenAI's list of text parts.
fn content(value: Option<&Value>, place: &str) -> Result<String> {
    match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::Array(parts)) => parts
            .iter()
            .enumerate()
            .map(|(index, part)| match (part.get("type").and_then(Value::as_str), part.get("text")) {
                (Some("text"), Some(Value::String(text))) => Ok(text.as_str()),
                (kind, _) => Err(Error::invalid(format!(
                    "{place}[{index}]: expected a part of type text, got {}",
                    kind.unwrap_or("none")
                ))),
            })
            .collect(),
        Some(value) => text(value, place),
    }
}

fn tool_call(value: &Value, place: &str) -> Result<ToolCall> {
    let outer = object(value, place)?;
    let call = match outer.get("function") {
        Some(function) => object(function, &format!("{place}.function"))?,
        None => outer,
    };
    let Some(Value::String(name)) = call.get("name") else {
        return Err(Error::invalid(format!("{place}.name: expected a string")));
    };
    let arguments = match call.get("arguments") {
        None | Some(Value::Null) => Value::Object(Map::new()),
        Some(arguments @ (Value::Object(_) | Value::String(_))) => arguments.clone(),
        Some(other) => {
            let got = kind_of(other);
            return Err(Error::invalid(format!("{place}.arguments: expected an object or its JSON text, got {got}")));
        }
    };
    let id = outer.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(ToolCall { id, name: name.clone(), arguments })
}

/// The first of these fields that is there and not null.
fn first<'a>(fields: &'a Map<String, Value>, names: &[&str]) -> Option<&'a Value> {
    names.iter().filter_map(|&name| fields.get(name)).find(|value| !value.is_null())
}

fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| Error::invalid(format!("{place}: expected an object, got {}", kind_of(value))))
}

fn text(value: &Value, place: &str) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        other => Err(Error::invalid(format!("{place}: expected a string, got {}", kind_of(other)))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_api_s_and_openai_s_spellings_are_read() {
        let ours = json!([
            { "role": "user", "content": null },
            { "role": "assistant", "thinking": "t", "toolCalls": [{ "id": "1", "name": "f", "arguments": { "a": 1 } }] },
            { "role": "tool", "content": "r", "toolCallId": "1" },
        ]);
        let openai = json!([
            { "role": "user", "content": [] },
            { "role": "assistant", "content": null, "reasoning_content": "t", "refusal": null,
              "tool_calls": [{ "id": "1", "type": "function", "function": { "name": "f", "arguments": { "a": 1 } } }] },
            { "role": "tool", "content": [{ "type": "text", "text": "r" }], "tool_call_id": "1" },
        ]);
        let read = messages(&ours).unwrap();
        assert_eq!(read, messages(&openai).unwrap());
        assert_eq!(read[0], Message::new(Role::User, ""));
        assert_eq!(read[1].thinking.as_deref(), Some("t"));
        assert_eq!(read[1].tool_calls[0].arguments, json!({ "a": 1 }));
    }

    #[test]
    fn errors_name_the_place() {
        let cases = [
            (json!("hi"), "messages: expected an array, got a string"),
            (json!([]), "messages: expected at least one message, got none"),
            (json!([3]), "messages[0]: expected an object, got a number"),
            (json!([{ "content": "x" }]), "messages[0].role: expected system, user, assistant or tool, got null"),
            (json!([{ "role": "bot" }]), "messages[0].role: expected system, user, assistant or tool, got \"bot\""),
            (json!([{ "role": "user", "content": 1 }]), "messages[0].content: expected a string, got a number"),
            (
                json!([{ "role": "user", "content": [{ "type": "image_url" }] }]),
                "messages[0].content[0]: expected a part of type text, got image_url",
            ),
            (
                json!([{ "role": "assistant", "toolCalls": [{ "name": "f", "arguments": 1 }] }]),
                "messages[0].toolCalls[0].arguments: expected an object or its JSON text, got a number",
            ),
        ];
        for (value, message) in cases {
            assert_eq!(messages(&value).unwrap_err().message, message);
        }
    }
}
