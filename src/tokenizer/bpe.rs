//! Byte-pair encoding: a word's characters become tokens, and neighbours merge in the order in which training merged them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::error::{Error, Result};

/// How a model treats words, characters and bytes that are no tokens, or are.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// A word that is a token is taken without merges.
    pub(super) ignore_merges: bool,
    /// The token of what has none.
    pub(super) unknown: Option<String>,
    /// Neighbours of those become one.
    pub(super) fuse_unknown: bool,
    /// A character without a token becomes those of its bytes, `<0x0A>`.
    pub(super) byte_fallback: bool,
}

pub(super) struct Bpe {
    ids: HashMap<String, u32>,
    /// The rank of two tokens' merge, and what they become.
    merges: HashMap<(u32, u32), (u32, u32)>,
    rules: Rules,
    unknown: Option<u32>,
}

/// A token of a word, which knows its neighbours; none of two merged is itself any more.
#[derive(Clone, Copy)]
struct Symbol {
    id: u32,
    before: Option<usize>,
    after: Option<usize>,
    gone: bool,
}

impl Bpe {
    /// `malformed-file` if a merge is not one of tokens.
    pub(super) fn new(ids: HashMap<String, u32>, merges: &[(String, String)], rules: Rules) -> Result<Self> {
        let id = |token: &str| {
            let id = ids.get(token).copied();
            id.ok_or_else(|| Error::malformed(format!("a merge makes or takes {token:?}, which is no token")))
        };
        let merges = (0..)
            .zip(merges)
            .map(|(rank, (left, right))| Ok(((id(left)?, id(right)?), (rank, id(&format!("{left}{right}"))?))));
        let merges = merges.collect::<Result<_>>()?;
        let unknown = rules.unknown.as_ref().and_then(|token| ids.get(token).copied());
        Ok(Self { ids, merges, rules, unknown })
    }

    /// Adds a word's ids.
    pub(super) fn encode(&self, word: &str, ids: &mut Vec<u32>) {
        match self.ids.get(word) {
            Some(&id) if self.rules.ignore_merges => ids.push(id),
            _ => self.merge(self.characters(word), ids),
        }
    }

    /// The tokens of single characters.
    fn characters(&self, word: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(word.len());
        let mut after_unknown = false;
        let mut buffer = [0; 4];
        for character in word.chars() {
            let character: &str = character.encode_utf8(&mut buffer);
            let before = ids.len();
            match self.ids.get(character) {
                Some(&id) => ids.push(id),
                None if self.rules.byte_fallback => {
                    let byte = |byte| self.ids.get(&format!("<0x{byte:02X}>")).copied();
                    let bytes: Option<Vec<u32>> = character.bytes().map(byte).collect();
                    ids.extend(bytes.into_iter().flatten());
                }
                None => {}
            }
            let unknown = ids.len() == before;
            if unknown && !(after_unknown && self.rules.fuse_unknown) {
                ids.extend(self.unknown);
            }
            after_unknown = unknown;
        }
        ids
    }

    /// Merges whichever neighbours come first in rank, and of those the leftmost.
    fn merge(&self, characters: Vec<u32>, ids: &mut Vec<u32>) {
        let last = characters.len().saturating_sub(1);
        let symbol = |(at, id): (usize, u32)| {
            let (before, after) = (at.checked_sub(1), Some(at + 1).filter(|after| *after <= last));
            Symbol { id, before, after, gone: false }
        };
        let mut symbols: Vec<Symbol> = characters.into_iter().enumerate().map(symbol).collect();
        // The merge of the symbol there with the one after it.
        let merge_at = |symbols: &[Symbol], at: usize| {
            let pair = (symbols[at].id, symbols[symbols[at].after?].id);
            self.merges.get(&pair).map(|&(rank, id)| Reverse((rank, at, id)))
        };
        let mut queue: BinaryHeap<_> = (0..symbols.len()).filter_map(|at| merge_at(&symbols, at)).collect();
        while let Some(Reverse((_, at, id))) = queue.pop() {
            let left = symbols[at];
            let Some(right_at) = left.after.filter(|_| !left.gone) else { continue };
            // It may have become another pair since.
            if merge_at(&symbols, at).is_none_or(|Reverse((.., now))| now != id) {
                continue;
            }
            let after = symbols[right_at].after;
            symbols[right_at].gone = true;
            symbols[at] = Symbol { id, after, ..left };
            if let Some(after) = after {
                symbols[after].before = Some(at);
            }
            queue.extend(left.before.into_iter().chain([at]).filter_map(|at| merge_at(&symbols, at)));
        }
        ids.extend(symbols.iter().filter(|symbol| !symbol.gone).map(|symbol| symbol.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(rules: Rules, word: &str) -> Vec<u32> {
        let tokens = ["a", "b", "c", "ab", "bc", "abc", "?", "<0xC3>", "<0xA9>"];
        let ids = (0..).zip(tokens).map(|(id, token)| (token.to_owned(), id)).collect();
        let merges = [("b", "c"), ("a", "b"), ("a", "bc")].map(|(left, right)| (left.to_owned(), right.to_owned()));
        let mut ids_of_word = Vec::new();
        Bpe::new(ids, &merges, rules).unwrap().encode(word, &mut ids_of_word);
        ids_of_word
    }

    #[test]
    fn merges_go_by_rank_and_then_from_the_left() {
        let cases: [(&str, &[u32]); 5] =
            [("", &[]), ("abc", &[5]), ("abab", &[3, 3]), ("ababc", &[3, 5]), ("cbcabb", &[2, 4, 3, 1])];
        for (word, expected) in cases {
            assert_eq!(encode(Rules::default(), word), expected, "{word}");
        }
    }

    #[test]
    fn what_is_no_token_is_left_out_unknown_or_bytes() {
        let unknown = Rules { unknown: Some("?".to_owned()), ..Rules::default() };
        let fused = Rules { fuse_unknown: true, ..unknown.clone() };
        let bytes = Rules { byte_fallback: true, ..fused.clone() };
        assert_eq!(encode(Rules::default(), "axxb"), [3]);
        assert_eq!(encode(unknown, "axxb"), [0, 6, 6, 1]);
        assert_eq!(encode(fused, "axxbx"), [0, 6, 1, 6]);
        assert_eq!(encode(bytes, "aéxx"), [0, 7, 8, 6]);
    }
}
