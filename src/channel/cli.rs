//! `cli:NAME`: the terminal. It writes no receipt; the move of the event to `done/` is the only record.

use crate::channel::{CLI, Channel};
use crate::core::fault::{Cause, Fault, Kind};

pub(super) const CHANNEL: Channel = Channel {
    name: CLI,
    send: |delivery| (delivery.print)(delivery.event).map_err(unprinted),
    is_sent: |_, _, _| false,
    check: |_, _| Ok(()),
    problems: |_| Vec::new(),
    hint: "You answer in a terminal.",
    listen: None,
    folder: None,
};

/// An answer that could not be printed is never the reason: its delivery is given back, and no attempt is counted.
fn unprinted(fault: Fault) -> Fault {
    let kind = if fault.kind == Kind::Closed { Kind::Closed } else { Kind::Machine };
    Fault { kind, ..fault }.cause(Cause::Unprinted)
}
