//! Block layouts of GGML's quantised types and their exact dequantisation (source: ggml's `ggml-common.h`, `ggml-quants.c`).

use half::{bf16, f16};

use crate::error::{Error, Result};

/// How the elements of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, non_camel_case_types, reason = "the names are GGML's own")]
pub enum DType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4_K,
    Q5_K,
    Q6_K,
}

impl DType {
    /// Every supported type.
    pub const ALL: [DType; 11] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
    ];

    /// The name GGML gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4_K => "Q4_K",
            Self::Q5_K => "Q5_K",
            Self::Q6_K => "Q6_K",
        }
    }

    /// Whether it is made of blocks, and not of numbers.
    pub fn is_quantised(self) -> bool {
        !matches!(self, Self::F32 | Self::F16 | Self::BF16)
    }

    /// Elements of one block: 1, 32 or 256.
    pub fn block_elements(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_K | Self::Q5_K | Self::Q6_K => 256,
            _ => 32,
        }
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
        }
    }

    /// The type behind GGML's number; `unsupported-model` for one this engine does not read, by name where it has one.
    pub fn from_ggml(number: u32) -> Result<Self> {
        Ok(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4_K,
            13 => Self::Q5_K,
            14 => Self::Q6_K,
            30 => Self::BF16,
            _ => {
                let came = UNREAD.iter().find(|(n, _)| *n == number).map_or("unknown", |(_, name)| name);
                let read = Self::ALL.map(Self::name).join(", ");
                return Err(Error::unsupported(format!("tensor type {came} (number {number}) is not supported"))
                    .hint(format!("take a file quantised to one of {read}")));
            }
        })
    }
}

/// Types GGML has, or had, that this engine does not read (ggml `ggml.h`, `enum ggml_type`).
const UNREAD: [(u32, &str); 31] = [
    (4, "Q4_2"),
    (5, "Q4_3"),
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

/// Writes the values of whole blocks, bit for bit those of the `gguf` Python package: products and sums are single f32
/// operations in that package's order.
///
/// # Panics
/// When `bytes` is not whole blocks, or `out` does not have exactly their elements.
pub fn dequantize(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    let (block_bytes, block_elements) = (dtype.block_bytes(), dtype.block_elements());
    assert!(
        bytes.len().is_multiple_of(block_bytes) && bytes.len() / block_bytes * block_elements == out.len(),
        "{} bytes of {} do not hold {} elements",
        bytes.len(),
        dtype.name(),
        out.len()
    );
    let block = match dtype {
        DType::F32 => |b: &[u8], y: &mut [f32]| y[0] = f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
        DType::F16 => |b: &[u8], y: &mut [f32]| y[0] = half(b),
        DType::BF16 => |b: &[u8], y: &mut [f32]| y[0] = bf16::from_le_bytes([b[0], b[1]]).to_f32(),
        DType::Q4_0 => q4_0,
        DType::Q4_1 => q4_1,
        DType::Q5_0 => q5_0,
        DType::Q5_1 => q5_1,
        DType::Q8_0 => q8_0,
        DType::Q4_K => q4_k,
        DType::Q5_K => q5_k,
        DType::Q6_K => q6_k,
    };
    for (b, y) in bytes.chunks_exact(block_bytes).zip(out.chunks_exact_mut(block_elements)) {
        block(b, y);
    }
}

fn half(b: &[u8]) -> f32 {
    f16::from_le_bytes([b[0], b[1]]).to_f32()
}

/// `d: f16, qs: [u8; 16]`; element `i` is the low half of `qs[i]`, element `i + 16` the high half.
fn q4_0(b: &[u8], y: &mut [f32]) {
    let d = half(b);
    for (i, q) in b[2..].iter().enumerate() {
        y[i] = d * ((q & 15) as i32 - 8) as f32;
        y[i + 16] = d * ((q >> 4) as i32 - 8) as f32;
    }
}

/// `d: f16, m: f16, qs: [u8; 16]`.
fn q4_1(b: &[u8], y: &mut [f32]) {
    let (d, m) = (half(b), half(&b[2..]));
    for (i, q) in b[4..].iter().enumerate() {
        y[i] = d * (q & 15) as f32 + m;
        y[i + 16] = d * (q >> 4) as f32 + m;
    }
}

/// The five-bit numbers of a block of 32: bit 4 of element `i` is bit `i` of `high`.
fn five_bits(high: &[u8], low: &[u8], i: usize) -> i32 {
    let nibble = if i < 16 { low[i] & 15 } else { low[i - 16] >> 4 };
    (nibble | (high[i / 8] >> (i % 8) & 1) << 4) as i32
}

/// `d: f16, qh: u32, qs: [u8; 16]`.
fn q5_0(b: &[u8], y: &mut [f32]) {
    let d = half(b);
    for (i, y) in y.iter_mut().enumerate() {
        *y = d * (five_bits(&b[2..6], &b[6..], i) - 16) as f32;
    }
}

/// `d: f16, m: f16, qh: u32, qs: [u8; 16]`.
fn q5_1(b: &[u8], y: &mut [f32]) {
    let (d, m) = (half(b), half(&b[2..]));
    for (i, y) in y.iter_mut().enumerate() {
        *y = d * five_bits(&b[4..8], &b[8..], i) as f32 + m;
    }
}

/// `d: f16, qs: [i8; 32]`.
fn q8_0(b: &[u8], y: &mut [f32]) {
    let d = half(b);
    for (y, q) in y.iter_mut().zip(&b[2..]) {
        *y = d * (*q as i8) as f32;
    }
}

/// Scale and minimum of sub-block `j` of 8: six bits each, packed into twelve bytes.
pub(crate) fn scale_min(s: &[u8], j: usize) -> (f32, f32) {
    let (scale, min) = if j < 4 {
        (s[j] & 63, s[j + 4] & 63)
    } else {
        (s[j + 4] & 15 | s[j - 4] >> 2 & 48, s[j + 4] >> 4 | s[j] >> 2 & 48)
    };
    (scale as f32, min as f32)
}

/// `d: f16, dmin: f16, scales: [u8; 12], qs: [u8; 128]`; sub-blocks `2k` and `2k + 1` are the halves of `qs[32k..]`.
fn q4_k(b: &[u8], y: &mut [f32]) {
    let (d, dmin) = (half(b), half(&b[2..]));
    for (j, y) in y.chunks_exact_mut(32).enumerate() {
        let (scale, min) = scale_min(&b[4..16], j);
        let (d, m) = (d * scale, dmin * min);
        for (y, q) in y.iter_mut().zip(&b[16 + j / 2 * 32..]) {
            *y = d * (q >> (j % 2 * 4) & 15) as f32 - m;
        }
    }
}

/// As Q4_K with `qh: [u8; 32]` before `qs`; bit `j` of `qh[i]` is bit 4 of element `i` of sub-block `j`.
fn q5_k(b: &[u8], y: &mut [f32]) {
    let (d, dmin) = (half(b), half(&b[2..]));
    for (j, y) in y.chunks_exact_mut(32).enumerate() {
        let (scale, min) = scale_min(&b[4..16], j);
        let (d, m) = (d * scale, dmin * min);
        for ((y, q), high) in y.iter_mut().zip(&b[48 + j / 2 * 32..]).zip(&b[16..48]) {
            *y = d * (q >> (j % 2 * 4) & 15 | (high >> j & 1) << 4) as f32 - m;
        }
    }
}

/// `ql: [u8; 128], qh: [u8; 64], scales: [i8; 16], d: f16`; a scale covers 16 elements, 128 elements share 64 bytes of
/// `ql` (low halves first) and 32 of `qh` (two bits each).
fn q6_k(b: &[u8], y: &mut [f32]) {
    let (ql, qh, scales, d) = (&b[..128], &b[128..192], &b[192..208], half(&b[208..]));
    for (i, y) in y.iter_mut().enumerate() {
        let (half, within) = (i / 128, i % 128);
        let low = ql[half * 64 + within % 64] >> (within / 64 * 4) & 15;
        let high = qh[half * 32 + within % 32] >> (within / 32 * 2) & 3;
        let q = (low | high << 4) as i32 - 32;
        *y = d * (scales[i / 16] as i8) as f32 * q as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/fixtures/quant.py` made the files: random and extreme blocks, and what the `gguf` package makes of them.
    #[test]
    fn every_type_is_bit_equal_to_the_gguf_package() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/quant");
        for dtype in DType::ALL {
            let read = |end: &str| std::fs::read(format!("{folder}/{}.{end}", dtype.name())).expect("the fixture");
            let (blocks, expected) = (read("blocks"), read("f32"));
            let mut values = vec![0.0; blocks.len() / dtype.block_bytes() * dtype.block_elements()];
            dequantize(dtype, &blocks, &mut values);
            assert_eq!(values.len() * 4, expected.len(), "{}", dtype.name());
            for (i, (value, bytes)) in values.iter().zip(expected.chunks_exact(4)).enumerate() {
                let bits = u32::from_le_bytes(bytes.try_into().unwrap());
                assert_eq!(
                    value.to_bits(),
                    bits,
                    "{} element {i}: {value} instead of {}",
                    dtype.name(),
                    f32::from_bits(bits)
                );
            }
        }
    }

    #[test]
    fn a_type_that_is_not_read_is_refused_by_name() {
        let error = DType::from_ggml(10).unwrap_err();
        assert_eq!(error.kind.code(), "unsupported-model");
        assert!(error.message.contains("Q2_K") && error.hint.contains("Q6_K"), "{error}");
        assert!(DType::from_ggml(u32::MAX).unwrap_err().message.contains("4294967295"));
    }
}
