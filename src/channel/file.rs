//! `file:NAME`: one file per message, `outbox/files/NAME/<id>.md`, exactly once, also when the
//! reader takes files away: the file is written aside, that it is ready is synced into the receipt,
//! and then one rename hands it over. Whether that rename has happened is whether the file is gone.

use crate::channel::Delivery;
use crate::core::event::address::{Address, safe_name};
use crate::core::fault::{Fault, Result};
use crate::store::fs::durable;

const READY: &str = "ready";

pub(super) fn send(delivery: &mut Delivery) -> Result<()> {
    let (event, workspace) = (delivery.event, delivery.workspace);
    check(&event.reply_to)?;
    let sync = workspace.sync()?;
    let aside = workspace.path("outbox/tmp").join(format!("{}.file", event.id));
    let name = format!("outbox/files/{}/{}.md", event.reply_to.rest(), event.id);
    let target = workspace.path(&name);
    if delivery.receipt.lines.is_empty() {
        let text = format!("{}\n", event.content.trim_end());
        durable::write_new(&aside, text.as_bytes(), sync)?;
        durable::sync_dir(&workspace.path("outbox/tmp"), sync)?;
        // The place is durable before anything says that the file may be there.
        workspace.make_dir(target.parent().unwrap_or(&target), 2)?;
        delivery.receipt.push(READY)?;
    }
    match durable::rename(&aside, &target)? {
        durable::Moved::Yes | durable::Moved::Gone => {}
        durable::Moved::Taken => durable::remove(&aside)?,
    }
    durable::sync_dir(target.parent().unwrap_or(&target), sync)?;
    delivery.receipt.push(&name)
}

/// The rest must be a plain folder name.
pub(super) fn check(address: &Address) -> Result<()> {
    let name = address.rest();
    if safe_name(name, 90) == name {
        return Ok(());
    }
    Err(Fault::data(format!("`{address}` names no folder")).hint("use file: and A-Z a-z 0-9 . _ -"))
}
