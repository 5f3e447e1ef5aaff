//! Running other programs: said before they run, named when they fail. All they print goes to stderr, so that stdout
//! carries results only.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Tells the developer what happens.
pub fn say(message: &str) {
    eprintln!("\x1b[1mxtask:\x1b[0m {message}");
}

/// `program` with arguments, separated by blanks.
pub fn command(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

/// The cargo that runs xtask.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs to the end; a failure names the command.
pub fn run(command: &mut Command) -> Result<()> {
    run_within(command, Duration::MAX)
}

/// As [`run`], but ends the program after `limit`.
pub fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    let line = line_of(command);
    eprintln!("\x1b[2m$ {line}\x1b[0m");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .spawn()
        .with_context(|| format!("`{line}` did not start; is it installed?"))?;
    let start = Instant::now();
    let status = loop {
        if limit == Duration::MAX {
            break child.wait()?;
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("`{line}` took more than {} seconds", limit.as_secs());
        }
        sleep(Duration::from_millis(50));
    };
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// What a program prints, trimmed; none if it is missing or fails.
pub fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Where a program lies on the PATH.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Runs as root: directly, or through sudo where that asks for no password; none where neither is possible.
pub fn as_root(line: &str) -> Option<Command> {
    if output(&mut command("id -u")).as_deref() == Some("0") {
        return Some(command(line));
    }
    output(&mut command("sudo -n true")).map(|_| command(&format!("sudo -n {line}")))
}

fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
