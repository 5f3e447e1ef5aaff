//! The chat template that a model's file carries, run as `transformers` runs it (`render_jinja_template`), and its text as
//! prompt pieces. Behind the feature `jinja` the template engine is minijinja.
//!
//! A template can do anything to what people wrote, so where each character came from is found out by marks: every visible
//! character of theirs goes in between two that occur nowhere else. A control token that the template wrote has no mark inside.
//! A template that looks into what people wrote may say something else because of them; it is then run with marks around
//! whatever spells a control token alone. If even that changes what it says, no token that people have spelt is a control token.

mod marks;

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::DateTime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, Serde};
use minijinja::{Environment, Error as Fault, ErrorKind as FaultKind, UndefinedBehavior, Value as Item};
use serde_json::{Map, Value, json};

use crate::chat::json::{Layout, dumps_in};
use crate::chat::message::{Message, Role};
use crate::chat::reply::Start;
use crate::chat::template::{Carried, Piece, Prompt, Render, Settings};
use crate::error::{Error, Result};
use marks::{Controls, Marks, marked};

/// Steps of a template at most: a file's own loop without end ends here.
const FUEL: u64 = 5_000_000;
/// What [`raise_exception`] begins its message with, so that it is told from the engine's own faults.
const REFUSED: &str = "the chat template refuses: ";

/// A template ready to run.
pub struct Jinja {
    environment: Environment<'static>,
    /// `bos_token` and `eos_token`, where the model has them.
    specials: Map<String, Value>,
    controls: Controls,
    clock: Option<Clock>,
}

/// Milliseconds that the clock on the wall is past 1970 began.
pub type WallClock = Box<dyn Fn() -> i64>;

/// What time it is, and what time it was when the prompt under way was begun: all of it is of one moment.
struct Clock {
    now: WallClock,
    moment: Arc<AtomicI64>,
}

impl Jinja {
    /// Compiles what a file carries. `unsupported-model` for a template that this engine cannot run.
    pub fn new(carried: Carried) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(fault)?;
        environment.set_syntax(syntax);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", raise_exception);
        let specials = [("bos_token", carried.bos_token), ("eos_token", carried.eos_token)];
        let specials =
            specials.into_iter().filter_map(|(name, token)| Some((name.to_owned(), token?.into()))).collect();
        environment.add_template_owned("chat_template", without_generation_tags(&carried.source)).map_err(fault)?;
        Ok(Self { environment, specials, controls: Controls::new(carried.controls), clock: None })
    }

    /// Gives the template `strftime_now`. Without a clock it has none, and those that ask for it take a date of their own.
    #[must_use]
    pub fn with_clock(mut self, now: WallClock) -> Self {
        let moment = Arc::new(AtomicI64::default());
        let seen = moment.clone();
        self.environment
            .add_function("strftime_now", move |format: String| strftime(seen.load(Ordering::Relaxed), &format));
        self.clock = Some(Clock { now, moment });
        self
    }

    fn run(&self, messages: &Value, tools: &Value, settings: &Settings) -> Result<String> {
        let mut context = self.specials.clone();
        context.insert("messages".to_owned(), messages.clone());
        context.insert("tools".to_owned(), tools.clone());
        context.insert("enable_thinking".to_owned(), settings.enable_thinking.into());
        let generate = settings.add_generation_prompt && !settings.continue_final_message;
        context.insert("add_generation_prompt".to_owned(), generate.into());
        let template = self.environment.get_template("chat_template").map_err(fault)?;
        template.render(Item::from(Serde(&context))).map_err(fault)
    }

    /// What the template says, marks and all, up to where the last message goes on if it does.
    fn say(&self, messages: &Value, tools: &Value, settings: &Settings, marks: &Marks) -> Result<String> {
        if !settings.continue_final_message {
            return self.run(messages, tools, settings);
        }
        let mut messages = messages.clone();
        let last = messages.as_array_mut().and_then(|list| list.last_mut()).and_then(|last| last.get_mut("content"));
        if let Some(Value::String(content)) = last {
            content.push(marks.end_of_message);
            content.push(' ');
        }
        let mut said = self.run(&messages, tools, settings)?;
        let Some(at) = said.rfind(marks.end_of_message) else {
            return Err(Error::invalid("continueFinalMessage: this model's chat template leaves the last message out"));
        };
        // A template that trims its messages has taken the space.
        let trims = !said[at + marks.end_of_message.len_utf8()..].starts_with(' ');
        said.truncate(at);
        if trims {
            said.truncate(said.trim_end().len());
        }
        Ok(said)
    }
}

impl Render for Jinja {
    fn prompt(&self, messages: &[Message], settings: &Settings) -> Result<Prompt> {
        let is_open = settings.continue_final_message;
        if is_open && messages.last().is_none_or(|message| message.role != Role::Assistant) {
            return Err(Error::invalid("continueFinalMessage: expected the last message to be an assistant's"));
        }
        let tools = if settings.tools.is_empty() { Value::Null } else { Value::Array(settings.tools.clone()) };
        let messages = Value::Array(messages.iter().map(message_for_templates).collect());
        let marks = Marks::not_in(&messages, &tools)?;
        if let Some(Clock { now, moment }) = &self.clock {
            moment.store(now(), Ordering::Relaxed);
        }
        let plain = self.say(&messages, &tools, settings, &marks)?;
        let marked_by = |mark: &dyn Fn(&str) -> String| -> Option<String> {
            let said = self.say(&marked(&messages, mark), &marked(&tools, mark), settings, &marks).ok()?;
            (marks.without(&said) == plain).then_some(said)
        };
        let pieces = marked_by(&|text| marks.around_characters(text))
            .or_else(|| marked_by(&|text| marks.around_controls(text, &self.controls)))
            .map(|said| self.controls.pieces(&said, &marks))
            .unwrap_or_else(|| self.controls.except_in(&messages, &tools).pieces(&plain, &marks));
        let start = start(&pieces, is_open);
        Ok(Prompt { pieces, start })
    }
}

/// What the reply goes on with.
fn start(pieces: &[Piece], is_open: bool) -> Start {
    let said = pieces.iter().rev().find(|piece| !matches!(piece, Piece::Text(text) if text.trim().is_empty()));
    match said {
        Some(Piece::Control(control)) if control == "<think>" => Start::Thinking,
        Some(Piece::Control(control)) if control == "</think>" => Start::Content,
        Some(Piece::Text(_)) if is_open => Start::MidContent,
        _ => Start::Reply,
    }
}

/// A message in the shape that templates are written for: OpenAI's, with the thinking under both its names.
fn message_for_templates(message: &Message) -> Value {
    let mut out = json!({ "role": message.role, "content": message.content });
    if let Some(thinking) = &message.thinking {
        out["reasoning_content"] = thinking.as_str().into();
        out["thinking"] = thinking.as_str().into();
    }
    if !message.tool_calls.is_empty() {
        let call = |call: &crate::chat::ToolCall| json!({ "type": "function", "id": call.id, "function": { "name": call.name, "arguments": call.arguments } });
        out["tool_calls"] = message.tool_calls.iter().map(call).collect();
    }
    if let Some(id) = &message.tool_call_id {
        out["tool_call_id"] = id.as_str().into();
    }
    out
}

/// `{% generation %}` only tells trainers which tokens are the assistant's; its whitespace control counts.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let Some(length) = rest[at + 2..].find("%}").map(|end| end + 2) else { break };
        let tag = &rest[at..at + length];
        out.push_str(&rest[..at]);
        out.push_str(&match tag[2..].trim_matches(['-', '+', ' ', '\n', '\t']) {
            "generation" => tag.replace("generation", "if true"),
            "endgeneration" => tag.replace("endgeneration", "endif"),
            _ => tag.to_owned(),
        });
        rest = &rest[at + length..];
    }
    out + rest
}

/// `transformers`' `tojson`: `json.dumps` with its own defaults, and nothing escaped for HTML.
fn tojson(
    value: Serde<Value>,
    ensure_ascii: Option<bool>,
    rest: Rest<Item>,
    kwargs: Kwargs,
) -> std::result::Result<String, Fault> {
    if !rest.is_empty() {
        return Err(Fault::new(FaultKind::TooManyArguments, "tojson takes further arguments by name"));
    }
    let indent: Option<usize> = kwargs.get("indent")?;
    let separators: Option<(String, String)> = match kwargs.get::<Option<Vec<String>>>("separators")?.as_deref() {
        Some([item, key]) => Some((item.clone(), key.clone())),
        Some(_) => return Err(Fault::new(FaultKind::InvalidOperation, "tojson takes two separators")),
        None => None,
    };
    let layout = Layout {
        indent,
        separators,
        sort_keys: kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        ascii: ensure_ascii.or(kwargs.get("ensure_ascii")?).unwrap_or(false),
    };
    kwargs.assert_all_used()?;
    Ok(dumps_in(&value, &layout))
}

/// A moment as C's `strftime` writes it, in English.
fn strftime(moment: i64, format: &str) -> std::result::Result<String, Fault> {
    let wrong = || Fault::new(FaultKind::InvalidOperation, format!("strftime_now cannot write {format:?}"));
    let time = DateTime::from_timestamp_millis(moment).ok_or_else(wrong)?.naive_utc();
    let mut out = String::new();
    write!(out, "{}", time.format(format)).map_err(|_| wrong())?;
    Ok(out)
}

fn raise_exception(message: String) -> std::result::Result<Item, Fault> {
    Err(Fault::new(FaultKind::InvalidOperation, format!("{REFUSED}{message}")))
}

/// A template's own refusal is about the conversation, anything else about the template.
fn fault(fault: Fault) -> Error {
    match fault.detail().and_then(|detail| detail.strip_prefix(REFUSED)) {
        Some(refusal) => Error::invalid(format!("messages: the model's chat template refuses them: {refusal}")),
        None => Error::unsupported(format!("the chat template that the model carries cannot be run: {fault}")),
    }
}
