//! The embedding's row of each token, dequantised on the device. See `embed.wgsl`.

use super::WORKGROUP;
use super::order::interleaved;
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
                .flag("PREFILL", self.tokens.is_some())
                .flag("INTERLEAVED", self.tokens.is_none() && interleaved(device));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::DType;
    use crate::gpu::testing::{Random, devices, random_matrix, run, state};

    /// What the device makes of the planes is what the file says, to the bit: `formats::quant` is held against `gguf`.
    #[test]
    fn every_type_is_dequantised_to_the_same_bits() {
        let mut random = Random(5);
        for device in devices() {
            for dtype in DType::ALL {
                let (rows, columns) = (12, 512);
                let (matrix, weights) = random_matrix(&device, &mut random, dtype, rows, columns);
                let order: Vec<u32> = (0..rows as u32).rev().collect();
                let tokens = device.storage_of("tokens", &order);
                let x = device.storage_of("x", &vec![0.0_f32; rows * columns]);
                let state = &state(&device, 0, rows);
                let embed = Embed { matrix: &matrix, tokens: Some(&tokens), x: &x, state };
                let actual = run(&device, rows as u32, &embed.dispatches(&device).unwrap(), &x, rows * columns);
                let expected = weights.chunks(columns).rev().flatten();
                for (place, (actual, expected)) in actual.iter().zip(expected).enumerate() {
                    // A zero may have lost its sign.
                    assert_eq!(actual, expected, "{} at {place}", dtype.name());
                }
            }
        }
    }
}
