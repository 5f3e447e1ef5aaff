//! Constrained decoding, judged by a validator we did not write: whatever a model of random weights is made to say keeps
//! to the form that was asked for, and the thinking is left alone.
#![cfg(all(feature = "cpu", feature = "grammar"))]

use std::path::Path;

use pollster::block_on;
use qwen3_web::cpu::Sink;
use qwen3_web::error::ErrorKind;
use qwen3_web::grammar::{Automata, Compile, Format, Grammar, Vocabulary};
use qwen3_web::model::{Loader, WeightSink};
use qwen3_web::session::{Engine, Event, FinishReason, ReplyResult};
use serde_json::{Value, json};

/// An engine on the CPU, and with it the means to constrain it.
fn engine() -> Engine {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/narrow-q8_0.gguf");
    let mut loader = Loader::gguf(Box::new(|config| Ok(Box::new(Sink::new(config, 512)?) as Box<dyn WeightSink>)));
    loader.push(&std::fs::read(path).unwrap()).unwrap();
    let mut engine = block_on(Engine::load(loader.finish().unwrap(), Box::new(|| 0.0))).unwrap();
    let automata = Automata::new(&engine.vocabulary()).unwrap();
    engine.set_grammars(Box::new(automata));
    engine
}

fn say(engine: &mut Engine, options: &Value) -> ReplyResult {
    let mut reply = engine.chat(&json!([{ "role": "user", "content": "Go" }]), options).unwrap();
    loop {
        for event in block_on(engine.step(&mut reply)).unwrap() {
            if let Event::Done { result } = event {
                return result;
            }
        }
    }
}

/// The JSON-Schema-Test-Suite as far as its keywords are supported; see tests/fixtures/schemas.py.
fn suite() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/json-schemas.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn json_format(schema: &Value) -> Grammar {
    Grammar { format: Some(Format::Json { schema: schema.clone() }), calls: None }
}

/// A vocabulary of single bytes and an end.
fn bytes() -> Automata {
    let mut tokens: Vec<Vec<u8>> = (0..=255u8).map(|byte| if byte == 0xFF { vec![] } else { vec![byte] }).collect();
    tokens.push(b"\xFF<end>".to_vec());
    Automata::new(&Vocabulary { tokens, eos: vec![256] }).unwrap()
}

/// Whether a text can be written, byte by byte, and ended there.
fn can_be_written(automata: &Automata, grammar: &Grammar, text: &str) -> bool {
    let mut constraint = automata.compile(grammar).unwrap();
    for byte in text.bytes() {
        if !constraint.allowed().unwrap().contains(byte.into()) {
            return false;
        }
        constraint.accept(byte.into()).unwrap();
    }
    constraint.allowed().unwrap().contains(256)
}

#[test]
fn no_invalid_instance_of_the_suite_can_be_written() {
    let automata = bytes();
    let (mut n_invalid, mut n_valid, mut n_written) = (0, 0, 0);
    for case in suite() {
        let grammar = json_format(&case["schema"]);
        if let Err(error) = automata.compile(&grammar) {
            assert_eq!(error.kind, ErrorKind::InvalidArgument);
            continue;
        }
        for instance in case["invalid"].as_array().unwrap() {
            assert!(!can_be_written(&automata, &grammar, &instance.to_string()), "{instance} of {}", case["schema"]);
            n_invalid += 1;
        }
        let valid = case["valid"].as_array().unwrap();
        n_valid += valid.len();
        n_written += valid.iter().filter(|i| can_be_written(&automata, &grammar, &i.to_string())).count();
    }
    println!("{n_invalid} invalid instances; of {n_valid} valid ones {n_written} can be written");
    assert!(n_invalid > 200, "{n_invalid}");
    // The rest has its properties in another order than the schema names them.
    assert!(n_written * 10 > n_valid * 9, "{n_written} of {n_valid}");
}

/// Xorshift (G. Marsaglia, 2003): any stream does, it only has to be the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    /// A schema made of those of the suite.
    fn schema(&mut self, leaves: &[Value], depth: usize) -> Value {
        if depth == 0 {
            return leaves[self.below(leaves.len())].clone();
        }
        match self.below(5) {
            0 => {
                let least = self.below(3);
                json!({ "type": "array", "items": self.schema(leaves, depth - 1), "minItems": least, "maxItems": 3 })
            }
            1 => json!({ "anyOf": [self.schema(leaves, depth - 1), self.schema(leaves, depth - 1)] }),
            2 => {
                let low = self.below(2000) as f64 / 8.0 - 100.0;
                let kind = if self.below(2) == 0 { "integer" } else { "number" };
                json!({ "type": kind, "minimum": low, "exclusiveMaximum": low + 50.5 })
            }
            _ => {
                let names = ["a", "größe", "two words", "quo\"te", "n"];
                let properties: serde_json::Map<String, Value> = (0..1 + self.below(3))
                    .map(|index| (names[index + self.below(3)].to_owned(), self.schema(leaves, depth - 1)))
                    .collect();
                let required: Vec<&String> = properties.keys().filter(|_| self.below(2) == 0).collect();
                json!({ "type": "object", "properties": properties, "required": required,
                        "additionalProperties": self.below(4) == 0 })
            }
        }
    }
}

#[test]
fn replies_to_random_schemas_are_valid() {
    let mut engine = engine();
    let all: Vec<Value> = suite().into_iter().map(|case| case["schema"].clone()).collect();
    // A reference is resolved from the root, so that such a schema can only stand there.
    let leaves: Vec<Value> = all.iter().filter(|schema| !schema.to_string().contains("$ref")).cloned().collect();
    let quote = engine.tokenize("\"").unwrap()[0];
    let digit = engine.tokenize("7").unwrap()[0];
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let (mut n_schemas, mut n_whole, mut n_refused) = (0, 0, 0);
    while n_whole < 500 {
        let schema = match random.below(4) {
            0 => all[random.below(all.len())].clone(),
            n => random.schema(&leaves, n.min(2)),
        };
        let mut options = json!({ "responseFormat": { "type": "json_schema", "schema": schema }, "maxTokens": 80,
            "enableThinking": false, "seed": n_schemas, "temperature": 1.2, "topK": 0, "topP": 1,
            // A model of random weights hardly ever ends a string or a number.
            "logitBias": { quote.to_string(): 4 } });
        options["logitBias"][digit.to_string()] = json!(random.below(2));
        let reply = engine.chat(&json!([{ "role": "user", "content": "Go" }]), &options);
        match reply {
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::InvalidArgument, "{schema}: {error}");
                n_refused += 1;
                continue;
            }
            Ok(reply) => engine.release(reply).unwrap(),
        }
        n_schemas += 1;
        let result = say(&mut engine, &options);
        if result.finish_reason == FinishReason::Length {
            assert_eq!(result.usage.completion_tokens, 80);
            continue;
        }
        n_whole += 1;
        assert_eq!(result.finish_reason, FinishReason::Stop);
        let value: Value =
            serde_json::from_str(&result.content).unwrap_or_else(|e| panic!("{e}: {:?}", result.content));
        let judge = jsonschema::draft202012::new(&schema).unwrap();
        assert!(judge.is_valid(&value), "{value} is not valid under {schema}");
    }
    println!("{n_schemas} schemas, {n_whole} whole replies, {n_refused} schemas refused");
    assert!(n_whole * 3 > n_schemas * 2, "{n_whole} of {n_schemas} replies came to their end");
}

#[test]
fn expressions_and_grammars_are_kept_to() {
    let automata = bytes();
    let regex = |pattern: &str| Format::Regex { pattern: pattern.to_owned() };
    let lark = |grammar: &str| Format::Lark { grammar: grammar.to_owned() };
    let sum = "start: NUMBER (\"+\" NUMBER)*\nNUMBER: /[0-9]+/";
    let cases = [
        (regex("yes|no"), "yes", true),
        (regex("yes|no"), "yesno", false),
        (regex(r"^\d{3}-\d{4}$"), "555-0199", true),
        (regex(r"^\d{3}-\d{4}$"), "555-019", false),
        (regex(r"\w+@\w+\.com"), "a@b.com", true),
        (regex(r"\$"), "$", true),
        (regex(r"[\u4e00-\u9fff]+"), "你好", true),
        (lark(sum), "1+23", true),
        (lark(sum), "1+", false),
        (Format::Json { schema: json!({ "type": "object" }) }, "{\n  \"a\": [1, 2, null]\n}", true),
        (Format::Json { schema: json!({ "type": "object" }) }, "[]", false),
        (Format::Json { schema: json!(true) }, "1e99", true),
        (Format::Json { schema: json!(true) }, "1e999", false),
    ];
    for (format, text, expected) in cases {
        let grammar = Grammar { format: Some(format), calls: None };
        assert_eq!(can_be_written(&automata, &grammar, text), expected, "{text:?} of {grammar:?}");
    }
}

#[test]
fn what_cannot_be_kept_to_is_refused_by_name() {
    let mut engine = engine();
    for (format, named) in [
        (json!({ "type": "regex", "pattern": "(" }), "unclosed group"),
        (json!({ "type": "regex", "pattern": "(a)\\1" }), "backreferences"),
        (json!({ "type": "grammar", "grammar": "begin: \"a\"" }), "start"),
        (json!({ "type": "json_schema", "schema": { "type": "array", "uniqueItems": true } }), "uniqueItems"),
        (json!({ "type": "json_schema", "schema": { "type": "strin" } }), "strin"),
        (json!({ "type": "json_schema", "schema": false }), "nsatisfiable"),
        (json!({ "type": "json_schema", "schema": { "$ref": "https://example.com/a" } }), "example.com"),
    ] {
        let options = json!({ "responseFormat": format });
        assert!(engine.needs_grammars(&options).unwrap());
        let error = engine.chat(&json!([{ "role": "user", "content": "x" }]), &options).err().unwrap();
        assert_eq!(error.kind, ErrorKind::InvalidArgument);
        assert!(error.message.starts_with("responseFormat: ") && error.message.contains(named), "{error}");
    }
    assert!(!engine.needs_grammars(&json!({ "responseFormat": { "type": "text" } })).unwrap());
}
