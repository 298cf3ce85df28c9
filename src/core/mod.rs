//! Values in, values out: the words of the system and the rules between them.
//!
//! Nothing in this room touches a disk, a clock, a network or the environment, and it imports
//! nothing of ours but itself. Everything here can be tested by comparing whole values.

pub mod budget;
pub mod config;
pub mod context;
pub mod definition;
pub mod event;
pub mod fault;
pub mod memory;
pub mod model;
pub mod routing;
pub mod session;
pub mod slash;
pub mod text;
pub mod tool;
pub mod turn;
pub mod web;
