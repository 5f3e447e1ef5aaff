//! Headers that claim what is not there: refused before any weight is taken, in memory bounded by the file's real size.

use qwen3_web::error::{ErrorKind, Result};
use qwen3_web::model::{Loader, WeightSink};

use super::allocator::{Counting, most_held};
use super::support::{self, Gguf, Value, gguf, hugging_face_tensors, safetensors};
use super::{checkpoint_loader, load_checkpoint, loader, refused};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The bytes of a safetensors file with this header and no data.
fn header(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

#[test]
fn a_file_shorter_than_its_header_says_is_refused_before_any_weight_is_taken() {
    for is_gguf in [true, false] {
        let whole = if is_gguf { gguf().bytes() } else { safetensors(&hugging_face_tensors()) };
        for missing in [0, 1, 5000] {
            let (mut loader, received) =
                if is_gguf { loader() } else { checkpoint_loader(&support::config_json()).unwrap() };
            loader.expect((whole.len() - missing) as u64);
            let result = loader.push(&whole).and_then(|()| loader.finish());
            if missing == 0 {
                assert!(result.is_ok() && !received.borrow().is_empty());
                continue;
            }
            let error = refused(result, ErrorKind::MalformedFile, "the file at byte");
            assert!(error.hint.contains("incomplete") && received.borrow().is_empty(), "{error}");
        }
    }
}

/// A network of terabytes, all its sizes within what is allowed and all of them consistent.
fn vast() -> Gguf {
    let mut file = gguf();
    let sizes = [("embedding_length", 1 << 15), ("feed_forward_length", 1 << 17), ("attention.head_count", 256)];
    for (key, value) in sizes.into_iter().chain([("attention.head_count_kv", 128)]) {
        file = file.set(&format!("qwen3.{key}"), Value::U32(value));
    }
    for (name, shape, ..) in &mut file.tensors {
        let size = |extent: usize| match extent {
            // Heads keep their size.
            32 => 32,
            64 if name.contains("attn_k.") || name.contains("attn_v.") => 128 * 32,
            64 => 1 << 15,
            96 => 1 << 17,
            128 => 256 * 32,
            vocabulary => vocabulary,
        };
        let first = shape[0];
        *shape = shape.iter().map(|&extent| size(extent)).collect();
        if name.contains("attn_k.") || name.contains("attn_v.") {
            (shape[0], shape[1]) = (size(first), 1 << 15);
        }
    }
    file
}

#[test]
fn memory_is_bounded_by_the_file_s_real_size_whatever_its_header_claims() {
    let whole = gguf().bytes();
    let after = |name: &[u8]| whole.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    let claiming = |place: usize, claim: u64| {
        let mut lying = whole.clone();
        lying[place..place + 8].copy_from_slice(&claim.to_le_bytes());
        lying
    };
    // Behind the key: its type, the type of the elements, their number, the length of the first.
    let tokens = after(b"tokenizer.ggml.tokens") + 8;
    let files = [
        ("sizes of a network", vast().bytes()),
        ("tensors", claiming(8, u64::MAX)),
        ("metadata", claiming(16, u64::MAX)),
        ("strings", claiming(tokens, u64::MAX >> 8)),
        ("bytes of a string", claiming(tokens + 8, 1 << 20)),
        ("rows", claiming(after(b"blk.0.attn_q.weight") + 4, 1 << 40)),
    ];
    for (claim, file) in files {
        let held = most_held(|| {
            let sink = |config: &mut _| Ok(Box::new(qwen3_web::cpu::Sink::new(config, 1)?) as Box<dyn WeightSink>);
            let mut loader = Loader::gguf(Box::new(sink));
            loader.expect(file.len() as u64);
            let result: Result<()> = file.chunks(4096).try_for_each(|bytes| loader.push(bytes));
            refused(result.and_then(|()| loader.finish()), ErrorKind::MalformedFile, "");
        });
        assert!(held < 4 * file.len() + (64 << 10), "{claim} in {} bytes took {held}", file.len());
    }
}

#[test]
fn a_safetensors_header_takes_no_more_memory_than_has_come_of_it() {
    let begun = [&99_999_999u64.to_le_bytes()[..], b"{\"a\":"].concat();
    let vast = r#"{"model.norm.weight":{"dtype":"F32","shape":[64],"data_offsets":[0,256]},
        "model.embed_tokens.weight":{"dtype":"F32","shape":[320,64],"data_offsets":[1000000000000,1000000081920]}}"#;
    for file in [begun, header(vast)] {
        let held = most_held(|| {
            refused(
                load_checkpoint(&support::config_json(), std::slice::from_ref(&file)),
                ErrorKind::MalformedFile,
                "",
            );
        });
        assert!(held < 64 << 10, "{held}");
    }
}

#[test]
fn each_lie_of_a_safetensors_header_is_named_before_any_weight_is_taken() {
    let entry = |shape: &str, begin: u64, end: u64| {
        format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
    };
    let norm = |entry: &str| format!(r#"{{"model.norm.weight":{entry}}}"#);
    let cases = [
        ("[]".to_owned(), "expected an object"),
        (r#"{"a":"#.to_owned(), "broken"),
        (format!("{{\"a\":{}", "[".repeat(100_000)), "broken"),
        (norm("7"), "broken"),
        (norm(r#"{"dtype":"F32","shape":[64]}"#), "data_offsets"),
        (norm(r#"{"dtype":"F32","shape":[64],"data_offsets":[0,256],"strides":[1]}"#), "strides"),
        (norm(&entry("[-64]", 0, 256)), "-64"),
        (norm(&entry("[64.5]", 0, 256)), "64.5"),
        (norm(&entry("[64]", 256, 0)), "its offsets are 256 to 0"),
        (norm(&entry("[64]", 0, 255)), "needs 256 bytes"),
        (norm(&entry("[64]", u64::MAX - 255, u64::MAX)), "model.norm.weight"),
        (norm(&entry("[4294967296,4294967296,4294967296]", 0, 256)), "larger than this machine can address"),
        (norm(&entry("[64,0]", 0, 0)), "no elements"),
        (norm(&entry("[64]", 0, 256)).replace("F32", "F33"), "F33"),
        (format!(r#"{{"__metadata__":{{"a":1}},"a":{}}}"#, entry("[64]", 0, 256)), "broken"),
        (format!(r#"{{"a":{0},"a":{0}}}"#, entry("[64]", 0, 256)), "twice"),
        (format!(r#"{{"a":{},"b":{}}}"#, entry("[64]", 0, 256), entry("[64]", 252, 508)), "overlap"),
    ];
    let latin = [&8u64.to_le_bytes()[..], b"{\"\xE9\":{}}"].concat();
    let cases = cases.map(|(text, says)| (header(&text), says)).into_iter().chain([(latin, "broken")]);
    for (bytes, says) in cases {
        let (mut loader, received) = checkpoint_loader(&support::config_json()).unwrap();
        let error = loader.push(&bytes).unwrap_err();
        let kinds = [ErrorKind::MalformedFile, ErrorKind::UnsupportedModel];
        assert!(kinds.contains(&error.kind) && error.message.contains(says), "{says}: {error}");
        assert!(received.borrow().is_empty(), "{says}");
    }
}
