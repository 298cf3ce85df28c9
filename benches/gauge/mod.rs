//! What is measured with.

pub mod child;
pub mod server;
pub mod table;
