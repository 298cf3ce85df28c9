//! Lines that are typed at a terminal: the editor of the chat, and the files that a line names.

pub(in crate::command) mod editor;
pub(in crate::command) mod mentions;
