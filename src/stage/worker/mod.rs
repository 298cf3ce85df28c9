//! The worker pool: threads that handle the events of one mailbox, lane by lane.

pub mod attempt;
pub mod handler;
pub mod pool;
mod queue;
pub(in crate::stage) mod threads;
