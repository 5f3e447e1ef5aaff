//! The whole way from bytes to events: a reply cut into tokens at any byte says the same, and its deltas concatenate to
//! the reply without its tags. What vLLM's and SGLang's tests say of a reply, it says too, or there is a reason.

use qwen3_web::chat::reply::{Event, Parser, Start, Tags};
use qwen3_web::tokenizer::Decoder;
use serde_json::{Value, json};

/// Ids of the tags; every other token is `TEXT`.
const TAGS: Tags = Tags { think: Some(1), end_think: Some(2), tool_call: Some(3), end_tool_call: Some(4) };
const TEXT: u32 = 0;

/// A reply taken apart: text between tags.
enum Part {
    Tag(u32),
    Bytes(&'static [u8]),
}

/// Everything a reply said, each kind joined.
#[derive(Debug, Default, PartialEq)]
struct Said {
    thinking: String,
    content: String,
    arguments: String,
    calls: Vec<(String, String)>,
}

fn said(parts: &[Part], cut: impl Fn(&'static [u8]) -> Vec<&'static [u8]>) -> Said {
    let mut parser = Parser::new(TAGS, Start::Reply);
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for part in parts {
        match part {
            Part::Tag(id) => {
                parser.push_text(&decoder.finish(), &mut events);
                parser.push_token(*id, "", &mut events);
            }
            Part::Bytes(bytes) => {
                for token in cut(bytes) {
                    parser.push_token(TEXT, &decoder.push_bytes(token), &mut events);
                }
            }
        }
    }
    parser.push_text(&decoder.finish(), &mut events);
    parser.finish(&mut events);
    let mut said = Said::default();
    for event in events {
        match event {
            Event::Thinking(text) => said.thinking += &text,
            Event::Content(text) => said.content += &text,
            Event::ToolCallDelta { arguments, .. } => said.arguments += &arguments,
            Event::ToolCall { call, .. } => said.calls.push((call.name, call.arguments.to_string())),
            Event::MalformedToolCall { .. } => {}
        }
    }
    said
}

#[test]
fn the_cut_of_the_bytes_changes_nothing() {
    let thinking = "\nLöse 3x² + 5x − 2 = 0.\n\nFirst… 👩‍👩‍👧‍👦\n";
    let content = "\n\nDie Lösung: **x = ⅓** 😀\n";
    let call = "\n{\"name\": \"f\", \"arguments\": {\"größe\": \"👍🏽 {\\\"\"}}\n";
    let parts = [
        Part::Tag(1),
        Part::Bytes(thinking.as_bytes()),
        Part::Tag(2),
        Part::Bytes(content.as_bytes()),
        Part::Tag(3),
        Part::Bytes(call.as_bytes()),
        Part::Tag(4),
    ];
    let expected = Said {
        thinking: "Löse 3x² + 5x − 2 = 0.\n\nFirst… 👩‍👩‍👧‍👦".into(),
        content: "Die Lösung: **x = ⅓** 😀".into(),
        arguments: "{\"größe\": \"👍🏽 {\\\"\"}".into(),
        calls: vec![("f".into(), "{\"größe\":\"👍🏽 {\\\"\"}".into())],
    };
    let longest = thinking.len();
    for size in 1..=longest {
        assert_eq!(said(&parts, |bytes| bytes.chunks(size).collect()), expected, "tokens of {size} bytes");
        let at = |bytes: &'static [u8]| {
            let (before, after) = bytes.split_at(size.min(bytes.len()));
            vec![before, after]
        };
        assert_eq!(said(&parts, at), expected, "cut at byte {size}");
    }
}

#[test]
fn bytes_that_are_no_text_are_replaced_and_lose_nothing_else() {
    let bytes: &[u8] = b"ok \xF0\x9F\x98";
    let parts = [Part::Tag(1), Part::Bytes(bytes), Part::Tag(2), Part::Bytes(b"a\xFFb\xE2\x82")];
    for size in 1..6 {
        let said = said(&parts, |bytes| bytes.chunks(size).collect());
        assert_eq!((said.thinking.as_str(), said.content.as_str()), ("ok \u{FFFD}", "a\u{FFFD}b\u{FFFD}"));
    }
}

#[test]
fn no_output_of_a_model_can_break_the_parser() {
    // Xorshift (G. Marsaglia, 2003): any stream does, it only has to be the same each time.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let pieces: [&[u8]; 24] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b"'",
        b"\\",
        b"\\u12",
        b":",
        b",",
        b"\n",
        b" ",
        b"\"name\"",
        b"\"arguments\"",
        b"\"f\"",
        b"name",
        b"1e9",
        b"-",
        b"True",
        b"\xF0\x9F\x98\x80",
        b"\xF0\x9F",
        b"\x80",
        b"\0",
        b"{\"name\": \"f\", \"arguments\": {",
    ];
    for _ in 0..20_000 {
        let start = [Start::Reply, Start::Thinking, Start::Content, Start::MidContent][random(4)];
        let mut parser = Parser::new(TAGS, start);
        let mut decoder = Decoder::default();
        let mut events = Vec::new();
        for _ in 0..random(40) {
            if random(4) == 0 {
                parser.push_text(&decoder.finish(), &mut events);
                parser.push_token(1 + random(4) as u32, "<tag>", &mut events);
            } else {
                parser.push_token(TEXT, &decoder.push_bytes(pieces[random(pieces.len())]), &mut events);
            }
        }
        parser.push_text(&decoder.finish(), &mut events);
        parser.finish(&mut events);
        // Calls are numbered without gaps.
        let indices = events.iter().filter_map(|event| match event {
            Event::ToolCall { index, .. } => Some(*index),
            _ => None,
        });
        assert!(indices.enumerate().all(|(expected, index)| expected == index));
    }
}

/// Replies and what other parsers make of them: tests of vLLM and SGLang that apply to Qwen3, re-expressed. `ours` is what
/// differs here and `why` the reason. The tags stand for their tokens.
const CASES: &str = include_str!("fixtures/reply-cases.json");

/// What a reply says whose text comes in pieces, cut at the bytes `cuts` of it; tags are never cut, being tokens.
fn said_in_pieces(case: &Value, cuts: &[usize]) -> Value {
    let start = match case["start"].as_str().unwrap() {
        "reply" => Start::Reply,
        "thinking" => Start::Thinking,
        "content" => Start::Content,
        other => panic!("{other}"),
    };
    let tools = case["tools"] == true;
    let tags = if tools { TAGS } else { Tags { tool_call: None, end_tool_call: None, ..TAGS } };
    let mut parser = Parser::new(tags, start);
    let mut events = Vec::new();
    let output = case["output"].as_str().unwrap();
    let names = [(1, "<think>"), (2, "</think>"), (3, "<tool_call>"), (4, "</tool_call>")];
    let mut at = 0;
    while at < output.len() {
        if let Some((id, name)) = names.iter().find(|(_, name)| output[at..].starts_with(name)) {
            parser.push_token(*id, name, &mut events);
            at += name.len();
            continue;
        }
        let tag = names.iter().filter_map(|(_, name)| output[at..].find(name)).map(|offset| at + offset).min();
        let cut = cuts.iter().copied().find(|&cut| cut > at).unwrap_or(output.len());
        let end = cut.min(tag.unwrap_or(output.len()));
        parser.push_token(TEXT, &output[at..end], &mut events);
        at = end;
    }
    parser.finish(&mut events);
    let (mut thinking, mut content, mut calls) = (String::new(), String::new(), Vec::new());
    for event in events {
        match event {
            Event::Thinking(text) => thinking += &text,
            Event::Content(text) => content += &text,
            Event::ToolCall { call, .. } => calls.push(json!({ "name": call.name, "arguments": call.arguments })),
            Event::ToolCallDelta { .. } | Event::MalformedToolCall { .. } => {}
        }
    }
    json!({ "thinking": thinking, "content": content, "calls": calls })
}

#[test]
fn what_vllm_and_sglang_expect_of_a_reply_it_says_at_every_cut() {
    let sources: Vec<Value> = serde_json::from_str(CASES).unwrap();
    let mut n_cases = 0;
    for case in sources.iter().flat_map(|source| source["cases"].as_array().unwrap()) {
        let told = |field: &str| case["ours"].get(field).or_else(|| case.get(field)).cloned();
        let expected = json!({ "thinking": told("thinking"), "content": told("content"),
            "calls": told("calls").unwrap_or_else(|| json!([])) });
        assert_eq!(case.get("ours").is_some(), case.get("why").is_some(), "{case}");
        let output = case["output"].as_str().unwrap();
        let all: Vec<usize> = (0..=output.len()).filter(|&at| output.is_char_boundary(at)).collect();
        assert_eq!(said_in_pieces(case, &all), expected, "{case} character by character");
        for (index, &first) in all.iter().enumerate() {
            for &second in all[index..].iter().step_by(7) {
                assert_eq!(said_in_pieces(case, &[first, second]), expected, "{case} cut at {first} and {second}");
            }
        }
        n_cases += 1;
    }
    assert_eq!(n_cases, 71);
}
