//! The context of a model call: the layers of the system prompt, and compaction when it outgrows the window.

pub mod compact;
pub mod prompt;
pub mod summary;
pub mod user_messages;
