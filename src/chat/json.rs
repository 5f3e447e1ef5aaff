//! JSON as Qwen3's template prints it: Python's `json.dumps(value, ensure_ascii=False)`, which is what
//! `transformers` puts behind `tojson`.

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

/// `json.dumps(value, ensure_ascii=False)`: `", "` and `": "` between items, keys in their own order.
pub fn dumps(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(out, number),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (index, (key, field)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_string(out, key);
                out.push_str(": ");
                write_value(out, field);
            }
            out.push('}');
        }
    }
}

/// `ESCAPE` of Python's `json.encoder`: quote, backslash and what is below U+0020.
fn write_string(out: &mut String, text: &str) {
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
}
