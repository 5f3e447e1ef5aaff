//! JSON as templates print it: Python's `json.dumps`, which is what `transformers` puts behind `tojson`.

use std::fmt::Write;

use serde_json::{Number, Value};

/// What a value is, for error messages.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The arguments of `json.dumps`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Items on lines of their own, so many spaces further in than what they are in.
    pub indent: Option<usize>,
    /// Between items, and between a key and its value: `", "` and `": "`, or `","` and `": "` with an indent.
    pub separators: Option<(String, String)>,
    /// Keys in the order of their characters, not in their own.
    pub sort_keys: bool,
    /// Every other character escaped.
    pub ascii: bool,
}

/// `json.dumps(value, ensure_ascii=False)`: `", "` and `": "` between items, keys in their own order.
pub fn dumps(value: &Value) -> String {
    dumps_in(value, &Layout::default())
}

/// `json.dumps` with these arguments.
pub fn dumps_in(value: &Value, layout: &Layout) -> String {
    let mut out = String::new();
    write_value(&mut out, value, layout, 0);
    out
}

fn write_value(out: &mut String, value: &Value, layout: &Layout, depth: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(out, number),
        Value::String(text) => write_string(out, text, layout.ascii),
        Value::Array(items) => write_items(out, ('[', ']'), items.iter(), layout, depth, |out, item| {
            write_value(out, item, layout, depth + 1);
        }),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            if layout.sort_keys {
                fields.sort_by_key(|(key, _)| *key);
            }
            write_items(out, ('{', '}'), fields.into_iter(), layout, depth, |out, (key, field)| {
                write_string(out, key, layout.ascii);
                out.push_str(layout.separators.as_ref().map_or(": ", |(_, after_key)| after_key));
                write_value(out, field, layout, depth + 1);
            });
        }
    }
}

fn write_items<T>(
    out: &mut String,
    (open, close): (char, char),
    items: impl ExactSizeIterator<Item = T>,
    layout: &Layout,
    depth: usize,
    write: impl Fn(&mut String, T),
) {
    let is_empty = items.len() == 0;
    let new_line = |out: &mut String, depth: usize| {
        if let Some(indent) = layout.indent.filter(|_| !is_empty) {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent.saturating_mul(depth)));
        }
    };
    let usual = if layout.indent.is_some() { "," } else { ", " };
    let between = layout.separators.as_ref().map_or(usual, |(between, _)| between);
    out.push(open);
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push_str(between);
        }
        new_line(out, depth + 1);
        write(out, item);
    }
    new_line(out, depth);
    out.push(close);
}

/// `ESCAPE` and `ESCAPE_ASCII` of Python's `json.encoder`: quote, backslash and what is below U+0020, or all beyond ASCII too.
fn write_string(out: &mut String, text: &str, ascii: bool) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' => _ = write!(out, "\\u{:04x}", character as u32),
            '\u{80}'.. if ascii => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    _ = write!(out, "\\u{unit:04x}");
                }
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// Integers as they are; floats as `float.__repr__`: the shortest digits that read back, positional for exponents from
/// −4 to 15, else scientific with a sign and at least two digits of exponent.
fn write_number(out: &mut String, number: &Number) {
    let Some(value) = number.as_f64().filter(|_| number.is_f64()) else {
        _ = write!(out, "{number}");
        return;
    };
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let positional = format!("{value}");
        out.push_str(&positional);
        if !positional.contains('.') {
            out.push_str(".0");
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        _ = write!(out, "{digits}e{sign}{:02}", exponent.abs());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prints_as_python_does() {
        let value = json!({
            "z": [1, -2, 18_446_744_073_709_551_615_u64, true, null], "a": {}, "e": [],
            "f": [1.0, 0.1, -0.0, 1e15, 1e16, 1.5e300, 0.0001, 0.000_01, 1.25e-7, 123_456_789.125],
            "s": "é\"\\/\n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}\u{2028}😀<&'>",
        });
        let expected = concat!(
            r#"{"z": [1, -2, 18446744073709551615, true, null], "a": {}, "e": [], "#,
            r#""f": [1.0, 0.1, -0.0, 1000000000000000.0, 1e+16, 1.5e+300, 0.0001, 1e-05, 1.25e-07, 123456789.125], "#,
            "\"s\": \"é\\\"\\\\/\\n\\r\\t\\b\\f\\u0001\\u001f\u{7f}\u{2028}😀<&'>\"}"
        );
        assert_eq!(dumps(&value), expected);
    }

    /// Expected values: CPython 3.11's `json.dumps`.
    #[test]
    fn lays_out_as_python_does() {
        let value = json!({ "b": [1, { "é": "😀\u{7f}" }], "a": {}, "c": [] });
        let layout = Layout { indent: Some(2), ..Layout::default() };
        let indented =
            "{\n  \"b\": [\n    1,\n    {\n      \"é\": \"😀\u{7f}\"\n    }\n  ],\n  \"a\": {},\n  \"c\": []\n}";
        assert_eq!(dumps_in(&value, &layout), indented);
        let layout = Layout {
            separators: Some((",".to_owned(), ":".to_owned())),
            sort_keys: true,
            ascii: true,
            ..Layout::default()
        };
        let compact = r#"{"a":{},"b":[1,{"\u00e9":"\ud83d\ude00~"}],"c":[]}"#.replace('~', "\u{7f}");
        assert_eq!(dumps_in(&value, &layout), compact);
    }
}
