//! Delivering to web clients: one line in the journal, exactly once. The receipt is synced before the line; a delivery
//! that was interrupted in between looks whether its line is there.

use crate::channel::Delivery;
use crate::core::fault::Result;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::Mailbox;
use std::fs;

/// The receipt line.
const KEPT: &str = "kept for the client";
/// The files of the journal in which an earlier attempt may have written its line.
const RECENT_DAYS: usize = 2;

pub(super) fn send(delivery: &mut Delivery) -> Result<()> {
    let (workspace, event) = (delivery.workspace, delivery.event);
    let was_begun = !delivery.receipt.lines.is_empty();
    if !was_begun {
        delivery.receipt.push(KEPT)?;
    }
    if !was_begun || !is_in_journal(workspace, event.id.as_str()) {
        let line = JournalLine::about(Mailbox::Outbox, "outbound", &event.id);
        journal::write(workspace, JournalLine { why: event.reply_to.to_string(), lane: event.reply_to.slug(), ..line });
    }
    Ok(())
}

fn is_in_journal(workspace: &Workspace, id: &str) -> bool {
    journal::files(workspace).iter().rev().take(RECENT_DAYS).any(|path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .filter(|line| line.contains(id))
            .filter_map(journal::parse)
            .any(|line| line.kind == "outbound" && line.id == id)
    })
}
