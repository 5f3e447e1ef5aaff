//! Tool calls as Qwen3 writes them (Hermes: a JSON object between tags), read as leniently as Qwen-Agent does, and
//! their arguments as they come.

use serde_json::{Map, Value};

use super::message::ToolCall;

/// Reads a call's text: `{"name": …, "arguments": …}`. Small models slip, so that quotes may be single or missing around
/// keys, strings may hold line breaks, commas may trail, constants may be Python's, brackets may be left open, and the
/// arguments may be JSON in a string. None if there is no name to be found.
pub fn parse_call(text: &str) -> Option<ToolCall> {
    let value = serde_json::from_str(text.trim()).ok().or_else(|| Lenient::read(text))?;
    let name = value.get("name")?.as_str().filter(|name| !name.is_empty())?.to_owned();
    let arguments = match value.get("arguments").or_else(|| value.get("parameters")) {
        Some(Value::Object(arguments)) => Value::Object(arguments.clone()),
        Some(Value::String(json)) => {
            let inner = serde_json::from_str(json).ok().or_else(|| Lenient::read_all(json));
            inner.filter(Value::is_object).unwrap_or_else(|| Value::String(json.clone()))
        }
        None | Some(Value::Null) => Value::Object(Map::new()),
        Some(_) => return None,
    };
    Some(ToolCall { id: String::new(), name, arguments })
}

/// The arguments of a call while it is written, as far as the model keeps to the usual order of keys; the rest waits
/// for the call to be complete.
#[derive(Clone, Debug, Default)]
pub(super) struct CallStream {
    /// Text before the arguments.
    head: String,
    name: String,
    arguments: Scan,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Scan {
    /// The arguments have not begun.
    #[default]
    Before,
    Inside {
        depth: usize,
        in_string: bool,
        escaped: bool,
    },
    After,
}

impl CallStream {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The part of the arguments' text that this text adds.
    pub(super) fn push(&mut self, text: &str) -> Option<String> {
        let mut part = String::new();
        for character in text.chars() {
            match &mut self.arguments {
                Scan::Before => {
                    if character == '{'
                        && let Some(name) = name_before_arguments(&self.head)
                    {
                        self.name = name;
                        self.arguments = Scan::Inside { depth: 1, in_string: false, escaped: false };
                        part.push(character);
                    } else {
                        self.head.push(character);
                    }
                }
                Scan::Inside { depth, in_string, escaped } => {
                    part.push(character);
                    match character {
                        _ if *escaped => *escaped = false,
                        '\\' if *in_string => *escaped = true,
                        '"' => *in_string = !*in_string,
                        '{' | '[' if !*in_string => *depth += 1,
                        '}' | ']' if !*in_string => {
                            *depth -= 1;
                            if *depth == 0 {
                                self.arguments = Scan::After;
                            }
                        }
                        _ => {}
                    }
                }
                Scan::After => {}
            }
        }
        (!part.is_empty()).then_some(part)
    }
}

/// The name in `{"name": "…", "arguments": `, where `head` is that and nothing more.
fn name_before_arguments(head: &str) -> Option<String> {
    let head = head.trim_end().strip_suffix(':')?.trim_end().strip_suffix("\"arguments\"")?;
    let head = head.trim_end().strip_suffix(',')?;
    let value: Value = serde_json::from_str(&format!("{head}}}")).ok()?;
    Some(value.as_object().filter(|fields| fields.len() == 1)?.get("name")?.as_str()?.to_owned())
}

/// A reader of almost-JSON. It takes what it can and stops where nothing fits.
struct Lenient<'a> {
    rest: &'a str,
    depth: usize,
}

/// Nesting beyond this is refused, because each level is a call on the stack.
const MAX_DEPTH: usize = 64;

impl<'a> Lenient<'a> {
    /// The first object in a text.
    fn read(text: &'a str) -> Option<Value> {
        Lenient { rest: &text[text.find('{')?..], depth: 0 }.value()
    }

    /// The object that a text is.
    fn read_all(text: &'a str) -> Option<Value> {
        let mut reader = Lenient { rest: text.trim(), depth: 0 };
        reader.value().filter(|_| reader.rest.trim().is_empty())
    }

    fn skip_blank(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, character: char) -> bool {
        self.skip_blank();
        match self.rest.strip_prefix(character) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self) -> Option<Value> {
        self.skip_blank();
        match self.rest.chars().next()? {
            '{' => self.nested(Self::object),
            '[' => self.nested(Self::array),
            '"' | '\'' => self.string().map(Value::String),
            _ => self.bare(),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Option<Value>) -> Option<Value> {
        self.depth += 1;
        let value = if self.depth > MAX_DEPTH { None } else { read(self) };
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Option<Value> {
        self.take('{');
        let mut fields = Map::new();
        loop {
            while self.take(',') {}
            if self.take('}') || self.rest.is_empty() {
                return Some(Value::Object(fields));
            }
            let key = match self.rest.chars().next()? {
                '"' | '\'' => self.string()?,
                _ => self.word(':')?.to_owned(),
            };
            if !self.take(':') {
                return self.rest.is_empty().then_some(Value::Object(fields));
            }
            match self.value() {
                Some(value) => fields.insert(key, value),
                None if self.rest.is_empty() => return Some(Value::Object(fields)),
                None => return None,
            };
        }
    }

    fn array(&mut self) -> Option<Value> {
        self.take('[');
        let mut items = Vec::new();
        loop {
            while self.take(',') {}
            if self.take(']') || self.rest.is_empty() {
                return Some(Value::Array(items));
            }
            items.push(self.value()?);
        }
    }

    fn string(&mut self) -> Option<String> {
        let quote = self.rest.chars().next()?;
        let mut characters = self.rest[1..].char_indices();
        let mut out = String::new();
        while let Some((at, character)) = characters.next() {
            match character {
                _ if character == quote => {
                    self.rest = &self.rest[1 + at + 1..];
                    return Some(out);
                }
                '\\' => match characters.next().map(|(_, escape)| escape) {
                    Some('n') => out.push('\n'),
                    Some('t') => out.push('\t'),
                    Some('r') => out.push('\r'),
                    Some('b') => out.push('\u{8}'),
                    Some('f') => out.push('\u{c}'),
                    Some('u') => {
                        let digits: String = characters.by_ref().take(4).map(|(_, digit)| digit).collect();
                        let code = u32::from_str_radix(&digits, 16).ok();
                        out.push(code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    Some(other) => out.push(other),
                    None => break,
                },
                _ => out.push(character),
            }
        }
        // Left open: what was there counts.
        self.rest = "";
        Some(out)
    }

    /// Text up to a separator.
    fn word(&mut self, separator: char) -> Option<&'a str> {
        let end = self.rest.find([separator, ',', '}', ']', '\n']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(word.trim()).filter(|word| !word.is_empty())
    }

    fn bare(&mut self) -> Option<Value> {
        match self.word(',')? {
            "true" | "True" => Some(Value::Bool(true)),
            "false" | "False" => Some(Value::Bool(false)),
            "null" | "None" | "undefined" => Some(Value::Null),
            number => serde_json::from_str::<serde_json::Number>(number).ok().map(Value::Number),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_are_read_leniently() {
        let cases = [
            (r#"{"name": "f", "arguments": {"a": 1}}"#, json!({ "a": 1 })),
            ("\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n\n", json!({ "a": 1 })),
            (r#"{"arguments": {"a": 1}, "name": "f"}"#, json!({ "a": 1 })),
            (r#"{"name": "f", "arguments": "{\"a\": 1}"}"#, json!({ "a": 1 })),
            (r#"{"name": "f", "parameters": {"a": 1}}"#, json!({ "a": 1 })),
            (r#"{"name": "f"}"#, json!({})),
            (r#"{"name": "f", "arguments": null}"#, json!({})),
            (
                r#"{'name': 'f', 'arguments': {'a': "it's", 'b': True, 'c': None}}"#,
                json!({ "a": "it's", "b": true, "c": null }),
            ),
            (r#"{name: "f", arguments: {a: -1.5e3, "b": [1, 2,],},}"#, json!({ "a": -1500.0, "b": [1, 2] })),
            ("{\"name\": \"f\", \"arguments\": {\"a\": \"two\nlines\"}}", json!({ "a": "two\nlines" })),
            (r#"{"name": "f", "arguments": {"a": [1, {"b": "x"#, json!({ "a": [1, { "b": "x" }] })),
            (r#"{"name": "f", "arguments": {"a": 1}"#, json!({ "a": 1 })),
            (r#"{"name": "f", "arguments": {"a": 1}}}"#, json!({ "a": 1 })),
            (r#"Sure: {"name": "f", "arguments": {"a": "\u00e9\n"}} ok"#, json!({ "a": "é\n" })),
        ];
        for (text, arguments) in cases {
            let call = parse_call(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((call.name.as_str(), call.arguments), ("f", arguments), "{text}");
        }
    }

    #[test]
    fn what_has_no_name_is_no_call() {
        let deep = format!("{{\"name\": \"f\", \"arguments\": {}", "[".repeat(100_000));
        for text in
            ["", "{}", "[]", "f(1)", r#"{"name": ""}"#, r#"{"name": 3}"#, r#"{"name": "f", "arguments": 3}"#, &deep]
        {
            assert_eq!(parse_call(text), None, "{}", &text[..text.len().min(40)]);
        }
    }

    #[test]
    fn arguments_stream_only_after_the_name() {
        let text = r#"{"name": "f", "arguments": {"a": "x\"}", "b": []}}"#;
        for cut in 0..=text.len() {
            let mut stream = CallStream::default();
            let parts: String = [&text[..cut], &text[cut..]].into_iter().filter_map(|part| stream.push(part)).collect();
            assert_eq!(parts, r#"{"a": "x\"}", "b": []}"#, "cut at {cut}");
            assert_eq!(stream.name(), "f");
        }
        let mut other = CallStream::default();
        assert_eq!(other.push(r#"{"arguments": {"a": 1}, "name": "f"}"#), None);
    }
}
