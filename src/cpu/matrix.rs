//! A weight matrix as the file holds it, its rows in f32, and its product with activations.

use std::ops::Range;

use super::activations::Activations;
use super::kernels::{dot, dot_f32, dot_q4_0, dot4};
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
    /// The number by which helpers know it.
    pub number: Option<u32>,
}

/// Rows being unpacked; reused by all products.
#[derive(Default)]
pub struct Scratch {
    unpacked: Unpacked,
    floats: Vec<f32>,
}

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
            number: None,
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

    /// `out: [tokens, wanted.len()] = x: [tokens, columns] · selfᵀ` for the rows `wanted`, a token's results `stride` after
    /// those of the token before. A result depends neither on the other tokens nor on the other rows.
    pub fn multiply(
        &self,
        wanted: Range<usize>,
        x: &Activations,
        scratch: &mut Scratch,
        stride: usize,
        out: &mut [f32],
    ) {
        let tokens = x.tokens();
        match self.dtype {
            DType::F32 | DType::F16 | DType::BF16 => {
                scratch.floats.resize(self.columns, 0.0);
                for (r, row) in wanted.enumerate() {
                    self.row(row, &mut scratch.floats);
                    for t in 0..tokens {
                        out[t * stride + r] = dot_f32(&scratch.floats, x.floats(t));
                    }
                }
            }
            DType::Q4_0 if tokens == 1 => {
                for (row, out) in wanted.zip(out) {
                    *out = dot_q4_0(self.row_bytes(row).as_chunks().0, x.row(0));
                }
            }
            _ => {
                for (r, row) in wanted.enumerate() {
                    scratch.unpacked.set(self.dtype, self.columns, self.row_bytes(row));
                    let weights = scratch.unpacked.row();
                    let mut t = 0;
                    while t + 4 <= tokens {
                        let sums = dot4(weights, [x.row(t), x.row(t + 1), x.row(t + 2), x.row(t + 3)]);
                        for (i, sum) in sums.into_iter().enumerate() {
                            out[(t + i) * stride + r] = sum;
                        }
                        t += 4;
                    }
                    while t < tokens {
                        out[t * stride + r] = dot(weights, x.row(t));
                        t += 1;
                    }
                    if let Some(offsets) = scratch.unpacked.offsets() {
                        for t in 0..tokens {
                            out[t * stride + r] += dot_f32(offsets, x.sums(t));
                        }
                    }
                }
            }
        }
    }

    fn row_bytes(&self, row: usize) -> &[u8] {
        &self.bytes[row * self.row_bytes..][..self.row_bytes]
    }
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
            matrix.multiply(0..rows, &x, &mut Scratch::default(), rows, &mut got);

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
