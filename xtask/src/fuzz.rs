//! `cargo xtask fuzz`: every fuzz target for a while, from the committed seeds on.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::shell::{command, find, run as run_command, say};

const TARGETS: [&str; 5] = ["gguf", "safetensors", "tokenizer_json", "template", "reply"];

#[derive(clap::Args)]
pub struct Options {
    /// Seconds for each target
    #[arg(long, default_value_t = 600)]
    seconds: u32,
    /// One target alone
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(TARGETS))]
    target: Option<String>,
}

/// Stops at the first finding, which lies in `fuzz/artifacts/` then. Needs a nightly compiler.
pub fn run(options: &Options) -> Result<()> {
    if find("cargo-fuzz").is_none() {
        run_command(&mut command("cargo install cargo-fuzz@0.13.2 --locked"))?;
    }
    for target in TARGETS.into_iter().filter(|target| options.target.as_deref().is_none_or(|wanted| wanted == *target))
    {
        say(&format!("fuzzing {target} for {} s", options.seconds));
        let corpus = format!("fuzz/corpus/{target}");
        fs::create_dir_all(&corpus).with_context(|| format!("making {corpus}"))?;
        // Safe Rust needs no address sanitizer, and a template may not take more memory than a page has.
        let line = format!(
            "cargo +nightly fuzz run --sanitizer none {target} {corpus} fuzz/seeds/{target} -- -max_total_time={} \
             -timeout=30 -rss_limit_mb=2048 -print_final_stats=1",
            options.seconds
        );
        if run_command(&mut command(&line)).is_err() {
            bail!("the fuzz target {target} has found something, or could not be built");
        }
    }
    Ok(())
}
