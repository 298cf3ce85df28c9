//! The stages of an event's way: route, run-agent, remember, deliver, tick. The commands and `supervise` call the same
//! functions, and all of them may run in any number of processes at once.

pub mod control;
pub mod deliver;
pub mod follow;
pub mod listen;
pub mod outcome;
pub mod remember;
pub mod route;
pub mod schedule;
pub mod supervise;
pub mod task;
pub mod task_watch;
pub mod tick;
pub mod trial;
pub mod turn;
pub mod worker;
