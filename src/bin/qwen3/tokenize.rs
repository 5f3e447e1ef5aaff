//! `qwen3 tokenize`: the ids of texts by the tokenizer of a model.

use std::io::{BufRead, Write, stdin, stdout};

use clap::Args;
use qwen3_web::error::{Error, Result};
use qwen3_web::model::Discard;
use qwen3_web::session::tokenizer_of;

use super::source::Source;

/// Reads JSON strings, one a line, and writes the ids of each as a line of JSON. What spells a control token is text.
#[derive(Args)]
pub struct Arguments {
    /// A GGUF (of a split one any part), or a folder of safetensors.
    #[arg(long = "model", value_name = "FILE")]
    file: String,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let loaded = Source::find(&arguments.file)?.load(Box::new(|_| Ok(Box::new(Discard))))?;
    let tokenizer = tokenizer_of(&loaded.vocabulary)?;
    let failed = |error: std::io::Error| Error::invalid(format!("cannot read or write texts: {error}"));
    let mut out = stdout().lock();
    for line in stdin().lock().lines() {
        let line = line.map_err(failed)?;
        let text: String = serde_json::from_str(&line)
            .map_err(|error| Error::invalid(format!("standard input: expected a JSON string a line, got {error}")))?;
        writeln!(out, "{}", serde_json::json!(tokenizer.encode_text(&text)?)).map_err(failed)?;
    }
    out.flush().map_err(failed)
}
