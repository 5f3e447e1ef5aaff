//! The device of the WebGPU build.

use super::engine::Wanted;
use crate::error::Result;
use crate::gpu::{Device, Precision, Sink, tuned};
use crate::model::SinkFactory;

/// Takes the adapter, a software one only if the caller insists, and refuses one that computes garbage. Beside the sink it
/// gives the variant of the kernels that the adapter runs.
pub async fn open(wanted: Wanted<'_>) -> Result<(Box<SinkFactory>, Option<String>)> {
    let Wanted { insist, kernels, variant, positions, q8_cache, timestamps, threads: _ } = wanted;
    let device = Device::open(insist, timestamps).await?;
    let device = match kernels {
        Some("hardware") => device.treat_as_software(false),
        Some("software") => device.treat_as_software(true),
        _ => device,
    };
    let device = tuned(device, variant).await?;
    let variant = device.variant();
    let make_sink: Box<SinkFactory> = Box::new(move |config| {
        let context_length = positions.apply(config)?;
        let sink = Sink::new(&device, config, context_length)?;
        Ok(Box::new(if q8_cache { sink.with_kv_precision(Precision::Q8) } else { sink }))
    });
    Ok((make_sink, Some(variant)))
}
