//! What is fuzzed: any bytes give a value or an error that blames them, never a panic. `tests/fuzz.rs` runs the seeds.
#![allow(dead_code, reason = "each fuzz target uses its part")]

use std::hint::black_box;

use qwen3_web::chat::message::messages;
use qwen3_web::chat::reply::{Event, Parser, Start, Tags};
use qwen3_web::chat::template::{Carried, Piece, Render, Settings};
use qwen3_web::chat::tools::parse_call;
use qwen3_web::error::{Error, ErrorKind};
use qwen3_web::jinja::Jinja;
use qwen3_web::model::{Discard, Loader};
use qwen3_web::tokenizer::Tokenizer;
use serde_json::json;

/// The engine is never to blame for a file.
fn expect_blame<T>(outcome: Result<T, Error>) -> Option<T> {
    outcome.inspect_err(|error| assert_ne!(error.kind, ErrorKind::Internal, "{error}")).ok()
}

/// The first byte says in what pieces the file arrives.
fn feed(mut loader: Loader, bytes: &[u8]) {
    let Some((&size, file)) = bytes.split_first() else { return };
    for piece in file.chunks(1 + 7 * usize::from(size)) {
        if expect_blame(loader.push(piece)).is_none() {
            return;
        }
    }
    black_box(expect_blame(loader.finish()).is_some());
}

pub fn gguf(bytes: &[u8]) {
    feed(Loader::gguf(Box::new(|_| Ok(Box::new(Discard)))), bytes);
}

/// The `config.json` comes first and ends at a byte 0.
pub fn safetensors(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (Some(config), Some(file)) = (parts.next(), parts.next()) else { return };
    let loader = Loader::safetensors(config, Vec::new(), Box::new(|_| Ok(Box::new(Discard))));
    if let Some(loader) = expect_blame(loader) {
        feed(loader, file);
    }
}

pub fn tokenizer_json(bytes: &[u8]) {
    let Some(tokenizer) = expect_blame(Tokenizer::from_json(bytes)) else { return };
    let added = tokenizer.added_tokens();
    for text in ["Hello, 世界! 123 <|im_end|>\n  x", "", " \t", "a\u{0}😀"] {
        // A tokenizer may be unable to encode a text, and says so.
        if let Ok(ids) = tokenizer.encode_text(text) {
            black_box(tokenizer.decode(&ids));
            assert!(ids.len() <= 128 * (text.len() + bytes.len()) && added.len() <= bytes.len());
        }
        _ = black_box(tokenizer.encode_matching_added(text));
    }
}

/// A template, and after a byte 0 what a user says.
pub fn template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (source, said) = text.split_once('\0').unwrap_or((text, "Hi <|im_end|>"));
    let controls: Vec<String> = ["<|im_start|>", "<|im_end|>", "<think>", "</think>"].map(str::to_owned).into();
    let token = Some("<|im_start|>".to_owned());
    let carried = Carried { source: source.to_owned(), bos_token: token.clone(), eos_token: token, controls };
    let Some(jinja) = expect_blame(Jinja::new(carried)) else { return };
    let jinja = jinja.with_clock(Box::new(|| 1_767_603_723_000));
    let list = json!([
        { "role": "system", "content": said },
        { "role": "user", "content": said },
        { "role": "assistant", "content": said, "thinking": said, "toolCalls": [{ "name": "f", "arguments": { "a": said } }] },
    ]);
    let list = messages(&list).expect("messages");
    let tool = json!({ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } });
    for continue_final_message in [false, true] {
        let settings = Settings { tools: vec![tool.clone()], continue_final_message, ..Settings::default() };
        if let Some(prompt) = expect_blame(jinja.prompt(&list, &settings)) {
            let is_empty = |piece: &Piece| matches!(piece, Piece::Text(text) if text.is_empty());
            assert!(!prompt.pieces.iter().any(is_empty));
        }
    }
}

/// Each byte below 8 is a tag or a start, all else is text of tokens.
pub fn reply(bytes: &[u8]) {
    let tags = Tags { think: Some(1), end_think: Some(2), tool_call: Some(3), end_tool_call: Some(4) };
    let starts = [Start::Reply, Start::Thinking, Start::Content, Start::MidContent];
    let Some((&first, rest)) = bytes.split_first() else { return };
    let mut parser = Parser::new(tags, starts[usize::from(first % 4)]);
    let mut events = Vec::new();
    for token in rest.split_inclusive(|byte| *byte < 8) {
        let (text, tag) = match token.split_last() {
            Some((tag, text)) if *tag < 8 => (text, Some(u32::from(*tag))),
            _ => (token, None),
        };
        let text = String::from_utf8_lossy(text);
        parser.push_token(9, &text, &mut events);
        if let Some(tag) = tag {
            parser.push_token(
                tag,
                ["", "<think>", "</think>", "<tool_call>", "</tool_call>"].get(tag as usize).unwrap_or(&"x"),
                &mut events,
            );
        }
        black_box(parse_call(&text));
    }
    parser.finish(&mut events);
    let empty = |event: &Event| matches!(event, Event::Content(text) | Event::Thinking(text) if text.is_empty());
    assert!(!events.iter().any(empty));
}
