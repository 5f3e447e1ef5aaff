//! The same engine in a terminal.

mod bench;
mod chat;
mod inspect;
mod logits;
mod source;
mod tokenize;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pollster::block_on;
use qwen3_web::error::{Error, Result};
use qwen3_web::jinja::Jinja;
use qwen3_web::model::{Loaded, Positions, SinkFactory};
use qwen3_web::session::Engine;
use qwen3_web::{cpu, gpu};

use source::Source;

/// Positions of KV cache when the caller does not say, at most the model's own.
const DEFAULT_CONTEXT: usize = 4096;

/// Qwen3 language models: chat, look at logits, measure, inspect.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer one prompt.
    Chat(chat::Arguments),
    /// Write the logits after a sequence of tokens.
    Logits(logits::Arguments),
    /// Measure prefill and decode.
    Bench(bench::Arguments),
    /// Turn texts into ids, without a device.
    Tokenize(tokenize::Arguments),
    /// Check a model file and say what it holds, without a device.
    Inspect(inspect::Arguments),
}

/// The model and where it runs.
#[derive(Args)]
struct Model {
    /// A GGUF (of a split one any part), or a folder of safetensors.
    #[arg(long = "model", value_name = "FILE")]
    file: String,
    /// What computes: by default the GPU if there is a real one, else the CPU.
    #[arg(long)]
    device: Option<DeviceName>,
    /// Positions of KV cache.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    context_length: Option<u32>,
    /// Stretch the network to so many times the positions of its training by YaRN, as Qwen3's card describes: above 1, at most
    /// 64. It costs accuracy on short texts.
    #[arg(long, value_name = "FACTOR")]
    yarn_factor: Option<f64>,
    /// How a GPU keeps keys and values: by default in 16 bits, or in 32 where that is little.
    #[arg(long)]
    kv_cache: Option<KvCache>,
    /// A GPU's kernels for real or for software adapters, whatever it is; for tests.
    #[arg(long)]
    kernels: Option<Kernels>,
    /// Run a GPU's kernels without the checks of indices and loops that a browser insists on; to measure what these cost.
    #[arg(long)]
    unchecked: bool,
    /// Tell in a reply's timings how long the GPU has worked by its own clock, where it has one.
    #[arg(long)]
    gpu_timestamps: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum KvCache {
    /// 8 bits.
    Q8,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kernels {
    /// Those with workgroups that share memory.
    Hardware,
    /// Those without any barrier.
    Software,
}

#[derive(Clone, Copy, ValueEnum)]
enum DeviceName {
    /// Vulkan, Metal or DX12; a software adapter too.
    Gpu,
    /// One thread of this machine's processor.
    Cpu,
}

impl Model {
    /// Reads the whole model onto its device. `needed` is the context to give where the caller did not say.
    fn load(&self, needed: usize) -> Result<Loaded> {
        let source = Source::find(&self.file)?;
        source.load(self.sink(self.gpu()?, needed))
    }

    /// The GPU it shall run on, none for the CPU.
    fn gpu(&self) -> Result<Option<gpu::Device>> {
        match self.device {
            Some(DeviceName::Cpu) => Ok(None),
            Some(DeviceName::Gpu) => block_on(self.open(true)).map(Some),
            None => Ok(block_on(self.open(false))
                .inspect_err(|error| eprintln!("note: on the CPU, because {}", error.message))
                .ok()),
        }
    }

    /// A device that computes right, and as fast as it can.
    async fn open(&self, accept_software: bool) -> Result<gpu::Device> {
        let mut device = gpu::Device::open(accept_software, self.gpu_timestamps).await?;
        if let Some(kernels) = self.kernels {
            device = device.treat_as_software(matches!(kernels, Kernels::Software));
        }
        if self.unchecked {
            device = device.without_checks();
        }
        gpu::tuned(device, None).await
    }

    /// What takes the weights of the model there.
    fn sink(&self, device: Option<gpu::Device>, needed: usize) -> Box<SinkFactory> {
        let wanted = self.context_length.map(|length| length as usize);
        let positions = Positions { wanted, usual: needed, yarn_factor: self.yarn_factor };
        let kv_cache = self.kv_cache;
        Box::new(move |config| {
            let context_length = positions.apply(config)?;
            let Some(device) = device else { return Ok(Box::new(cpu::Sink::new(config, context_length)?)) };
            let sink = gpu::Sink::new(&device, config, context_length)?;
            Ok(Box::new(match kv_cache {
                Some(KvCache::Q8) => sink.with_kv_precision(gpu::Precision::Q8),
                None => sink,
            }))
        })
    }

    /// The model ready to talk.
    fn engine(&self) -> Result<Engine> {
        let begun = Instant::now();
        let clock = Box::new(move || begun.elapsed().as_secs_f64() * 1000.0);
        let mut engine = block_on(Engine::load(self.load(DEFAULT_CONTEXT)?, clock))?;
        if let Some(carried) = engine.needs_template() {
            let wall_clock = || chrono::Local::now().naive_local().and_utc().timestamp_millis();
            let template = Jinja::new(carried.clone())?.with_clock(Box::new(wall_clock));
            engine.set_template(Box::new(template));
        }
        Ok(engine)
    }
}

/// What a file operation failed with.
fn io_error(what: &str, path: &std::path::Path, error: std::io::Error) -> Error {
    Error::invalid(format!("cannot {what} {}: {error}", path.display()))
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Chat(arguments) => chat::run(&arguments),
        Command::Logits(arguments) => logits::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Tokenize(arguments) => tokenize::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error ({}): {}", error.kind.code(), error.message);
            if !error.hint.is_empty() {
                eprintln!("hint: {}", error.hint);
            }
            ExitCode::FAILURE
        }
    }
}
