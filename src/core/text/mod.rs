//! Helpers for text that the owner and the agents write: front matter, YAML limits, templates, truncation, edits,
//! escapes for terminals, and problems with line and column.

pub mod base32;
pub mod bounded_lines;
pub mod cut;
pub mod data_mark;
pub mod edit;
pub mod front_matter;
pub mod git_config;
pub mod json_diff;
pub mod keys;
pub mod line_diff;
pub mod problem;
pub mod secret;
pub mod template;
pub mod truncate;
pub mod visible;
pub mod yaml;
