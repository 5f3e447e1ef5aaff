//! The device of the CPU build.

use super::engine::{DEFAULT_CONTEXT, Wanted};
use crate::cpu::Sink;
use crate::error::Result;
use crate::model::SinkFactory;

/// There is always a CPU, and one set of kernels for it.
pub async fn open(wanted: Wanted<'_>) -> Result<(Box<SinkFactory>, Option<String>)> {
    let context_length = wanted.context_length;
    let make_sink: Box<SinkFactory> = Box::new(move |config| {
        let context_length = context_length.unwrap_or(DEFAULT_CONTEXT.min(config.max_context));
        Ok(Box::new(Sink::new(config, context_length)?))
    });
    Ok((make_sink, None))
}
