//! Files that are whole and hold nonsense: configurations, vocabularies and weights.

use pollster::block_on;
use qwen3_web::error::{ErrorKind, Result};
use qwen3_web::model::{Loader, WeightSink};
use qwen3_web::session::{Engine, Event};
use serde_json::{Value as Json, json};

use super::support::{self, Gguf, Value, gguf};
use super::{load, load_checkpoint};

#[test]
fn a_config_s_numbers_that_are_none_are_refused() {
    for (key, value) in [
        ("hidden_size", json!("64")),
        ("hidden_size", json!(-64)),
        ("hidden_size", json!(64.5)),
        ("hidden_size", json!(1e30)),
        ("hidden_size", json!(null)),
        ("hidden_size", json!(48)),
        ("num_attention_heads", json!([4])),
        ("num_attention_heads", json!(0)),
        ("num_key_value_heads", json!(3)),
        ("head_dim", json!(31)),
        ("head_dim", json!(1 << 20)),
        ("vocab_size", json!(u64::MAX)),
        ("num_hidden_layers", json!(1_u64 << 40)),
        ("max_position_embeddings", json!(0)),
        ("rope_theta", json!("x")),
        ("rope_theta", json!(0)),
        ("rms_norm_eps", json!(-1)),
        ("hidden_act", json!("gelu")),
        ("model_type", json!(3)),
    ] {
        let mut config: Json = serde_json::from_str(&support::config_json()).unwrap();
        config[key] = value;
        let result = load_checkpoint(&config.to_string(), &[]);
        let error = result.err().unwrap_or_else(|| panic!("{} was accepted", config[key]));
        let kinds = [ErrorKind::MalformedFile, ErrorKind::UnsupportedModel];
        assert!(kinds.contains(&error.kind), "{key} {}: {error}", config[key]);
    }
}

fn engine(file: &Gguf) -> Result<Engine> {
    let sink = |config: &mut _| Ok(Box::new(qwen3_web::cpu::Sink::new(config, 64)?) as Box<dyn WeightSink>);
    let mut loader = Loader::gguf(Box::new(sink));
    loader.push(&file.bytes())?;
    block_on(Engine::load(loader.finish()?, Box::new(|| 0.0)))
}

fn list(file: &Gguf, key: &str) -> Value {
    file.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()).unwrap()
}

#[test]
fn a_vocabulary_of_nonsense_is_refused_or_harmless() {
    let tokens = |change: &dyn Fn(&mut Vec<String>)| {
        let Value::Texts(mut tokens) = list(&gguf(), "tokenizer.ggml.tokens") else { panic!("texts") };
        change(&mut tokens);
        gguf().set("tokenizer.ggml.tokens", Value::Texts(tokens))
    };
    let merges = |merge: &str| gguf().set("tokenizer.ggml.merges", Value::Texts(vec![merge.into()]));
    let refused = [
        (merges("ab"), "merge"),
        (merges(""), "merge"),
        (merges("a nowhere"), "no token"),
        (merges("a c"), "no token"),
        (gguf().set("tokenizer.ggml.model", Value::Text("rwkv".into())), "rwkv"),
        (gguf().set("tokenizer.ggml.pre", Value::Text("falcon".into())), "falcon"),
        (gguf().set("tokenizer.ggml.model", Value::U32(1)), "string"),
        (gguf().set("tokenizer.ggml.model", Value::Text("llama".into())), "scores"),
        (tokens(&|tokens| tokens.clear()), "token types"),
    ];
    for (file, says) in refused {
        let error = engine(&file).err().expect(says);
        assert!(error.kind != ErrorKind::Internal && error.message.contains(says), "{says}: {error}");
    }
    let harmless = [
        tokens(&|tokens| tokens[0] = tokens[1].clone()),
        tokens(&|tokens| tokens[0].clear()),
        tokens(&|tokens| tokens[0] = "x".repeat(10_000)),
        gguf().set("tokenizer.ggml.token_type", Value::I32s(vec![99; 264])),
        gguf().set("tokenizer.ggml.eos_token_id", Value::U32(u32::MAX)),
        gguf().set("tokenizer.ggml.bos_token_id", Value::U32(320)),
    ];
    for file in harmless {
        let engine = engine(&file).unwrap();
        let ids = engine.tokenize("hello 世界").unwrap();
        assert!(ids.iter().all(|id| *id < 320) && engine.detokenize(&[u32::MAX, 319, 0]).len() < 20_000);
    }
}

#[test]
fn a_tokenizer_json_larger_than_the_embedding_is_refused() {
    let mut tokenizer: Json = serde_json::from_str(&support::tokenizer_json()).unwrap();
    tokenizer["model"]["vocab"]["zz"] = 400.into();
    let sink = |config: &mut _| Ok(Box::new(qwen3_web::cpu::Sink::new(config, 64)?) as Box<dyn WeightSink>);
    let mut loader = Loader::gguf(Box::new(sink)).with_tokenizer(tokenizer.to_string().into_bytes());
    loader.push(&gguf().bytes()).unwrap();
    let error = block_on(Engine::load(loader.finish().unwrap(), Box::new(|| 0.0))).err().unwrap();
    assert_eq!(error.kind, ErrorKind::MalformedFile);
    assert!(error.message.contains("at most 320 tokens, got 401"), "{error}");
}

#[test]
fn tensors_may_lie_in_any_order_and_other_bytes_behind_them() {
    let mut file = gguf();
    file.tensors.reverse();
    let mut bytes = file.bytes();
    bytes.extend([7; 999]);
    assert_eq!(load(&[bytes]).unwrap().config, load(&[gguf().bytes()]).unwrap().config);
}

/// Numbers that are none run through the network; a reply ends all the same.
#[test]
fn weights_that_are_no_numbers_neither_hang_nor_crash_a_reply() {
    for damage in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        for name in ["token_embd.weight", "blk.0.attn_norm.weight", "blk.1.ffn_down.weight", "output_norm.weight"] {
            let mut file = gguf();
            file.tensor(name).3.chunks_exact_mut(4).for_each(|weight| weight.copy_from_slice(&damage.to_le_bytes()));
            let mut engine = engine(&file).unwrap();
            for temperature in [0.0, 1.0] {
                let options = json!({ "maxTokens": 4, "temperature": temperature, "seed": 1 });
                let mut reply = engine.complete("ab", &options).unwrap();
                let mut ended = false;
                while !reply.is_done() {
                    match block_on(engine.step(&mut reply)) {
                        Ok(events) => ended = events.iter().any(|event| matches!(event, Event::Done { .. })),
                        Err(error) => panic!("{damage} in {name}: {error}"),
                    }
                }
                assert!(ended, "{damage} in {name}");
            }
        }
    }
}
