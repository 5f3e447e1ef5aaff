//! Conversations on a real device with a small model of random weights: what they say means nothing, but it must be the
//! same whichever way the device was brought to say it.
#![cfg(all(any(feature = "gpu", feature = "cpu"), feature = "grammar"))]

use std::path::Path;
use std::time::Instant;

use pollster::block_on;
use qwen3_web::grammar::Automata;
use qwen3_web::model::{Loader, SinkFactory, WeightSink};
use qwen3_web::session::{Engine, Event, FinishReason, Reply, ReplyResult};
use serde_json::{Value, json};

const CONTEXT: usize = 512;

/// One test for each promise, on the device of the module.
macro_rules! every_conversation {
    () => {
        promise!(
            a_reply_is_the_same_fresh_or_on_a_reused_prefix,
            replies_at_the_same_time_are_those_made_alone,
            an_aborted_reply_leaves_the_cache_right,
            thinking_is_closed_at_its_budget_and_the_reply_goes_on,
            logits_do_not_depend_on_how_the_tokens_were_read,
            the_device_draws_what_the_reference_sampler_draws,
            idle_time_changes_no_reply_and_the_next_turn_starts_warm,
            a_saved_reply_goes_on_as_it_would_have,
            requests_of_all_kinds_at_the_same_time_are_those_made_alone,
        );
    };
}

macro_rules! promise {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                super::$name(engine());
            }
        )*
    };
}

#[cfg(feature = "gpu")]
mod on_gpu {
    use super::*;
    use qwen3_web::gpu::{Device, Sink};

    fn engine() -> Engine {
        let device = block_on(Device::open(true, false)).expect("a GPU, or Mesa's software one");
        load(Box::new(move |config| Ok(Box::new(Sink::new(&device, config, CONTEXT)?) as Box<dyn WeightSink>)))
    }

    every_conversation!();
}

#[cfg(feature = "cpu")]
mod on_cpu {
    use super::*;
    use qwen3_web::cpu::Sink;

    fn engine() -> Engine {
        load(Box::new(|config| Ok(Box::new(Sink::new(config, CONTEXT)?) as Box<dyn WeightSink>)))
    }

    every_conversation!();
}

fn load(make_sink: Box<SinkFactory>) -> Engine {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/narrow-f32.gguf");
    let mut loader = Loader::gguf(make_sink);
    for bytes in std::fs::read(path).unwrap().chunks(1 << 16) {
        loader.push(bytes).unwrap();
    }
    let start = Instant::now();
    let clock = Box::new(move || start.elapsed().as_secs_f64() * 1000.0);
    let mut engine = block_on(Engine::load(loader.finish().unwrap(), clock)).unwrap();
    engine.set_grammars(Box::new(Automata::new(&engine.vocabulary()).unwrap()));
    engine
}

fn user(text: &str) -> Value {
    json!([{ "role": "user", "content": text }])
}

fn drain(engine: &mut Engine, reply: &mut Reply) -> ReplyResult {
    let (mut thinking, mut content) = (String::new(), String::new());
    loop {
        for event in block_on(engine.step(reply)).unwrap() {
            match event {
                Event::Thinking { text } => thinking += &text,
                Event::Content { text } => content += &text,
                Event::Done { result } => {
                    assert!(result.thinking.ends_with(&thinking) && result.content.ends_with(&content));
                    return result;
                }
                _ => {}
            }
        }
    }
}

fn say(engine: &mut Engine, messages: &Value, options: Value) -> ReplyResult {
    let mut reply = engine.chat(messages, &options).unwrap();
    drain(engine, &mut reply)
}

fn a_reply_is_the_same_fresh_or_on_a_reused_prefix(mut engine: Engine) {
    let long = "The robot reads another story to its friends. ".repeat(6);
    for options in [json!({ "temperature": 0, "maxTokens": 24 }), json!({ "seed": 7, "maxTokens": 24 })] {
        let fresh = say(&mut engine, &user(&long), options.clone());
        assert!(fresh.usage.prompt_tokens > 64 && fresh.usage.completion_tokens > 0);
        let again = say(&mut engine, &user(&long), options.clone());
        assert_eq!(again.usage.cached_tokens, again.usage.prompt_tokens - 1);
        assert_eq!(again.content, fresh.content);
        say(&mut engine, &user("Something else."), options.clone());
        assert_eq!(say(&mut engine, &user(&long), options).content, fresh.content);
    }
}

fn replies_at_the_same_time_are_those_made_alone(mut engine: Engine) {
    let texts = ["One", "Two two", "Three three three"];
    let options = json!({ "seed": 3, "maxTokens": 16 });
    let alone: Vec<String> = texts.iter().map(|text| say(&mut engine, &user(text), options.clone()).content).collect();
    let mut replies: Vec<Reply> = texts.iter().map(|text| engine.chat(&user(text), &options).unwrap()).collect();
    let mut together = vec![String::new(); texts.len()];
    while replies.iter().any(|reply| !reply.is_done()) {
        for (reply, content) in replies.iter_mut().zip(&mut together) {
            for event in block_on(engine.step(reply)).unwrap() {
                if let Event::Content { text } = event {
                    content.push_str(&text);
                }
            }
        }
    }
    assert_eq!(together, alone);
}

fn an_aborted_reply_leaves_the_cache_right(mut engine: Engine) {
    let options = json!({ "temperature": 0, "maxTokens": 32 });
    let whole = say(&mut engine, &user("Tell me"), options.clone());
    let mut reply = engine.chat(&user("Tell me"), &options).unwrap();
    for _ in 0..3 {
        block_on(engine.step(&mut reply)).unwrap();
    }
    engine.abort(&mut reply);
    let partial = drain(&mut engine, &mut reply);
    assert_eq!(partial.finish_reason, FinishReason::Abort);
    assert!(whole.content.starts_with(&partial.content));
    assert_eq!(say(&mut engine, &user("Tell me"), options).content, whole.content);
}

fn thinking_is_closed_at_its_budget_and_the_reply_goes_on(mut engine: Engine) {
    // A prompt that leaves the thinking open: a model of random weights would not begin it.
    let messages = json!([{ "role": "user", "content": "Why?" }, { "role": "assistant", "thinking": "Let me see" }]);
    let options = json!({ "continueFinalMessage": true, "thinkingBudget": 5, "maxTokens": 20, "seed": 1 });
    let result = say(&mut engine, &messages, options);
    assert_eq!(result.usage.thinking_tokens, 5);
    assert_eq!(result.usage.completion_tokens, 20);
    assert!(!result.content.is_empty());
}

fn logits_do_not_depend_on_how_the_tokens_were_read(mut engine: Engine) {
    let ids: Vec<u32> = (0..200).map(|i| (i * 37 + 11) % 500).collect();
    let fresh = block_on(engine.logits(&ids)).unwrap();
    block_on(engine.logits(&ids[..90])).unwrap();
    let reused = block_on(engine.logits(&ids)).unwrap();
    let distance: f32 = fresh.iter().zip(&reused).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
    let length: f32 = fresh.iter().map(|a| a * a).sum::<f32>().sqrt();
    assert!(length > 0.0 && distance <= 1e-5 * length, "relative distance {}", distance / length);
}

fn the_device_draws_what_the_reference_sampler_draws(mut engine: Engine) {
    for options in [
        json!({ "temperature": 0 }),
        json!({ "seed": 1 }),
        json!({ "seed": 2, "temperature": 1.5, "topK": 0, "topP": 1 }),
        json!({ "seed": 3, "topK": 50, "topP": 0.7, "minP": 0.02 }),
        json!({ "seed": 4, "presencePenalty": 1.5, "frequencyPenalty": 0.5, "repetitionPenalty": 1.3 }),
        json!({ "seed": 5, "logitBias": { "7": 50, "8": 49.5 } }),
        json!({ "seed": 6, "responseFormat": { "type": "regex", "pattern": "[a-z ]{40}[0-9]*" } }),
        json!({ "seed": 7, "topK": 0, "responseFormat": { "type": "regex", "pattern": "[a-z ]{40}[0-9]*" } }),
        json!({ "temperature": 0, "responseFormat": { "type": "json_schema", "schema": { "type": "array" } } }),
    ] {
        let with = |name: &str, value: Value| {
            let mut options = options.clone();
            options["maxTokens"] = json!(24);
            options[name] = value;
            options
        };
        let device = say(&mut engine, &user("Tell me more"), with("logprobs", json!(false)));
        let reference = say(&mut engine, &user("Tell me more"), with("logprobs", json!(true)));
        assert!(!device.content.is_empty());
        assert_eq!(device.content, reference.content, "{options}");
        assert_eq!(device.usage.completion_tokens, reference.usage.completion_tokens, "{options}");
        assert!(reference.logprobs.is_some_and(|logprobs| !logprobs.is_empty()));
    }
}

fn idle_time_changes_no_reply_and_the_next_turn_starts_warm(mut engine: Engine) {
    let options = json!({ "seed": 7, "maxTokens": 40 });
    let mut told = Vec::new();
    for idle in [true, false] {
        let first = say(&mut engine, &user("Tell me a story"), options.clone());
        while idle && block_on(engine.idle()).unwrap() {}
        let messages = json!([
            { "role": "user", "content": "Tell me a story" },
            { "role": "assistant", "content": first.content, "thinking": first.thinking },
            { "role": "user", "content": "Go on" },
        ]);
        let second = say(&mut engine, &messages, options.clone());
        if idle {
            // What is left is the question itself and the beginning of the answer's turn.
            let question = engine.tokenize("user\nGo on<|im_end|>\n<|im_start|>assistant\n").unwrap().len();
            assert_eq!(second.usage.prompt_tokens - second.usage.cached_tokens, question);
        }
        told.push((first.content, second.content));
        say(&mut engine, &user("Something else."), options.clone());
    }
    assert_eq!(told[0], told[1]);
}

fn a_saved_reply_goes_on_as_it_would_have(mut engine: Engine) {
    let options = json!({ "seed": 11, "maxTokens": 40, "presencePenalty": 1.0 });
    let whole = say(&mut engine, &user("Tell me a story"), options.clone());
    for steps in [1, 4, 9] {
        let mut reply = engine.chat(&user("Tell me a story"), &options).unwrap();
        for _ in 0..steps {
            block_on(engine.step(&mut reply)).unwrap();
        }
        let saved = engine.save(&reply).unwrap();
        engine.release(reply).unwrap();
        say(&mut engine, &user("Something else."), options.clone());
        let mut resumed = engine.resume(&saved).unwrap();
        let result = drain(&mut engine, &mut resumed);
        assert_eq!((result.content, result.finish_reason), (whole.content.clone(), whole.finish_reason));
    }
}

fn requests_of_all_kinds_at_the_same_time_are_those_made_alone(mut engine: Engine) {
    let tools = json!([{ "name": "f", "parameters": { "type": "object", "properties": { "a": { "enum": ["b", "c"] } },
        "required": ["a"], "additionalProperties": false } }]);
    let kinds = [
        json!({ "maxTokens": 20 }),
        json!({ "maxTokens": 30, "responseFormat": { "type": "regex", "pattern": "[a-z ]{12}" } }),
        json!({ "maxTokens": 40, "tools": tools, "toolChoice": { "name": "f" } }),
        json!({ "maxTokens": 12, "presencePenalty": 1.5, "logitBias": { "9": 2 } }),
        json!({ "maxTokens": 20, "responseFormat": { "type": "json_schema", "schema": { "enum": ["one", 2, null] } } }),
        json!({ "maxTokens": 10, "logprobs": true, "topK": 0 }),
        json!({ "maxTokens": 25, "enableThinking": false, "stop": "e" }),
    ];
    let request = |n: usize| {
        let mut options = kinds[n % kinds.len()].clone();
        options["seed"] = json!(n);
        (user(&format!("Question {}", n % 5)), options)
    };
    let told = |result: ReplyResult| {
        let calls: Vec<Value> = result.tool_calls.into_iter().map(|call| call.arguments).collect();
        (result.thinking, result.content, calls, result.finish_reason)
    };
    const REQUESTS: usize = 28;
    let alone: Vec<_> = (0..REQUESTS)
        .map(|n| {
            let (messages, options) = request(n);
            told(say(&mut engine, &messages, options))
        })
        .collect();
    // Three at a time, beside a fourth that is aborted again and again, with idle time in between.
    let mut running: Vec<(usize, Reply)> = Vec::new();
    let mut together = vec![None; REQUESTS];
    let (mut next, mut round) = (0, 0);
    while next < REQUESTS || !running.is_empty() {
        while running.len() < 3 && next < REQUESTS {
            let (messages, options) = request(next);
            running.push((next, engine.chat(&messages, &options).unwrap()));
            next += 1;
        }
        let (messages, options) = request(round);
        let mut doomed = engine.chat(&messages, &options).unwrap();
        for _ in 0..round % 4 {
            block_on(engine.step(&mut doomed)).unwrap();
        }
        engine.release(doomed).unwrap();
        for (n, reply) in &mut running {
            for event in block_on(engine.step(reply)).unwrap() {
                if let Event::Done { result } = event {
                    together[*n] = Some(told(result));
                }
            }
        }
        running.retain(|(_, reply)| !reply.is_done());
        block_on(engine.idle()).unwrap();
        round += 1;
    }
    for (n, (together, alone)) in together.into_iter().zip(alone).enumerate() {
        assert_eq!(together, Some(alone), "request {n}: {}", request(n).1);
    }
}
