//! `cli:NAME`: the terminal. It writes no receipt; the move of the event to `done/` is the only record.

use crate::channel::{CLI, Channel};

pub(super) const CHANNEL: Channel = Channel {
    name: CLI,
    send: |delivery| (delivery.print)(delivery.event),
    is_sent: |_, _, _| false,
    check: |_, _| Ok(()),
    problems: |_| Vec::new(),
    hint: "You answer in a terminal.",
    folder: None,
};
