//! A model on disk: which files it is, and their bytes into a loader.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use qwen3_web::error::{Error, Result};
use qwen3_web::formats::catalogue;
use qwen3_web::model::{Loaded, Loader, SinkFactory, Turns};

use super::io_error;

/// Bytes read at once.
const CHUNK_BYTES: usize = 4 << 20;

/// The files of a model, in order.
pub enum Source {
    /// One, or the parts of a split one.
    Gguf(Vec<PathBuf>),
    /// A folder as Hugging Face publishes it.
    Safetensors {
        /// `config.json`.
        config: PathBuf,
        /// `tokenizer.json`.
        tokenizer: PathBuf,
        /// `tokenizer_config.json`, where there is one.
        tokenizer_config: Option<PathBuf>,
        /// `chat_template.jinja`, likewise.
        chat_template: Option<PathBuf>,
        /// The weights.
        shards: Vec<PathBuf>,
    },
}

impl Source {
    /// Finds all files of the model `name` leads to.
    pub fn find(name: &str) -> Result<Self> {
        let path = Path::new(name);
        let kind = match fs::metadata(path) {
            Ok(kind) => kind,
            Err(error) => {
                let entry = catalogue::find(name)?.filter(|entry| !entry.embedded);
                let url = entry.as_ref().and_then(|entry| entry.files.first()?.urls.first());
                let hint = url.map_or("give the path of a .gguf file or of a folder of safetensors".into(), |url| {
                    format!("download it first: {url}")
                });
                return Err(io_error("read", path, error).hint(hint));
            }
        };
        if kind.is_dir() { Self::folder(path) } else { Ok(Self::Gguf(parts(path))) }
    }

    fn folder(folder: &Path) -> Result<Self> {
        let index = folder.join("model.safetensors.index.json");
        let shards = if index.exists() {
            let json: serde_json::Value = serde_json::from_slice(&read(&index)?)
                .map_err(|error| Error::malformed(format!("{} is not JSON: {error}", index.display())))?;
            let map = json["weight_map"]
                .as_object()
                .ok_or_else(|| Error::malformed(format!("{} has no weight_map", index.display())))?;
            let names: BTreeSet<_> = map.values().filter_map(|file| file.as_str()).collect();
            // Another folder's files are not the model's.
            if let Some(name) = names.iter().find(|name| Path::new(name).file_name() != Some(name.as_ref())) {
                let message = format!("{} names {name:?}, which is no file of its folder", index.display());
                return Err(Error::malformed(message));
            }
            names.iter().map(|name| folder.join(name)).collect()
        } else {
            let mut files = Vec::new();
            for entry in fs::read_dir(folder).map_err(|error| io_error("list", folder, error))? {
                let path = entry.map_err(|error| io_error("list", folder, error))?.path();
                if path.extension().is_some_and(|end| end == "safetensors") {
                    files.push(path);
                }
            }
            files.sort();
            files
        };
        if shards.is_empty() {
            return Err(Error::invalid(format!("there is no .safetensors file in {}", folder.display())).hint(
                "give the path of a .gguf file, or of a folder with config.json, tokenizer.json and *.safetensors",
            ));
        }
        let if_there = |name| Some(folder.join(name)).filter(|path| path.exists());
        Ok(Self::Safetensors {
            config: folder.join("config.json"),
            tokenizer: folder.join("tokenizer.json"),
            tokenizer_config: if_there("tokenizer_config.json"),
            chat_template: if_there("chat_template.jinja"),
            shards,
        })
    }

    /// The files with weights.
    pub fn files(&self) -> &[PathBuf] {
        match self {
            Self::Gguf(files) => files,
            Self::Safetensors { shards, .. } => shards,
        }
    }

    /// A loader for these files.
    pub fn loader(&self, make_sink: Box<SinkFactory>) -> Result<Loader> {
        match self {
            Self::Gguf(_) => Ok(Loader::gguf(make_sink)),
            Self::Safetensors { config, tokenizer, tokenizer_config, chat_template, .. } => {
                let tokenizer_config = tokenizer_config.as_deref().map(read).transpose()?;
                let text = |path: &PathBuf| Ok(String::from_utf8_lossy(&read(path)?).into_owned());
                let turns = Turns::read(tokenizer_config.as_deref(), chat_template.as_ref().map(text).transpose()?)?;
                Ok(Loader::safetensors(&read(config)?, read(tokenizer)?, make_sink)?.with_turns(turns))
            }
        }
    }

    /// Pushes all bytes of all files.
    pub fn feed(&self, loader: &mut Loader) -> Result<()> {
        let mut chunk = vec![0; CHUNK_BYTES];
        for (i, path) in self.files().iter().enumerate() {
            if i > 0 {
                loader.next_file()?;
            }
            let mut file = File::open(path).map_err(|error| io_error("open", path, error))?;
            if let Ok(kind) = file.metadata() {
                loader.expect(kind.len());
            }
            loop {
                let n = file.read(&mut chunk).map_err(|error| io_error("read", path, error))?;
                if n == 0 {
                    break;
                }
                loader.push(&chunk[..n])?;
            }
        }
        Ok(())
    }

    /// Reads the model into a sink.
    pub fn load(&self, make_sink: Box<SinkFactory>) -> Result<Loaded> {
        let mut loader = self.loader(make_sink)?;
        self.feed(&mut loader)?;
        loader.finish()
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| io_error("read", path, error))
}

/// All parts of the split GGUF that `path` is one of (`NAME-00002-of-00003.gguf`), else `path` alone.
fn parts(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let split = || {
        let (head, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
        let (stem, part) = head.rsplit_once('-')?;
        let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.len() == 5);
        let (_, total) = (number(part)?, number(count)?);
        Some((1..=total).map(|i| path.with_file_name(format!("{stem}-{i:05}-of-{count}.gguf"))).collect())
    };
    split().unwrap_or_else(|| vec![path.to_path_buf()])
}
