//! qwen3-web: Qwen3 language models in the browser. `docs/ARCHITECTURE.md` is the map; the modules below are in reading order.

pub mod error;

pub mod formats;

pub mod tokenizer;

pub mod chat;

pub mod model;

pub mod sampling;

pub mod grammar;

#[cfg(feature = "jinja")]
pub mod jinja;

#[cfg(feature = "gpu")]
pub mod gpu;

#[cfg(feature = "cpu")]
pub mod cpu;

pub mod session;

#[cfg(target_arch = "wasm32")]
mod wasm;
