//! Values in, values out: the words of the system and the rules between them.
//!
//! Nothing in this room touches a disk, a clock, a network or the environment, and it imports
//! nothing of ours but itself. Everything here can be tested by comparing whole values.

pub mod address;
pub mod approval;
pub mod binding;
pub mod budget;
pub mod charset;
pub mod compact;
pub mod config;
pub mod definition;
pub mod digest;
pub mod dispatch;
pub mod edit;
pub mod entry;
pub mod event;
pub mod explain;
pub mod fault;
pub mod fit;
pub mod front_matter;
pub mod head;
pub mod id;
pub mod ledger;
pub mod ledger_line;
pub mod lines;
pub mod model;
pub mod model_settings;
pub mod money;
pub mod net;
pub mod overflow;
pub mod overlap;
pub mod page;
pub mod past;
pub mod place;
pub mod problem;
pub mod prompt;
pub mod recall;
pub mod record;
pub mod retry;
pub mod routing;
pub mod session;
pub mod skill;
pub mod slash;
pub mod stamp;
pub mod summary;
pub mod task;
pub mod template;
pub mod tokens;
pub mod tool;
pub mod transcript;
pub mod turn;
pub mod web_settings;
pub mod windows;
pub mod words;
pub mod yaml;
