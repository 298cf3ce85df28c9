//! A job: its file and its zone, and a look at it now.

use crate::core::crons::choose::{self, Action, Look};
use crate::core::crons::state::JobState;
use crate::core::definition::Cron;
use crate::core::fault::{Fault, Result};
use crate::core::schedule::Timing;
use crate::store::agent::definitions;
use crate::store::crons::{FOLDER, ledger};
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
        let cron = match definitions::cron(workspace, id)? {
            Ok(cron) => cron,
            Err(problem) => return Ok(Err(Fault::config(problem.to_string()))),
        };
        Ok(zones::of(workspace, cron.zone_name.as_deref()).map(|zone| Self { id: id.to_owned(), cron, zone }))
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

/// The consequences of a look at all jobs now, by job, without carrying them out.
///
/// # Errors
/// `Machine`.
pub fn plan(workspace: &Workspace) -> Result<Vec<(CronJob, Vec<Action>)>> {
    let mut plan = Vec::new();
    for id in definitions::folders(workspace, FOLDER)? {
        if let Ok(job) = CronJob::read(workspace, &id)? {
            let actions = job.choose(workspace, &ledger::read(workspace, &ledger::name(&id))?.state)?;
            plan.push((job, actions));
        }
    }
    Ok(plan)
}
