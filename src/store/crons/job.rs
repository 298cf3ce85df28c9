//! A job: its file and its zone, and a look at it now.

use crate::core::crons::choose::{self, Action, Look};
use crate::core::crons::heartbeat;
use crate::core::crons::state::JobState;
use crate::core::crons::terms::MissedReason;
use crate::core::definition::Cron;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::schedule::Timing;
use crate::store::agent::definitions;
use crate::store::crons::{FOLDER, beat, ledger, made};
use crate::store::workspace::Workspace;
use crate::store::workspace::zones::{self, Zone};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A job that can be looked at.
pub struct CronJob {
    /// Its id.
    pub id: String,
    /// Its file.
    pub cron: Arc<Cron>,
    /// Its zone.
    pub zone: Arc<Zone>,
}

impl CronJob {
    /// Reads a job; the inner error is the problem with its file.
    ///
    /// # Errors
    /// `Machine` on a disk error.
    pub fn read(workspace: &Workspace, id: &str) -> Result<std::result::Result<Self, Fault>> {
        Self::read_with(workspace, id, &ledger::read(workspace, &ledger::name(id))?.state)
    }

    /// As [`CronJob::read`], for a caller that has read the job's state: a look at a thousand jobs reads each file once.
    ///
    /// # Errors
    /// As [`CronJob::read`].
    pub fn read_with(workspace: &Workspace, id: &str, state: &JobState) -> Result<std::result::Result<Self, Fault>> {
        let cron = if id == heartbeat::ID {
            match beat::job(workspace) {
                Ok(Some(cron)) => Arc::new(cron),
                Ok(None) => return Ok(Err(Fault::config("the heartbeat is not set up"))),
                Err(fault) if fault.kind == Kind::Machine => return Err(fault),
                Err(fault) => return Ok(Err(fault)),
            }
        } else {
            match definitions::cron(workspace, id)? {
                Ok(cron) => cron,
                Err(problem) => return Ok(Err(Fault::config(problem.to_string()))),
            }
        };
        let zone = match zones::of(workspace, cron.zone_name.as_deref()) {
            Ok(zone) => zone,
            Err(fault) => return Ok(Err(fault)),
        };
        if let Some(maker) = &state.maker
            && let Err(fault) = made::check(workspace, &cron, &zone, maker)
        {
            return if fault.kind == Kind::Machine { Err(fault) } else { Ok(Err(fault)) };
        }
        Ok(Ok(Self { id: id.to_owned(), cron, zone }))
    }

    /// The consequences of a look at the job now.
    ///
    /// # Errors
    /// If its ledger cannot be read.
    pub fn choose(&self, workspace: &Workspace, state: &JobState) -> Result<Vec<Action>> {
        let ran = self.ran(workspace, state)?;
        Ok(choose::choose(&self.look(workspace, &ran), state))
    }

    /// The instant of its next action.
    ///
    /// # Errors
    /// If its ledger cannot be read.
    pub fn next(&self, workspace: &Workspace, state: &JobState) -> Result<Option<Timestamp>> {
        let ran = self.ran(workspace, state)?;
        Ok(choose::next(&self.look(workspace, &ran), state))
    }

    fn look<'a>(&'a self, workspace: &Workspace, ran: &'a BTreeSet<Timestamp>) -> Look<'a> {
        let now = workspace.world.now().timestamp();
        let Zone { rules, name, data } = &*self.zone;
        Look { cron: &self.cron, zone: rules, zone_name: name, zone_data: data, now, ran }
    }

    /// The instants that must not run again, where the clock was set back, or a single instant is seen again.
    fn ran(&self, workspace: &Workspace, state: &JobState) -> Result<BTreeSet<Timestamp>> {
        let after = match (&self.cron.timing, state.ran_to) {
            (Timing::At(_), Some(_)) => Timestamp::MIN,
            _ if state.must_look_back() => state.until.unwrap_or(Timestamp::MIN),
            _ => return Ok(BTreeSet::new()),
        };
        ledger::ran_after(workspace, &ledger::name(&self.id), after)
    }
}

/// The ids of all jobs: the folders in `crons/`, and the heartbeat if it is set up.
///
/// # Errors
/// If the folder cannot be listed.
pub fn ids(workspace: &Workspace) -> Result<Vec<String>> {
    let mut ids = definitions::folders(workspace, FOLDER)?;
    ids.retain(|id| id != heartbeat::ID);
    // Invalid settings are reported by everything that reads them.
    let has_heartbeat = workspace.config().is_ok_and(|config| config.heartbeat.every.is_some());
    ids.extend(has_heartbeat.then(|| heartbeat::ID.to_owned()));
    Ok(ids)
}

/// Why the heartbeat asks no model now, and a mark of everything that it looks at; `None` for every other job.
///
/// # Errors
/// Those of the file system.
pub fn beat(
    workspace: &Workspace,
    job: &CronJob,
    state: &JobState,
    session: &str,
) -> Result<Option<(Option<MissedReason>, String)>> {
    (job.id == heartbeat::ID).then(|| beat::look(workspace, state, session)).transpose()
}

/// The consequences of a look at all jobs now, by job, without carrying them out.
///
/// # Errors
/// `Machine`.
pub fn plan(workspace: &Workspace) -> Result<Vec<(CronJob, Vec<Action>)>> {
    let mut plan = Vec::new();
    for id in ids(workspace)? {
        if let Ok(job) = CronJob::read(workspace, &id)? {
            let actions = job.choose(workspace, &ledger::read(workspace, &ledger::name(&id))?.state)?;
            plan.push((job, actions));
        }
    }
    Ok(plan)
}
