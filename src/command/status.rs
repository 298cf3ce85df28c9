//! `claw status`

use crate::command::Here;
use crate::command::terminal::create;
use crate::command::terminal::{out, style};
use crate::core::definition::task::TaskState;
use crate::core::event::session_name;
use crate::core::event::stamp::Stamp;
use crate::core::fault::Result;
use crate::report::status::{EventRow, LimitRow, STATES, StatusReport};
use crate::store::fs::watch::{Watch, WatchKind, Woken};
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::Mailbox;
use crate::world;

/// The most rows of one kind on the dashboard.
const ROWS: usize = 10;
/// The longest time between two looks of --watch, in seconds: ages and due times change by themselves.
const REFRESH: i64 = 5;
/// Moves the cursor home and erases the screen (ECMA-48).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Show what runs, waits and has failed, and the next command for each
///
/// The dashboard has the supervisor, pending approvals, orphaned, waiting and failed events, answers for this terminal,
/// the rest of the budgets, the next scheduled run, channels, tasks, problems and locks.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show it again after every change, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Print one JSON document
    #[arg(long, conflicts_with = "watch")]
    json: bool,
}

/// Prints the workspace's status. The exit code is 78 if the settings are invalid.
///
/// # Errors
/// If the folders, a job's ledger or the budget's ledger cannot be read.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.look()?;
    if args.json {
        out::json(&StatusReport::of(&workspace)?)?;
    } else if args.watch {
        return watch(&workspace);
    } else {
        out::raw(&shown(&workspace, &dashboard(&workspace)?))?;
    }
    Ok(if workspace.config().is_ok() { 0 } else { 78 })
}

/// Prints the dashboard after every change of the workspace.
fn watch(workspace: &Workspace) -> Result<u8> {
    let folders = [(workspace.path(".claw/journal"), WatchKind::Appends)];
    let watch = Watch::new(&folders)?;
    let clears = out::is_terminal() && style::is_capable(&workspace.world);
    loop {
        let lines = shown(workspace, &dashboard(workspace)?);
        out::raw(&if clears { format!("{CLEAR}{lines}") } else { format!("{lines}\n") })?;
        let until = workspace.world.now().plus_seconds(REFRESH);
        if matches!(watch.wait(&workspace.world, Some(until), None)?, Woken::Lost(_)) {
            return Ok(0);
        }
    }
}

/// The lines as text; with colours, if the terminal has them.
fn shown(workspace: &Workspace, lines: &[String]) -> String {
    let has_colour = style::has_colour(&workspace.world, out::is_terminal());
    let line = |line: &String| match colour(line).filter(|_| has_colour) {
        Some((label, code)) => {
            let (label, rest) = line.split_at(label.len());
            format!("\x1b[{code}m{label}\x1b[0m{}\n", out::plain(rest))
        }
        None => out::plain(line) + "\n",
    };
    lines.iter().map(line).collect()
}

/// The label of a row, and the code of its colour: red for failures, yellow for rows that wait for the user.
fn colour(line: &str) -> Option<(&str, &'static str)> {
    let label = line.split(' ').next().filter(|label| !label.is_empty())?;
    let code = match label {
        "failed" | "problem" => "31",
        "approve" | "orphan" | "waiting" | "used" | "risks" => "33",
        "answer" | "answers" => "32",
        "inbox" | "outbox" | "runs" | "oldest" | "budget" | "next" | "job" | "channel" | "to" | "tasks" | "lock" => "2",
        _ => return None,
    };
    Some((label, code))
}

/// The lines of the dashboard.
fn dashboard(workspace: &Workspace) -> Result<Vec<String>> {
    let status = StatusReport::of(workspace)?;
    let mut board = Dashboard { lines: Vec::new(), width: style::width(&workspace.world) };
    let trust = if status.trusted { "" } else { ", not trusted: claw trust" };
    let root = create::short(&workspace.world, &workspace.root);
    let model = status.model.as_deref().unwrap_or("unknown");
    board.lines.push(format!("{root}  model: {model}{trust}"));
    for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
        let mut text = format!("{:<8}", mailbox.name());
        for state in STATES {
            let count = status.mailboxes.get(mailbox.name()).and_then(|counts| counts.get(state.name()));
            text += &count.map_or_else(|| format!("{:13}", ""), |n| format!("{:<13}", format!("{n} {}", state.name())));
        }
        board.text(text.trim_end());
    }
    match &status.supervisor {
        Some(holder) => board.row("runs", &format!("claw supervise, process {}", holder.pid), ""),
        None => board.row("runs", "no supervisor", "claw supervise, or claw tick once"),
    }
    events(&mut board, workspace, &status);
    others(&mut board, workspace, &status);
    Ok(board.lines)
}

/// The rows about events.
fn events(board: &mut Dashboard, workspace: &Workspace, status: &StatusReport) {
    let now = workspace.world.now();
    board.rows("approve", &status.approvals, |approval| {
        let left = left(now, approval.expires_at.into());
        let text = format!("{:<12} {} {} (expires {left})", approval.id.short(), approval.agent, approval.call);
        (text, format!("claw approve {} or claw deny {0}", approval.id.short()))
    });
    board.rows("orphan", &status.orphans, |event| {
        (
            format!(
                "{:<12} {} in {}: its worker has ended",
                event.id.short(),
                event.mailbox,
                session_name::short(&event.lane)
            ),
            "claw tick".to_owned(),
        )
    });
    if let Some(event) = &status.oldest {
        let EventRow { mailbox, state, .. } = event;
        let lane =
            if event.lane.is_empty() { String::new() } else { format!(" in {}", session_name::short(&event.lane)) };
        let age = age(now, event.created_at.map_or(event.id.stamp(), Stamp::from));
        board.row("oldest", &format!("{:<12} {mailbox}/{state}{lane}, {age} old", event.id.short()), "");
    }
    board.rows("waiting", &status.waiting, |event| {
        let due = event.due_at.map_or(now, Stamp::from);
        let (short, left, due) = (event.id.short(), left(now, due), world::local(due));
        (format!("{short:<12} until {due} ({left}): {}", event.reason), format!("claw retry {short}"))
    });
    board.rows("failed", &status.failed, |event| {
        let short = event.id.short();
        (format!("{short:<12} {}: {}", event.mailbox, event.reason), format!("claw retry {short}"))
    });
    match status.answers {
        0 => {}
        1 => board.row("answer", "1 for your terminal", "claw deliver"),
        n => board.row("answers", &format!("{n} for your terminal"), "claw deliver"),
    }
}

/// The rows about everything else.
fn others(board: &mut Dashboard, workspace: &Workspace, status: &StatusReport) {
    let now = workspace.world.now();
    let limit = |limit: &LimitRow| format!("{} of {} ({})", limit.used, limit.maximum, limit.limit);
    board.rows("used", &status.limits_reached, |row| (limit(row), "claw usage".to_owned()));
    board.rows("budget", &status.limits, |row| (limit(row), String::new()));
    if let Some(next) = &status.next_run {
        let due = Stamp::from(next.due_at);
        board.row("next", &format!("{:<9} {} ({})", next.job, next.show(workspace), left(now, due)), "");
    }
    board.rows("job", &status.jobs, |job| {
        let next = if job.paused.is_some() { format!("claw crons resume {}", job.job) } else { String::new() };
        (format!("{:<9} {}", job.job, job.line()), next)
    });
    board.rows("channel", &status.channels, |channel| {
        let since = channel.since.map(|since| format!(" since {}", world::local(since.into()))).unwrap_or_default();
        let why = if channel.why.is_empty() { String::new() } else { format!(": {}", channel.why) };
        let unknown = if channel.unknown > 0 { format!(", {} perhaps sent", channel.unknown) } else { String::new() };
        let next = if channel.state == "stopped" { format!("claw listen {}", channel.name) } else { String::new() };
        (format!("{:<9} {}{since}{unknown}{why}", channel.name, channel.state), next)
    });
    if let Some(address) = &status.deliver_to {
        board.row("to", &format!("{address} by default"), "");
    }
    if status.tasks.iter().any(|(state, count)| *state != TaskState::Done.name() && *count > 0) {
        let count = |state: TaskState| status.tasks.get(state.name()).copied().unwrap_or_default();
        board.row("tasks", &format!("{} open, {} claimed", count(TaskState::Open), count(TaskState::Claimed)), "");
    }
    board.rows("problem", &status.problems, |problem| (problem.clone(), String::new()));
    if status.risks > 0 {
        board.row("risks", &format!("{} in permissions, settings or folders", status.risks), "claw check");
    }
    board.rows("lock", &status.locks, |lock| {
        (format!("{} locked by {} ({})", lock.lock, lock.locked_by.pid, lock.locked_by.command), String::new())
    });
}

/// The lines that were written so far.
struct Dashboard {
    lines: Vec<String>,
    width: Option<usize>,
}

impl Dashboard {
    /// A row: its label, its text in one line, and the next command.
    fn row(&mut self, label: &str, text: &str, next: &str) {
        // A file's name may contain line breaks.
        let next = if next.is_empty() { String::new() } else { format!(": {next}") };
        self.text(&format!("{label:<7} {}", out::row(&format!("{text}{next}"))));
    }

    /// A line; on a narrow terminal it goes on below its text.
    fn text(&mut self, text: &str) {
        match self.width.filter(|width| style::columns(text) > *width) {
            None => self.lines.push(text.to_owned()),
            Some(width) => {
                let lines = style::wrapped(text, width.saturating_sub(2).max(1));
                self.lines.extend(
                    lines.into_iter().enumerate().map(|(n, line)| if n == 0 { line } else { format!("  {line}") }),
                );
            }
        }
    }

    /// A row for each of the first items, and one for the rest.
    fn rows<T>(&mut self, label: &str, items: &[T], row: impl Fn(&T) -> (String, String)) {
        for item in items.iter().take(ROWS) {
            let (text, next) = row(item);
            self.row(label, &text, &next);
        }
        if items.len() > ROWS {
            self.row(label, &format!("and {} more", items.len() - ROWS), "claw status --json");
        }
    }
}

/// The time from `now` until something is due.
fn left(now: Stamp, due: Stamp) -> String {
    if due > now { format!("in {}", age(due, now)) } else { "due now".to_owned() }
}

/// The time from `then` to `now`, rounded to a second, in its two largest units.
fn age(now: Stamp, then: Stamp) -> String {
    let seconds = now.0.saturating_sub(then.0).max(0).saturating_add(500_000) / 1_000_000;
    let both = |large: i64, unit: &str, small: i64, of: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {of}"),
    };
    match seconds {
        s @ ..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min", s / 60),
        s @ 3600..86_400 => both(s / 3600, "h", s % 3600 / 60, "min"),
        s => both(s / 86_400, if s < 172_800 { "day" } else { "days" }, s % 86_400 / 3600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_rows_that_need_the_user_have_a_colour() {
        assert_eq!(colour("failed  k7f3q9 inbox: x: claw retry k7f3q9"), Some(("failed", "31")));
        assert_eq!(colour("approve k7f3q9.a01 pickle bash"), Some(("approve", "33")));
        assert_eq!(
            (colour("  inbox of a wrapped line"), colour("~/me  model: offline"), colour("")),
            (None, None, None)
        );
    }

    #[test]
    fn times_have_their_two_largest_units() {
        let of = |micros: i64| age(Stamp(micros), Stamp(0));
        let second = 1_000_000;
        assert_eq!([of(0), of(59 * second), of(60 * second)], ["0 s", "59 s", "1 min"]);
        // An hour that began a moment ago is an hour.
        assert_eq!(of(3600 * second - 40_000), "1 h");
        assert_eq!(
            [of(6900 * second), of(90_000 * second), of(176_400 * second)],
            ["1 h 55 min", "1 day 1 h", "2 days 1 h"]
        );
        assert_eq!(left(Stamp(5), Stamp(5)), "due now");
    }
}
