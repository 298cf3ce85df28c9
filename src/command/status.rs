//! `claw status`

use crate::command::Here;
use crate::command::terminal::create;
use crate::command::terminal::out;
use crate::core::definition::task::TaskState;
use crate::core::event::stamp::Stamp;
use crate::core::fault::Result;
use crate::report::status::{EventRow, STATES, StatusReport};
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::Mailbox;
use crate::world;

/// Show pending, waiting and failed events, the next scheduled run, problems, and locks
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Prints the workspace's status. The exit code is 78 if the settings are invalid.
///
/// # Errors
/// If the folders, a job's ledger or the budget's ledger cannot be read.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.look()?;
    let status = StatusReport::of(&workspace)?;
    if args.json {
        out::json(&status)?;
    } else {
        print(&workspace, &status)?;
    }
    Ok(if workspace.config().is_ok() { 0 } else { 78 })
}

fn print(workspace: &Workspace, status: &StatusReport) -> Result<()> {
    let trust = if status.trusted { "" } else { ", not trusted: claw trust" };
    let root = create::short(&workspace.world, &workspace.root);
    let model = status.model.as_deref().unwrap_or("unknown");
    out::line(&format!("{root}  model: {model}{trust}"))?;
    for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
        let mut text = format!("{:<8}", mailbox.name());
        for state in STATES {
            let count = status.mailboxes.get(mailbox.name()).and_then(|counts| counts.get(state.name()));
            text += &count.map_or_else(|| format!("{:13}", ""), |n| format!("{:<13}", format!("{n} {}", state.name())));
        }
        out::line(text.trim_end())?;
    }
    // One line each: a file's name may contain line breaks.
    let row = |label: &str, text: &str| out::line(&format!("{label:<7} {}", out::row(text)));
    let now = workspace.world.now();
    if let Some(event) = &status.oldest {
        let EventRow { mailbox, state, .. } = event;
        let lane = if event.lane.is_empty() { String::new() } else { format!(" in {}", event.lane) };
        let age = age(now, event.id.stamp());
        row("oldest", &format!("{:<12} {mailbox}/{state}{lane}, {age} old", event.id.short()))?;
    }
    for event in &status.waiting {
        let due = event.due_at.map_or(now, Stamp::from);
        let (short, left, due) = (event.id.short(), left(now, due), world::local(due));
        row("waiting", &format!("{short:<12} until {due} ({left}): {}", event.reason))?;
    }
    for event in &status.failed {
        row("failed", &format!("{:<12} {}: {}", event.id.short(), event.mailbox, event.reason))?;
    }
    for limit in &status.limits_reached {
        row("used", &format!("{} of {} ({})", limit.used, limit.maximum, limit.limit))?;
    }
    if let Some(next) = &status.next_run {
        let due = Stamp::from(next.due_at);
        row("next", &format!("{:<9} {} ({})", next.job, next.show(workspace), left(now, due)))?;
    }
    for job in &status.jobs {
        row("job", &format!("{:<9} {}", job.job, job.line()))?;
    }
    for channel in &status.channels {
        let why = if channel.why.is_empty() { String::new() } else { format!(": {}", channel.why) };
        let since = channel.since.map(|since| format!(" since {}", world::local(Stamp::from(since))));
        let unknown = if channel.unknown > 0 { format!(", {} perhaps sent", channel.unknown) } else { String::new() };
        row("channel", &format!("{:<9} {}{}{unknown}{why}", channel.name, channel.state, since.unwrap_or_default()))?;
    }
    if let Some(address) = &status.deliver_to {
        row("to", &format!("{address} by default"))?;
    }
    if status.tasks.iter().any(|(state, count)| *state != TaskState::Done.name() && *count > 0) {
        let count = |state: TaskState| status.tasks.get(state.name()).copied().unwrap_or_default();
        row("tasks", &format!("{} open, {} claimed", count(TaskState::Open), count(TaskState::Claimed)))?;
    }
    status.problems.iter().try_for_each(|problem| row("problem", problem))?;
    if status.risks > 0 {
        row("risks", &format!("{} in permissions, settings or folders: claw check", status.risks))?;
    }
    for lock in &status.locks {
        row("lock", &format!("{} locked by {} ({})", lock.lock, lock.locked_by.pid, lock.locked_by.command))?;
    }
    Ok(())
}

/// The time from `now` until something is due.
fn left(now: Stamp, due: Stamp) -> String {
    if due > now { format!("in {}", age(due, now)) } else { "due now".to_owned() }
}

/// The time from `then` to `now`, in its largest unit.
fn age(now: Stamp, then: Stamp) -> String {
    let seconds = now.0.saturating_sub(then.0).max(0) / 1_000_000;
    match seconds {
        s @ ..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min", s / 60),
        s @ 3600..86_400 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}
