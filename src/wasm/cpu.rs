//! The device of the CPU build.

use wasm_bindgen::JsCast;

use super::engine::{DEFAULT_CONTEXT, Wanted};
use super::helpers::{Helpers, JsHelpers};
use crate::cpu;
use crate::error::Result;
use crate::model::SinkFactory;

/// There is always a CPU, and one set of kernels for it.
pub async fn open(wanted: Wanted<'_>) -> Result<(Box<SinkFactory>, Option<String>)> {
    let context_length = wanted.context_length;
    let helpers = wanted.helpers.is_object().then(|| Helpers(wanted.helpers.unchecked_into::<JsHelpers>()));
    let helpers = helpers.map(|helpers| Box::new(helpers) as Box<dyn cpu::Helpers>);
    let make_sink: Box<SinkFactory> = Box::new(move |config| {
        let context_length = context_length.unwrap_or(DEFAULT_CONTEXT.min(config.max_context));
        Ok(Box::new(cpu::Sink::new(config, context_length)?.with_helpers(helpers)))
    });
    Ok((make_sink, None))
}
