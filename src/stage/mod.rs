//! The way of an event: route, run-agent, remember, deliver, tick. Library functions; the commands
//! and `supervise` call these same ones, and all of them may run in any number of processes at once.

pub mod control;
pub mod deliver;
pub mod follow;
pub mod outcome;
pub mod remember;
pub mod route;
pub mod supervise;
pub mod task;
pub mod task_watch;
pub mod tick;
pub mod turn;
pub mod worker;
