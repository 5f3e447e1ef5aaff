//! Added tokens: their ids, and where a text spells one.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::pattern::is_word;

/// A token beside those of the model, as `tokenizer.json` describes it.
#[derive(Deserialize)]
pub(super) struct AddedToken {
    pub(super) id: u32,
    pub(super) content: String,
    /// Not within a word.
    pub(super) single_word: bool,
    /// With the spaces before it, and those after it.
    pub(super) lstrip: bool,
    pub(super) rstrip: bool,
    /// It is looked for in the normalised text.
    pub(super) normalized: bool,
}

impl AddedToken {
    /// One that stands wherever it is spelt.
    pub(super) fn new(id: u32, content: String) -> Self {
        Self { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false }
    }
}

#[derive(Default)]
pub(super) struct AddedTokens {
    ids: BTreeMap<String, u32>,
    plain: Finder,
    normalized: Finder,
}

/// A stretch of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Token(u32),
    Text(&'t str),
}

/// Tokens by their first byte, the longest first.
#[derive(Default)]
pub(super) struct Finder(HashMap<u8, Vec<AddedToken>>);

impl AddedTokens {
    /// Of tokens of the same content the last counts.
    pub(super) fn new(tokens: Vec<AddedToken>, normalize: impl Fn(&str) -> String) -> Self {
        let tokens: BTreeMap<String, AddedToken> = tokens
            .into_iter()
            .filter(|token| !token.content.is_empty())
            .map(|token| (token.content.clone(), token))
            .collect();
        let mut added = Self::default();
        for (content, mut token) in tokens {
            added.ids.insert(content, token.id);
            if token.normalized {
                token.content = normalize(&token.content);
                added.normalized.add(token);
            } else {
                added.plain.add(token);
            }
        }
        added
    }

    pub(super) fn ids(&self) -> &BTreeMap<String, u32> {
        &self.ids
    }

    /// In a text as it is.
    pub(super) fn plain(&self) -> &Finder {
        &self.plain
    }

    /// In a text that has been normalised.
    pub(super) fn normalized(&self) -> &Finder {
        &self.normalized
    }
}

impl Finder {
    fn add(&mut self, token: AddedToken) {
        if let Some(&first) = token.content.as_bytes().first() {
            let tokens = self.0.entry(first).or_default();
            let place = tokens.partition_point(|other| other.content.len() >= token.content.len());
            tokens.insert(place, token);
        }
    }

    /// The text and the tokens in it: from left to right, and of those that begin together the longest.
    pub(super) fn split<'t>(&self, text: &'t str) -> Vec<Part<'t>> {
        let mut parts = Vec::new();
        let (mut begin, mut at) = (0, 0);
        while at < text.len() {
            let starting = self.0.get(&text.as_bytes()[at]);
            let spelt = |token: &&AddedToken| text.as_bytes()[at..].starts_with(token.content.as_bytes());
            let Some(token) = starting.and_then(|tokens| tokens.iter().find(spelt)) else {
                at += 1;
                continue;
            };
            let (before, after) = (&text[begin..at], &text[at + token.content.len()..]);
            at += token.content.len();
            if token.single_word && (before.ends_with(is_word) || after.starts_with(is_word)) {
                continue;
            }
            let before = if token.lstrip { before.trim_end() } else { before };
            if !before.is_empty() {
                parts.push(Part::Text(before));
            }
            parts.push(Part::Token(token.id));
            if token.rstrip {
                at = text.len() - after.trim_start().len();
            }
            begin = at;
        }
        if begin < text.len() {
            parts.push(Part::Text(&text[begin..]));
        }
        parts
    }
}
