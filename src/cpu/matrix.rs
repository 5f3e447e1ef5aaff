//! A weight matrix in the file's own blocks, its rows in f32, and its product with activations.

use std::cell::Cell;
use std::ops::Range;

use super::activations::Activations;
use super::floats::dot_f32;
use super::products::{Products, ROWS, Unpacked};
use super::quant::BLOCK;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::quant::dequantize;
use crate::formats::{DType, TensorInfo};

/// `[rows, columns]`: the file's bytes, with the blocks of four quantised rows side by side as [`ROWS`] says.
pub struct Matrix {
    dtype: DType,
    rows: usize,
    columns: usize,
    row_bytes: usize,
    /// Rows that have come.
    filled: usize,
    bytes: Vec<u8>,
    /// None for float types.
    products: Option<Products>,
}

/// Rows being unpacked; reused by all products.
#[derive(Default)]
pub struct Unpacking {
    unpacked: Unpacked,
    floats: Vec<f32>,
}

impl Unpacking {
    /// Makes room for rows of so many columns, so that products allocate nothing.
    pub fn fit(&mut self, columns: usize) {
        self.unpacked.reserve(columns / BLOCK);
        self.floats.reserve(columns.saturating_sub(self.floats.len()));
    }
}

impl Matrix {
    /// Room for `tensor`, to be filled by [`Matrix::append`].
    pub fn with_room_for(tensor: &TensorInfo) -> Result<Self> {
        let mut matrix = Self {
            dtype: tensor.dtype,
            rows: tensor.rows(),
            columns: tensor.columns(),
            row_bytes: tensor.row_bytes(),
            filled: 0,
            bytes: Vec::new(),
            products: Products::of(tensor.dtype),
        };
        let bytes = matrix.rows.next_multiple_of(matrix.together()) * matrix.row_bytes;
        matrix.bytes.try_reserve_exact(bytes).map_err(|_| {
            Error::new(ErrorKind::OutOfMemory, format!("no room for {bytes} bytes of {}", tensor.name))
                .hint("use a smaller or more quantised model, or close other tabs")
        })?;
        Ok(matrix)
    }

    /// Rows whose blocks lie side by side.
    fn together(&self) -> usize {
        if self.products.is_some() { ROWS } else { 1 }
    }

    /// The next rows in file order, starting at `first_row`.
    pub fn append(&mut self, first_row: usize, bytes: &[u8]) -> Result<()> {
        let (expected, room) = (self.filled, (self.rows - self.filled) * self.row_bytes);
        if first_row != expected || !bytes.len().is_multiple_of(self.row_bytes) || bytes.len() > room {
            let message = format!("expected row {expected} of {}, got row {first_row}", self.rows);
            return Err(Error::internal(format!("{message} and {} bytes", bytes.len())));
        }
        if self.products.is_none() {
            self.bytes.extend_from_slice(bytes);
            self.filled += bytes.len() / self.row_bytes;
            return Ok(());
        }
        for row in bytes.chunks_exact(self.row_bytes) {
            let (group, place) = (self.filled / ROWS * ROWS * self.row_bytes, self.filled % ROWS);
            let block = self.dtype.block_bytes();
            self.bytes.resize(group + ROWS * self.row_bytes, 0);
            let places = self.bytes[group..].chunks_exact_mut(block).skip(place).step_by(ROWS);
            places.zip(row.chunks_exact(block)).for_each(|(to, from)| to.copy_from_slice(from));
            self.filled += 1;
        }
        Ok(())
    }

    /// All rows are there.
    pub fn complete(&self) -> bool {
        self.filled == self.rows
    }

    /// How elements are stored.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Outputs of a product.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs of a product.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes of the file that are held.
    pub fn bytes(&self) -> usize {
        self.filled * self.row_bytes
    }

    /// Row `row` in f32.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        let together = self.together();
        let group = self.group(row / together);
        if together == 1 {
            return dequantize(self.dtype, group, out);
        }
        let blocks = group.chunks_exact(self.dtype.block_bytes()).skip(row % together).step_by(together);
        for (block, out) in blocks.zip(out.chunks_exact_mut(self.dtype.block_elements())) {
            dequantize(self.dtype, block, out);
        }
    }

    /// The columns `wanted` of `out: [tokens, rows] = x: [tokens, columns] · selfᵀ`; `scratch` fits. A result depends neither on the
    /// other tokens nor on which rows are wanted with its own.
    pub fn multiply(&self, wanted: Range<usize>, x: &Activations, scratch: &mut Unpacking, out: &[Cell<f32>]) {
        let Some(products) = self.products else {
            scratch.floats.resize(self.columns, 0.0);
            for r in wanted {
                self.row(r, &mut scratch.floats);
                for t in 0..x.tokens() {
                    out[t * self.rows + r].set(dot_f32(&scratch.floats, x.floats(t)));
                }
            }
            return;
        };
        for group in wanted.start / ROWS..wanted.end.div_ceil(ROWS) {
            let bytes = self.group(group);
            // The group's rows that are wanted.
            let rows = (group * ROWS).max(wanted.start)..(group * ROWS + ROWS).min(wanted.end);
            let set = |token: usize, sums: [f32; ROWS]| {
                let out = &out[token * self.rows..][rows.clone()];
                match out.first_chunk::<ROWS>() {
                    Some(out) => out.iter().zip(sums).for_each(|(out, sum)| out.set(sum)),
                    None => out.iter().zip(&sums[rows.start % ROWS..]).for_each(|(out, sum)| out.set(*sum)),
                }
            };
            if let Some(x) = x.one() {
                set(0, (products.with_one)(bytes, x));
                continue;
            }
            (products.unpack)(bytes, &mut scratch.unpacked);
            scratch.unpacked.multiply(x.several(), |four, sums| {
                (four * 4..x.tokens()).zip(sums).for_each(|(token, sums)| set(token, sums));
            });
        }
    }

    fn group(&self, group: usize) -> &[u8] {
        let bytes = self.together() * self.row_bytes;
        &self.bytes[group * bytes..][..bytes]
    }
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::{GgmlDType, ggml_file::qtensor_from_ggml};
    use candle_core::{Device, Tensor};

    use super::{Activations, Matrix, Unpacking};
    use crate::cpu::products::tests::random_blocks;
    use crate::cpu::team::Outputs;
    use crate::formats::{DType, TensorInfo};

    fn of_candle(dtype: DType) -> GgmlDType {
        match dtype {
            DType::F32 => GgmlDType::F32,
            DType::F16 => GgmlDType::F16,
            DType::BF16 => GgmlDType::BF16,
            DType::Q4_0 => GgmlDType::Q4_0,
            DType::Q4_1 => GgmlDType::Q4_1,
            DType::Q5_0 => GgmlDType::Q5_0,
            DType::Q5_1 => GgmlDType::Q5_1,
            DType::Q8_0 => GgmlDType::Q8_0,
            DType::Q4_K => GgmlDType::Q4K,
            DType::Q5_K => GgmlDType::Q5K,
            DType::Q6_K => GgmlDType::Q6K,
        }
    }

    #[test]
    fn products_of_every_quantised_type_are_those_of_candles_dequantised_weights() {
        for dtype in DType::ALL.into_iter().filter(|d| d.is_quantised()) {
            let (rows, columns, tokens) = (7, 768, 15);
            let bytes = random_blocks(dtype, rows * columns, 3);
            let info = TensorInfo { name: "w".into(), dtype, shape: vec![rows, columns] };
            let mut matrix = Matrix::with_room_for(&info).expect("room");
            let (first, rest) = bytes.split_at(info.row_bytes() * 4);
            matrix.append(0, first).expect("four rows");
            matrix.append(4, rest).expect("the last row");
            assert!(matrix.complete());

            let floats: Vec<f32> = (0..tokens * columns).map(|i| (i * 7919 % 2003) as f32 / 1001.0 - 1.0).collect();
            let mut x = Activations::default();
            x.set(floats.iter().copied(), columns);
            let mut got = vec![0.0; tokens * rows];
            matrix.multiply(0..rows, &x, &mut Unpacking::default(), Outputs::of(&mut got).cells());

            let weights =
                qtensor_from_ggml(of_candle(dtype), &bytes, vec![rows, columns], &Device::Cpu).expect("blocks");
            let weights = weights.dequantize(&Device::Cpu).expect("f32");
            let x = Tensor::from_vec(floats, (tokens, columns), &Device::Cpu).expect("activations");
            let expected = x.matmul(&weights.t().expect("transposed")).expect("a product").flatten_all().expect("flat");
            let expected: Vec<f32> = expected.to_vec1().expect("f32");
            let error: f32 = got.iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum();
            let norm: f32 = expected.iter().map(|b| b * b).sum();
            assert!((error / norm).sqrt() < 5e-5, "{}: {:.2e}", dtype.name(), (error / norm).sqrt());
        }
    }

    #[test]
    fn rows_out_of_order_are_an_error() {
        let info = TensorInfo { name: "w".into(), dtype: DType::Q8_0, shape: vec![8, 32] };
        let mut matrix = Matrix::with_room_for(&info).expect("room");
        assert!(matrix.append(4, &[0; 4 * 34]).is_err());
        matrix.append(0, &[0; 4 * 34]).expect("the first rows");
        assert!(matrix.append(4, &[0; 5 * 34]).is_err(), "more than there are");
        assert!(!matrix.complete());
    }
}
