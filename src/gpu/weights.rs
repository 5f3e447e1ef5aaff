//! Weights on the device: matrices arrive row by row, are repacked into planes and written; neighbours are fused.

use super::device::{Binding, Device};
use super::planes::{BLOCK, PLANES, group_bytes, repack};
use crate::formats::{DType, ROW_GROUP, TensorInfo};

/// A matrix on the device, cut by rows where one binding could not hold it.
pub struct Matrix {
    /// The type of its weights.
    pub dtype: DType,
    /// Rows, not counting those that fill up the last group.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// The pieces, in row order.
    pub shards: Vec<Shard>,
}

/// Consecutive rows of a matrix in one buffer of planes.
pub struct Shard {
    /// The first row of the matrix that is here.
    pub first_row: usize,
    /// Rows here.
    pub rows: usize,
    buffer: wgpu::Buffer,
    /// Byte range of each plane; empty where there is none.
    planes: [std::ops::Range<u64>; PLANES],
}

impl Shard {
    fn new(device: &Device, dtype: DType, columns: usize, first_row: usize, rows: usize) -> Self {
        let groups = rows.div_ceil(ROW_GROUP);
        let alignment = device.limits().min_storage_buffer_offset_alignment.max(16) as u64;
        let mut end = 0u64;
        let planes = group_bytes(dtype, columns).map(|bytes| {
            let start = end.next_multiple_of(alignment);
            end = start + (bytes * groups) as u64;
            start..end
        });
        let buffer = device.storage("weights", end as usize);
        Self { first_row, rows, buffer, planes }
    }

    /// Groups of rows here.
    pub fn groups(&self) -> usize {
        self.rows.div_ceil(ROW_GROUP)
    }

    /// Bindings 0..4: the planes.
    pub fn bindings(&self) -> Vec<Binding<'_>> {
        let bind = |(plane, range): (usize, &std::ops::Range<u64>)| {
            let size = std::num::NonZero::new(range.end - range.start)?;
            let binding = wgpu::BufferBinding { buffer: &self.buffer, offset: range.start, size: Some(size) };
            Some((plane as u32, wgpu::BindingResource::Buffer(binding)))
        };
        self.planes.iter().enumerate().filter_map(bind).collect()
    }
}

impl Matrix {
    /// Room for a matrix of this type and shape.
    pub fn new(device: &Device, dtype: DType, rows: usize, columns: usize) -> Self {
        let limits = device.limits();
        let groups = group_bytes(dtype, columns);
        let by_binding = limits.max_storage_buffer_binding_size / groups.iter().copied().max().unwrap_or(1) as u64;
        let by_buffer = (limits.max_buffer_size - 4096) / groups.iter().sum::<usize>() as u64;
        // Whole groups, and so many of them that a grid of one workgroup a group is never exceeded either.
        let most = by_binding.min(by_buffer) as usize * ROW_GROUP;
        let mut shards = Vec::new();
        let mut first_row = 0;
        while first_row < rows {
            let here = most.min(rows - first_row);
            shards.push(Shard::new(device, dtype, columns, first_row, here));
            first_row += here;
        }
        Self { dtype, rows, columns, shards }
    }

    /// Writes whole rows as the file has them, and gives their number; `first_row` is a multiple of [`ROW_GROUP`].
    pub fn write(&self, device: &Device, first_row: usize, bytes: &[u8]) -> usize {
        let row_bytes = self.columns / self.dtype.block_elements() * self.dtype.block_bytes();
        let group_bytes = group_bytes(self.dtype, self.columns);
        for shard in &self.shards {
            let start = first_row.max(shard.first_row);
            let end = (first_row + bytes.len() / row_bytes).min(shard.first_row + shard.rows);
            if start >= end {
                continue;
            }
            let rows = &bytes[(start - first_row) * row_bytes..(end - first_row) * row_bytes];
            let group = ((start - shard.first_row) / ROW_GROUP) as u64;
            for (plane, data) in repack(self.dtype, self.columns, rows).iter().enumerate() {
                if !data.is_empty() {
                    let offset = shard.planes[plane].start + group * group_bytes[plane] as u64;
                    device.queue.write_buffer(&shard.buffer, offset, data);
                }
            }
        }
        bytes.len() / row_bytes
    }

    /// One matrix with the rows of all parts, in order, copied on the device. The parts must have the same type and
    /// row length, and all but the last a multiple of [`ROW_GROUP`] rows.
    pub fn stack(device: &Device, parts: &[&Matrix]) -> Matrix {
        let (dtype, columns) = (parts[0].dtype, parts[0].columns);
        let whole = Matrix::new(device, dtype, parts.iter().map(|part| part.rows).sum(), columns);
        let bytes = group_bytes(dtype, columns);
        let mut encoder = device.encoder();
        let mut row = 0;
        for part in parts {
            for from in &part.shards {
                for to in &whole.shards {
                    let (from_row, to_row) = (row + from.first_row, to.first_row);
                    let start = from_row.max(to_row);
                    let end = (from_row + from.rows).min(to_row + to.rows);
                    if start >= end {
                        continue;
                    }
                    for plane in (0..PLANES).filter(|&plane| bytes[plane] > 0) {
                        let at = |shard: &Shard, rows: usize| {
                            shard.planes[plane].start + (rows / ROW_GROUP * bytes[plane]) as u64
                        };
                        let size = ((end - start).div_ceil(ROW_GROUP) * bytes[plane]) as u64;
                        let (source, target) = (at(from, start - from_row), at(to, start - to_row));
                        encoder.copy_buffer_to_buffer(&from.buffer, source, &to.buffer, target, size);
                    }
                }
            }
            row += part.rows;
        }
        device.queue.submit([encoder.finish()]);
        whole
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.buffer.size()).sum()
    }

    /// The matrix a tensor needs.
    pub fn for_tensor(device: &Device, tensor: &TensorInfo) -> Self {
        debug_assert!(tensor.columns().is_multiple_of(BLOCK), "Config allows only whole blocks");
        Self::new(device, tensor.dtype, tensor.rows(), tensor.columns())
    }
}
