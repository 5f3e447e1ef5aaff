//! From pushed bytes to a sink full of weights: what the file is, which tensors it must hold, and in which shapes.

use std::collections::HashSet;

use super::{Config, Naming, Pending, Runtime, SinkFactory, Turns, Weight, WeightSink, weight_of};
use crate::error::{Error, Result};
use crate::formats::{Metadata, PlacedTensor, TensorInfo, gguf, safetensors, truncated};

/// Loads one model: push the bytes of its file (or, with [`Loader::next_file`] in between, its files), then finish.
///
/// Everything that can be known from a header is checked before the first weight goes to the sink.
pub struct Loader {
    file: File,
    /// Whether the header of the current file has been checked.
    checked: bool,
    /// Bytes of the current file, where they are known.
    size: Option<u64>,
    /// Files complete before the current one, and files in all; 0 is unknown.
    files: (u32, u32),
    make_sink: Option<Box<SinkFactory>>,
    /// Of a GGUF, until the model is known.
    metadata: Option<Metadata>,
    model: Option<Loaded>,
    /// For a checkpoint of Hugging Face, and for a GGUF that brings none.
    tokenizer_json: Option<Vec<u8>>,
    seen: HashSet<Weight>,
    tensors: Vec<TensorInfo>,
}

enum File {
    Gguf(gguf::Stream),
    Safetensors(safetensors::Stream),
}

/// A model whose weights are all in its sink.
pub struct Loaded {
    /// The network.
    pub config: Config,
    /// Its tokenizer, as data.
    pub vocabulary: Vocabulary,
    /// The weights; [`WeightSink::finish`] makes the runtime.
    pub sink: Box<dyn WeightSink>,
    /// The chat template it brings; the tokens of a GGUF's turns are in its vocabulary.
    pub turns: Turns,
}

/// A tokenizer as its file gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Vocabulary {
    /// The bytes of a `tokenizer.json`.
    TokenizerJson(Vec<u8>),
    /// The lists of a GGUF, each named as its key below `tokenizer.ggml`.
    Gguf {
        /// `"gpt2"` for byte-level BPE, `"llama"` for SentencePiece's.
        model: String,
        /// The pre-tokenizer, `"qwen2"` for Qwen3; empty where the file names none.
        pre: String,
        /// In order of id.
        tokens: Vec<String>,
        /// `token_type`: one for each token.
        types: Vec<i32>,
        /// Two tokens and a space between them, best first; none with SentencePiece.
        merges: Vec<String>,
        /// One for each token, with SentencePiece alone.
        scores: Vec<f32>,
        /// `add_space_prefix`: true unless the file says otherwise.
        space_prefix: bool,
        /// `eos_token_id`.
        eos: Option<u32>,
        /// `eot_token_id` and `eom_token_id`: what else ends a reply.
        ends: Vec<u32>,
        /// `bos_token_id`.
        bos: Option<u32>,
        /// `add_bos_token`: raw text begins with that token.
        add_bos: bool,
    },
}

/// A sink that keeps nothing, for those who only want a file checked.
pub struct Discard;

impl WeightSink for Discard {
    fn rows(&mut self, _: Weight, _: &TensorInfo, _: usize, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Pending<'static, Box<dyn Runtime>> {
        Box::pin(async { Err(Error::invalid("the weights were checked, not kept: there is nothing to run")) })
    }
}

impl Loader {
    /// For a GGUF; a split one continues with [`Loader::next_file`].
    pub fn gguf(make_sink: Box<SinkFactory>) -> Self {
        Self::new(File::Gguf(gguf::Stream::new()), make_sink)
    }

    /// For a checkpoint of Hugging Face: its `config.json` and `tokenizer.json` now, then its `.safetensors` in any order.
    pub fn safetensors(config_json: &[u8], tokenizer_json: Vec<u8>, make_sink: Box<SinkFactory>) -> Result<Self> {
        let mut loader = Self::new(File::Safetensors(safetensors::Stream::new()), make_sink);
        let config = Config::from_json(config_json)?;
        loader.tokenizer_json = Some(tokenizer_json);
        loader.begin(config, None, Turns::default())?;
        Ok(loader)
    }

    /// Uses this `tokenizer.json` instead of the vocabulary inside a GGUF. Call it before the first push.
    pub fn with_tokenizer(mut self, tokenizer_json: Vec<u8>) -> Self {
        self.tokenizer_json = Some(tokenizer_json);
        self
    }

    /// Of a checkpoint of Hugging Face: how it talks.
    #[must_use]
    pub fn with_turns(mut self, turns: Turns) -> Self {
        if let Some(model) = &mut self.model {
            model.turns = turns;
        }
        self
    }

    fn new(file: File, make_sink: Box<SinkFactory>) -> Self {
        Self {
            file,
            checked: false,
            size: None,
            files: (0, 0),
            make_sink: Some(make_sink),
            metadata: None,
            model: None,
            tokenizer_json: None,
            seen: HashSet::new(),
            tensors: Vec::new(),
        }
    }

    /// The network, once known.
    pub fn config(&self) -> Option<&Config> {
        self.model.as_ref().map(|model| &model.config)
    }

    /// The tensors of all headers so far, in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// So many bytes the current file has: a header that speaks of more is refused before memory is taken for it.
    pub fn expect(&mut self, bytes: u64) {
        self.size = Some(bytes);
    }

    /// Takes the next bytes of the current file.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let (rest, complete) = match &mut self.file {
            File::Gguf(stream) => (stream.push_header(bytes)?, stream.metadata().is_some()),
            File::Safetensors(stream) => (stream.push_header(bytes)?, stream.has_header()),
        };
        if !complete {
            return Ok(());
        }
        if !self.checked {
            self.check_header()?;
            self.checked = true;
        }
        // A part without tensors comes before the model is known.
        let Some(model) = &mut self.model else { return Ok(()) };
        let on_rows = &mut |tensor: &TensorInfo, first_row: usize, bytes: &[u8]| match role(&model.config, tensor)? {
            Some(weight) => model.sink.rows(weight, tensor, first_row, bytes),
            None => Ok(()),
        };
        match &mut self.file {
            File::Gguf(stream) => stream.push(rest, on_rows),
            File::Safetensors(stream) => stream.push(rest, on_rows),
        }
    }

    /// Ends the current file; the next bytes are those of the next part or shard.
    pub fn next_file(&mut self) -> Result<()> {
        self.end_file()?;
        match &mut self.file {
            File::Gguf(_) if self.files.0 >= self.files.1 => {
                return Err(Error::malformed(format!("the model has {} files, got one more", self.files.1)));
            }
            File::Gguf(stream) => *stream = gguf::Stream::new(),
            File::Safetensors(stream) => *stream = safetensors::Stream::new(),
        }
        self.checked = false;
        self.size = None;
        Ok(())
    }

    /// The end of the last file: an error if a file, a tensor or a byte is missing.
    pub fn finish(mut self) -> Result<Loaded> {
        self.end_file()?;
        let (got, expected) = self.files;
        if got < expected {
            return Err(Error::malformed(format!("the model has {expected} files, got {got}"))
                .hint("load all files of the model, in order"));
        }
        self.check_complete()?;
        self.model.ok_or_else(|| Error::internal("a file was accepted without a model"))
    }

    fn end_file(&mut self) -> Result<()> {
        match &self.file {
            File::Gguf(stream) => stream.finish()?,
            File::Safetensors(stream) => stream.finish()?,
        }
        self.files.0 += 1;
        Ok(())
    }

    fn naming(&self) -> Naming {
        match self.file {
            File::Gguf(_) => Naming::Gguf,
            File::Safetensors(_) => Naming::HuggingFace,
        }
    }

    fn check_header(&mut self) -> Result<()> {
        if let File::Gguf(stream) = &mut self.file {
            let number = |metadata: &Metadata, key| metadata.find_u32(key).map(Option::unwrap_or_default);
            let metadata = stream.metadata_mut().ok_or_else(|| Error::internal("no metadata behind the header"))?;
            let (part, parts) = (number(metadata, "split.no")?, number(metadata, "split.count")?.max(1));
            if part != self.files.0 || self.files.0 > 0 && parts != self.files.1 {
                let (expected, all) = (self.files.0 + 1, self.files.1.max(parts));
                return Err(Error::malformed(format!(
                    "expected file {expected} of {all} of a split model, got file {} of {parts}",
                    part.saturating_add(1)
                ))
                .hint("load all files of the model, in order, beginning with -00001-of-"));
            }
            if part == 0 {
                self.files.1 = parts;
                self.metadata = Some(std::mem::take(metadata));
            }
            // The first part of a split file may be metadata alone; what follows from the tensors waits for the next.
            let known = !stream.tensors().is_empty() || part + 1 == parts;
            if let Some(mut metadata) = self.metadata.take_if(|_| known) {
                let config = Config::from_gguf(&metadata, stream.tensors())?;
                let vocabulary = match &self.tokenizer_json {
                    Some(_) => None,
                    None => Some(vocabulary(&mut metadata, config.vocab)?),
                };
                let template = metadata.find_str("tokenizer.chat_template")?.map(Into::into);
                self.begin(config, vocabulary, Turns { chat_template: template, ..Turns::default() })?;
            }
            if !known {
                return Ok(());
            }
        }
        let tensors = match &self.file {
            File::Gguf(stream) => stream.tensors(),
            File::Safetensors(stream) => stream.tensors(),
        };
        if let (Some(size), Some(last)) = (self.size, tensors.last())
            && last.end() > size
        {
            return Err(truncated(format!(
                "tensor {:?} ends at byte {}, the file at byte {size}",
                last.info.name,
                last.end()
            )));
        }
        let Some(model) = &self.model else {
            return Err(Error::internal("a file was accepted without a model"));
        };
        for PlacedTensor { info, .. } in tensors {
            if let Some(weight) = role(&model.config, info)? {
                check_tensor(&model.config, weight, info)?;
                if !self.seen.insert(weight) {
                    return Err(Error::malformed(format!("tensor {:?} is in the model twice", info.name)));
                }
            }
            self.tensors.push(info.clone());
        }
        if self.files.0 + 1 == self.files.1 {
            self.check_complete()?;
        }
        Ok(())
    }

    /// Makes the sink.
    fn begin(&mut self, mut config: Config, vocabulary: Option<Vocabulary>, turns: Turns) -> Result<()> {
        let vocabulary = vocabulary
            .or_else(|| self.tokenizer_json.take().map(Vocabulary::TokenizerJson))
            .ok_or_else(|| Error::internal("a model without a vocabulary"))?;
        let make_sink = self.make_sink.take().ok_or_else(|| Error::internal("the sink was made before"))?;
        let sink = make_sink(&mut config)?;
        self.model = Some(Loaded { config, vocabulary, sink, turns });
        Ok(())
    }

    fn check_complete(&self) -> Result<()> {
        let Some(model) = &self.model else {
            return Err(Error::internal("a file was accepted without a model"));
        };
        let mut needed = self.naming().weights(model.config.layers);
        let missing = needed.find(|(w, _)| model.config.shape_of(*w).is_some() && !self.seen.contains(w));
        match missing {
            Some((_, name)) => Err(Error::malformed(format!("tensor {name:?} is missing"))
                .hint("the file is damaged or was converted wrongly: take another one")),
            None => Ok(()),
        }
    }
}

/// The role of a tensor in this network, none for what can be left out without a change; `unsupported-model` for a
/// tensor that would change the network.
fn role(config: &Config, tensor: &TensorInfo) -> Result<Option<Weight>> {
    match weight_of(&tensor.name) {
        // Checkpoints may repeat the embedding as the head.
        Some(Weight::Head) if config.tied => Ok(None),
        Some(weight) if config.has(weight) => Ok(Some(weight)),
        // A table of the rotary embedding that old checkpoints hold; it follows from the configuration.
        None if tensor.name.ends_with("rotary_emb.inv_freq") => Ok(None),
        _ => Err(Error::unsupported(format!(
            "tensor {:?} is not part of a {} network",
            tensor.name, config.architecture
        ))
        .hint("the file holds a variant of the model (an adapter, a bias) that this engine does not run")),
    }
}

fn check_tensor(config: &Config, weight: Weight, tensor: &TensorInfo) -> Result<()> {
    let Some(expected) = config.shape_of(weight) else {
        return Err(Error::malformed(format!("tensor {:?}, but the model has {} layers", tensor.name, config.layers)));
    };
    if tensor.shape != expected {
        return Err(Error::malformed(format!(
            "tensor {:?}: expected shape {expected:?}, got {:?}",
            tensor.name, tensor.shape
        )));
    }
    if expected.len() == 1 && tensor.dtype.is_quantised() {
        return Err(Error::unsupported(format!(
            "tensor {:?}: expected F32, F16 or BF16 for a vector, got {}",
            tensor.name,
            tensor.dtype.name()
        )));
    }
    Ok(())
}

fn vocabulary(metadata: &mut Metadata, rows: usize) -> Result<Vocabulary> {
    let missing = |key: &str| {
        Error::malformed(format!("the file has no tokenizer ({key:?} is missing)"))
            .hint("take a GGUF with its tokenizer, or give a tokenizer.json beside it")
    };
    let string = |metadata: &Metadata, key| metadata.find_str(key).map(|text| text.map(str::to_string));
    let model = string(metadata, "tokenizer.ggml.model")?.ok_or_else(|| missing("tokenizer.ggml.model"))?;
    let pre = string(metadata, "tokenizer.ggml.pre")?.unwrap_or_default();
    let tokens = metadata.take_strings("tokenizer.ggml.tokens")?.ok_or_else(|| missing("tokenizer.ggml.tokens"))?;
    let is_pieces = model == "llama";
    let merges = match metadata.take_strings("tokenizer.ggml.merges")? {
        None if !is_pieces => return Err(missing("tokenizer.ggml.merges")),
        merges => merges.unwrap_or_default(),
    };
    let scores = match metadata.take_floats("tokenizer.ggml.scores")? {
        None if is_pieces => return Err(missing("tokenizer.ggml.scores")),
        scores => scores.unwrap_or_default(),
    };
    let types = metadata.take_integers("tokenizer.ggml.token_type")?;
    let types = types.ok_or_else(|| missing("tokenizer.ggml.token_type"))?;
    if tokens.len() > rows || types.len() != tokens.len() {
        return Err(Error::malformed(format!(
            "the vocabulary has {} tokens and {} token types for an embedding of {rows} rows",
            tokens.len(),
            types.len()
        )));
    }
    let id = |key| metadata.find_u32(key).map(|id| id.filter(|id| (*id as usize) < tokens.len()));
    let ends = [id("tokenizer.ggml.eot_token_id")?, id("tokenizer.ggml.eom_token_id")?];
    Ok(Vocabulary::Gguf {
        merges,
        scores,
        space_prefix: metadata.find_bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true),
        eos: id("tokenizer.ggml.eos_token_id")?,
        ends: ends.into_iter().flatten().collect(),
        bos: id("tokenizer.ggml.bos_token_id")?,
        add_bos: metadata.find_bool("tokenizer.ggml.add_bos_token")?.unwrap_or(is_pieces || pre == "llama-bpe"),
        pre,
        model,
        tokens,
        types,
    })
}
