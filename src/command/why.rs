//! `claw why [ID]`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::event::EventKind;
use crate::core::event::session_name;
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Result};
use crate::report::event::{EventReport, OutgoingReport};
use crate::report::event_state::{EventState, EventStatus};
use crate::report::timeline::TimelineRow;
use crate::store::queue::locate;
use crate::store::workspace::mailbox::Mailbox;
use crate::world;

/// Show the history of one event: source, route, turn, dispatches to other agents, deliveries
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The event [default: the newest one in the inbox]
    #[arg(value_name = "ID|PATH")]
    id: Option<String>,
    /// Print one JSON document (two if both mailboxes have an event with this id)
    #[arg(long)]
    json: bool,
}

/// Prints the report of one event.
///
/// # Errors
/// `Data` if the event does not exist.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.look()?;
    let id = match &args.id {
        Some(text) => locate::resolve(&workspace, text)?,
        None => locate::newest(&workspace)?.ok_or_else(|| Fault::data("there is no event yet"))?,
    };
    let mut is_found = false;
    for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
        if let Some(found) = locate::of(&workspace, mailbox, &id)?.into_iter().next() {
            let report = EventReport::of(&workspace, &id, &found)?;
            if args.json {
                out::json(&report)?;
            } else {
                print(&report)?;
            }
            is_found = true;
        }
    }
    if is_found {
        Ok(0)
    } else {
        Err(Fault::data(format!("there is no event {id}")).hint("finished events are kept for keep.done_days"))
    }
}

fn print(report: &EventReport) -> Result<()> {
    let row = |label: &str, text: &str| out::line(&format!("  {label:<7} {}", out::row(text)));
    out::line(&format!("{}  {}", report.id, out::row(&state_and_cost(report))))?;
    row(report.mailbox, &source(report))?;
    if let Some(route) = route(report) {
        row("route", &route)?;
    }
    if let Some(model) = &report.model {
        let steps = if report.steps == 1 { "1 step".to_owned() } else { format!("{} steps", report.steps) };
        row("turn", &format!("{model}, {steps}"))?;
    }
    report.collected.iter().try_for_each(|text| row("turn", text))?;
    print_dispatched(&report.dispatched, 1)?;
    report.notes.iter().try_for_each(|place| row("note", place))?;
    for event in &report.outgoing {
        let (label, text) = outgoing(event);
        row(label, &text)?;
    }
    timeline(&report.timeline)
}

/// A line for each row: its time, the time since the first row, what happened, and how long it took.
fn timeline(rows: &[TimelineRow]) -> Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    out::line("")?;
    for row in rows {
        let at = row.at.to_zoned(world::zone()).strftime("%H:%M:%S%.3f").to_string();
        let since = row.at.duration_since(first.at).as_millis().max(0);
        let since = format!("+{}.{:03} s", since / 1000, since % 1000);
        let took = row.duration_ms.map(|ms| duration(i64::try_from(ms).unwrap_or(i64::MAX)).trim_start().to_owned());
        let tokens = row.tokens.map(|[input, output]| format!("{input} tokens in, {output} out"));
        let failed = row.failed.then(|| "failed".to_owned());
        let text = Some(session_name::short(&row.text)).filter(|text| !text.is_empty());
        let parts: Vec<String> = [text, failed, took, tokens].into_iter().flatten().collect();
        out::line(out::row(&format!("  {at}  {since:>10}  {:<8} {}", row.kind, parts.join(", "))).trim_end())?;
    }
    Ok(())
}

/// Prints a line for each dispatch, indented by its depth.
fn print_dispatched(reports: &[EventReport], depth: usize) -> Result<()> {
    for report in reports {
        let agent = report.agent.as_deref().unwrap_or("-");
        let session = report
            .session
            .as_ref()
            .map(|session| format!(", session {}", session_name::short(session)))
            .unwrap_or_default();
        let indent = "  ".repeat(depth);
        let state = out::row(&state_and_cost(report));
        out::line(&format!("{indent}asked   {agent} ({}): {state}{session}", report.id.short()))?;
        print_dispatched(&report.dispatched, depth + 1)?;
    }
    Ok(())
}

/// The state; of a finished event with its duration and tokens.
fn state_and_cost(report: &EventReport) -> String {
    let mut text = state(&report.state);
    if report.state.status == EventStatus::Done {
        text += &report.duration_ms.map(duration).unwrap_or_default();
        if report.steps > 0 {
            text += &format!(", {} tokens", report.tokens);
            text += &report.cost.map(|cost| format!(", cost {cost}")).unwrap_or_default();
        }
    }
    text
}

fn state(state: &EventState) -> String {
    let due = || state.due_at.map(|due| world::local(Stamp::from(due))).unwrap_or_default();
    let reason = || state.reason.as_deref().unwrap_or_default();
    match state.status {
        EventStatus::New => "new: not routed yet".to_owned(),
        EventStatus::Scheduled => format!("scheduled: not due until {}", due()),
        EventStatus::Ready => {
            format!("ready in {}", session_name::short(state.lane.as_deref().unwrap_or_default()))
        }
        EventStatus::Running => match &state.locked_by {
            Some(holder) => format!("running, locked by {} ({})", holder.pid, holder.command),
            None => "running".to_owned(),
        },
        EventStatus::Orphaned => "orphaned: its worker has ended, the next one takes it over".to_owned(),
        EventStatus::Waiting => format!("waiting until {}: {}", due(), reason()),
        EventStatus::Failed => format!("failed: {}", reason()),
        EventStatus::Done => "done".to_owned(),
        EventStatus::Discarded => "discarded".to_owned(),
        EventStatus::Sent => "sent".to_owned(),
        EventStatus::Unread => "unread".to_owned(),
        EventStatus::Returned => "returned".to_owned(),
        EventStatus::Saved => "saved".to_owned(),
        EventStatus::Pruned => "pruned".to_owned(),
    }
}

/// The source of the event, or why it cannot be read.
fn source(report: &EventReport) -> String {
    let Some(source) = &report.source else { return report.error.clone().unwrap_or_default() };
    let mut text = match &source.file {
        Some(file) => format!("file {file}"),
        None => format!("from {}", source.address),
    };
    if let Some(kind) = report.kind.filter(|kind| *kind != EventKind::Message) {
        text += &format!(", kind {}", kind.name());
    }
    if let Some(answered) = &report.in_reply_to {
        text += &format!(", in reply to {}", answered.short());
    }
    text
}

/// The agent, the rule and the session; or why there are none.
fn route(report: &EventReport) -> Option<String> {
    match (&report.routed_by, &report.agent, &report.session) {
        (Some(rule), Some(agent), Some(session)) => {
            Some(format!("{agent} ({rule}), session {}", session_name::short(session)))
        }
        (Some(rule), ..) => Some(rule.clone()),
        (None, ..) => report.error.clone().filter(|_| report.source.is_some()),
    }
}

/// The label and the text of an outgoing event.
fn outgoing(event: &OutgoingReport) -> (&'static str, String) {
    let (address, state_text) = (&event.address, state(&event.state));
    match (event.kind, event.state.status) {
        (_, EventStatus::Returned) => ("result", address.to_string()),
        (_, EventStatus::Pruned) => ("outbox", format!("{address} (no longer kept)")),
        (EventKind::Remember, _) => ("note", event.note.clone().unwrap_or(format!("not saved yet ({state_text})"))),
        (EventKind::Result, _) => {
            let session = session_name::short(event.session.as_deref().unwrap_or_default());
            ("result", format!("session {session} ({}): {state_text}", event.id.short()))
        }
        (_, status @ (EventStatus::Sent | EventStatus::Unread)) => {
            let receipt =
                if event.receipt.is_empty() { String::new() } else { format!(" ({})", event.receipt.join(", ")) };
            (if status == EventStatus::Sent { "sent" } else { "unread" }, format!("{address}{receipt}"))
        }
        _ => ("outbox", format!("{address}: {state_text}")),
    }
}

fn duration(ms: i64) -> String {
    match ms {
        ..1000 => format!(" in {ms} ms"),
        1000..100_000 => format!(" in {}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!(" in {} min", ms / 60_000),
    }
}
