//! The device of the CPU build.

use wasm_bindgen::JsCast;

use super::engine::{DEFAULT_CONTEXT, Wanted};
use super::helpers::{Helpers, JsHelpers};
use crate::cpu::Sink;
use crate::error::Result;
use crate::model::SinkFactory;

/// There is always a CPU, and one set of kernels for it.
pub async fn open(wanted: Wanted<'_>) -> Result<(Box<SinkFactory>, Option<String>)> {
    let context_length = wanted.context_length;
    let helpers = wanted.helpers.is_object().then(|| Helpers(wanted.helpers.unchecked_into::<JsHelpers>()));
    let make_sink: Box<SinkFactory> = Box::new(move |config| {
        let context_length = context_length.unwrap_or(DEFAULT_CONTEXT.min(config.max_context));
        let sink = Sink::new(config, context_length)?;
        Ok(Box::new(match helpers {
            Some(helpers) => sink.with_helpers(Box::new(helpers)),
            None => sink,
        }))
    });
    Ok((make_sink, None))
}
