//! `cargo xtask bench`: how fast the engine is, natively and in a browser beside other libraries.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::fixtures::Environment;
use crate::shell::{cargo, command, run as run_command, say};
use crate::{build, packages};

/// What `bench/checkpoints.py` is run with.
const ENVIRONMENT: Environment = Environment {
    folder: ".cache/bench/python",
    requirements: &["tests/fixtures/requirements.txt", "bench/requirements.txt"],
};
const CHECKPOINTS: &str = ".cache/bench/checkpoints";

#[derive(clap::Args)]
pub struct Options {
    /// One part alone
    #[arg(long)]
    only: Option<Part>,
    /// Serve the page that compares in a browser of your own instead
    #[arg(long)]
    page: bool,
    /// What `bench/native.mjs` or, without `--only native`, `bench/peers/compare.mjs` takes: rounds, contenders, contexts
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The native binary: speed, launches, bandwidth
    Native,
    /// This package beside others in a browser
    Browser,
}

/// Prints tables and writes `target/bench-native.json` and `target/bench-browser.json`; an hour where there is no GPU.
pub fn run(options: &Options) -> Result<()> {
    // The script makes only what is missing.
    run_command(Command::new(ENVIRONMENT.ready()?).args(["bench/checkpoints.py", CHECKPOINTS]))?;
    if options.only != Some(Part::Browser) && !options.page {
        run_command(cargo().args(["build", "--locked", "--release", "--bin", "qwen3"]))?;
        // For machines without a GPU.
        packages::lavapipe()?;
        let rest = if options.only == Some(Part::Native) { &options.rest[..] } else { &[] };
        node("bench/native.mjs", rest)?;
    }
    if options.only != Some(Part::Native) || options.page {
        build::run(&build::Options::default())?;
        install_libraries()?;
        let page = options.page.then(|| "--page".to_owned());
        node("bench/peers/compare.mjs", &page.into_iter().chain(options.rest.clone()).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// The libraries to compare with, which nothing else here depends on.
fn install_libraries() -> Result<()> {
    say("installing the libraries to compare with in bench/peers/");
    run_command(&mut command(
        "npm install --prefix bench/peers --ignore-scripts --no-audit --no-fund --no-package-lock",
    ))
}

fn node(script: &str, rest: &[String]) -> Result<()> {
    let mut node = command("node");
    node.arg(script).args(rest).env("CHROME_PATH", packages::chromium()?);
    let status = node.status().context("starting node")?;
    ensure!(status.success(), "{script} measured nothing ({status})");
    Ok(())
}
