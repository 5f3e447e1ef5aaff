//! How weights lie on the device: the fields of a file's blocks in separate planes, so that neighbouring lanes load
//! neighbouring words. Every bit of quantised data is kept; only its place changes.
//!
//! | plane | holds | laid out | types |
//! |---|---|---|---|
//! | 0 | low nibbles, bytes or whole numbers | `[row][block]` | all |
//! | 1 | block scales (and minima) of 4 rows | `[row/4][block]` | quantised |
//! | 2 | super-block scales of 4 rows | `[row/4][block/8]` | K-quants |
//! | 3 | upper bits | `[row][block]` | 5 and 6 bits |
//!
//! The kernels read them through `kernels/quant/*.wgsl`.

use crate::formats::{DType, ROW_GROUP};

use super::shader::Defines;

/// Planes at most.
pub const PLANES: usize = 4;

/// Elements of a block as the kernels see it, whatever the file's own block size.
pub const BLOCK: usize = 32;

/// Bytes of each plane for one group of [`ROW_GROUP`] rows of `columns` elements; 0 where there is no such plane.
pub fn group_bytes(dtype: DType, columns: usize) -> [usize; PLANES] {
    let blocks = columns / BLOCK;
    let per_block = match dtype {
        DType::F32 => [128, 0, 0, 0],
        DType::F16 | DType::BF16 => [64, 0, 0, 0],
        DType::Q4_0 => [16, 2, 0, 0],
        DType::Q4_1 => [16, 4, 0, 0],
        DType::Q5_0 => [16, 2, 0, 4],
        DType::Q5_1 => [16, 4, 0, 4],
        DType::Q8_0 => [32, 2, 0, 0],
        DType::Q4_K => [16, 2, 4, 0],
        DType::Q5_K => [16, 2, 4, 4],
        DType::Q6_K => [16, 2, 2, 8],
    };
    let mut bytes = per_block.map(|bytes| bytes * blocks * ROW_GROUP);
    bytes[2] /= 8;
    bytes
}

/// The constants that make `quant.wgsl` read this type.
pub fn defines(dtype: DType) -> Defines {
    let (quants, fifth, scales, offset) = match dtype {
        DType::F32 => ("f32", false, "scale_none", "0.0"),
        DType::F16 => ("f16", false, "scale_none", "0.0"),
        DType::BF16 => ("bf16", false, "scale_none", "0.0"),
        DType::Q4_0 => ("nibbles", false, "scale_block", "8.0"),
        DType::Q4_1 => ("nibbles", false, "scale_min", "0.0"),
        DType::Q5_0 => ("nibbles", true, "scale_block", "16.0"),
        DType::Q5_1 => ("nibbles", true, "scale_min", "0.0"),
        DType::Q8_0 => ("bytes", false, "scale_block", "0.0"),
        DType::Q4_K => ("nibbles", false, "scale_super", "0.0"),
        DType::Q5_K => ("nibbles", true, "scale_super", "0.0"),
        DType::Q6_K => ("six_bits", false, "scale_halves", "32.0"),
    };
    let (halves, mins) = (dtype == DType::Q6_K, matches!(scales, "scale_min" | "scale_super"));
    let defines = Defines::new().set("QUANTS", quants).flag("FIFTH", fifth).set("SCALES", scales).set("OFFSET", offset);
    defines.set("HALVES", if halves { 2 } else { 1 }).flag("MINS", mins)
}

/// Moves the blocks of whole rows into planes; the last group is filled up with rows of zeros.
///
/// `rows` holds `n` rows as the file has them; the result has `ceil(n / 4)` groups in every plane.
pub fn repack(dtype: DType, columns: usize, rows: &[u8]) -> [Vec<u8>; PLANES] {
    let row_bytes = columns / dtype.block_elements() * dtype.block_bytes();
    let count = rows.len() / row_bytes;
    let groups = count.div_ceil(ROW_GROUP);
    let mut planes = group_bytes(dtype, columns).map(|bytes| vec![0; bytes * groups]);
    for (row, bytes) in rows.chunks_exact(row_bytes).enumerate() {
        repack_row(dtype, columns / BLOCK, row, bytes, &mut planes);
    }
    planes
}

fn repack_row(dtype: DType, blocks: usize, row: usize, bytes: &[u8], planes: &mut [Vec<u8>; PLANES]) {
    let [quants, scales, supers, upper] = planes;
    // Where the 16 nibble bytes, the upper bits and this row's share of the group's scales lie.
    let nibbles = |b: usize| (row * blocks + b) * 16..(row * blocks + b + 1) * 16;
    let bits = |b: usize| (row * blocks + b) * 4..(row * blocks + b + 1) * 4;
    let scale = |b: usize, width: usize| {
        let at = (row / ROW_GROUP * blocks + b) * width * ROW_GROUP + row % ROW_GROUP * width;
        at..at + width
    };
    let super_scale = |s: usize, width: usize| {
        let at = (row / ROW_GROUP * (blocks / 8) + s) * width * ROW_GROUP + row % ROW_GROUP * width;
        at..at + width
    };
    let blocks_of = bytes.chunks_exact(dtype.block_bytes()).enumerate();
    match dtype {
        DType::F32 | DType::F16 | DType::BF16 => quants[row * bytes.len()..][..bytes.len()].copy_from_slice(bytes),
        DType::Q4_0 | DType::Q4_1 => {
            let head = dtype.block_bytes() - 16;
            for (b, block) in blocks_of {
                scales[scale(b, head)].copy_from_slice(&block[..head]);
                quants[nibbles(b)].copy_from_slice(&block[head..]);
            }
        }
        DType::Q5_0 | DType::Q5_1 => {
            let head = dtype.block_bytes() - 20;
            for (b, block) in blocks_of {
                scales[scale(b, head)].copy_from_slice(&block[..head]);
                upper[bits(b)].copy_from_slice(&block[head..head + 4]);
                quants[nibbles(b)].copy_from_slice(&block[head + 4..]);
            }
        }
        DType::Q8_0 => {
            for (b, block) in blocks_of {
                scales[scale(b, 2)].copy_from_slice(&block[..2]);
                for half in 0..2 {
                    let at = ((row * 2 + half) * blocks + b) * 16;
                    quants[at..at + 16].copy_from_slice(&block[2 + half * 16..][..16]);
                }
            }
        }
        DType::Q4_K | DType::Q5_K => {
            let low = dtype.block_bytes() - 128;
            for (s, block) in blocks_of {
                supers[super_scale(s, 4)].copy_from_slice(&block[..4]);
                for j in 0..8 {
                    let b = s * 8 + j;
                    scales[scale(b, 2)].copy_from_slice(&scale_and_min(&block[4..16], j));
                    let low = &block[low + j / 2 * 32..][..32];
                    fold_nibbles(&mut quants[nibbles(b)], |i| low[i] >> (j % 2 * 4) & 15);
                    if dtype == DType::Q5_K {
                        let word = (0..32).fold(0, |word, i| word | u32::from(block[16 + i] >> j & 1) << i);
                        upper[bits(b)].copy_from_slice(&word.to_le_bytes());
                    }
                }
            }
        }
        DType::Q6_K => {
            for (s, block) in blocks_of {
                let (low, high, sixteenths, d) = (&block[..128], &block[128..192], &block[192..208], &block[208..]);
                supers[super_scale(s, 2)].copy_from_slice(d);
                for j in 0..8 {
                    let b = s * 8 + j;
                    scales[scale(b, 2)].copy_from_slice(&sixteenths[j * 2..j * 2 + 2]);
                    // Within each half of 128: quarter q has its nibbles in bytes 32·(q % 2).. and its bits at 2q.
                    let (half, quarter) = (j / 4, j % 4);
                    let low = &low[half * 64 + quarter % 2 * 32..][..32];
                    let high = &high[half * 32..][..32];
                    fold_nibbles(&mut quants[nibbles(b)], |i| low[i] >> (quarter / 2 * 4) & 15);
                    let out = &mut upper[(row * blocks + b) * 8..][..8];
                    for i in 0..32 {
                        out[i / 16 * 4 + i % 4] |= (high[i] >> (quarter * 2) & 3) << (i % 16 / 4 * 2);
                    }
                }
            }
        }
    }
}

/// Byte i = element i | element 16 + i << 4.
fn fold_nibbles(out: &mut [u8], nibble: impl Fn(usize) -> u8) {
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = nibble(i) | nibble(16 + i) << 4;
    }
}

/// The 6-bit scale and minimum of sub-block `j` out of the 12 bytes of a Q4_K or Q5_K block
/// (source: `get_scale_min_k4` in ggml's `ggml-quants.c`).
fn scale_and_min(packed: &[u8], j: usize) -> [u8; 2] {
    if j < 4 {
        [packed[j] & 63, packed[j + 4] & 63]
    } else {
        [packed[j + 4] & 15 | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4]
    }
}
