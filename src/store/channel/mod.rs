//! Files of channels: pairings, tokens, ids of received messages, the state of listeners.

pub mod listener_state;
pub mod pace;
pub mod pairing;
pub mod pause;
pub mod seen;
pub mod tokens;

/// The folder of channels' own files, one for each channel. Agents cannot read it.
pub const FOLDER: &str = ".claw/channels";
