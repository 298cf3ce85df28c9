//! The values of Telegram's Bot API, without I/O: formatted text, its rendering from Markdown, its messages, and
//! received updates.

pub mod cut;
pub mod formatted;
pub mod render;
pub mod update;
