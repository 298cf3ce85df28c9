//! The rules of the web listener, without I/O: frames of clients, cursors, signatures of webhooks, Host and Origin, rates.

pub mod cursor;
pub mod frame;
pub mod hook;
pub mod listen_address;
pub mod rate;
pub mod same_origin;
