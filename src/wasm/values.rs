//! JavaScript values as data and back. Everything structured travels as JSON: the shapes are those of the public API, and
//! serde knows them already.

use js_sys::JSON;
use serde::Serialize;
use serde_json::Value;
use wasm_bindgen::{JsCast, JsValue};

use super::thrown::{JsResult, thrown};
use crate::error::{Error, Result};

/// A plain value; `undefined` is null.
pub fn from_js(name: &str, value: &JsValue) -> Result<Value> {
    if value.is_undefined() {
        return Ok(Value::Null);
    }
    let invalid = |what: String| Error::invalid(format!("{name} must be plain data: {what}"));
    let text = JSON::stringify(value).map_err(|error| invalid(message_of(&error)))?;
    // JSON.stringify answers `undefined` for a function or a symbol.
    let text = text.as_string().ok_or_else(|| invalid("it is a function or a symbol".to_owned()))?;
    serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))
}

/// An object or array as JavaScript has it; numbers stay numbers.
pub fn to_js(value: &impl Serialize) -> JsResult<JsValue> {
    let text = serde_json::to_string(value).map_err(|error| thrown(Error::internal(error.to_string())))?;
    JSON::parse(&text)
}

/// What a thrown value says.
pub fn message_of(error: &JsValue) -> String {
    error.dyn_ref::<js_sys::Error>().map_or_else(|| format!("{error:?}"), |error| String::from(error.message()))
}

/// An error thrown by another module's edge, whose fields it keeps, or by anything else.
pub fn caught(thrown: &JsValue) -> Error {
    let fields = from_js("error", thrown).unwrap_or(Value::Null);
    match (fields["code"].as_str(), fields["message"].as_str()) {
        (Some("invalid-argument"), Some(message)) => {
            Error::invalid(message).hint(fields["hint"].as_str().unwrap_or_default())
        }
        (Some("unsupported-model"), Some(message)) => Error::unsupported(message),
        (_, Some(message)) => Error::internal(message),
        _ => Error::internal(message_of(thrown)),
    }
}
