//! The sampling that Qwen3's model card recommends for each mode ("Best Practices"), and how the mode is told.

use super::message::{Message, Role};

/// The four numbers of a mode; `sampling` says what they do.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are those of the sampling options")]
pub struct Preset {
    pub temperature: f32,
    pub top_p: f32,
    pub top_k: u32,
    pub min_p: f32,
}

/// For replies that think first.
pub const THINKING: Preset = Preset { temperature: 0.6, top_p: 0.95, top_k: 20, min_p: 0.0 };

/// For replies that do not.
pub const NON_THINKING: Preset = Preset { temperature: 0.7, top_p: 0.8, top_k: 20, min_p: 0.0 };

/// Whether the reply will think: the hard switch is on, and the latest `/think` or `/no_think` in what user and system
/// said, if any, is not `/no_think`.
pub fn will_think(messages: &[Message], enable_thinking: bool) -> bool {
    let said = messages.iter().rev().filter(|message| matches!(message.role, Role::User | Role::System));
    let asked = said.map(|message| message.content.as_str()).find_map(|content| {
        // `</think>` is a tag and no switch.
        let on = content.rmatch_indices("/think").map(|(at, _)| at).find(|&at| !content[..at].ends_with('<'));
        let off = content.rfind("/no_think");
        (on.is_some() || off.is_some()).then_some(on > off)
    });
    enable_thinking && asked.unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_soft_switch_wins_and_the_hard_one_over_it() {
        let cases = [
            (vec![(Role::User, "hi")], true, true),
            (vec![(Role::User, "hi /no_think")], true, false),
            (vec![(Role::User, "/no_think then /think")], true, true),
            (vec![(Role::System, "/no_think"), (Role::User, "hi"), (Role::Assistant, "/think")], true, false),
            (vec![(Role::User, "/no_think"), (Role::User, "/think")], true, true),
            (vec![(Role::User, "/think")], false, false),
            (vec![(Role::User, "/no_think <think></think>")], true, false),
        ];
        for (messages, enable_thinking, expected) in cases {
            let list: Vec<Message> = messages.iter().map(|&(role, text)| Message::new(role, text)).collect();
            assert_eq!(will_think(&list, enable_thinking), expected, "{messages:?}");
        }
    }
}
