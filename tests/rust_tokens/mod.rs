//! Rust source as a list of tokens with their lines: enough to find paths, attributes and strings outside comments.

/// A word, a number, a string's contents, `::`, or one other character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    /// 1-based.
    pub line: usize,
    pub is_string: bool,
}

impl Token {
    pub fn is(&self, text: &str) -> bool {
        !self.is_string && self.text == text
    }

    pub fn is_word(&self) -> bool {
        !self.is_string && self.text.starts_with(word_character)
    }
}

/// The tokens of `source`; comments vanish, strings become one token each.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (length, token) = next_token(rest, first);
        let (taken, remaining) = rest.split_at(length);
        if let Some((text, is_string)) = token {
            found.push(Token { text: text.to_owned(), line, is_string });
        }
        line += taken.matches('\n').count();
        rest = remaining;
    }
    found
}

/// The length in bytes of what stands first, and its text and whether that is a string; no text for what is skipped.
fn next_token(rest: &str, first: char) -> (usize, Option<(&str, bool)>) {
    if first.is_whitespace() {
        return (first.len_utf8(), None);
    }
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), None);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), None);
    }
    if let Some((start, end, length)) = string(rest) {
        return (length, Some((&rest[start..end], true)));
    }
    if let Some(length) = character(rest) {
        return (length, Some((&rest[..length], true)));
    }
    if rest.starts_with("::") {
        return (2, Some(("::", false)));
    }
    let word = rest.find(|c| !word_character(c)).unwrap_or(rest.len());
    let length = word.max(first.len_utf8());
    (length, Some((&rest[..length], false)))
}

fn word_character(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let mut level = 0;
    let mut at = 0;
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (level, at) = (level + 1, at + 2),
            [b'*', b'/', ..] => (level, at) = (level - 1, at + 2),
            _ => at += 1,
        }
        if level == 0 {
            break;
        }
    }
    at
}

/// Start and end of a string literal's contents and the length of the literal, raw and byte strings included.
fn string(rest: &str) -> Option<(usize, usize, usize)> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        rest.strip_prefix(prefix)
            .is_some_and(|after| after.starts_with('"') || prefix.ends_with('r') && after.starts_with('#'))
    })?;
    let hashes = rest[prefix.len()..].bytes().take_while(|byte| *byte == b'#').count();
    let start = prefix.len() + hashes + 1;
    if rest.as_bytes().get(start - 1) != Some(&b'"') {
        return None;
    }
    if prefix.ends_with('r') {
        let close = format!("\"{}", "#".repeat(hashes));
        let end = rest[start..].find(&close).map_or(rest.len(), |at| start + at);
        return Some((start, end, (end + close.len()).min(rest.len())));
    }
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(start) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((start, at, at + 1)),
            _ => {}
        }
    }
    Some((start, rest.len(), rest.len()))
}

/// The length of a character literal; none for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    if inside.starts_with('\\') {
        return inside[2..].find('\'').map(|at| at + 4);
    }
    let first = inside.chars().next()?.len_utf8();
    inside[first..].starts_with('\'').then_some(first + 2)
}
