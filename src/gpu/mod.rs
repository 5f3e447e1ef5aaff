//! The runtime on wgpu.
