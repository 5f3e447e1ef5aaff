//! The engine: a resident model, its tokenizer, and the replies it makes, moved on one bounded piece of device work at a
//! time so that whoever drives it can do something else in between.

use serde_json::Value;

use super::event::{Event, FinishReason};
use super::info::ModelInfo;
use super::loops::LoopGuard;
use super::options::{Call, Options};
use super::pool::Pool;
use super::reply::{Phase, Reply, Requests, Times};
use super::saved::Origin;
use super::stop::StopFilter;
use super::warm::{Ahead, History};
use crate::chat::message::{Message, Role, messages as read_messages};
use crate::chat::presets::{NON_THINKING, THINKING, will_think};
use crate::chat::reply::{Parser, Start, Tags};
use crate::chat::template::{Carried, Piece, Prompt, Render, Settings, prompt as qwen3_prompt};
use crate::error::{Error, ErrorKind, Result};
use crate::grammar::Compile;
use crate::model::{Config, Loaded, Runtime, Vocabulary};
use crate::sampling::{Sampling, philox4x32_10};
use crate::tokenizer::{Decoder, GgufVocabulary, Segment, Tokenizer};

/// Milliseconds since any fixed moment.
pub type Clock = Box<dyn Fn() -> f64>;

/// A resident model that replies.
pub struct Engine {
    pub(super) runtime: Box<dyn Runtime>,
    pub(super) config: Config,
    pub(super) tokenizer: Tokenizer,
    pub(super) clock: Clock,
    pub(super) tags: Tags,
    /// Tokens that end a reply.
    pub(super) eos: Vec<u32>,
    /// The token that raw text begins with.
    bos: Option<u32>,
    template: Template,
    pub(super) pool: Pool,
    /// Where constraints come from, once one was wanted.
    pub(super) grammars: Option<Box<dyn Compile>>,
    /// What to read when there is nothing else to do.
    pub(super) ahead: Option<Ahead>,
    replies: u32,
}

/// What makes prompts of conversations.
enum Template {
    /// Qwen3's, for files that carry it or none.
    Qwen3,
    /// The file's own, until what runs it is there.
    Carried(Carried),
    /// The file's own.
    Running(Box<dyn Render>),
}

/// Tokens that end a reply in some model of the family.
const ENDS: [&str; 6] = ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "</s>"];

/// A conversation that fits the context.
pub(super) struct Fitted {
    messages: Vec<Message>,
    pub(super) tokens: Vec<u32>,
    start: Start,
    events: Vec<Event>,
}

/// A prompt ready to be read.
pub(super) struct Ready {
    /// When the call came.
    called: f64,
    tokens: Vec<u32>,
    origin: Origin,
    history: Option<History>,
    events: Vec<Event>,
}

impl Ready {
    pub(super) fn new(called: f64, tokens: Vec<u32>, origin: Origin) -> Self {
        Self { called, tokens, origin, history: None, events: Vec::new() }
    }
}

impl Engine {
    /// Puts a resident model and its tokenizer together. `malformed-file` if the tokenizer has more tokens than the model.
    pub fn new(runtime: Box<dyn Runtime>, config: Config, tokenizer: Tokenizer, clock: Clock) -> Result<Self> {
        if tokenizer.vocabulary_size() > config.vocab {
            return Err(Error::malformed(format!(
                "expected a tokenizer of at most {} tokens, got {}",
                config.vocab,
                tokenizer.vocabulary_size()
            )));
        }
        let tags = Tags {
            think: tokenizer.added_id("<think>"),
            end_think: tokenizer.added_id("</think>"),
            tool_call: tokenizer.added_id("<tool_call>"),
            end_tool_call: tokenizer.added_id("</tool_call>"),
        };
        let eos = ENDS.iter().filter_map(|end| tokenizer.added_id(end)).collect();
        Ok(Self {
            runtime,
            config,
            tokenizer,
            clock,
            tags,
            eos,
            bos: None,
            template: Template::Qwen3,
            pool: Pool::default(),
            grammars: None,
            ahead: None,
            replies: 0,
        })
    }

    /// Brings a loaded model onto its device and puts the engine together.
    pub async fn load(loaded: Loaded, clock: Clock) -> Result<Self> {
        let Loaded { config, vocabulary, sink, turns } = loaded;
        let tokenizer = tokenizer_of(&vocabulary)?;
        let id = |token: &Option<String>| tokenizer.added_id(token.as_deref()?);
        let (eos, bos, ends, add_bos) = match &vocabulary {
            Vocabulary::TokenizerJson(_) => (id(&turns.eos), id(&turns.bos), Vec::new(), turns.add_bos),
            Vocabulary::Gguf { eos, bos, ends, add_bos, .. } => (*eos, *bos, ends.clone(), *add_bos),
        };
        // The lists are in the tokenizer now, and the device may need the room.
        drop(vocabulary);
        let runtime = sink.finish().await?;
        let mut engine = Self::new(runtime, config, tokenizer, clock)?;
        for end in eos.into_iter().chain(ends) {
            if !engine.eos.contains(&end) {
                engine.eos.push(end);
            }
        }
        engine.bos = bos.filter(|_| add_bos);
        if let Some(source) = turns.chat_template {
            let text = |id: Option<u32>| Some(engine.tokenizer.decode(&[id?]));
            let controls = engine.tokenizer.added_tokens().into_iter().map(|(content, _)| content).collect();
            let carried = Carried { source, bos_token: text(bos), eos_token: text(eos), controls };
            if !carried.is_qwen3() {
                engine.template = Template::Carried(carried);
            }
        }
        Ok(engine)
    }

    /// The template that [`Engine::set_template`] must bring before the first conversation; none if the engine has its own.
    pub fn needs_template(&self) -> Option<&Carried> {
        match &self.template {
            Template::Carried(carried) => Some(carried),
            _ => None,
        }
    }

    /// What makes this model's prompts.
    pub fn set_template(&mut self, template: Box<dyn Render>) {
        self.template = Template::Running(template);
    }

    fn render(&self, messages: &[Message], settings: &Settings) -> Result<Prompt> {
        match &self.template {
            Template::Running(template) => template.prompt(messages, settings),
            Template::Carried(_) => Err(Error::internal("the model's chat template is not there")),
            Template::Qwen3 => {
                let missing =
                    ["<|im_start|>", "<|im_end|>"].iter().find(|turn| self.tokenizer.added_id(turn).is_none());
                match missing {
                    Some(turn) => Err(Error::unsupported(format!(
                        "expected a model with a chat template or with the control token {turn}, got neither"
                    ))
                    .hint("complete() continues raw text")),
                    None => qwen3_prompt(messages, settings),
                }
            }
        }
    }

    /// What is loaded and where.
    pub fn info(&self) -> ModelInfo {
        ModelInfo::new(&self.config, self.runtime.info())
    }

    /// Ids of text as Hugging Face's `encode` gives them: what spells a control token becomes it, so that a prompt from
    /// [`Engine::apply_chat_template`] gives its ids. The messages of a conversation are never read this way.
    pub fn tokenize(&self, text: &str) -> Result<Vec<u32>> {
        self.tokenizer.encode_matching_added(text)
    }

    /// Text of ids, control tokens included.
    pub fn detokenize(&self, ids: &[u32]) -> String {
        self.tokenizer.decode(ids)
    }

    /// The prompt that these messages make, as text.
    pub fn apply_chat_template(&self, messages: &Value, options: &Value) -> Result<String> {
        let options = Options::read(options, Call::Chat, self.config.vocab)?;
        Ok(self.render(&read_messages(messages)?, &options.settings)?.text())
    }

    /// Tokens of the prompt that these messages make.
    pub fn count_tokens(&self, messages: &Value, options: &Value) -> Result<usize> {
        let options = Options::read(options, Call::Chat, self.config.vocab)?;
        Ok(self.encode(&self.render(&read_messages(messages)?, &options.settings)?)?.len())
    }

    /// Begins a reply to a conversation. Its events come from [`Engine::step`].
    pub fn chat(&mut self, messages: &Value, options: &Value) -> Result<Reply> {
        let called = (self.clock)();
        let origin_options = options.clone();
        let options = Options::read(options, Call::Chat, self.config.vocab)?;
        let messages = read_messages(messages)?;
        let thinks = self.tags.think.is_some() && will_think(&messages, options.settings.enable_thinking);
        let Fitted { messages, tokens, start, mut events } = self.fit(messages, &options)?;
        let seed = self.seed(&options);
        let sampling = options.sampling(if thinks { THINKING } else { NON_THINKING }, seed);
        if thinks && sampling.temperature == 0.0 {
            let message = "greedy decoding in thinking mode can repeat without end; Qwen3's card advises against it";
            events.push(Event::notice("greedy-thinking", message));
        }
        let origin = Origin { call: Call::Chat, start, thinks, options: origin_options };
        let history = History { messages, options: options.clone() };
        let history = Some(history).filter(|_| !options.settings.continue_final_message);
        self.begin(Ready { called, tokens, origin, history, events }, sampling, options)
    }

    /// Begins a reply to raw text, in which control tokens count.
    pub fn complete(&mut self, prompt: &str, options: &Value) -> Result<Reply> {
        let called = (self.clock)();
        let origin_options = options.clone();
        let options = Options::read(options, Call::Complete, self.config.vocab)?;
        let mut tokens = self.tokenize(prompt)?;
        if tokens.is_empty() {
            return Err(Error::invalid("prompt: expected some text, got none"));
        }
        if let Some(bos) = self.bos.filter(|bos| tokens[0] != *bos) {
            tokens.insert(0, bos);
        }
        self.check_fits(tokens.len())?;
        let seed = self.seed(&options);
        let thinks = self.tags.think.is_some() && options.settings.enable_thinking;
        let sampling = options.sampling(if thinks { THINKING } else { NON_THINKING }, seed);
        let origin = Origin { call: Call::Complete, start: Start::MidContent, thinks, options: origin_options };
        self.begin(Ready::new(called, tokens, origin), sampling, options)
    }

    /// Moves a reply on by one chunk of its prompt or by the tokens that are ready. The last event is `done`; after it
    /// there are none. After an error the reply is over.
    pub async fn step(&mut self, reply: &mut Reply) -> Result<Vec<Event>> {
        let mut events = std::mem::take(&mut reply.waiting);
        if reply.phase == Phase::Done {
            return Ok(events);
        }
        match self.advance(reply, &mut events).await {
            Ok(()) => Ok(events),
            Err(error) => {
                self.pool.discard(&mut *self.runtime, reply.slot);
                reply.phase = Phase::Done;
                Err(error)
            }
        }
    }

    /// Asks a reply to end; the next step brings its last events.
    pub fn abort(&self, reply: &mut Reply) {
        reply.requests.abort = true;
    }

    /// Asks a reply to close its thinking and answer; nothing if it has answered already.
    pub fn skip_thinking(&self, reply: &mut Reply) {
        reply.requests.skip_thinking = true;
    }

    /// Gives up a reply that will not be stepped to its end.
    pub fn release(&mut self, mut reply: Reply) -> Result<()> {
        if reply.is_done() {
            return Ok(());
        }
        self.end(&mut reply, FinishReason::Abort, &mut Vec::new())
    }

    /// Reads a conversation's prompt ahead of the call that needs it.
    pub async fn prefill(&mut self, messages: &Value, options: &Value) -> Result<()> {
        let options = Options::read(options, Call::Chat, self.config.vocab)?;
        let tokens = self.fit(read_messages(messages)?, &options)?.tokens;
        let slot = self.pool.acquire(&mut *self.runtime, &tokens)?;
        let done = self.read(slot, &tokens).await;
        self.hand_back(slot, done)
    }

    /// Logits for the position after the last of these tokens: `[vocabularySize]`.
    pub async fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        if let Some(id) = tokens.iter().find(|&&id| id as usize >= self.config.vocab) {
            return Err(Error::invalid(format!("tokenIds: expected ids below {}, got {id}", self.config.vocab)));
        }
        if tokens.is_empty() {
            return Err(Error::invalid("tokenIds: expected at least one, got none"));
        }
        if tokens.len() > self.runtime.info().context_length {
            return Err(self.overflow(tokens.len()));
        }
        let slot = self.pool.acquire(&mut *self.runtime, tokens)?;
        let logits = match self.read(slot, tokens).await {
            Ok(()) => self.runtime.logits(self.pool.slot(slot).id).await,
            Err(error) => Err(error),
        };
        self.hand_back(slot, logits)
    }

    pub(super) fn begin(&mut self, ready: Ready, sampling: Sampling, options: Options) -> Result<Reply> {
        let Ready { called, tokens, origin, history, events } = ready;
        let start = origin.start;
        let structure = self.structure(&options, start)?;
        // Without tools a call is content; raw text has none to give.
        let calls = origin.call == Call::Complete || !options.settings.tools.is_empty();
        let tags = if calls { self.tags } else { Tags { tool_call: None, end_tool_call: None, ..self.tags } };
        let times = Times { start: called, ..Times::default() };
        let slot = self.pool.acquire(&mut *self.runtime, &tokens)?;
        let cached_tokens = match self.pool.rewind(&mut *self.runtime, slot, &tokens) {
            Ok(cached) => cached,
            Err(error) => {
                self.pool.discard(&mut *self.runtime, slot);
                return Err(error);
            }
        };
        self.replies = self.replies.wrapping_add(1);
        // What the device did before this call is not this reply's.
        self.runtime.device_ms(self.pool.slot(slot).id);
        let room = self.runtime.info().context_length - tokens.len();
        Ok(Reply {
            slot,
            prompt_tokens: tokens.len(),
            cached_tokens,
            tokens,
            sampling,
            max_tokens: options.max_tokens.map_or(room, |most| most.min(room)),
            thinking_budget: options.thinking_budget,
            loop_guard: options.loop_guard.then(LoopGuard::default),
            phase: Phase::Prefill,
            // Thinking that the prompt left open and that may go on for no token.
            requests: Requests {
                abort: false,
                skip_thinking: start == Start::Thinking && options.thinking_budget == Some(0),
            },
            times,
            parser: Parser::new(tags, start),
            starts_empty: start == Start::Reply,
            stop: StopFilter::new(options.stop),
            stopped: false,
            waiting: events,
            origin,
            history,
            forced: Vec::new(),
            call_prefix: format!("call_{}_", self.replies),
            decoder: if start == Start::MidContent { Decoder::midway() } else { Decoder::default() },
            thinking_tokens: 0,
            thinking: String::new(),
            content: String::new(),
            tool_calls: Vec::new(),
            top_logprobs: options.logprobs,
            structure,
            sampler: None,
            logprobs: Vec::new(),
        })
    }

    /// Makes a sequence hold exactly these tokens.
    async fn read(&mut self, slot: usize, tokens: &[u32]) -> Result<()> {
        self.pool.rewind(&mut *self.runtime, slot, tokens)?;
        while self.read_chunk(slot, tokens).await? < tokens.len() {}
        Ok(())
    }

    /// Reads the next chunk of `tokens` into a sequence that holds their beginning. Tokens it holds then.
    pub(super) async fn read_chunk(&mut self, slot: usize, tokens: &[u32]) -> Result<usize> {
        let slot = self.pool.slot(slot);
        let first = slot.tokens.len();
        let last = tokens.len().min(first + self.runtime.info().prefill_chunk.max(1));
        self.runtime.prefill(slot.id, &tokens[first..last]).await?;
        slot.tokens.extend_from_slice(&tokens[first..last]);
        Ok(last)
    }

    pub(super) fn hand_back<T>(&mut self, slot: usize, outcome: Result<T>) -> Result<T> {
        match outcome {
            Ok(_) => self.pool.release(slot),
            Err(_) => self.pool.discard(&mut *self.runtime, slot),
        }
        outcome
    }

    /// Renders and encodes a conversation so that it fits the context, dropping the oldest turns if that is wished.
    pub(super) fn fit(&self, mut messages: Vec<Message>, options: &Options) -> Result<Fitted> {
        let context = self.runtime.info().context_length;
        let (n_messages, first) = (messages.len(), usize::from(messages[0].role == Role::System));
        let (tokens, start) = loop {
            let prompt = self.render(&messages, &options.settings)?;
            let tokens = self.encode(&prompt)?;
            let reserve = options.max_tokens.unwrap_or(context / 8).min(context / 4);
            if !options.drop_oldest_turns || tokens.len() + reserve < context || !drop_oldest_turn(&mut messages) {
                break (tokens, prompt.start);
            }
        };
        self.check_fits(tokens.len())?;
        let mut events = Vec::new();
        let n_dropped = n_messages - messages.len();
        if n_dropped > 0 {
            let message =
                format!("the {n_dropped} oldest messages were left out to fit the context of {context} tokens");
            let dropped = (first..first + n_dropped).collect();
            events.push(Event::Notice { code: "dropped-turns", message, dropped });
        }
        Ok(Fitted { messages, tokens, start, events })
    }

    pub(super) fn check_fits(&self, n_tokens: usize) -> Result<()> {
        if n_tokens < self.runtime.info().context_length { Ok(()) } else { Err(self.overflow(n_tokens)) }
    }

    fn overflow(&self, n_tokens: usize) -> Error {
        let context = self.runtime.info().context_length;
        Error::new(
            ErrorKind::ContextOverflow,
            format!("expected fewer than {context} tokens of prompt, got {n_tokens}"),
        )
        .hint("shorten the conversation, load with a larger contextLength, or use onContextOverflow: 'dropOldestTurns'")
    }

    fn encode(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        self.tokenizer.encode(prompt.pieces.iter().map(|piece| match piece {
            Piece::Control(control) => Segment::Control(control),
            Piece::Text(text) => Segment::Text(text),
        }))
    }

    /// The seed asked for, else one of the moment.
    fn seed(&self, options: &Options) -> u64 {
        options.seed.unwrap_or_else(|| {
            let moment = (self.clock)().to_bits();
            u64::from(philox4x32_10([self.replies, 0, 0, 0], [moment as u32, (moment >> 32) as u32])[0])
        })
    }
}

/// The tokenizer that a model's file describes.
pub fn tokenizer_of(vocabulary: &Vocabulary) -> Result<Tokenizer> {
    match vocabulary {
        Vocabulary::TokenizerJson(json) => Tokenizer::from_json(json),
        Vocabulary::Gguf { model, pre, tokens, types, merges, scores, space_prefix, .. } => {
            let space_prefix = *space_prefix;
            Tokenizer::from_gguf(GgufVocabulary { model, pre, tokens, types, merges, scores, space_prefix })
        }
    }
}

/// Takes out the first turn after the system message: what a user said and all up to the next user message. Whether
/// there was one to spare.
fn drop_oldest_turn(messages: &mut Vec<Message>) -> bool {
    let first = usize::from(messages[0].role == Role::System);
    let next = messages.iter().skip(first + 1).position(|message| message.role == Role::User);
    match next {
        Some(offset) => {
            messages.drain(first..first + 1 + offset);
            true
        }
        None => false,
    }
}
