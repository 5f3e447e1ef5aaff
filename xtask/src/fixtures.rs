//! `cargo xtask fixtures`: makes the test fixtures anew, in a Python environment with named versions.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::shell::{command, find, output, run as run_command, say};

const FOLDER: &str = "tests/fixtures";
const ENVIRONMENT: &str = ".cache/fixtures";

/// Runs every script of `tests/fixtures/`; afterwards `git status` says whether anything differs.
pub fn run() -> Result<()> {
    let python = environment()?;
    let mut scripts: Vec<PathBuf> = fs::read_dir(FOLDER)
        .with_context(|| format!("reading {FOLDER}"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "py"))
        .collect();
    scripts.sort();
    for script in scripts {
        // The others are modules these import.
        if fs::read_to_string(&script)?.contains("if __name__ == \"__main__\":") {
            run_command(std::process::Command::new(&python).arg(&script))?;
        }
    }
    let changed = output(&mut command(&format!("git status --porcelain {FOLDER}"))).unwrap_or_default();
    say(if changed.is_empty() { "all fixtures are as committed" } else { "fixtures differ from what is committed:" });
    eprintln!("{changed}");
    Ok(())
}

/// The environment's Python, with the packages of requirements.txt.
pub fn environment() -> Result<PathBuf> {
    let wanted = format!("{FOLDER}/requirements.txt");
    let wanted_text = fs::read_to_string(&wanted).with_context(|| format!("reading {wanted}"))?;
    let stamp = format!("{ENVIRONMENT}/installed.txt");
    let programs = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    let python = std::path::absolute(format!("{ENVIRONMENT}/{programs}"))?;
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted_text) {
        return Ok(python);
    }
    let system =
        find("python3").or_else(|| find("python")).context("Python 3.11 or newer is needed for the fixtures")?;
    say(&format!("installing the packages of {wanted} in {ENVIRONMENT}"));
    run_command(std::process::Command::new(system).args(["-m", "venv", ENVIRONMENT]))?;
    run_command(std::process::Command::new(&python).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--requirement",
        &wanted,
    ]))?;
    fs::write(&stamp, wanted_text).context("noting what is installed")?;
    Ok(python)
}
