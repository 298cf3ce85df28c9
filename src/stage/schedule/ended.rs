//! The end of a run: its outcome in the job's ledger, notices to the owner, and the folder of a one-off job. The process
//! that ends an event records it; after a kill the next look at the schedule does, from the session's log or the reason
//! of the failure.

use crate::core::crons::heartbeat;
use crate::core::crons::incident::{self, Incident};
use crate::core::crons::line::CronLine;
use crate::core::crons::state::{JobState, OpenRun};
use crate::core::crons::terms::{PauseReason, RunOutcome};
use crate::core::event::address::Address;
use crate::core::event::id::{Derived, Id};
use crate::core::event::scheduled;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Draft, EventKind};
use crate::core::fault::Result;
use crate::core::session::record::Record;
use crate::core::text::cut::cut;
use crate::store::crons::ledger::{self, CronLedger};
use crate::store::fs::{At, if_there};
use crate::store::queue::{locate, publish};
use crate::store::session::log;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::Mailbox;
use std::fs;
use std::path::Path;

/// The longest reason in a ledger, in bytes.
const MAX_WHY: usize = 400;
/// A run whose event is nowhere counts as lost after this many seconds.
const LOST_AFTER: i64 = 24 * 3600;

/// Whether a run may have ended: a cheap look, without the lock.
pub(super) fn may_have_ended(workspace: &Workspace, run: &OpenRun) -> bool {
    let is_old = Stamp::from(run.due).plus_seconds(LOST_AFTER) < workspace.world.now();
    is_old
        || Mailbox::Inbox.done(workspace, &run.event).exists()
        || Mailbox::Inbox.reason(workspace, &run.event).exists()
}

/// Records the end of a run, if it has ended: first the notice, then the lines. The caller holds the lock.
pub(super) fn settle(workspace: &Workspace, id: &str, ledger: &mut CronLedger, run: &OpenRun) -> Result<()> {
    let Some((how, why)) = outcome(workspace, run)? else { return Ok(()) };
    let is_known = ledger.state.last.as_ref().is_some_and(|last| last.event == run.event && last.how == how);
    if is_known && ledger.state.open.iter().all(|open| open.event != run.event) {
        return Ok(());
    }
    let at = workspace.world.now().timestamp();
    let mut lines = vec![CronLine::Outcome { at, event: run.event.clone(), how, why: why.clone() }];
    let because = why.map(|why| format!(": {why}")).unwrap_or_default();
    let text = match incident::of(&ledger.state, how) {
        Incident::None => None,
        Incident::Begins => {
            lines.push(CronLine::Told { at });
            let hint = format!("Its next runs go on: claw crons, claw why {}", run.event.short());
            Some(format!(
                "the scheduled job `{id}` has failed {} times in a row{because}\n{hint}",
                incident::TELL_AFTER
            ))
        }
        Incident::Pauses => {
            lines.push(CronLine::Paused { at, why: PauseReason::Failures });
            let failed = format!("the scheduled job `{id}` has failed {} times in a row", incident::PAUSE_AFTER);
            Some(format!("{failed}, and is paused{because}\nWhen it can work again: claw crons resume {id}"))
        }
        Incident::Ends => Some(format!("the scheduled job `{id}` works again")),
    };
    if let Some(text) = text {
        tell(workspace, &run.event, text, None)?;
    }
    ledger::append(workspace, &ledger::name(id), ledger, &lines)
}

/// Publishes a notice about an event to `place`, or to the owner. Its id is derived from the event's.
pub(super) fn tell(workspace: &Workspace, about: &Id, text: String, place: Option<Address>) -> Result<()> {
    let draft = Draft {
        kind: EventKind::Notice,
        from: Some(Address::parse("claw:notice")?),
        reply_to: Some(place.map_or_else(|| workspace.default_destination(), Ok)?),
        in_reply_to: Some(about.clone()),
        ..Draft::message(text)
    };
    let notice = publish::complete(workspace, draft, about.derive(Derived::Notice, 1))?;
    publish::outbox(workspace, &notice).map(drop)
}

/// Whether a one-off job has run, so that its folder moves away.
pub(super) fn is_over(state: &JobState) -> bool {
    let last = state.last.as_ref().filter(|last| last.how.is_success() && !last.is_outdated);
    state.open.is_empty() && last.is_some()
}

/// How a run has ended, and why it has failed; `None` if it has not ended.
fn outcome(workspace: &Workspace, run: &OpenRun) -> Result<Option<(RunOutcome, Option<String>)>> {
    if let Some(why) = reason(&Mailbox::Inbox.reason(workspace, &run.event))? {
        return Ok(Some((RunOutcome::Failed, Some(why))));
    }
    if !Mailbox::Inbox.done(workspace, &run.event).exists() {
        let is_old = Stamp::from(run.due).plus_seconds(LOST_AFTER) < workspace.world.now();
        if !is_old || !locate::of(workspace, Mailbox::Inbox, &run.event)?.is_empty() {
            return Ok(None);
        }
    }
    if let Some(how) = answered(workspace, run)? {
        return Ok(Some((how, None)));
    }
    let why = reason(&Mailbox::Inbox.done_reason(workspace, &run.event))?;
    Ok(Some((RunOutcome::Discarded, why)))
}

/// The outcome in the session's log, if the log has the end of the event.
fn answered(workspace: &Workspace, run: &OpenRun) -> Result<Option<RunOutcome>> {
    let (mut answer, mut is_done) = (None, false);
    for record in log::read(workspace, &run.session, &run.event)? {
        match record {
            Record::Model { id, reply, .. } if id == run.event => answer = Some(reply.content),
            Record::Done { ids, said, .. } if ids.contains(&run.event) => {
                answer = said.or(answer);
                is_done = true;
                break;
            }
            _ => {}
        }
    }
    // Without any text the command in `if` has decided that there is nothing to do.
    let how = if answer.is_none_or(|text| scheduled::is_quiet(&text) || heartbeat::is_ok(&text)) {
        RunOutcome::Quiet
    } else {
        RunOutcome::Done
    };
    Ok(is_done.then_some(how))
}

/// The first line of a reason.
fn reason(path: &Path) -> Result<Option<String>> {
    let text = if_there(fs::read(path)).at("read", path)?;
    Ok(text.map(|text| cut(String::from_utf8_lossy(&text).lines().next().unwrap_or_default(), MAX_WHY).to_owned()))
}
