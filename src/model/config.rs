//! The numbers that define a network, and in what the architectures differ.

use serde::Deserialize;

use super::{Naming, Pairing, Rope, Scaling, Weight, weight_of};
use crate::error::{Error, Result};
use crate::formats::{Metadata, PlacedTensor, Value};

/// One architecture, as far as it differs from the others: all are pre-norm transformers with RMSNorm, rotary
/// embedding, grouped-query attention and SwiGLU.
struct Family {
    /// Its name in a GGUF.
    gguf: &'static str,
    /// Its `model_type` in `config.json`.
    model_type: &'static str,
    /// Its class in `transformers`.
    class: &'static str,
    /// Queries and keys are normalised.
    qk_norm: bool,
    /// Queries, keys and values have biases.
    qkv_bias: bool,
    /// How the rows of queries and keys lie in a GGUF.
    gguf_pairing: Pairing,
    /// `sliding_window` of `config.json` counts without `use_sliding_window`.
    always_windowed: bool,
}

const FAMILIES: [Family; 4] = [
    Family {
        gguf: "qwen3",
        model_type: "qwen3",
        class: "Qwen3ForCausalLM",
        qk_norm: true,
        qkv_bias: false,
        gguf_pairing: Pairing::Halves,
        always_windowed: false,
    },
    Family {
        gguf: "qwen2",
        model_type: "qwen2",
        class: "Qwen2ForCausalLM",
        qk_norm: false,
        qkv_bias: true,
        gguf_pairing: Pairing::Halves,
        always_windowed: false,
    },
    Family {
        gguf: "llama",
        model_type: "llama",
        class: "LlamaForCausalLM",
        qk_norm: false,
        qkv_bias: false,
        gguf_pairing: Pairing::Neighbours,
        always_windowed: false,
    },
    // A GGUF calls it llama.
    Family {
        gguf: "llama",
        model_type: "mistral",
        class: "MistralForCausalLM",
        qk_norm: false,
        qkv_bias: false,
        gguf_pairing: Pairing::Neighbours,
        always_windowed: true,
    },
];

/// Shapes and constants of one network, read from GGUF metadata or `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// As the file names it: `"qwen3"`, `"qwen2"`, `"llama"` or `"mistral"`.
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
    /// The rotary embedding.
    pub rope: Rope,
    /// Queries and keys are normalised.
    pub qk_norm: bool,
    /// Queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Positions back to which each layer sees, its own among them; empty where all see everything.
    pub windows: Vec<Option<usize>>,
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
        let family = family(|family| family.gguf, architecture)?;
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
        if let Some(experts) = find("expert_count")?.filter(|experts| *experts > 0) {
            return Err(unsupported(&key("expert_count"), experts, "a dense network"));
        }
        let window = find("attention.sliding_window")?.filter(|window| *window > 0);
        let shape_of =
            |weight: Weight| tensors.iter().find(|t| weight_of(&t.info.name) == Some(weight)).map(|t| &t.info);
        let vocab = match (shape_of(Weight::Embedding), find("vocab_size")?, metadata.get("tokenizer.ggml.tokens")) {
            (Some(embedding), ..) => embedding.shape[0],
            (None, Some(size), _) => size,
            (None, None, Some(Value::Strings(tokens))) => tokens.len(),
            _ => return Err(Error::malformed("tensor \"token_embd.weight\" is missing")),
        };
        let scaling = match shape_of(Weight::RopeFactors) {
            Some(_) => Scaling::Factors(Vec::new()),
            None => gguf_scaling(metadata, &key, max_context)?,
        };
        let rope_theta = metadata.find_f32(&key("rope.freq_base"))?.unwrap_or(10_000.0).into();
        // Of a split file only one part is known yet; the metadata counts the tensors of all.
        let all_tensors = metadata.find_u32("split.tensors.count")?.map_or(tensors.len(), |count| count as usize);
        let of_a_layer = 9 + if family.qk_norm { 2 } else { 0 } + if family.qkv_bias { 3 } else { 0 };
        let around = 2 + usize::from(matches!(scaling, Scaling::Factors(_)));
        let tied = shape_of(Weight::Head).is_none()
            && (all_tensors == tensors.len()
                || all_tensors <= layers.saturating_mul(of_a_layer).saturating_add(around));
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
            rope: Rope { theta: rope_theta, scaling, pairing: family.gguf_pairing },
            qk_norm: family.qk_norm,
            qkv_bias: family.qkv_bias,
            windows: windows(window, max_context, layers, |_| true),
            max_context,
            tied,
        }
        .checked()
    }

    /// From the bytes of a Hugging Face `config.json` (fields: `transformers`' `Qwen3Config` and its like).
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let json: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| {
            Error::malformed(format!("config.json is not JSON: {error}"))
                .hint("the address may lead to a web page instead of the file")
        })?;
        let name = json.get("model_type").and_then(|name| name.as_str());
        let name = name.ok_or_else(|| Error::malformed("config.json names no model_type"))?.to_owned();
        let family = family(|family| family.model_type, &name)?;
        let config: ConfigJson = serde_json::from_value(json)
            .map_err(|error| Error::malformed(format!("config.json does not describe a {name}: {error}")))?;

        if let Some(class) = config.architectures.iter().flatten().find(|class| *class != family.class) {
            return Err(unsupported("config.json: architectures", class, family.class));
        }
        if config.quantization_config.is_some() {
            return Err(Error::unsupported("config.json: the checkpoint is quantised (quantization_config)")
                .hint("take the checkpoint in F32, F16 or BF16, or a GGUF file"));
        }
        if config.hidden_act.as_deref().is_some_and(|act| act != "silu") {
            return Err(unsupported("config.json: hidden_act", config.hidden_act.unwrap_or_default(), "silu"));
        }
        for (name, bias) in [("attention_bias", config.attention_bias), ("mlp_bias", config.mlp_bias)] {
            if bias {
                return Err(unsupported(&format!("config.json: {name}"), true, "false"));
            }
        }
        let max_context = config.max_position_embeddings;
        let rope = config.rope_parameters.or(config.rope_scaling).unwrap_or_default();
        if rope.partial_rotary_factor.is_some_and(|factor| factor != 1.0) {
            return Err(unsupported(
                "config.json: partial_rotary_factor",
                rope.partial_rotary_factor.unwrap_or(1.0),
                "1",
            ));
        }
        let scaling = rope.scaling(max_context)?;
        let windowed = config.use_sliding_window.unwrap_or(family.always_windowed);
        let first_windowed = config.max_window_layers.unwrap_or(if family.always_windowed { 0 } else { 28 });
        let kinds = config.layer_types;
        if let Some(kind) = kinds.iter().flatten().find(|kind| !LAYER_TYPES.contains(&kind.as_str())) {
            return Err(unsupported("config.json: layer_types", kind, &LAYER_TYPES.join(" or ")));
        }
        let is_windowed = |layer: usize| match &kinds {
            Some(kinds) => kinds.get(layer).is_some_and(|kind| kind == "sliding_attention"),
            None => windowed && layer >= first_windowed,
        };
        let windows = windows(config.sliding_window, max_context, config.num_hidden_layers, is_windowed);
        // Llama's first files were written before there was a choice.
        let old_theta = (name == "llama").then_some(10_000.0);
        let missing = || Error::malformed("config.json has neither rope_parameters.rope_theta nor rope_theta");
        Self {
            architecture: name,
            name: None,
            layers: config.num_hidden_layers,
            hidden: config.hidden_size,
            intermediate: config.intermediate_size,
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads.unwrap_or(config.num_attention_heads),
            head_dim: config.head_dim.unwrap_or(config.hidden_size / config.num_attention_heads.max(1)),
            vocab: config.vocab_size,
            rms_eps: config.rms_norm_eps,
            rope: Rope {
                theta: rope.rope_theta.or(config.rope_theta).or(old_theta).ok_or_else(missing)?,
                scaling,
                pairing: Pairing::Halves,
            },
            qk_norm: family.qk_norm,
            qkv_bias: family.qkv_bias,
            windows,
            max_context,
            tied: config.tie_word_embeddings,
        }
        .checked()
    }

    /// Stretches the network to `factor` times the positions of its first training by YaRN, as Qwen3's card describes;
    /// it costs a little accuracy on short texts. `unsupported-model` for a network that is scaled already.
    pub fn stretch(&mut self, factor: f64) -> Result<()> {
        if !(factor > 1.0 && factor <= 64.0) {
            return Err(Error::invalid(format!("yarnFactor: expected a number above 1, at most 64, got {factor}")));
        }
        if self.rope.scaling != Scaling::None {
            return Err(Error::unsupported("yarnFactor: the model's positions are scaled by its own file already"));
        }
        // Qwen3's 40,960 positions are the 32,768 of its training and room for a reply.
        let original_context = self.max_context.min(32_768);
        self.max_context = (original_context as f64 * factor) as usize;
        self.rope.scaling = Scaling::Yarn { factor, original_context: original_context as f64 };
        Ok(())
    }

    /// Positions back to which a layer sees, its own among them; none where it sees all.
    pub fn window(&self, layer: usize) -> Option<usize> {
        self.windows.get(layer).copied().flatten()
    }

    /// The elements of all weights.
    pub fn parameters(&self) -> u64 {
        let weights = Naming::Gguf.weights(self.layers).filter(|(weight, _)| *weight != Weight::RopeFactors);
        weights.filter_map(|(weight, _)| Some(self.shape_of(weight)?.iter().product::<usize>() as u64)).sum()
    }

    /// Whether a network of this architecture has such a weight.
    pub fn has(&self, weight: Weight) -> bool {
        match weight {
            Weight::RopeFactors => matches!(self.rope.scaling, Scaling::Factors(_)),
            Weight::QueryNorm(_) | Weight::KeyNorm(_) => self.qk_norm,
            Weight::QueryBias(_) | Weight::KeyBias(_) | Weight::ValueBias(_) => self.qkv_bias,
            _ => true,
        }
    }

    /// The shape a weight must have; none for a layer, a head or a weight this network does not have.
    pub fn shape_of(&self, weight: Weight) -> Option<Vec<usize>> {
        if !self.has(weight) {
            return None;
        }
        let (queries, keys) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let in_range = |layer: usize, shape: Vec<usize>| (layer < self.layers).then_some(shape);
        match weight {
            Weight::Embedding => Some(vec![self.vocab, self.hidden]),
            Weight::Head => (!self.tied).then_some(vec![self.vocab, self.hidden]),
            Weight::FinalNorm => Some(vec![self.hidden]),
            Weight::RopeFactors => Some(vec![self.head_dim / 2]),
            Weight::QueryBias(layer) => in_range(layer, vec![queries]),
            Weight::KeyBias(layer) | Weight::ValueBias(layer) => in_range(layer, vec![keys]),
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
        if !(self.rope.theta > 1.0 && self.rope.theta.is_finite()) {
            return Err(unsupported("rotary base", self.rope.theta, "above 1"));
        }
        self.rope.scaling.check()?;
        Ok(self)
    }
}

fn unsupported(what: &str, came: impl std::fmt::Display, expected: &str) -> Error {
    Error::unsupported(format!("{what}: expected {expected}, got {came}"))
}

fn family(name_of: fn(&Family) -> &'static str, name: &str) -> Result<&'static Family> {
    FAMILIES.iter().find(|family| name_of(family) == name).ok_or_else(|| {
        let mut known: Vec<_> = FAMILIES.iter().map(name_of).collect();
        known.dedup();
        Error::unsupported(format!("the model's architecture is {name:?}; supported: {known:?}"))
            .hint("take a dense Qwen3 model, such as Qwen3-0.6B")
    })
}

/// The window of each layer; one that no position can leave is none.
fn windows(
    window: Option<usize>,
    max_context: usize,
    layers: usize,
    is_windowed: impl Fn(usize) -> bool,
) -> Vec<Option<usize>> {
    let window = window.filter(|window| *window < max_context);
    // Far more layers than any network has are refused later.
    let each = (0..layers.min(1024)).map(|layer| window.filter(|_| is_windowed(layer)));
    if each.clone().all(|window| window.is_none()) { Vec::new() } else { each.collect() }
}

/// `rope.scaling.*` of a GGUF.
fn gguf_scaling(metadata: &Metadata, key: &dyn Fn(&str) -> String, max_context: usize) -> Result<Scaling> {
    let number = |name: &str| metadata.find_f32(&key(name)).map(|number| number.map(f64::from));
    let factor = number("rope.scaling.factor")?.unwrap_or(1.0);
    match metadata.find_str(&key("rope.scaling.type"))?.unwrap_or("none") {
        "none" => Ok(Scaling::None),
        _ if factor == 1.0 => Ok(Scaling::None),
        "linear" => Ok(Scaling::Linear { factor }),
        "yarn" => {
            let original = metadata.find_u32(&key("rope.scaling.original_context_length"))?;
            let original_context = original.map_or(max_context as f64 / factor, f64::from);
            Ok(Scaling::Yarn { factor, original_context })
        }
        kind => Err(unsupported(&key("rope.scaling.type"), kind, "none, linear or yarn")),
    }
}

const LAYER_TYPES: [&str; 2] = ["full_attention", "sliding_attention"];

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
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
    use_sliding_window: Option<bool>,
    sliding_window: Option<usize>,
    max_window_layers: Option<usize>,
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
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
    attention_factor: Option<f64>,
    beta_fast: Option<f64>,
    beta_slow: Option<f64>,
    mscale: Option<f64>,
    mscale_all_dim: Option<f64>,
}

impl RopeJson {
    fn scaling(&self, max_context: usize) -> Result<Scaling> {
        let kind = self.rope_type.as_ref().or(self.kind.as_ref()).map_or("default", String::as_str);
        let need = |name: &str, number: Option<f64>| {
            number.ok_or_else(|| Error::malformed(format!("config.json: rope_scaling of type {kind} without {name}")))
        };
        let factor = || need("factor", self.factor);
        match kind {
            "default" => Ok(Scaling::None),
            "linear" => Ok(Scaling::Linear { factor: factor()? }),
            "llama3" => Ok(Scaling::Llama3 {
                factor: factor()?,
                low: need("low_freq_factor", self.low_freq_factor)?,
                high: need("high_freq_factor", self.high_freq_factor)?,
                original_context: need("original_max_position_embeddings", self.original_max_position_embeddings)?,
            }),
            "yarn" => {
                let usual = [(self.beta_fast, 32.0), (self.beta_slow, 1.0)];
                let unusual = usual.iter().any(|(came, usual)| came.is_some_and(|came| came != *usual))
                    || [self.attention_factor, self.mscale, self.mscale_all_dim].iter().any(Option::is_some);
                if unusual {
                    return Err(unsupported("config.json: rope_scaling", "others", "YaRN's own constants"));
                }
                let original_context = self.original_max_position_embeddings.unwrap_or(max_context as f64);
                Ok(Scaling::Yarn { factor: factor()?, original_context })
            }
            kind => Err(unsupported("config.json: rope_type", kind, "default, linear, llama3 or yarn")),
        }
    }
}

impl Scaling {
    fn check(&self) -> Result<()> {
        let sane = |factor: &f64| (1.0..=1024.0).contains(factor);
        let long = |context: &f64| (1.0..=16_777_216.0).contains(context);
        let good = match self {
            Self::None | Self::Factors(_) => true,
            Self::Linear { factor } => sane(factor),
            Self::Llama3 { factor, low, high, original_context } => {
                sane(factor) && *low > 0.0 && high > low && high.is_finite() && long(original_context)
            }
            Self::Yarn { factor, original_context } => sane(factor) && long(original_context),
        };
        if good { Ok(()) } else { Err(unsupported("rotary scaling", format!("{self:?}"), "factors of at least 1")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Qwen3-0.6B's, in the form transformers 4 wrote.
    const QWEN3_0_6B: &str = r#"{"architectures":["Qwen3ForCausalLM"],"model_type":"qwen3","attention_bias":false,
        "head_dim":128,"hidden_act":"silu","hidden_size":1024,"intermediate_size":3072,"max_position_embeddings":40960,
        "num_attention_heads":16,"num_hidden_layers":28,"num_key_value_heads":8,
        "rms_norm_eps":1e-06,"rope_scaling":null,"rope_theta":1000000,"sliding_window":null,
        "tie_word_embeddings":true,"use_sliding_window":false,"vocab_size":151936}"#;

    #[test]
    fn the_config_of_qwen3_0_6b_in_both_forms() {
        let config = Config::from_json(QWEN3_0_6B.as_bytes()).unwrap();
        assert_eq!((config.layers, config.hidden, config.heads, config.kv_heads), (28, 1024, 16, 8));
        assert_eq!((config.head_dim, config.vocab, config.rope.theta, config.tied), (128, 151_936, 1e6, true));
        let newer = QWEN3_0_6B
            .replace(r#""rope_theta":1000000,"#, r#""rope_parameters":{"rope_theta":1000000,"rope_type":"default"},"#)
            .replace(r#""rope_scaling":null,"#, "");
        assert_eq!(Config::from_json(newer.as_bytes()).unwrap(), config);
        assert_eq!(config.parameters(), 596_049_920);
    }

    #[test]
    fn what_would_change_the_network_is_refused() {
        let cases = [
            (r#""model_type":"qwen3""#, r#""model_type":"qwen3_moe""#, "qwen3_moe"),
            ("Qwen3ForCausalLM", "Qwen3ForSequenceClassification", "Qwen3ForSequenceClassification"),
            (r#""rope_scaling":null"#, r#""rope_scaling":{"rope_type":"longrope","factor":4.0}"#, "longrope"),
            (r#""rope_scaling":null"#, r#""rope_scaling":{"rope_type":"yarn"}"#, "without factor"),
            (r#""rope_scaling":null"#, r#""rope_scaling":{"rope_type":"linear","factor":0.5}"#, "at least 1"),
            (r#""rope_scaling":null"#, r#""layer_types":["linear_attention"]"#, "linear_attention"),
            (r#""attention_bias":false"#, r#""attention_bias":true"#, "attention_bias"),
            (r#""hidden_act":"silu""#, r#""hidden_act":"gelu""#, "gelu"),
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
            let error = Config::from_json(text.as_bytes()).unwrap_err();
            assert!(error.message.contains(expected), "{expected}: {error}");
        }
        assert!(Config::from_json(b"<html>").unwrap_err().hint.contains("web page"));
    }
    #[test]
    fn windows_are_where_the_file_asks_for_them() {
        let read = |from: &str, to: &str| {
            let text = QWEN3_0_6B.replace(r#""sliding_window":null"#, r#""sliding_window":4096"#).replace(from, to);
            Config::from_json(text.as_bytes()).unwrap()
        };
        assert_eq!(read("", "").windows, []);
        let used = read(r#""use_sliding_window":false"#, r#""use_sliding_window":true,"max_window_layers":20"#);
        assert_eq!((used.window(19), used.window(20)), (None, Some(4096)));
        let listed =
            read(r#""head_dim":128"#, r#""head_dim":128,"layer_types":["full_attention","sliding_attention"]"#);
        assert_eq!((listed.window(0), listed.window(1), listed.window(2)), (None, Some(4096), None));
    }

    #[test]
    fn yarn_is_off_until_asked_for() {
        let mut config = Config::from_json(QWEN3_0_6B.as_bytes()).unwrap();
        assert_eq!((config.rope.scaling.clone(), config.max_context), (Scaling::None, 40_960));
        config.stretch(4.0).unwrap();
        assert_eq!(config.max_context, 131_072);
        assert_eq!(config.rope.scaling, Scaling::Yarn { factor: 4.0, original_context: 32_768.0 });
        assert!(config.stretch(4.0).unwrap_err().message.contains("already"));
        let mut config = Config::from_json(QWEN3_0_6B.as_bytes()).unwrap();
        for factor in [f64::NAN, 1.0, -4.0, 1e9] {
            assert!(config.stretch(factor).is_err());
        }
    }
}
