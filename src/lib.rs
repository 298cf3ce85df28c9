//! `claw`: a personal-agent system made of files. `ARCHITECTURE.md` describes the rooms and their imports;
//! `src/main.rs` has a short map of them.

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
pub mod import;
pub mod process;
pub mod provider;
pub mod report;
pub mod stage;
pub mod store;
pub mod tool;
pub mod world;
