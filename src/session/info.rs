//! What is loaded, as `model.info`.

use serde::Serialize;

use crate::model::{Config, RuntimeInfo};

/// What is loaded and where.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelInfo {
    /// The model's own name, else its architecture.
    pub name: String,
    /// As its file names it: `"qwen3"`, …
    pub architecture: String,
    /// Weights of the network.
    pub parameters: u64,
    /// The type most weights have, by GGML's name.
    pub quantization: &'static str,
    /// Positions of KV cache.
    pub context_length: usize,
    /// Positions the model was trained for.
    pub max_context_length: usize,
    /// Rows of the embedding.
    pub vocabulary_size: usize,
    /// `"webgpu"` or `"cpu"`.
    pub device: &'static str,
    /// The adapter's description, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// Bytes of weights on the device.
    pub weight_bytes: u64,
    /// Bytes of one conversation's KV cache.
    pub kv_cache_bytes: u64,
}

impl ModelInfo {
    /// Puts together what the file and the device say.
    pub fn new(config: &Config, runtime: &RuntimeInfo) -> Self {
        Self {
            name: config.name.clone().unwrap_or_else(|| config.architecture.clone()),
            architecture: config.architecture.clone(),
            parameters: config.parameters(),
            quantization: runtime.quantization.name(),
            context_length: runtime.context_length,
            max_context_length: config.max_context,
            vocabulary_size: config.vocab,
            device: runtime.device,
            adapter: runtime.adapter.clone(),
            weight_bytes: runtime.weight_bytes,
            kv_cache_bytes: runtime.kv_cache_bytes,
        }
    }
}
