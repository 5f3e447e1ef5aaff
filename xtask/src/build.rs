//! `cargo xtask build`: the engine three times as WebAssembly, its grammars and its Jinja once, the TypeScript around it, the
//! embedded model, the demo page, the sidebar.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use walrus::ir::Value;
use walrus::{ConstExpr, ExportItem, GlobalKind, Module};
use wasm_bindgen_cli_support::Bindgen;

use crate::extension;
use crate::node;
use crate::shell::{self, say};
use crate::toolchain::{TARGET, Toolchain};

/// The features of the builds, and their names. The engine is built for WebGPU, for the CPU, and for several threads of it: a page
/// downloads only the one it runs, the grammars when a reply first needs them, and Jinja with a model whose chat template is
/// not Qwen3's.
const BUILDS: [(&str, &str); 5] = [
    ("gpu", "engine-gpu"),
    ("cpu", "engine-cpu"),
    ("threads", "engine-cpu-threads"),
    ("grammar", "grammar"),
    ("jinja", "jinja"),
];

/// The WebGPU engine has its speed on the device: all of it is built small, and as a whole (docs/performance.md).
const SMALL: [&str; 2] = [r#"profile.web.lto="fat""#, r#"profile.web.package.qwen3-web.opt-level="s""#];

/// How to link an engine whose memory other instances of it can see. The standard library's objects say that they are not made for
/// that, which is so of its allocator and its panics, of which threads use neither, and of its locks, of which each has its own
/// (`src/cpu/team.rs`). What is exported is what they, and wasm-bindgen, need to start.
const SHARED_MEMORY: [&str; 9] = [
    "--shared-memory",
    "--no-check-features",
    "--import-memory",
    "--max-memory=4294967296",
    "--export=__stack_pointer",
    "--export=__tls_align",
    "--export=__tls_base",
    "--export=__tls_size",
    "--export=__wasm_init_tls",
];

/// Apart from the native builds: other flags, and both can stay warm.
const TARGET_DIR: &str = "target/web";

#[derive(clap::Args, Default)]
pub struct Options {
    /// Keep function names in the WebAssembly, for a profiler
    #[arg(long)]
    keep_names: bool,
    /// Build one engine and nothing else: engine-gpu, engine-cpu, engine-cpu-threads, grammar or jinja
    #[arg(long)]
    only: Option<String>,
}

/// Fills `pkg/`, `www/dist/` and `extension/dist/`.
pub fn run(options: &Options) -> Result<()> {
    let start = Instant::now();
    let toolchain = Toolchain::find_or_install()?;
    node::ready()?;
    for (feature, name) in BUILDS {
        if options.only.as_deref().is_some_and(|only| only != name) {
            continue;
        }
        compile(&toolchain, feature)?;
        bind(name, options.keep_names)?;
    }
    if options.only.is_some() {
        return Ok(());
    }
    copy_embedded_model()?;
    shell::run(&mut node::npm_run("build"))?;
    say(&format!("built pkg/, www/dist/ and extension/dist/ in {:.0?}", start.elapsed()));
    if !options.keep_names {
        shell::run(&mut shell::command("node xtask/sizes.mjs"))?;
    }
    extension::pack()
}

fn compile(toolchain: &Toolchain, feature: &str) -> Result<()> {
    let mut command = toolchain.build();
    command.args(["--package", "qwen3-web", "--lib", "--profile", "web", "--target-dir", TARGET_DIR]);
    command.args(["--no-default-features", "--features", feature]);
    if feature == "gpu" {
        command.args(SMALL.iter().flat_map(|setting| ["--config", setting]));
    }
    command.arg("--");
    if feature == "threads" {
        command.args(SHARED_MEMORY.iter().flat_map(|argument| ["-C".to_owned(), format!("link-arg={argument}")]));
    }
    // Cargo names a cdylib without a hash, so that each build with other features throws the last one away. This variable,
    // by which rustc's own build keeps its channels apart, gives it one: all engines stay built.
    command.env("__CARGO_DEFAULT_LIB_METADATA", "web");
    shell::run(&mut command)
}

/// Makes `name.{js,d.ts,wasm}` of the compiled library. It runs here, as a library, and not as a program to
/// install: its version must be that of the crate `wasm-bindgen`, and Cargo.lock holds both.
fn bind(name: &str, keep_names: bool) -> Result<()> {
    let compiled = format!("{TARGET_DIR}/{TARGET}/web/qwen3_web.wasm");
    let mut bindgen = Bindgen::new();
    if name == "engine-cpu-threads" {
        bindgen.input_bytes(name, with_aligned_thread_locals(&compiled)?);
    } else {
        bindgen.input_path(&compiled);
    }
    let mut output = bindgen
        .web(true)?
        .out_name(name)
        .typescript(true)
        .ts_typed_array_buffers(true)
        // The worker says where the file is: bundlers see one address, its own.
        .omit_default_module_path(true)
        .remove_name_section(!keep_names)
        .remove_producers_section(true)
        .generate_output()
        .with_context(|| format!("making JavaScript bindings of {compiled}"))?;
    let inline = output.snippets().iter().filter(|(_, scripts)| !scripts.is_empty()).map(|(name, _)| name);
    let brought: Vec<_> = inline.chain(output.local_modules().keys()).collect();
    if !brought.is_empty() {
        bail!("a crate of the {name} build brings JavaScript of its own, which pkg/ has no place for: {brought:?}");
    }
    let file = |extension: &str| format!("pkg/{name}.{extension}");
    write_if_changed(&file("js"), output.js().as_bytes())?;
    write_if_changed(&file("d.ts"), output.ts().context("no TypeScript declarations")?.as_bytes())?;
    write_if_changed(&file("wasm"), &output.wasm_mut().emit_wasm())
}

/// The linker gives thread-local variables the alignment 0 where there are none, and wasm-bindgen allocates their room at the start
/// all the same: 1 is the least that an allocator takes.
fn with_aligned_thread_locals(compiled: &str) -> Result<Vec<u8>> {
    let mut module = Module::from_file(compiled).with_context(|| format!("reading {compiled}"))?;
    let exported = module.exports.iter().find(|export| export.name == "__tls_align").map(|export| &export.item);
    if let Some(&ExportItem::Global(global)) = exported {
        let global = module.globals.get_mut(global);
        if let GlobalKind::Local(ConstExpr::Value(Value::I32(align @ 0))) = &mut global.kind {
            *align = 1;
        }
    }
    Ok(module.emit_wasm())
}

/// The one model that ships with the package.
fn copy_embedded_model() -> Result<()> {
    let folder = "models/tiny-math";
    let mut models: Vec<_> = fs::read_dir(folder)
        .with_context(|| format!("reading {folder}"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "gguf"))
        .collect();
    models.sort();
    let [model] = models.as_slice() else { bail!("one .gguf is expected in {folder}, there are {}", models.len()) };
    write_if_changed("pkg/qwen3-tiny-math.gguf", &fs::read(model)?)
}

/// Leaves equal files alone, so that what depends on them is not built again.
fn write_if_changed(path: &str, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = Path::new(path).parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes).with_context(|| format!("writing {path}"))
}
