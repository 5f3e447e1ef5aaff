//! What JavaScript functions throw.

use js_sys::JSON;
use serde_json::json;
use wasm_bindgen::JsValue;

use crate::error::Error;

/// What JavaScript functions return: the value, or what they throw.
pub type JsResult<T> = std::result::Result<T, JsValue>;

/// What is thrown: the error's fields as a plain object, so that it survives any boundary.
pub fn thrown(error: Error) -> JsValue {
    let fields = json!({
        "code": error.kind.code(),
        "message": error.message,
        "hint": error.hint,
        "recoverable": error.kind.recoverable(),
    });
    JSON::parse(&fields.to_string()).unwrap_or_else(|error| error)
}
