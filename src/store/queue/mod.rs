//! The queue: events in the two mailboxes. A worker claims them by lane; every transition is one rename.

pub mod claimed;
pub mod drops;
pub mod listing;
pub mod locate;
pub mod publish;
pub mod receipt;
pub mod retry_discard;
pub mod spool;
