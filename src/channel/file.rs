//! `file:NAME`: one file per message, `outbox/files/NAME/<id>.md`. A message arrives exactly once, also when the
//! reader removes files at any time: the text is written to `outbox/tmp`, `ready` is synced into the receipt, and
//! one rename publishes the file. After `ready`, a missing temporary file means that the rename has happened.

use crate::channel::{Channel, Delivery};
use crate::core::event::Event;
use crate::core::event::address::{Address, safe_name};
use crate::core::fault::{Fault, Result};
use crate::store::fs::durable;

pub(super) const CHANNEL: Channel = Channel {
    name: "file",
    send,
    is_sent: |workspace, event, receipt| {
        let is_moved = || workspace.path(&target(event)).exists();
        receipt.lines.iter().any(|line| line != READY) || !receipt.lines.is_empty() && is_moved()
    },
    check: |_, address| check(address),
    problems: |_| Vec::new(),
    hint: "Your answer is written into a file. The reader opens it later.",
    listen: None,
    folder: Some("files"),
};

/// Receipt line: the temporary file is complete and durable.
const READY: &str = "ready";

fn send(delivery: &mut Delivery) -> Result<()> {
    let (event, workspace) = (delivery.event, delivery.workspace);
    check(&event.reply_to)?;
    let sync = workspace.sync()?;
    let temp = workspace.path("outbox/tmp").join(format!("{}.file", event.id));
    let name = target(event);
    let target = workspace.path(&name);
    if delivery.receipt.lines.is_empty() {
        let text = format!("{}\n", event.content.trim_end());
        durable::write_new(&temp, text.as_bytes(), sync)?;
        durable::sync_dir(&workspace.path("outbox/tmp"), sync)?;
        // The target's folder must be durable before the receipt implies that the file may be in it.
        workspace.make_dir(target.parent().unwrap_or(&target), 2)?;
        delivery.receipt.push(READY)?;
    }
    match durable::rename(&temp, &target)? {
        durable::Moved::Yes | durable::Moved::Gone => {}
        durable::Moved::Taken => durable::remove(&temp)?,
    }
    durable::sync_dir(target.parent().unwrap_or(&target), sync)?;
    delivery.receipt.push(&name)
}

/// The file of an event, relative to the workspace.
fn target(event: &Event) -> String {
    format!("outbox/files/{}/{}.md", event.reply_to.rest(), event.id)
}

/// Accepts an address whose rest is a plain folder name. Every channel that makes a path from an address calls this.
pub(super) fn check(address: &Address) -> Result<()> {
    let name = address.rest();
    if safe_name(name, 90) == name {
        return Ok(());
    }
    Err(Fault::data(format!("`{address}` names no folder"))
        .hint(format!("use {}: and A-Z a-z 0-9 . _ -", address.channel())))
}
