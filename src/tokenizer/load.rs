//! A tokenizer from `tokenizer.json` or from the lists of a GGUF; both end in the same BPE, of bytes or of SentencePiece's pieces.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;
use tokenizers::models::bpe::{BPE, Vocab};

use super::Tokenizer;
use super::added::{AddedToken, AddedTokens};
use super::decoder::{Spelling, TokenBytes};
use super::prepare::Preparation;
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
    /// `tokenizer.ggml.merges`: two tokens and a space between them; none with SentencePiece.
    pub merges: &'a [String],
    /// `tokenizer.ggml.scores`, one for each token; with SentencePiece alone.
    pub scores: &'a [f32],
    /// `tokenizer.ggml.add_space_prefix`: SentencePiece puts a space before a text.
    pub space_prefix: bool,
}

// `gguf.constants.TokenType`.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// What a GGUF means by the name of a pre-tokenizer: the normalizer and pre-tokenizer in the `tokenizer.json` of the models
/// that have it, and whether a word that is a token is taken without merges.
const PREPARATIONS: [(&str, &str, bool); 3] = [
    (
        "qwen2",
        r#"{ "normalizer": { "type": "NFC" }, "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
        { "type": "Split", "behavior": "Isolated", "invert": false, "pattern": { "Regex":
            "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" } },
        { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false } ] } }"#,
        false,
    ),
    // Llama 3's.
    (
        "llama-bpe",
        r#"{ "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
        { "type": "Split", "behavior": "Isolated", "invert": false, "pattern": { "Regex":
            "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" } },
        { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false } ] } }"#,
        true,
    ),
    // SmolLM's and SmolLM2's.
    (
        "smollm",
        r#"{ "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
        { "type": "Digits", "individual_digits": true },
        { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true } ] } }"#,
        false,
    ),
];

/// How the `tokenizer.json` of a SentencePiece model makes one word of a text.
const SPACES: &str = r#"{ "type": "Replace", "pattern": { "String": " " }, "content": "▁" }"#;
const SPACE_PREFIX: &str = r#"{ "type": "Prepend", "prepend": "▁" }"#;

#[derive(Deserialize)]
struct TokenizerJson {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    model: BpeJson,
}

/// What kind of tokenizer a file holds, read before the rest so that another kind is refused by its name.
#[derive(Deserialize)]
struct Kinds {
    model: Kind,
    decoder: Option<DecoderJson>,
}

#[derive(Deserialize)]
struct DecoderJson {
    #[serde(rename = "type")]
    kind: String,
    /// Of a sequence.
    #[serde(default)]
    decoders: Vec<Kind>,
}

impl DecoderJson {
    /// How the tokens are spelt.
    fn spelling(&self) -> Result<Spelling> {
        let has = |wanted: &str| self.decoders.iter().any(|decoder| decoder.kind == wanted);
        match self.kind.as_str() {
            "ByteLevel" => Ok(Spelling::ByteLevel),
            "Sequence" if has("ByteFallback") => Ok(Spelling::SentencePiece { space_prefix: has("Strip") }),
            kind => Err(Error::unsupported(format!(
                "expected a tokenizer with the decoder ByteLevel or one with ByteFallback, got {kind}"
            ))),
        }
    }
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
    vocab: HashMap<String, u32>,
    merges: Vec<MergeJson>,
    #[serde(default)]
    ignore_merges: bool,
    unk_token: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
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
    let spelling = kinds.decoder.map_or(Ok(Spelling::ByteLevel), |decoder| decoder.spelling())?;
    let file: TokenizerJson = serde_json::from_slice(json).map_err(malformed)?;
    let bpe = file.model;
    if bpe.byte_fallback == (spelling == Spelling::ByteLevel) {
        return Err(Error::unsupported("expected byte_fallback with the decoder ByteFallback and not without"));
    }
    let merges = bpe.merges.into_iter().map(|merge| match merge {
        MergeJson::Pair(left, right) => Ok((left, right)),
        MergeJson::Spaced(merge) => split_merge(&merge),
    });
    Parts {
        vocabulary: bpe.vocab,
        merges: merges.collect::<Result<_>>()?,
        rules: Rules {
            ignore_merges: bpe.ignore_merges,
            unknown: bpe.unk_token,
            fuse_unknown: bpe.fuse_unk,
            byte_fallback: bpe.byte_fallback,
        },
        spelling,
        added: file.added_tokens,
        preparation: Preparation::new(&file.normalizer, &file.pre_tokenizer)?,
    }
    .build()
}

pub(super) fn from_gguf(gguf: GgufVocabulary<'_>) -> Result<Tokenizer> {
    let of_each_token = |name: &str, n: usize| {
        let tokens = gguf.tokens.len();
        if n == tokens {
            return Ok(());
        }
        Err(Error::malformed(format!("expected tokenizer.ggml.{name} for {tokens} tokens, got {n}")))
    };
    of_each_token("token_type", gguf.types.len())?;
    let read = |json: &str| {
        let json: Value = serde_json::from_str(json)
            .map_err(|error| Error::internal(format!("a tokenizer of this engine's own: {error}")))?;
        Preparation::new(&json["normalizer"], &json["pre_tokenizer"])
    };
    let added = |kinds: &'static [i32]| {
        let tokens = (0..).zip(gguf.tokens.iter().zip(gguf.types));
        let tokens = tokens.filter(|(_, (_, kind))| kinds.contains(kind));
        tokens.map(|(id, (token, _))| AddedToken::new(id, token.clone())).collect()
    };
    let vocabulary = |left_out: &[i32]| {
        let tokens = (0..).zip(gguf.tokens.iter().zip(gguf.types));
        let tokens = tokens.filter(|(_, (_, kind))| !left_out.contains(kind));
        tokens.map(|(id, (token, _))| (token.clone(), id)).collect::<HashMap<_, _>>()
    };
    match gguf.model {
        "gpt2" => {
            let known = PREPARATIONS.iter().find(|(name, ..)| *name == gguf.pre);
            let (_, preparation, ignore_merges) = known.ok_or_else(|| {
                let names = PREPARATIONS.map(|(name, ..)| name);
                Error::unsupported(format!("expected a pre-tokenizer of {names:?}, got {:?}", gguf.pre))
            })?;
            Parts {
                vocabulary: vocabulary(&[CONTROL, USER_DEFINED, UNUSED]),
                merges: gguf.merges.iter().map(|merge| split_merge(merge)).collect::<Result<_>>()?,
                rules: Rules { ignore_merges: *ignore_merges, ..Rules::default() },
                spelling: Spelling::ByteLevel,
                added: added(&[CONTROL, USER_DEFINED]),
                preparation: read(preparation)?,
            }
        }
        "llama" => {
            of_each_token("scores", gguf.scores.len())?;
            let space_prefix = gguf.space_prefix;
            let normalizers = if space_prefix { format!("{SPACE_PREFIX}, {SPACES}") } else { SPACES.to_owned() };
            Parts {
                vocabulary: vocabulary(&[CONTROL, USER_DEFINED, UNUSED]),
                merges: merges_of_scores(gguf),
                rules: Rules {
                    ignore_merges: false,
                    unknown: gguf.types.iter().position(|kind| *kind == UNKNOWN).map(|id| gguf.tokens[id].clone()),
                    fuse_unknown: true,
                    byte_fallback: true,
                },
                spelling: Spelling::SentencePiece { space_prefix },
                added: added(&[UNKNOWN, CONTROL, USER_DEFINED]),
                preparation: read(&format!(
                    r#"{{ "normalizer": {{ "type": "Sequence", "normalizers": [{normalizers}] }} }}"#
                ))?,
            }
        }
        model => return Err(Error::unsupported(format!("expected the tokenizer model gpt2 or llama, got {model:?}"))),
    }
    .build()
}

/// SentencePiece merges whichever neighbours make the piece of the best score: the pairs that make each piece, in the order
/// of `generate_merges` in `transformers`' `convert_slow_tokenizer.py`.
fn merges_of_scores(gguf: GgufVocabulary<'_>) -> Vec<(String, String)> {
    let pieces = || (0_u32..).zip(gguf.tokens.iter().zip(gguf.types)).filter(|(_, (_, kind))| **kind == NORMAL);
    let ids: HashMap<&str, u32> = pieces().map(|(id, (piece, _))| (piece.as_str(), id)).collect();
    let mut merges = Vec::new();
    for (id, (piece, _)) in pieces() {
        let mut pairs: Vec<(u32, u32, usize)> = piece
            .char_indices()
            .skip(1)
            .filter_map(|(cut, _)| Some((*ids.get(&piece[..cut])?, *ids.get(&piece[cut..])?, cut)))
            .collect();
        pairs.sort_unstable();
        merges.extend(pairs.into_iter().map(|(.., cut)| (id, piece.split_at(cut))));
    }
    let characters = |text: &str| text.chars().count();
    merges.sort_by_cached_key(|&(id, (left, right))| {
        // Bits of a float in an order of integers.
        let bits = gguf.scores[id as usize].to_bits() as i32;
        let score = bits ^ ((bits >> 31) & i32::MAX);
        Reverse((score, characters(left), characters(right)))
    });
    merges.into_iter().map(|(_, (left, right))| (left.to_owned(), right.to_owned())).collect()
}

fn split_merge(merge: &str) -> Result<(String, String)> {
    match merge.split_once(' ') {
        Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
        None => Err(Error::malformed(format!("expected a merge of two tokens, got {merge:?}"))),
    }
}

/// How a model treats words, characters and bytes that are no tokens, or are.
#[derive(Default)]
struct Rules {
    /// A word that is a token is taken without merges.
    ignore_merges: bool,
    /// The token of what has none.
    unknown: Option<String>,
    /// Neighbours of those become one.
    fuse_unknown: bool,
    /// A character without a token becomes those of its bytes, `<0x0A>`.
    byte_fallback: bool,
}

/// A tokenizer taken apart.
struct Parts {
    vocabulary: HashMap<String, u32>,
    merges: Vec<(String, String)>,
    rules: Rules,
    spelling: Spelling,
    added: Vec<AddedToken>,
    preparation: Preparation,
}

impl Parts {
    fn build(self) -> Result<Tokenizer> {
        let Self { vocabulary, merges, rules, spelling, added, preparation } = self;
        let mut bytes: BTreeMap<u32, Vec<u8>> =
            vocabulary.iter().map(|(token, &id)| (id, spelling.bytes(token))).collect();
        bytes.extend(added.iter().map(|token| (token.id, token.content.clone().into_bytes())));
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
        let mut model = BPE::builder()
            .vocab_and_merges(vocabulary.into_iter().collect::<Vocab>(), merges)
            .ignore_merges(rules.ignore_merges)
            .fuse_unk(rules.fuse_unknown)
            .byte_fallback(rules.byte_fallback)
            // The library's cache is never freed, and prompts are short.
            .cache_capacity(0);
        if let Some(unknown) = rules.unknown {
            model = model.unk_token(unknown);
        }
        let model = model.build().map_err(|error| Error::malformed(format!("the tokenizer: {error}")))?;

        let added = AddedTokens::new(added, |content| preparation.normalized(content));
        Ok(Tokenizer {
            model,
            preparation,
            added,
            bytes: TokenBytes::new(bytes),
            space_prefix: spelling == Spelling::SentencePiece { space_prefix: true },
        })
    }
}
