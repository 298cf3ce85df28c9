//! Memory as values: the search in notes, and the marks of notes.

pub mod note_mark;
pub mod passage;
pub mod query;
pub mod recall;
