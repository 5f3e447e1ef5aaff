//! What a helper thread holds and does: some rows of every matrix, and their products.

use super::activations::Activations;
use super::matrix::{Matrix, Scratch};
use crate::error::{Error, Result};
use crate::formats::TensorInfo;

/// Some rows of each of a model's matrices.
#[derive(Default)]
pub struct Helper {
    matrices: Vec<Matrix>,
    x: Activations,
    scratch: Scratch,
}

impl Helper {
    /// Bytes of the rows it holds of the matrix `number`, in order; matrices are numbered as they come, and `tensor` says
    /// what a new one will hold.
    pub fn take(&mut self, number: usize, tensor: &TensorInfo, bytes: &[u8]) -> Result<()> {
        if number == self.matrices.len() {
            self.matrices.push(Matrix::with_room_for(tensor)?);
        }
        let matrix = self.matrices.get_mut(number).ok_or_else(|| unknown(number))?;
        matrix.append(matrix.filled(), bytes)
    }

    /// Products of `x: [tokens, columns]` with the last `count` rows held of every matrix that `wanted` names as
    /// `[number, count]`: one `[tokens, count]` after the other.
    pub fn multiply(&mut self, wanted: &[[u32; 2]], x: &[f32]) -> Result<Vec<f32>> {
        let Some(&[first, _]) = wanted.first() else { return Ok(Vec::new()) };
        let columns = self.matrices.get(first as usize).ok_or_else(|| unknown(first as usize))?.columns();
        self.x.set(x, columns);
        self.x.quantize();
        let mut products = vec![0.0; self.x.tokens() * wanted.iter().map(|[_, count]| *count as usize).sum::<usize>()];
        let mut rest = &mut products[..];
        for &[number, count] in wanted {
            let (matrix, count) = (self.matrices.get(number as usize), count as usize);
            let matrix = matrix.filter(|m| m.complete() && m.columns() == columns && m.rows() >= count);
            let matrix = matrix.ok_or_else(|| unknown(number as usize))?;
            let (out, after) = rest.split_at_mut(self.x.tokens() * count);
            matrix.multiply(matrix.rows() - count..matrix.rows(), &self.x, &mut self.scratch, count, out);
            rest = after;
        }
        Ok(products)
    }
}

fn unknown(number: usize) -> Error {
    Error::internal(format!("no such rows of matrix {number}"))
}
