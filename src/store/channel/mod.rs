//! Files of channels: pairings, tokens, ids of received messages, the state of listeners.

pub mod listener_state;
pub mod pairing;
pub mod seen;
pub mod tokens;
