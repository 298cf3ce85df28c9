//! One attempt at a claimed event: on the calling thread, or in a process of its own if the event may kill its worker.
//! That process gets the lane's lock and reports its outcome on stdout. Only its death, which this process sees, is
//! blamed on the event.

use crate::core::event::entry::Tries;
use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Kind, Result};
use crate::process::own::{self, ProcessEnd};
use crate::stage::outcome::{EventOutcome, Outcome, crashed, fail};
use crate::stage::worker::handler::Handler;
use crate::store::lock::Lane;
use crate::store::lock::slots::Slots;
use crate::store::queue::spool::Job;
use crate::store::workspace::journal::{self, JournalLine};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;

/// The first line of a report: the event is handled from here on.
pub const BEGUN: &str = "begun";
/// How long an event waits if no process can be made for it, in seconds.
const PAUSE: i64 = 5;

/// An [`EventOutcome`] on its way between two processes.
#[derive(Debug, Serialize, Deserialize)]
enum ReportedOutcome {
    Done(Vec<String>),
    Waiting(i64, Fault),
    Failed(Fault),
    GivenBack(Fault),
}

/// The line that reports an outcome.
///
/// # Errors
/// None in practice: every outcome can be written as JSON.
pub fn report_line(outcome: &Outcome) -> Result<String> {
    let reported = match &outcome.state {
        EventOutcome::Done(out) => ReportedOutcome::Done(out.clone()),
        EventOutcome::Waiting(due, fault) => ReportedOutcome::Waiting(due.0, fault.clone()),
        EventOutcome::Failed(fault) => ReportedOutcome::Failed(fault.clone()),
        EventOutcome::GivenBack(fault) => ReportedOutcome::GivenBack(fault.clone()),
    };
    serde_json::to_string(&reported).map_err(|e| Fault::data(e.to_string()))
}

/// Handles a claimed event in a lane that the caller holds. `None`: the attempt has ended without an outcome, and the
/// lane must be listed again.
pub(in crate::stage) fn run(handler: &dyn Handler, job: Job, lane: &Lane) -> Option<Outcome> {
    let tries = job.entry.tries;
    if !tries.is_suspect() || !handler.may_run_apart(&job) {
        return Some(handler.run(job, lane));
    }
    if tries.is_untouchable() {
        return Some(fail_unread(job));
    }
    in_own_process(job, lane)
}

/// Fails an event that has killed even the process that was to fail it. Its session's log, note or receipt may be the
/// reason, so only the event itself is read.
fn fail_unread(job: Job) -> Outcome {
    let (id, mailbox, workspace) = (job.entry.id.clone(), job.mailbox, job.workspace);
    let fault = crashed(&job).unwrap_or_else(|| Fault::new(Kind::Failed, "its workers were killed"));
    let event = job.read().ok();
    let failed = fail(workspace, mailbox, job, &fault, event.as_ref());
    let state = failed.map_or_else(EventOutcome::GivenBack, |()| EventOutcome::Failed(fault));
    Outcome { id, state }
}

fn in_own_process(job: Job, lane: &Lane) -> Option<Outcome> {
    let id = job.entry.id.clone();
    let started = lane.share_lock().and_then(|lock| own::start(&arguments(&job), clock(&job), lock));
    let started = started.and_then(|started| job.handled_by(&started.handle).map(|()| started));
    let end = match started {
        Ok(started) => {
            // The process takes slots of its own.
            lane.occupy(Slots::default());
            started.finish()
        }
        Err(fault) => return Some(put_off(job, fault)),
    };
    match reported(&end) {
        Reported::Outcome(state) => Some(Outcome { id, state }),
        Reported::NotBegun => {
            let why = format!("the process for an event that killed its worker did not begin: {}", end.status);
            Some(put_off(job, Fault::new(Kind::Machine, why)))
        }
        Reported::Death => {
            lane.leave_to_watchers();
            blame(job, id, &end)
        }
    }
}

/// The arguments of the process: the workspace, whether it is trusted, the cassette to record on, the mailbox, and the
/// event's name in `run/`.
fn arguments(job: &Job) -> Vec<OsString> {
    let workspace = job.workspace;
    let record = workspace.record.clone().unwrap_or_default();
    vec![
        workspace.root.clone().into(),
        u8::from(workspace.is_trusted).to_string().into(),
        record.into(),
        job.mailbox.name().into(),
        job.entry.to_string().into(),
    ]
}

/// The clock of `tick --now`.
fn clock<'a>(job: &Job) -> Option<(&'a str, String)> {
    job.workspace.world.fixed_now().map(|now| ("CLAW_NOW", now.timestamp().to_string()))
}

/// What a process has reported.
enum Reported {
    Outcome(EventOutcome),
    /// It has ended before it began with the event.
    NotBegun,
    /// It has ended while it handled the event.
    Death,
}

fn reported(end: &ProcessEnd) -> Reported {
    let text = String::from_utf8_lossy(&end.report);
    let mut lines = text.lines();
    if lines.next() != Some(BEGUN) {
        return Reported::NotBegun;
    }
    match lines.next().and_then(|line| serde_json::from_str(line).ok()) {
        Some(ReportedOutcome::Done(out)) => Reported::Outcome(EventOutcome::Done(out)),
        Some(ReportedOutcome::Waiting(due, fault)) => Reported::Outcome(EventOutcome::Waiting(Stamp(due), fault)),
        Some(ReportedOutcome::Failed(fault)) => Reported::Outcome(EventOutcome::Failed(fault)),
        Some(ReportedOutcome::GivenBack(fault)) => Reported::Outcome(EventOutcome::GivenBack(fault)),
        None => Reported::Death,
    }
}

/// The machine cannot handle the event now. Other events need no process of their own, so that only this one waits.
fn put_off(job: Job, fault: Fault) -> Outcome {
    let (id, due) = (job.entry.id.clone(), job.workspace.world.now().plus_seconds(PAUSE));
    let state = job.put_off(due).map_or_else(EventOutcome::GivenBack, |()| EventOutcome::Waiting(due, fault));
    Outcome { id, state }
}

/// Counts the death of the event's own process. `None` if the event is given up: the next attempt fails it.
fn blame(job: Job, id: Id, end: &ProcessEnd) -> Option<Outcome> {
    let (mailbox, workspace, entry) = (job.mailbox, job.workspace, job.entry.clone());
    let why = |tries: Tries| {
        let kills = tries.crashes;
        Fault::new(Kind::Failed, format!("its worker was killed ({}), {kills} times in a row", end.status))
    };
    match job.blame() {
        Ok(Some((tries, Some(due)))) => {
            let fault = why(tries);
            let line = JournalLine {
                to: "wait".into(),
                until: Some(due.timestamp()),
                why: fault.to_string(),
                ..JournalLine::of(mailbox, "wait", &entry)
            };
            journal::write(workspace, line);
            Some(Outcome { id, state: EventOutcome::Waiting(due, fault) })
        }
        Ok(_) => None,
        Err(fault) => Some(Outcome { id, state: EventOutcome::GivenBack(fault) }),
    }
}
