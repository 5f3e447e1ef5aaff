//! The weights of a Qwen3 by role, and how GGUF and Hugging Face name them.

/// One weight matrix or vector by its role; `usize` is the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Weight {
    /// Token embedding, `[vocab, hidden]`; also the head when that is tied.
    Embedding,
    /// Untied head, `[vocab, hidden]`.
    Head,
    /// Final RMSNorm, `[hidden]`.
    FinalNorm,
    /// RMSNorm before attention, `[hidden]`.
    AttentionNorm(usize),
    /// Query projection, `[heads · head_dim, hidden]`.
    Query(usize),
    /// Key projection, `[kv_heads · head_dim, hidden]`.
    Key(usize),
    /// Value projection, `[kv_heads · head_dim, hidden]`.
    Value(usize),
    /// RMSNorm of each query head, `[head_dim]`.
    QueryNorm(usize),
    /// RMSNorm of each key head, `[head_dim]`.
    KeyNorm(usize),
    /// Output projection, `[hidden, heads · head_dim]`.
    Output(usize),
    /// RMSNorm before the feed-forward, `[hidden]`.
    FeedForwardNorm(usize),
    /// Gate projection, `[intermediate, hidden]`.
    Gate(usize),
    /// Up projection, `[intermediate, hidden]`.
    Up(usize),
    /// Down projection, `[hidden, intermediate]`.
    Down(usize),
}

/// The role of a tensor, by its GGUF or Hugging Face name; none for a name this network does not have.
pub fn weight_of(name: &str) -> Option<Weight> {
    let layered = |rest: &str| -> Option<Weight> {
        let (layer, role) = rest.split_once('.')?;
        let layer = layer.parse().ok()?;
        Some(match role.strip_suffix(".weight")? {
            "attn_norm" | "input_layernorm" => Weight::AttentionNorm(layer),
            "attn_q" | "self_attn.q_proj" => Weight::Query(layer),
            "attn_k" | "self_attn.k_proj" => Weight::Key(layer),
            "attn_v" | "self_attn.v_proj" => Weight::Value(layer),
            "attn_q_norm" | "self_attn.q_norm" => Weight::QueryNorm(layer),
            "attn_k_norm" | "self_attn.k_norm" => Weight::KeyNorm(layer),
            "attn_output" | "self_attn.o_proj" => Weight::Output(layer),
            "ffn_norm" | "post_attention_layernorm" => Weight::FeedForwardNorm(layer),
            "ffn_gate" | "mlp.gate_proj" => Weight::Gate(layer),
            "ffn_up" | "mlp.up_proj" => Weight::Up(layer),
            "ffn_down" | "mlp.down_proj" => Weight::Down(layer),
            _ => return None,
        })
    };
    match name {
        "token_embd.weight" | "model.embed_tokens.weight" => Some(Weight::Embedding),
        "output.weight" | "lm_head.weight" => Some(Weight::Head),
        "output_norm.weight" | "model.norm.weight" => Some(Weight::FinalNorm),
        _ => layered(name.strip_prefix("blk.").or_else(|| name.strip_prefix("model.layers."))?),
    }
}
