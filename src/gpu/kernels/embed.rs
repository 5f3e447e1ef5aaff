//! The embedding's row of each token, dequantised on the device. See `embed.wgsl`.

use super::WORKGROUP;
use crate::error::Result;
use crate::gpu::device::{Device, Dispatch};
use crate::gpu::planes::{self, BLOCK};
use crate::gpu::weights::Matrix;

/// x = rows of `matrix`.
pub struct Embed<'a> {
    /// The embedding.
    pub matrix: &'a Matrix,
    /// The tokens of a prefill: `[token]`; none in decode, where the state holds the token.
    pub tokens: Option<&'a wgpu::Buffer>,
    /// `[token][columns]`
    pub x: &'a wgpu::Buffer,
    /// The step's `State`.
    pub state: &'a wgpu::Buffer,
}

impl Embed<'_> {
    /// One dispatch for each shard of the matrix; each writes the tokens whose rows it holds.
    pub fn dispatches(&self, device: &Device) -> Result<Vec<Dispatch>> {
        let one = |shard: &crate::gpu::weights::Shard| {
            let defines = planes::defines(self.matrix.dtype)
                .set("K", self.matrix.columns)
                .set("FIRST_ROW", shard.first_row)
                .set("ROWS", shard.rows)
                .set("WG", WORKGROUP)
                .flag("PREFILL", self.tokens.is_some());
            let mut bindings = shard.bindings();
            bindings.extend(self.tokens.map(|tokens| (4, tokens.as_entire_binding())));
            bindings.push((6, self.x.as_entire_binding()));
            bindings.push((7, self.state.as_entire_binding()));
            let grid = [((self.matrix.columns / BLOCK) as u32).div_ceil(WORKGROUP), 1, 1];
            Ok(device.dispatch("embed", defines, &bindings, grid)?.for_tokens(1, 1))
        };
        self.matrix.shards.iter().map(one).collect()
    }
}
