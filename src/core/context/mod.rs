//! The context of a model call: the layers of the system prompt, and compaction when it exceeds the context window.

pub mod compact;
pub mod memory_guide;
pub mod prompt;
mod shorten;
pub mod summary;
pub mod user_messages;
pub mod worth_keeping;
