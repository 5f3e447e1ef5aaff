//! `qwen3 bench`: tokens per second of prefill and decode, on the device alone (no tokenizer, no parser), and what the
//! device could do at most.

use std::hint::black_box;
use std::time::Instant;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use pollster::block_on;
use qwen3_web::error::{Error, ErrorKind, Result};
use qwen3_web::formats::TensorInfo;
use qwen3_web::gpu;
use qwen3_web::model::{DecodePlan, Runtime, Sampling, SequenceId, Weight, weight_of};
use serde_json::{Value, json};

use super::Model;
use super::source::Source;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: Model,
    /// Tokens to prefill; several lengths are measured one after the other.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "128", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    prompt_tokens: Vec<usize>,
    /// Tokens to decode after them.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(2..))]
    decode_tokens: usize,
    /// Sequences that decode at the same time; several numbers are measured one after the other, on the first length.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    sequences: Vec<usize>,
    /// Leave out a length whose prefill would take longer, at the speed of the length before.
    #[arg(long, value_name = "SECONDS", default_value_t = f64::INFINITY)]
    limit: f64,
    /// One JSON object a line and measurement instead of text.
    #[arg(long)]
    json: bool,
}

/// What every measurement of a run shares.
struct Bench {
    runtime: Box<dyn Runtime>,
    vocab: usize,
    /// Bytes of weights that a token reads.
    weight_bytes: u64,
    /// Bytes a second that a copy on the device moves, read and written.
    copy_rate: f64,
    decode: usize,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let lengths = &arguments.prompt_tokens;
    let needed = lengths.iter().max().unwrap_or(&1) + arguments.decode_tokens;
    let begun = Instant::now();
    let source = Source::find(&arguments.model.file)?;
    let device = arguments.model.gpu()?;
    let mut loader = source.loader(arguments.model.sink(device.clone(), needed))?;
    source.feed(&mut loader)?;
    let tensors = loader.tensors().to_vec();
    let loaded = loader.finish()?;
    let config = loaded.config;
    let runtime = block_on(loaded.sink.finish())?;
    let load = begun.elapsed().as_secs_f64();
    let context = runtime.info().context_length;
    if context < needed {
        let decode = arguments.decode_tokens;
        return Err(Error::invalid(format!(
            "{} tokens of prompt and {decode} of reply need a context of {needed}, got {context}",
            needed - decode
        ))
        .hint("raise --context-length, or measure fewer tokens"));
    }
    let launches = runtime.dispatches();
    let (copy_rate, empty) = match &device {
        Some(device) => (block_on(gpu::copy_rate(device))?, block_on(gpu::empty_dispatches(device, launches))?),
        None => (memory_copy_rate(), 0.0),
    };
    let info = runtime.info();
    let shared = json!({
        "model": config.name, "quantization": info.quantization.name(), "device": info.device, "adapter": info.adapter,
        "kernels": device.as_ref().map(gpu::Device::variant), "unchecked": device.is_some() && arguments.model.unchecked,
        "weightBytes": info.weight_bytes, "contextLength": context, "loadSeconds": load,
        "copyBytesPerSecond": copy_rate, "dispatchesPerToken": launches, "emptyDispatchesMs": empty * 1e3,
    });
    if !arguments.json {
        println!("{} on {}", info.quantization.name(), info.adapter.as_deref().unwrap_or(info.device));
        if let Some(device) = &device {
            println!("kernels  {}", device.variant());
        }
        println!("load     {load:.2} s ({} bytes of weights)", info.weight_bytes);
        println!("copies   {:.2} GB/s, read and written", copy_rate / 1e9);
        println!("launches {launches} a token, as many empty ones in {:.3} ms", empty * 1e3);
    }
    let weight_bytes = token_bytes(&tensors, config.tied);
    let mut bench = Bench { runtime, vocab: config.vocab, weight_bytes, copy_rate, decode: arguments.decode_tokens };

    // The first number of sequences goes through all lengths, the others share its first one.
    let [first, others @ ..] = arguments.sequences.as_slice() else { return Ok(()) };
    let cases = lengths.iter().map(|length| (*length, *first));
    let mut speed: Option<f64> = None;
    for (length, sequences) in cases.chain(others.iter().map(|sequences| (lengths[0], *sequences))) {
        let expected = speed.map_or(0.0, |speed| (length * sequences) as f64 / speed);
        let figures = if expected > arguments.limit {
            json!({ "leftOut": format!("the prefill alone would take some {expected:.0} s") })
        } else {
            match bench.measure(length, sequences) {
                Err(error) if error.kind == ErrorKind::OutOfMemory => json!({ "leftOut": error.message }),
                figures => figures?,
            }
        };
        speed = figures["prefillTokensPerSecond"].as_f64().or(speed);
        print(arguments.json, &shared, length, sequences, &figures);
    }
    Ok(())
}

fn print(as_json: bool, shared: &Value, length: usize, sequences: usize, figures: &Value) {
    if as_json {
        let own = json!({ "promptTokens": length, "sequences": sequences });
        let parts = [shared, &own, figures].into_iter().filter_map(Value::as_object);
        println!("{}", parts.flat_map(Clone::clone).collect::<Value>());
    } else if let Some(reason) = figures["leftOut"].as_str() {
        println!("{length} tokens, {sequences} at once: left out, {reason}");
    } else {
        let number = |name: &str| figures[name].as_f64().unwrap_or_default();
        println!("{length} tokens, {sequences} at once:");
        println!("  prefill  {:.1} tokens/s", number("prefillTokensPerSecond"));
        println!("  decode   {:.1} tokens/s, all together", number("decodeTokensPerSecond"));
        let megabytes = number("bytesPerStep") / 1e6;
        println!("  reads    {megabytes:.1} MB a step, {:.1} % of a copy's speed", number("bandwidthPercent"));
    }
}

/// Bytes of weights that a token reads: all but an embedding that is not the head too, of which it is one row.
fn token_bytes(tensors: &[TensorInfo], tied: bool) -> u64 {
    let read = |tensor: &&TensorInfo| tied || weight_of(&tensor.name) != Some(Weight::Embedding);
    tensors.iter().filter(read).map(|tensor| tensor.bytes() as u64).sum()
}

/// Bytes a second that one thread moves, reading and writing, while it copies memory.
fn memory_copy_rate() -> f64 {
    const BYTES: usize = 128 << 20;
    let (from, mut to) = (vec![1u8; BYTES], vec![0u8; BYTES]);
    let mut best = f64::INFINITY;
    for _ in 0..8 {
        let begun = Instant::now();
        black_box(&mut to).copy_from_slice(black_box(&from));
        best = best.min(begun.elapsed().as_secs_f64());
    }
    2.0 * BYTES as f64 / best
}

impl Bench {
    /// Figures of prompts of that length; the first of two rounds compiles pipelines and warms caches.
    fn measure(&mut self, length: usize, sequences: usize) -> Result<Value> {
        block_on(self.round(length, sequences))?;
        let (prefill, decode) = block_on(self.round(length, sequences))?;
        let info = self.runtime.info();
        // The cache as it is halfway.
        let cached = (length + self.decode / 2) as u64 * info.kv_cache_bytes / info.context_length as u64;
        let bytes = self.weight_bytes + cached * sequences as u64;
        Ok(json!({
            "decodeTokens": self.decode, "prefillTokensPerSecond": prefill, "decodeTokensPerSecond": decode,
            "bytesPerStep": bytes, "bandwidthPercent": 100.0 * bytes as f64 * decode / sequences as f64 / self.copy_rate,
        }))
    }

    /// Tokens a second of prefill, of one sequence after the other, and of decode, of all together.
    async fn round(&mut self, length: usize, sequences: usize) -> Result<(f64, f64)> {
        let mut ids = Vec::new();
        let rates = self.replies(length, sequences, &mut ids).await;
        ids.iter().for_each(|id| self.runtime.release(*id));
        rates
    }

    async fn replies(&mut self, length: usize, sequences: usize, ids: &mut Vec<SequenceId>) -> Result<(f64, f64)> {
        // Any ids do: the work does not depend on them.
        let tokens: Vec<u32> = (0..length).map(|i| (i * 7919 % self.vocab) as u32).collect();
        let runtime = &mut *self.runtime;
        let begun = Instant::now();
        for _ in 0..sequences {
            let id = runtime.open()?;
            ids.push(id);
            let mut rest = &tokens[..];
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(runtime.info().prefill_chunk.clamp(1, rest.len()));
                runtime.prefill(id, chunk).await?;
                rest = after;
            }
            // Reading the logits waits for the device.
            runtime.logits(id).await?;
        }
        let prefill = begun.elapsed().as_secs_f64();

        // Drawn as in a chat: a greedy reply of random weights goes round in circles, which is guessed.
        let sampling = Sampling { temperature: 0.7, top_k: 20, top_p: 0.8, seed: 1, ..Sampling::default() };
        let mut drawn = Vec::new();
        for id in &*ids {
            let plan = DecodePlan {
                sampling: sampling.clone(),
                prompt: tokens.clone(),
                reply: Vec::new(),
                stop: Vec::new(),
                max_tokens: self.decode,
            };
            runtime.decode(*id, plan)?;
            drawn.push(next(runtime, *id).await?);
        }
        let first: usize = drawn.iter().sum();
        let begun = Instant::now();
        while drawn.iter().any(|count| *count < self.decode) {
            for (id, count) in ids.iter().zip(&mut drawn).filter(|(_, count)| **count < self.decode) {
                *count += next(runtime, *id).await?;
            }
        }
        let decode = begun.elapsed().as_secs_f64();
        Ok(((length * sequences) as f64 / prefill, (self.decode * sequences - first) as f64 / decode))
    }
}

/// How many tokens came; none is a failure, as nothing may stop these replies.
async fn next(runtime: &mut dyn Runtime, id: SequenceId) -> Result<usize> {
    match runtime.next(id).await?.len() {
        0 => Err(Error::internal("the device ended a reply before its last token")),
        count => Ok(count),
    }
}
