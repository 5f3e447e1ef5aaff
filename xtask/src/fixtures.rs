//! `cargo xtask fixtures`: makes the test fixtures anew, in a Python environment with named versions.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::packages;
use crate::shell::{command, output, run as run_command, say};

const FOLDER: &str = "tests/fixtures";
/// What the scripts of `tests/fixtures` are run with.
const FIXTURES: Environment =
    Environment { folder: ".cache/fixtures", requirements: &["tests/fixtures/requirements.txt"] };

/// Runs every script of `tests/fixtures/`; afterwards `git status` says whether anything differs.
pub fn run() -> Result<()> {
    let python = FIXTURES.ready()?;
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

/// A Python environment of its own, with packages of named versions.
pub struct Environment {
    /// Where it lies.
    pub folder: &'static str,
    /// What it holds.
    pub requirements: &'static [&'static str],
}

impl Environment {
    /// Its Python, installed where anything is missing.
    pub fn ready(&self) -> Result<PathBuf> {
        let Self { folder, requirements } = self;
        let read = |path: &&str| fs::read_to_string(path).with_context(|| format!("reading {path}"));
        let wanted = requirements.iter().map(read).collect::<Result<String>>()?;
        let stamp = format!("{folder}/installed.txt");
        let programs = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
        let python = std::path::absolute(format!("{folder}/{programs}"))?;
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(python);
        }
        let system = packages::python()?;
        say(&format!("installing the packages of {} in {folder}", requirements.join(", ")));
        run_command(std::process::Command::new(system).args(["-m", "venv", folder]))?;
        let mut install = std::process::Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet"]);
        for list in *requirements {
            install.args(["--requirement", list]);
        }
        run_command(&mut install)?;
        fs::write(&stamp, wanted).context("noting what is installed")?;
        Ok(python)
    }
}
