//! Conversations on a real device with a small model of random weights: what they say means nothing, but it must be the
//! same whichever way the device was brought to say it.
#![cfg(any(feature = "gpu", feature = "cpu"))]

use std::path::Path;
use std::time::Instant;

use pollster::block_on;
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
        let device = block_on(Device::open(true)).expect("a GPU, or Mesa's software one");
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
    block_on(Engine::load(loader.finish().unwrap(), Box::new(move || start.elapsed().as_secs_f64() * 1000.0))).unwrap()
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
    ] {
        let with = |name: &str, value: Value| {
            let mut options = options.clone();
            options["maxTokens"] = json!(24);
            options[name] = value;
            options
        };
        let device = say(&mut engine, &user("Tell me more"), with("logprobs", json!(false)));
        let reference = say(&mut engine, &user("Tell me more"), with("logprobs", json!(true)));
        assert_eq!(device.content, reference.content, "{options}");
        assert_eq!(device.usage.completion_tokens, reference.usage.completion_tokens, "{options}");
        assert!(reference.logprobs.is_some_and(|logprobs| !logprobs.is_empty()));
    }
}
