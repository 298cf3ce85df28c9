//! `tick`: everything that is due, once: news of tasks, route, commands, turns, notes, deliveries (not to terminals), then
//! letting go of what is old. Orphans are adopted on the way, because claiming does that.

use crate::core::fault::Result;
use crate::stage::control::{self, Control};
use crate::stage::deliver::{self, Deliver};
use crate::stage::outcome::{Outcome, failures, take_in};
use crate::stage::remember::Remember;
use crate::stage::route;
use crate::stage::task_watch::News;
use crate::stage::turn::run_agent::RunAgent;
use crate::stage::worker::handler::Handler;
use crate::stage::worker::pool::{self, PoolMode};
use crate::store::retention;
use crate::store::session::approvals;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::Mailbox;
use std::sync::mpsc;

/// Deliveries that run at once.
pub const DELIVERIES: usize = 8;

/// Does all of one kind of work that is pending and free.
///
/// # Errors
/// The machine's trouble.
pub fn drain(workspace: &Workspace, work: &dyn Handler, width: usize, report: &mut dyn FnMut(Outcome)) -> Result<()> {
    let (tell, hear) = mpsc::channel();
    pool::run(workspace, work, &|| width, PoolMode::Drain, (&tell, &hear), report, &|_| {}).map(drop)
}

/// How many turns one process runs at once.
///
/// # Errors
/// Where `claw.yaml` is bad.
pub fn width(workspace: &Workspace) -> Result<usize> {
    Ok(usize::try_from(workspace.config()?.max_concurrency).unwrap_or(usize::MAX).min(256))
}

/// One tick. Every outcome is told, with the stage's name.
///
/// # Errors
/// The machine's trouble, or a bad `claw.yaml`.
pub fn run(workspace: &Workspace, report: &mut dyn FnMut(&str, Outcome)) -> Result<()> {
    News::new(workspace).tell()?;
    failures(route::all(workspace)?.failed).for_each(|o| report("route", o));
    drain(workspace, &Control::all(workspace), control::WIDTH, &mut |o| report("run-agent", o))?;
    drain(workspace, &RunAgent::all(workspace), width(workspace)?, &mut |o| report("run-agent", o))?;
    // Turns publish what is to be remembered.
    failures(route::all(workspace)?.failed).for_each(|o| report("route", o));
    drain(workspace, &Remember { workspace }, 1, &mut |o| report("remember", o))?;
    failures(take_in(workspace, Mailbox::Outbox)?.failed).for_each(|o| report("deliver", o));
    let deliver = Deliver { workspace, channel: None, print: None };
    drain(workspace, &deliver, DELIVERIES, &mut |o| report("deliver", o))?;
    sweep(workspace)
}

/// Letting go: unread answers, unanswered questions, old days, old sessions.
///
/// # Errors
/// Where something cannot be removed.
pub fn sweep(workspace: &Workspace) -> Result<()> {
    deliver::give_up_unread(workspace)?;
    approvals::expire(workspace)?;
    retention::run(workspace).map(drop)
}
