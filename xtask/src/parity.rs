//! `cargo xtask parity`: measures the engine against the references, and writes docs/parity.md anew.

use std::process::Command;

use anyhow::Result;

use crate::fixtures::Environment;
use crate::packages;
use crate::shell::{cargo, run as run_command};

const ENVIRONMENT: Environment = Environment {
    folder: ".cache/parity/python",
    requirements: &[
        "tests/fixtures/requirements.txt",
        "tests/servers/requirements.txt",
        "tests/parity/requirements.txt",
    ],
};

#[derive(clap::Args)]
pub struct Options {
    /// What `tests/parity/report.py` takes: devices, tokens, checkpoints
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    report: Vec<String>,
}

/// Minutes on the CPU, an hour or more on a software GPU.
pub fn run(options: &Options) -> Result<()> {
    let python = ENVIRONMENT.ready()?;
    run_command(cargo().args(["build", "--locked", "--release", "--bin", "qwen3"]))?;
    let mut report = Command::new(python);
    report.arg("tests/parity/report.py").args(&options.report);
    if let Some(driver) = packages::lavapipe()? {
        report.env("VK_DRIVER_FILES", &driver).env("VK_ICD_FILENAMES", &driver);
    }
    run_command(&mut report)
}
