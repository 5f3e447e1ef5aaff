//! A reply as it comes: token ids and their text to thinking, content and tool calls. It cannot fail: what means
//! nothing here is content.
//!
//! Tags are told by token id, so text that looks like one is text. Newlines next to a tag belong to it, as Qwen3's
//! template prints them when the reply becomes history: those around the thinking's text, those before the answer, and
//! one before a tool call. Everything else comes out, so that the deltas concatenate to the reply without its tags.

use serde::{Deserialize, Serialize};

use super::message::ToolCall;
use super::tools::{CallStream, parse_call};

/// The state of a reply when its first token comes, which the prompt decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Start {
    /// The assistant's turn has just begun; it may think.
    Reply,
    /// A thinking block is open.
    Thinking,
    /// A thinking block has just been closed.
    Content,
    /// Some of the content is in the prompt.
    MidContent,
}

/// The ids of the tags in this model's vocabulary; none where it has no such token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// `<think>`.
    pub think: Option<u32>,
    /// `</think>`.
    pub end_think: Option<u32>,
    /// `<tool_call>`; none also where no tools were given, which makes calls content.
    pub tool_call: Option<u32>,
    /// `</tool_call>`.
    pub end_tool_call: Option<u32>,
}

/// What a reply says.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// More thinking.
    Thinking(String),
    /// More of the answer.
    Content(String),
    /// More of the arguments of the call that is being written.
    ToolCallDelta {
        /// Counts the calls of this reply from 0.
        index: usize,
        /// The tool, complete.
        name: String,
        /// The next part of the arguments' JSON text.
        arguments: String,
    },
    /// A whole call; its id is for the conversation to give.
    ToolCall {
        /// Counts the calls of this reply from 0.
        index: usize,
        /// The call.
        call: ToolCall,
    },
    /// A call that could not be read; its text follows as content.
    MalformedToolCall {
        /// The index its deltas had.
        index: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Content,
    Thinking,
    ToolCall,
}

/// The state machine of one reply.
#[derive(Clone, Debug)]
pub struct Parser {
    tags: Tags,
    state: State,
    /// Newlines are dropped until something else comes.
    after_tag: bool,
    /// Newlines held back until it is known whether a tag follows.
    newlines: usize,
    /// The open call's text.
    call: String,
    stream: CallStream,
    calls: usize,
}

impl Parser {
    /// A parser for a reply that starts in `start`.
    pub fn new(tags: Tags, start: Start) -> Self {
        let (state, after_tag) = match start {
            Start::Reply | Start::MidContent => (State::Content, false),
            Start::Thinking => (State::Thinking, false),
            Start::Content => (State::Content, true),
        };
        let (call, stream) = (String::new(), CallStream::default());
        Self { tags, state, after_tag, newlines: 0, call, stream, calls: 0 }
    }

    /// Whether a token is a tag, whose text belongs to [`Parser::push_token`] alone.
    pub fn is_tag(&self, id: u32) -> bool {
        let Tags { think, end_think, tool_call, end_tool_call } = self.tags;
        [think, end_think, tool_call, end_tool_call].contains(&Some(id))
    }

    /// Whether a thinking block is open.
    pub fn is_thinking(&self) -> bool {
        self.state == State::Thinking
    }

    /// The newlines the thinking so far ends in; none if nothing was thought.
    pub fn trailing_newlines(&self) -> Option<usize> {
        (!self.after_tag).then_some(self.newlines)
    }

    /// Takes a token in: its id, and the text it completed.
    pub fn push_token(&mut self, id: u32, text: &str, events: &mut Vec<Event>) {
        let tag = Some(id);
        match self.state {
            State::Content if tag == self.tags.think => self.enter(State::Thinking),
            State::Content if tag == self.tags.tool_call => {
                self.newlines = self.newlines.saturating_sub(1);
                self.release_newlines(events);
                self.enter(State::ToolCall);
            }
            State::Thinking if tag == self.tags.think => {}
            State::Content | State::Thinking if tag == self.tags.end_think => self.enter(State::Content),
            State::ToolCall if tag == self.tags.end_tool_call => {
                self.finish_call(true, events);
                self.enter(State::Content);
            }
            State::ToolCall if tag == self.tags.tool_call => {
                self.finish_call(false, events);
                self.enter(State::ToolCall);
            }
            _ => self.push_text(text, events),
        }
    }

    /// Takes in text that no token stands for alone.
    pub fn push_text(&mut self, text: &str, events: &mut Vec<Event>) {
        if self.state == State::ToolCall {
            self.call.push_str(text);
            if let Some(part) = self.stream.push(text) {
                let name = self.stream.name().to_owned();
                events.push(Event::ToolCallDelta { index: self.calls, name, arguments: part });
            }
            return;
        }
        let text = if self.after_tag { text.trim_start_matches('\n') } else { text };
        if text.is_empty() {
            return;
        }
        self.after_tag = false;
        let body = text.trim_end_matches('\n');
        if !body.is_empty() {
            self.release_newlines(events);
            self.emit(body.to_owned(), events);
        }
        self.newlines += text.len() - body.len();
    }

    /// The reply is over: what was held back comes out, and an open call is read as far as it goes.
    pub fn finish(&mut self, events: &mut Vec<Event>) {
        if self.state == State::ToolCall {
            self.finish_call(false, events);
            self.enter(State::Content);
        }
        self.release_newlines(events);
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.after_tag = true;
        self.newlines = 0;
    }

    fn release_newlines(&mut self, events: &mut Vec<Event>) {
        let newlines = std::mem::take(&mut self.newlines);
        if newlines > 0 {
            self.emit("\n".repeat(newlines), events);
        }
    }

    fn emit(&mut self, text: String, events: &mut Vec<Event>) {
        events.push(if self.state == State::Thinking { Event::Thinking(text) } else { Event::Content(text) });
    }

    fn finish_call(&mut self, closed: bool, events: &mut Vec<Event>) {
        let text = std::mem::take(&mut self.call);
        let index = self.calls;
        self.stream = CallStream::default();
        match parse_call(&text) {
            Some(call) => {
                self.calls += 1;
                events.push(Event::ToolCall { index, call });
            }
            None => {
                let end = if closed { "</tool_call>" } else { "" };
                events.push(Event::MalformedToolCall { index });
                events.push(Event::Content(format!("<tool_call>{text}{end}")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TAGS: Tags = Tags { think: Some(1), end_think: Some(2), tool_call: Some(3), end_tool_call: Some(4) };
    const TEXTS: [(u32, &str); 4] = [(1, "<think>"), (2, "</think>"), (3, "<tool_call>"), (4, "</tool_call>")];
    const PLAIN: u32 = 9;

    /// Parses a reply in which `«think»` etc. are the tags, each stretch of text cut into `cut`-character tokens that
    /// start at `offset`; joins neighbouring deltas of a kind.
    fn parse(tags: Tags, start: Start, reply: &str, cut: usize) -> Vec<Event> {
        let mut parser = Parser::new(tags, start);
        let mut events = Vec::new();
        let mut rest = reply;
        let mut text = String::new();
        let flush = |parser: &mut Parser, events: &mut Vec<Event>, text: &mut String| {
            let characters: Vec<char> = text.chars().collect();
            for part in characters.chunks(cut) {
                parser.push_token(PLAIN, &part.iter().collect::<String>(), events);
            }
            text.clear();
        };
        while let Some(character) = rest.chars().next() {
            let tag = TEXTS.iter().find(|(_, tag)| {
                rest.strip_prefix('«')
                    .and_then(|r| r.strip_prefix(&tag[1..tag.len() - 1]))
                    .is_some_and(|r| r.starts_with('»'))
            });
            match tag {
                Some(&(id, tag)) => {
                    flush(&mut parser, &mut events, &mut text);
                    parser.push_token(id, tag, &mut events);
                    rest = &rest[tag.len() - 2 + '«'.len_utf8() * 2..];
                }
                None => {
                    text.push(character);
                    rest = &rest[character.len_utf8()..];
                }
            }
        }
        flush(&mut parser, &mut events, &mut text);
        parser.finish(&mut events);
        join(events)
    }

    fn join(events: Vec<Event>) -> Vec<Event> {
        let mut joined: Vec<Event> = Vec::new();
        for event in events {
            match (joined.last_mut(), &event) {
                (Some(Event::Thinking(last)), Event::Thinking(text))
                | (Some(Event::Content(last)), Event::Content(text)) => last.push_str(text),
                (
                    Some(Event::ToolCallDelta { index: a, arguments: last, .. }),
                    Event::ToolCallDelta { index: b, arguments, .. },
                ) if a == b => last.push_str(arguments),
                _ => joined.push(event),
            }
        }
        joined
    }

    fn thinking(text: &str) -> Event {
        Event::Thinking(text.to_owned())
    }

    fn content(text: &str) -> Event {
        Event::Content(text.to_owned())
    }

    fn delta(index: usize, name: &str, arguments: &str) -> Event {
        Event::ToolCallDelta { index, name: name.to_owned(), arguments: arguments.to_owned() }
    }

    fn call(index: usize, name: &str, arguments: serde_json::Value) -> Event {
        Event::ToolCall { index, call: ToolCall { id: String::new(), name: name.to_owned(), arguments } }
    }

    #[test]
    fn replies_are_told_apart_at_every_cut() {
        let cases: Vec<(Start, &str, Vec<Event>)> = vec![
            (Start::Reply, "", vec![]),
            (Start::Reply, "Hello.\n", vec![content("Hello.\n")]),
            (
                Start::Reply,
                "«think»\nhm\n\nso 😀\n«/think»\n\nHi,\n\nyou.",
                vec![thinking("hm\n\nso 😀"), content("Hi,\n\nyou.")],
            ),
            (Start::Reply, "\n«think»\n\n«/think»\n\nHi", vec![content("Hi")]),
            (Start::Reply, "«think»«/think»Hi", vec![content("Hi")]),
            (Start::Reply, "«think»\nnever closed\n", vec![thinking("never closed\n")]),
            (Start::Thinking, " more\n«/think»\n\nHi", vec![thinking(" more"), content("Hi")]),
            (Start::Content, "\n\nHi", vec![content("Hi")]),
            (Start::MidContent, "\nHi", vec![content("\nHi")]),
            (Start::Reply, "a«/think»\nb", vec![content("ab")]),
            (Start::Reply, "«think»a«think»b«/think»c«think»d", vec![thinking("ab"), content("c"), thinking("d")]),
            (Start::Reply, "<think> is text </think>", vec![content("<think> is text </think>")]),
            (Start::Reply, "«think»«tool_call»x«/tool_call»«/think»", vec![thinking("<tool_call>x</tool_call>")]),
            (Start::Content, "stray«/tool_call»", vec![content("stray</tool_call>")]),
        ];
        for (start, reply, expected) in cases {
            for cut in [1, 2, 3, 5, 8, 1000] {
                assert_eq!(parse(TAGS, start, reply, cut), expected, "{reply:?} cut every {cut}");
            }
        }
    }

    #[test]
    fn tool_calls_are_read_at_every_cut() {
        let two = "Let me see.\n«tool_call»\n{\"name\": \"f\", \"arguments\": {\"a\": \"}{\\\"\", \"b\": [1, {}]}}\n«/tool_call»\n\
                   «tool_call»\n{\"name\": \"g\", \"arguments\": {}}\n«/tool_call»\n";
        let cases: Vec<(&str, Vec<Event>)> = vec![
            (
                two,
                vec![
                    content("Let me see."),
                    delta(0, "f", "{\"a\": \"}{\\\"\", \"b\": [1, {}]}"),
                    call(0, "f", json!({ "a": "}{\"", "b": [1, {}] })),
                    delta(1, "g", "{}"),
                    call(1, "g", json!({})),
                ],
            ),
            (
                "«tool_call»{\"name\": \"f\", \"arguments\": {\"x\": 1",
                vec![delta(0, "f", "{\"x\": 1"), call(0, "f", json!({ "x": 1 }))],
            ),
            (
                "a\n\n«tool_call»\nno call\n«/tool_call»\nb",
                vec![
                    content("a\n"),
                    Event::MalformedToolCall { index: 0 },
                    content("<tool_call>\nno call\n</tool_call>b"),
                ],
            ),
            (
                "«tool_call»{\"name\": \"f\"«tool_call»{\"name\": \"g\"}«/tool_call»",
                vec![call(0, "f", json!({})), call(1, "g", json!({}))],
            ),
        ];
        for (reply, expected) in cases {
            for cut in [1, 2, 3, 7, 1000] {
                assert_eq!(parse(TAGS, Start::Content, reply, cut), expected, "{reply:?} cut every {cut}");
            }
        }
    }

    #[test]
    fn without_tools_a_call_is_content() {
        let tags = Tags { tool_call: None, end_tool_call: None, ..TAGS };
        assert_eq!(parse(tags, Start::Content, "«tool_call»{}«/tool_call»", 1), [content("<tool_call>{}</tool_call>")]);
    }
}
