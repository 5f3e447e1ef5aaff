//! Which characters of a rendered template people wrote, and which control tokens therefore are the template's.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::chat::template::Piece;
use crate::error::{Error, Result};

/// Characters that occur in nothing that people wrote.
pub struct Marks {
    /// Before what people wrote.
    open: char,
    /// After it.
    close: char,
    /// Where the last message goes on.
    pub end_of_message: char,
}

impl Marks {
    /// Three of Unicode's noncharacters that are free.
    pub fn not_in(messages: &Value, tools: &Value) -> Result<Self> {
        let mut free: Vec<char> = ('\u{FDD0}'..='\u{FDEF}').collect();
        for value in [messages, tools] {
            each_text(value, &mut |text| free.retain(|mark| !text.contains(*mark)));
        }
        match free[..] {
            [open, close, end_of_message, ..] => Ok(Self { open, close, end_of_message }),
            _ => Err(Error::invalid("messages: expected text, got text that holds all of Unicode's noncharacters")),
        }
    }

    /// Every visible character marked: what a template cuts off or trims, it cuts and trims all the same.
    pub fn around_characters(&self, text: &str) -> String {
        let mut out = String::with_capacity(8 * text.len());
        for character in text.chars() {
            if character.is_whitespace() {
                out.push(character);
            } else {
                out.extend([self.open, character, self.close]);
            }
        }
        out
    }

    /// What spells a control token marked, and nothing else.
    pub fn around_controls(&self, text: &str, controls: &Controls) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            let length = match controls.at_beginning(rest) {
                Some(control) => {
                    out.push(self.open);
                    out.push_str(control);
                    out.push(self.close);
                    control.len()
                }
                None => {
                    out.push(character);
                    character.len_utf8()
                }
            };
            rest = &rest[length..];
        }
        out
    }

    /// A text without its marks.
    pub fn without(&self, text: &str) -> String {
        text.replace([self.open, self.close, self.end_of_message], "")
    }
}

/// The texts of control tokens.
pub struct Controls {
    /// By their first character, longest first.
    by_first: BTreeMap<char, Vec<String>>,
}

impl Controls {
    /// Of these added tokens; white space alone controls nothing.
    pub fn new(tokens: impl IntoIterator<Item = String>) -> Self {
        let mut by_first: BTreeMap<char, Vec<String>> = BTreeMap::new();
        for token in tokens {
            if let Some(first) = token.chars().next().filter(|_| !token.trim().is_empty()) {
                by_first.entry(first).or_default().push(token);
            }
        }
        for tokens in by_first.values_mut() {
            tokens.sort_by_key(|token| std::cmp::Reverse(token.len()));
        }
        Self { by_first }
    }

    /// Those that nobody has spelt.
    pub fn except_in(&self, messages: &Value, tools: &Value) -> Self {
        let mut tokens: Vec<String> = self.by_first.values().flatten().cloned().collect();
        for value in [messages, tools] {
            each_text(value, &mut |text| tokens.retain(|token| !text.contains(token.as_str())));
        }
        Self::new(tokens)
    }

    /// The longest that a text begins with.
    fn at_beginning(&self, text: &str) -> Option<&str> {
        let tokens = self.by_first.get(&text.chars().next()?)?;
        tokens.iter().find(|token| text.starts_with(token.as_str())).map(String::as_str)
    }

    /// What a template said, in pieces and without marks.
    pub fn pieces(&self, said: &str, marks: &Marks) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let (mut text, mut rest, mut of_people) = (String::new(), said, false);
        while let Some(character) = rest.chars().next() {
            let control = if of_people { None } else { self.at_beginning(rest) };
            if let Some(control) = control {
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                }
                pieces.push(Piece::Control(control.to_owned().into()));
            } else if character == marks.open || character == marks.close {
                of_people = character == marks.open;
            } else {
                text.push(character);
            }
            rest = &rest[control.map_or(character.len_utf8(), str::len)..];
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        pieces
    }
}

/// Data with every string marked, and every key that is no plain name: by its name a template finds a field. So it does by
/// the plain names that say who speaks and of which type something is.
pub fn marked(value: &Value, mark: &dyn Fn(&str) -> String) -> Value {
    let is_name = |text: &str| text.chars().all(|character| character.is_alphanumeric() || "_-$".contains(character));
    let is_kind = |key: &str, field: &Value| ["role", "type"].contains(&key) && field.as_str().is_some_and(is_name);
    match value {
        Value::String(text) => Value::String(mark(text)),
        Value::Array(items) => items.iter().map(|item| marked(item, mark)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, field)| {
                let field = if is_kind(key, field) { field.clone() } else { marked(field, mark) };
                (if is_name(key) { key.clone() } else { mark(key) }, field)
            })
            .collect(),
        other => other.clone(),
    }
}

fn each_text(value: &Value, see: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, see)),
        Value::Object(fields) => fields.iter().for_each(|(key, field)| {
            see(key);
            each_text(field, see);
        }),
        _ => {}
    }
}
