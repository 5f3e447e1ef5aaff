//! The runtime on the CPU, in WebAssembly with simd128 or natively: one thread, and others that help it with products (`team`).
//!
//! Weights stay exactly the bytes of the file. A product unpacks a row of weights into 16-bit integers once for a whole
//! tile of tokens and multiplies it with activations held as 16-bit integers with a scale per 32 (`activations`):
//! their error is about 1e-5, where the 8 bits that GGML's and candle's kernels use give 5e-3, and the inner loop is
//! the same instruction, a dot product of 16-bit pairs. The KV cache is kept in the same form. Everything else
//! (norms, rotary embedding, attention, products with float weights) is f32.
//!
//! candle is the judge here, not a part: its block formats and matrix products check ours in the tests. Its own
//! quantised products miss this project's tolerance, and its quantised Qwen3 holds the embedding twice in f32.

mod activations;
mod attention;
mod helper;
mod kernels;
mod kv_cache;
mod matrix;
mod network;
mod runtime;
mod sink;
mod team;
mod unpack;

pub use helper::Helper;
pub use runtime::Cpu;
pub use sink::Sink;
pub use team::Helpers;
