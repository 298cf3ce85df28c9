//! Features, end to end with the real binary: one module per feature.
#![allow(
    clippy::cloned_ref_to_slice_refs,
    clippy::decimal_bitwise_operands,
    clippy::items_after_statements,
    clippy::nonminimal_bool,
    clippy::single_char_pattern,
    reason = "owed: places of style that came together from several changes"
)]

#[path = "../common/mod.rs"]
mod common;

mod anthropic;
mod approvals;
mod ask;
mod attachments;
mod bad_input;
mod cassettes;
mod channel_examples;
mod channels;
mod chat;
mod collect;
mod command_model;
mod compact;
mod completion;
mod concurrency;
mod crons;
mod dispatch;
mod docs;
mod drops;
mod fallback;
mod file_tools;
mod heartbeat;
mod history;
mod house;
mod import;
mod json;
mod keys;
mod kills;
mod lenient;
mod limits;
mod listen;
mod listen_web;
mod memory;
mod models;
mod neutral;
mod notes;
mod old_files;
mod ollama;
mod openai;
mod origin;
mod pairing;
mod parts;
mod pipe;
mod prompt;
mod reload;
mod requests;
mod responses;
mod risks;
mod routing;
mod sandbox;
mod schedules;
mod schema;
mod secrets;
mod sessions;
mod setup;
mod skills;
mod slash;
mod snapshots;
mod supervise;
mod tasks;
mod telegram;
mod terminal;
mod tmux;
mod turns;

mod units;
mod web;
mod workspace;
