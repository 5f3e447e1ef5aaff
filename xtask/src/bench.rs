//! `cargo xtask bench`: how fast the engine is, natively and in a browser beside other libraries, as JSON.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::shell::{cargo, command, output, run as run_command, say};
use crate::{build, fixtures, node, packages};

/// Made by `tests/fixtures/full_size.py`: Qwen3-0.6B's size, random weights.
const MODEL: &str = ".cache/fixtures/full-q4_0.gguf";

#[derive(clap::Args)]
pub struct Options {
    /// A GGUF to measure with; by default one of Qwen3-0.6B's size with random weights, made on first use
    #[arg(long)]
    model: Option<String>,
    /// What to measure natively on: cpu or gpu
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Context lengths to measure natively, none to leave it out
    #[arg(long, value_delimiter = ',', default_value = "128,1024,4096")]
    contexts: Vec<u32>,
    /// How often each library is measured in the browser, 0 to leave it out
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Serve the page that measures in a browser of your own instead
    #[arg(long)]
    serve: bool,
}

/// Measures, prints, and writes `target/bench-native.json` and `target/bench.json`.
pub fn run(options: &Options) -> Result<()> {
    let model = match &options.model {
        Some(model) => model.clone(),
        None => {
            if !Path::new(MODEL).exists() {
                run_command(
                    std::process::Command::new(fixtures::FIXTURES.ready()?).arg("tests/fixtures/full_size.py"),
                )?;
            }
            MODEL.to_owned()
        }
    };
    if !options.serve && !options.contexts.is_empty() {
        native(options, &model)?;
    }
    if options.serve || options.rounds > 0 {
        browser(options, &model)?;
    }
    Ok(())
}

fn native(options: &Options, model: &str) -> Result<()> {
    run_command(cargo().args(["build", "--locked", "--release", "--bin", "qwen3"]))?;
    let mut results = Vec::new();
    for context in &options.contexts {
        let mut bench = command("target/release/qwen3 bench --json --decode-tokens 32");
        bench.args(["--model", model, "--device", &options.device, "--prompt-tokens", &context.to_string()]);
        bench.args(["--context-length", &(context + 32).to_string()]);
        let figures = output(&mut bench).with_context(|| format!("`qwen3 bench` failed at a context of {context}"))?;
        println!("{figures}");
        results.push(figures);
    }
    fs::write("target/bench-native.json", format!("[{}]\n", results.join(",\n"))).context("writing the figures")
}

/// The other libraries are installed here and on no other occasion.
fn browser(options: &Options, model: &str) -> Result<()> {
    build::run(&build::Options::default())?;
    node::ready()?;
    say("installing the libraries to compare with in bench/peers/");
    run_command(&mut command(
        "npm install --prefix bench/peers --ignore-scripts --no-audit --no-fund --no-package-lock",
    ))?;
    let mut compare = command("node bench/peers/compare.mjs --rounds");
    compare.arg(options.rounds.to_string()).args(["--model", model]).env("CHROME_PATH", packages::chromium()?);
    if options.serve {
        compare.arg("--serve");
    }
    let status = compare.status().context("starting node")?;
    anyhow::ensure!(status.success(), "the comparison did not come to its end ({status})");
    Ok(())
}
