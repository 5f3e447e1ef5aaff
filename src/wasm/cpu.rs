//! The device of the CPU build.

use super::engine::DEFAULT_CONTEXT;
use crate::cpu::Sink;
use crate::error::Result;
use crate::model::SinkFactory;

/// There is always a CPU.
pub async fn open(_insist: bool, _kernels: Option<&str>, context_length: Option<usize>) -> Result<Box<SinkFactory>> {
    Ok(Box::new(move |config| {
        let context_length = context_length.unwrap_or(DEFAULT_CONTEXT.min(config.max_context));
        Ok(Box::new(Sink::new(config, context_length)?))
    }))
}
