//! The fuzz targets on their committed seeds, without a fuzzer: `cargo xtask fuzz` goes on from there.
#![cfg(feature = "jinja")]

#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::Path;

type Target = (&'static str, fn(&[u8]));

#[test]
fn every_seed_is_survived_whole_and_cut() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let targets: [Target; 5] = [
        ("gguf", targets::gguf),
        ("safetensors", targets::safetensors),
        ("tokenizer_json", targets::tokenizer_json),
        ("template", targets::template),
        ("reply", targets::reply),
    ];
    for (name, target) in targets {
        let seeds: Vec<_> = fs::read_dir(root.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(seeds.len() >= 3, "{name}");
        for seed in seeds {
            let bytes = fs::read(seed).unwrap();
            for end in [bytes.len(), bytes.len() / 2, bytes.len() / 3] {
                target(&bytes[..end]);
            }
        }
    }
}
