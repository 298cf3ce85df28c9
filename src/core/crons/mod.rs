//! Scheduled jobs: the lines of a job's ledger, its state as their sum, and the choice of the instants that run.

pub mod audit;
pub mod choose;
pub mod incident;
pub mod line;
pub mod state;
