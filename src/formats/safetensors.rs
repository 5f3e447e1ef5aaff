//! Safetensors as a stream (specification: huggingface/safetensors `README.md`).

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::rows::{PlacedTensor, RowStream, in_file_order, resembles, truncated};
use super::{DType, OnRows, TensorInfo};
use crate::error::{Error, Result};

/// The format's own limit.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// The length of the header stands before it.
const LENGTH_BYTES: usize = 8;

/// One `.safetensors` file: pushed bytes in, rows out. Holds the header and less than one piece of rows.
#[derive(Default)]
pub struct Stream {
    header: Vec<u8>,
    metadata: BTreeMap<String, String>,
    rows: Option<RowStream>,
}

impl Stream {
    /// A stream at the beginning of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the bytes of the header and returns those after it: a caller who must act on the header before the first
    /// row calls this first, then [`Stream::push`] with what is left.
    pub fn push_header<'a>(&mut self, mut bytes: &'a [u8]) -> Result<&'a [u8]> {
        while self.rows.is_none() {
            let wanted = match self.header.first_chunk::<LENGTH_BYTES>() {
                None => LENGTH_BYTES,
                Some(length) => {
                    let length = u64::from_le_bytes(*length);
                    if length > MAX_HEADER_BYTES {
                        return Err(Error::malformed(format!(
                            "expected a safetensors file, got one that begins with \"{}\"",
                            self.header[..LENGTH_BYTES].escape_ascii()
                        ))
                        .hint(resembles(&self.header)));
                    }
                    if self.header.get(LENGTH_BYTES).is_some_and(|first| *first != b'{') {
                        return Err(Error::malformed("the header of this safetensors file is not a JSON object"));
                    }
                    LENGTH_BYTES + length as usize
                }
            };
            let (head, rest) = bytes.split_at(bytes.len().min(wanted - self.header.len()));
            self.header.extend_from_slice(head);
            bytes = rest;
            if self.header.len() < wanted {
                return Ok(&[]);
            }
            if wanted > LENGTH_BYTES {
                self.parse()?;
            } else if self.header[..LENGTH_BYTES] == [0; LENGTH_BYTES] {
                return Err(Error::malformed("the header of this safetensors file is empty"));
            }
        }
        Ok(bytes)
    }

    fn parse(&mut self) -> Result<()> {
        let header = std::mem::take(&mut self.header);
        let Header { metadata, tensors } = serde_json::from_slice(&header[LENGTH_BYTES..])
            .map_err(|error| Error::malformed(format!("the header of this safetensors file is broken: {error}")))?;
        let base = header.len() as u64;
        let mut placed = Vec::new();
        for (name, Entry { dtype, shape, data_offsets: [begin, end] }) in tensors {
            let dtype = match dtype.as_str() {
                "F32" => DType::F32,
                "F16" => DType::F16,
                "BF16" => DType::BF16,
                _ => {
                    return Err(Error::unsupported(format!("tensor {name:?}: type {dtype} is not supported"))
                        .hint("take a checkpoint in F32, F16 or BF16, or a GGUF file"));
                }
            };
            let refuse = |problem: String| Err(Error::malformed(format!("tensor {name:?} {problem}")));
            let Some(start) = base.checked_add(begin) else { return refuse(format!("is at the offset {begin}")) };
            let tensor = PlacedTensor::new(TensorInfo { name: name.clone(), dtype, shape }, start)?;
            let bytes = tensor.info.bytes() as u64;
            if end.checked_sub(begin) != Some(bytes) {
                return refuse(format!("needs {bytes} bytes, but its offsets are {begin} to {end}"));
            }
            placed.push(tensor);
        }
        self.rows = Some(RowStream::new(in_file_order(placed)?, base));
        self.metadata = metadata;
        Ok(())
    }

    /// Takes the next bytes of the file; delivers the rows they complete.
    pub fn push(&mut self, bytes: &[u8], on_rows: &mut OnRows) -> Result<()> {
        let rest = self.push_header(bytes)?;
        match &mut self.rows {
            Some(rows) => rows.push(rest, on_rows),
            None => Ok(()),
        }
    }

    /// Whether the header is complete.
    pub fn has_header(&self) -> bool {
        self.rows.is_some()
    }

    /// The file's own notes (`__metadata__`).
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The tensors in file order; empty until the header is complete.
    pub fn tensors(&self) -> &[PlacedTensor] {
        self.rows.as_ref().map_or(&[], RowStream::tensors)
    }

    /// The end of the file: an error if anything is missing.
    pub fn finish(&self) -> Result<()> {
        match &self.rows {
            Some(rows) => rows.finish(),
            None if self.header.is_empty() => Err(truncated("the file is empty")),
            None => Err(truncated(format!("the file ends at byte {}, inside its header", self.header.len()))),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

/// The JSON object of a header; a list, so that a name that occurs twice is seen.
struct Header {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, Entry)>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Header, A::Error> {
                let mut header = Header { metadata: BTreeMap::new(), tensors: Vec::new() };
                while let Some(key) = map.next_key::<String>()? {
                    if key == "__metadata__" {
                        header.metadata = map.next_value()?;
                    } else {
                        header.tensors.push((key, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
    }

    const HEADER: &str = r#"{"__metadata__":{"format":"pt"},
        "b":{"dtype":"BF16","shape":[2,3],"data_offsets":[8,20]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  "#;

    fn read(bytes: &[u8], chunk: usize) -> Result<Vec<(String, usize, Vec<u8>)>> {
        let (mut stream, mut got) = (Stream::new(), Vec::new());
        for part in bytes.chunks(chunk) {
            stream.push(part, &mut |t, row, bytes| {
                got.push((t.name.clone(), row, bytes.to_vec()));
                Ok(())
            })?;
        }
        stream.finish()?;
        Ok(got)
    }

    #[test]
    fn tensors_come_in_file_order_whatever_the_chunks() {
        let data: Vec<u8> = (0..20).collect();
        for chunk in [1, 5, 1000] {
            let got = read(&file(HEADER, &data), chunk).unwrap();
            assert_eq!(got, [("a".into(), 0, data[..8].to_vec()), ("b".into(), 0, data[8..].to_vec())]);
        }
    }

    #[test]
    fn every_truncation_is_an_error_and_no_damaged_byte_panics() {
        let valid = file(HEADER, &[7; 20]);
        for length in 0..valid.len() {
            let error = read(&valid[..length], 16).unwrap_err();
            assert!(error.hint.contains("incomplete"), "{length}: {error}");
        }
        for place in 0..valid.len() {
            for value in [0, 0xFF, b'9', b'}', valid[place] ^ 1, valid[place] ^ 0x80] {
                let mut damaged = valid.clone();
                damaged[place] = value;
                let _ = read(&damaged, 64);
            }
        }
    }

    #[test]
    fn each_lie_of_a_header_is_named() {
        let entry = |text: &str| {
            file(&format!(r#"{{"a":{{{text}}},"b":{{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}}}"#), &[])
        };
        let cases = [
            (entry(r#""dtype":"F32","shape":[2],"data_offsets":[0,8]"#), "overlap"),
            (entry(r#""dtype":"F32","shape":[2],"data_offsets":[0,4]"#), "needs 8 bytes"),
            (entry(r#""dtype":"F32","shape":[1],"data_offsets":[4,0]"#), "needs 4 bytes"),
            (entry(r#""dtype":"I64","shape":[1],"data_offsets":[0,8]"#), "I64"),
            (entry(r#""dtype":"F32","shape":[-1],"data_offsets":[0,4]"#), "broken"),
            (entry(r#""dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]"#), "address"),
            (entry(r#""dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,18446744073709551615]"#), "a"),
            (
                file(
                    r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
                    &[],
                ),
                "twice",
            ),
            (file("[]", &[]), "sequence"),
            (file("", &[]), "empty"),
            (b"<!DOCTYPE html><html>".to_vec(), "begins with"),
        ];
        for (bytes, expected) in cases {
            let error = read(&bytes, 1 << 20).unwrap_err();
            assert!(error.message.contains(expected), "{expected}: {error}");
        }
        assert!(read(b"<!DOCTYPE html><html>", 99).unwrap_err().hint.contains("web page"));
        assert!(read(b"GGUF\x03\0\0\0\x01\0\0\0", 99).unwrap_err().hint.contains("GGUF"));
    }
}
