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

/// Starts the next round of a failed event, or ends the wait of a waiting one. False if there is neither. Waits while
/// its lane is held: another event of the lane is handled.
///
/// # Errors
/// Those of the file system.
pub fn retry(workspace: &Workspace, id: &Id) -> Result<bool> {
    make_ready(workspace, id, &[State::Failed, State::Wait], Patience::WhileIdle)
}

/// Ends the wait of a waiting event. False if it does not wait.
///
/// # Errors
/// `Later` if its lane is held.
pub fn end_wait(workspace: &Workspace, id: &Id) -> Result<bool> {
    make_ready(workspace, id, &[State::Wait], Patience::None)
}

/// Whether to wait for a lane that is held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    None,
    /// Wait, if the event has failed or waits: then its lane is held for another one, or only for an instant.
    WhileIdle,
}

/// Moves an event that is in one of `states` to where it is processed again: to `ready`, to `new` if it was not routed,
/// to `tmp` if it is a drop.
fn make_ready(workspace: &Workspace, id: &Id, states: &[State], patience: Patience) -> Result<bool> {
    with_event(workspace, id, states, patience, |found| {
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

/// Moves an event that is not done to `done/`. False if there is none. If it has failed or waits, waits while its lane
/// is held.
///
/// # Errors
/// `Later` if its lane is held and the event may be in progress.
pub fn discard(workspace: &Workspace, id: &Id) -> Result<bool> {
    let states = [State::Failed, State::Run, State::Wait, State::Ready, State::New];
    with_event(workspace, id, &states, Patience::WhileIdle, |found| {
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
    patience: Patience,
    act: impl Fn(&LocatedEvent) -> Result<()>,
) -> Result<bool> {
    let mut acted = false;
    for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
        let find = || {
            let mut found = locate::of(workspace, mailbox, id)?.into_iter();
            Ok::<_, Fault>(found.find(|f| f.state.is_some_and(|s| states.contains(&s))))
        };
        while let Some(found) = find()? {
            // The lane before the lock of routing, which every holder keeps only briefly.
            let name = &found.entry.lane;
            let is_idle = matches!(found.state, Some(State::Failed | State::Wait));
            let lane = match name.is_empty() {
                true => None,
                false if patience == Patience::WhileIdle && is_idle => Some(Lane::wait(workspace, mailbox, name)?),
                false => Some(Lane::attempt(workspace, mailbox, name)?.ok_or_else(|| busy(name))?),
            };
            let lock = NamedLock::wait(workspace, "route")?;
            // The event may have moved before the locks were taken.
            let now = find()?;
            let is_same = now.as_ref().is_none_or(|now| now.entry.lane == *name);
            if let Some(now) = now.filter(|_| is_same) {
                act(&now)?;
                acted = true;
            }
            drop(lock);
            if let Some(lane) = lane {
                lane.release();
            }
            if is_same {
                break;
            }
        }
    }
    Ok(acted)
}

fn busy(lane: &str) -> Fault {
    Fault::new(Kind::Later, format!("{lane} is locked")).hint("`claw status` shows the process that holds it")
}
