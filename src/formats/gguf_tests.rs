//! The GGUF parser on whole, cut and damaged files.

use super::*;

/// Writes a GGUF, with every field open to lies.
struct Writer(Vec<u8>);

impl Writer {
    fn new(version: u32, tensors: u64, entries: u64) -> Self {
        Self(b"GGUF".to_vec()).bytes(&version.to_le_bytes()).u64(tensors).u64(entries)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    fn string(self, text: &str) -> Self {
        self.u64(text.len() as u64).bytes(text.as_bytes())
    }

    fn entry(self, key: &str, kind: u32) -> Self {
        self.string(key).u32(kind)
    }

    /// `shape` as in the file, innermost first.
    fn tensor(self, name: &str, shape: &[u64], kind: u32, offset: u64) -> Self {
        let head = self.string(name).u32(shape.len() as u32);
        shape.iter().fold(head, |w, extent| w.u64(*extent)).u32(kind).u64(offset)
    }

    fn align(mut self, to: usize) -> Self {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
        self
    }
}

fn valid() -> Vec<u8> {
    Writer::new(3, 2, 7)
        .entry("general.architecture", 8)
        .string("qwen3")
        .entry("general.alignment", 4)
        .u32(64)
        .entry("a.float", 6)
        .bytes(&1e6f32.to_le_bytes())
        .entry("a.bool", 7)
        .bytes(&[1])
        .entry("a.list", 9)
        .u32(8)
        .u64(3)
        .string("<think>")
        .string("")
        .string("思")
        .entry("a.types", 9)
        .u32(5)
        .u64(2)
        .u32(1)
        .u32(u32::MAX)
        .entry("a.long", 10)
        .u64(1 << 40)
        .tensor("m", &[32, 3], 8, 64)
        .tensor("v", &[2], 0, 0)
        .align(64)
        .bytes(&[1; 8])
        .align(64)
        .bytes(&[2; 102])
        .0
}

type Delivered = Vec<(TensorInfo, usize, Vec<u8>)>;

fn read(bytes: &[u8], chunk: usize) -> Result<(Stream, Delivered)> {
    let (mut stream, mut got) = (Stream::new(), Vec::new());
    for part in bytes.chunks(chunk) {
        stream.push(part, &mut |tensor, row, bytes| {
            got.push((tensor.clone(), row, bytes.to_vec()));
            Ok(())
        })?;
    }
    stream.finish()?;
    Ok((stream, got))
}

#[track_caller]
fn refused(bytes: &[u8]) -> Error {
    match read(bytes, 1 << 20) {
        Err(error) => error,
        Ok(_) => panic!("the file was accepted"),
    }
}

#[test]
fn a_file_reads_the_same_however_it_is_cut() {
    let info = |name: &str, dtype, shape: &[usize]| TensorInfo { name: name.into(), dtype, shape: shape.into() };
    for chunk in [1, 2, 3, 17, 64, 1 << 20] {
        let (stream, got) = read(&valid(), chunk).unwrap();
        let metadata = stream.metadata().unwrap();
        assert_eq!(stream.version(), Some(3));
        assert_eq!(metadata.get_str("general.architecture").unwrap(), "qwen3");
        assert_eq!(metadata.get_f32("a.float").unwrap(), 1e6);
        assert_eq!(metadata.get("a.bool"), Some(&Value::Bool(true)));
        assert_eq!(metadata.get("a.list"), Some(&Value::Strings(vec!["<think>".into(), "".into(), "思".into()])));
        assert_eq!(metadata.get("a.types"), Some(&Value::Integers(vec![1, -1])));
        assert_eq!(metadata.get("a.long"), Some(&Value::Integer(1 << 40)));
        let expected =
            [(info("v", DType::F32, &[2]), 0, vec![1; 8]), (info("m", DType::Q8_0, &[3, 32]), 0, vec![2; 102])];
        assert_eq!(got, expected, "chunks of {chunk}");
    }
}

#[test]
fn version_2_reads_as_version_3() {
    let mut bytes = valid();
    bytes[4] = 2;
    assert_eq!(read(&bytes, 100).unwrap().0.version(), Some(2));
}

#[test]
fn metadata_of_the_wrong_type_or_missing_is_named() {
    let stream = read(&valid(), 100).unwrap().0;
    let metadata = stream.metadata().unwrap();
    let errors = [
        (metadata.get_u32("a.float").unwrap_err(), "a float"),
        (metadata.get_u32("a.long").unwrap_err(), "1099511627776"),
        (metadata.get_str("a.list").unwrap_err(), "an array of strings"),
        (metadata.get_str("a.none").unwrap_err(), "missing"),
    ];
    for (error, expected) in errors {
        assert!(error.message.contains(expected) && error.message.contains("a."), "{error}");
    }
}

#[test]
fn a_file_cut_at_any_byte_is_an_error_and_no_damaged_byte_panics() {
    let valid = valid();
    for length in 0..valid.len() {
        let error = refused(&valid[..length]);
        assert_eq!(error.kind.code(), "malformed-file");
        assert!(error.hint.contains("incomplete"), "{length}: {error}");
    }
    for place in 0..valid.len() {
        for value in (0..8).map(|bit| valid[place] ^ 1 << bit).chain([0, 0x7F, 0xFF]) {
            let mut damaged = valid.clone();
            damaged[place] = value;
            for chunk in [1, 1 << 20] {
                if let Err(error) = read(&damaged, chunk) {
                    assert!(!error.message.is_empty() && error.kind.code() != "internal", "{error}");
                }
            }
        }
    }
}

#[test]
fn claims_without_bytes_behind_them_are_cheap_errors() {
    let head = |tensors, entries| Writer::new(3, tensors, entries);
    let cases = [
        (head(u64::MAX, 0).0, "header"),
        (head(0, u64::MAX).0, "header"),
        (head(0, 1).u64(u64::MAX).0, "string of 18446744073709551615"),
        (head(0, 1).entry("k", 9).u32(8).u64(u64::MAX).0, "header"),
        (head(0, 1).entry("k", 9).u32(9).u64(1).0, "arrays of arrays"),
        (head(0, 1).entry("k", 77).0, "unknown type 77"),
        (head(0, 1).entry("k", 9).u32(77).u64(1).bytes(&[0; 8]).0, "unknown type 77"),
        (head(0, 1).entry("k", 10).u64(u64::MAX).0, "too large"),
        (head(0, 2).entry("k", 7).bytes(&[1]).entry("k", 7).bytes(&[1]).0, "twice"),
        (head(0, 1).entry("general.alignment", 4).u32(0).0, "general.alignment is 0"),
        (head(0, 1).entry("general.alignment", 4).u32(48).0, "general.alignment is 48"),
        (head(1, 0).tensor("w", &[], 0, 0).0, "0 dimensions"),
        (head(1, 0).string("w").u32(u32::MAX).0, "4294967295 dimensions"),
        (head(1, 0).tensor("w", &[u64::MAX, 4], 0, 0).0, "address"),
        (head(1, 0).tensor("w", &[0], 0, 0).0, "no elements"),
        (head(1, 0).tensor("w", &[33], 8, 0).0, "multiples of 32"),
        (head(1, 0).tensor("w", &[4], 0, 8).0, "alignment"),
        (head(1, 0).tensor("w", &[4], 0, u64::MAX - 31).0, "w"),
        (head(1, 0).tensor("w", &[4], 0, 1 << 50).align(32).0, "needs bytes"),
        (head(1, 0).tensor("w", &[256], 10, 0).0, "Q2_K"),
        (head(2, 0).tensor("w", &[4], 0, 0).tensor("w", &[4], 0, 32).0, "twice"),
        (head(2, 0).tensor("v", &[16], 0, 0).tensor("w", &[4], 0, 32).0, "overlap"),
        (Writer::new(1, 0, 0).0, "version 1"),
        (Writer::new(3u32.swap_bytes(), 0, 0).0, "big-endian"),
    ];
    for (bytes, expected) in cases {
        let error = refused(&bytes);
        assert!(error.message.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn what_is_not_a_gguf_is_named_as_what_it_is() {
    let cases: [(&[u8], &str); 6] = [
        (b"<!DOCTYPE html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        (b"lmgg....", "before GGUF"),
        (b"PK\x03\x04", "ZIP"),
        (b"\x40\0\0\0\0\0\0\0{\"a\"", "safetensors"),
        (b"Not found", ".gguf"),
    ];
    for (bytes, expected) in cases {
        let error = refused(bytes);
        assert!(error.message.contains("expected a GGUF") && error.hint.contains(expected), "{error}");
    }
    assert!(Stream::new().finish().unwrap_err().message.contains("empty"));
}

#[test]
fn a_large_vocabulary_in_small_chunks_takes_linear_time() {
    let mut writer = Writer::new(3, 0, 1).entry("tokens", 9).u32(8).u64(300_000);
    for i in 0..300_000 {
        writer = writer.string(&format!("token{i}"));
    }
    let begun = std::time::Instant::now();
    let (mut stream, _) = read(&writer.0, 100).unwrap();
    // Quadratic work would take minutes here.
    assert!(begun.elapsed().as_secs() < 10);
    let tokens = stream.metadata_mut().unwrap().take_strings("tokens").unwrap().unwrap();
    assert_eq!((tokens.len(), tokens[299_999].as_str()), (300_000, "token299999"));
}
