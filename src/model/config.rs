//! The numbers that define a Qwen3 network.

/// Shapes and constants of one network, read from GGUF metadata or `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `"qwen3"`.
    pub architecture: String,
    /// The model's own name, where the file gives one.
    pub name: Option<String>,
    /// Transformer blocks.
    pub layers: usize,
    /// Width of the residual stream; a multiple of 32.
    pub hidden: usize,
    /// Width of the feed-forward's inside; a multiple of 32.
    pub intermediate: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Elements of one head; not always `hidden / heads`.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab: usize,
    /// Epsilon of every RMSNorm.
    pub rms_eps: f32,
    /// Base of the rotary embedding.
    pub rope_theta: f64,
    /// Positions the model was trained for.
    pub max_context: usize,
    /// The head shares the embedding's weights.
    pub tied: bool,
}
