//! The built-in catalogue: names that stand for pinned files. JavaScript reads the same JSON.

use serde::Deserialize;

use crate::error::{Error, Result};

/// One model under one quantisation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// `"qwen3-0.6b"`; with `":"` and the quantisation in lower case it means exactly this entry.
    pub name: String,
    /// The type most weights have, by llama.cpp's name for the mixture.
    pub quantization: String,
    /// For people.
    pub title: String,
    /// For people.
    pub description: String,
    /// What to know before its answers are taken seriously.
    pub note: Option<String>,
    /// Weights of the network.
    pub parameters: Option<u64>,
    /// Where its hashes come from, if not from the publisher.
    pub hashes: Option<String>,
    /// The file ships with the package.
    #[serde(default)]
    pub embedded: bool,
    /// One, or the parts of a split model in order.
    pub files: Vec<RemoteFile>,
}

/// A file and what it must be; without a hash, the first download is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemoteFile {
    /// Mirrors, tried in order.
    pub urls: Vec<String>,
    /// Its length.
    pub size_bytes: Option<u64>,
    /// Its SHA-256 in lower-case hexadecimal digits.
    pub sha256: Option<String>,
}

/// All entries; of those with the same name the first is the default.
pub fn entries() -> Result<Vec<Entry>> {
    #[derive(Deserialize)]
    struct Catalogue {
        models: Vec<Entry>,
    }
    serde_json::from_str::<Catalogue>(include_str!("catalogue.json"))
        .map(|catalogue| catalogue.models)
        .map_err(|error| Error::internal(format!("the built-in catalogue is broken: {error}")))
}

/// The entry of `name` or `name:quantization`.
pub fn find(name: &str) -> Result<Option<Entry>> {
    let name = name.to_lowercase();
    let means =
        |entry: &Entry| entry.name == name || format!("{}:{}", entry.name, entry.quantization.to_lowercase()) == name;
    Ok(entries()?.into_iter().find(means))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_api_means_one_entry() {
        for (name, quantization) in
            [("qwen3-0.6b", "Q4_K_M"), ("qwen3-0.6b:q8_0", "Q8_0"), ("QWEN3-0.6B:Q4_K_M", "Q4_K_M")]
        {
            assert_eq!(find(name).unwrap().unwrap().quantization, quantization, "{name}");
        }
        for name in ["qwen3-tiny-math", "qwen3-1.7b", "qwen3-4b"] {
            assert!(find(name).unwrap().is_some(), "{name}");
        }
        assert_eq!(find("qwen4").unwrap(), None);
    }

    #[test]
    fn every_remote_file_is_pinned_to_a_revision_a_size_and_a_hash() {
        for entry in entries().unwrap().iter().filter(|entry| !entry.embedded) {
            for file in &entry.files {
                assert!(file.size_bytes.is_some(), "{}", entry.name);
                let hash = file.sha256.as_deref().unwrap_or_default();
                assert!(hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{hash}");
                for url in &file.urls {
                    let revision =
                        url.split("/resolve/").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
                    assert!(url.starts_with("https://") && revision.len() == 40, "{url}");
                }
            }
        }
    }
}
