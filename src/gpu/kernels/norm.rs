//! RMSNorm of the tokens of a prefill: y = x / √(mean(x²) + eps) · weight (Zhang & Sennrich, 2019). See `norm.wgsl`.

use super::order::interleaved;
use crate::error::Result;
use crate::gpu::device::{Device, Dispatch};
use crate::gpu::shader::Defines;

/// Normalises x into y, both `[token][columns]`.
pub struct Norm<'a> {
    /// Elements of a token.
    pub columns: usize,
    /// Added to the mean square.
    pub eps: f32,
    /// Input.
    pub x: &'a wgpu::Buffer,
    /// `[columns]`, [`super::order::arranged`].
    pub weight: &'a wgpu::Buffer,
    /// Output.
    pub y: &'a wgpu::Buffer,
}

impl Norm<'_> {
    /// One workgroup a token.
    pub fn dispatch(&self, device: &Device) -> Result<Dispatch> {
        let defines = Defines::new()
            .set("K", self.columns)
            .set("EPS", format!("{:e}", self.eps))
            .set("TEAM", if device.software { 1 } else { 64 })
            .flag("INTERLEAVED", interleaved(device));
        let bindings =
            [(4, self.x.as_entire_binding()), (5, self.weight.as_entire_binding()), (6, self.y.as_entire_binding())];
        Ok(device.dispatch("norm", defines, &bindings, [1, 1, 1])?.for_tokens(0, 1))
    }
}
