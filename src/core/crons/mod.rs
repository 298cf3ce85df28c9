//! Scheduled jobs: the lines of a job's ledger, its state as their sum, and the choice of the instants that run.

pub mod audit;
pub mod choose;
mod fold;
pub mod heartbeat;
pub mod incident;
pub mod line;
pub mod state;
pub mod terms;
