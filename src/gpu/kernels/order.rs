//! The order in which a decode step reads activations, and what brings a prefill's into it. See `order.wgsl` and `keep.wgsl`.

use super::WORKGROUP;
use crate::error::Result;
use crate::gpu::device::{Device, Dispatch};
use crate::gpu::planes::BLOCK;
use crate::gpu::shader::Defines;

/// Whether a decode step reads the first fours of all blocks first.
pub fn interleaved(device: &Device) -> bool {
    !device.software
}

/// A vector as long as the activations are, such as the weights of a norm, in their order.
pub fn arranged<T: Copy>(device: &Device, vector: &[T]) -> Vec<T> {
    if !interleaved(device) {
        return vector.to_vec();
    }
    let fours = vector.as_chunks::<4>().0;
    (0..8).flat_map(|i| fours[i..].iter().step_by(BLOCK / 4)).flatten().copied().collect()
}

/// kept`[slot]` = the last row of x: `[token][columns]`, in order, for the slot of a prefill.
pub fn keep(
    device: &Device,
    columns: usize,
    x: &wgpu::Buffer,
    kept: &wgpu::Buffer,
    state: &wgpu::Buffer,
) -> Result<Dispatch> {
    let defines = Defines::new()
        .set("K", columns)
        .set("WG", WORKGROUP)
        .flag("PREFILL", true)
        .flag("INTERLEAVED", interleaved(device));
    let bindings = [(4, x.as_entire_binding()), (6, kept.as_entire_binding()), (7, state.as_entire_binding())];
    device.dispatch("keep", defines, &bindings, [(columns as u32 / 4).div_ceil(WORKGROUP), 1, 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::testing::{Random, devices, run, state};

    #[test]
    fn the_last_row_is_kept_in_the_order_of_a_decode_step() {
        let mut random = Random(21);
        for device in devices() {
            let (tokens, columns) = (5, 96);
            let x = random.numbers(tokens * columns);
            let (xs, kept) = (device.storage_of("x", &x), device.storage("kept", columns * 4));
            let dispatch = keep(&device, columns, &xs, &kept, &state(&device, 7, tokens)).unwrap();
            let actual = run(&device, 1, &[dispatch], &kept, columns);
            let row = &x[(tokens - 1) * columns..];
            assert_eq!(actual, arranged(&device, row));
            // Element 4 is the second four's first, which comes after the first fours of all three blocks.
            assert_eq!(actual[if device.software { 4 } else { 12 }], row[4]);
        }
    }
}
