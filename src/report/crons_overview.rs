//! The next scheduled run, and the jobs that are paused or fail, for `claw status`.

use crate::core::crons::state::JobState;
use crate::core::fault::Result;
use crate::report::crons::{next, show};
use crate::store::crons::job::{self, CronJob};
use crate::store::crons::ledger;
use crate::store::workspace::Workspace;
use jiff::Timestamp;
use serde::Serialize;

/// The next run, and the jobs that need the owner.
#[derive(Debug, Default)]
pub struct CronsOverview {
    /// The first run of all jobs.
    pub next: Option<NextRun>,
    /// The jobs that are paused, or whose last runs have failed.
    pub troubled: Vec<TroubledJob>,
}

/// The next run of a job.
#[derive(Clone, Debug, Serialize)]
pub struct NextRun {
    /// The job.
    pub job: String,
    /// When it is due.
    pub due_at: Timestamp,
    /// The name of its zone.
    pub zone: String,
}

/// A job that is paused, or whose last runs have failed.
#[derive(Clone, Debug, Serialize)]
pub struct TroubledJob {
    /// The job.
    pub job: String,
    /// Why it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<&'static str>,
    /// The failures in a row.
    pub failures: u32,
    /// The reason of the last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The overview of all jobs. A problem with a job's file is left out: it is reported with all others.
///
/// # Errors
/// If a folder or a ledger cannot be read.
pub fn overview(workspace: &Workspace) -> Result<CronsOverview> {
    let mut overview = CronsOverview::default();
    for id in job::ids(workspace)? {
        let ledger = ledger::read(workspace, &ledger::name(&id))?;
        let JobState { paused, failures, last, .. } = &ledger.state;
        if paused.is_some() || *failures > 0 {
            let why = last.as_ref().filter(|_| *failures > 0).and_then(|last| last.why.clone());
            let paused = paused.map(|(why, _)| why.text());
            overview.troubled.push(TroubledJob { job: id.clone(), paused, failures: *failures, why });
        }
        if let Ok(job) = CronJob::read_with(workspace, &id, &ledger.state)?
            && let Some(due_at) = next(workspace, &job, &ledger.state)?
            && overview.next.as_ref().is_none_or(|next| due_at < next.due_at)
        {
            overview.next = Some(NextRun { job: id, due_at, zone: job.zone.name.clone() });
        }
    }
    Ok(overview)
}

impl NextRun {
    /// Its time in its zone: `2026-12-24 18:00:00 CET`.
    #[must_use]
    pub fn show(&self, workspace: &Workspace) -> String {
        show(workspace, &self.zone, self.due_at)
    }
}

impl TroubledJob {
    /// The trouble in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let paused = self.paused.map(|why| format!("paused {why}"));
        let failed = match self.failures {
            0 => None,
            1 => Some("its last run has failed".to_owned()),
            n => Some(format!("its last {n} runs have failed")),
        };
        let parts: Vec<String> = paused.into_iter().chain(failed).collect();
        let why = self.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{}{why}", parts.join("; "))
    }
}
