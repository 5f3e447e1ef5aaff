//! One kernel, one place: formula, bindings and variants in its `.wgsl`; launch, scalar reference and tests in its `.rs`.

pub mod attention;
pub mod embed;
pub mod guess;
pub mod linear;
pub mod merge;
pub mod norm;
pub mod order;
pub mod sampler;

/// Threads of a workgroup, where a kernel's work does not fix them.
pub const WORKGROUP: u32 = 128;
