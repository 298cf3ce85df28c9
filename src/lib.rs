//! `claw`: a personal-agent system made of files. The rooms of the house, and who may enter which,
//! are described in `ARCHITECTURE.md`; `src/main.rs` is its map.

pub mod channel;
pub mod child;
pub mod cli;
pub mod command;
pub mod core;
pub mod provider;
pub mod stage;
pub mod store;
pub mod world;
