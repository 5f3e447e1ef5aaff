//! A weight matrix as the file holds it, its rows in f32, and its product with activations.

use super::activations::Activations;
use super::kernels::{Native, Panel, ROWS, dot_f32, dot_panels, dot_q4_0, dot_q6_k, dot_rows};
use super::unpack::Unpacked;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::quant::dequantize;
use crate::formats::{DType, TensorInfo};

/// `[rows, columns]` in the file's own bytes.
pub struct Matrix {
    dtype: DType,
    rows: usize,
    columns: usize,
    row_bytes: usize,
    bytes: Vec<u8>,
}

/// Rows being unpacked; reused by all products.
#[derive(Default)]
pub struct Scratch {
    unpacked: [[Unpacked; ROWS]; PANELS],
    panels: [Panel; PANELS],
    floats: Vec<f32>,
}

/// What one call of the tile's kernel takes: with its sums, two panels' weights and an activation, as many vectors as
/// x86-64 has registers.
const PANELS: usize = 2;
const TOKENS: usize = 4;

impl Matrix {
    /// Room for `tensor`, to be filled by [`Matrix::append`].
    pub fn with_room_for(tensor: &TensorInfo) -> Result<Self> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(tensor.bytes()).map_err(|_| {
            Error::new(ErrorKind::OutOfMemory, format!("no room for {} bytes of {}", tensor.bytes(), tensor.name))
                .hint("use a smaller or more quantised model, or close other tabs")
        })?;
        Ok(Self {
            dtype: tensor.dtype,
            rows: tensor.rows(),
            columns: tensor.columns(),
            row_bytes: tensor.row_bytes(),
            bytes,
        })
    }

    /// The next rows in file order, starting at `first_row`.
    pub fn append(&mut self, first_row: usize, bytes: &[u8]) -> Result<()> {
        let (expected, room) = (self.bytes.len() / self.row_bytes, self.rows * self.row_bytes - self.bytes.len());
        if first_row != expected || !bytes.len().is_multiple_of(self.row_bytes) || bytes.len() > room {
            let message = format!("expected row {expected} of {}, got row {first_row}", self.rows);
            return Err(Error::internal(format!("{message} and {} bytes", bytes.len())));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// All rows are there.
    pub fn complete(&self) -> bool {
        self.bytes.len() == self.rows * self.row_bytes
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

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Row `row` in f32.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        dequantize(self.dtype, self.row_bytes(row), out);
    }

    /// `out: [tokens, rows] = x: [tokens, columns] · selfᵀ`. The result for one token does not depend on the others.
    pub fn multiply(&self, x: &Activations, scratch: &mut Scratch, out: &mut [f32]) {
        match self.dtype {
            DType::F32 | DType::F16 | DType::BF16 => self.multiply_floats(x, scratch, out),
            _ if x.tokens() < TOKENS => self.multiply_few(x, scratch, out),
            _ => self.multiply_tile(x, scratch, out),
        }
    }

    fn multiply_floats(&self, x: &Activations, scratch: &mut Scratch, out: &mut [f32]) {
        scratch.floats.resize(self.columns, 0.0);
        for r in 0..self.rows {
            self.row(r, &mut scratch.floats);
            for t in 0..x.tokens() {
                out[t * self.rows + r] = dot_f32(&scratch.floats, x.floats(t));
            }
        }
    }

    /// A tile of tokens: rows are unpacked once, side by side.
    fn multiply_tile(&self, x: &Activations, scratch: &mut Scratch, out: &mut [f32]) {
        let tokens = x.tokens();
        for first in (0..self.rows).step_by(PANELS * ROWS) {
            for (p, panel) in scratch.panels.iter_mut().enumerate() {
                for (unpacked, bytes) in scratch.unpacked[p].iter_mut().zip(self.four_rows(first + p * ROWS)) {
                    unpacked.set(self.dtype, self.columns, bytes);
                }
                panel.set::<Native>(scratch.unpacked[p].each_ref().map(Unpacked::row));
            }
            let panels = scratch.panels.each_ref();
            let mut put = |t: usize, sums: [[f32; ROWS]; PANELS]| {
                for (p, sums) in sums.into_iter().enumerate() {
                    let sums = with_offsets(sums, &scratch.unpacked[p], x.sums(t));
                    self.put(out, t, first + p * ROWS, sums);
                }
            };
            let mut t = 0;
            while t + TOKENS <= tokens {
                let sums = dot_panels::<Native, PANELS, TOKENS>(panels, std::array::from_fn(|i| x.row(t + i)));
                sums.into_iter().enumerate().for_each(|(i, sums)| put(t + i, sums));
                t += TOKENS;
            }
            for t in t..tokens {
                let [sums] = dot_panels::<Native, PANELS, 1>(panels, [x.row(t)]);
                put(t, sums);
            }
        }
    }

    /// Fewer tokens than it takes to make up for laying rows side by side.
    fn multiply_few(&self, x: &Activations, scratch: &mut Scratch, out: &mut [f32]) {
        let [unpacked, _] = &mut scratch.unpacked;
        for first in (0..self.rows).step_by(ROWS) {
            let rows = self.four_rows(first);
            let direct = matches!(self.dtype, DType::Q4_0 | DType::Q6_K);
            if !direct {
                for (unpacked, bytes) in unpacked.iter_mut().zip(rows) {
                    unpacked.set(self.dtype, self.columns, bytes);
                }
            }
            for t in 0..x.tokens() {
                let sums = match self.dtype {
                    DType::Q4_0 => dot_q4_0::<Native>(rows.map(|row| row.as_chunks().0), x.row(t), x.totals(t)),
                    DType::Q6_K => dot_q6_k::<Native>(rows.map(|row| row.as_chunks().0), x.row(t), x.totals(t)),
                    _ => {
                        let sums = dot_rows::<Native>(unpacked.each_ref().map(Unpacked::row), x.row(t));
                        with_offsets(sums, unpacked, x.sums(t))
                    }
                };
                self.put(out, t, first, sums);
            }
        }
    }

    /// Four rows from `first` on; the last one again where there are fewer.
    fn four_rows(&self, first: usize) -> [&[u8]; ROWS] {
        std::array::from_fn(|r| self.row_bytes((first + r).min(self.rows - 1)))
    }

    /// What [`Matrix::four_rows`] gave with a token: those of the sums that are of different rows.
    fn put(&self, out: &mut [f32], token: usize, first: usize, sums: [f32; ROWS]) {
        let rows = ROWS.min(self.rows.saturating_sub(first));
        if rows > 0 {
            out[token * self.rows + first..][..rows].copy_from_slice(&sums[..rows]);
        }
    }

    fn row_bytes(&self, row: usize) -> &[u8] {
        &self.bytes[row * self.row_bytes..][..self.row_bytes]
    }
}

/// Adds what a type's offsets contribute.
fn with_offsets(mut sums: [f32; ROWS], rows: &[Unpacked; ROWS], x: &[f32]) -> [f32; ROWS] {
    for (sum, row) in sums.iter_mut().zip(rows) {
        if let Some(offsets) = row.offsets() {
            *sum += dot_f32(offsets, x);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::{GgmlDType, ggml_file::qtensor_from_ggml};
    use candle_core::{Device, Tensor};

    use super::{Activations, Matrix, Scratch};
    use crate::cpu::unpack::tests::random_blocks;
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
        for dtype in DType::ALL.into_iter().filter(|d| d.block_elements() > 1) {
            let (rows, columns, tokens) = (5, 768, 7);
            let bytes = random_blocks(dtype, rows * columns, 3);
            let info = TensorInfo { name: "w".into(), dtype, shape: vec![rows, columns] };
            let mut matrix = Matrix::with_room_for(&info).expect("room");
            let (first, rest) = bytes.split_at(info.row_bytes() * 4);
            matrix.append(0, first).expect("four rows");
            matrix.append(4, rest).expect("the last row");
            assert!(matrix.complete());

            let floats: Vec<f32> = (0..tokens * columns).map(|i| (i * 7919 % 2003) as f32 / 1001.0 - 1.0).collect();
            let mut x = Activations::default();
            x.set(&floats, columns);
            let mut got = vec![0.0; tokens * rows];
            matrix.multiply(&x, &mut Scratch::default(), &mut got);

            let weights =
                qtensor_from_ggml(of_candle(dtype), &bytes, vec![rows, columns], &Device::Cpu).expect("blocks");
            let weights = weights.dequantize(&Device::Cpu).expect("f32");
            let x = Tensor::from_vec(floats, (tokens, columns), &Device::Cpu).expect("activations");
            let expected = x.matmul(&weights.t().expect("transposed")).expect("a product").flatten_all().expect("flat");
            let expected: Vec<f32> = expected.to_vec1().expect("f32");
            let error: f32 = got.iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum();
            let norm: f32 = expected.iter().map(|b| b * b).sum();
            assert!((error / norm).sqrt() < 1e-4, "{}: {:.2e}", dtype.name(), (error / norm).sqrt());
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
