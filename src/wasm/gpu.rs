//! The device of the WebGPU build.

use super::engine::DEFAULT_CONTEXT;
use crate::error::Result;
use crate::gpu::{Device, Sink, tuned};
use crate::model::SinkFactory;

/// Takes the adapter, a software one only if the caller insists, and refuses one that computes garbage. `kernels` is the
/// set meant for `hardware` or `software` adapters; any other value leaves the choice to the adapter.
pub async fn open(insist: bool, kernels: Option<&str>, context_length: Option<usize>) -> Result<Box<SinkFactory>> {
    let device = Device::open(insist).await?;
    let device = match kernels {
        Some("hardware") => device.treat_as_software(false),
        Some("software") => device.treat_as_software(true),
        _ => device,
    };
    let device = tuned(device, None).await?;
    Ok(Box::new(move |config| {
        let context_length = context_length.unwrap_or(DEFAULT_CONTEXT.min(config.max_context));
        Ok(Box::new(Sink::new(&device, config, context_length)?))
    }))
}
