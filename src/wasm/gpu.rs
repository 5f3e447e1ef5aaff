//! The device of the WebGPU build.

use super::DEFAULT_CONTEXT;
use crate::error::Result;
use crate::gpu::{Device, Sink, self_test};
use crate::model::SinkFactory;

/// Takes the adapter, a software one only if the caller insists, and refuses one that computes garbage.
pub async fn open(insist: bool, context_length: Option<usize>) -> Result<Box<SinkFactory>> {
    let device = Device::open(insist).await?;
    self_test(&device).await?;
    Ok(Box::new(move |config| {
        let context_length = context_length.unwrap_or(DEFAULT_CONTEXT.min(config.max_context));
        Ok(Box::new(Sink::new(&device, config, context_length)?))
    }))
}
