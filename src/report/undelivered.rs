//! Failed deliveries without a notice: `deliver_to` is not set, or is the destination that was not reached.

use crate::core::event::EventKind;
use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::fault::Result;
use crate::report::event_state::failure;
use crate::store::queue::{listing, spool};
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{Mailbox, State};

/// The most failed deliveries that are looked at, the newest ones.
const MOST: usize = 20;

/// A failed delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// The event.
    pub id: Id,
    /// Its destination.
    pub address: Address,
    /// The first line of the reason.
    pub reason: String,
}

/// The newest failed deliveries without a notice, newest first.
///
/// # Errors
/// If they cannot be listed, or `claw.yaml` is invalid.
pub fn without_notice(workspace: &Workspace) -> Result<Vec<Undelivered>> {
    let home = workspace.home()?;
    let folder = Mailbox::Outbox.dir(workspace, State::Failed);
    let mut found = Vec::new();
    for entry in listing::list(workspace, Mailbox::Outbox, State::Failed)?.into_iter().rev().take(MOST) {
        let Ok(event) = spool::read_event(&folder.join(entry.to_string()), &entry.id) else { continue };
        if event.kind == EventKind::Notice || home.as_ref().is_none_or(|home| *home == event.reply_to) {
            let reason = failure(workspace, Mailbox::Outbox, &entry.id);
            found.push(Undelivered { id: entry.id, address: event.reply_to, reason });
        }
    }
    Ok(found)
}
