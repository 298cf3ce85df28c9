//! Writing new events into a mailbox, durable on return.

use crate::core::event::entry::Entry;
use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Draft, Event, MAX_BYTES};
use crate::core::fault::{Fault, Result};
use crate::store::fs::durable;
use crate::store::lock::NamedLock;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{Mailbox, State};
use jiff::Timestamp;

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
    put(workspace, Mailbox::Inbox, event)
}

/// Publishes `event` into `outbox/ready`, in the lane of its destination.
///
/// # Errors
/// As [`durable::publish`].
pub fn outbox(workspace: &Workspace, event: &Event) -> Result<bool> {
    put(workspace, Mailbox::Outbox, event)
}

/// Publishes events that share the flushes of the disk. The result of each is that of [`inbox`] or [`outbox`].
///
/// # Errors
/// If `claw.yaml` is invalid.
pub fn all<'e>(
    workspace: &Workspace,
    mailbox: Mailbox,
    events: impl Iterator<Item = &'e Event>,
) -> Result<Vec<Result<bool>>> {
    let mut results: Vec<Result<bool>> = Vec::new();
    let (mut files, mut places) = (Vec::new(), Vec::new());
    for event in events {
        match file(workspace, mailbox, event) {
            Ok(file) => {
                places.push(results.len());
                files.push(file);
                results.push(Ok(false));
            }
            Err(fault) => results.push(Err(fault)),
        }
    }
    let dir = mailbox.dir(workspace, published_state(mailbox));
    let published = durable::publish_all(&dir, &files, &mailbox.tmp(workspace), workspace.sync()?);
    for (place, result) in places.into_iter().zip(published) {
        results[place] = result;
    }
    Ok(results)
}

/// Ends the delay of an event that waits in `inbox/new` until `not_before`. An event that is not there any more is no
/// error.
///
/// # Errors
/// Those of the file system.
pub fn end_delay(workspace: &Workspace, id: &Id, not_before: Option<Timestamp>) -> Result<()> {
    let name = |due| Mailbox::Inbox.dir(workspace, State::New).join(Entry::unrouted(id.clone(), due).to_string());
    let _lock = NamedLock::wait(workspace, "route")?;
    durable::rename(&name(not_before.map(Stamp::from)), &name(None)).map(drop)
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

fn put(workspace: &Workspace, mailbox: Mailbox, event: &Event) -> Result<bool> {
    let dir = mailbox.dir(workspace, published_state(mailbox));
    let (name, bytes) = file(workspace, mailbox, event)?;
    durable::publish(&dir, &name, &mailbox.tmp(workspace), &bytes, workspace.sync()?)
}

/// The state of an event that was just published.
fn published_state(mailbox: Mailbox) -> State {
    match mailbox {
        Mailbox::Inbox => State::New,
        Mailbox::Outbox => State::Ready,
    }
}

/// Name and content of an event's file.
fn file(workspace: &Workspace, mailbox: Mailbox, event: &Event) -> Result<(String, Vec<u8>)> {
    check_size(event)?;
    let entry = match mailbox {
        Mailbox::Inbox => {
            let due = event.not_before.map(Stamp::from);
            let due = due.filter(|due| *due > event.id.stamp() || *due > workspace.world.now());
            Entry::unrouted(event.id.clone(), due)
        }
        Mailbox::Outbox => Entry::fresh(event.id.clone(), event.reply_to.slug()),
    };
    Ok((entry.to_string(), (event.to_json()? + "\n").into_bytes()))
}
