//! A session as values: the records of its log, what compaction left of it, its summary, its transcript.

pub mod compaction;
pub mod record;
pub mod summary;
pub mod transcript;
