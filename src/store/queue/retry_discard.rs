//! Retrying and discarding an event at the owner's request, under the lane's lock.

use crate::core::event::entry::{Entry, Tries};
use crate::core::event::id::Id;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::fs::durable;
use crate::store::lock::{Lane, NamedLock};
use crate::store::queue::locate::{self, LocatedEvent};
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::{Mailbox, State};

/// Starts the next round of a failed event, or ends the wait of a waiting one. False if there is neither.
///
/// # Errors
/// `Later` if its lane is held.
pub fn retry(workspace: &Workspace, id: &Id) -> Result<bool> {
    make_ready(workspace, id, &[State::Failed, State::Wait])
}

/// Ends the wait of a waiting event. False if it does not wait.
///
/// # Errors
/// `Later` if its lane is held.
pub fn end_wait(workspace: &Workspace, id: &Id) -> Result<bool> {
    make_ready(workspace, id, &[State::Wait])
}

/// Moves an event that is in one of `states` to where it is processed again: to `ready`, to `new` if it was not routed,
/// to `tmp` if it is a drop.
fn make_ready(workspace: &Workspace, id: &Id, states: &[State]) -> Result<bool> {
    with_event(workspace, id, states, |found| {
        let mailbox = found.mailbox;
        let is_drop = found.path.extension().is_some_and(|e| e == "drop");
        let target = if is_drop {
            mailbox.tmp(workspace).join(found.path.file_name().unwrap_or_default())
        } else {
            let rounds = found.entry.tries.rounds + u32::from(found.state == Some(State::Failed));
            let entry = Entry { due: None, tries: Tries { rounds, ..Tries::default() }, ..found.entry.clone() };
            let state = if entry.lane.is_empty() { State::New } else { State::Ready };
            mailbox.dir(workspace, state).join(entry.to_string())
        };
        // The reason is removed first: while it exists, the event counts as failed.
        durable::remove(&mailbox.reason(workspace, id))?;
        durable::move_or_remove(&found.path, &target)?;
        journal::write(
            workspace,
            JournalLine { from: found.state_name().into(), ..JournalLine::of(mailbox, "retry", &found.entry) },
        );
        Ok(())
    })
}

/// Moves an event that is not done to `done/`. False if there is none.
///
/// # Errors
/// `Later` if its lane is held.
pub fn discard(workspace: &Workspace, id: &Id) -> Result<bool> {
    with_event(workspace, id, &[State::Failed, State::Run, State::Wait, State::Ready, State::New], |found| {
        let done = found.mailbox.done(workspace, id);
        let is_drop = found.path.extension().is_some_and(|e| e == "drop");
        let own = found.path.file_name().filter(|_| is_drop).map(|name| done.with_file_name(name));
        durable::move_or_remove(&found.path, own.as_ref().unwrap_or(&done))?;
        durable::rename(&found.mailbox.reason(workspace, id), &done.with_extension("reason"))?;
        journal::write(
            workspace,
            JournalLine {
                from: found.state_name().into(),
                to: "done".into(),
                ..JournalLine::of(found.mailbox, "discard", &found.entry)
            },
        );
        Ok(())
    })
}

/// Calls `act` in each mailbox with the file of the event that is in one of `states`, under the locks of routing and of
/// its lane. False if there was none.
fn with_event(
    workspace: &Workspace,
    id: &Id,
    states: &[State],
    act: impl Fn(&LocatedEvent) -> Result<()>,
) -> Result<bool> {
    let mut acted = false;
    for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
        let find = || {
            let mut found = locate::of(workspace, mailbox, id)?.into_iter();
            Ok::<_, Fault>(found.find(|f| f.state.is_some_and(|s| states.contains(&s))))
        };
        let Some(found) = find()? else { continue };
        let _lock = NamedLock::wait(workspace, "route")?;
        let lane = match &found.entry.lane {
            lane if lane.is_empty() => None,
            lane => Some(Lane::attempt(workspace, mailbox, lane)?.ok_or_else(|| busy(lane))?),
        };
        // The event may have moved before the lock was taken.
        if let Some(found) = find()? {
            act(&found)?;
            acted = true;
        }
        if let Some(lane) = lane {
            lane.release();
        }
    }
    Ok(acted)
}

fn busy(lane: &str) -> Fault {
    Fault::new(Kind::Later, format!("{lane} is locked")).hint("`claw status` shows the process that holds it")
}
