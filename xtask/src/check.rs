//! `cargo xtask check`: what a machine can say about the sources without running them, the size of the download included.

use anyhow::Result;

use crate::shell::{self, cargo};
use crate::test::Steps;
use crate::{build, node, toolchain};

/// Cheapest first, all of them, then the summary.
pub fn run() -> Result<()> {
    let mut all = Steps::default();
    steps(&mut all);
    // The last thing a build does is to hold its sizes against the budget.
    all.run("size", || build::run(&build::Options::default()));
    all.finish()
}

/// The same steps as part of a larger run, which builds by itself.
pub fn steps(all: &mut Steps) {
    all.run("tools", toolchain::format_and_lint);
    all.run("format", || shell::run(cargo().args(["fmt", "--all", "--check"])));
    all.run("architecture", || shell::run(cargo().args(["test", "--locked", "--quiet", "--test", "architecture"])));
    all.run("lints", || {
        shell::run(cargo().args([
            "clippy",
            "--locked",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ]))
    });
    all.run("types", || {
        node::ready()?;
        shell::run(&mut node::npm_run("check"))
    });
}
