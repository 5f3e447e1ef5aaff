//! The numbers that define a Qwen3 network.

use serde::Deserialize;

use super::{Weight, weight_of};
use crate::error::{Error, Result};
use crate::formats::{Metadata, PlacedTensor, Value};

/// The architecture this engine runs, as GGUF and `config.json` name it.
const ARCHITECTURE: &str = "qwen3";

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

impl Config {
    /// Whether sequences of this network can be that long; `invalid-argument` otherwise.
    pub fn check_context_length(&self, context_length: usize) -> Result<()> {
        if context_length == 0 || context_length > self.max_context {
            return Err(Error::invalid(format!(
                "contextLength must be 1 to {} for this model, got {context_length}",
                self.max_context
            )));
        }
        Ok(())
    }

    /// From a GGUF's metadata; `tensors` are those of the first file that has any, and tell the vocabulary's size and whether the
    /// head is tied.
    pub fn from_gguf(metadata: &Metadata, tensors: &[PlacedTensor]) -> Result<Self> {
        let architecture = metadata.get_str("general.architecture")?;
        check_architecture(architecture)?;
        let key = |name: &str| format!("{architecture}.{name}");
        let get = |name: &str| metadata.get_u32(&key(name)).map(|number| number as usize);
        let find = |name: &str| metadata.find_u32(&key(name)).map(|number| number.map(|number| number as usize));

        let (layers, hidden, heads) = (get("block_count")?, get("embedding_length")?, get("attention.head_count")?);
        let head_dim = find("attention.key_length")?.unwrap_or(hidden / heads.max(1));
        for (name, value) in [
            ("attention.value_length", find("attention.value_length")?),
            ("rope.dimension_count", find("rope.dimension_count")?),
        ] {
            if value.is_some_and(|value| value != head_dim) {
                return Err(unsupported(&key(name), value.unwrap_or(0), &format!("the head's size {head_dim}")));
            }
        }
        let max_context = get("context_length")?;
        let window = find("attention.sliding_window")?;
        if let Some(window) = window.filter(|window| *window != 0 && *window < max_context) {
            return Err(unsupported(&key("attention.sliding_window"), window, "full attention"));
        }
        let scaling = metadata.find_str(&key("rope.scaling.type"))?.unwrap_or("none");
        let factor = metadata.find_f32(&key("rope.scaling.factor"))?.unwrap_or(1.0);
        if scaling != "none" && factor != 1.0 {
            return Err(unsupported(&key("rope.scaling.type"), scaling, "none"));
        }

        let shape_of =
            |weight: Weight| tensors.iter().find(|t| weight_of(&t.info.name) == Some(weight)).map(|t| &t.info);
        let vocab = match (shape_of(Weight::Embedding), find("vocab_size")?, metadata.get("tokenizer.ggml.tokens")) {
            (Some(embedding), ..) => embedding.shape[0],
            (None, Some(size), _) => size,
            (None, None, Some(Value::Strings(tokens))) => tokens.len(),
            _ => return Err(Error::malformed("tensor \"token_embd.weight\" is missing")),
        };
        // Of a split file only one part is known yet; the metadata counts the tensors of all.
        let all_tensors = metadata.find_u32("split.tensors.count")?.map_or(tensors.len(), |count| count as usize);
        let tied = shape_of(Weight::Head).is_none()
            && (all_tensors == tensors.len() || all_tensors <= layers.saturating_mul(11).saturating_add(2));
        Self {
            architecture: architecture.into(),
            name: metadata.find_str("general.name")?.map(Into::into),
            layers,
            hidden,
            intermediate: get("feed_forward_length")?,
            heads,
            kv_heads: find("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            vocab,
            rms_eps: metadata.get_f32(&key("attention.layer_norm_rms_epsilon"))?,
            rope_theta: metadata.find_f32(&key("rope.freq_base"))?.unwrap_or(10_000.0).into(),
            max_context,
            tied,
        }
        .checked()
    }

    /// From the bytes of a Hugging Face `config.json` (fields: `transformers`' `Qwen3Config`).
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let json: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| {
            Error::malformed(format!("config.json is not JSON: {error}"))
                .hint("the address may lead to a web page instead of the file")
        })?;
        let name = json.get("model_type").and_then(|name| name.as_str());
        check_architecture(name.ok_or_else(|| Error::malformed("config.json names no model_type"))?)?;
        let config: ConfigJson = serde_json::from_value(json)
            .map_err(|error| Error::malformed(format!("config.json does not describe a {ARCHITECTURE}: {error}")))?;

        if let Some(class) = config.architectures.iter().flatten().find(|class| *class != "Qwen3ForCausalLM") {
            return Err(unsupported("config.json: architectures", class, "Qwen3ForCausalLM"));
        }
        if config.quantization_config.is_some() {
            return Err(Error::unsupported("config.json: the checkpoint is quantised (quantization_config)")
                .hint("take the checkpoint in F32, F16 or BF16, or a GGUF file"));
        }
        if config.hidden_act.as_deref().is_some_and(|act| act != "silu") {
            return Err(unsupported("config.json: hidden_act", config.hidden_act.unwrap_or_default(), "silu"));
        }
        if config.attention_bias {
            return Err(unsupported("config.json: attention_bias", true, "false"));
        }
        let sliding = config.use_sliding_window
            && config.sliding_window.is_some_and(|window| window < config.max_position_embeddings)
            || config.layer_types.iter().flatten().any(|kind| kind != "full_attention");
        if sliding {
            return Err(unsupported("config.json: use_sliding_window", true, "full attention in every layer"));
        }
        let rope = config.rope_parameters.or(config.rope_scaling).unwrap_or_default();
        let kind = rope.rope_type.or(rope.kind).unwrap_or_else(|| "default".into());
        if kind != "default" || rope.partial_rotary_factor.is_some_and(|factor| factor != 1.0) {
            return Err(unsupported("config.json: rope_type", kind, "the unscaled default"));
        }
        let missing = || Error::malformed("config.json has neither rope_parameters.rope_theta nor rope_theta");
        Self {
            architecture: ARCHITECTURE.into(),
            name: None,
            layers: config.num_hidden_layers,
            hidden: config.hidden_size,
            intermediate: config.intermediate_size,
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads.unwrap_or(config.num_attention_heads),
            head_dim: config.head_dim.unwrap_or(config.hidden_size / config.num_attention_heads.max(1)),
            vocab: config.vocab_size,
            rms_eps: config.rms_norm_eps,
            rope_theta: rope.rope_theta.or(config.rope_theta).ok_or_else(missing)?,
            max_context: config.max_position_embeddings,
            tied: config.tie_word_embeddings,
        }
        .checked()
    }

    /// The shape a weight must have; none for a layer or a head this network does not have.
    pub fn shape_of(&self, weight: Weight) -> Option<Vec<usize>> {
        let (queries, keys) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let in_range = |layer: usize, shape: Vec<usize>| (layer < self.layers).then_some(shape);
        match weight {
            Weight::Embedding => Some(vec![self.vocab, self.hidden]),
            Weight::Head => (!self.tied).then_some(vec![self.vocab, self.hidden]),
            Weight::FinalNorm => Some(vec![self.hidden]),
            Weight::AttentionNorm(layer) | Weight::FeedForwardNorm(layer) => in_range(layer, vec![self.hidden]),
            Weight::Query(layer) => in_range(layer, vec![queries, self.hidden]),
            Weight::Key(layer) | Weight::Value(layer) => in_range(layer, vec![keys, self.hidden]),
            Weight::QueryNorm(layer) | Weight::KeyNorm(layer) => in_range(layer, vec![self.head_dim]),
            Weight::Output(layer) => in_range(layer, vec![self.hidden, queries]),
            Weight::Gate(layer) | Weight::Up(layer) => in_range(layer, vec![self.intermediate, self.hidden]),
            Weight::Down(layer) => in_range(layer, vec![self.hidden, self.intermediate]),
        }
    }

    /// The limits are far above every published network; they keep all products of sizes computable.
    fn checked(self) -> Result<Self> {
        let ranges = [
            ("layers", self.layers, 1024),
            ("hidden size", self.hidden, 1 << 16),
            ("feed-forward size", self.intermediate, 1 << 18),
            ("query heads", self.heads, 1024),
            ("key-value heads", self.kv_heads, 1024),
            ("head size", self.head_dim, 256),
            ("vocabulary size", self.vocab, 1 << 22),
            ("context length", self.max_context, 1 << 24),
        ];
        for (name, value, most) in ranges {
            if value == 0 || value > most {
                return Err(unsupported(name, value, &format!("1 to {most}")));
            }
        }
        let attention = self.heads * self.head_dim;
        for (name, value, factor) in [
            ("hidden size", self.hidden, 32),
            ("feed-forward size", self.intermediate, 32),
            ("query heads times head size", attention, 32),
            ("head size", self.head_dim, 2),
            ("query heads", self.heads, self.kv_heads),
        ] {
            if value % factor != 0 {
                return Err(unsupported(name, value, &format!("a multiple of {factor}")));
            }
        }
        if !(self.rms_eps > 0.0 && self.rms_eps < 1.0) {
            return Err(unsupported("epsilon of the norms", self.rms_eps, "between 0 and 1"));
        }
        if !(self.rope_theta >= 1.0 && self.rope_theta.is_finite()) {
            return Err(unsupported("rotary base", self.rope_theta, "at least 1"));
        }
        Ok(self)
    }
}

fn unsupported(what: &str, came: impl std::fmt::Display, expected: &str) -> Error {
    Error::unsupported(format!("{what}: expected {expected}, got {came}"))
}

fn check_architecture(name: &str) -> Result<()> {
    if name == ARCHITECTURE {
        return Ok(());
    }
    Err(Error::unsupported(format!("the model's architecture is {name:?}; supported: {ARCHITECTURE:?}"))
        .hint("take a dense Qwen3 model, such as Qwen3-0.6B"))
}

#[derive(Deserialize)]
struct ConfigJson {
    architectures: Option<Vec<String>>,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: f32,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    hidden_act: Option<String>,
    #[serde(default)]
    use_sliding_window: bool,
    sliding_window: Option<usize>,
    layer_types: Option<Vec<String>>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RopeJson>,
    rope_parameters: Option<RopeJson>,
    quantization_config: Option<serde_json::Value>,
}

/// `rope_parameters` of transformers 5, `rope_scaling` before it.
#[derive(Default, Deserialize)]
struct RopeJson {
    rope_theta: Option<f64>,
    rope_type: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    partial_rotary_factor: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Qwen3-0.6B's, in the form transformers 4 wrote.
    const QWEN3_0_6B: &str = r#"{"architectures":["Qwen3ForCausalLM"],"model_type":"qwen3","attention_bias":false,
        "head_dim":128,"hidden_act":"silu","hidden_size":1024,"intermediate_size":3072,"max_position_embeddings":40960,
        "max_window_layers":28,"num_attention_heads":16,"num_hidden_layers":28,"num_key_value_heads":8,
        "rms_norm_eps":1e-06,"rope_scaling":null,"rope_theta":1000000,"sliding_window":null,
        "tie_word_embeddings":true,"use_sliding_window":false,"vocab_size":151936}"#;

    #[test]
    fn the_config_of_qwen3_0_6b_in_both_forms() {
        let config = Config::from_json(QWEN3_0_6B.as_bytes()).unwrap();
        assert_eq!((config.layers, config.hidden, config.heads, config.kv_heads), (28, 1024, 16, 8));
        assert_eq!((config.head_dim, config.vocab, config.rope_theta, config.tied), (128, 151_936, 1e6, true));
        let newer = QWEN3_0_6B
            .replace(r#""rope_theta":1000000,"#, r#""rope_parameters":{"rope_theta":1000000,"rope_type":"default"},"#)
            .replace(r#""rope_scaling":null,"#, "");
        assert_eq!(Config::from_json(newer.as_bytes()).unwrap(), config);
        let parameters: usize = super::super::Naming::HuggingFace
            .weights(28)
            .filter_map(|(weight, _)| Some(config.shape_of(weight)?.iter().product::<usize>()))
            .sum();
        assert_eq!(parameters, 596_049_920);
    }

    #[test]
    fn what_would_change_the_network_is_refused() {
        let cases = [
            (r#""model_type":"qwen3""#, r#""model_type":"qwen3_moe""#, "qwen3_moe"),
            ("Qwen3ForCausalLM", "Qwen3ForSequenceClassification", "Qwen3ForSequenceClassification"),
            (r#""rope_scaling":null"#, r#""rope_scaling":{"rope_type":"yarn","factor":4.0}"#, "yarn"),
            (r#""attention_bias":false"#, r#""attention_bias":true"#, "attention_bias"),
            (r#""hidden_act":"silu""#, r#""hidden_act":"gelu""#, "gelu"),
            (r#""sliding_window":null"#, r#""sliding_window":4096"#, ""),
            (r#""hidden_size":1024"#, r#""hidden_size":1000"#, "multiple of 32"),
            (r#""head_dim":128"#, r#""head_dim":512"#, "512"),
            (r#""num_key_value_heads":8"#, r#""num_key_value_heads":5"#, "multiple of 5"),
            (r#""num_key_value_heads":8"#, r#""num_key_value_heads":0"#, "key-value heads"),
            (r#""num_hidden_layers":28"#, r#""num_hidden_layers":0"#, "layers"),
            (r#""vocab_size":151936"#, r#""vocab_size":18446744073709551615"#, "vocabulary"),
            (r#""vocab_size":151936"#, r#""vocab_size":-1"#, "-1"),
            (r#""rms_norm_eps":1e-06"#, r#""rms_norm_eps":0"#, "epsilon"),
            (r#""rope_theta":1000000"#, r#""x":0"#, "rope_theta"),
            (r#""head_dim":128"#, r#""quantization_config":{"quant_method":"awq"}"#, "quantised"),
            (r#""hidden_size":1024,"#, "", "hidden_size"),
        ];
        for (from, to, expected) in cases {
            let text = QWEN3_0_6B.replace(from, to);
            assert_ne!(text, QWEN3_0_6B);
            if to.contains("4096") {
                // Inert as long as use_sliding_window is false.
                assert!(Config::from_json(text.as_bytes()).is_ok());
                let used = text.replace(r#""use_sliding_window":false"#, r#""use_sliding_window":true"#);
                assert!(Config::from_json(used.as_bytes()).unwrap_err().message.contains("sliding"));
                continue;
            }
            let error = Config::from_json(text.as_bytes()).unwrap_err();
            assert!(error.message.contains(expected), "{expected}: {error}");
        }
        assert!(Config::from_json(b"<html>").unwrap_err().hint.contains("web page"));
    }
}
