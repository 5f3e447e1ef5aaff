//! `qwen3 bench`: tokens per second of prefill and decode, on the device alone (no tokenizer, no parser).

use std::time::Instant;

use clap::Args;
use pollster::block_on;
use qwen3_web::error::{Error, Result};
use qwen3_web::model::{DecodePlan, Runtime, Sampling};
use serde_json::json;

use super::Model;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: Model,
    /// Tokens to prefill.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    prompt_tokens: u32,
    /// Tokens to decode after them.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..))]
    decode_tokens: u32,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Seconds.
struct Times {
    prefill: f64,
    /// From the first token to the last.
    decode: f64,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let (prompt, decode) = (arguments.prompt_tokens as usize, arguments.decode_tokens as usize);
    let begun = Instant::now();
    let loaded = arguments.model.load(prompt + decode)?;
    let (config, sink) = (loaded.config, loaded.sink);
    let mut runtime = block_on(sink.finish())?;
    let load = begun.elapsed().as_secs_f64();
    let context = runtime.info().context_length;
    if context < prompt + decode {
        return Err(Error::invalid(format!(
            "{prompt} tokens of prompt and {decode} of reply need a context of {}, got {context}",
            prompt + decode
        ))
        .hint("raise --context-length, or measure fewer tokens"));
    }
    // Any ids do: the work does not depend on them.
    let tokens: Vec<u32> = (0..prompt).map(|i| (i * 7919 % config.vocab) as u32).collect();
    // The first round compiles pipelines and warms caches; the second is measured.
    block_on(round(&mut *runtime, &tokens, decode))?;
    let times = block_on(round(&mut *runtime, &tokens, decode))?;

    let info = runtime.info();
    let (prefill_rate, decode_rate) = (prompt as f64 / times.prefill, (decode - 1) as f64 / times.decode);
    if arguments.json {
        let figures = json!({
            "model": config.name, "quantization": info.quantization.name(), "device": info.device,
            "adapter": info.adapter, "weightBytes": info.weight_bytes, "contextLength": info.context_length,
            "loadSeconds": load, "promptTokens": prompt, "prefillTokensPerSecond": prefill_rate,
            "decodeTokens": decode, "decodeTokensPerSecond": decode_rate,
        });
        println!("{figures}");
    } else {
        println!("{} on {}", info.quantization.name(), info.adapter.as_deref().unwrap_or(info.device));
        println!("load     {load:.2} s ({} bytes of weights)", info.weight_bytes);
        println!("prefill  {prefill_rate:.1} tokens/s ({prompt} tokens)");
        println!("decode   {decode_rate:.1} tokens/s ({decode} tokens)");
    }
    Ok(())
}

async fn round(runtime: &mut dyn Runtime, tokens: &[u32], decode: usize) -> Result<Times> {
    let sequence = runtime.open()?;
    let begun = Instant::now();
    let chunk = runtime.info().prefill_chunk.max(1);
    for part in tokens.chunks(chunk) {
        runtime.prefill(sequence, part).await?;
    }
    // Reading the logits waits for the device.
    runtime.logits(sequence).await?;
    let prefill = begun.elapsed().as_secs_f64();

    let plan = DecodePlan {
        sampling: Sampling::default(),
        prompt: tokens.to_vec(),
        reply: Vec::new(),
        stop: Vec::new(),
        max_tokens: decode,
    };
    runtime.decode(sequence, plan)?;
    let mut drawn = runtime.next(sequence).await?.len();
    let first = drawn;
    let begun = Instant::now();
    while drawn < decode {
        let more = runtime.next(sequence).await?.len();
        if more == 0 {
            return Err(Error::internal(format!("the device ended after {drawn} of {decode} tokens")));
        }
        drawn += more;
    }
    let seconds = begun.elapsed().as_secs_f64();
    runtime.release(sequence);
    // As if only the first token had come first.
    Ok(Times { prefill, decode: seconds * (decode - 1) as f64 / (decode - first).max(1) as f64 })
}
