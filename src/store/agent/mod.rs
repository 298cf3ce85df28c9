//! The files of agents: definitions, access rules, and the folders their tools work in.

pub mod access;
pub mod attachments;
pub mod definitions;
pub mod files;
pub mod located;
pub mod problems;
pub mod repositories;
pub mod scratch;
pub mod secrets;
pub mod tree;
