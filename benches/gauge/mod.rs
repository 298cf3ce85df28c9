//! Measuring: a folder, children, a model server, the table.

#![allow(dead_code, reason = "what one benchmark does not use, another does")]

pub mod bench;
pub mod child;
pub mod server;
pub mod table;
