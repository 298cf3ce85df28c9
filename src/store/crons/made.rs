//! Jobs that agents make: the ledger names the maker, and the job may do no more than the maker. It stays the agent's after
//! the owner has edited its file; a copy under a new name is the owner's.

use crate::core::crons::line::CronLine;
use crate::core::crons::state::Maker;
use crate::core::definition::Cron;
use crate::core::event::origin::Origin;
use crate::core::event::{Event, EventKind};
use crate::core::fault::{Fault, Result};
use crate::store::agent::definitions;
use crate::store::crons::ledger::{self, CronLedger};
use crate::store::crons::{FOLDER, lock};
use crate::store::workspace::Workspace;
use crate::store::workspace::zones::Zone;
use jiff::{SignedDuration, Timestamp};
use std::fs;
use std::path::Path;

/// The file of a job.
const FILE: &str = "CRON.md";
/// Gaps between instants are checked over this time.
const CHECKED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The job whose file is at this path; `None` for other files.
#[must_use]
pub fn job_at(workspace: &Workspace, path: &Path) -> Option<String> {
    let folder = workspace.path(FOLDER);
    let real = fs::canonicalize(&folder).unwrap_or_else(|_| folder.clone());
    let below = path.strip_prefix(&real).or_else(|_| path.strip_prefix(&folder)).ok()?;
    let (id, file) = (below.parent()?, below.file_name()?);
    (file == FILE && id.components().count() == 1).then(|| id.to_str().map(str::to_owned))?
}

/// Records that `agent` is about to write a job's file in the turn of `event`. The line comes first, so that the job never
/// runs as the owner's.
///
/// # Errors
/// `Data`, with a message for the model, if the agent may not make the job; those of the file system.
pub fn record(workspace: &Workspace, id: &str, agent: &str, event: &Event, origin: &Origin) -> Result<()> {
    let settings = &workspace.config()?.crons;
    if matches!(event.kind, EventKind::Cron | EventKind::Heartbeat) && !settings.made_by_runs {
        return Err(Fault::data("a scheduled run may not make or change scheduled jobs; nothing was written")
            .hint("tell the owner what should be scheduled"));
    }
    let _lock = lock(workspace)?;
    let name = ledger::name(id);
    let mut ledger = CronLedger::clone(&*ledger::read(workspace, &name)?);
    let place = event.reply_to.as_str().to_owned();
    let maker = Maker { agent: agent.to_owned(), origin: origin.clone(), place: Some(place.clone()) };
    if ledger.state.maker.as_ref() == Some(&maker) {
        return Ok(());
    }
    if ledger.state.maker.is_none() && made(workspace)? >= settings.max_made as usize {
        return Err(Fault::data(format!(
            "agents have made {} scheduled jobs already, which is the limit",
            settings.max_made
        ))
        .hint("change one of them, or ask the owner to remove some"));
    }
    let at = workspace.world.now().timestamp();
    let line = CronLine::Made { at, by: maker.agent, origin: maker.origin, place: maker.place };
    ledger::append(workspace, &name, &mut ledger, &[line])?;
    ledger::sync_names(workspace)
}

/// The number of jobs that agents have made.
fn made(workspace: &Workspace) -> Result<usize> {
    let mut count = 0;
    for id in definitions::folders(workspace, FOLDER)? {
        count += usize::from(ledger::read(workspace, &ledger::name(&id))?.state.maker.is_some());
    }
    Ok(count)
}

/// Refuses a job that exceeds the rights of its maker or the limits of the settings.
///
/// # Errors
/// `Config`, with the reason.
pub fn check(workspace: &Workspace, cron: &Cron, zone: &Zone, maker: &Maker) -> Result<()> {
    let refuse = |why: String| Err(Fault::config(format!("crons/{}: made by {}, but {why}", cron.id, maker.agent)));
    let own = definitions::agent(workspace, &maker.agent)?;
    if cron.agent != maker.agent && !own.tools.may_dispatch_to(&cron.agent) {
        return refuse(format!("{} may not give tasks to {}", maker.agent, cron.agent));
    }
    if let Some(to) = &cron.deliver_to {
        let is_place = maker.place.as_deref() == Some(to.as_str());
        if !is_place && !workspace.owners()?.contains(to) && *to != workspace.local_user()? {
            return refuse(format!("{to} is neither where it was made nor an address of the owner"));
        }
    }
    let (least, now) = (workspace.config()?.crons.min_interval, workspace.world.now().timestamp());
    let end = now.checked_add(CHECKED).unwrap_or(Timestamp::MAX);
    let mut before: Option<Timestamp> = None;
    for due in cron.timing.due(&zone.rules, now, now, end) {
        if before.is_some_and(|before| due.duration_since(before) < least) {
            return refuse(format!("it runs more often than every {least:#} (crons.min_interval)"));
        }
        before = Some(due);
    }
    Ok(())
}
