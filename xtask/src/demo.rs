//! `cargo xtask demo`: from a fresh clone to a reply, in the developer's browser or in one without a window.

use std::path::Path;
use std::thread;

use anyhow::{Context, Result};

use crate::shell::{command, find, say};
use crate::{build, packages, server, shell};

#[derive(clap::Args)]
pub struct Options {
    /// Run the page in a browser without a window, send it the prompt, print its events as JSON lines
    #[arg(long, requires = "prompt")]
    headless: bool,
    /// What to ask, with --headless
    #[arg(long)]
    prompt: Option<String>,
    /// Options of the reply as JSON, with --headless: '{"seed": 7, "enableThinking": false}'
    #[arg(long, default_value = "{}")]
    options: String,
    /// webgpu, cpu or auto, with --headless; webgpu takes a software GPU where there is no other
    #[arg(long, default_value = "auto")]
    device: String,
    /// A name of the catalogue or the address of a GGUF, with --headless; the embedded model if not given
    #[arg(long, default_value = "")]
    model: String,
    /// Where to write a picture of the page after the reply, with --headless
    #[arg(long, default_value = "")]
    screenshot: String,
    /// The port to serve on; 8080 or a free one if not given
    #[arg(long)]
    port: Option<u16>,
    /// Print the address and leave the browser to you
    #[arg(long)]
    no_open: bool,
}

/// Sets up, builds, serves, and opens the page or drives it.
pub fn run(options: &Options) -> Result<()> {
    build::run(&build::Options::default())?;
    let address = server::start(Path::new("www/dist"), options.port)?;
    if options.headless {
        return headless(options, &address);
    }
    say(&format!("the demo page is at {address} (Ctrl-C ends it)"));
    if !options.no_open {
        open(&address);
    }
    loop {
        thread::park();
    }
}

fn headless(options: &Options, address: &str) -> Result<()> {
    let browser = packages::chromium()?;
    let mut script = command("node xtask/headless.mjs");
    script.arg(address).arg(browser).arg(options.prompt.as_deref().unwrap_or_default());
    script.args([&options.device, &options.model, &options.options, &options.screenshot]);
    let status = script.status().context("starting node")?;
    anyhow::ensure!(status.success(), "the page gave no complete reply ({status})");
    Ok(())
}

/// A desktop without a browser to open is no failure: the address has been printed.
fn open(address: &str) {
    let opener = ["open", "xdg-open", "explorer.exe"].into_iter().find_map(find);
    if let Some(opener) = opener {
        shell::output(std::process::Command::new(opener).arg(address));
    }
}
