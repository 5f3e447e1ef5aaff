//! `qwen3 logits`: what the network says after a sequence of tokens.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use pollster::block_on;
use qwen3_web::error::Result;

use super::{Model, io_error};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: Model,
    /// Ids of the tokens.
    #[arg(long, value_delimiter = ',', required = true)]
    tokens: Vec<u32>,
    /// After each of the tokens, not after the last alone.
    #[arg(long)]
    each: bool,
    /// Where to write them: little-endian f32, one for each row of the vocabulary.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut engine = arguments.model.engine()?;
    let tokens = &arguments.tokens;
    let failed = |error| io_error("write", &arguments.out, error);
    let mut out = BufWriter::new(File::create(&arguments.out).map_err(failed)?);
    for n in if arguments.each { 1 } else { tokens.len() }..=tokens.len() {
        let logits = block_on(engine.logits(&tokens[..n]))?;
        let bytes: Vec<u8> = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
        out.write_all(&bytes).map_err(failed)?;
    }
    out.flush().map_err(failed)
}
