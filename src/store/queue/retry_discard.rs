//! What a person does to an event: try it again, or give it up. Both hold the lane's lock.

use crate::core::event::entry::{Entry, Tries};
use crate::core::event::id::Id;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::fs::durable;
use crate::store::lock::{Lane, NamedLock};
use crate::store::queue::locate::{self, Located};
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::{Mailbox, State};

/// Puts a failed event into its next round, or ends the wait of a waiting one. False where it is
/// neither.
///
/// # Errors
/// `Later` where somebody works on its lane.
pub fn retry(workspace: &Workspace, id: &Id) -> Result<bool> {
    again(workspace, id, &[State::Failed, State::Wait])
}

/// Ends the wait of an event, and touches none that does not wait.
///
/// # Errors
/// `Later` where somebody works on its lane.
pub fn end_wait(workspace: &Workspace, id: &Id) -> Result<bool> {
    again(workspace, id, &[State::Wait])
}

fn again(workspace: &Workspace, id: &Id, states: &[State]) -> Result<bool> {
    with_pending(workspace, id, states, |found| {
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
        // The reason goes first: where it stands, the event counts as failed.
        durable::remove(&mailbox.reason(workspace, id))?;
        durable::move_or_remove(&found.path, &target)?;
        journal::write(
            workspace,
            JournalLine { from: found.state_name().into(), ..JournalLine::of(mailbox, "retry", &found.entry) },
        );
        Ok(())
    })
}

/// Moves an event that is not done to `done/`. False where there is none.
///
/// # Errors
/// `Later` where somebody works on its lane.
pub fn discard(workspace: &Workspace, id: &Id) -> Result<bool> {
    with_pending(workspace, id, &[State::Failed, State::Run, State::Wait, State::Ready, State::New], |found| {
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

fn with_pending(
    workspace: &Workspace,
    id: &Id,
    states: &[State],
    act: impl Fn(&Located) -> Result<()>,
) -> Result<bool> {
    let mut acted = false;
    for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
        let find = || {
            let mut found = locate::of(workspace, mailbox, id)?.into_iter();
            Ok::<_, Fault>(found.find(|f| f.state.is_some_and(|s| states.contains(&s))))
        };
        let Some(found) = find()? else { continue };
        let _only = NamedLock::wait(workspace, "route")?;
        let lane = match &found.entry.lane {
            lane if lane.is_empty() => None,
            lane => Some(Lane::attempt(workspace, mailbox, lane)?.ok_or_else(|| busy(lane))?),
        };
        // What was seen without the lock may have moved.
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
    Fault::new(Kind::Later, format!("somebody works on {lane}")).hint("claw status says who")
}
