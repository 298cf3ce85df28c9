//! One turn: the model calls and tool calls that answer one event of a session.
//!
//! The `done` line in the session's log is the commit point. It holds the outgoing events whole, so that a kill after
//! it neither loses nor duplicates one.

mod active_turn;
mod answer;
mod attached;
mod before_compaction;
mod calls;
mod collect;
pub(in crate::stage) mod compact;
mod condition;
pub(in crate::stage) mod dispatch;
pub(in crate::stage) mod model_call;
pub mod progress;
pub mod prompt;
pub mod run_agent;

pub use answer::is_stopped;
pub(in crate::stage) use answer::{expired, publish_all};
pub use dispatch::stop_tree;
