//! Every device computes what Hugging Face `transformers` computes in f32 from the same (dequantised) weights: one body
//! for each promise, run by every backend. The checkpoints and expectations are made by `fixtures/checkpoints.py`.

use std::path::{Path, PathBuf};

use pollster::block_on;
use qwen3_web::gpu;
use qwen3_web::model::{DecodePlan, Loader, Runtime, Sampling, SequenceId, SinkFactory};
use serde_json::Value;

/// Where a model runs. The GPU's two sets of kernels are both run on whatever adapter there is.
#[derive(Clone, Copy, Debug)]
enum Backend {
    GpuHardware,
    GpuSoftware,
    /// With an f16 KV cache, which a model of this size would not get by itself.
    GpuHalfCache,
}

macro_rules! promises {
    ($($promise:ident),* $(,)?) => {
        mod gpu_hardware_kernels { $(#[test] fn $promise() { super::$promise(super::Backend::GpuHardware) })* }
        mod gpu_software_kernels { $(#[test] fn $promise() { super::$promise(super::Backend::GpuSoftware) })* }
    };
}

promises![
    logits_agree_with_transformers,
    greedy_continuations_are_those_of_transformers,
    chunks_single_tokens_and_reused_prefixes_give_the_same_logits,
    sequences_do_not_disturb_each_other,
    a_full_context_is_an_error_and_loses_nothing,
    decoding_ends_at_a_stop_token,
];

mod gpu_half_cache {
    #[test]
    fn logits_agree_with_transformers() {
        super::logits_agree_with_transformers(super::Backend::GpuHalfCache);
    }
}

/// Checkpoints and the largest relative error of their logits: 1e-4 for unquantised weights, 1e-3 for quantised.
const CHECKPOINTS: [(&str, f64); 11] = [
    ("narrow-f32.gguf", 1e-4),
    ("narrow-f16.gguf", 1e-4),
    ("shards", 1e-4),
    ("narrow-q4_0.gguf", 1e-3),
    ("narrow-q4_1.gguf", 1e-3),
    ("narrow-q5_0.gguf", 1e-3),
    ("narrow-q5_1.gguf", 1e-3),
    ("narrow-q8_0.gguf", 1e-3),
    ("super-q4_k.gguf", 1e-3),
    ("super-q5_k.gguf", 1e-3),
    ("super-q6_k.gguf", 1e-3),
];

const CONTEXT: usize = 128;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints")
}

fn sink(backend: Backend) -> Box<SinkFactory> {
    Box::new(move |config| {
        let device = block_on(gpu::Device::open(true))?;
        let device = match backend {
            Backend::GpuHardware | Backend::GpuHalfCache => device.treat_as_software(false),
            Backend::GpuSoftware => device.treat_as_software(true),
        };
        let sink = gpu::Sink::new(&device, config, CONTEXT)?;
        Ok(match backend {
            Backend::GpuHalfCache => Box::new(sink.with_kv_precision(gpu::Precision::F16)),
            _ => Box::new(sink),
        })
    })
}

/// The runtime of a checkpoint, its bytes pushed in pieces that fit nothing.
fn load(backend: Backend, name: &str) -> Box<dyn Runtime> {
    let path = folder().join(name);
    let read = |path: &Path| std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut loader, files) = if path.is_dir() {
        let mut files: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "safetensors"));
        files.sort();
        let tokenizer = read(&path.join("tokenizer.json"));
        (Loader::safetensors(&read(&path.join("config.json")), tokenizer, sink(backend)).unwrap(), files)
    } else {
        (Loader::gguf(sink(backend)), vec![path])
    };
    for (index, file) in files.iter().enumerate() {
        if index > 0 {
            loader.next_file().unwrap();
        }
        for piece in read(file).chunks(77_777) {
            loader.push(piece).unwrap();
        }
    }
    block_on(loader.finish().unwrap().sink.finish()).unwrap()
}

struct Expected {
    tokens: Vec<u32>,
    /// `(position, logits after the token there)`
    logits: Vec<(usize, Vec<f64>)>,
    greedy: Vec<u32>,
    margins: Vec<f64>,
}

fn expected(name: &str) -> Expected {
    let file = folder().join(name).with_extension("json");
    let value: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let numbers =
        |value: &Value| -> Vec<f64> { value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect() };
    let ids = |value: &Value| numbers(value).into_iter().map(|id| id as u32).collect();
    let logits = value["logits"].as_object().unwrap().iter();
    Expected {
        tokens: ids(&value["tokens"]),
        logits: logits.map(|(position, logits)| (position.parse().unwrap(), numbers(logits))).collect(),
        greedy: ids(&value["greedy"]),
        margins: numbers(&value["margins"]),
    }
}

fn relative_error(actual: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let difference: f64 = actual.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
    (difference / expected.iter().map(|b| b * b).sum::<f64>()).sqrt()
}

fn greedy(stop: Vec<u32>, max_tokens: usize) -> DecodePlan {
    DecodePlan { sampling: Sampling::default(), prompt: Vec::new(), reply: Vec::new(), stop, max_tokens }
}

fn logits(runtime: &mut dyn Runtime, sequence: SequenceId, tokens: &[u32]) -> Vec<f32> {
    block_on(runtime.prefill(sequence, tokens)).unwrap();
    block_on(runtime.logits(sequence)).unwrap()
}

fn decode(runtime: &mut dyn Runtime, sequence: SequenceId, plan: DecodePlan) -> Vec<u32> {
    runtime.decode(sequence, plan).unwrap();
    let mut tokens = Vec::new();
    loop {
        let next = block_on(runtime.next(sequence)).unwrap();
        if next.is_empty() {
            return tokens;
        }
        tokens.extend(next);
    }
}

fn logits_agree_with_transformers(backend: Backend) {
    for (name, tolerance) in CHECKPOINTS {
        let mut runtime = load(backend, name);
        let expected = expected(name);
        for (position, reference) in &expected.logits {
            let sequence = runtime.open().unwrap();
            let actual = logits(&mut *runtime, sequence, &expected.tokens[..=*position]);
            let error = relative_error(&actual, reference);
            eprintln!("{backend:?} {name} after {position}: {error:.1e}");
            let tolerance = if matches!(backend, Backend::GpuHalfCache) { 2e-3 } else { tolerance };
            assert!(error <= tolerance, "{name} after token {position}: {error:.1e} > {tolerance:.0e}");
            runtime.release(sequence);
        }
    }
}

/// Identical up to the first token whose margin over the second best is within the tolerance.
fn greedy_continuations_are_those_of_transformers(backend: Backend) {
    for (name, tolerance) in CHECKPOINTS {
        let mut runtime = load(backend, name);
        let Expected { tokens, logits: reference, greedy: expected, margins } = expected(name);
        let norm = reference[0].1.iter().map(|x| x * x).sum::<f64>().sqrt();
        let certain = margins.iter().position(|margin| *margin <= tolerance * norm).unwrap_or(margins.len());
        let sequence = runtime.open().unwrap();
        block_on(runtime.prefill(sequence, &tokens)).unwrap();
        let actual = decode(&mut *runtime, sequence, greedy(Vec::new(), expected.len()));
        assert_eq!(actual.len(), expected.len());
        eprintln!("{backend:?} {name}: {certain} certain tokens");
        assert_eq!(actual[..certain], expected[..certain], "{name}");
    }
}

fn chunks_single_tokens_and_reused_prefixes_give_the_same_logits(backend: Backend) {
    for name in ["narrow-q4_0.gguf", "shards"] {
        let mut runtime = load(backend, name);
        let tokens = expected(name).tokens;
        let sequence = runtime.open().unwrap();
        let whole = logits(&mut *runtime, sequence, &tokens);
        let same = |actual: &[f32], what: &str| {
            let whole: Vec<f64> = whole.iter().map(|x| f64::from(*x)).collect();
            let error = relative_error(actual, &whole);
            assert!(error <= 1e-5, "{name} {what}: {error:.1e}");
        };
        for chunk in [1, 7, 32] {
            runtime.truncate(sequence, 0).unwrap();
            for tokens in tokens.chunks(chunk) {
                block_on(runtime.prefill(sequence, tokens)).unwrap();
            }
            same(&block_on(runtime.logits(sequence)).unwrap(), &format!("in chunks of {chunk}"));
        }
        // Another continuation, then back to the prefix.
        runtime.truncate(sequence, 20).unwrap();
        block_on(runtime.prefill(sequence, &tokens[..5])).unwrap();
        decode(&mut *runtime, sequence, greedy(Vec::new(), 9));
        runtime.truncate(sequence, 20).unwrap();
        assert_eq!(runtime.length(sequence), 20);
        same(&logits(&mut *runtime, sequence, &tokens[20..]), "after a reused prefix");
    }
}

fn sequences_do_not_disturb_each_other(backend: Backend) {
    let name = "narrow-q8_0.gguf";
    let mut runtime = load(backend, name);
    let tokens = expected(name).tokens;
    let prompts = [&tokens[..30], &tokens[9..40]];
    let alone = prompts.map(|prompt| {
        let sequence = runtime.open().unwrap();
        block_on(runtime.prefill(sequence, prompt)).unwrap();
        let tokens = decode(&mut *runtime, sequence, greedy(Vec::new(), 12));
        runtime.release(sequence);
        tokens
    });
    let sequences = [runtime.open().unwrap(), runtime.open().unwrap()];
    for (sequence, prompt) in sequences.iter().zip(prompts) {
        block_on(runtime.prefill(*sequence, prompt)).unwrap();
    }
    for sequence in sequences {
        runtime.decode(sequence, greedy(Vec::new(), 12)).unwrap();
    }
    let mut together = [Vec::new(), Vec::new()];
    for _ in 0..12 {
        for (sequence, tokens) in sequences.iter().zip(&mut together) {
            tokens.extend(block_on(runtime.next(*sequence)).unwrap());
        }
    }
    assert_eq!(together, alone);
}

fn a_full_context_is_an_error_and_loses_nothing(backend: Backend) {
    let name = "narrow-q4_1.gguf";
    let mut runtime = load(backend, name);
    let tokens = expected(name).tokens;
    let sequence = runtime.open().unwrap();
    let before = logits(&mut *runtime, sequence, &tokens);
    let error = block_on(runtime.prefill(sequence, &[1; CONTEXT])).unwrap_err();
    assert_eq!(error.kind.code(), "context-overflow");
    assert_eq!(runtime.length(sequence), tokens.len());
    assert_eq!(block_on(runtime.logits(sequence)).unwrap(), before);
    // Decoding into the wall ends by itself: every position is used, and one token is drawn that needs none.
    let drawn = decode(&mut *runtime, sequence, greedy(Vec::new(), 10 * CONTEXT));
    assert_eq!(drawn.len(), CONTEXT - tokens.len() + 1);
}

fn decoding_ends_at_a_stop_token(backend: Backend) {
    let name = "narrow-q5_1.gguf";
    let mut runtime = load(backend, name);
    let Expected { tokens, .. } = expected(name);
    let sequence = runtime.open().unwrap();
    block_on(runtime.prefill(sequence, &tokens)).unwrap();
    let free = decode(&mut *runtime, sequence, greedy(Vec::new(), 20));
    // Offsets around the number of steps that may be in flight.
    for at in [0, 1, 3, 4, 5, 9] {
        let first = free.iter().position(|token| *token == free[at]).unwrap();
        runtime.truncate(sequence, tokens.len() - 1).unwrap();
        block_on(runtime.prefill(sequence, &tokens[tokens.len() - 1..])).unwrap();
        let stopped = decode(&mut *runtime, sequence, greedy(vec![free[at]], 20));
        assert_eq!(stopped, free[..=first]);
        assert_eq!(runtime.length(sequence), tokens.len() + first);
    }
}
