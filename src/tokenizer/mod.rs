//! Text to ids and back, as Hugging Face's `tokenizers` does it; the only user of that crate, whose BPE this is.
//!
//! Control tokens (`<|im_end|>`, `<think>`, …) come from [`Segment::Control`] alone: text is encoded with added-token
//! matching off, so that whatever a user or a web page writes stays text. [`Tokenizer::encode_matching_added`] is the
//! other behaviour, that of Hugging Face's `encode`.

mod added;
mod decoder;
mod load;
mod pattern;
mod prepare;

use tokenizers::Model;
use tokenizers::models::bpe::BPE;

use crate::error::{Error, Result};

use added::{AddedTokens, Part};
pub use decoder::Decoder;
use decoder::TokenBytes;
pub use load::GgufVocabulary;
use prepare::Preparation;

/// A stretch of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment<'a> {
    /// The exact text of an added token, which becomes its id. It is encoded as text if the vocabulary has no such
    /// added token.
    Control(&'a str),
    /// Text, which becomes no added token whatever it holds. Neighbouring texts are encoded as one.
    Text(&'a str),
}

/// A BPE tokenizer with its added tokens.
pub struct Tokenizer {
    model: BPE,
    preparation: Preparation,
    added: AddedTokens,
    bytes: TokenBytes,
    /// A text's space at the beginning is not its own.
    space_prefix: bool,
}

impl Tokenizer {
    /// Reads a Hugging Face `tokenizer.json`. `malformed-file` if it is none, `unsupported-model` if it is neither a
    /// byte-level BPE nor a SentencePiece one.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        load::from_json(json)
    }

    /// Builds the tokenizer that the metadata of a GGUF describes. `unsupported-model` for a tokenizer or a
    /// pre-tokenizer this engine does not have.
    pub fn from_gguf(vocabulary: GgufVocabulary<'_>) -> Result<Self> {
        load::from_gguf(vocabulary)
    }

    /// Ids of a prompt in order.
    pub fn encode<'a>(&self, segments: impl IntoIterator<Item = Segment<'a>>) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        let mut text = String::new();
        for segment in segments {
            match segment {
                Segment::Control(control) => match self.added_id(control) {
                    Some(id) => {
                        self.encode_words(self.preparation.normalized(&text), &mut ids)?;
                        text.clear();
                        ids.push(id);
                    }
                    None => text.push_str(control),
                },
                Segment::Text(more) => text.push_str(more),
            }
        }
        self.encode_words(self.preparation.normalized(&text), &mut ids)?;
        Ok(ids)
    }

    /// Ids of plain text; no added token comes out.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>> {
        self.encode([Segment::Text(text)])
    }

    /// Ids of text in which added tokens are recognised, as Hugging Face's `encode` does without special tokens of
    /// its own.
    pub fn encode_matching_added(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for part in self.added.plain().split(text) {
            let text = match part {
                Part::Token(id) => {
                    ids.push(id);
                    continue;
                }
                Part::Text(text) => self.preparation.normalized(text),
            };
            for part in self.added.normalized().split(&text) {
                match part {
                    Part::Token(id) => ids.push(id),
                    Part::Text(text) => self.encode_words(text.to_owned(), &mut ids)?,
                }
            }
        }
        Ok(ids)
    }

    /// Text of ids; bytes that are no UTF-8 become U+FFFD, ids outside the vocabulary nothing.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut decoder = Decoder::default();
        let mut text: String = ids.iter().map(|&id| decoder.push(self, id)).collect();
        text.push_str(&decoder.finish());
        text
    }

    /// The bytes one token stands for; empty for an id outside the vocabulary.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id)
    }

    /// The id of an added token by its exact text.
    pub fn added_id(&self, content: &str) -> Option<u32> {
        self.added.ids().get(content).copied()
    }

    /// Every added token and its id, in order of id.
    pub fn added_tokens(&self) -> Vec<(String, u32)> {
        let mut tokens: Vec<(String, u32)> =
            self.added.ids().iter().map(|(content, &id)| (content.clone(), id)).collect();
        tokens.sort_by_key(|&(_, id)| id);
        tokens
    }

    /// One more than the largest id in use.
    pub fn vocabulary_size(&self) -> usize {
        self.bytes.len()
    }

    /// Adds the ids of a normalised stretch of text to those of what comes before it.
    fn encode_words(&self, text: String, ids: &mut Vec<u32>) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        for word in self.preparation.words(text, ids.is_empty())? {
            let tokens = self.model.tokenize(&word);
            let tokens = tokens.map_err(|error| Error::internal(format!("the tokenizer failed: {error}")))?;
            ids.extend(tokens.iter().map(|token| token.id));
        }
        Ok(())
    }
}
