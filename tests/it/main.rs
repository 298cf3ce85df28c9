//! Features, end to end with the real binary: one module per feature.

#[path = "../common/mod.rs"]
mod common;

mod anthropic;
mod approvals;
mod ask;
mod attachments;
mod bad_input;
mod cassettes;
mod channels;
mod chat;
mod collect;
mod command_model;
mod compact;
mod concurrency;
mod crons;
mod dispatch;
mod drops;
mod fallback;
mod file_tools;
mod heartbeat;
mod house;
mod json;
mod keys;
mod kills;
mod lenient;
mod limits;
mod memory;
mod models;
mod neutral;
mod notes;
mod old_files;
mod ollama;
mod openai;
mod origin;
mod pipe;
mod prompt;
mod reload;
mod risks;
mod routing;
mod sandbox;
mod schedules;
mod schema;
mod secrets;
mod sessions;
mod skills;
mod slash;
mod snapshots;
mod supervise;
mod tasks;
mod tmux;
mod turns;

mod units;
mod web;
mod workspace;
