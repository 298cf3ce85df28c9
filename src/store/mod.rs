//! All access to the workspace's files.
//!
//! Invariant: a write that a function here has acknowledged survives a kill at any instruction and, with
//! `sync: full`, a power cut. No other module renames, links, locks or syncs files.

pub mod agent;
pub mod cassette;
pub mod channel;
pub mod crons;
pub mod fs;
pub mod lock;
pub mod memory;
pub mod queue;
pub mod retention;
pub mod routes;
pub mod session;
pub mod skills;
pub mod staging;
pub mod tasks;
pub mod usage;
pub mod workspace;
