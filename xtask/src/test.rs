//! `cargo xtask test`: every test there is, and one summary.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::shell::{self, cargo, say};
use crate::{build, check, node, packages};

/// Runs all steps, whatever fails.
pub fn run() -> Result<()> {
    let mut steps = Steps::default();
    check::steps(&mut steps);
    // One package after the other, as the steps before built them: for both at once cargo would build what they share anew.
    steps.run("rust", || {
        let mut tests = package_tests("qwen3-web");
        // The kernels run on the same software GPU everywhere, unless the developer chose a device.
        let chosen = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].iter().any(|name| std::env::var_os(name).is_some());
        if let (false, Some(driver)) = (chosen, packages::lavapipe()?) {
            tests.env("VK_DRIVER_FILES", &driver).env("VK_ICD_FILENAMES", &driver);
        }
        shell::run(&mut tests)
    });
    steps.run("xtask", || shell::run(&mut package_tests("xtask")));
    let built = steps.run("build", || build::run(&build::Options::default()));
    if built {
        steps.run("browser", || {
            let (chromium, firefox) = (packages::chromium()?, packages::firefox()?);
            // The tests of `connect` install a server of llama.cpp with it.
            packages::python()?;
            shell::run(node::npm_run("test").env("CHROME_PATH", chromium).env("FIREFOX", firefox))
        });
    } else {
        steps.skip("browser", "nothing was built");
    }
    steps.finish()
}

fn package_tests(package: &str) -> Command {
    let mut tests = cargo();
    tests.args(["test", "--locked", "--no-fail-fast", "--package", package]);
    tests
}

/// Named pieces of work and how they went.
#[derive(Default)]
pub struct Steps {
    done: Vec<(&'static str, Outcome)>,
}

enum Outcome {
    Passed(Duration),
    Failed(String),
    Skipped(&'static str),
}

impl Steps {
    /// Does it now; true if it went well.
    pub fn run(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> bool {
        say(&format!("── {name}"));
        let start = Instant::now();
        let outcome = match work() {
            Ok(()) => Outcome::Passed(start.elapsed()),
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        let passed = matches!(outcome, Outcome::Passed(_));
        self.done.push((name, outcome));
        passed
    }

    /// Notes what could not be done; that is a failure too, of whatever it depended on.
    pub fn skip(&mut self, name: &'static str, reason: &'static str) {
        self.done.push((name, Outcome::Skipped(reason)));
    }

    /// Prints the summary; an error if anything failed.
    pub fn finish(self) -> Result<()> {
        eprintln!();
        for (name, outcome) in &self.done {
            match outcome {
                Outcome::Passed(time) => eprintln!("  ok       {name:<14} {time:>6.1?}"),
                Outcome::Failed(error) => eprintln!("  FAILED   {name:<14} {error}"),
                Outcome::Skipped(reason) => eprintln!("  skipped  {name:<14} {reason}"),
            }
        }
        let failed = self.done.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_))).count();
        if failed > 0 {
            bail!("{failed} of {} steps failed", self.done.len());
        }
        Ok(())
    }
}
