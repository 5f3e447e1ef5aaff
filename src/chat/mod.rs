//! What Qwen3's chat format is: messages to prompt pieces, reply ids to events.
