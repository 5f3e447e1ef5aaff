//! What a helper thread holds and does: some rows of every matrix, and their products.

use std::ops::Range;

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
    products: Vec<f32>,
}

/// What is asked of a helper, in the pieces that it can be told not to compute: where in `wanted` a matrix stands, and which of
/// the rows that are wanted of it. With many tokens a piece has fewer rows, since somebody may wait for it.
pub fn pieces(wanted: &[[u32; 2]], tokens: usize) -> Vec<(usize, Range<usize>)> {
    let rows = if tokens == 1 { 64 } else { 16 };
    let of_one = |(index, &[_, count]): (usize, &[u32; 2])| {
        let count = count as usize;
        (0..count).step_by(rows).map(move |start| (index, start..count.min(start + rows)))
    };
    wanted.iter().enumerate().flat_map(of_one).collect()
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
    /// `[number, count]`: one `[tokens, count]` after the other. They are computed piece by piece, the last first; from the first
    /// for which `begin` says no on, nothing that is meant is there.
    pub fn multiply(&mut self, wanted: &[[u32; 2]], x: Vec<f32>, mut begin: impl FnMut() -> bool) -> Result<&[f32]> {
        let Some(&[first, _]) = wanted.first() else { return Ok(&[]) };
        let columns = self.matrices.get(first as usize).ok_or_else(|| unknown(first as usize))?.columns();
        self.x.take(x, columns);
        self.x.quantize();
        let tokens = self.x.tokens();
        self.products.resize(tokens * wanted.iter().map(|[_, count]| *count as usize).sum::<usize>(), 0.0);
        for (index, rows) in pieces(wanted, tokens).into_iter().rev() {
            if !begin() {
                break;
            }
            let ([number, count], before) = (wanted[index].map(|n| n as usize), &wanted[..index]);
            let matrix = self.matrices.get(number);
            let matrix = matrix.filter(|m| m.complete() && m.columns() == columns && m.rows() >= count);
            let matrix = matrix.ok_or_else(|| unknown(number))?;
            let first = tokens * before.iter().map(|[_, count]| *count as usize).sum::<usize>();
            let (held, out) = (matrix.rows() - count, &mut self.products[first + rows.start..]);
            matrix.multiply(held + rows.start..held + rows.end, &self.x, &mut self.scratch, count, out);
        }
        Ok(&self.products)
    }
}

fn unknown(number: usize) -> Error {
    Error::internal(format!("no such rows of matrix {number}"))
}
