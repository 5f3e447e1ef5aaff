//! `qwen3 inspect`: what a model file holds; every byte is read and checked, none is kept.

use std::collections::BTreeMap;

use clap::Args;
use qwen3_web::error::{Error, Result};
use qwen3_web::formats::{DType, TensorInfo};
use qwen3_web::model::{Discard, Loaded, Vocabulary};
use serde_json::json;

use super::source::Source;

#[derive(Args)]
pub struct Arguments {
    /// A GGUF (of a split one any part), or a folder of safetensors.
    file: String,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let source = Source::find(&arguments.file)?;
    let mut loader = source.loader(Box::new(|_| Ok(Box::new(Discard))))?;
    source.feed(&mut loader)?;
    let tensors = loader.tensors().to_vec();
    let loaded = loader.finish()?;
    if arguments.json {
        println!("{}", as_json(&source, &loaded, &tensors));
        return Ok(());
    }
    print(&source, &loaded, &tensors)
}

/// Tensors and bytes of each type.
fn by_type(tensors: &[TensorInfo]) -> BTreeMap<DType, (usize, u64)> {
    let mut types = BTreeMap::new();
    for tensor in tensors {
        let (count, bytes) = types.entry(tensor.dtype).or_insert((0, 0));
        *count += 1;
        *bytes += tensor.bytes() as u64;
    }
    types
}

fn parameters(tensors: &[TensorInfo]) -> u64 {
    tensors.iter().map(|tensor| tensor.shape.iter().product::<usize>() as u64).sum()
}

fn as_json(source: &Source, loaded: &Loaded, tensors: &[TensorInfo]) -> serde_json::Value {
    let config = &loaded.config;
    let vocabulary = match &loaded.vocabulary {
        Vocabulary::TokenizerJson(bytes) => json!({ "source": "tokenizer.json", "bytes": bytes.len() }),
        Vocabulary::Gguf { model, pre, tokens, merges, eos, bos, .. } => json!({
            "source": "gguf", "model": model, "pre": pre, "tokens": tokens.len(), "merges": merges.len(),
            "eos": eos, "bos": bos,
        }),
    };
    let types: serde_json::Map<_, _> = by_type(tensors)
        .into_iter()
        .map(|(dtype, (count, bytes))| (dtype.name().into(), json!({ "tensors": count, "bytes": bytes })))
        .collect();
    json!({
        "files": source.files(),
        "name": config.name,
        "architecture": config.architecture,
        "parameters": parameters(tensors),
        "layers": config.layers,
        "hiddenSize": config.hidden,
        "intermediateSize": config.intermediate,
        "heads": config.heads,
        "kvHeads": config.kv_heads,
        "headDim": config.head_dim,
        "vocabularySize": config.vocab,
        "maxContextLength": config.max_context,
        "rmsEps": config.rms_eps,
        "ropeTheta": config.rope.theta,
        "tiedHead": config.tied,
        "tokenizer": vocabulary,
        "chatTemplate": loaded.turns.chat_template.is_some(),
        "types": types,
        "tensors": tensors.iter().map(|tensor| json!({
            "name": tensor.name, "type": tensor.dtype.name(), "shape": tensor.shape, "bytes": tensor.bytes(),
        })).collect::<Vec<_>>(),
    })
}

fn print(source: &Source, loaded: &Loaded, tensors: &[TensorInfo]) -> Result<()> {
    use std::io::Write;
    let config = &loaded.config;
    let mut out = std::io::stdout().lock();
    let head = if config.tied { "tied to the embedding" } else { "its own" };
    let tokenizer = match &loaded.vocabulary {
        Vocabulary::TokenizerJson(bytes) => format!("tokenizer.json, {} bytes", bytes.len()),
        Vocabulary::Gguf { model, pre, tokens, merges, .. } => {
            format!("{model}, pre-tokenizer {pre:?}, {} tokens, {} merges", tokens.len(), merges.len())
        }
    };
    let lines = [
        ("files", source.files().iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(" ")),
        ("name", config.name.clone().unwrap_or_else(|| "(none)".into())),
        ("architecture", config.architecture.clone()),
        ("parameters", parameters(tensors).to_string()),
        ("layers", config.layers.to_string()),
        ("hidden", format!("{} (feed-forward {})", config.hidden, config.intermediate)),
        ("heads", format!("{} of {} ({} for keys and values)", config.heads, config.head_dim, config.kv_heads)),
        ("context", config.max_context.to_string()),
        ("head", head.into()),
        ("tokenizer", tokenizer),
        ("template", if loaded.turns.chat_template.is_some() { "its own" } else { "none" }.into()),
    ];
    let write = || -> std::io::Result<()> {
        for (name, value) in lines {
            writeln!(out, "{name:<13} {value}")?;
        }
        for (dtype, (count, bytes)) in by_type(tensors) {
            writeln!(out, "{:<13} {count} tensors, {bytes} bytes", dtype.name())?;
        }
        for tensor in tensors {
            writeln!(out, "  {:<40} {:<5} {:?}", tensor.name, tensor.dtype.name(), tensor.shape)?;
        }
        Ok(())
    };
    write().map_err(|error| Error::invalid(format!("cannot write to the terminal: {error}")))
}
