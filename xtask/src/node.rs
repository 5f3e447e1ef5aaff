//! Node.js and the modules of `package-lock.json`.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{command, output, run, say};

/// Makes sure that Node.js is there and that `node_modules` is what the lock file says.
pub fn ready() -> Result<()> {
    const OLDEST: u32 = 20;
    let version = output(&mut command("node --version")).context(
        "Node.js 20 or newer is needed (TypeScript, webpack and the browser tests run on it): https://nodejs.org",
    )?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST) {
        bail!("Node.js {OLDEST} or newer is needed, this is {version}: https://nodejs.org");
    }
    // Kept beside the modules, so that it vanishes with them.
    let stamp = "node_modules/.installed-package-lock.json";
    let lock = fs::read_to_string("package-lock.json").context("reading package-lock.json")?;
    if fs::read_to_string(stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    say("installing the node modules of package-lock.json");
    run(&mut command("npm ci --no-audit --no-fund"))?;
    fs::write(stamp, lock).context("noting what is installed")
}

/// A script of package.json.
pub fn npm_run(script: &str) -> Command {
    command(&format!("npm run --silent {script}"))
}
