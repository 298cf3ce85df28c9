//! Memory as values: the search in notes, facts and their marks, texts that are no notes, and the history of the files.

pub mod change;
pub mod facts;
pub mod merge;
pub mod note_mark;
pub mod origin_marks;
pub mod passage;
pub mod query;
pub mod recall;
pub mod refusal;
pub mod shrink;
