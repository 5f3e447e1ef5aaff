//! The runtime on the CPU, in WebAssembly with simd128 or natively: on as many threads as see its memory (`team`).
//!
//! Weights stay the file's own blocks, those of four rows side by side. Products (`products`) multiply them with activations held
//! as 15-bit integers with a scale per 32 (`activations`): their error is about 3e-5, where the 8 bits that GGML's and candle's
//! kernels use give 5e-3. Several tokens share one unpacking of the weights into 16-bit integers. The KV cache is kept in the
//! same form and multiplied in the same way. Everything else (norms, rotary embedding, softmax, products with float weights)
//! is f32.
//!
//! candle is the judge here, not a part: its block formats and matrix products check ours in the tests. Its own
//! quantised products miss this project's tolerance, and its quantised Qwen3 holds the embedding twice in f32.

mod activations;
mod attention;
mod floats;
mod kv_cache;
mod matrix;
mod network;
mod products;
mod quant;
mod runtime;
mod sink;
mod team;
mod vector;

pub use runtime::Cpu;
pub use sink::Sink;
pub use team::Threads;
