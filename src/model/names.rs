//! The weights of a network by role, and how GGUF and Hugging Face name them.

/// One weight matrix or vector by its role; `usize` is the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Weight {
    /// Token embedding, `[vocab, hidden]`; also the head when that is tied.
    Embedding,
    /// Untied head, `[vocab, hidden]`.
    Head,
    /// Final RMSNorm, `[hidden]`.
    FinalNorm,
    /// What the rotary embedding's frequencies are divided by, `[head_dim / 2]`; only a GGUF's.
    RopeFactors,
    /// RMSNorm before attention, `[hidden]`.
    AttentionNorm(usize),
    /// Query projection, `[heads · head_dim, hidden]`.
    Query(usize),
    /// Key projection, `[kv_heads · head_dim, hidden]`.
    Key(usize),
    /// Value projection, `[kv_heads · head_dim, hidden]`.
    Value(usize),
    /// Added to the queries, `[heads · head_dim]`.
    QueryBias(usize),
    /// Added to the keys, `[kv_heads · head_dim]`.
    KeyBias(usize),
    /// Added to the values, `[kv_heads · head_dim]`.
    ValueBias(usize),
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
const GLOBAL: [(Weight, &str, &str); 4] = [
    (Weight::Embedding, "token_embd.weight", "model.embed_tokens.weight"),
    (Weight::FinalNorm, "output_norm.weight", "model.norm.weight"),
    (Weight::Head, "output.weight", "lm_head.weight"),
    (Weight::RopeFactors, "rope_freqs.weight", "rope_freqs.weight"),
];

type LayerRole = (fn(usize) -> Weight, &'static str, &'static str);

/// The weights of each layer: role, GGUF name, Hugging Face name.
const LAYERED: [LayerRole; 14] = [
    (Weight::AttentionNorm, "attn_norm.weight", "input_layernorm.weight"),
    (Weight::Query, "attn_q.weight", "self_attn.q_proj.weight"),
    (Weight::Key, "attn_k.weight", "self_attn.k_proj.weight"),
    (Weight::Value, "attn_v.weight", "self_attn.v_proj.weight"),
    (Weight::QueryBias, "attn_q.bias", "self_attn.q_proj.bias"),
    (Weight::KeyBias, "attn_k.bias", "self_attn.k_proj.bias"),
    (Weight::ValueBias, "attn_v.bias", "self_attn.v_proj.bias"),
    (Weight::QueryNorm, "attn_q_norm.weight", "self_attn.q_norm.weight"),
    (Weight::KeyNorm, "attn_k_norm.weight", "self_attn.k_norm.weight"),
    (Weight::Output, "attn_output.weight", "self_attn.o_proj.weight"),
    (Weight::FeedForwardNorm, "ffn_norm.weight", "post_attention_layernorm.weight"),
    (Weight::Gate, "ffn_gate.weight", "mlp.gate_proj.weight"),
    (Weight::Up, "ffn_up.weight", "mlp.up_proj.weight"),
    (Weight::Down, "ffn_down.weight", "mlp.down_proj.weight"),
];

impl Weight {
    /// All weights that a layer can have.
    pub fn of_layer(layer: usize) -> impl Iterator<Item = Self> {
        LAYERED.iter().map(move |(weight, ..)| weight(layer))
    }
}

/// The role of a tensor, by its GGUF or Hugging Face name; none for a name no network here has.
pub fn weight_of(name: &str) -> Option<Weight> {
    if let Some((weight, ..)) = GLOBAL.iter().find(|(_, gguf, hugging_face)| name == *gguf || name == *hugging_face) {
        return Some(*weight);
    }
    let (naming, rest) = match name.strip_prefix("blk.") {
        Some(rest) => (Naming::Gguf, rest),
        None => (Naming::HuggingFace, name.strip_prefix("model.layers.")?),
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

    /// Names and roles of all weights that a network of `layers` layers can have.
    pub fn weights(self, layers: usize) -> impl Iterator<Item = (Weight, String)> {
        let block = self.pick("blk", "model.layers");
        let global = GLOBAL.iter().map(move |(weight, g, h)| (*weight, self.pick(g, h).to_owned()));
        let layered = (0..layers).flat_map(move |layer| {
            LAYERED.iter().map(move |(weight, g, h)| (weight(layer), format!("{block}.{layer}.{}", self.pick(g, h))))
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
            assert_eq!(weights.len(), 4 + 2 * 14);
            for (weight, name) in weights {
                assert_eq!(weight_of(&name), Some(weight), "{name}");
            }
        }
    }

    #[test]
    fn what_this_network_does_not_have_is_no_weight() {
        for name in [
            "blk.0.attn_output.bias",
            "blk.0.ffn_gate_exps.weight",
            "blk.x.attn_q.weight",
            "blk.0.self_attn.q_proj.weight",
            "",
        ] {
            assert_eq!(weight_of(name), None, "{name}");
        }
    }
}
