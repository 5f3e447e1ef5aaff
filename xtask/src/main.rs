//! `cargo xtask`: everything a developer of qwen3-web runs, and what has to be there for it.

mod bench;
mod build;
mod check;
mod demo;
mod extension;
mod fixtures;
mod fuzz;
mod node;
mod packages;
mod parity;
mod server;
mod shell;
mod test;
mod toolchain;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, serves and tests qwen3-web, and sets up what is missing for it")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Set up what is missing, build, and serve the demo page
    Demo(demo::Options),
    /// Fill pkg/ (the npm package), www/dist/ (the demo page) and extension/dist/ (the sidebar, unpacked and as archives)
    Build(build::Options),
    /// Run every test: Rust, the kernels on a GPU or a software one, the package in a browser
    Test,
    /// Check format, lints, types, architecture and, by a build, the size of the download: no browser
    Check,
    /// Measure speed: natively, and in a browser beside other libraries
    Bench(bench::Options),
    /// Make the test fixtures anew, with the Python packages they are pinned to
    Fixtures,
    /// Measure the engine against transformers and llama.cpp, and write docs/parity.md anew
    Parity(parity::Options),
    /// Feed the parsers with bytes that a fuzzer makes up
    Fuzz(fuzz::Options),
}

fn main() -> ExitCode {
    match run(&Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shell::say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(verb: &Verb) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies inside the repository")?;
    std::env::set_current_dir(root).with_context(|| format!("going to {}", root.display()))?;
    match verb {
        Verb::Demo(options) => demo::run(options),
        Verb::Build(options) => build::run(options),
        Verb::Test => test::run(),
        Verb::Check => check::run(),
        Verb::Bench(options) => bench::run(options),
        Verb::Fixtures => fixtures::run(),
        Verb::Parity(options) => parity::run(options),
        Verb::Fuzz(options) => fuzz::run(options),
    }
}
