//! The automata of llguidance: grammars to sets of tokens; the only user of that crate.

use std::rc::Rc;
use std::sync::Arc;

use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory, regex_to_lark};
use serde_json::{Map, Value, json};

use super::{Calls, Compile, Constraint, Format, Grammar, TokenSet, Vocabulary};
use crate::error::{Error, Result};

/// Makes constraints for one vocabulary.
pub struct Automata {
    factory: ParserFactory,
    /// The tokens with a digit.
    digits: Rc<[u32]>,
}

impl Automata {
    /// Sorts a vocabulary into a tree, which takes a moment for a large one.
    pub fn new(vocabulary: &Vocabulary) -> Result<Self> {
        let size = vocabulary.tokens.len() as u32;
        let eos: Vec<u32> = vocabulary.eos.iter().copied().filter(|&id| id < size).collect();
        let [first, ..] = eos[..] else { return Err(Error::internal("a vocabulary in which no token ends a reply")) };
        let has_digit = |&id: &u32| vocabulary.tokens[id as usize].iter().any(u8::is_ascii_digit);
        let digits = (0..size).filter(has_digit).collect();
        let trie = TokTrie::from(&TokRxInfo::new(size, first), &vocabulary.tokens).with_eos_tokens(&eos);
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let slices = SlicedBiasComputer::general_slices();
        let mut factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &slices)
            .map_err(|error| Error::internal(error.to_string()))?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory, digits })
    }
}

impl Compile for Automata {
    fn compile(&self, grammar: &Grammar) -> Result<Box<dyn Constraint>> {
        let matcher = Matcher::new(self.factory.create_parser(top_level(grammar)));
        if let Some(error) = matcher.get_error() {
            return Err(refused(grammar, &error));
        }
        let is_json = matches!(grammar.format, Some(Format::Json { .. }) | None);
        let numbers = is_json.then(|| (Numbers::default(), self.digits.clone()));
        Ok(Box::new(Automaton { matcher, tokens: self.factory.tok_env().clone(), numbers }))
    }
}

struct Automaton {
    matcher: Matcher,
    tokens: TokEnv,
    /// In JSON: the number that is being written, and the tokens it can go on with.
    numbers: Option<(Numbers, Rc<[u32]>)>,
}

impl Constraint for Automaton {
    fn allowed(&mut self) -> Result<TokenSet> {
        let allowed = self.matcher.compute_mask_or_eos().map_err(|error| too_complex(&error.to_string()))?;
        let mut allowed = TokenSet(allowed.as_slice().to_vec());
        if let Some((numbers, digits)) = &self.numbers {
            let too_large = |&&id: &&u32| numbers.clone().push(self.tokens.tok_trie().token(id)).is_too_large();
            let fitting = digits.iter().filter(too_large).fold(allowed.clone(), TokenSet::without);
            // A schema can demand such a number.
            if !fitting.is_empty() {
                allowed = fitting;
            }
        }
        Ok(allowed)
    }

    fn accept(&mut self, id: u32) -> Result<()> {
        // Where nothing can follow, the library has come to its end before the token that says so.
        if self.matcher.is_stopped() && !self.matcher.is_error() {
            return Ok(());
        }
        if let Some((numbers, _)) = &mut self.numbers {
            numbers.push(self.tokens.tok_trie().token(id));
        }
        self.matcher.consume_token(id).map_err(|error| too_complex(&error.to_string()))
    }
}

/// How large a number may become in JSON that is being written: JSON knows no limit, but where it is read there is that of a
/// 64-bit float, 1.8e308.
#[derive(Clone, Debug, Default)]
struct Numbers {
    in_string: bool,
    escaped: bool,
    /// Digits of the number at hand, those of its exponent apart.
    digits: usize,
    exponent: Option<usize>,
}

impl Numbers {
    fn push(&mut self, text: &[u8]) -> &Self {
        for &byte in text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => *self = Self { in_string: !self.in_string, ..Self::default() },
                _ if self.in_string => {}
                b'0'..=b'9' => *self.exponent.as_mut().unwrap_or(&mut self.digits) += 1,
                b'e' | b'E' if self.digits > 0 => self.exponent = Some(0),
                b'.' | b'-' | b'+' => {}
                _ => *self = Self::default(),
            }
        }
        self
    }

    fn is_too_large(&self) -> bool {
        self.digits > 200 || self.exponent.is_some_and(|digits| digits > 2)
    }
}

fn refused(grammar: &Grammar, reason: &str) -> Error {
    let option = if grammar.calls.is_some() && grammar.format.is_none() { "tools" } else { "responseFormat" };
    let reason: String = reason.chars().take(400).collect();
    Error::invalid(format!("{option}: expected a grammar or schema that can be kept to, got: {}", reason.trim()))
        .hint("leave out the keyword named, and check the rest of the schema after parsing")
}

fn too_complex(reason: &str) -> Error {
    Error::invalid(format!("responseFormat: expected a grammar that can be followed to its end, got: {reason}"))
        .hint("make the grammar or the schema simpler")
}

/// Whitespace between the parts of JSON: enough for any usual layout, too little to go on in for ever.
const WHITESPACE: &str = r" |\n {0,40}|\n\t{0,20}";

/// The separators of Python's `json.dumps`, in which Qwen3 was trained to write calls.
fn python_layout() -> Value {
    json!({ "item_separator": ", ", "key_separator": ": ", "whitespace_flexible": false })
}

fn top_level(grammar: &Grammar) -> TopLevelGrammar {
    let mut starts = Vec::new();
    let mut rules = String::new();
    let mut parts = Vec::new();
    if let Some(format) = &grammar.format {
        starts.push("@format".to_owned());
        let part = match format {
            Format::Json { schema } => json_part(schema, json!({ "whitespace_pattern": WHITESPACE })),
            Format::Regex { pattern } => {
                // The whole answer is matched: anchors at its ends say so too.
                let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
                let unescaped = |p: &&str| !p.ends_with('\\') || p.ends_with("\\\\");
                let pattern = pattern.strip_suffix('$').filter(unescaped).unwrap_or(pattern);
                GrammarWithLexer::from_lark(format!("start: /{}/", regex_to_lark(pattern, "dw")))
            }
            Format::Lark { grammar } => GrammarWithLexer::from_lark(grammar.clone()),
        };
        parts.push(GrammarWithLexer { name: Some("format".to_owned()), ..part });
    }
    if let Some(Calls { tools, several, open, close }) = &grammar.calls {
        starts.push(if *several { "call (\"\\n\" call)*" } else { "call" }.to_owned());
        let mut bodies = Vec::new();
        for (index, (name, parameters)) in tools.iter().enumerate() {
            let head = format!("\n{{\"name\": {}, \"arguments\": ", Value::from(name.as_str()));
            bodies.push(format!("{} @arguments{index}", Value::from(head)));
            let part = json_part(&arguments(parameters), python_layout());
            parts.push(GrammarWithLexer { name: Some(format!("arguments{index}")), ..part });
        }
        rules = format!("call: <[{open}]> ({}) \"}}\\n\" <[{close}]>\n", bodies.join(" | "));
    }
    let start = GrammarWithLexer::from_lark(format!("start: {}\n{rules}", starts.join(" | ")));
    TopLevelGrammar { grammars: std::iter::once(start).chain(parts).collect(), max_tokens: None }
}

/// A schema with the layout of its JSON in the place where llguidance looks for it.
fn json_part(schema: &Value, layout: Value) -> GrammarWithLexer {
    let mut fields = match schema {
        Value::Object(fields) => fields.clone(),
        Value::Bool(false) => Map::from_iter([("enum".to_owned(), json!([]))]),
        _ => Map::new(),
    };
    fields.insert("x-guidance".to_owned(), layout);
    GrammarWithLexer::from_json_schema(Value::Object(fields))
}

/// Arguments are always an object; a tool without parameters takes an empty one.
fn arguments(parameters: &Value) -> Value {
    match parameters {
        Value::Object(fields) if !fields.is_empty() => {
            let mut fields = fields.clone();
            fields.entry("type").or_insert_with(|| json!("object"));
            Value::Object(fields)
        }
        _ => json!({ "type": "object", "properties": {}, "additionalProperties": false }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_a_float_are_seen_coming() {
        for (text, too_large) in [
            ("[1e99", false),
            ("[1e999", true),
            ("[-1.5E+100", true),
            ("[1e99, 1e9", false),
            ("{\"e\\\"1e999", false),
            ("{\"a\": 1e9}", false),
            (&"9".repeat(200), false),
            (&"9".repeat(201), true),
            (&format!("\"{}", "9".repeat(500)), false),
        ] {
            for cut in 0..=text.len() {
                let (before, after) = text.as_bytes().split_at(cut);
                let mut numbers = Numbers::default();
                numbers.push(before);
                assert_eq!(numbers.push(after).is_too_large(), too_large, "{text}");
            }
        }
    }
}
