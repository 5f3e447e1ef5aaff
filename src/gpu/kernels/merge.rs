//! The merge of attention's partial results: o = Σₛ e^(mₛ − m)·oₛ / Σₛ e^(mₛ − m)·lₛ over its splits s, of maximum mₛ and sum lₛ, with
//! m = maxₛ mₛ (Dao et al., Flash-Decoding, 2023). See `shares.wgsl`, and `merge.wgsl` for several columns.

use super::WORKGROUP;
use crate::error::Result;
use crate::gpu::device::{Binding, Device, Dispatch};
use crate::gpu::shader::Defines;

/// What fused decode attention leaves, and where it is put together.
#[derive(Clone, Copy)]
pub struct Partials<'a> {
    /// `[column][split][heads · head_dim]`, each split's in the order of `order.wgsl`.
    pub partials: &'a wgpu::Buffer,
    /// `[column][head][split]` (maximum, sum)
    pub softmax: &'a wgpu::Buffer,
    /// `[column][heads · head_dim]`, in the same order.
    pub whole: &'a wgpu::Buffer,
    /// Query heads.
    pub heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Partial results of each head.
    pub splits: u32,
}

impl<'a> Partials<'a> {
    /// Whether the whole of one column fits into the workgroup memory that every adapter has, beside `bytes` of other things.
    pub fn fit(&self, bytes: usize) -> bool {
        self.heads * (self.head_dim + self.splits as usize) * 4 + bytes <= 16 << 10
    }

    /// The constants of `shares.wgsl`.
    pub fn defines(&self, defines: Defines) -> Defines {
        defines.set("HEADS", self.heads).set("HEAD_DIM", self.head_dim).set("NSPLIT", self.splits)
    }

    /// Its bindings.
    pub fn bindings(&self) -> [Binding<'a>; 2] {
        [(4, self.partials.as_entire_binding()), (5, self.softmax.as_entire_binding())]
    }

    /// The merge of every column.
    pub fn merge(&self, device: &Device) -> Result<Dispatch> {
        let defines = self.defines(Defines::new()).set("WG", WORKGROUP).flag("INTERLEAVED", true);
        let mut bindings = self.bindings().to_vec();
        bindings.push((6, self.whole.as_entire_binding()));
        Ok(device.dispatch("merge", defines, &bindings, [1, 1, 1])?.for_tokens(0, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::DType;
    use crate::gpu::kernels::linear::{Columns, Input, Linear, Output};
    use crate::gpu::kernels::order::arranged;
    use crate::gpu::self_test::relative_error;
    use crate::gpu::testing::{Random, hardware, merged, random_matrix, run, state};

    #[test]
    fn columns_are_merged_as_the_formula_says_and_as_one_alone_is() {
        let (mut random, device) = (Random(31), hardware());
        for (heads, head_dim, columns) in [(4, 8, 1), (4, 24, 3), (16, 128, 2)] {
            let (attention, splits) = (heads * head_dim, 8);
            let parts = random.numbers(columns * splits * attention);
            let mut softmax = random.numbers(columns * heads * splits * 2);
            // Maxima far from each other, sums above 0, and splits without a position.
            for (index, pair) in softmax.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                *pair = if index % 5 == 4 { [-1e30, 0.0] } else { [pair[0] * 20.0, pair[1] + 1.5] };
            }
            let of = parts.chunks(splits * attention).zip(softmax.chunks(heads * splits * 2));
            let expected: Vec<f64> =
                of.flat_map(|(parts, softmax)| arranged(&device, &merged(&device, parts, softmax, head_dim))).collect();
            let (parts, softmax) = (device.storage_of("partials", &parts), device.storage_of("softmax", &softmax));
            let whole = device.storage("whole", columns * attention * 4);
            let partials =
                Partials { partials: &parts, softmax: &softmax, whole: &whole, heads, head_dim, splits: splits as u32 };
            let merge = partials.merge(&device).unwrap();
            let actual = run(&device, columns as u32, &[merge], &whole, columns * attention);
            let error = relative_error(&actual, &expected);
            assert!(error < 1e-6, "{columns} columns of {heads}x{head_dim}: {error}");

            let (matrix, _) = random_matrix(&device, &mut random, DType::Q4_0, 8, attention);
            let products = [Columns::Sequences(1), Columns::Sequences(4)].map(|of| {
                let (y, state) = (device.storage("y", 4 * 8 * 4), &state(&device, 0, columns));
                let input = Input::Partials(partials);
                let output = Output::Residual;
                let (y_columns, feeds) = (8, false);
                let linear =
                    Linear { matrix: &matrix, input, output, y: &y, y_columns, y_offset: 0, feeds, columns: of, state };
                let dispatches = linear.dispatches(&device).unwrap();
                let more = usize::from(of != Columns::Sequences(1));
                assert_eq!(dispatches.len(), 1 + more, "one column needs no dispatch more");
                run(&device, columns as u32, &dispatches, &y, columns * 8)
            });
            let bits = products.map(|y| y.iter().map(|y| y.to_bits()).collect::<Vec<_>>());
            assert_eq!(bits[0], bits[1], "{columns} columns of {heads}x{head_dim}");
        }
    }
}
