//! Channels by name: their settings, who may talk, and the incoming message before it is an event.

pub mod code;
pub mod inbound;
pub mod lines;
pub mod policy;
pub mod settings;
pub mod web;
