//! Text to ids and back; the only user of the tokenizers crate.
