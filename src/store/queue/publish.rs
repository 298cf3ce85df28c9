//! Writing new events into a mailbox, durable on return.

use crate::core::event::entry::Entry;
use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Draft, Event, MAX_BYTES};
use crate::core::fault::{Fault, Result};
use crate::store::fs::durable;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{Mailbox, State};

/// Completes a draft. A missing sender is the local user, a missing destination the workspace's default one.
///
/// # Errors
/// If `claw.yaml` is invalid.
pub fn complete(workspace: &Workspace, draft: Draft, id: Id) -> Result<Event> {
    Ok(draft.complete(id, workspace.world.now(), &workspace.local_user()?, &workspace.default_destination()?))
}

/// Publishes `event` into `inbox/new`. False if an event of that id is there already.
///
/// # Errors
/// As [`durable::publish`].
pub fn inbox(workspace: &Workspace, event: &Event) -> Result<bool> {
    let due = event.not_before.map(Stamp::from).filter(|due| *due > event.id.stamp() || *due > workspace.world.now());
    put(workspace, Mailbox::Inbox, State::New, &Entry::unrouted(event.id.clone(), due), event)
}

/// Publishes `event` into `outbox/ready`, in the lane of its destination.
///
/// # Errors
/// As [`durable::publish`].
pub fn outbox(workspace: &Workspace, event: &Event) -> Result<bool> {
    put(workspace, Mailbox::Outbox, State::Ready, &Entry::fresh(event.id.clone(), event.reply_to.slug()), event)
}

/// Checks that the JSON of `event` does not exceed [`MAX_BYTES`].
///
/// # Errors
/// `Data` if it does.
pub fn check_size(event: &Event) -> Result<()> {
    match event.to_json()?.len() as u64 {
        0..MAX_BYTES => Ok(()),
        size => Err(Fault::data(format!("event {} has {size} bytes; the limit is {MAX_BYTES}", event.id))),
    }
}

fn put(workspace: &Workspace, mailbox: Mailbox, state: State, entry: &Entry, event: &Event) -> Result<bool> {
    let dir = mailbox.dir(workspace, state);
    check_size(event)?;
    let json = event.to_json()? + "\n";
    durable::publish(&dir, &entry.to_string(), &mailbox.tmp(workspace), json.as_bytes(), workspace.sync()?)
}
