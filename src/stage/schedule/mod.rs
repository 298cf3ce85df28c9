//! Schedules: the instants that are due become events, and the ends of their runs are recorded.
//!
//! The event of an instant is published first, under an id that is derived from the instant and the job; then the job's
//! ledger records that it runs. A crash in between gives the same event again. All of that happens under one lock, which
//! is never held during a run.

pub mod ended;
mod fire;
pub mod pass;
