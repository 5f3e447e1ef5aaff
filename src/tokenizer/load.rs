//! A tokenizer from `tokenizer.json` or from the lists of a GGUF; both end in the same byte-level BPE.

use std::collections::BTreeMap;

use serde::Deserialize;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{AddedToken, AddedVocabulary};

use super::Tokenizer;
use super::decoder::{TokenBytes, byte_level_bytes};
use crate::error::{Error, Result};

/// The tokenizer in a GGUF's metadata, by the names of its keys.
#[derive(Clone, Copy, Debug)]
pub struct GgufVocabulary<'a> {
    /// `tokenizer.ggml.model`.
    pub model: &'a str,
    /// `tokenizer.ggml.pre`.
    pub pre: &'a str,
    /// `tokenizer.ggml.tokens`, in order of id.
    pub tokens: &'a [String],
    /// `tokenizer.ggml.token_type`, one for each token.
    pub types: &'a [i32],
    /// `tokenizer.ggml.merges`: two tokens and a space between them.
    pub merges: &'a [String],
}

// `gguf.constants.TokenType`.
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// The normalizer and pre-tokenizer of Qwen2's and Qwen3's `tokenizer.json`, which a GGUF calls `qwen2`.
const QWEN2: &str = r#"{
    "normalizer": { "type": "NFC" },
    "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
        { "type": "Split", "behavior": "Isolated", "invert": false, "pattern": { "Regex":
            "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" } },
        { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false } ] }
}"#;

/// What runs before BPE.
#[derive(Deserialize)]
struct Preparation {
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: Option<PreTokenizerWrapper>,
}

#[derive(Deserialize)]
struct TokenizerJson {
    #[serde(flatten)]
    preparation: Preparation,
    #[serde(default)]
    added_tokens: Vec<AddedJson>,
    model: BpeJson,
}

/// What kind of tokenizer a file holds, read before the rest so that another kind is refused by its name.
#[derive(Deserialize)]
struct Kinds {
    model: Kind,
    decoder: Option<Kind>,
}

#[derive(Deserialize)]
struct AddedJson {
    id: u32,
    #[serde(flatten)]
    token: AddedToken,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type", default = "bpe")]
    kind: String,
}

/// Files older than the field hold BPE.
fn bpe() -> String {
    "BPE".to_owned()
}

#[derive(Deserialize)]
struct BpeJson {
    vocab: BTreeMap<String, u32>,
    merges: Vec<MergeJson>,
    #[serde(default)]
    ignore_merges: bool,
}

/// Newer files hold pairs, older ones the two tokens with a space between them.
#[derive(Deserialize)]
#[serde(untagged)]
enum MergeJson {
    Pair(String, String),
    Spaced(String),
}

pub(super) fn from_json(json: &[u8]) -> Result<Tokenizer> {
    let malformed = |error: serde_json::Error| {
        Error::malformed(format!("expected a tokenizer.json, got: {error}"))
            .hint("take tokenizer.json from the model's own repository")
    };
    let kinds: Kinds = serde_json::from_slice(json).map_err(malformed)?;
    if kinds.model.kind != "BPE" {
        return Err(Error::unsupported(format!("expected a tokenizer of type BPE, got {}", kinds.model.kind)));
    }
    if let Some(Kind { kind }) = kinds.decoder.filter(|decoder| decoder.kind != "ByteLevel") {
        return Err(Error::unsupported(format!("expected a tokenizer with the decoder ByteLevel, got {kind}")));
    }
    let file: TokenizerJson = serde_json::from_slice(json).map_err(malformed)?;
    let bpe = file.model;
    let merges = bpe.merges.into_iter().map(|merge| match merge {
        MergeJson::Pair(left, right) => Ok((left, right)),
        MergeJson::Spaced(merge) => split_merge(&merge),
    });
    Parts {
        vocabulary: bpe.vocab,
        merges: merges.collect::<Result<_>>()?,
        ignore_merges: bpe.ignore_merges,
        added: file.added_tokens.into_iter().map(|added| (added.id, added.token)).collect(),
        preparation: file.preparation,
    }
    .build()
}

pub(super) fn from_gguf(gguf: GgufVocabulary<'_>) -> Result<Tokenizer> {
    if gguf.model != "gpt2" {
        return Err(Error::unsupported(format!("expected the tokenizer model gpt2, got {:?}", gguf.model)));
    }
    if gguf.pre != "qwen2" {
        return Err(Error::unsupported(format!("expected the pre-tokenizer qwen2, got {:?}", gguf.pre)));
    }
    if gguf.types.len() != gguf.tokens.len() {
        return Err(Error::malformed(format!(
            "expected tokenizer.ggml.token_type for {} tokens, got {}",
            gguf.tokens.len(),
            gguf.types.len()
        )));
    }
    let mut vocabulary = BTreeMap::new();
    let mut added = Vec::new();
    for (id, (token, &kind)) in (0..).zip(gguf.tokens.iter().zip(gguf.types)) {
        match kind {
            CONTROL | USER_DEFINED => {
                added.push((id, AddedToken::from(token.clone(), kind == CONTROL).normalized(false)));
            }
            UNUSED => {}
            _ => {
                vocabulary.insert(token.clone(), id);
            }
        }
    }
    Parts {
        vocabulary,
        merges: gguf.merges.iter().map(|merge| split_merge(merge)).collect::<Result<_>>()?,
        ignore_merges: false,
        added,
        preparation: serde_json::from_str(QWEN2)
            .map_err(|error| Error::internal(format!("the qwen2 pre-tokenizer: {error}")))?,
    }
    .build()
}

fn split_merge(merge: &str) -> Result<(String, String)> {
    match merge.split_once(' ') {
        Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
        None => Err(Error::malformed(format!("expected a merge of two tokens, got {merge:?}"))),
    }
}

/// A tokenizer taken apart.
struct Parts {
    vocabulary: BTreeMap<String, u32>,
    merges: Vec<(String, String)>,
    ignore_merges: bool,
    added: Vec<(u32, AddedToken)>,
    preparation: Preparation,
}

impl Parts {
    fn build(self) -> Result<Tokenizer> {
        let Self { vocabulary, merges, ignore_merges, added, preparation } = self;
        let refused = |error: tokenizers::Error| Error::malformed(format!("the tokenizer: {error}"));

        let mut bytes: BTreeMap<u32, Vec<u8>> =
            vocabulary.iter().map(|(token, &id)| (id, byte_level_bytes(token))).collect();
        bytes.extend(added.iter().map(|(id, token)| (*id, token.content.clone().into_bytes())));
        // The table of bytes has a place for every id up to the largest: a few bytes of a file must not make it huge.
        if let Some((&largest, _)) = bytes.last_key_value()
            && largest as usize > 16 * bytes.len() + 65_536
        {
            return Err(Error::malformed(format!("expected the ids of {} tokens, got {largest}", bytes.len())));
        }

        // The library's own check of merges panics where the joined token is longer than any in the vocabulary.
        for (left, right) in &merges {
            let joined = format!("{left}{right}");
            if let Some(missing) = [left, right, &joined].into_iter().find(|token| !vocabulary.contains_key(*token)) {
                return Err(Error::malformed(format!("a merge makes or takes {missing:?}, which is no token")));
            }
        }
        let model = BPE::builder()
            .vocab_and_merges(vocabulary.into_iter().collect::<Vocab>(), merges)
            .ignore_merges(ignore_merges)
            // The library's cache is never freed, and prompts are short.
            .cache_capacity(0)
            .build()
            .map_err(refused)?;

        // Added tokens take their ids from a model: from one that knows nothing else, so that text cannot reach them.
        let ids: Vocab = added.iter().map(|(id, token)| (token.content.clone(), *id)).collect();
        let ids = BPE::builder().vocab_and_merges(ids, Vec::new()).cache_capacity(0).build().map_err(refused)?;
        let mut vocabulary = AddedVocabulary::new();
        vocabulary
            .add_tokens(added.into_iter().map(|(_, token)| token), &ids, preparation.normalizer.as_ref())
            .map_err(refused)?;

        Ok(Tokenizer {
            model,
            normalizer: preparation.normalizer,
            pre_tokenizer: preparation.pre_tokenizer,
            added: vocabulary,
            no_added: AddedVocabulary::new(),
            bytes: TokenBytes::new(bytes),
        })
    }
}
