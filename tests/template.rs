//! Qwen3's chat template against the official Jinja template, byte for byte.

use qwen3_web::chat::message::messages;
use qwen3_web::chat::template::{CONTROLS, Piece, Settings, prompt};
use serde_json::Value;

const CORPUS: &str = include_str!("fixtures/template-corpus.json");

struct Case {
    messages: Value,
    settings: Settings,
    on: String,
    off: String,
}

fn cases() -> Vec<Case> {
    let corpus: Value = serde_json::from_str(CORPUS).unwrap();
    let flag = |case: &Value, key: &str| case.get(key).is_some_and(|flag| flag.as_bool().unwrap());
    let cases: Vec<Case> = corpus["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| {
            let indices = case.get("tools").map(|tools| tools.as_array().unwrap().clone()).unwrap_or_default();
            let tools = indices.iter().map(|index| corpus["tools"][index.as_u64().unwrap() as usize].clone()).collect();
            let on = case["on"].as_str().unwrap().to_owned();
            let off = on.clone() + case.get("off").map_or("", |added| added.as_str().unwrap());
            let settings = Settings {
                tools,
                enable_thinking: true,
                add_generation_prompt: flag(case, "generate"),
                continue_final_message: flag(case, "continue"),
            };
            Case { messages: case["messages"].clone(), settings, on, off }
        })
        .collect();
    assert!(cases.len() >= 500);
    cases
}

#[test]
fn prompts_equal_the_official_template_in_both_modes() {
    let mut n_continued = 0;
    for (index, case) in cases().into_iter().enumerate() {
        let messages = messages(&case.messages).unwrap();
        n_continued += usize::from(case.settings.continue_final_message);
        let on = prompt(&messages, &case.settings).unwrap().text();
        assert_eq!(on, case.on, "case {index}: {}", case.messages);
        let off = prompt(&messages, &Settings { enable_thinking: false, ..case.settings }).unwrap().text();
        assert_eq!(off, case.off, "case {index}, without thinking: {}", case.messages);
    }
    assert!(n_continued > 10, "{n_continued}");
}

/// The same conversation with nothing in it that could be taken for a control token must give the same control pieces:
/// what text looks like decides nothing.
#[test]
fn control_pieces_do_not_depend_on_what_text_looks_like() {
    fn harmless(value: &Value) -> Value {
        match value {
            Value::String(text) => {
                let tagged = text.starts_with("<tool_response>") && text.ends_with("</tool_response>");
                // These steer the template itself: a disguised tool result, and thinking written into content.
                if tagged || text.contains("</think>") {
                    return value.clone();
                }
                Value::String(CONTROLS.iter().fold(text.clone(), |text, control| text.replace(control, "_")))
            }
            Value::Array(items) => items.iter().map(harmless).collect(),
            Value::Object(fields) => fields.iter().map(|(key, field)| (key.clone(), harmless(field))).collect(),
            other => other.clone(),
        }
    }
    let controls = |value: &Value, settings: &Settings| -> Vec<String> {
        let prompt = prompt(&messages(value).unwrap(), settings).unwrap();
        prompt
            .pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Control(control) => Some(control.to_string()),
                Piece::Text(_) => None,
            })
            .collect()
    };
    for case in cases() {
        let bare = Settings { tools: case.settings.tools.iter().map(harmless).collect(), ..case.settings.clone() };
        assert_eq!(
            controls(&case.messages, &case.settings),
            controls(&harmless(&case.messages), &bare),
            "{}",
            case.messages
        );
    }
}

#[test]
fn pieces_alternate_and_hold_no_empty_text() {
    for case in cases() {
        let prompt = prompt(&messages(&case.messages).unwrap(), &case.settings).unwrap();
        for pair in prompt.pieces.windows(2) {
            assert!(!matches!(pair, [Piece::Text(_), Piece::Text(_)]));
        }
        assert!(prompt.pieces.iter().all(|piece| !matches!(piece, Piece::Text(text) if text.is_empty())));
    }
}
