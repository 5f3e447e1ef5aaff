//! The fixture checkpoints: finding, loading, and what is expected of them.

use std::fs;
use std::path::{Path, PathBuf};

use qwen3_web::model::{Loader, Runtime, SinkFactory};
use serde_json::Value;

/// A model on disk and what `transformers` computes from it.
pub struct Checkpoint {
    /// Its name without folder and ending, as in `narrow-q4_0`.
    pub name: String,
    path: PathBuf,
    /// The input.
    pub tokens: Vec<u32>,
    /// `(position, [vocab])`: logits after the token at that position.
    pub logits: Vec<(usize, Vec<f32>)>,
    /// The continuation of `tokens`.
    pub greedy: Vec<u32>,
    /// Distance of the two best logits at each step of it.
    pub margins: Vec<f32>,
}

impl Checkpoint {
    /// The largest relative L2 error allowed: activations and cache are exact to f32's order where weights are floats.
    pub fn tolerance(&self) -> f32 {
        if self.is_quantised() { 1e-3 } else { 1e-4 }
    }

    /// Whether its matrices are.
    pub fn is_quantised(&self) -> bool {
        !["-f32", "-f16", "-bf16", "shards", "second", "bands"].iter().any(|end| self.name.ends_with(end))
    }

    /// The model in a runtime whose sequences hold `context` tokens. Files arrive in uneven pieces.
    pub fn load(&self, sink: fn(usize) -> Box<SinkFactory>, context: usize) -> Box<dyn Runtime> {
        let read = |name: &str| fs::read(self.path.join(name)).expect(name);
        let (mut loader, files) = if self.path.is_dir() {
            let loader = Loader::safetensors(&read("config.json"), read("tokenizer.json"), sink(context));
            (loader.expect("config.json"), files_in(&self.path, "safetensors"))
        } else {
            (Loader::gguf(sink(context)), vec![self.path.clone()])
        };
        for (i, file) in files.iter().enumerate() {
            if i > 0 {
                loader.next_file().expect("the next file");
            }
            for piece in fs::read(file).expect("a file").chunks(65_537) {
                loader.push(piece).expect("pushing");
            }
        }
        let loaded = loader.finish().expect("finishing");
        pollster::block_on(loaded.sink.finish()).expect("the runtime")
    }
}

/// All checkpoints there are, the committed ones at least.
pub fn all() -> Vec<Checkpoint> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = files_in(&root.join("tests/fixtures/checkpoints"), "json");
    assert_eq!(committed.len(), 17, "the committed checkpoints");
    let generated = files_in(&root.join(".cache/fixtures"), "json");
    committed.iter().chain(&generated).map(|file| checkpoint(file)).collect()
}

/// One of the committed checkpoints.
pub fn named(name: &str) -> Checkpoint {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints");
    checkpoint(&root.join(name).with_extension("json"))
}

fn checkpoint(file: &Path) -> Checkpoint {
    let json: Value = serde_json::from_slice(&fs::read(file).expect("expected values")).expect("JSON");
    let floats =
        |v: &Value| v.as_array().expect("numbers").iter().map(|x| x.as_f64().expect("a number") as f32).collect();
    let ids = |v: &Value| -> Vec<u32> {
        v.as_array().expect("ids").iter().map(|x| x.as_u64().expect("an id") as u32).collect()
    };
    let logits = json["logits"].as_object().expect("logits by position");
    Checkpoint {
        name: file.file_stem().expect("a name").to_string_lossy().into_owned(),
        path: file.with_file_name(json["model"].as_str().expect("a file")),
        tokens: ids(&json["tokens"]),
        logits: logits.iter().map(|(position, row)| (position.parse().expect("a position"), floats(row))).collect(),
        greedy: ids(&json["greedy"]),
        margins: floats(&json["margins"]),
    }
}

/// Sorted; none if there is no such folder.
fn files_in(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == extension));
    files.sort();
    files
}
