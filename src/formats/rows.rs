//! The data section of any weight file: where each tensor lies, and its rows in file order.

use std::collections::HashSet;

use super::{OnRows, ROW_GROUP, TensorInfo};
use crate::error::{Error, Result};

/// Bytes delivered at once, at most, as long as [`ROW_GROUP`] rows fit in them.
const PIECE_BYTES: usize = 1 << 20;

/// A tensor and its place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedTensor {
    /// What it is.
    pub info: TensorInfo,
    /// First byte, from the beginning of the file.
    pub start: u64,
}

impl PlacedTensor {
    /// A tensor of non-empty `shape` (outermost first), checked: whole blocks in a row, and a size and an end that can be
    /// computed with on this machine.
    pub fn new(info: TensorInfo, start: u64) -> Result<Self> {
        let TensorInfo { name, dtype, shape } = &info;
        let block = dtype.block_elements();
        let refuse = |problem: &str| Err(Error::malformed(format!("tensor {name:?} of shape {shape:?} {problem}")));
        if !info.columns().is_multiple_of(block) {
            return refuse(&format!("is {}, whose rows must be multiples of {block}", dtype.name()));
        }
        if shape.contains(&0) {
            return refuse("has no elements");
        }
        let bytes =
            shape.iter().try_fold(1usize, |product, extent| product.checked_mul(*extent)).and_then(|elements| {
                // The extent in bytes, and in elements of four bytes, must both be addressable.
                elements.checked_mul(4)?;
                (elements / block).checked_mul(dtype.block_bytes())
            });
        match bytes.and_then(|bytes| start.checked_add(bytes as u64)) {
            Some(_) => Ok(Self { info, start }),
            None => refuse("is larger than this machine can address"),
        }
    }

    /// One past its last byte, from the beginning of the file.
    pub fn end(&self) -> u64 {
        self.start + self.info.bytes() as u64
    }
}

/// Sorts tensors by their place; refuses names that occur twice and tensors that share bytes.
pub fn in_file_order(mut tensors: Vec<PlacedTensor>) -> Result<Vec<PlacedTensor>> {
    let mut names = HashSet::with_capacity(tensors.len());
    if let Some(twice) = tensors.iter().find(|tensor| !names.insert(tensor.info.name.as_str())) {
        return Err(Error::malformed(format!("tensor {:?} is in the file twice", twice.info.name)));
    }
    tensors.sort_by_key(|tensor| tensor.start);
    for pair in tensors.windows(2) {
        if pair[1].start < pair[0].end() {
            return Err(Error::malformed(format!(
                "tensors {:?} (bytes {} to {}) and {:?} (from byte {}) overlap",
                pair[0].info.name,
                pair[0].start,
                pair[0].end(),
                pair[1].info.name,
                pair[1].start
            )));
        }
    }
    Ok(tensors)
}

/// Cuts the bytes after a header into rows; holds less than one piece.
pub struct RowStream {
    tensors: Vec<PlacedTensor>,
    /// The tensor being received.
    current: usize,
    /// Rows of it already delivered.
    delivered: usize,
    /// The next byte, from the beginning of the file.
    position: u64,
    /// The beginning of the next piece.
    pending: Vec<u8>,
}

impl RowStream {
    /// Takes over at `position`; `tensors` as [`in_file_order`] leaves them.
    pub fn new(tensors: Vec<PlacedTensor>, position: u64) -> Self {
        Self { tensors, current: 0, delivered: 0, position, pending: Vec::new() }
    }

    /// The tensors, in file order.
    pub fn tensors(&self) -> &[PlacedTensor] {
        &self.tensors
    }

    /// Takes the next bytes. The pieces delivered do not depend on how the bytes were cut; those after the last tensor
    /// are ignored.
    pub fn push(&mut self, mut bytes: &[u8], on_rows: &mut OnRows) -> Result<()> {
        while let Some(tensor) = self.tensors.get(self.current).filter(|_| !bytes.is_empty()) {
            if self.position < tensor.start {
                let gap = (tensor.start - self.position).min(bytes.len() as u64);
                self.position += gap;
                bytes = &bytes[gap as usize..];
                continue;
            }
            let (rows, row_bytes) = (tensor.info.rows(), tensor.info.row_bytes());
            let piece_rows =
                (PIECE_BYTES / row_bytes / ROW_GROUP * ROW_GROUP).max(ROW_GROUP).min(rows - self.delivered);
            let piece_bytes = piece_rows * row_bytes;
            let taken = (piece_bytes - self.pending.len()).min(bytes.len());
            let (head, rest) = bytes.split_at(taken);
            if taken == piece_bytes {
                on_rows(&tensor.info, self.delivered, head)?;
            } else {
                self.pending.extend_from_slice(head);
                if self.pending.len() == piece_bytes {
                    on_rows(&tensor.info, self.delivered, &self.pending)?;
                    self.pending.clear();
                }
            }
            bytes = rest;
            self.position += taken as u64;
            if self.pending.is_empty() {
                self.delivered += piece_rows;
            }
            if self.delivered == rows {
                (self.current, self.delivered) = (self.current + 1, 0);
            }
        }
        self.position = self.position.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// An error if a tensor is not complete.
    pub fn finish(&self) -> Result<()> {
        match self.tensors.get(self.current) {
            None => Ok(()),
            Some(tensor) => Err(truncated(format!(
                "the file ends at byte {}, but tensor {:?} needs bytes {} to {}",
                self.position,
                tensor.info.name,
                tensor.start,
                tensor.end()
            ))),
        }
    }
}

/// A file that ends too early.
pub fn truncated(message: impl Into<String>) -> Error {
    Error::malformed(message).hint("the file is incomplete: download it again")
}

/// What a file is that begins with `bytes` instead of a header, where that can be told; for hints.
pub(super) fn resembles(bytes: &[u8]) -> &'static str {
    let text = bytes.trim_ascii_start();
    if text.starts_with(b"<") {
        "this is a web page, not a model: open its address in a browser to see what the server says"
    } else if bytes.starts_with(b"version https://git-lfs") {
        "this is a Git LFS pointer, not the file itself: take the address that serves the file"
    } else if [b"ggml", b"ggjt", b"ggmf", b"ggla", b"lmgg", b"tjgg", b"fmgg"].iter().any(|m| bytes.starts_with(*m)) {
        "this is a file of the time before GGUF: take a newer one"
    } else if bytes.starts_with(b"PK") {
        "this is a ZIP archive (a PyTorch checkpoint?): take a .gguf or .safetensors file"
    } else if bytes.starts_with(b"GGUF") {
        "this is a GGUF file: load it as such"
    } else if bytes.get(8) == Some(&b'{') {
        "this looks like safetensors: load its folder"
    } else {
        "take a .gguf file, or a folder of .safetensors"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::DType;

    fn tensor(name: &str, dtype: DType, shape: &[usize], start: u64) -> PlacedTensor {
        PlacedTensor::new(TensorInfo { name: name.into(), dtype, shape: shape.into() }, start).unwrap()
    }

    /// What was delivered: tensor, first row, bytes.
    fn deliver(tensors: &[PlacedTensor], file: &[u8], chunk: usize) -> Vec<(String, usize, Vec<u8>)> {
        let mut got = Vec::new();
        let mut stream = RowStream::new(in_file_order(tensors.to_vec()).unwrap(), 0);
        for bytes in file.chunks(chunk) {
            stream
                .push(bytes, &mut |t, row, bytes| {
                    got.push((t.name.clone(), row, bytes.to_vec()));
                    Ok(())
                })
                .unwrap();
        }
        stream.finish().unwrap();
        got
    }

    #[test]
    fn pieces_are_groups_of_rows_whatever_the_chunks() {
        // A row of 100,000 f32 is 400 kB: four of them are the smallest piece. The matrix ends in a group of two rows.
        let tensors = [
            tensor("matrix", DType::F32, &[6, 100_000], 64),
            tensor("vector", DType::F16, &[28], 8),
            tensor("blocks", DType::Q8_0, &[9, 64], 2_400_100),
        ];
        let file: Vec<u8> = (0..2_400_100 + 9 * 68 + 10).map(|i| (i * 31 % 251) as u8).collect();
        let whole = deliver(&tensors, &file, usize::MAX);
        let places: Vec<_> = whole.iter().map(|(name, row, bytes)| (name.as_str(), *row, bytes.len())).collect();
        assert_eq!(
            places,
            [("vector", 0, 56), ("matrix", 0, 1_600_000), ("matrix", 4, 800_000), ("blocks", 0, 612)],
            "file order, whole groups"
        );
        assert_eq!(whole[1].2, file[64..1_600_064]);
        for chunk in [1, 7, 4096, 1_000_003] {
            assert!(deliver(&tensors, &file, chunk) == whole, "chunks of {chunk}");
        }
    }

    #[test]
    fn a_missing_last_byte_is_reported_with_its_tensor() {
        let mut stream = RowStream::new(vec![tensor("w", DType::F16, &[4, 2], 8)], 0);
        stream.push(&[0; 23], &mut |_, _, _| panic!("an incomplete group")).unwrap();
        let error = stream.finish().unwrap_err();
        assert!(error.message.contains("byte 23") && error.message.contains("8 to 24"), "{error}");
    }

    #[test]
    fn sizes_nobody_can_hold_are_errors() {
        let info = |shape: &[usize]| TensorInfo { name: "w".into(), dtype: DType::F32, shape: shape.into() };
        assert!(PlacedTensor::new(info(&[usize::MAX, usize::MAX]), 0).is_err());
        assert!(PlacedTensor::new(info(&[usize::MAX / 4 + 1]), 0).is_err());
        assert!(PlacedTensor::new(info(&[4]), u64::MAX - 15).is_err());
        assert!(PlacedTensor::new(info(&[4, 0]), 0).is_err());
        assert!(PlacedTensor::new(info(&[4]), u64::MAX - 16).is_ok());
    }
}
