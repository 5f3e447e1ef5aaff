//! Options of a call: JSON in the shapes of the API, strictly checked; an error names the option, the value and the
//! range.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::chat::json::kind_of;
use crate::chat::presets::Preset;
use crate::chat::template::Settings;
use crate::error::{Error, Result};
use crate::grammar::Format;
use crate::sampling::Sampling;

/// What a call may say; what is absent stays none until the mode is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Options {
    pub(super) settings: Settings,
    pub(super) thinking_budget: Option<usize>,
    /// Thinking that goes in circles is closed.
    pub(super) loop_guard: bool,
    pub(super) max_tokens: Option<usize>,
    pub(super) stop: Vec<String>,
    pub(super) drop_oldest_turns: bool,
    /// What the answer must be.
    pub(super) format: Option<Format>,
    pub(super) tool_choice: ToolChoice,
    pub(super) seed: Option<u64>,
    /// Log probabilities are wanted, and of so many of the likeliest tokens.
    pub(super) logprobs: Option<usize>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<u32>,
    min_p: Option<f32>,
    presence_penalty: f32,
    frequency_penalty: f32,
    repetition_penalty: Option<f32>,
    logit_bias: Vec<(u32, f32)>,
}

/// Whether the answer is to call a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum ToolChoice {
    /// As the model likes.
    #[default]
    Auto,
    /// At least one.
    Required,
    /// This one, once.
    Named(String),
}

/// Which call the options are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Call {
    /// A conversation: every option.
    Chat,
    /// Raw text: no options of the template, but the mode, which chooses the preset.
    Complete,
}

/// The most a number of tokens, or a seed, can be: what a JavaScript number holds exactly.
const MAX_INTEGER: u64 = (1 << 53) - 1;

impl Options {
    /// Reads options; `null` counts as absent, everywhere.
    pub(super) fn read(value: &Value, call: Call, vocabulary_size: usize) -> Result<Self> {
        let empty = Map::new();
        let fields = match value {
            Value::Null => &empty,
            Value::Object(fields) => fields,
            other => return Err(Error::invalid(format!("options: expected an object, got {}", kind_of(other)))),
        };
        let mut options = Self { loop_guard: true, ..Self::default() };
        let mut without_tools = false;
        let mut top_logprobs = None;
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            let name = name.as_str();
            match name {
                "temperature" => options.temperature = Some(number(name, value, 0.0, 2.0)?),
                "topP" => options.top_p = Some(number(name, value, 0.0, 1.0)?),
                "topK" => options.top_k = Some(integer(name, value, 0, 1 << 20)? as u32),
                "minP" => options.min_p = Some(number(name, value, 0.0, 1.0)?),
                "presencePenalty" => options.presence_penalty = number(name, value, -2.0, 2.0)?,
                "frequencyPenalty" => options.frequency_penalty = number(name, value, -2.0, 2.0)?,
                "repetitionPenalty" => options.repetition_penalty = Some(number(name, value, 0.1, 10.0)?),
                "logitBias" => options.logit_bias = logit_bias(value, vocabulary_size)?,
                "seed" => options.seed = Some(integer(name, value, 0, MAX_INTEGER)?),
                "maxTokens" => options.max_tokens = Some(integer(name, value, 1, MAX_INTEGER)? as usize),
                "stop" => options.stop = stop(value)?,
                "thinkingBudget" => options.thinking_budget = Some(integer(name, value, 0, MAX_INTEGER)? as usize),
                "loopGuard" => options.loop_guard = boolean(name, value)?,
                "logprobs" => options.logprobs = boolean(name, value)?.then_some(0),
                "topLogprobs" => top_logprobs = Some(integer(name, value, 0, 20)? as usize),
                "responseFormat" => options.format = response_format(value)?,
                "enableThinking" => options.settings.enable_thinking = boolean(name, value)?,
                _ if call == Call::Complete => return Err(unknown(name)),
                "addGenerationPrompt" => options.settings.add_generation_prompt = boolean(name, value)?,
                "continueFinalMessage" => options.settings.continue_final_message = boolean(name, value)?,
                "tools" => options.settings.tools = tools(value)?,
                "toolChoice" if value == "none" => without_tools = true,
                "toolChoice" => options.tool_choice = tool_choice(value)?,
                "onContextOverflow" => {
                    options.drop_oldest_turns = match value.as_str() {
                        Some("error") => false,
                        Some("dropOldestTurns") => true,
                        _ => return Err(expected(name, "'error' or 'dropOldestTurns'", value)),
                    }
                }
                _ => return Err(unknown(name)),
            }
        }
        if without_tools {
            options.settings.tools.clear();
        }
        options.check_tool_choice()?;
        match (top_logprobs, &mut options.logprobs) {
            (Some(top), Some(logprobs)) => *logprobs = top,
            (Some(top @ 1..), None) => {
                return Err(Error::invalid(format!("topLogprobs: expected logprobs: true beside it, got {top} alone")));
            }
            _ => {}
        }
        Ok(options)
    }

    /// The tools' names and the schemas of their arguments.
    pub(super) fn tools(&self) -> impl Iterator<Item = (&str, &Value)> {
        let functions = self.settings.tools.iter().map(|tool| &tool["function"]);
        functions.map(|function| (function["name"].as_str().unwrap_or_default(), &function["parameters"]))
    }

    fn check_tool_choice(&self) -> Result<()> {
        let known = match &self.tool_choice {
            ToolChoice::Auto => true,
            ToolChoice::Required => !self.settings.tools.is_empty(),
            ToolChoice::Named(name) => self.tools().any(|(tool, _)| tool == name),
        };
        if known {
            return Ok(());
        }
        let names: Vec<&str> = self.tools().map(|(name, _)| name).collect();
        Err(Error::invalid(format!("toolChoice: expected a tool that tools has, which are {names:?}")))
    }

    /// How to draw: what was asked for, else what the mode's preset says.
    pub(super) fn sampling(&self, preset: Preset, seed: u64) -> Sampling {
        Sampling {
            temperature: self.temperature.unwrap_or(preset.temperature),
            top_k: self.top_k.unwrap_or(preset.top_k),
            top_p: self.top_p.unwrap_or(preset.top_p),
            min_p: self.min_p.unwrap_or(preset.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(1.0),
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            logit_bias: self.logit_bias.clone(),
            seed,
        }
    }
}

/// A value as an error shows it: all of a number or a word, the kind of anything long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.len() > 60 { kind_of(value).to_owned() } else { text }
}

fn expected(name: &str, range: &str, value: &Value) -> Error {
    Error::invalid(format!("{name}: expected {range}, got {}", shown(value)))
}

fn unknown(name: &str) -> Error {
    Error::invalid(format!("{name}: expected a known option, got this name"))
        .hint("the names of all options are in the API's documentation")
}

fn number(name: &str, value: &Value, low: f64, high: f64) -> Result<f32> {
    match value.as_f64() {
        Some(number) if (low..=high).contains(&number) => Ok(number as f32),
        _ => Err(expected(name, &format!("a number from {low} to {high}"), value)),
    }
}

fn integer(name: &str, value: &Value, low: u64, high: u64) -> Result<u64> {
    // JavaScript has one type of number: a whole one may come as a float.
    let whole = value.as_u64().or_else(|| {
        value
            .as_f64()
            .filter(|number| number.fract() == 0.0 && (0.0..=MAX_INTEGER as f64).contains(number))
            .map(|number| number as u64)
    });
    match whole {
        Some(whole) if (low..=high).contains(&whole) => Ok(whole),
        _ => Err(expected(name, &format!("an integer from {low} to {high}"), value)),
    }
}

fn boolean(name: &str, value: &Value) -> Result<bool> {
    value.as_bool().ok_or_else(|| expected(name, "true or false", value))
}

fn stop(value: &Value) -> Result<Vec<String>> {
    let range = "a string or an array of strings, none empty";
    let single = std::slice::from_ref(value);
    let values = value.as_array().map_or(single, Vec::as_slice);
    values
        .iter()
        .map(|item| match item.as_str() {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(expected("stop", range, value)),
        })
        .collect()
}

/// OpenAI's shape: token ids as keys, −100 to 100 as values.
fn logit_bias(value: &Value, vocabulary_size: usize) -> Result<Vec<(u32, f32)>> {
    let Value::Object(entries) = value else {
        return Err(expected("logitBias", "an object of token ids and numbers", value));
    };
    entries
        .iter()
        .map(|(id, bias)| match id.parse::<u32>() {
            Ok(token) if (token as usize) < vocabulary_size => {
                Ok((token, number(&format!("logitBias[{id}]"), bias, -100.0, 100.0)?))
            }
            _ => Err(Error::invalid(format!(
                "logitBias: expected token ids from 0 to {}, got {id:?}",
                vocabulary_size - 1
            ))),
        })
        .collect()
}

/// OpenAI's shape, or the function alone, which is then put into that shape: it is what the model was trained on.
fn tools(value: &Value) -> Result<Vec<Value>> {
    let Value::Array(list) = value else { return Err(expected("tools", "an array", value)) };
    let named = |function: &Value| function.get("name").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    list.iter()
        .enumerate()
        .map(|(index, tool)| match tool.get("function") {
            Some(function) if named(function) => Ok(tool.clone()),
            None if named(tool) => Ok(serde_json::json!({ "type": "function", "function": tool })),
            _ => Err(expected(&format!("tools[{index}]"), "{ type: 'function', function: { name, … } }", tool)),
        })
        .collect()
}

/// A word, or a tool by its name, in this API's or in OpenAI's shape.
fn tool_choice(value: &Value) -> Result<ToolChoice> {
    let name = value.get("name").or_else(|| value.get("function")?.get("name"));
    match (value.as_str(), name.and_then(Value::as_str)) {
        (Some("auto"), _) => Ok(ToolChoice::Auto),
        (Some("required"), _) => Ok(ToolChoice::Required),
        (None, Some(name)) => Ok(ToolChoice::Named(name.to_owned())),
        _ => Err(expected("toolChoice", "'auto', 'none', 'required' or { name }", value)),
    }
}

/// The form of the answer; none for plain text. A schema may stand where OpenAI has it.
fn response_format(value: &Value) -> Result<Option<Format>> {
    let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
    let format = match value.get("type").and_then(Value::as_str) {
        Some("text") => return Ok(None),
        Some("json_object") => Some(Format::Json { schema: serde_json::json!({ "type": "object" }) }),
        Some("json_schema") => value
            .get("schema")
            .or_else(|| value.get("json_schema")?.get("schema"))
            .filter(|schema| schema.is_object() || schema.is_boolean())
            .map(|schema| Format::Json { schema: schema.clone() }),
        Some("regex") => text("pattern").map(|pattern| Format::Regex { pattern }),
        Some("grammar") => text("grammar").map(|grammar| Format::Lark { grammar }),
        _ => None,
    };
    let range = "{ type: 'text' | 'json_object' }, { type: 'json_schema', schema }, { type: 'regex', pattern } or \
        { type: 'grammar', grammar }";
    format.map(Some).ok_or_else(|| expected("responseFormat", range, value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chat::presets::{NON_THINKING, THINKING};

    fn read(value: Value) -> Result<Options> {
        Options::read(&value, Call::Chat, 1000)
    }

    #[test]
    fn presets_fill_what_is_not_given() {
        let none = read(json!({ "temperature": null })).unwrap();
        assert_eq!(none, Options::read(&Value::Null, Call::Chat, 1000).unwrap());
        let sampling = none.sampling(THINKING, 7);
        assert_eq!((sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p), (0.6, 0.95, 20, 0.0));
        assert_eq!((sampling.repetition_penalty, sampling.presence_penalty, sampling.seed), (1.0, 0.0, 7));
        let some = read(json!({ "temperature": 0, "topK": 5.0, "repetitionPenalty": 1.5, "logitBias": { "7": -100 } }));
        let sampling = some.unwrap().sampling(NON_THINKING, 7);
        assert_eq!((sampling.temperature, sampling.top_p, sampling.top_k), (0.0, 0.8, 5));
        assert_eq!((sampling.repetition_penalty, sampling.logit_bias), (1.5, vec![(7, -100.0)]));
    }

    #[test]
    fn bad_options_are_refused_by_name_value_and_range() {
        let cases = [
            (json!([]), "options: expected an object, got an array"),
            (json!({ "temprature": 1 }), "temprature: expected a known option, got this name"),
            (json!({ "temperature": 2.5 }), "temperature: expected a number from 0 to 2, got 2.5"),
            (json!({ "temperature": "hot" }), "temperature: expected a number from 0 to 2, got \"hot\""),
            (json!({ "topP": -0.1 }), "topP: expected a number from 0 to 1, got -0.1"),
            (json!({ "topK": 1.5 }), "topK: expected an integer from 0 to 1048576, got 1.5"),
            (json!({ "topK": -1 }), "topK: expected an integer from 0 to 1048576, got -1"),
            (json!({ "maxTokens": 0 }), "maxTokens: expected an integer from 1 to 9007199254740991, got 0"),
            (json!({ "seed": 1e300 }), "seed: expected an integer from 0 to 9007199254740991, got 1e+300"),
            (json!({ "enableThinking": 1 }), "enableThinking: expected true or false, got 1"),
            (
                json!({ "stop": ["a", ""] }),
                "stop: expected a string or an array of strings, none empty, got [\"a\",\"\"]",
            ),
            (json!({ "logitBias": { "1000": 1 } }), "logitBias: expected token ids from 0 to 999, got \"1000\""),
            (json!({ "logitBias": { "9": 101 } }), "logitBias[9]: expected a number from -100 to 100, got 101"),
            (json!({ "tools": [{}] }), "tools[0]: expected { type: 'function', function: { name, … } }, got {}"),
            (json!({ "toolChoice": "required" }), "toolChoice: expected a tool that tools has, which are []"),
            (
                json!({ "toolChoice": { "name": "g" }, "tools": [{ "name": "f" }] }),
                "toolChoice: expected a tool that tools has, which are [\"f\"]",
            ),
            (
                json!({ "toolChoice": "maybe" }),
                "toolChoice: expected 'auto', 'none', 'required' or { name }, got \"maybe\"",
            ),
            (json!({ "onContextOverflow": 1 }), "onContextOverflow: expected 'error' or 'dropOldestTurns', got 1"),
            (json!({ "logprobs": 1 }), "logprobs: expected true or false, got 1"),
            (json!({ "topLogprobs": 21, "logprobs": true }), "topLogprobs: expected an integer from 0 to 20, got 21"),
            (json!({ "topLogprobs": 2 }), "topLogprobs: expected logprobs: true beside it, got 2 alone"),
            (
                json!({ "responseFormat": { "type": "json_schema", "schema": 3 } }),
                "responseFormat: expected { type: 'text' | 'json_object' }, { type: 'json_schema', schema }, { type: \
                 'regex', pattern } or { type: 'grammar', grammar }, got {\"type\":\"json_schema\",\"schema\":3}",
            ),
        ];
        for (value, message) in cases {
            assert_eq!(read(value).unwrap_err().message, message);
        }
        let raw = Options::read(&json!({ "tools": [] }), Call::Complete, 1000);
        assert_eq!(raw.unwrap_err().message, "tools: expected a known option, got this name");
    }

    #[test]
    fn tools_take_openai_s_shape() {
        let wrapped = json!({ "type": "function", "function": { "name": "f", "parameters": {} } });
        let flat = json!({ "name": "f", "parameters": {} });
        let options = read(json!({ "tools": [wrapped, flat], "toolChoice": "auto" })).unwrap();
        assert_eq!(options.settings.tools, [wrapped.clone(), wrapped.clone()]);
        let none = read(json!({ "toolChoice": "none", "tools": [wrapped] })).unwrap();
        assert!(none.settings.tools.is_empty());
    }

    #[test]
    fn forms_of_the_answer_are_read_in_both_shapes() {
        let format = |value: Value| read(json!({ "responseFormat": value })).unwrap().format;
        let schema = json!({ "type": "array" });
        let json = Some(Format::Json { schema: schema.clone() });
        assert_eq!(format(json!({ "type": "json_schema", "schema": schema })), json);
        assert_eq!(format(json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": schema } })), json);
        let object = Some(Format::Json { schema: json!({ "type": "object" }) });
        assert_eq!(format(json!({ "type": "json_object" })), object);
        assert_eq!(format(json!({ "type": "regex", "pattern": "a" })), Some(Format::Regex { pattern: "a".into() }));
        let lark = Some(Format::Lark { grammar: "start: \"a\"".into() });
        assert_eq!(format(json!({ "type": "grammar", "grammar": "start: \"a\"" })), lark);
        assert_eq!(format(json!({ "type": "text" })), None);
        let choice =
            |value: Value| read(json!({ "toolChoice": value, "tools": [{ "name": "f" }] })).unwrap().tool_choice;
        assert_eq!(choice(json!("required")), ToolChoice::Required);
        assert_eq!(choice(json!({ "name": "f" })), ToolChoice::Named("f".into()));
        assert_eq!(choice(json!({ "type": "function", "function": { "name": "f" } })), ToolChoice::Named("f".into()));
    }
}
