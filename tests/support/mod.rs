//! A small Qwen3 as files, with every part open to damage.
#![allow(dead_code, reason = "each test file uses its part")]

/// A metadata value.
#[derive(Clone)]
pub enum Value {
    U16(u16),
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    I32s(Vec<i32>),
}

/// A tensor: name, shape (outermost first), GGML's number of its type, bytes.
pub type Tensor = (String, Vec<usize>, u32, Vec<u8>);

/// A GGUF to be.
#[derive(Clone)]
pub struct Gguf {
    pub metadata: Vec<(String, Value)>,
    pub tensors: Vec<Tensor>,
}

pub const LAYERS: usize = 2;
const HIDDEN: usize = 64;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = 32;
const INTERMEDIATE: usize = 96;
const VOCABULARY: usize = 320;

/// Names and shapes of the network's tensors, in GGUF's names.
pub fn shapes() -> Vec<(String, Vec<usize>)> {
    let mut all = vec![("token_embd".to_string(), vec![VOCABULARY, HIDDEN]), ("output_norm".to_string(), vec![HIDDEN])];
    for layer in 0..LAYERS {
        for (role, shape) in [
            ("attn_norm", vec![HIDDEN]),
            ("attn_q", vec![HEADS * HEAD_DIM, HIDDEN]),
            ("attn_k", vec![KV_HEADS * HEAD_DIM, HIDDEN]),
            ("attn_v", vec![KV_HEADS * HEAD_DIM, HIDDEN]),
            ("attn_q_norm", vec![HEAD_DIM]),
            ("attn_k_norm", vec![HEAD_DIM]),
            ("attn_output", vec![HIDDEN, HEADS * HEAD_DIM]),
            ("ffn_norm", vec![HIDDEN]),
            ("ffn_gate", vec![INTERMEDIATE, HIDDEN]),
            ("ffn_up", vec![INTERMEDIATE, HIDDEN]),
            ("ffn_down", vec![HIDDEN, INTERMEDIATE]),
        ] {
            all.push((format!("blk.{layer}.{role}"), shape));
        }
    }
    all.into_iter().map(|(name, shape)| (format!("{name}.weight"), shape)).collect()
}

/// Small numbers that differ, as F32.
fn values(seed: usize, shape: &[usize]) -> Vec<u8> {
    let value = |i: usize| ((i * 7919 + seed * 104_729) % 2001) as f32 / 10_000.0 - 0.1;
    let one = if shape.len() == 1 { 1.0 } else { 0.0 };
    (0..shape.iter().product()).flat_map(|i| (one + value(i)).to_le_bytes()).collect()
}

/// The printable stand-ins of GPT-2's byte-level BPE for all 256 bytes.
fn byte_tokens() -> Vec<String> {
    let printable = |b: u32| (33..127).contains(&b) || (161..173).contains(&b) || (174..256).contains(&b);
    let mut next = 256;
    (0..256)
        .map(|byte| {
            let code = if printable(byte) {
                byte
            } else {
                next += 1;
                next - 1
            };
            char::from_u32(code).map(String::from).expect("a character")
        })
        .collect()
}

/// A valid file with arbitrary weights.
pub fn gguf() -> Gguf {
    let mut tokens = byte_tokens();
    tokens.push("ab".into());
    let text = tokens.len();
    for control in ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_call>", "</tool_call>"]
    {
        tokens.push(control.into());
    }
    let types = (0..tokens.len()).map(|id| if id < text { 1 } else { 3 }).collect();
    let end = text as u32 + 2;
    let number = |key: &str, value: usize| (format!("qwen3.{key}"), Value::U32(value as u32));
    Gguf {
        metadata: vec![
            ("general.architecture".into(), Value::Text("qwen3".into())),
            ("general.name".into(), Value::Text("random weights".into())),
            number("block_count", LAYERS),
            number("context_length", 512),
            number("embedding_length", HIDDEN),
            number("feed_forward_length", INTERMEDIATE),
            number("attention.head_count", HEADS),
            number("attention.head_count_kv", KV_HEADS),
            number("attention.key_length", HEAD_DIM),
            number("attention.value_length", HEAD_DIM),
            ("qwen3.attention.layer_norm_rms_epsilon".into(), Value::F32(1e-6)),
            ("qwen3.rope.freq_base".into(), Value::F32(1e6)),
            ("tokenizer.ggml.model".into(), Value::Text("gpt2".into())),
            ("tokenizer.ggml.pre".into(), Value::Text("qwen2".into())),
            ("tokenizer.ggml.tokens".into(), Value::Texts(tokens)),
            ("tokenizer.ggml.token_type".into(), Value::I32s(types)),
            ("tokenizer.ggml.merges".into(), Value::Texts(vec!["a b".into()])),
            ("tokenizer.ggml.eos_token_id".into(), Value::U32(end)),
        ],
        tensors: shapes()
            .into_iter()
            .enumerate()
            .map(|(seed, (name, shape))| {
                let bytes = values(seed, &shape);
                (name, shape, 0, bytes)
            })
            .collect(),
    }
}

impl Gguf {
    /// Replaces or adds a metadata value.
    pub fn set(mut self, key: &str, value: Value) -> Self {
        self.metadata.retain(|(name, _)| name != key);
        self.metadata.push((key.into(), value));
        self
    }

    /// Without a metadata value.
    pub fn unset(mut self, key: &str) -> Self {
        let before = self.metadata.len();
        self.metadata.retain(|(name, _)| name != key);
        assert!(self.metadata.len() < before, "{key} is not in the file");
        self
    }

    /// Without a tensor.
    pub fn without(mut self, tensor: &str) -> Self {
        let before = self.tensors.len();
        self.tensors.retain(|(name, ..)| name != tensor);
        assert!(self.tensors.len() < before, "{tensor} is not in the file");
        self
    }

    /// With one more tensor.
    pub fn with(mut self, name: &str, shape: &[usize], kind: u32, bytes: Vec<u8>) -> Self {
        self.tensors.push((name.into(), shape.into(), kind, bytes));
        self
    }

    /// The tensor of this name, to be damaged.
    pub fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|tensor| tensor.0 == name).expect("the tensor")
    }

    /// The same model as `parts.len() + 1` files that hold so many tensors each, the last one the rest.
    pub fn split(&self, parts: &[usize]) -> Vec<Gguf> {
        let (mut rest, count) = (self.tensors.clone(), parts.len() + 1);
        let mut files = Vec::new();
        for part in 0..count {
            let here = parts.get(part).map_or(rest.len(), |n| *n);
            let metadata = if part == 0 { self.metadata.clone() } else { Vec::new() };
            let file = Gguf { metadata, tensors: rest.drain(..here).collect() }
                .set("split.no", Value::U16(part as u16))
                .set("split.count", Value::U16(count as u16))
                .set("split.tensors.count", Value::U32(self.tensors.len() as u32));
            files.push(file);
        }
        files
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> Vec<u8> {
        fn text(out: &mut Vec<u8>, text: &str) {
            out.extend((text.len() as u64).to_le_bytes());
            out.extend(text.as_bytes());
        }
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        let array = |out: &mut Vec<u8>, kind: u32, count: usize| {
            out.extend(9u32.to_le_bytes());
            out.extend(kind.to_le_bytes());
            out.extend((count as u64).to_le_bytes());
        };
        for (key, value) in &self.metadata {
            text(&mut out, key);
            match value {
                Value::U16(number) => {
                    out.extend(2u32.to_le_bytes());
                    out.extend(number.to_le_bytes());
                }
                Value::U32(number) => {
                    out.extend(4u32.to_le_bytes());
                    out.extend(number.to_le_bytes());
                }
                Value::F32(number) => {
                    out.extend(6u32.to_le_bytes());
                    out.extend(number.to_le_bytes());
                }
                Value::Bool(truth) => {
                    out.extend(7u32.to_le_bytes());
                    out.push(u8::from(*truth));
                }
                Value::Text(string) => {
                    out.extend(8u32.to_le_bytes());
                    text(&mut out, string);
                }
                Value::Texts(strings) => {
                    array(&mut out, 8, strings.len());
                    strings.iter().for_each(|string| text(&mut out, string));
                }
                Value::I32s(numbers) => {
                    array(&mut out, 5, numbers.len());
                    numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
                }
            }
        }
        let mut offset = 0;
        for (name, shape, kind, bytes) in &self.tensors {
            text(&mut out, name);
            out.extend((shape.len() as u32).to_le_bytes());
            shape.iter().rev().for_each(|extent| out.extend((*extent as u64).to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend((offset as u64).to_le_bytes());
            offset += bytes.len().next_multiple_of(32);
        }
        for (.., bytes) in &self.tensors {
            out.resize(out.len().next_multiple_of(32), 0);
            out.extend(bytes);
        }
        out
    }
}

/// A `config.json` of the same network.
pub fn config_json() -> String {
    format!(
        r#"{{"architectures":["Qwen3ForCausalLM"],"model_type":"qwen3","attention_bias":false,"head_dim":{HEAD_DIM},
        "hidden_act":"silu","hidden_size":{HIDDEN},"intermediate_size":{INTERMEDIATE},"max_position_embeddings":512,
        "num_attention_heads":{HEADS},"num_hidden_layers":{LAYERS},"num_key_value_heads":{KV_HEADS},
        "rms_norm_eps":1e-06,"rope_theta":1000000,"tie_word_embeddings":true,"vocab_size":{VOCABULARY}}}"#
    )
}

/// The same tensors under the names of Hugging Face, as F32.
pub fn hugging_face_tensors() -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let rename = |name: String| {
        let name = name.replace("token_embd", "model.embed_tokens").replace("output_norm", "model.norm");
        let name = name.replace("blk.", "model.layers.").replace("attn_norm", "input_layernorm");
        let name = name.replace("attn_output", "self_attn.o_proj").replace("ffn_norm", "post_attention_layernorm");
        let name = name.replace("attn_q_norm", "self_attn.q_norm").replace("attn_k_norm", "self_attn.k_norm");
        let name = name.replace("attn_q.", "self_attn.q_proj.").replace("attn_k.", "self_attn.k_proj.");
        let name = name.replace("attn_v.", "self_attn.v_proj.").replace("ffn_gate", "mlp.gate_proj");
        name.replace("ffn_up", "mlp.up_proj").replace("ffn_down", "mlp.down_proj")
    };
    gguf().tensors.into_iter().map(|(name, shape, _, bytes)| (rename(name), shape, bytes)).collect()
}

/// A `.safetensors` file of F32 tensors.
pub fn safetensors(tensors: &[(String, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let mut end = 0;
    let entries: Vec<String> = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            let begin = end;
            end += bytes.len();
            format!(r#""{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#)
        })
        .collect();
    let header = format!("{{{}}}", entries.join(","));
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    tensors.iter().for_each(|(.., bytes)| out.extend(bytes));
    out
}

/// A `tokenizer.json` of the vocabulary in [`gguf`].
pub fn tokenizer_json() -> String {
    let file = gguf();
    let find = |key: &str| file.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let (Some(Value::Texts(tokens)), Some(Value::I32s(types))) =
        (&find("tokenizer.ggml.tokens"), &find("tokenizer.ggml.token_type"))
    else {
        panic!("the vocabulary");
    };
    let of_type = |kind: i32| tokens.iter().enumerate().filter(move |(id, _)| types[*id] == kind).collect::<Vec<_>>();
    let plain: serde_json::Map<_, _> =
        of_type(1).into_iter().map(|(id, token)| (token.clone(), serde_json::json!(id))).collect();
    let added: Vec<_> = of_type(3)
        .into_iter()
        .map(|(id, token)| {
            serde_json::json!({ "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
        })
        .collect();
    let level = serde_json::json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false });
    serde_json::json!({ "added_tokens": added, "pre_tokenizer": level, "decoder": level,
        "model": { "type": "BPE", "vocab": plain, "merges": ["a b"] } })
    .to_string()
}
