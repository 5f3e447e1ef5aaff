//! A Rust toolchain that compiles for WebAssembly: rustup's prebuilt target where it can be had, else a standard library
//! built from source, by Debian's compiler if need be. What works is taken, and said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::packages;
use crate::shell::{cargo, command, find, output, run_within, say};

/// The target of the browser builds.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// For all crates: vectors, and our own source of random bytes (`src/wasm/random.rs`).
const RUSTFLAGS: &str = r#"-C target-feature=+simd128 --cfg getrandom_backend="custom""#;

/// Where Debian's rust-web-src puts the sources of the standard library.
const DEBIAN_STD: &str = "/usr/lib/rustlib/src/rust/library";

/// A download from rustup takes seconds; without a network it must not hang.
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);

/// How to compile for WebAssembly on this machine.
pub enum Toolchain {
    /// The standard library is installed for the target.
    Prebuilt,
    /// Debian's compiler builds the standard library too, and this linker links.
    Debian { linker: PathBuf },
}

impl Toolchain {
    /// Takes what is there, or installs it.
    pub fn find_or_install() -> Result<Self> {
        if has_target() {
            return Ok(Self::Prebuilt);
        }
        let refused = match add_target() {
            Ok(()) if has_target() => return Ok(Self::Prebuilt),
            Ok(()) => "rustup installed the target for another toolchain than cargo runs on".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        say(&format!("no prebuilt {TARGET}: {refused}; trying Debian's compiler with a standard library from source"));
        Self::debian().with_context(|| {
            format!(
                "no way to compile for {TARGET}: neither `rustup target add {TARGET}` nor Debian's compiler can be had"
            )
        })
    }

    fn debian() -> Result<Self> {
        let complete = || {
            Path::new("/usr/bin/cargo").exists()
                && Path::new("/usr/bin/rustc").exists()
                && Path::new(DEBIAN_STD).exists()
        };
        if !complete() {
            packages::install(
                &["rustc-web", "cargo-web", "rust-web-src"],
                "a compiler that can build for WebAssembly",
            )?;
        }
        let version = output(command("rustc --version --verbose").env("PATH", "/usr/bin:/bin")).unwrap_or_default();
        let release = version.lines().next().unwrap_or("no compiler").to_owned();
        if !complete() || minor(&release) < minor(&format!("rustc {}", env!("CARGO_PKG_RUST_VERSION"))) {
            bail!(
                "/usr/bin holds {release}, and {} or newer with its sources is needed",
                env!("CARGO_PKG_RUST_VERSION")
            );
        }
        let linker = linker(&version)?;
        say(&format!("compiling for WebAssembly with Debian's {release}, linked by {}", linker.display()));
        Ok(Self::Debian { linker })
    }

    /// A `cargo rustc` for the target; the caller adds what to build.
    pub fn build(&self) -> Command {
        let mut command = match self {
            Self::Prebuilt => cargo(),
            Self::Debian { linker } => {
                let mut command = Command::new("/usr/bin/cargo");
                // Building the standard library is an unstable feature of cargo, and rustup's variables would lead
                // Debian's cargo to the other compiler.
                command
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
                for variable in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC_WRAPPER", "LD_LIBRARY_PATH"] {
                    command.env_remove(variable);
                }
                command
            }
        };
        // Cargo's own variables of the run that xtask is would change the build's fingerprint.
        command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_PKG_NAME");
        command
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", RUSTFLAGS)
            .args(["rustc", "--locked", "--target", TARGET]);
        if matches!(self, Self::Debian { .. }) {
            command.arg("-Zbuild-std=std,panic_abort");
        }
        command
    }
}

/// Makes sure that cargo can format and lint.
pub fn format_and_lint() -> Result<()> {
    let missing = |program: &str| output(cargo().args([program, "--version"])).is_none();
    if missing("fmt") || missing("clippy") {
        run_within(&mut command("rustup component add rustfmt clippy"), RUSTUP_LIMIT)
            .context("rustfmt and clippy are needed")?;
    }
    Ok(())
}

/// Whether the compiler in use has a standard library for the target.
fn has_target() -> bool {
    let Some(folder) = output(&mut command(&format!("rustc --print target-libdir --target {TARGET}"))) else {
        return false;
    };
    let Ok(mut entries) = fs::read_dir(folder) else { return false };
    entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-")))
}

/// Asks rustup for the target; without a network it gives up soon.
fn add_target() -> Result<()> {
    if find("rustup").or_else(|| find("rustup.exe")).is_none() {
        bail!("there is no rustup here");
    }
    say(&format!("asking rustup for the target {TARGET}"));
    run_within(command(&format!("rustup target add {TARGET}")).env("RUSTUP_MAX_RETRIES", "1"), RUSTUP_LIMIT)
}

/// rustup's own linker, any LLVM linker that is installed, or Debian's of the compiler's LLVM.
fn linker(compiler_version: &str) -> Result<PathBuf> {
    let field = |name: &str| compiler_version.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let host = field("host:").context("the compiler does not name its host")?;
    let llvm =
        field("LLVM version:").and_then(|version| version.split('.').next()).context("the compiler names no LLVM")?;
    let of_rustup = output(&mut command("rustc --print sysroot"))
        .map(|sysroot| Path::new(&sysroot).join("lib/rustlib").join(host).join("bin/rust-lld"));
    let installed = || {
        let names = [format!("wasm-ld-{llvm}"), "wasm-ld".to_owned()];
        of_rustup.clone().filter(|path| path.exists()).or_else(|| names.iter().find_map(|name| find(name)))
    };
    if let Some(linker) = installed() {
        return Ok(linker);
    }
    let package = format!("lld-{llvm}");
    packages::install(&[&package], "a linker for WebAssembly")?;
    installed().with_context(|| format!("the package {package} holds no wasm-ld-{llvm}"))
}

/// `96` of `rustc 1.96.0 …`; 0 if that is no release of Rust 1.
fn minor(release: &str) -> u32 {
    let version = release.strip_prefix("rustc 1.").unwrap_or("");
    version.split('.').next().and_then(|minor| minor.parse().ok()).unwrap_or(0)
}
