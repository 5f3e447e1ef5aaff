//! GGUF versions 2 and 3 as a stream (specification: ggml `docs/gguf.md`).

use super::metadata::{Metadata, Value};
use super::rows::{PlacedTensor, RowStream, in_file_order, resembles, truncated};
use super::{DType, OnRows, TensorInfo};
use crate::error::{Error, Result};

/// Headers beyond this are refused; those of the largest vocabularies take about 20 MB.
const MAX_HEADER_BYTES: u64 = 128 << 20;
/// Longest string in a header; a chat template takes some kB.
const MAX_STRING_BYTES: u64 = 16 << 20;
/// GGML's own limit of dimensions.
const MAX_DIMENSIONS: u32 = 4;
/// GGUF's default of `general.alignment`.
const DEFAULT_ALIGNMENT: u32 = 32;
const MAX_ALIGNMENT: u32 = 1 << 20;

/// A GGUF file: pushed bytes in, metadata and rows out. Holds the header and less than one piece of rows.
pub struct Stream {
    state: State,
}

enum State {
    Header(Box<Parser>),
    Data { version: u32, metadata: Metadata, rows: RowStream },
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
}

impl Stream {
    /// A stream at the beginning of a file.
    pub fn new() -> Self {
        Self { state: State::Header(Box::default()) }
    }

    /// Takes the bytes of the header and returns those after it: a caller who must act on the header before the first
    /// row calls this first, then [`Stream::push`] with what is left.
    pub fn push_header<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let State::Header(parser) = &mut self.state else { return Ok(bytes) };
        parser.received += bytes.len() as u64;
        parser.buffer.extend_from_slice(bytes);
        let done = parser.parse()?;
        if !done {
            if parser.received > MAX_HEADER_BYTES {
                return Err(Error::malformed(format!("the header is longer than {MAX_HEADER_BYTES} bytes")));
            }
            parser.buffer.drain(..parser.cursor);
            parser.cursor = 0;
            return Ok(&[]);
        }
        // The last item ended in these bytes, so what is left of the buffer is their tail.
        let left = parser.buffer.len() - parser.cursor;
        let parser = std::mem::take(&mut **parser);
        self.state = parser.finish(left as u64)?;
        Ok(&bytes[bytes.len() - left..])
    }

    /// Takes the next bytes of the file; delivers the rows they complete.
    pub fn push(&mut self, bytes: &[u8], on_rows: &mut OnRows) -> Result<()> {
        let rest = self.push_header(bytes)?;
        match &mut self.state {
            State::Data { rows, .. } => rows.push(rest, on_rows),
            State::Header(_) => Ok(()),
        }
    }

    /// The metadata, once the header is complete.
    pub fn metadata(&self) -> Option<&Metadata> {
        match &self.state {
            State::Data { metadata, .. } => Some(metadata),
            State::Header(_) => None,
        }
    }

    /// The same, to take large lists out of it.
    pub fn metadata_mut(&mut self) -> Option<&mut Metadata> {
        match &mut self.state {
            State::Data { metadata, .. } => Some(metadata),
            State::Header(_) => None,
        }
    }

    /// The tensors in file order; empty until the header is complete.
    pub fn tensors(&self) -> &[PlacedTensor] {
        match &self.state {
            State::Data { rows, .. } => rows.tensors(),
            State::Header(_) => &[],
        }
    }

    /// The version of the format, once the header is complete.
    pub fn version(&self) -> Option<u32> {
        match &self.state {
            State::Data { version, .. } => Some(*version),
            State::Header(_) => None,
        }
    }

    /// The end of the file: an error if anything is missing.
    pub fn finish(&self) -> Result<()> {
        match &self.state {
            State::Data { rows, .. } => rows.finish(),
            State::Header(parser) if parser.received == 0 => Err(truncated("the file is empty")),
            State::Header(parser) => {
                Err(truncated(format!("the file ends at byte {}, inside its header", parser.received)))
            }
        }
    }
}

/// What the header's parser waits for.
#[derive(Clone, Copy, Default)]
enum Expect {
    #[default]
    Magic,
    Key,
    Type,
    Value(u32),
    ArrayHead,
    Element(u32, u64),
    Tensor,
    Done,
}

/// Reads the header one item at a time; an item that is not complete waits for more bytes, those before it are gone from
/// the buffer, so every byte is read about once and the memory used is bounded by the bytes that came.
#[derive(Default)]
struct Parser {
    buffer: Vec<u8>,
    cursor: usize,
    received: u64,
    expect: Expect,
    version: u32,
    tensors_left: u64,
    entries_left: u64,
    key: String,
    array: Option<Value>,
    metadata: Metadata,
    /// `start` is relative to the data section until the header is complete.
    tensors: Vec<(TensorInfo, u64)>,
}

impl Parser {
    /// Reads all complete items; whether the header is complete.
    fn parse(&mut self) -> Result<bool> {
        loop {
            if matches!(self.expect, Expect::Done) {
                return Ok(true);
            }
            let mut reader = Reader { bytes: &self.buffer[self.cursor..], position: 0 };
            let item = match self.expect {
                Expect::Magic => {
                    check_magic(&self.buffer)?;
                    Item::magic(&mut reader)
                }
                Expect::Key => reader.string().map_some(Item::Key),
                Expect::Type => reader.u32().map_some(Item::Type),
                Expect::Value(kind) => scalar(&mut reader, kind, &self.key).map_some(Item::Value),
                Expect::ArrayHead => Item::array_head(&mut reader),
                Expect::Element(kind, _) => scalar(&mut reader, kind, &self.key).map_some(Item::Value),
                Expect::Tensor => tensor(&mut reader),
                Expect::Done => unreachable!("checked above"),
            };
            let Some(item) = item? else { return Ok(false) };
            self.cursor += reader.position;
            self.accept(item)?;
        }
    }

    fn accept(&mut self, item: Item) -> Result<()> {
        self.expect = match (self.expect, item) {
            (_, Item::Magic { version, tensors, entries }) => {
                (self.version, self.tensors_left, self.entries_left) = (version, tensors, entries);
                self.next()
            }
            (_, Item::Key(key)) => {
                self.key = key;
                Expect::Type
            }
            (_, Item::Type(ARRAY)) => Expect::ArrayHead,
            (_, Item::Type(kind)) => Expect::Value(kind),
            (_, Item::ArrayHead { kind, count }) => {
                self.array = Some(match kind {
                    STRING => Value::Strings(Vec::new()),
                    FLOAT32 | FLOAT64 => Value::Floats(Vec::new()),
                    ARRAY => {
                        return Err(Error::malformed(format!(
                            "metadata {:?}: arrays of arrays are not read",
                            self.key
                        )));
                    }
                    _ => Value::Integers(Vec::new()),
                });
                self.after_element(kind, count)?
            }
            (Expect::Element(kind, left), Item::Value(value)) => {
                match (&mut self.array, value) {
                    (Some(Value::Strings(array)), Value::String(value)) => array.push(value),
                    (Some(Value::Floats(array)), Value::Float(value)) => array.push(value as f32),
                    (Some(Value::Integers(array)), Value::Bool(value)) => array.push(value.into()),
                    (Some(Value::Integers(array)), Value::Integer(value)) => match i32::try_from(value) {
                        Ok(value) => array.push(value),
                        Err(_) => {
                            return Err(Error::malformed(format!("metadata {:?}: {value} is too large", self.key)));
                        }
                    },
                    _ => return Err(Error::internal("an array element of another type than its array")),
                }
                self.after_element(kind, left - 1)?
            }
            (_, Item::Value(value)) => self.insert(value)?,
            (_, Item::Tensor(info, offset)) => {
                self.tensors.push((info, offset));
                self.tensors_left -= 1;
                self.next()
            }
        };
        Ok(())
    }

    fn after_element(&mut self, kind: u32, left: u64) -> Result<Expect> {
        match self.array.take() {
            Some(array) if left == 0 => self.insert(array),
            array => {
                self.array = array;
                Ok(Expect::Element(kind, left))
            }
        }
    }

    fn insert(&mut self, value: Value) -> Result<Expect> {
        self.metadata.insert(std::mem::take(&mut self.key), value)?;
        self.entries_left -= 1;
        Ok(self.next())
    }

    fn next(&self) -> Expect {
        match (self.entries_left, self.tensors_left) {
            (0, 0) => Expect::Done,
            (0, _) => Expect::Tensor,
            _ => Expect::Key,
        }
    }

    /// The tensors' places, now that the header's length is known; `left` bytes of what came are data.
    fn finish(self, left: u64) -> Result<State> {
        let alignment = self.metadata.find_u32("general.alignment")?.unwrap_or(DEFAULT_ALIGNMENT);
        if !alignment.is_power_of_two() || alignment > MAX_ALIGNMENT {
            return Err(Error::malformed(format!("general.alignment is {alignment}, expected a power of two")));
        }
        let position = self.received - left;
        let base = position.next_multiple_of(alignment.into());
        let place = |(info, offset): (TensorInfo, u64)| {
            if offset % u64::from(alignment) != 0 {
                return Err(Error::malformed(format!(
                    "tensor {:?} is at offset {offset}, which is not a multiple of the alignment {alignment}",
                    info.name
                )));
            }
            match base.checked_add(offset) {
                Some(start) => PlacedTensor::new(info, start),
                None => Err(Error::malformed(format!("tensor {:?} is at the impossible offset {offset}", info.name))),
            }
        };
        let tensors = self.tensors.into_iter().map(place).collect::<Result<Vec<_>>>()?;
        let rows = RowStream::new(in_file_order(tensors)?, position);
        Ok(State::Data { version: self.version, metadata: self.metadata, rows })
    }
}

enum Item {
    Magic { version: u32, tensors: u64, entries: u64 },
    Key(String),
    Type(u32),
    Value(Value),
    ArrayHead { kind: u32, count: u64 },
    Tensor(TensorInfo, u64),
}

/// None: the bytes are not all there yet.
type Partial<T> = Result<Option<T>>;

trait MapSome<T> {
    fn map_some<U>(self, f: impl FnOnce(T) -> U) -> Partial<U>;
}

impl<T> MapSome<T> for Partial<T> {
    fn map_some<U>(self, f: impl FnOnce(T) -> U) -> Partial<U> {
        self.map(|value| value.map(f))
    }
}

/// Unwraps a [`Partial`], or returns from the function.
macro_rules! need {
    ($partial:expr) => {
        match $partial? {
            Some(value) => value,
            None => return Ok(None),
        }
    };
}

impl Item {
    fn magic(reader: &mut Reader) -> Partial<Self> {
        need!(reader.u32());
        let version = need!(reader.u32());
        match version {
            2 | 3 => {}
            0x0200_0000 | 0x0300_0000 => {
                return Err(Error::unsupported("this GGUF file is big-endian; little-endian ones are supported")
                    .hint("take the ordinary (little-endian) file"));
            }
            _ => {
                return Err(Error::unsupported(format!("GGUF version {version}; versions 2 and 3 are supported"))
                    .hint("take a newer file of the same model"));
            }
        }
        let (tensors, entries) = (need!(reader.u64()), need!(reader.u64()));
        Ok(Some(Self::Magic { version, tensors, entries }))
    }

    fn array_head(reader: &mut Reader) -> Partial<Self> {
        let (kind, count) = (need!(reader.u32()), need!(reader.u64()));
        Ok(Some(Self::ArrayHead { kind, count }))
    }
}

fn check_magic(bytes: &[u8]) -> Result<()> {
    let n = bytes.len().min(4);
    if bytes[..n] == b"GGUF"[..n] {
        return Ok(());
    }
    Err(Error::malformed(format!("expected a GGUF file, got one that begins with \"{}\"", bytes[..n].escape_ascii()))
        .hint(resembles(bytes)))
}

fn tensor(reader: &mut Reader) -> Partial<Item> {
    let name = need!(reader.string());
    let dimensions = need!(reader.u32());
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        return Err(Error::malformed(format!(
            "tensor {name:?} has {dimensions} dimensions, expected 1 to {MAX_DIMENSIONS}"
        )));
    }
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        let extent = need!(reader.u64());
        shape.push(usize::try_from(extent).map_err(|_| {
            Error::malformed(format!("tensor {name:?} has an extent of {extent}, more than this machine can address"))
        })?);
    }
    // The file names the innermost extent first.
    shape.reverse();
    let (number, offset) = (need!(reader.u32()), need!(reader.u64()));
    let dtype = DType::from_ggml(number).map_err(|mut error| {
        error.message = format!("tensor {name:?}: {}", error.message);
        error
    })?;
    Ok(Some(Item::Tensor(TensorInfo { name, dtype, shape }, offset)))
}

// Numbers of the value types (ggml `gguf.h`, `enum gguf_type`).
const FLOAT32: u32 = 6;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const FLOAT64: u32 = 12;

fn scalar(reader: &mut Reader, kind: u32, key: &str) -> Partial<Value> {
    Ok(Some(match kind {
        0 => Value::Integer(need!(reader.take::<1>())[0].into()),
        1 => Value::Integer(i8::from_le_bytes(need!(reader.take())).into()),
        2 => Value::Integer(u16::from_le_bytes(need!(reader.take())).into()),
        3 => Value::Integer(i16::from_le_bytes(need!(reader.take())).into()),
        4 => Value::Integer(need!(reader.u32()).into()),
        5 => Value::Integer(i32::from_le_bytes(need!(reader.take())).into()),
        FLOAT32 => Value::Float(f32::from_le_bytes(need!(reader.take())).into()),
        7 => Value::Bool(need!(reader.take::<1>())[0] != 0),
        STRING => Value::String(need!(reader.string())),
        10 => {
            let number = need!(reader.u64());
            Value::Integer(
                number.try_into().map_err(|_| Error::malformed(format!("metadata {key:?}: {number} is too large")))?,
            )
        }
        11 => Value::Integer(i64::from_le_bytes(need!(reader.take()))),
        FLOAT64 => Value::Float(f64::from_le_bytes(need!(reader.take()))),
        _ => return Err(Error::malformed(format!("metadata {key:?} has the unknown type {kind}"))),
    }))
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Partial<[u8; N]> {
        let Some(bytes) = self.bytes[self.position..].first_chunk() else { return Ok(None) };
        self.position += N;
        Ok(Some(*bytes))
    }

    fn u32(&mut self) -> Partial<u32> {
        self.take().map_some(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Partial<u64> {
        self.take().map_some(u64::from_le_bytes)
    }

    /// Bytes that are not UTF-8 become replacement characters: they occur in vocabularies.
    fn string(&mut self) -> Partial<String> {
        let length = need!(self.u64());
        if length > MAX_STRING_BYTES {
            return Err(Error::malformed(format!(
                "a string of {length} bytes in the header, at most {MAX_STRING_BYTES} are read"
            )));
        }
        let Some(bytes) = self.bytes[self.position..].get(..length as usize) else { return Ok(None) };
        self.position += bytes.len();
        Ok(Some(String::from_utf8_lossy(bytes).into_owned()))
    }
}

#[cfg(test)]
#[path = "gguf_tests.rs"]
mod tests;
