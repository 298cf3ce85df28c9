//! The queue: events in the two mailboxes, claimed by lane and moved by one rename each.

pub mod drops;
pub mod locate;
pub mod publish;
pub mod receipt;
pub mod retry_discard;
pub mod spool;
