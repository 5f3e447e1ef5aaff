//! Ids to text as they come: a table of bytes per id, and a decoder that never shows half a character.

use super::Tokenizer;

/// The bytes of every token, one after the other.
pub(super) struct TokenBytes {
    bytes: Vec<u8>,
    /// Token `id` is `bytes[starts[id]..starts[id + 1]]`.
    starts: Vec<u32>,
}

impl TokenBytes {
    /// A table of tokens in order of id; ids left out stand for nothing.
    pub(super) fn new(tokens: impl IntoIterator<Item = (u32, Vec<u8>)>) -> Self {
        let mut table = Self { bytes: Vec::new(), starts: vec![0] };
        for (id, token) in tokens {
            table.starts.resize(id as usize + 1, table.bytes.len() as u32);
            table.bytes.extend_from_slice(&token);
            table.starts.push(table.bytes.len() as u32);
        }
        table
    }

    pub(super) fn get(&self, id: u32) -> &[u8] {
        match (self.starts.get(id as usize), self.starts.get(id as usize + 1)) {
            (Some(&start), Some(&end)) => &self.bytes[start as usize..end as usize],
            _ => &[],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }
}

/// How a vocabulary spells its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Each character is one byte: printable ones themselves and the others counted up from U+0100 (`bytes_to_unicode` of
    /// GPT-2's encoder). A token with any other character stands for its own UTF-8.
    ByteLevel,
    /// U+2581 is a space, `<0x0A>` is the byte 10, all else itself.
    SentencePiece {
        /// A text was given a space at its beginning, which decoding takes away again.
        space_prefix: bool,
    },
}

impl Spelling {
    /// The bytes a token stands for.
    pub(super) fn bytes(self, token: &str) -> Vec<u8> {
        let byte = || match token.strip_prefix("<0x")?.strip_suffix('>')? {
            digits if digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
                u8::from_str_radix(digits, 16).ok()
            }
            _ => None,
        };
        match self {
            Self::ByteLevel => token.chars().map(byte_of).collect::<Option<_>>().unwrap_or_else(|| token.into()),
            Self::SentencePiece { .. } => byte().map_or_else(|| token.replace('▁', " ").into(), |byte| vec![byte]),
        }
    }
}

fn byte_of(character: char) -> Option<u8> {
    Some(match character as u32 {
        code @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => code as u8,
        code @ 0x100..=0x120 => (code - 0x100) as u8,
        code @ 0x121..=0x142 => (code - 0x121 + 0x7F) as u8,
        0x143 => 0xAD,
        _ => return None,
    })
}

/// The other way round.
pub(super) fn character_of(byte: u8) -> char {
    let code = u32::from(byte);
    let code = match code {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => code,
        0..=0x20 => code + 0x100,
        0x7F..=0xA0 => code - 0x7F + 0x121,
        _ => 0x143,
    };
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Turns tokens into text as they come. An incomplete character is held back until its bytes are there; bytes that can
/// never become one are U+FFFD, as in [`String::from_utf8_lossy`] of the whole.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    /// The start of a character, at most three bytes.
    incomplete: Vec<u8>,
    /// Something came before: a space at the beginning belongs to the text.
    begun: bool,
}

impl Decoder {
    /// A decoder of what follows on other text.
    pub fn midway() -> Self {
        Self { begun: true, ..Self::default() }
    }

    /// The text that this token completes; may be empty.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> String {
        let mut bytes = tokenizer.token_bytes(id);
        if !std::mem::replace(&mut self.begun, true) && tokenizer.space_prefix {
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        self.push_bytes(bytes)
    }

    /// The text that these bytes complete; may be empty.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> String {
        self.incomplete.extend_from_slice(bytes);
        let mut text = String::new();
        let mut rest: &[u8] = &self.incomplete;
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(invalid) = error.error_len() else {
                        rest = after;
                        break;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &after[invalid..];
                }
            }
        }
        self.incomplete = rest.to_vec();
        text
    }

    /// What is left at the end: U+FFFD for an incomplete character, else nothing.
    pub fn finish(&mut self) -> String {
        let rest = std::mem::take(&mut self.incomplete);
        String::from_utf8_lossy(&rest).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_character_of_its_own() {
        let of_bytes = (0..0x200).filter_map(char::from_u32).filter(|&character| byte_of(character).is_some());
        assert_eq!(of_bytes.count(), 256);
        for byte in 0..=255 {
            assert_eq!(byte_of(character_of(byte)), Some(byte));
        }
        assert_eq!(Spelling::ByteLevel.bytes("ĠhelloĊ"), b" hello\n");
        assert_eq!(Spelling::ByteLevel.bytes("▁x"), "▁x".as_bytes());
    }

    #[test]
    fn pieces_are_text_with_other_spaces_or_one_byte() {
        let spelling = Spelling::SentencePiece { space_prefix: true };
        let cases: [(&str, &[u8]); 6] = [
            ("▁▁x", b"  x"),
            ("<0x0A>", b"\n"),
            ("<0xff>", b"\xFF"),
            ("<0x0A0>", b"<0x0A0>"),
            ("<0x+1>", b"<0x+1>"),
            ("é", "é".as_bytes()),
        ];
        for (token, bytes) in cases {
            assert_eq!(spelling.bytes(token), bytes, "{token}");
        }
    }

    #[test]
    fn any_cut_of_any_bytes_gives_the_lossy_text_of_the_whole() {
        let cases: [&[u8]; 7] = [
            "aé€😀 👩‍👩‍👧 क्षि".as_bytes(),
            b"\xF0\x9F\x98",
            b"a\x80b\xC3(\xE2\x82z",
            b"\xF0\x9F\xE2\x82\xAC",
            b"\xED\xA0\x80\xFF\xFE",
            b"\xF4\x90\x80\x80\xC0\xAF",
            b"",
        ];
        for bytes in cases {
            let expected = String::from_utf8_lossy(bytes);
            for first in 0..=bytes.len() {
                for second in first..=bytes.len() {
                    let mut decoder = Decoder::default();
                    let mut text = decoder.push_bytes(&bytes[..first]);
                    text += &decoder.push_bytes(&bytes[first..second]);
                    text += &decoder.push_bytes(&bytes[second..]);
                    text += &decoder.finish();
                    assert_eq!(text, expected, "{bytes:x?} cut at {first}, {second}");
                }
            }
        }
    }

    #[test]
    fn a_character_is_shown_when_its_last_byte_is_there() {
        let mut decoder = Decoder::default();
        let shown: Vec<String> = "😀!".bytes().map(|byte| decoder.push_bytes(&[byte])).collect();
        assert_eq!(shown, ["", "", "", "😀", "!"]);
    }

    #[test]
    fn ids_left_out_of_the_table_stand_for_nothing() {
        let table = TokenBytes::new([(1, b"a".to_vec()), (4, b"bc".to_vec())]);
        let tokens: Vec<&[u8]> = (0..6).map(|id| table.get(id)).collect();
        assert_eq!(tokens, [&b""[..], b"a", b"", b"", b"bc", b""]);
        assert_eq!(table.get(u32::MAX), b"");
        assert_eq!(table.len(), 5);
    }
}
