//! Programs that come from the system: a browser, a software Vulkan driver, compilers. Installed where the system is
//! Debian's and we may; otherwise the error says what to install.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::shell::{as_root, find, run, say};

/// Chrome or Chromium: `CHROME_PATH`, the PATH, macOS's applications, or Debian's package.
pub fn chromium() -> Result<PathBuf> {
    const NAMES: [&str; 5] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
    const APPLICATIONS: [&str; 3] = [
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "C:/Program Files/Google/Chrome/Application/chrome.exe",
    ];
    if let Some(path) = env::var_os("CHROME_PATH") {
        return Ok(path.into());
    }
    let installed = || {
        let on_path = NAMES.into_iter().find_map(find);
        on_path.or_else(|| APPLICATIONS.iter().map(PathBuf::from).find(|path| path.is_file()))
    };
    if let Some(path) = installed() {
        return Ok(path);
    }
    if find("apt-get").is_none() {
        bail!("no Chrome or Chromium found: install one, or set CHROME_PATH to its program");
    }
    install(&["chromium"], "a browser to run the page in")?;
    match installed() {
        Some(path) => Ok(path),
        None => bail!("the package chromium is installed but holds no program of that name: set CHROME_PATH"),
    }
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
