//! Memory as values: the search in notes, facts and their marks, and texts that are no notes.

pub mod facts;
pub mod note_mark;
pub mod origin_marks;
pub mod passage;
pub mod query;
pub mod recall;
pub mod refusal;
