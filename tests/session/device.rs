//! A scripted device that holds the session to the contract of `Runtime`, and an engine on it.
//! The tokenizer is a real one of 256 bytes and Qwen3's control tokens.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use pollster::block_on;
use qwen3_web::error::{Error, ErrorKind, Result};
use qwen3_web::formats::DType;
use qwen3_web::grammar::{Automata, TokenSet};
use qwen3_web::model::{Config, DecodePlan, Pending, Rope, Runtime, RuntimeInfo, SequenceId};
use qwen3_web::session::{Engine, Event, Reply, ReplyResult};
use qwen3_web::tokenizer::Tokenizer;
use serde_json::{Value, json};

pub const ADDED: [&str; 9] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
];
pub const VOCABULARY: usize = 300;
pub const CHUNK: usize = 16;

pub fn tokenizer() -> Tokenizer {
    let mut vocabulary = serde_json::Map::new();
    let mut next = 0x100;
    for byte in 0..=255u32 {
        let printable = matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
        let character = if printable { byte } else { next };
        next += u32::from(!printable);
        vocabulary.insert(char::from_u32(character).unwrap().to_string(), json!(byte));
    }
    let added: Vec<Value> = (256..)
        .zip(ADDED)
        .map(|(id, content)| {
            json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true })
        })
        .collect();
    let file = json!({
        "added_tokens": added,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false },
        "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false },
        "model": { "type": "BPE", "vocab": vocabulary, "merges": [] },
    });
    Tokenizer::from_json(file.to_string().as_bytes()).unwrap()
}

/// What the scripted model says after the last `<|im_start|>assistant\n`; what was forced in between it takes as said.
#[derive(Clone)]
pub struct Script {
    pub thinking: Option<&'static str>,
    pub answer: &'static str,
}

impl Script {
    fn next(&self, tokenizer: &Tokenizer, context: &[u32]) -> u32 {
        let ids = |text: &str| tokenizer.encode_matching_added(text).unwrap();
        let after = |ids: &[u32], mark: &[u32]| {
            ids.windows(mark.len()).rposition(|window| window == mark).map(|at| ids[at + mark.len()..].to_vec())
        };
        let said = after(context, &ids("<|im_start|>assistant\n")).unwrap_or_default();
        let thinking = self.thinking.map(|thinking| ids(&format!("<think>{thinking}</think>")));
        let (expected, said) = match (thinking, after(&said, &ids("</think>"))) {
            (Some(thinking), None) => (thinking, said),
            (_, Some(after)) => (ids(&format!("\n\n{}", self.answer)), after),
            (None, None) => (ids(self.answer), said),
        };
        let end = tokenizer.added_id("<|im_end|>").unwrap();
        expected.strip_prefix(said.as_slice()).and_then(|rest| rest.first().copied()).unwrap_or(end)
    }
}

#[derive(Default)]
pub struct Place {
    /// Every token read or drawn.
    pub tokens: Vec<u32>,
    /// Tokens of these whose keys are cached: all, or all but the last drawn.
    pub cached: usize,
    pub plan: Option<DecodePlan>,
    pub left: usize,
}

#[derive(Default)]
pub struct Log {
    /// Tokens read by each prefill.
    pub prefills: Vec<usize>,
    pub plans: Vec<DecodePlan>,
    pub fail_next_prefill: bool,
    pub opened: usize,
}

/// A device that keeps the contract of `Runtime` and fails the test when the session does not.
pub struct Device {
    pub info: RuntimeInfo,
    pub tokenizer: Tokenizer,
    pub script: Rc<RefCell<Script>>,
    pub places: HashMap<SequenceId, Place>,
    pub log: Rc<RefCell<Log>>,
    /// Tokens one call of `next` gives, and how far the device runs ahead of them.
    pub batch: usize,
}

impl Device {
    fn place(&mut self, id: SequenceId) -> &mut Place {
        self.places.get_mut(&id).expect("an open sequence")
    }
}

pub fn ready<'a, T: 'a>(value: Result<T>) -> Pending<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Runtime for Device {
    fn info(&self) -> &RuntimeInfo {
        &self.info
    }

    fn open(&mut self) -> Result<SequenceId> {
        let mut log = self.log.borrow_mut();
        log.opened += 1;
        let id = SequenceId(log.opened as u32);
        self.places.insert(id, Place::default());
        Ok(id)
    }

    fn release(&mut self, sequence: SequenceId) {
        self.places.remove(&sequence);
    }

    fn length(&self, sequence: SequenceId) -> usize {
        self.places[&sequence].cached
    }

    fn prefill<'a>(&'a mut self, sequence: SequenceId, tokens: &'a [u32]) -> Pending<'a, ()> {
        assert!(!tokens.is_empty() && tokens.len() <= CHUNK, "a chunk of {}", tokens.len());
        let limit = self.info.context_length;
        self.log.borrow_mut().prefills.push(tokens.len());
        if std::mem::take(&mut self.log.borrow_mut().fail_next_prefill) {
            return ready(Err(Error::new(ErrorKind::DeviceLost, "gone")));
        }
        let place = self.place(sequence);
        assert!(place.plan.is_none(), "prefill while decoding");
        assert_eq!(place.cached, place.tokens.len(), "prefill after an uncached token");
        place.tokens.extend_from_slice(tokens);
        place.cached = place.tokens.len();
        assert!(place.cached <= limit);
        ready(Ok(()))
    }

    fn logits(&mut self, sequence: SequenceId) -> Pending<'_, Vec<f32>> {
        let token = self.script.borrow().next(&self.tokenizer, &self.places[&sequence].tokens);
        ready(Ok((0..VOCABULARY).map(|id| if id as u32 == token { 20.0 } else { 0.0 }).collect()))
    }

    fn decode(&mut self, sequence: SequenceId, plan: DecodePlan) -> Result<()> {
        self.log.borrow_mut().plans.push(plan.clone());
        let place = self.place(sequence);
        assert!(place.plan.is_none() && place.cached > 0 && plan.max_tokens > 0);
        assert_eq!(place.tokens, [plan.prompt.clone(), plan.reply.clone()].concat());
        place.left = plan.max_tokens;
        place.plan = Some(plan);
        Ok(())
    }

    fn next(&mut self, sequence: SequenceId) -> Pending<'_, Vec<u32>> {
        let script = self.script.borrow().clone();
        let (batch, limit) = (self.batch, self.info.context_length);
        let mut drawn = Vec::new();
        while drawn.len() < batch {
            let token = script.next(&self.tokenizer, &self.places[&sequence].tokens);
            let place = self.place(sequence);
            let plan = place.plan.as_ref().expect("a running decode");
            let ended = drawn.last().is_some_and(|last| plan.stop.contains(last));
            if place.left == 0 || place.tokens.len() >= limit || ended {
                break;
            }
            place.cached = place.tokens.len();
            place.tokens.push(token);
            place.left -= 1;
            if plan.stop.contains(&token) {
                place.left = 0;
            }
            drawn.push(token);
        }
        ready(Ok(drawn))
    }

    fn next_among<'a>(&'a mut self, sequence: SequenceId, allowed: &'a [u32]) -> Pending<'a, Vec<u32>> {
        let limit = self.info.context_length;
        let wanted = self.script.borrow().next(&self.tokenizer, &self.places[&sequence].tokens);
        let allowed = TokenSet(allowed.to_vec());
        let place = self.place(sequence);
        assert!(place.plan.is_some(), "a draw without a decode");
        if place.left == 0 || place.tokens.len() >= limit {
            return ready(Ok(Vec::new()));
        }
        // Any of the others does where the script's own is not allowed.
        let others: Vec<u32> = allowed.ids().collect();
        let token = if allowed.contains(wanted) { wanted } else { others[place.tokens.len() % others.len()] };
        place.cached = place.tokens.len();
        place.tokens.push(token);
        place.left -= 1;
        ready(Ok(vec![token]))
    }

    fn truncate(&mut self, sequence: SequenceId, length: usize) -> Result<()> {
        let place = self.place(sequence);
        place.plan = None;
        place.cached = place.cached.min(length);
        place.tokens.truncate(place.cached);
        Ok(())
    }
}

pub struct Bench {
    pub engine: Engine,
    pub script: Rc<RefCell<Script>>,
    pub log: Rc<RefCell<Log>>,
}

pub fn bench(thinking: Option<&'static str>, answer: &'static str, batch: usize) -> Bench {
    bench_with(thinking, answer, batch, 2000)
}

pub fn bench_with(thinking: Option<&'static str>, answer: &'static str, batch: usize, context_length: usize) -> Bench {
    let script = Rc::new(RefCell::new(Script { thinking, answer }));
    let log = Rc::new(RefCell::new(Log::default()));
    let info = RuntimeInfo {
        device: "cpu",
        adapter: None,
        context_length,
        weight_bytes: 1,
        kv_cache_bytes: 1 << 30,
        quantization: DType::F32,
        prefill_chunk: CHUNK,
    };
    let device = Device {
        info,
        tokenizer: tokenizer(),
        script: script.clone(),
        places: HashMap::new(),
        log: log.clone(),
        batch,
    };
    let config = Config {
        architecture: "qwen3".into(),
        name: None,
        layers: 1,
        hidden: 32,
        intermediate: 32,
        heads: 1,
        kv_heads: 1,
        head_dim: 32,
        vocab: VOCABULARY,
        rms_eps: 1e-6,
        rope: Rope::unscaled(1e6),
        qk_norm: true,
        qkv_bias: false,
        windows: Vec::new(),
        max_context: 4096,
        tied: true,
    };
    let now = Cell::new(0.0);
    let clock = Box::new(move || now.replace(now.get() + 1.0));
    let mut engine = Engine::new(Box::new(device), config, tokenizer(), clock).unwrap();
    engine.set_grammars(Box::new(Automata::new(&engine.vocabulary()).unwrap()));
    Bench { engine, script, log }
}

pub fn user(text: &str) -> Value {
    json!([{ "role": "user", "content": text }])
}

impl Bench {
    pub fn drain(&mut self, reply: &mut Reply) -> Vec<Event> {
        let mut events = Vec::new();
        while !reply.is_done() {
            events.extend(block_on(self.engine.step(reply)).unwrap());
        }
        assert!(block_on(self.engine.step(reply)).unwrap().is_empty(), "nothing comes after done");
        events
    }

    pub fn run(&mut self, messages: &Value, options: Value) -> (Vec<Event>, ReplyResult) {
        let mut reply = self.engine.chat(messages, &options).unwrap();
        let events = self.drain(&mut reply);
        let Some(Event::Done { result }) = events.last().cloned() else { panic!("{events:?}") };
        assert_eq!(texts(&events), (result.thinking.clone(), result.content.clone()));
        assert_eq!(result.usage.completion_tokens, result.usage.thinking_tokens + result.usage.content_tokens);
        (events, result)
    }
}

pub fn texts(events: &[Event]) -> (String, String) {
    let (mut thinking, mut content) = (String::new(), String::new());
    for event in events {
        match event {
            Event::Thinking { text } => thinking += text,
            Event::Content { text } => content += text,
            _ => {}
        }
    }
    (thinking, content)
}
