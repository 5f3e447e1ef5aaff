//! Programs that come from the system: browsers, Python, a software Vulkan driver, compilers. Installed where the system is
//! Debian's and we may; otherwise the error says what to install.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{as_root, find, output, run, say};

/// A browser, and where it is looked for.
struct Browser {
    /// Names the program where it is set.
    variable: &'static str,
    names: &'static [&'static str],
    applications: &'static [&'static str],
    /// Debian's.
    package: &'static str,
}

/// Chrome or Chromium: `CHROME_PATH`, the PATH, macOS's and Windows's applications, or Debian's package.
pub fn chromium() -> Result<PathBuf> {
    browser(&Browser {
        variable: "CHROME_PATH",
        names: &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"],
        applications: &[
            "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
            "/Applications/Chromium.app/Contents/MacOS/Chromium",
            "C:/Program Files/Google/Chrome/Application/chrome.exe",
        ],
        package: "chromium",
    })
}

/// Firefox, in the same way: `FIREFOX`, the PATH, applications, or Debian's package.
pub fn firefox() -> Result<PathBuf> {
    browser(&Browser {
        variable: "FIREFOX",
        names: &["firefox-esr", "firefox"],
        applications: &[
            "/Applications/Firefox.app/Contents/MacOS/firefox",
            "C:/Program Files/Mozilla Firefox/firefox.exe",
        ],
        package: "firefox-esr",
    })
}

fn browser(wanted: &Browser) -> Result<PathBuf> {
    let Browser { variable, names, applications, package } = wanted;
    if let Some(path) = env::var_os(variable) {
        return Ok(path.into());
    }
    let installed = || {
        let on_path = names.iter().find_map(|name| find(name));
        on_path.or_else(|| applications.iter().map(PathBuf::from).find(|path| path.is_file()))
    };
    if let Some(path) = installed() {
        return Ok(path);
    }
    if find("apt-get").is_none() {
        bail!("no {package} found: install it, or set {variable} to its program");
    }
    install(&[package], "a browser to run the pages in")?;
    match installed() {
        Some(path) => Ok(path),
        None => bail!("the package {package} is installed but holds no program of that name: set {variable}"),
    }
}

/// A Python that can make environments of its own, which Debian ships apart.
pub fn python() -> Result<PathBuf> {
    let installed = || {
        let complete = |path: &PathBuf| output(Command::new(path).args(["-c", "import ensurepip, venv"])).is_some();
        ["python3", "python"].into_iter().filter_map(find).find(complete)
    };
    if let Some(path) = installed() {
        return Ok(path);
    }
    install(&["python3", "python3-venv"], "Python 3.11 or newer")?;
    installed()
        .context("the packages python3 and python3-venv are installed, and still `python3 -m venv` does not work")
}

/// Mesa's software Vulkan driver (lavapipe) as a Vulkan loader wants it named; none where there is no such thing.
pub fn lavapipe() -> Result<Option<PathBuf>> {
    let folder = Path::new("/usr/share/vulkan/icd.d");
    let installed = || -> Option<PathBuf> {
        let entries = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        let driver =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lvp_icd"));
        entries.into_iter().find(driver)
    };
    if installed().is_none() && find("apt-get").is_some() {
        install(&["mesa-vulkan-drivers", "libvulkan1"], "a software GPU for the kernel tests")?;
    }
    Ok(installed())
}

/// Installs Debian packages; where that is not possible, the error is the command that would.
pub fn install(packages: &[&str], purpose: &str) -> Result<()> {
    let names = packages.join(" ");
    let line = format!("apt-get install --yes --no-install-recommends {names}");
    if find("apt-get").is_none() {
        bail!("{names} is needed ({purpose}), and this system has no apt-get to install it with");
    }
    let Some(mut update) = as_root("apt-get update") else {
        bail!("{names} is needed ({purpose}); install it with: sudo {line}");
    };
    say(&format!("installing {names}: {purpose}"));
    let install = || match as_root(&line) {
        Some(mut command) => run(command.env("DEBIAN_FRONTEND", "noninteractive")),
        None => bail!("sudo no longer works without a password; install with: sudo {line}"),
    };
    // The lists are missing in fresh containers and stale on old machines; often they are good.
    if install().is_err() {
        run(&mut update)?;
        install()?;
    }
    Ok(())
}
