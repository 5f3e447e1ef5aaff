//! The key-value part of a GGUF file as typed values.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// One value; integers and floats keep their value, not their width.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the variants are what their names say")]
pub enum Value {
    Integer(i64),
    Float(f64),
    Bool(bool),
    String(String),
    Integers(Vec<i32>),
    Floats(Vec<f32>),
    Strings(Vec<String>),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a boolean",
            Self::String(_) => "a string",
            Self::Integers(_) => "an array of integers",
            Self::Floats(_) => "an array of floats",
            Self::Strings(_) => "an array of strings",
        }
    }
}

/// The metadata of a file, by key.
///
/// Each `find_*` gives none for a missing key, each `get_*` is `malformed-file` for it; both are `malformed-file` for a
/// value of another type or outside the range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata(BTreeMap<String, Value>);

impl Metadata {
    /// Adds a value; `malformed-file` if the key is there already.
    pub fn insert(&mut self, key: String, value: Value) -> Result<()> {
        if self.0.contains_key(&key) {
            return Err(Error::malformed(format!("metadata key {key:?} is in the file twice")));
        }
        self.0.insert(key, value);
        Ok(())
    }

    /// All values, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    fn find<'a, T>(&'a self, key: &str, expected: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| {
            let came = match value {
                Value::Integer(number) => number.to_string(),
                other => other.kind().to_string(),
            };
            Error::malformed(format!("metadata {key:?}: expected {expected}, got {came}"))
        })
    }

    /// An unsigned integer.
    pub fn find_u32(&self, key: &str) -> Result<Option<u32>> {
        self.find(key, "an integer from 0 to 4294967295", |value| match value {
            Value::Integer(number) => u32::try_from(*number).ok(),
            _ => None,
        })
    }

    /// A number; an integer will do.
    pub fn find_f32(&self, key: &str) -> Result<Option<f32>> {
        self.find(key, "a number", |value| match value {
            Value::Float(number) => Some(*number as f32),
            Value::Integer(number) => Some(*number as f32),
            _ => None,
        })
    }

    /// A truth value.
    pub fn find_bool(&self, key: &str) -> Result<Option<bool>> {
        self.find(key, "a boolean", |value| match value {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        })
    }

    /// A string.
    pub fn find_str(&self, key: &str) -> Result<Option<&str>> {
        self.find(key, "a string", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Takes an array of strings out.
    pub fn take_strings(&mut self, key: &str) -> Result<Option<Vec<String>>> {
        self.find(key, "an array of strings", |value| matches!(value, Value::Strings(_)).then_some(()))?;
        Ok(self.0.remove(key).map(|value| if let Value::Strings(strings) = value { strings } else { Vec::new() }))
    }

    /// Takes an array of numbers out.
    pub fn take_floats(&mut self, key: &str) -> Result<Option<Vec<f32>>> {
        self.find(key, "an array of floats", |value| matches!(value, Value::Floats(_)).then_some(()))?;
        Ok(self.0.remove(key).map(|value| if let Value::Floats(floats) = value { floats } else { Vec::new() }))
    }

    /// Takes an array of integers out.
    pub fn take_integers(&mut self, key: &str) -> Result<Option<Vec<i32>>> {
        self.find(key, "an array of integers", |value| matches!(value, Value::Integers(_)).then_some(()))?;
        Ok(self.0.remove(key).map(|value| if let Value::Integers(integers) = value { integers } else { Vec::new() }))
    }

    /// An unsigned integer that must be there.
    pub fn get_u32(&self, key: &str) -> Result<u32> {
        self.find_u32(key)?.ok_or_else(|| missing(key))
    }

    /// A number that must be there.
    pub fn get_f32(&self, key: &str) -> Result<f32> {
        self.find_f32(key)?.ok_or_else(|| missing(key))
    }

    /// A string that must be there.
    pub fn get_str(&self, key: &str) -> Result<&str> {
        self.find_str(key)?.ok_or_else(|| missing(key))
    }
}

fn missing(key: &str) -> Error {
    Error::malformed(format!("metadata {key:?} is missing"))
        .hint("the file was written by a broken or very old converter: take another one")
}
