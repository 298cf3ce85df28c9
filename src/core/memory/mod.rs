//! Memory as values: ranking the lines of notes for a query.

pub mod note_mark;
pub mod recall;
