//! The state of the scheduled jobs, as a value.

use crate::core::crons::audit::{Audit, Auditor};
use crate::core::crons::state::JobState;
use crate::core::crons::terms::RunOutcome;
use crate::core::event::id::{Derived, Id};
use crate::core::fault::Result;
use crate::store::crons::job::{self, CronJob};
use crate::store::crons::ledger;
use crate::store::queue::locate;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::Mailbox;
use crate::store::workspace::zones;
use crate::world;
use jiff::Timestamp;
use serde::Serialize;

/// A scheduled job.
#[derive(Debug, Default, Serialize)]
pub struct CronReport {
    /// Its folder's name.
    pub id: String,
    /// Its purpose.
    pub description: String,
    /// The agent that runs it.
    pub agent: String,
    /// Its schedule, in the canonical form.
    pub schedule: String,
    /// Its zone.
    pub zone: String,
    /// When it runs next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// Why it does not run: `disabled`, or the reason of a pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// The runs that have not ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<Id>,
    /// The instants that wait for the end of the present run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub queued: Vec<Timestamp>,
    /// The run that has ended last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<LastRun>,
    /// The failures in a row.
    pub failures: u32,
    /// The instants that were missed so far.
    pub misses: u64,
    /// The last one, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_miss: Option<LastMissReport>,
    /// The agent that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maker: Option<String>,
    /// The problem with its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A run that has ended.
#[derive(Debug, Serialize)]
pub struct LastRun {
    /// Its event.
    pub event: Id,
    /// When its end was recorded.
    pub at: Timestamp,
    /// `done`, `quiet`, `failed` or `discarded`.
    pub outcome: &'static str,
    /// The reason of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The state of its answer in the outbox: `done` is delivered. Missing if the answer goes nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<&'static str>,
}

/// A missed instant.
#[derive(Debug, Serialize)]
pub struct LastMissReport {
    /// The instant.
    pub due: Timestamp,
    /// The reason.
    pub why: &'static str,
}

/// The reports of all jobs, sorted by their ids.
///
/// # Errors
/// If a folder or a ledger cannot be read.
pub fn all(workspace: &Workspace) -> Result<Vec<CronReport>> {
    job::ids(workspace)?.into_iter().map(|id| of(workspace, id)).collect()
}

/// An instant in the zone of this name.
pub(super) fn show(workspace: &Workspace, zone: &str, at: Timestamp) -> String {
    zones::of(workspace, Some(zone)).map_or_else(|_| at.to_string(), |zone| zone.show(at))
}

/// The report of a job.
///
/// # Errors
/// If its ledger cannot be read.
pub fn of(workspace: &Workspace, id: String) -> Result<CronReport> {
    let ledger = ledger::read(workspace, &ledger::name(&id))?;
    let state = &ledger.state;
    let mut report = CronReport {
        running: state.open.iter().map(|run| run.event.clone()).collect(),
        queued: state.queued.clone(),
        last: last(workspace, state)?,
        failures: state.failures,
        misses: state.misses,
        last_miss: state.last_miss.as_ref().map(|miss| LastMissReport { due: miss.due, why: miss.why.text() }),
        maker: state.maker.as_ref().map(|maker| maker.agent.clone()),
        paused: state.paused.map(|(why, _)| why.text().to_owned()),
        ..CronReport::default()
    };
    match CronJob::read(workspace, &id)? {
        Ok(job) => {
            report.next = next(workspace, &job, state)?;
            report.zone.clone_from(&job.zone.name);
            let cron = &job.cron;
            report.description = cron.description.split_whitespace().collect::<Vec<_>>().join(" ");
            report.agent.clone_from(&cron.agent);
            report.schedule.clone_from(&cron.timing_text);
            if !cron.enabled {
                report.paused = Some("disabled in its file".to_owned());
            }
        }
        Err(fault) => report.problem = Some(fault.to_string()),
    }
    Ok(CronReport { id, ..report })
}

/// When the job runs next; `None` if it is disabled, paused or over.
pub(super) fn next(workspace: &Workspace, job: &CronJob, state: &JobState) -> Result<Option<Timestamp>> {
    let now = workspace.world.now().timestamp();
    match &state.seen {
        _ if !job.cron.enabled => Ok(None),
        Some(_) => job.next(workspace, state),
        // A job that was not looked at yet starts with the first look.
        None => Ok(job.cron.timing.next(&job.zone.rules, now, now)),
    }
}

fn last(workspace: &Workspace, state: &JobState) -> Result<Option<LastRun>> {
    let Some(last) = &state.last else { return Ok(None) };
    let reply = last.event.derive(Derived::Reply, 1);
    let found = match last.how {
        RunOutcome::Done => locate::of(workspace, Mailbox::Outbox, &reply)?.into_iter().next(),
        _ => None,
    };
    Ok(Some(LastRun {
        event: last.event.clone(),
        at: last.at,
        outcome: last.how.name(),
        why: last.why.clone(),
        delivery: found.map(|found| found.state_name()),
    }))
}

impl CronReport {
    /// The job in one line, without its id.
    #[must_use]
    pub fn line(&self, workspace: &Workspace) -> String {
        if let Some(problem) = &self.problem {
            return problem.clone();
        }
        let show = |at: Timestamp| show(workspace, &self.zone, at);
        let mut parts = vec![format!("{} by {}", self.schedule, self.agent)];
        parts.push(match (&self.paused, self.next) {
            (Some(why), _) => format!("paused {why}"),
            (None, Some(next)) => format!("next {}", show(next)),
            (None, None) => "never again".to_owned(),
        });
        if let Some(last) = &self.last {
            let why = last.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let delivery = match last.delivery {
                Some("done") => ", delivered".to_owned(),
                Some(state) => format!(", its answer is in outbox/{state}"),
                None => String::new(),
            };
            parts.push(format!("last {} {}{delivery}{why}", last.outcome, show(last.at)));
        }
        parts.extend((!self.running.is_empty()).then(|| "running".to_owned()));
        parts.extend((!self.queued.is_empty()).then(|| format!("{} waiting", self.queued.len())));
        if let Some(miss) = &self.last_miss {
            parts.push(format!("{} missed, last {}: {}", self.misses, show(miss.due), miss.why));
        }
        parts.extend(self.maker.as_ref().map(|maker| format!("made by {maker}")));
        parts.join("; ")
    }
}

/// The audits of all ledgers from `since`, by job.
///
/// # Errors
/// If a folder or a ledger cannot be read.
pub fn audit(workspace: &Workspace, since: Timestamp) -> Result<Vec<(String, Audit)>> {
    let find_zone = |name: &str| {
        // The owner's zone may have no name.
        let zone = zones::of(workspace, Some(name).filter(|name| world::zone_name().as_deref() != Some(name))).ok()?;
        (zone.name == name).then(|| (zone.rules.clone(), zone.data.clone()))
    };
    let mut runnable = Vec::new();
    for id in job::ids(workspace)? {
        runnable.extend(CronJob::read(workspace, &id)?.is_ok().then(|| ledger::name(&id)));
    }
    let mut audits = Vec::new();
    for name in ledger::names(workspace)? {
        let mut auditor = Auditor::default();
        ledger::each(workspace, &name, |line| auditor.add(&line))?;
        let is_idle = !runnable.contains(&name);
        let now = workspace.world.now().timestamp();
        audits.push((name, auditor.finish(since, now, is_idle, &find_zone)));
    }
    Ok(audits)
}
