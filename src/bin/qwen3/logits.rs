//! `qwen3 logits`: what the network says after a sequence of tokens.

use std::fs;
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
    /// Where to write them: little-endian f32, one for each row of the vocabulary.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut engine = arguments.model.engine()?;
    let logits = block_on(engine.logits(&arguments.tokens))?;
    let bytes: Vec<u8> = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
    fs::write(&arguments.out, bytes).map_err(|error| io_error("write", &arguments.out, error))
}
