//! Weight files as data: bytes are pushed in, tensors come out in file order, and no file is ever held whole.

pub mod catalogue;
pub mod gguf;
mod metadata;
pub mod quant;
mod rows;
pub mod safetensors;

use crate::error::Result;
pub use metadata::{Metadata, Value};
pub use quant::DType;
pub use rows::PlacedTensor;
pub(crate) use rows::truncated;

/// One tensor as a file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name inside the file.
    pub name: String,
    /// How its elements are stored.
    pub dtype: DType,
    /// Extents, outermost first: a matrix is `[rows, columns]`, a vector `[columns]`.
    pub shape: Vec<usize>,
}

impl TensorInfo {
    /// Product of all extents but the last; 1 for a vector.
    pub fn rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }

    /// The innermost extent, contiguous in the file.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.columns() / self.dtype.block_elements() * self.dtype.block_bytes()
    }

    /// Bytes of the whole tensor.
    pub fn bytes(&self) -> usize {
        self.rows() * self.row_bytes()
    }
}

/// Takes the rows of tensors as they arrive, in file order.
///
/// Called with `first_row` ascending within a tensor and without gaps; `bytes` holds whole rows, a multiple of
/// [`ROW_GROUP`] of them except at the end of a tensor.
pub type OnRows<'a> = dyn FnMut(&TensorInfo, usize, &[u8]) -> Result<()> + 'a;

/// Rows travel in multiples of this many, because the device's layouts interleave the scales of this many rows.
pub const ROW_GROUP: usize = 4;
