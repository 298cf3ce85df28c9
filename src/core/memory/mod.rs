//! Memory as values: the search in notes, the marks of notes, and the history of the files.

pub mod change;
pub mod merge;
pub mod note_mark;
pub mod passage;
pub mod query;
pub mod recall;
pub mod shrink;
