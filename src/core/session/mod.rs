//! A session as values: the records of its log, its compaction, its summary, its transcript.

pub mod compaction;
pub mod record;
pub mod summary;
pub mod transcript;
