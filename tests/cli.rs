//! The native binary, run as a user runs it, on small real files.

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;
use support::Gguf;

fn qwen3(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_qwen3")).args(arguments).output().expect("the binary runs")
}

#[track_caller]
fn succeeds(arguments: &[&str]) -> String {
    let output = qwen3(arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    String::from_utf8(output.stdout).expect("text")
}

#[track_caller]
fn fails(arguments: &[&str], status: i32) -> String {
    let output = qwen3(arguments);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).expect("text")
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("the file is written");
    path
}

/// The same network as a GGUF, as a split GGUF (its second part) and as a folder of two shards.
fn models(folder: &Path) -> [PathBuf; 3] {
    let whole = write(folder, "model.gguf", &support::gguf().bytes());
    for (i, part) in support::gguf().split(&[0, 9]).iter().enumerate() {
        write(folder, &format!("part-{:05}-of-00003.gguf", i + 1), &part.bytes());
    }
    let tensors = support::hugging_face_tensors();
    let (first, second) = tensors.split_at(12);
    let checkpoint = folder.join("checkpoint");
    std::fs::create_dir(&checkpoint).expect("the folder is made");
    write(&checkpoint, "config.json", support::config_json().as_bytes());
    write(&checkpoint, "tokenizer.json", support::tokenizer_json().as_bytes());
    write(&checkpoint, "a.safetensors", &support::safetensors(first));
    write(&checkpoint, "b.safetensors", &support::safetensors(second));
    let entries: Vec<String> = tensors
        .iter()
        .enumerate()
        .map(|(i, (name, ..))| format!(r#""{name}":"{}.safetensors""#, if i < 12 { "a" } else { "b" }))
        .collect();
    let index = format!(r#"{{"weight_map":{{{}}}}}"#, entries.join(","));
    write(&checkpoint, "model.safetensors.index.json", index.as_bytes());
    [whole, folder.join("part-00002-of-00003.gguf"), checkpoint]
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

#[test]
fn inspect_says_the_same_of_a_model_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    for (path, files) in models(folder.path()).iter().zip([1, 3, 2]) {
        let json: Json = serde_json::from_str(&succeeds(&["inspect", text(path), "--json"])).unwrap();
        assert_eq!(json["files"].as_array().unwrap().len(), files);
        assert_eq!(json["architecture"], "qwen3");
        assert_eq!(json["layers"], support::LAYERS);
        assert_eq!(json["vocabularySize"], 320);
        assert_eq!(json["tiedHead"], true);
        assert_eq!(json["tensors"].as_array().unwrap().len(), support::shapes().len());
        let elements: usize = support::shapes().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        assert_eq!(json["parameters"], elements);
        assert_eq!(json["types"]["F32"]["bytes"], elements * 4);
        let table = succeeds(&["inspect", text(path)]);
        assert!(table.contains("qwen3") && table.contains("ffn_down") | table.contains("down_proj"), "{table}");
    }
}

#[test]
fn a_folder_s_template_is_found_in_either_of_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let [.., checkpoint] = models(folder.path());
    let template = || {
        let json: Json = serde_json::from_str(&succeeds(&["inspect", text(&checkpoint), "--json"])).unwrap();
        json["chatTemplate"].clone()
    };
    assert_eq!(template(), false);
    let config = write(&checkpoint, "tokenizer_config.json", br#"{"chat_template":"{{ messages[0].content }}"}"#);
    assert_eq!(template(), true);
    std::fs::remove_file(&config).unwrap();
    write(&checkpoint, "chat_template.jinja", b"{{ messages[0].content }}");
    assert_eq!(template(), true);
    write(&checkpoint, "tokenizer_config.json", b"<html>");
    assert!(fails(&["inspect", text(&checkpoint)], 1).contains("tokenizer_config.json is not JSON"));
}

#[test]
fn an_index_that_leads_out_of_its_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [.., checkpoint] = models(folder.path());
    for name in ["../a.safetensors", "/etc/passwd", "b/a.safetensors", "..", ""] {
        let index = format!(r#"{{"weight_map":{{"model.norm.weight":"{name}"}}}}"#);
        write(&checkpoint, "model.safetensors.index.json", index.as_bytes());
        let complaint = fails(&["inspect", text(&checkpoint)], 1);
        assert!(complaint.contains("malformed-file") && complaint.contains("no file of its folder"), "{complaint}");
    }
}

#[test]
fn failures_say_what_came_and_what_to_do_and_exit_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let page = write(folder.path(), "page.gguf", b"<!DOCTYPE html>");
    let complaint = fails(&["inspect", text(&page)], 1);
    assert!(complaint.contains("malformed-file") && complaint.contains("hint: this is a web page"), "{complaint}");
    let complaint = fails(&["inspect", "qwen3-0.6b"], 1);
    assert!(complaint.contains("hint: download it first: https://"), "{complaint}");
    let complaint = fails(&["inspect", text(folder.path())], 1);
    assert!(complaint.contains("no .safetensors file"), "{complaint}");
    let mut parts: Vec<Gguf> = support::gguf().split(&[9]);
    write(folder.path(), "torn-00001-of-00002.gguf", &parts.remove(0).bytes());
    let complaint = fails(&["inspect", text(&folder.path().join("torn-00001-of-00002.gguf"))], 1);
    assert!(complaint.contains("torn-00002-of-00002.gguf"), "{complaint}");
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [&["inspect"][..], &["chat"], &["dance"], &["bench", "--model", "x", "--decode-tokens", "0"]] {
        assert!(fails(arguments, 2).contains("Usage") | fails(arguments, 2).contains("error:"));
    }
}

#[test]
fn logits_are_the_same_from_every_form_of_a_model_and_on_both_devices() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for (form, path) in models(folder.path()).iter().enumerate() {
        let devices = ["cpu", "gpu", "gpu --kernels hardware --unchecked", "gpu --kernels hardware"];
        // Kernels do not know where the weights come from.
        for device in &devices[..if form == 0 { 4 } else { 2 }] {
            let device: Vec<_> = device.split(' ').collect();
            let out = folder.path().join("logits");
            let out = text(&out);
            let arguments = ["logits", "--model", text(path), "--tokens", "1,2,3,262,97", "--out", out, "--device"];
            succeeds(&[&arguments[..], &device].concat());
            let bytes = std::fs::read(out).unwrap();
            let logits: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
            assert_eq!(logits.len(), 320);
            all.push(logits);
        }
    }
    let length = |values: &[f32]| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    for logits in &all {
        let difference: Vec<f32> = logits.iter().zip(&all[0]).map(|(a, b)| a - b).collect();
        let error = length(&difference) / length(&all[0]);
        // The devices sum in different orders, and the CPU holds activations in 16 bits.
        assert!(error < 1e-4, "relative error {error}");
    }
    let complaint = fails(
        &[
            "logits",
            "--model",
            text(&folder.path().join("model.gguf")),
            "--device",
            "gpu",
            "--tokens",
            "320",
            "--out",
            "/dev/null",
        ],
        1,
    );
    assert!(complaint.contains("320"), "{complaint}");
}

#[test]
fn logits_after_each_token_are_those_after_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let [model, ..] = models(folder.path());
    let logits = |tokens: &str, each: &[&str]| {
        let out = folder.path().join("logits");
        let arguments = ["logits", "--model", text(&model), "--device", "cpu", "--tokens", tokens, "--out", text(&out)];
        succeeds(&[&arguments[..], each].concat());
        std::fs::read(out).unwrap()
    };
    let all = logits("1,2,3,262", &["--each"]);
    let one_by_one: Vec<u8> =
        ["1", "1,2", "1,2,3", "1,2,3,262"].iter().flat_map(|tokens| logits(tokens, &[])).collect();
    let floats = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    assert_eq!(all.len(), 4 * 4 * 320);
    for (a, b) in floats(&all).iter().zip(floats(&one_by_one)) {
        assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{a} {b}");
    }
}

#[test]
fn tokenize_writes_the_ids_of_each_line() {
    let folder = tempfile::tempdir().unwrap();
    for path in models(folder.path()) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_qwen3"))
            .args(["tokenize", "--model", text(&path)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        child.stdin.take().unwrap().write_all(b"\"ab!\"\n\"\\n<think>\"\n\"\"\n").unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        // 256 is the pair of the fixture's only merge; what spells a control token is bytes.
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "[256,33]\n[10,60,116,104,105,110,107,62]\n[]\n");
    }
}

#[test]
fn chat_prints_events_as_json_lines_that_end_in_done() {
    let folder = tempfile::tempdir().unwrap();
    for (path, device) in models(folder.path()).iter().zip(["cpu", "gpu", "cpu"]) {
        let arguments = ["chat", "--model", text(path), "--device", device, "--prompt", "ab?", "--max-tokens", "12"];
        let events = succeeds(&[&arguments[..], &["--seed", "7", "--no-thinking", "--json"]].concat());
        let events: Vec<Json> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let done = events.last().unwrap();
        assert_eq!(done["type"], "done");
        let content: String =
            events.iter().filter(|e| e["type"] == "content").filter_map(|e| e["text"].as_str()).collect();
        assert_eq!(done["result"]["content"], content);
        assert_eq!(done["result"]["seed"], 7);
        assert!(done["result"]["usage"]["completionTokens"].as_u64().unwrap() <= 12);
    }
}

/// What `qwen3 bench` measured, a line each.
fn bench(model: &Path, device: &str, options: &[&str]) -> Vec<Json> {
    let arguments = ["bench", "--model", text(model), "--device", device, "--decode-tokens", "9", "--json"];
    let lines = succeeds(&[&arguments[..], options].concat());
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_gpu_tells_how_long_it_has_worked_if_it_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let [model, ..] = models(folder.path());
    let reply = |device: &str, asked: &[&str]| -> Json {
        let arguments = ["chat", "--model", text(&model), "--device", device, "--prompt", "ab?", "--max-tokens", "12"];
        let events = succeeds(&[&arguments[..], &["--seed", "7", "--json"], asked].concat());
        serde_json::from_str::<Json>(events.lines().last().unwrap()).unwrap()["result"].take()
    };
    let asked = ["--gpu-timestamps"];
    let (untimed, timed, on_cpu) = (reply("gpu", &[]), reply("gpu", &asked), reply("cpu", &asked));
    assert!(untimed["timings"]["gpu"].is_null() && on_cpu["timings"]["gpu"].is_null());
    for said in ["thinking", "content", "usage"] {
        assert_eq!(timed[said], untimed[said]);
    }
    let of = |name: &str| timed["timings"]["gpu"][name].as_f64().unwrap();
    assert!(of("prefillMs") > 0.0 && of("decodeMs") > 0.0, "{timed}");
    let drawn = timed["usage"]["completionTokens"].as_f64().unwrap();
    assert!((of("decodeMsPerToken") * drawn - of("decodeMs")).abs() < 1e-9 * of("decodeMs"), "{timed}");
}

#[test]
fn bench_gives_positive_speeds_of_every_length_and_number_of_sequences() {
    let folder = tempfile::tempdir().unwrap();
    let [model, ..] = models(folder.path());
    let weights = std::fs::metadata(&model).unwrap().len();
    let unchecked = ["--kernels", "hardware", "--unchecked"];
    for (device, reported, more) in [("cpu", "cpu", &[][..]), ("gpu", "webgpu", &[]), ("gpu", "webgpu", &unchecked)] {
        let lines = bench(&model, device, &[&["--prompt-tokens", "20,40", "--sequences", "1,3"], more].concat());
        let cases: Vec<_> = lines.iter().map(|line| (&line["promptTokens"], &line["sequences"])).collect();
        assert_eq!(cases, [(&20.into(), &1.into()), (&40.into(), &1.into()), (&20.into(), &3.into())]);
        for line in &lines {
            assert_eq!((&line["device"], &line["decodeTokens"]), (&reported.into(), &9.into()));
            for figure in ["prefillTokensPerSecond", "decodeTokensPerSecond", "bandwidthPercent", "copyBytesPerSecond"]
            {
                assert!(line[figure].as_f64().unwrap() > 0.0, "{figure}: {line}");
            }
            assert_eq!(
                (&line["unchecked"], line["kernels"].is_string()),
                (&(!more.is_empty()).into(), device == "gpu")
            );
            let launches = line["dispatchesPerToken"].as_u64().unwrap() as usize;
            assert!(if device == "gpu" { launches >= 5 * support::LAYERS } else { launches == 0 }, "{line}");
            assert_eq!(line["emptyDispatchesMs"].as_f64().unwrap() > 0.0, device == "gpu", "{line}");
        }
        let read: Vec<_> = lines.iter().map(|line| line["bytesPerStep"].as_u64().unwrap()).collect();
        assert!(read[0] < read[1] && read[1] < read[2] && read[2] < 2 * weights, "{read:?} of {weights}");
    }
}

#[test]
fn bench_leaves_out_what_takes_too_long_or_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let [model, ..] = models(folder.path());
    let late = bench(&model, "cpu", &["--prompt-tokens", "20,40", "--limit", "0"]);
    assert!(late[0]["leftOut"].is_null() && late[1]["leftOut"].as_str().unwrap().contains("would take"), "{late:?}");
    let crowded = bench(&model, "gpu", &["--prompt-tokens", "20", "--sequences", "99,1"]);
    assert!(crowded[0]["leftOut"].as_str().unwrap().contains("16"), "{crowded:?}");
    assert!(crowded[1]["decodeTokensPerSecond"].as_f64().unwrap() > 0.0, "what there was no room for is given back");
}
