//! `claw`: a personal-agent system made of files. The rooms of the house, and who may enter which,
//! are described in `ARCHITECTURE.md`; `src/main.rs` is its map.

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::todo,
        clippy::dbg_macro,
        clippy::allow_attributes
    )
)]

pub mod channel;
pub mod cli;
pub mod command;
pub mod core;
pub mod http;
pub mod process;
pub mod provider;
pub mod report;
pub mod stage;
pub mod store;
pub mod tool;
pub mod world;
