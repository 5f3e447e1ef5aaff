//! The device of the CPU build.

use wasm_bindgen::JsCast;

use super::engine::Wanted;
use super::threads::{JsThreads, Threads};
use crate::cpu;
use crate::error::Result;
use crate::model::SinkFactory;

/// There is always a CPU, and one set of kernels for it.
pub async fn open(wanted: Wanted<'_>) -> Result<(Box<SinkFactory>, Option<String>)> {
    let positions = wanted.positions;
    let threads = wanted.threads.is_object().then(|| Threads::start(wanted.threads.unchecked_into::<JsThreads>()));
    let threads = threads.map(|threads| Box::new(threads) as Box<dyn cpu::Threads>);
    let make_sink: Box<SinkFactory> = Box::new(move |config| {
        let context_length = positions.apply(config)?;
        Ok(Box::new(cpu::Sink::new(config, context_length)?.with_threads(threads)))
    });
    Ok((make_sink, None))
}
