//! What Qwen3's chat format is: messages to prompt pieces, reply ids to events. Pure, and deaf to which ids the tags have.

pub mod json;
pub mod message;
pub mod presets;
pub mod reply;
pub mod template;
pub mod tools;

pub use message::{Message, Role, ToolCall};
pub use template::{Piece, Prompt};
