//! The runtime on wgpu: WebGPU in the browser, Vulkan, Metal or DX12 in a terminal. The only user of wgpu.
//!
//! A decode step is about five dispatches a layer in one compute pass, over bind groups made once; position, token and
//! random state stay on the device, so several steps are in flight before the first token is read.

mod clock;
mod decoding;
mod device;
mod frame;
mod kernels;
mod kv_cache;
mod network;
mod pace;
mod planes;
mod probe;
mod runtime;
mod self_test;
mod shader;
mod sink;
mod state;
#[cfg(test)]
mod testing;
mod tune;
mod weights;

pub use device::Device;
pub use kernels::attention::Precision;
pub use probe::{copy_rate, empty_dispatches};
pub use runtime::Gpu;
pub use sink::Sink;
pub use tune::tuned;
