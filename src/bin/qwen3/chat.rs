//! `qwen3 chat`: one prompt, one reply; the answer goes to standard output, the thinking to standard error.

use std::io::{IsTerminal, Write, stderr, stdout};

use clap::Args;
use pollster::block_on;
use qwen3_web::error::{Error, Result};
use qwen3_web::session::Event;
use serde_json::{Value, json};

use super::Model;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: Model,
    /// What the user says.
    #[arg(long)]
    prompt: String,
    /// What the system says.
    #[arg(long)]
    system: Option<String>,
    /// Answer at once.
    #[arg(long)]
    no_thinking: bool,
    /// The same seed gives the same reply.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// 0 takes the most likely token; by default what Qwen advises for the mode.
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// The most tokens of the reply.
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
    /// The most tokens of thinking.
    #[arg(long, value_name = "N")]
    thinking_budget: Option<u32>,
    /// Every event as one line of JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut engine = arguments.model.engine()?;
    let mut messages = Vec::new();
    if let Some(system) = &arguments.system {
        messages.push(json!({ "role": "system", "content": system }));
    }
    messages.push(json!({ "role": "user", "content": arguments.prompt }));
    let mut options = serde_json::Map::new();
    options.insert("enableThinking".into(), json!(!arguments.no_thinking));
    let given = [
        ("seed", arguments.seed.map(Value::from)),
        ("temperature", arguments.temperature.map(Value::from)),
        ("maxTokens", arguments.max_tokens.map(Value::from)),
        ("thinkingBudget", arguments.thinking_budget.map(Value::from)),
    ];
    options.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))));

    let mut reply = engine.chat(&Value::Array(messages), &Value::Object(options))?;
    while !reply.is_done() {
        for event in block_on(engine.step(&mut reply))? {
            let shown = if arguments.json { print_json(&event) } else { print(&event) };
            shown.map_err(|error| Error::invalid(format!("cannot write to the terminal: {error}")))?;
        }
    }
    Ok(())
}

fn print_json(event: &Event) -> std::io::Result<()> {
    let mut out = stdout().lock();
    serde_json::to_writer(&mut out, event)?;
    writeln!(out)?;
    out.flush()
}

fn print(event: &Event) -> std::io::Result<()> {
    let (dim, plain) = if stderr().is_terminal() { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
    match event {
        Event::Thinking { text } => {
            write!(stderr(), "{dim}{text}{plain}")?;
            stderr().flush()
        }
        Event::Content { text } => {
            write!(stdout(), "{text}")?;
            stdout().flush()
        }
        Event::Notice { message, .. } => writeln!(stderr(), "note: {message}"),
        Event::Done { result } => {
            writeln!(stdout())?;
            let (usage, timings) = (&result.usage, &result.timings);
            writeln!(
                stderr(),
                "{dim}{} tokens of prompt at {:.1}/s, {} of reply at {:.1}/s{plain}",
                usage.prompt_tokens,
                timings.prefill_tokens_per_second,
                usage.completion_tokens,
                timings.decode_tokens_per_second
            )
        }
        Event::Prefill { .. } | Event::ToolCallDelta { .. } | Event::ToolCall { .. } => Ok(()),
    }
}
