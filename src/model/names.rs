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

/// Who named the tensors of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// llama.cpp's converter.
    Gguf,
    /// `transformers`.
    HuggingFace,
}

/// The weights outside the layers: role, GGUF name, Hugging Face name.
const GLOBAL: [(Weight, &str, &str); 3] = [
    (Weight::Embedding, "token_embd", "model.embed_tokens"),
    (Weight::FinalNorm, "output_norm", "model.norm"),
    (Weight::Head, "output", "lm_head"),
];

type LayerRole = (fn(usize) -> Weight, &'static str, &'static str);

/// The weights of each layer: role, GGUF name, Hugging Face name.
const LAYERED: [LayerRole; 11] = [
    (Weight::AttentionNorm, "attn_norm", "input_layernorm"),
    (Weight::Query, "attn_q", "self_attn.q_proj"),
    (Weight::Key, "attn_k", "self_attn.k_proj"),
    (Weight::Value, "attn_v", "self_attn.v_proj"),
    (Weight::QueryNorm, "attn_q_norm", "self_attn.q_norm"),
    (Weight::KeyNorm, "attn_k_norm", "self_attn.k_norm"),
    (Weight::Output, "attn_output", "self_attn.o_proj"),
    (Weight::FeedForwardNorm, "ffn_norm", "post_attention_layernorm"),
    (Weight::Gate, "ffn_gate", "mlp.gate_proj"),
    (Weight::Up, "ffn_up", "mlp.up_proj"),
    (Weight::Down, "ffn_down", "mlp.down_proj"),
];

/// The role of a tensor, by its GGUF or Hugging Face name; none for a name this network does not have.
pub fn weight_of(name: &str) -> Option<Weight> {
    let stem = name.strip_suffix(".weight")?;
    if let Some((weight, ..)) = GLOBAL.iter().find(|(_, gguf, hugging_face)| stem == *gguf || stem == *hugging_face) {
        return Some(*weight);
    }
    let (naming, rest) = match stem.strip_prefix("blk.") {
        Some(rest) => (Naming::Gguf, rest),
        None => (Naming::HuggingFace, stem.strip_prefix("model.layers.")?),
    };
    let (layer, role) = rest.split_once('.')?;
    let layer = layer.parse().ok()?;
    LAYERED
        .iter()
        .find(|(_, gguf, hugging_face)| role == naming.pick(gguf, hugging_face))
        .map(|(weight, ..)| weight(layer))
}

impl Naming {
    fn pick<'a>(self, gguf: &'a str, hugging_face: &'a str) -> &'a str {
        match self {
            Self::Gguf => gguf,
            Self::HuggingFace => hugging_face,
        }
    }

    /// Names and roles of all weights of a network of `layers` layers, the head of an untied one among them.
    pub fn weights(self, layers: usize) -> impl Iterator<Item = (Weight, String)> {
        let block = self.pick("blk", "model.layers");
        let global = GLOBAL.iter().map(move |(weight, g, h)| (*weight, format!("{}.weight", self.pick(g, h))));
        let layered = (0..layers).flat_map(move |layer| {
            LAYERED
                .iter()
                .map(move |(weight, g, h)| (weight(layer), format!("{block}.{layer}.{}.weight", self.pick(g, h))))
        });
        global.chain(layered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_roles_map_both_ways() {
        for naming in [Naming::Gguf, Naming::HuggingFace] {
            let weights: Vec<_> = naming.weights(2).collect();
            assert_eq!(weights.len(), 3 + 2 * 11);
            for (weight, name) in weights {
                assert_eq!(weight_of(&name), Some(weight), "{name}");
            }
        }
    }

    #[test]
    fn what_this_network_does_not_have_is_no_weight() {
        for name in
            ["blk.0.attn_q.bias", "rope_freqs.weight", "blk.x.attn_q.weight", "blk.0.self_attn.q_proj.weight", ""]
        {
            assert_eq!(weight_of(name), None, "{name}");
        }
    }
}
