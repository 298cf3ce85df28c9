//! The types of the system and its rules, as pure functions from values to values.
//!
//! Modules in this room do not use the disk, the clock, the network or the environment, and import no other room.
//! Tests here compare whole values.

pub mod base64;
pub mod budget;
pub mod channel;
pub mod config;
pub mod context;
pub mod crons;
pub mod definition;
pub mod event;
pub mod fault;
pub mod json;
pub mod markdown;
pub mod memory;
pub mod model;
pub mod program_env;
pub mod routing;
pub mod schedule;
pub mod session;
pub mod slash;
pub mod telegram;
pub mod text;
pub mod tool;
pub mod turn;
pub mod units;
pub mod web;
