//! The regular expressions that cut a text into words: as much of their language as tokenizers write, matched by backtracking.
//!
//! The crates for regular expressions are a third of the library's bytes, for automata and tables of Unicode that no such
//! pattern needs.

use std::iter::Peekable;
use std::str::Chars;

use unicode_general_category::get_general_category;

use crate::error::{Error, Result};

/// How much code a pattern may become, how deep its groups may lie in each other, and how often it may repeat something.
const MAX_STEPS: usize = 4096;
const MAX_DEPTH: usize = 32;

/// Steps for each byte of a text; known patterns take fewer than fifty. One that takes more is given up.
const STEPS_PER_BYTE: usize = 1000;

/// The two letters of each general category of Unicode.
const CATEGORIES: &str = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn";

/// A compiled expression.
pub(super) struct Pattern {
    steps: Vec<Step>,
    sets: Vec<Set>,
}

/// Where a step goes on is relative to itself, so that code can be put together.
#[derive(Clone, Copy)]
enum Step {
    /// One character of a set.
    One(usize),
    /// The first way, and the second if that leads nowhere.
    Either(isize, isize),
    Jump(isize),
    /// What follows, up to its own end, is matched without ways back into it.
    Alone(Alone, isize),
    End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Alone {
    Group,
    Ahead,
    NotAhead,
}

/// In which order a repetition tries its counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Greed {
    Greedy,
    Lazy,
    Possessive,
}

struct Set {
    items: Vec<Item>,
    negated: bool,
    /// Whatever their case.
    fold: bool,
}

enum Item {
    Range(char, char),
    /// A category or, by its first letter, several.
    Category(String),
    Space,
    Word,
    Set(Set),
}

impl Pattern {
    /// `unsupported-model` for what is no such pattern.
    pub(super) fn new(pattern: &str) -> Result<Self> {
        let mut parser = Parser { pattern, rest: pattern.chars().peekable(), sets: Vec::new(), fold: false, depth: 0 };
        let mut steps = parser.alternatives()?;
        if parser.rest.peek().is_some() {
            return Err(parser.refuse("a group that is closed twice"));
        }
        steps.push(Step::End);
        Ok(Self { steps, sets: parser.sets })
    }

    /// The text in pieces, and whether each is a match or what lies between two of them.
    pub(super) fn pieces<'t>(&self, text: &'t str) -> Result<Vec<(&'t str, bool)>> {
        let mut left = STEPS_PER_BYTE * (text.len() + 1);
        let mut pieces = Vec::new();
        let mut add = |piece: &'t str, matched| {
            if !piece.is_empty() {
                pieces.push((piece, matched));
            }
        };
        let (mut begin, mut at) = (0, 0);
        while let Some(next) = text[at..].chars().next() {
            let end = self.matched(text, at, 0, &mut left)?;
            // An empty match cuts too.
            if let Some(end) = end {
                add(&text[begin..at], false);
                add(&text[at..end], true);
                begin = end;
            }
            at = end.filter(|end| *end > at).unwrap_or(at + next.len_utf8());
        }
        add(&text[begin..], false);
        Ok(pieces)
    }

    /// Where a match from `at` on ends.
    fn matched(&self, text: &str, mut at: usize, mut step: usize, left: &mut usize) -> Result<Option<usize>> {
        let mut untried = Vec::new();
        loop {
            *left = left.checked_sub(1).ok_or_else(|| {
                Error::unsupported(
                    "expected a pre-tokenizer's pattern that takes a text in one go, got one that keeps going back",
                )
            })?;
            let to = |jump: isize| step.wrapping_add_signed(jump);
            let next = match self.steps[step] {
                Step::One(set) => {
                    let found = text[at..].chars().next().filter(|&character| self.sets[set].contains(character));
                    found.map(|character| (at + character.len_utf8(), step + 1))
                }
                Step::Either(first, second) => {
                    untried.push((at, to(second)));
                    Some((at, to(first)))
                }
                Step::Jump(jump) => Some((at, to(jump))),
                Step::Alone(kind, after) => match (kind, self.matched(text, at, step + 1, left)?) {
                    (Alone::Group, Some(end)) => Some((end, to(after))),
                    (Alone::Ahead, Some(_)) | (Alone::NotAhead, None) => Some((at, to(after))),
                    _ => None,
                },
                Step::End => return Ok(Some(at)),
            };
            match next.or_else(|| untried.pop()) {
                Some(next) => (at, step) = next,
                None => return Ok(None),
            }
        }
    }
}

impl Set {
    fn new(items: Vec<Item>) -> Self {
        Self { items, negated: false, fold: false }
    }

    fn contains(&self, character: char) -> bool {
        let holds = |character| self.items.iter().any(|item| item.contains(character));
        let mut found = holds(character);
        if self.fold && !found {
            let upper = single(character.to_uppercase(), character);
            found = [upper, single(character.to_lowercase(), character), single(upper.to_lowercase(), upper)]
                .into_iter()
                .any(holds);
        }
        found != self.negated
    }
}

impl Item {
    fn contains(&self, character: char) -> bool {
        match self {
            Self::Range(first, last) => (*first..=*last).contains(&character),
            Self::Category(name) => get_general_category(character).abbreviation().starts_with(name.as_str()),
            Self::Space => character.is_whitespace(),
            Self::Word => is_word(character),
            Self::Set(set) => set.contains(character),
        }
    }

    fn one(character: char) -> Self {
        Self::Range(character, character)
    }

    /// All that is not in this.
    fn negated(self) -> Self {
        Self::Set(Set { negated: true, ..Set::new(vec![self]) })
    }
}

/// What `\w` stands for.
pub(super) fn is_word(character: char) -> bool {
    character.is_alphabetic()
        || matches!(get_general_category(character).abbreviation(), "Mn" | "Mc" | "Me" | "Nd" | "Pc")
        || matches!(character, '\u{200C}' | '\u{200D}')
}

/// The character of another case, where it is one.
fn single(mut cased: impl ExactSizeIterator<Item = char>, character: char) -> char {
    if cased.len() == 1 { cased.next().unwrap_or(character) } else { character }
}

struct Parser<'p> {
    pattern: &'p str,
    rest: Peekable<Chars<'p>>,
    sets: Vec<Set>,
    /// Under `(?i)`.
    fold: bool,
    depth: usize,
}

impl Parser<'_> {
    fn refuse(&self, what: &str) -> Error {
        Error::unsupported(format!("expected a pre-tokenizer's pattern without {what}, got {:?}", self.pattern))
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.rest.next_if_eq(&wanted).is_some()
    }

    fn alternatives(&mut self) -> Result<Vec<Step>> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.refuse("so many groups"));
        }
        let fold = self.fold;
        let mut branches = vec![self.sequence()?];
        while self.eat('|') {
            branches.push(self.sequence()?);
        }
        self.depth -= 1;
        self.fold = fold;
        let either = |rest: Vec<Step>, branch: Vec<Step>| {
            let mut steps = vec![Step::Either(1, branch.len() as isize + 2)];
            steps.extend(branch);
            steps.push(Step::Jump(rest.len() as isize + 1));
            steps.extend(rest);
            steps
        };
        Ok(branches.into_iter().rev().reduce(either).unwrap_or_default())
    }

    fn sequence(&mut self) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        while let Some(&next) = self.rest.peek()
            && !matches!(next, '|' | ')')
        {
            let atom = self.atom()?;
            steps.extend(self.repeated(atom)?);
            if steps.len() > MAX_STEPS {
                return Err(self.refuse("so many repetitions"));
            }
        }
        Ok(steps)
    }

    fn atom(&mut self) -> Result<Vec<Step>> {
        let items = match self.rest.next() {
            Some('(') => return self.group(),
            Some('[') => return self.class().map(|set| self.one(set)),
            Some('.') => vec![Item::one('\n').negated()],
            Some('\\') => vec![self.escape()?],
            Some(other @ ('^' | '$' | '*' | '+' | '?' | '{')) => return Err(self.refuse(&format!("{other:?} there"))),
            Some(literal) => vec![Item::one(literal)],
            None => return Ok(Vec::new()),
        };
        let set = Set { fold: self.fold, ..Set::new(items) };
        Ok(self.one(set))
    }

    fn one(&mut self, set: Set) -> Vec<Step> {
        self.sets.push(set);
        vec![Step::One(self.sets.len() - 1)]
    }

    /// After `(`.
    fn group(&mut self) -> Result<Vec<Step>> {
        let fold = self.fold;
        let mut kind = None;
        if self.eat('?') {
            match self.rest.next() {
                Some(':') => {}
                Some('>') => kind = Some(Alone::Group),
                Some('=') => kind = Some(Alone::Ahead),
                Some('!') => kind = Some(Alone::NotAhead),
                Some('i') if self.eat(':') => self.fold = true,
                // For what is left of the group around it.
                Some('i') if self.eat(')') => {
                    self.fold = true;
                    return Ok(Vec::new());
                }
                _ => return Err(self.refuse("groups of other kinds")),
            }
        }
        let steps = self.alternatives()?;
        self.fold = fold;
        if !self.eat(')') {
            return Err(self.refuse("a group that is not closed"));
        }
        Ok(match kind {
            Some(kind) => alone(kind, steps),
            None => steps,
        })
    }

    fn repeated(&mut self, atom: Vec<Step>) -> Result<Vec<Step>> {
        let Some(mark) = self.rest.next_if(|next| matches!(next, '*' | '+' | '?' | '{')) else { return Ok(atom) };
        let (least, most) = match mark {
            '*' => (0, None),
            '+' => (1, None),
            '?' => (0, Some(1)),
            _ => self.counts()?,
        };
        let greed = match self.rest.next_if(|next| matches!(next, '?' | '+')) {
            Some('?') => Greed::Lazy,
            Some(_) => Greed::Possessive,
            None => Greed::Greedy,
        };
        let copies = most.unwrap_or(least.saturating_add(1));
        if copies < least || (atom.len() + 2).saturating_mul(copies) > MAX_STEPS {
            return Err(self.refuse("so many repetitions"));
        }
        let length = atom.len() as isize;
        let choice = |past: isize| if greed == Greed::Lazy { Step::Either(past, 1) } else { Step::Either(1, past) };
        let mut steps = atom.repeat(least);
        match most {
            None => {
                steps.push(choice(length + 2));
                steps.extend(atom);
                steps.push(Step::Jump(-length - 1));
            }
            Some(most) => {
                for left in (1..=most - least).rev() {
                    steps.push(choice(left as isize * (length + 1)));
                    steps.extend(&atom);
                }
            }
        }
        Ok(if greed == Greed::Possessive { alone(Alone::Group, steps) } else { steps })
    }

    /// The least and the most of `{2}`, `{2,}` or `{2,3}`, after the brace.
    fn counts(&mut self) -> Result<(usize, Option<usize>)> {
        let text: String = std::iter::from_fn(|| self.rest.next_if(|next| *next != '}')).collect();
        let (least, most) = text.split_once(',').unwrap_or((&text, &text));
        let (least, most) = (least.parse(), Some(most).filter(|most| !most.is_empty()).map(str::parse).transpose());
        match (least, most) {
            (Ok(least), Ok(most)) if self.eat('}') => Ok((least, most)),
            _ => Err(self.refuse("braces that hold no counts")),
        }
    }

    /// After `[`.
    fn class(&mut self) -> Result<Set> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.refuse("so many classes"));
        }
        let mut set = Set { negated: self.eat('^'), fold: self.fold, ..Set::new(Vec::new()) };
        loop {
            let item = match self.rest.next() {
                Some(']') if !set.items.is_empty() => break,
                Some('[') if self.rest.peek() != Some(&':') => Item::Set(self.class()?),
                Some('\\') => self.escape()?,
                Some('&') if self.rest.peek() == Some(&'&') => return Err(self.refuse("what two classes share")),
                Some('[' | ']') | None => return Err(self.refuse("such classes")),
                Some(literal) => Item::one(literal),
            };
            // A hyphen at the end is one.
            let mut ahead = self.rest.clone();
            let range = ahead.next() == Some('-') && ahead.next().is_some_and(|last| last != ']');
            set.items.push(match item {
                Item::Range(first, _) if range => {
                    self.rest.next();
                    let last = match self.rest.next() {
                        Some('\\') => self.escape()?,
                        Some('[') | None => return Err(self.refuse("such classes")),
                        Some(literal) => Item::one(literal),
                    };
                    match last {
                        Item::Range(last, _) if first <= last => Item::Range(first, last),
                        _ => return Err(self.refuse("such ranges")),
                    }
                }
                item => item,
            });
        }
        self.depth -= 1;
        Ok(set)
    }

    /// After a backslash.
    fn escape(&mut self) -> Result<Item> {
        let letter = self.rest.next();
        let item = match letter {
            Some('n') => Item::one('\n'),
            Some('r') => Item::one('\r'),
            Some('t') => Item::one('\t'),
            Some('f') => Item::one('\u{C}'),
            Some('v') => Item::one('\u{B}'),
            Some('x') => Item::one(self.code(2)?),
            Some('u') => Item::one(self.code(4)?),
            Some('s' | 'S') => Item::Space,
            Some('w' | 'W') => Item::Word,
            Some('d' | 'D') => Item::Category("Nd".to_owned()),
            Some('p' | 'P') => Item::Category(self.category()?),
            Some(literal) if !literal.is_alphanumeric() => Item::one(literal),
            other => return Err(self.refuse(&format!("the escape {other:?}"))),
        };
        Ok(if matches!(letter, Some('S' | 'W' | 'D' | 'P')) { item.negated() } else { item })
    }

    /// So many hexadecimal digits, or any number of them in braces.
    fn code(&mut self, digits: usize) -> Result<char> {
        let braces = self.eat('{');
        let most = if braces { 8 } else { digits };
        let text: String = (0..most).map_while(|_| self.rest.next_if(char::is_ascii_hexdigit)).collect();
        let code = u32::from_str_radix(&text, 16).ok().and_then(char::from_u32);
        match code {
            Some(code) if if braces { self.eat('}') } else { text.len() == digits } => Ok(code),
            _ => Err(self.refuse("such numbers of characters")),
        }
    }

    fn category(&mut self) -> Result<String> {
        let name: String = if self.eat('{') {
            let name = std::iter::from_fn(|| self.rest.next_if(|next| *next != '}')).collect();
            self.rest.next();
            name
        } else {
            self.rest.next().into_iter().collect()
        };
        let known = !name.is_empty() && CATEGORIES.split(' ').any(|category| category.starts_with(&name));
        if known { Ok(name) } else { Err(self.refuse(&format!("the property {name:?}"))) }
    }
}

fn alone(kind: Alone, steps: Vec<Step>) -> Vec<Step> {
    let mut code = vec![Step::Alone(kind, steps.len() as isize + 2)];
    code.extend(steps);
    code.push(Step::End);
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn pieces<'t>(pattern: &str, text: &'t str) -> Vec<&'t str> {
        let pieces = Pattern::new(pattern).unwrap().pieces(text).unwrap();
        assert_eq!(pieces.iter().map(|(piece, _)| *piece).collect::<String>(), text);
        pieces.into_iter().filter_map(|(piece, matched)| matched.then_some(piece)).collect()
    }

    #[test]
    fn each_construct_matches_what_it_should() {
        let cases: [(&str, &str, &[&str]); 25] = [
            ("ab|a", "aab", &["a", "ab"]),
            ("a|ab", "ab", &["a"]),
            ("a{2}", "aaaaa", &["aa", "aa"]),
            ("a{2,}", "aaaaa b a", &["aaaaa"]),
            ("a{1,3}", "aaaaa", &["aaa", "aa"]),
            ("(?:ab)+c", "ababc", &["ababc"]),
            ("(ab)?c", "abcc", &["abc", "c"]),
            ("a+?b", "aab", &["aab"]),
            ("a+?", "aa", &["a", "a"]),
            ("a*+a", "aaa", &[]),
            ("(?>a|ab)c", "abc", &[]),
            ("a(?=b)", "abac", &["a"]),
            (r"\s+(?!\S)|\s+", "a   b", &["  ", " "]),
            ("(?i:'s|'LL)x", "'Sx'lLx'Ŀx'ſx", &["'Sx", "'lLx", "'ſx"]),
            ("(?i)k|ß", "kK\u{212A}ßẞ", &["k", "K", "\u{212A}", "ß", "ẞ"]),
            ("(?i:[^a])b", "AbBb", &["Bb"]),
            (r"[^\s\p{L}-]", "a -?", &["?"]),
            (r"[a-c\-]+", "abc-d", &["abc-"]),
            (r"[一-龥぀-ゟ]+", "漢字かな カ", &["漢字かな"]),
            (r"[[a-c][^\S]]+", "a bcd", &["a bc"]),
            (r"\p{Lu}\P{Lu}+|\pN", "AbcDe1½", &["Abc", "De1½"]),
            (r"\d\w\W.", "1a b\n2_-\n", &["1a b"]),
            (r"\x41\u0042\x{1F600}\.", "AB😀.", &["AB😀."]),
            (r"x*", "axxb", &["xx"]),
            ("", "ab", &[]),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(pieces(pattern, text), expected, "{pattern} on {text:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for pattern in [
            "(",
            ")",
            "(a",
            "a)",
            "[",
            "[]",
            "[a",
            "[b-a]",
            "[a&&b]",
            "[[:alpha:]]",
            "*",
            "a{",
            "a{x}",
            "a{2,1}",
            "a{5000}",
            "a{18446744073709551615,3}",
            "a{4294967295,}",
            "(?:a{100}){100}",
            r"\p{Han}",
            r"\p{",
            r"\b",
            r"\1",
            "^a",
            "a$",
            "(?<=a)b",
            "(?P<x>a)",
            r"\x{110000}",
            "\\",
        ] {
            let error = Pattern::new(pattern).err().unwrap_or_else(|| panic!("accepted {pattern}"));
            assert_eq!(error.kind, ErrorKind::UnsupportedModel, "{pattern}");
        }
        assert!(Pattern::new(&"(".repeat(100_000)).is_err());
        assert!(Pattern::new(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn a_pattern_that_goes_on_for_ever_is_given_up() {
        for pattern in ["(?:a*)*b", "(?:a|a)+b", "(?:a+)+b"] {
            assert!(Pattern::new(pattern).unwrap().pieces(&"a".repeat(100)).is_err(), "{pattern}");
        }
    }
}
