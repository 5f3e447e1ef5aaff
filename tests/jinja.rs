//! Chat templates of other models against `transformers`, and what people wrote against forging control tokens.
#![cfg(all(feature = "cpu", feature = "jinja"))]

mod support;

use std::collections::BTreeMap;

use pollster::block_on;
use qwen3_web::chat::message::messages;
use qwen3_web::chat::reply::Start;
use qwen3_web::chat::template::{CONTROLS, Carried, Piece, Prompt, Render, Settings, prompt as qwen3_prompt};
use qwen3_web::error::{ErrorKind, Result};
use qwen3_web::jinja::Jinja;
use qwen3_web::model::{Config, Loader, Turns, WeightSink};
use qwen3_web::session::{Engine, Event};
use serde_json::{Value, json};
use support::Gguf;

const CORPUS: &str = include_str!("fixtures/jinja-corpus.json");
const QWEN3_CORPUS: &str = include_str!("fixtures/template-corpus.json");
/// When `tests/fixtures/jinja.py` rendered: 9:03:07 on the 5th of January 2026.
const NOW: i64 = 1_767_603_787_000;
const QWEN3: &str = include_str!("../models/tiny-math/chat_template.jinja");

fn flag(case: &Value, key: &str) -> bool {
    case.get(key).is_some_and(|flag| flag.as_bool().unwrap())
}

fn settings(corpus: &Value, case: &Value) -> Settings {
    let indices = case.get("tools").map(|tools| tools.as_array().unwrap().clone()).unwrap_or_default();
    Settings {
        tools: indices.iter().map(|index| corpus["tools"][index.as_u64().unwrap() as usize].clone()).collect(),
        enable_thinking: flag(case, "thinking"),
        add_generation_prompt: flag(case, "generate"),
        continue_final_message: flag(case, "continue"),
    }
}

fn carried(source: &str, controls: &[&str]) -> Carried {
    let controls = controls.iter().map(|&control| control.to_owned()).collect();
    Carried { source: source.to_owned(), bos_token: None, eos_token: None, controls }
}

fn said(jinja: &Jinja, list: &Value) -> Result<Prompt> {
    jinja.prompt(&messages(list).unwrap(), &Settings::default())
}

fn controls(prompt: &Prompt) -> Vec<&str> {
    fn control(piece: &Piece) -> Option<&str> {
        match piece {
            Piece::Control(control) => Some(control),
            Piece::Text(_) => None,
        }
    }
    prompt.pieces.iter().filter_map(control).collect()
}

fn templates(corpus: &Value) -> BTreeMap<String, (Jinja, Vec<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let read = |(name, parts): (&String, &Value)| {
        let controls: Vec<String> = serde_json::from_value(parts["controls"].clone()).unwrap();
        let carried = Carried {
            source: text(&parts["source"]).unwrap(),
            bos_token: text(&parts["bos_token"]),
            eos_token: text(&parts["eos_token"]),
            controls: controls.clone(),
        };
        assert!(!carried.is_qwen3());
        (name.clone(), (Jinja::new(carried).unwrap().with_clock(Box::new(|| NOW)), controls))
    };
    corpus["templates"].as_object().unwrap().iter().map(read).collect()
}

#[test]
fn prompts_equal_transformers() {
    let corpus: Value = serde_json::from_str(CORPUS).unwrap();
    let templates = templates(&corpus);
    let (mut n_refused, mut n_continued) = (0, 0);
    let cases = corpus["cases"].as_array().unwrap();
    assert!(cases.len() >= 150);
    for (index, case) in cases.iter().enumerate() {
        let (jinja, _) = &templates[case["template"].as_str().unwrap()];
        let rendered = jinja.prompt(&messages(&case["messages"]).unwrap(), &settings(&corpus, case));
        n_continued += usize::from(flag(case, "continue"));
        match case["refused"].as_str() {
            None => assert_eq!(rendered.unwrap().text(), case["text"].as_str().unwrap(), "case {index}: {case}"),
            Some(refusal) => {
                n_refused += 1;
                let error = rendered.unwrap_err();
                assert_eq!(error.kind, ErrorKind::InvalidArgument, "case {index}: {error}");
                assert!(error.message.ends_with(refusal), "case {index}: {error}");
            }
        }
    }
    assert!(n_refused > 5 && n_continued > 5, "{n_refused} refused, {n_continued} continued");
}

/// What people wrote decides nothing: with all look-alikes taken out of it, the same control tokens come.
#[test]
fn people_forge_no_control_token() {
    let corpus: Value = serde_json::from_str(CORPUS).unwrap();
    let templates = templates(&corpus);
    let mut n_with_look_alikes = 0;
    for case in corpus["cases"].as_array().unwrap().iter().filter(|case| case.get("text").is_some()) {
        let (jinja, tokens) = &templates[case["template"].as_str().unwrap()];
        let settings = settings(&corpus, case);
        let spelt = |place: usize| tokens[place % tokens.len()].as_str();
        // Every message gets every control token, at its beginning, in its middle and at its end.
        let with = |inner: &dyn Fn(usize) -> String| -> Value {
            let mut list = case["messages"].clone();
            for (index, message) in list.as_array_mut().unwrap().iter_mut().enumerate() {
                let content = message["content"].as_str().unwrap().replace("</think>", "");
                message["content"] =
                    format!("x{}{content}{}{}y", inner(index), inner(index + 1), inner(index + 2)).into();
            }
            list
        };
        // The template reads this one; a test below has it.
        let forged = with(&|place| spelt(place).replace("</think>", "<think>"));
        let bare = with(&|_| "_".to_owned());
        let (forged, bare) = (messages(&forged).unwrap(), messages(&bare).unwrap());
        let (forged, bare) = (jinja.prompt(&forged, &settings), jinja.prompt(&bare, &settings));
        let (Ok(forged), Ok(bare)) = (forged, bare) else { continue };
        n_with_look_alikes += 1;
        assert_eq!(controls(&forged), controls(&bare), "{case}");
        assert!(forged.text().len() > bare.text().len());
    }
    assert!(n_with_look_alikes > 100, "{n_with_look_alikes}");
}

#[test]
fn qwen3_s_template_gives_the_same_pieces_run_as_built_in() {
    let corpus: Value = serde_json::from_str(QWEN3_CORPUS).unwrap();
    let jinja = Jinja::new(carried(QWEN3, &CONTROLS)).unwrap();
    assert!(carried(QWEN3, &CONTROLS).is_qwen3());
    let mut n_apart = 0;
    for (index, case) in corpus["cases"].as_array().unwrap().iter().enumerate() {
        let messages = messages(&case["messages"]).unwrap();
        for enable_thinking in [true, false] {
            let settings = Settings { enable_thinking, ..settings(&corpus, case) };
            // Where such a message goes on is not the template's to say.
            if settings.continue_final_message {
                continue;
            }
            let built_in = qwen3_prompt(&messages, &settings).unwrap();
            let run = jinja.prompt(&messages, &settings).unwrap();
            assert_eq!(run.text(), built_in.text(), "case {index}: {}", case["messages"]);
            // A template that reads a tag in what people wrote can leave it open whose the tag is: then it is text.
            if run != built_in {
                n_apart += 1;
                assert!(controls(&run).len() < controls(&built_in).len(), "case {index}: {}", case["messages"]);
            }
        }
    }
    assert!(n_apart < 250, "{n_apart}");
}

#[test]
fn a_tag_that_the_template_cuts_away_leaves_its_own_tags_alone() {
    let corpus: Value = serde_json::from_str(CORPUS).unwrap();
    let templates = templates(&corpus);
    let (jinja, _) = &templates["thinks"];
    let list = json!([
        { "role": "user", "content": "a<eos>" },
        { "role": "assistant", "content": "<think>hm</think>b" },
        { "role": "user", "content": "c" },
    ]);
    let prompt = said(jinja, &list).unwrap();
    assert_eq!(prompt.text(), "<bos><User>a<eos><Assistant>b<eos><User>c<Assistant><think>\n");
    let expected = ["<bos>", "<User>", "<Assistant>", "<eos>", "<User>", "<Assistant>", "<think>"];
    assert_eq!(controls(&prompt), expected);
    assert_eq!(prompt.start, Start::Thinking);
}

/// A template that prints a tag because one was written: whose it is cannot be told, so it is nobody's.
#[test]
fn a_tag_in_doubt_is_text() {
    let source =
        "{% for m in messages %}<a>{{ '<b>' ~ m.content if m.content.startswith('<b>') else m.content }}{% endfor %}";
    let jinja = Jinja::new(carried(source, &["<a>", "<b>"])).unwrap();
    let prompt = said(&jinja, &json!([{ "role": "user", "content": "<b>" }])).unwrap();
    assert_eq!(prompt.text(), "<a><b><b>");
    assert_eq!(controls(&prompt), ["<a>"]);
}

#[test]
fn a_control_token_cannot_be_completed_by_what_stands_beside_it() {
    let source = "{% for m in messages %}<{{ m.content }}>{{ m.content }}{% endfor %}";
    let jinja = Jinja::new(carried(source, &["<a>", "b<", "ab"])).unwrap();
    let list = json!([{ "role": "user", "content": "a" }, { "role": "user", "content": "b" }]);
    let prompt = said(&jinja, &list).unwrap();
    assert_eq!(prompt.text(), "<a>a<b>b");
    assert_eq!(controls(&prompt), Vec::<&str>::new());
}

#[test]
fn templates_that_cannot_be_run_are_refused() {
    for source in ["{%}", "{% if %}", "{{ messages", "{% frobnicate %}", "{% endfor %}"] {
        let error = Jinja::new(carried(source, &[])).err().expect(source);
        assert_eq!(error.kind, ErrorKind::UnsupportedModel, "{source}: {error}");
    }
    let user = json!([{ "role": "user", "content": "x" }]);
    for source in [
        "{{ nothing.at.all }}",
        "{{ messages | nofilter }}",
        "{{ messages[0].content.explode() }}",
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{{ 'a' * 1000000000000 }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% include 'other' %}",
    ] {
        let failed = Jinja::new(carried(source, &[])).and_then(|jinja| said(&jinja, &user));
        assert_eq!(failed.expect_err(source).kind, ErrorKind::UnsupportedModel, "{source}");
    }
}

/// A clock that goes on between the runs of one prompt would leave no control token the template's.
#[test]
fn all_of_a_prompt_is_of_one_moment() {
    let ticks = std::cell::Cell::new(NOW);
    let clock = move || ticks.replace(ticks.get() + 1000);
    let source = "<a>{{ strftime_now('%H:%M:%S') }}{% for m in messages %}{{ m.content }}{% endfor %}";
    let jinja = Jinja::new(carried(source, &["<a>"])).unwrap().with_clock(Box::new(clock));
    for seconds in ["07", "08"] {
        let prompt = said(&jinja, &json!([{ "role": "user", "content": "<a>" }])).unwrap();
        assert_eq!(prompt.text(), format!("<a>09:03:{seconds}<a>"));
        assert_eq!(controls(&prompt), ["<a>"]);
    }
}

#[test]
fn without_a_clock_a_template_takes_its_own_date() {
    let source = "{{ strftime_now('%d') if strftime_now is defined else '26 Jul 2024' }}";
    let user = json!([{ "role": "user", "content": "x" }]);
    assert_eq!(said(&Jinja::new(carried(source, &[])).unwrap(), &user).unwrap().text(), "26 Jul 2024");
    for format in ["%", "%Q", "%d %", "%z"] {
        let source = format!("{{{{ strftime_now('{format}') }}}}");
        let jinja = Jinja::new(carried(&source, &[])).unwrap().with_clock(Box::new(|| NOW));
        assert_eq!(said(&jinja, &user).unwrap_err().kind, ErrorKind::UnsupportedModel, "{format}");
    }
}

#[test]
fn text_that_holds_every_mark_is_refused() {
    let jinja = Jinja::new(carried("{{ messages[0].content }}", &[])).unwrap();
    let all: String = ('\u{FDD0}'..='\u{FDEF}').collect();
    assert_eq!(
        said(&jinja, &json!([{ "role": "user", "content": all }])).unwrap_err().kind,
        ErrorKind::InvalidArgument
    );
    let some = &all[..all.len() - 9];
    assert_eq!(said(&jinja, &json!([{ "role": "user", "content": some }])).unwrap().text(), some);
}

fn sink(config: &mut Config) -> Result<Box<dyn WeightSink>> {
    Ok(Box::new(qwen3_web::cpu::Sink::new(config, 256)?))
}

fn engine_of(mut loader: Loader, bytes: &[u8]) -> Engine {
    loader.push(bytes).unwrap();
    block_on(Engine::load(loader.finish().unwrap(), Box::new(|| 0.0))).unwrap()
}

fn engine(file: &Gguf) -> Engine {
    engine_of(Loader::gguf(Box::new(sink)), &file.bytes())
}

/// Of a folder of safetensors with this `tokenizer_config.json`.
fn engine_of_checkpoint(tokenizer_config: &Value) -> Engine {
    let turns = Turns::read(Some(tokenizer_config.to_string().as_bytes()), None).unwrap();
    let tokenizer = support::tokenizer_json().into_bytes();
    let loader = Loader::safetensors(support::config_json().as_bytes(), tokenizer, Box::new(sink)).unwrap();
    engine_of(loader.with_turns(turns), &support::safetensors(&support::hugging_face_tensors()))
}

fn prompt_tokens(engine: &mut Engine, prompt: &str) -> usize {
    let mut reply = engine.complete(prompt, &json!({ "maxTokens": 1, "seed": 1 })).unwrap();
    let mut events = Vec::new();
    while !reply.is_done() {
        events.extend(block_on(engine.step(&mut reply)).unwrap());
    }
    let Some(Event::Done { result }) = events.pop() else { panic!("no end") };
    result.usage.prompt_tokens
}

#[test]
fn a_model_speaks_by_the_template_in_its_file() {
    let source = "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role | upper }} {{ m.content }}{{ eos_token }}{% endfor %}";
    let set = |source: &str| support::gguf().set("tokenizer.chat_template", support::Value::Text(source.to_owned()));
    let user = |content: &str| json!([{ "role": "user", "content": content }]);
    for file in [support::gguf(), set(QWEN3)] {
        let engine = engine(&file);
        assert!(engine.needs_template().is_none());
        let prompt = engine.apply_chat_template(&user("ab"), &Value::Null).unwrap();
        assert_eq!(prompt, "<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\n");
    }

    // The fixture's first added token stands for the beginning of a text.
    let mut engine = engine(&set(source).set("tokenizer.ggml.bos_token_id", support::Value::U32(257)));
    let carried = engine.needs_template().unwrap().clone();
    assert_eq!(carried.bos_token.as_deref(), Some("<|endoftext|>"));
    assert_eq!(engine.chat(&user("ab"), &Value::Null).err().unwrap().kind, ErrorKind::Internal);
    engine.set_template(Box::new(Jinja::new(carried).unwrap()));
    assert!(engine.needs_template().is_none());
    let prompt = engine.apply_chat_template(&user("ab"), &Value::Null).unwrap();
    assert_eq!(prompt, "<|endoftext|><|im_start|>USER ab<|im_end|>");
    // Three control tokens, "USER " and "ab"; what a user spells is bytes.
    assert_eq!(engine.count_tokens(&user("ab"), &Value::Null).unwrap(), 3 + 5 + 1);
    assert_eq!(engine.count_tokens(&user("<|im_end|>"), &Value::Null).unwrap(), 3 + 5 + 10);
}

#[test]
fn a_checkpoint_speaks_by_the_template_beside_it_and_ends_as_it_says() {
    let source = "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role | upper }} {{ m.content }}{{ eos_token }}{% endfor %}";
    let user = json!([{ "role": "user", "content": "ab" }]);
    let qwen3 = engine_of_checkpoint(&json!({ "chat_template": QWEN3 }));
    assert!(qwen3.needs_template().is_none());
    assert_eq!(qwen3.vocabulary().eos, [259, 257]);

    let mut engine =
        engine_of_checkpoint(&json!({ "chat_template": source, "bos_token": { "content": "<|endoftext|>" },
        "eos_token": "<tool_call>", "add_bos_token": true }));
    assert_eq!(engine.vocabulary().eos, [259, 257, 262]);
    let carried = engine.needs_template().unwrap().clone();
    engine.set_template(Box::new(Jinja::new(carried).unwrap()));
    let prompt = engine.apply_chat_template(&user, &Value::Null).unwrap();
    assert_eq!(prompt, "<|endoftext|><|im_start|>USER ab<tool_call>");
    assert_eq!(engine.count_tokens(&user, &Value::Null).unwrap(), 3 + 5 + 1);
    for prompt in ["ab", "<|endoftext|>ab"] {
        assert_eq!(prompt_tokens(&mut engine, prompt), 2, "{prompt}");
    }
}

#[test]
fn a_model_without_a_template_or_turns_goes_on_with_raw_text_alone() {
    let mut file = support::gguf();
    for (name, value) in &mut file.metadata {
        if let ("tokenizer.ggml.tokens", support::Value::Texts(tokens)) = (name.as_str(), value) {
            tokens
                .iter_mut()
                .filter(|token| token.as_str() == "<|im_start|>")
                .for_each(|token| *token = "<s>".to_owned());
        }
    }
    let file = file
        .set("tokenizer.ggml.bos_token_id", support::Value::U32(258))
        .set("tokenizer.ggml.add_bos_token", support::Value::Bool(true));
    let mut engine = engine(&file);
    let error = engine.chat(&json!([{ "role": "user", "content": "ab" }]), &Value::Null).err().unwrap();
    assert_eq!(error.kind, ErrorKind::UnsupportedModel);
    for prompt in ["ab", "<s>ab"] {
        assert_eq!(prompt_tokens(&mut engine, prompt), 2, "{prompt}");
    }
}
