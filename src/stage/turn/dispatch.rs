//! Waiting for another agent. The requesting turn keeps its lane and releases its slots. Its process routes the
//! request, and handles it if no other process does. So one process is enough, and no number of slots is too small.
//! There is no deadlock: a process that holds slots waits for no lane, and a lane waits only for lanes of deeper
//! requests.

use crate::core::event::dispatch::Requester;
use crate::core::event::id::{Derived, Id};
use crate::core::event::stamp::Stamp;
use crate::core::event::{Event, EventKind};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::tool::DISPATCH;
use crate::core::turn::{self, Step};
use crate::stage::follow::{self, Deadline};
use crate::stage::outcome::{EventOutcome, Outcome};
use crate::stage::route;
use crate::stage::turn::active_turn::Turn;
use crate::store::lock::slots::Slots;
use crate::store::queue::{listing, locate, retry_discard, spool};
use crate::store::session::{log, stop};
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{Mailbox, State};
use crate::tool::Host;
use std::time::Instant;

/// The dispatches of a turn.
pub(crate) struct Children<'a, 't> {
    pub(crate) turn: &'a Turn<'t>,
}

impl Host for Children<'_, '_> {
    fn is_interactive(&self) -> bool {
        self.turn.interactive.is_some()
    }

    fn answer(&self, dispatch: &Event) -> Result<Event> {
        let turn = self.turn;
        let left = i64::try_from(turn.deadline.saturating_duration_since(Instant::now()).as_micros());
        let until = Stamp(turn.workspace.world.now().0.saturating_add(left.unwrap_or(i64::MAX)));
        let limit = Deadline { until: Some(until), stop_fd: turn.cancel.stop_fd() };
        turn.lane.occupy(Slots::default());
        let outcome = self.wait(&dispatch.id, limit);
        // If no slots are free in time, the deadline has passed, and only the end of the turn is logged.
        follow::take_slots(turn.workspace, turn.handler, turn.lane, limit)?;
        match outcome? {
            Some(EventOutcome::Failed(fault)) => Err(Fault::new(Kind::Failed, fault.message)),
            Some(EventOutcome::GivenBack(fault)) => Err(Fault { kind: Kind::Machine, ..fault }),
            Some(EventOutcome::Done(_)) => answer(turn.workspace, dispatch),
            Some(EventOutcome::Waiting(..)) | None => {
                stop_turn(turn.workspace, &dispatch.id, &turn.event.id)?;
                let why = if turn.cancel.is_cancelled() { "it was stopped" } else { "there was no answer in time" };
                Err(Fault::new(Kind::Failed, why))
            }
        }
    }
}

impl Children<'_, '_> {
    /// Handles the event, or waits until another process has; `None` if the deadline has passed or the turn was
    /// stopped.
    fn wait(&self, id: &Id, limit: Deadline) -> Result<Option<EventOutcome>> {
        let workspace = self.turn.workspace;
        let mut watch = None;
        loop {
            route::published(workspace)?;
            let due = match follow::run_with_deadline(workspace, &[self.turn.all_sessions], id, limit) {
                Ok(Some(Outcome { state: EventOutcome::Waiting(due, _), .. })) => due,
                Ok(outcome) => return Ok(outcome.map(|outcome| outcome.state)),
                // An earlier event of its lane waits for a retry.
                Err(fault) if fault.kind == Kind::Later => {
                    let after = fault.after.and_then(|seconds| i64::try_from(seconds).ok());
                    workspace.world.now().plus_seconds(after.unwrap_or(1))
                }
                Err(fault) => return Err(fault),
            };
            match &watch {
                Some(watch) if !limit.sleep(workspace, watch, Some(due))? => return Ok(None),
                Some(_) => {}
                None => watch = Some(follow::watch_exits(workspace, Mailbox::Inbox)?),
            }
        }
    }
}

/// The answer, from the log of the session that was asked.
fn answer(workspace: &Workspace, dispatch: &Event) -> Result<Event> {
    let session = dispatch.session.as_deref().unwrap_or_default();
    let done = turn::replay(log::read(workspace, session, &dispatch.id)?, &dispatch.id).done;
    let Some(out) = done else { return Err(Fault::new(Kind::Failed, "it was discarded without an answer")) };
    let answer = out.into_iter().find(|event| event.kind == EventKind::Result);
    answer.ok_or_else(|| Fault::new(Kind::Failed, "it ended without an answer"))
}

/// Whether the turn of `event`, at `next`, waits for a dispatch that has not ended. Then a crash is counted for the
/// event that was asked, not for this one.
///
/// # Errors
/// If a folder cannot be listed.
pub(crate) fn waits(workspace: &Workspace, event: &Event, next: &Step) -> Result<bool> {
    let Step::Call(pending) = next else { return Ok(false) };
    let Some(pending) = pending.first().filter(|pending| pending.call.name == DISPATCH) else { return Ok(false) };
    let found = locate::of(workspace, Mailbox::Inbox, &event.id.derive(Derived::Dispatch, pending.number))?;
    Ok(found.first().is_some_and(|found| found.state.is_some_and(|state| state != State::Failed)))
}

/// Stops a turn on behalf of another one. If it waits for a retry, it is woken, so that it ends now.
fn stop_turn(workspace: &Workspace, turn: &Id, by: &Id) -> Result<()> {
    stop::stop(workspace, turn, by)?;
    let _ = retry_discard::end_wait(workspace, turn);
    Ok(())
}

/// Stops a turn, and every turn that it waits for, in whichever processes they run: durable on return.
///
/// # Errors
/// On a disk error.
pub fn stop_tree(workspace: &Workspace, turn: &Id, by: &Id) -> Result<()> {
    stop_turn(workspace, turn, by)?;
    stop_below(workspace, turn)
}

/// Stops every event that the turn of event `turn` waits for, directly or not. Later dispatches of these turns see the
/// stop when they begin.
fn stop_below(workspace: &Workspace, turn: &Id) -> Result<()> {
    for state in [State::Run, State::Wait, State::Ready, State::New] {
        for entry in listing::list(workspace, Mailbox::Inbox, state)?.into_iter().filter(|entry| entry.id.is_derived())
        {
            let path = Mailbox::Inbox.dir(workspace, state).join(entry.to_string());
            let requester = spool::read_event(&path, &entry.id).ok().as_ref().and_then(Requester::of);
            if requester.is_some_and(|requester| requester.waiting().any(|above| above == turn)) {
                stop_turn(workspace, &entry.id, turn)?;
            }
        }
    }
    Ok(())
}
