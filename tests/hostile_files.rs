//! Damaged, foreign and lying model files: each class of damage is a typed error, and a whole file is none.

#[path = "hostile/allocator.rs"]
mod allocator;
#[path = "hostile/claims.rs"]
mod claims;
#[path = "hostile/contents.rs"]
mod contents;
mod support;

use std::cell::RefCell;
use std::rc::Rc;

use qwen3_web::error::{Error, ErrorKind, Result};
use qwen3_web::formats::TensorInfo;
use qwen3_web::model::{Loaded, Loader, Pending, Runtime, Vocabulary, Weight, WeightSink};
use support::{Gguf, Value, gguf, hugging_face_tensors, safetensors};

/// What reached the sink: weight, first row, bytes.
type Received = Rc<RefCell<Vec<(Weight, usize, Vec<u8>)>>>;

struct Recorder(Received);

impl WeightSink for Recorder {
    fn rows(&mut self, weight: Weight, _: &TensorInfo, first_row: usize, bytes: &[u8]) -> Result<()> {
        self.0.borrow_mut().push((weight, first_row, bytes.to_vec()));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Pending<'static, Box<dyn Runtime>> {
        unreachable!("no test runs the model")
    }
}

fn loader() -> (Loader, Received) {
    let received = Received::default();
    let sink = received.clone();
    (Loader::gguf(Box::new(move |_| Ok(Box::new(Recorder(sink))))), received)
}

fn feed(mut loader: Loader, files: &[Vec<u8>], chunk: usize) -> Result<Loaded> {
    for (i, file) in files.iter().enumerate() {
        if i > 0 {
            loader.next_file()?;
        }
        for bytes in file.chunks(chunk) {
            loader.push(bytes)?;
        }
    }
    loader.finish()
}

fn load(files: &[Vec<u8>]) -> Result<Loaded> {
    feed(loader().0, files, 4096)
}

fn checkpoint_loader(config: &str) -> Result<(Loader, Received)> {
    let received = Received::default();
    let sink = received.clone();
    let make_sink = Box::new(move |_: &mut _| Ok(Box::new(Recorder(sink)) as Box<dyn WeightSink>));
    Ok((Loader::safetensors(config.as_bytes(), b"{}".to_vec(), make_sink)?, received))
}

fn load_checkpoint(config: &str, files: &[Vec<u8>]) -> Result<Loaded> {
    feed(checkpoint_loader(config)?.0, files, 4096)
}

#[track_caller]
fn refused(result: Result<Loaded>, kind: ErrorKind, says: &str) -> Error {
    let Err(error) = result else { panic!("the file was accepted; expected {says:?}") };
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.message.contains(says), "expected {says:?}: {error}");
    error
}

#[track_caller]
fn malformed(file: &Gguf, says: &str) -> Error {
    refused(load(&[file.bytes()]), ErrorKind::MalformedFile, says)
}

#[track_caller]
fn unsupported(file: &Gguf, says: &str) -> Error {
    refused(load(&[file.bytes()]), ErrorKind::UnsupportedModel, says)
}

#[test]
fn a_whole_gguf_reaches_the_sink_byte_for_byte_however_it_is_cut() {
    for chunk in [1, 999, 1 << 20] {
        let (loader, received) = loader();
        let loaded = feed(loader, &[gguf().bytes()], chunk).unwrap();
        assert_eq!(loaded.config.name.as_deref(), Some("random weights"));
        assert!(loaded.config.tied);
        assert_eq!((loaded.config.vocab, loaded.config.layers), (320, support::LAYERS));
        let Vocabulary::Gguf { model, pre, tokens, merges, eos, .. } = loaded.vocabulary else {
            panic!("a GGUF's own")
        };
        assert_eq!((model.as_str(), pre.as_str(), merges.as_slice()), ("gpt2", "qwen2", &["a b".to_string()][..]));
        assert_eq!(tokens[eos.unwrap() as usize], "<|im_end|>");
        let received = received.borrow();
        assert_eq!(received.len(), gguf().tensors.len());
        for ((_, first_row, bytes), tensor) in received.iter().zip(gguf().tensors) {
            assert!(*first_row == 0 && *bytes == tensor.3, "{}", tensor.0);
        }
    }
}

#[test]
fn a_whole_checkpoint_in_shards_of_any_order_loads() {
    let tensors = hugging_face_tensors();
    let (first, second) = tensors.split_at(9);
    let loaded = load_checkpoint(&support::config_json(), &[safetensors(second), safetensors(first)]).unwrap();
    assert_eq!(loaded.vocabulary, Vocabulary::TokenizerJson(b"{}".to_vec()));
}

#[test]
fn a_checkpoint_may_repeat_its_tied_head() {
    let mut tensors = hugging_face_tensors();
    let head = ("lm_head.weight".to_string(), tensors[0].1.clone(), tensors[0].2.clone());
    tensors.push(head);
    load_checkpoint(&support::config_json(), &[safetensors(&tensors)]).unwrap();
}

#[test]
fn an_untied_head_is_wanted_where_the_config_says_so() {
    let config = support::config_json().replace(r#""tie_word_embeddings":true"#, r#""tie_word_embeddings":false"#);
    let result = load_checkpoint(&config, &[safetensors(&hugging_face_tensors())]);
    refused(result, ErrorKind::MalformedFile, "\"lm_head.weight\" is missing");
}

#[test]
fn an_untied_gguf_is_known_by_its_head() {
    let bytes = gguf().tensors[0].3.clone();
    let file = gguf().with("output.weight", &[320, 64], 0, bytes);
    assert!(!load(&[file.bytes()]).unwrap().config.tied);
    // The head in the last part: the first part's metadata counts the tensors of all.
    let parts: Vec<_> = file.split(&[3, 10]).iter().map(Gguf::bytes).collect();
    assert!(!load(&parts).unwrap().config.tied);
}

#[test]
fn split_ggufs_load_in_order_and_only_complete() {
    let files: Vec<_> = gguf().split(&[0, 10]).iter().map(Gguf::bytes).collect();
    assert!(load(&files).unwrap().config.tied);
    refused(load(&files[..2]), ErrorKind::MalformedFile, "has 3 files, got 2");
    refused(load(&files[1..]), ErrorKind::MalformedFile, "expected file 1 of 3 of a split model, got file 2");
    let swapped = [files[0].clone(), files[2].clone(), files[1].clone()];
    refused(load(&swapped), ErrorKind::MalformedFile, "expected file 2 of 3 of a split model, got file 3");
    let more = [files.clone(), vec![files[2].clone()]].concat();
    refused(load(&more), ErrorKind::MalformedFile, "one more");
    let mut torn = files.clone();
    torn[1].pop();
    let error = refused(load(&torn), ErrorKind::MalformedFile, "the file ends at byte");
    assert!(error.hint.contains("download"));
    let foreign = [files[0].clone(), gguf().bytes(), files[2].clone()];
    refused(load(&foreign), ErrorKind::MalformedFile, "got file 1 of 1");
}

#[test]
fn a_second_file_after_a_whole_gguf_is_refused() {
    refused(load(&[gguf().bytes(), gguf().bytes()]), ErrorKind::MalformedFile, "has 1 files, got one more");
}

#[test]
fn a_gguf_cut_at_any_byte_is_incomplete() {
    let whole = gguf().bytes();
    let header = whole.len() - gguf().tensors.iter().map(|t| t.3.len().next_multiple_of(32)).sum::<usize>();
    // Every byte of the header, then places in the data.
    for length in (0..header + 100).chain((header..whole.len()).step_by(997)) {
        let error = refused(load(&[whole[..length].to_vec()]), ErrorKind::MalformedFile, "");
        assert!(error.hint.contains("incomplete"), "{length}: {error}");
    }
}

#[test]
fn no_changed_byte_of_a_header_panics_or_blames_the_engine() {
    let whole = gguf().bytes();
    let data = gguf().tensors.iter().map(|t| t.3.len().next_multiple_of(32)).sum::<usize>();
    for place in 0..whole.len() - data {
        for value in [whole[place] ^ 1, whole[place] ^ 0x80, 0, 0xFF] {
            let mut damaged = whole.clone();
            damaged[place] = value;
            if let Err(error) = feed(loader().0, &[damaged], 1 << 20) {
                let expected = [ErrorKind::MalformedFile, ErrorKind::UnsupportedModel];
                assert!(expected.contains(&error.kind), "byte {place}: {error}");
            }
        }
    }
}

#[test]
fn an_empty_file_is_named() {
    refused(load(&[Vec::new()]), ErrorKind::MalformedFile, "empty");
    refused(load_checkpoint(&support::config_json(), &[Vec::new()]), ErrorKind::MalformedFile, "empty");
}

#[test]
fn a_web_page_instead_of_a_model_is_named() {
    let page = b"<!DOCTYPE html><html><title>404 Not Found</title></html>".to_vec();
    for error in [
        refused(load(std::slice::from_ref(&page)), ErrorKind::MalformedFile, "expected a GGUF file"),
        refused(load_checkpoint(&support::config_json(), &[page]), ErrorKind::MalformedFile, "expected a safetensors"),
    ] {
        assert!(error.hint.contains("web page"), "{error}");
    }
}

#[test]
fn another_architecture_is_refused_by_name() {
    for name in ["llama4", "qwen2moe", "qwen3moe", "qwen3vl", "gemma3", "bert", ""] {
        let error = unsupported(&gguf().set("general.architecture", Value::Text(name.into())), name);
        assert!(error.message.contains("\"qwen3\"") && error.hint.contains("Qwen3"), "{error}");
    }
    let config = support::config_json().replace(r#""qwen3""#, r#""mixtral""#);
    refused(load_checkpoint(&config, &[]), ErrorKind::UnsupportedModel, "mixtral");
}

#[test]
fn a_missing_tokenizer_is_named_unless_one_comes_beside_the_file() {
    for key in ["model", "tokens", "merges", "token_type"] {
        let key = format!("tokenizer.ggml.{key}");
        let error = malformed(&gguf().unset(&key), &key);
        assert!(error.hint.contains("tokenizer.json"), "{error}");
        let beside = loader().0.with_tokenizer(b"{}".to_vec());
        let loaded = feed(beside, &[gguf().unset(&key).bytes()], 4096).unwrap();
        assert_eq!(loaded.vocabulary, Vocabulary::TokenizerJson(b"{}".to_vec()));
    }
}

#[test]
fn a_vocabulary_that_does_not_fit_is_refused() {
    let many = vec!["x".to_string(); 321];
    malformed(&gguf().set("tokenizer.ggml.tokens", Value::Texts(many)), "321 tokens");
    malformed(&gguf().set("tokenizer.ggml.token_type", Value::I32s(vec![1])), "1 token types");
    malformed(&gguf().set("tokenizer.ggml.tokens", Value::U32(7)), "expected an array of strings");
}

#[test]
fn each_missing_number_of_the_network_is_named() {
    for key in [
        "block_count",
        "context_length",
        "embedding_length",
        "feed_forward_length",
        "attention.head_count",
        "attention.layer_norm_rms_epsilon",
    ] {
        malformed(&gguf().unset(&format!("qwen3.{key}")), key);
    }
    malformed(&gguf().unset("general.architecture"), "general.architecture");
}

#[test]
fn numbers_outside_every_network_are_refused_before_any_memory_is_taken() {
    for (key, value) in [
        ("block_count", 0),
        ("block_count", u32::MAX),
        ("embedding_length", 0),
        ("embedding_length", u32::MAX),
        ("embedding_length", 48),
        ("attention.head_count", 0),
        ("attention.head_count_kv", 3),
        ("attention.head_count_kv", 0),
        ("context_length", 0),
        ("context_length", u32::MAX),
        ("feed_forward_length", u32::MAX),
    ] {
        let file = gguf().set(&format!("qwen3.{key}"), Value::U32(value));
        refused(load(&[file.bytes()]), ErrorKind::UnsupportedModel, "expected");
    }
    for value in [f32::NAN, 0.0, -1.0, f32::INFINITY] {
        unsupported(&gguf().set("qwen3.attention.layer_norm_rms_epsilon", Value::F32(value)), "epsilon");
        unsupported(&gguf().set("qwen3.rope.freq_base", Value::F32(value)), "rotary base");
    }
}

#[test]
fn what_would_change_the_network_is_refused() {
    unsupported(&gguf().set("qwen3.expert_count", Value::U32(8)), "expert_count");
    unsupported(&gguf().set("qwen3.attention.value_length", Value::U32(16)), "value_length");
    unsupported(&gguf().set("qwen3.rope.dimension_count", Value::U32(8)), "dimension_count");
    let scaled = gguf().set("qwen3.rope.scaling.type", Value::Text("longrope".into()));
    unsupported(&scaled.set("qwen3.rope.scaling.factor", Value::F32(4.0)), "longrope");
    for factor in [f32::NAN, 0.5, f32::INFINITY] {
        let scaled = gguf().set("qwen3.rope.scaling.type", Value::Text("linear".into()));
        unsupported(&scaled.set("qwen3.rope.scaling.factor", Value::F32(factor)), "rotary scaling");
    }
    // A window as long as the context, and a scaling by one, change nothing.
    let inert = gguf().set("qwen3.attention.sliding_window", Value::U32(512));
    let inert = inert.set("qwen3.rope.scaling.type", Value::Text("linear".into()));
    assert_eq!(load(&[inert.bytes()]).unwrap().config.windows, []);
}

#[test]
fn each_missing_tensor_is_named_before_any_weight_is_taken() {
    for (name, _) in support::shapes() {
        let (loader, received) = loader();
        let result = feed(loader, &[gguf().without(&name).bytes()], 4096);
        refused(result, ErrorKind::MalformedFile, &format!("{name:?} is missing"));
        assert!(received.borrow().is_empty(), "{name}");
    }
    let tensors = hugging_face_tensors();
    for i in 0..tensors.len() {
        let mut rest = tensors.clone();
        let (name, ..) = rest.remove(i);
        let result = load_checkpoint(&support::config_json(), &[safetensors(&rest)]);
        refused(result, ErrorKind::MalformedFile, &format!("{name:?} is missing"));
    }
}

#[test]
fn each_tensor_of_another_shape_is_named_before_any_weight_is_taken() {
    for (name, shape) in support::shapes() {
        let mut file = gguf();
        let tensor = file.tensor(&name);
        // The same bytes in other rows: a vector becomes a matrix, a matrix a vector.
        tensor.1 = if shape.len() == 1 { vec![1, shape[0]] } else { vec![shape[0] * shape[1]] };
        let (loader, received) = loader();
        let error = refused(feed(loader, &[file.bytes()], 4096), ErrorKind::MalformedFile, "got");
        assert!(error.message.contains(&format!("{shape:?}")) || name.starts_with("token_embd"), "{error}");
        assert!(received.borrow().is_empty(), "{name}");
    }
}

#[test]
fn a_transposed_matrix_is_refused() {
    let mut file = gguf();
    file.tensor("blk.1.ffn_up.weight").1 = vec![64, 96];
    malformed(&file, "\"blk.1.ffn_up.weight\": expected shape [96, 64], got [64, 96]");
}

#[test]
fn a_tensor_this_network_does_not_have_is_refused_by_name() {
    for name in ["blk.0.attn_q.bias", "blk.0.attn_output.bias", "blk.0.ffn_gate_inp.weight", "v.patch_embd.weight"] {
        unsupported(&gguf().with(name, &[8], 0, vec![0; 32]), name);
    }
    malformed(&gguf().with("rope_freqs.weight", &[8], 0, vec![0; 32]), "expected shape [16], got [8]");
    let beyond = format!("blk.{}.attn_norm.weight", support::LAYERS);
    malformed(&gguf().with(&beyond, &[64], 0, vec![0; 256]), "has 2 layers");
}

#[test]
fn a_tensor_that_comes_twice_is_refused() {
    let (name, shape, kind, bytes) = gguf().tensors[3].clone();
    malformed(&gguf().with(&name, &shape, kind, bytes.clone()), "twice");
    // The same weight under another spelling of its layer, and in two parts of a split file.
    malformed(&gguf().with(&name.replace("blk.0", "blk.00"), &shape, kind, bytes.clone()), "twice");
    let parts = gguf().with(&name, &shape, kind, bytes).split(&[10]);
    let files: Vec<_> = parts.iter().map(Gguf::bytes).collect();
    // One tensor too many also says "untied" as long as only the first part is known.
    refused(load(&files), ErrorKind::MalformedFile, "");
    let shard = safetensors(&hugging_face_tensors());
    refused(load_checkpoint(&support::config_json(), &[shard.clone(), shard]), ErrorKind::MalformedFile, "twice");
}

#[test]
fn a_type_this_engine_does_not_read_is_refused_by_name() {
    for (kind, says) in [(10, "Q2_K"), (16, "IQ2_XXS"), (39, "MXFP4"), (4_000_000, "4000000")] {
        let mut file = gguf();
        file.tensor("blk.0.attn_q.weight").2 = kind;
        let error = unsupported(&file, says);
        assert!(error.message.contains("blk.0.attn_q.weight") && error.hint.contains("Q4_K"), "{error}");
    }
}

#[test]
fn a_quantised_norm_is_refused() {
    let mut file = gguf();
    let norm = file.tensor("output_norm.weight");
    (norm.2, norm.3) = (8, vec![0; 68]);
    unsupported(&file, "for a vector, got Q8_0");
}

#[test]
fn a_tensor_past_the_end_of_the_file_is_refused() {
    let whole = gguf().bytes();
    let name = b"blk.1.ffn_down.weight";
    let place = whole.windows(name.len()).position(|window| window == name).unwrap() + name.len() + 4 + 16 + 4;
    for (offset, says) in [(1u64 << 40, "the file ends at"), (u64::MAX - 31, "impossible offset"), (7, "alignment")] {
        let mut lying = whole.clone();
        lying[place..place + 8].copy_from_slice(&offset.to_le_bytes());
        refused(load(&[lying]), ErrorKind::MalformedFile, says);
    }
    let mut overlapping = whole;
    overlapping[place..place + 8].copy_from_slice(&32u64.to_le_bytes());
    refused(load(&[overlapping]), ErrorKind::MalformedFile, "overlap");
}

#[test]
fn a_config_that_is_none_is_refused() {
    let error = refused(load_checkpoint("<html>", &[]), ErrorKind::MalformedFile, "not JSON");
    assert!(error.hint.contains("web page"));
    refused(load_checkpoint("{}", &[]), ErrorKind::MalformedFile, "model_type");
    refused(load_checkpoint(r#"{"model_type":"qwen3"}"#, &[]), ErrorKind::MalformedFile, "hidden_size");
    refused(load_checkpoint("[1]", &[]), ErrorKind::MalformedFile, "model_type");
}

#[test]
fn a_checkpoint_of_integers_is_refused_by_type() {
    let mut damaged = safetensors(&hugging_face_tensors());
    let place = damaged.windows(5).position(|window| window == b"\"F32\"").expect("a type");
    damaged[place + 1..place + 4].copy_from_slice(b"I8 ");
    refused(load_checkpoint(&support::config_json(), &[damaged]), ErrorKind::UnsupportedModel, "I8");
}

#[test]
fn a_safetensors_cut_at_any_byte_is_incomplete() {
    let whole = safetensors(&hugging_face_tensors());
    for length in (0..4000).chain((4000..whole.len()).step_by(997)) {
        let result = load_checkpoint(&support::config_json(), &[whole[..length].to_vec()]);
        let error = refused(result, ErrorKind::MalformedFile, "");
        assert!(error.hint.contains("incomplete"), "{length}: {error}");
    }
}

#[test]
fn a_sink_that_fails_stops_the_load_with_its_own_error() {
    struct Full;
    impl WeightSink for Full {
        fn rows(&mut self, _: Weight, _: &TensorInfo, _: usize, _: &[u8]) -> Result<()> {
            Err(Error::new(ErrorKind::OutOfMemory, "no room"))
        }
        fn finish(self: Box<Self>) -> Pending<'static, Box<dyn Runtime>> {
            unreachable!("it never gets that far")
        }
    }
    let loader = Loader::gguf(Box::new(|_| Ok(Box::new(Full))));
    refused(feed(loader, &[gguf().bytes()], 4096), ErrorKind::OutOfMemory, "no room");
}
