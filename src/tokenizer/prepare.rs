//! What comes before BPE: a text is normalised and cut into words, as a `tokenizer.json` says.

use serde_json::Value;
use unicode_normalization_alignments::UnicodeNormalization;

use super::decoder::character_of;
use super::pattern::Pattern;
use crate::error::{Error, Result};

/// GPT-2's, which stands for itself where ByteLevel cuts.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// How many steps a file may ask for.
const MAX_STEPS: usize = 64;

/// How many times as long a text may become by all of them: those that make a few bytes of one, one after the other, would fill any memory.
const MAX_GROWTH: usize = 64;

/// A change of a whole text.
enum Normalizer {
    Nfc,
    Replace(String, String),
    Prepend(String),
}

/// A change of a piece, or a cut.
enum PreTokenizer {
    /// Into matches and what is between them, or only the one or the other.
    Split {
        pattern: Pattern,
        only: Option<bool>,
    },
    /// A mark for every space, and one before the text.
    Spaces {
        mark: char,
        prefix: Prefix,
    },
    SpaceBefore,
    /// A character for every byte.
    Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Prefix {
    Always,
    /// Of all the text.
    First,
    Never,
}

/// The `normalizer` and the `pre_tokenizer` of a file.
#[derive(Default)]
pub(super) struct Preparation {
    normalizers: Vec<Normalizer>,
    pre_tokenizers: Vec<PreTokenizer>,
}

impl Preparation {
    /// `unsupported-model` for what this engine does not have.
    pub(super) fn new(normalizer: &Value, pre_tokenizer: &Value) -> Result<Self> {
        let mut preparation = Self::default();
        preparation.add_normalizer(normalizer)?;
        preparation.add_pre_tokenizer(pre_tokenizer)?;
        if preparation.normalizers.len() + preparation.pre_tokenizers.len() > MAX_STEPS {
            return Err(Error::unsupported(format!("expected a tokenizer of at most {MAX_STEPS} steps before BPE")));
        }
        let normalizers = preparation.normalizers.iter().map(Normalizer::growth);
        let growth = normalizers.chain(preparation.pre_tokenizers.iter().map(PreTokenizer::growth));
        if growth.fold(1, usize::saturating_mul) > MAX_GROWTH {
            return Err(Error::unsupported(format!(
                "expected a tokenizer whose steps before BPE make a text at most {MAX_GROWTH} times as long"
            )));
        }
        Ok(preparation)
    }

    fn add_normalizer(&mut self, json: &Value) -> Result<()> {
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| unknown("normalizer", json));
        let normalizer = match json["type"].as_str() {
            None if json.is_null() => return Ok(()),
            Some("Sequence") => return each(json, "normalizers", |json| self.add_normalizer(json)),
            Some("NFC") => Normalizer::Nfc,
            Some("Replace") => {
                let (from, to) = (text(&json["pattern"]["String"])?, text(&json["content"])?);
                if from.is_empty() {
                    return Err(unknown("normalizer", json));
                }
                Normalizer::Replace(from, to)
            }
            Some("Prepend") => Normalizer::Prepend(text(&json["prepend"])?),
            _ => return Err(unknown("normalizer", json)),
        };
        self.normalizers.push(normalizer);
        Ok(())
    }

    fn add_pre_tokenizer(&mut self, json: &Value) -> Result<()> {
        let flag = |name: &str, default| json[name].as_bool().unwrap_or(default);
        let split = |pattern: &str| Ok(PreTokenizer::Split { pattern: Pattern::new(pattern)?, only: None });
        match json["type"].as_str() {
            None if json.is_null() => {}
            Some("Sequence") => each(json, "pretokenizers", |json| self.add_pre_tokenizer(json))?,
            Some("Split") => {
                let pattern = json["pattern"]["Regex"].as_str().ok_or_else(|| unknown("pre-tokenizer", json))?;
                let only = match json["behavior"].as_str() {
                    Some("Isolated") => None,
                    Some("Removed") => Some(flag("invert", false)),
                    _ => return Err(unknown("pre-tokenizer", json)),
                };
                self.pre_tokenizers.push(PreTokenizer::Split { pattern: Pattern::new(pattern)?, only });
            }
            Some("Digits") => {
                self.pre_tokenizers.push(split(if flag("individual_digits", false) { r"\p{N}" } else { r"\p{N}+" })?);
            }
            Some("ByteLevel") => {
                if flag("add_prefix_space", true) {
                    self.pre_tokenizers.push(PreTokenizer::SpaceBefore);
                }
                if flag("use_regex", true) {
                    self.pre_tokenizers.push(split(WORDS)?);
                }
                self.pre_tokenizers.push(PreTokenizer::Bytes);
            }
            Some("Metaspace") => {
                let mark = json["replacement"].as_str().and_then(|mark| mark.chars().next());
                let mark = mark.ok_or_else(|| unknown("pre-tokenizer", json))?;
                let prefix = match json["prepend_scheme"].as_str() {
                    Some("first") => Prefix::First,
                    Some("never") => Prefix::Never,
                    // What older files say instead.
                    None if !flag("add_prefix_space", true) => Prefix::Never,
                    None | Some("always") => Prefix::Always,
                    _ => return Err(unknown("pre-tokenizer", json)),
                };
                self.pre_tokenizers.push(PreTokenizer::Spaces { mark, prefix });
                if flag("split", true) {
                    let mark = u32::from(mark);
                    self.pre_tokenizers.push(split(&format!(r"\x{{{mark:x}}}[^\x{{{mark:x}}}]*"))?);
                }
            }
            _ => return Err(unknown("pre-tokenizer", json)),
        }
        Ok(())
    }

    pub(super) fn normalized(&self, text: &str) -> String {
        self.normalizers.iter().fold(text.to_owned(), |text, normalizer| match normalizer {
            Normalizer::Nfc if text.is_ascii() => text,
            Normalizer::Nfc => text.nfc().map(|(character, _)| character).collect(),
            Normalizer::Replace(from, to) => text.replace(from, to),
            Normalizer::Prepend(_) if text.is_empty() => text,
            Normalizer::Prepend(prefix) => format!("{prefix}{text}"),
        })
    }

    /// The words of a normalised text; `first` if nothing comes before it.
    pub(super) fn words(&self, text: String, first: bool) -> Result<Vec<String>> {
        let mut pieces = vec![text];
        for step in &self.pre_tokenizers {
            let mut cut = Vec::with_capacity(pieces.len());
            for (index, piece) in pieces.into_iter().enumerate() {
                step.apply(piece, first && index == 0, &mut cut)?;
            }
            pieces = cut;
        }
        Ok(pieces)
    }
}

impl Normalizer {
    /// How many times as many bytes it makes of a text, at most and but for a prefix, which the file is as long as.
    fn growth(&self) -> usize {
        match self {
            // Unicode's own bound for UTF-8 (UAX #15).
            Self::Nfc => 3,
            Self::Replace(from, to) => to.len().div_ceil(from.len()).max(1),
            Self::Prepend(_) => 1,
        }
    }
}

impl PreTokenizer {
    /// How many times as many bytes it makes of a piece, at most and but for a mark before it.
    fn growth(&self) -> usize {
        match self {
            Self::Spaces { mark, .. } => mark.len_utf8(),
            Self::Bytes => 2,
            Self::Split { .. } | Self::SpaceBefore => 1,
        }
    }

    fn apply(&self, piece: String, first: bool, pieces: &mut Vec<String>) -> Result<()> {
        match self {
            Self::Split { pattern, only } => {
                let cut = pattern.pieces(&piece)?.into_iter();
                let kept = cut.filter(|(_, matched)| only.is_none_or(|only| *matched == only));
                pieces.extend(kept.map(|(piece, _)| piece.to_owned()));
            }
            Self::Spaces { mark, prefix } => {
                let mut text = piece.replace(' ', mark.encode_utf8(&mut [0; 4]));
                let wanted = *prefix == Prefix::Always || (*prefix == Prefix::First && first);
                if wanted && !text.starts_with(*mark) {
                    text.insert(0, *mark);
                }
                pieces.push(text);
            }
            Self::SpaceBefore if piece.starts_with(' ') => pieces.push(piece),
            Self::SpaceBefore => pieces.push(format!(" {piece}")),
            Self::Bytes => pieces.push(piece.bytes().map(character_of).collect()),
        }
        Ok(())
    }
}

/// What is in a sequence, one after the other.
fn each(json: &Value, name: &str, add: impl FnMut(&Value) -> Result<()>) -> Result<()> {
    let list =
        json[name].as_array().ok_or_else(|| Error::malformed(format!("expected a sequence of {name}, got {json}")))?;
    list.iter().try_for_each(add)
}

fn unknown(what: &str, json: &Value) -> Error {
    let start: String = json.to_string().chars().take(200).collect();
    Error::unsupported(format!("expected a {what} that this engine has, got {start}"))
}
