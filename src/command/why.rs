//! `claw why [ID]`

use crate::command::{Here, out};
use crate::core::event::{Event, EventKind};
use crate::core::fault::{Fault, Result};
use crate::core::id::{Derived, Id};
use crate::core::record::Record;
use crate::core::slash;
use crate::core::stamp::Stamp;
use crate::stage::route;
use crate::store::boxes::{Side, State};
use crate::store::journal::{self, Line};
use crate::store::locate::{self, Found};
use crate::store::spool;
use crate::store::workspace::Workspace;
use crate::store::{holders, learned, session_log};
use std::fs;

/// Tell the whole story of one event
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which event [default: the last one that came in]
    #[arg(value_name = "ID|PATH")]
    id: Option<String>,
}

/// Tells the story of one event, from files alone; the journal adds how long it took.
///
/// # Errors
/// `Data` where there is no such event.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.look()?;
    let id = match &args.id {
        Some(text) => locate::resolve(&workspace, text)?,
        None => locate::newest(&workspace).ok_or_else(|| Fault::data("there is no event yet"))?,
    };
    let mut told = false;
    for side in [Side::Inbox, Side::Outbox] {
        if let Some(found) = locate::of(&workspace, side, &id).into_iter().next() {
            story(&workspace, &id, &found)?;
            told = true;
        }
    }
    if told {
        Ok(0)
    } else {
        Err(Fault::data(format!("there is no event {id}")).hint("what is done is kept for keep.done_days"))
    }
}

fn story(workspace: &Workspace, id: &Id, found: &Found) -> Result<()> {
    let event = spool::read_capped(&found.path).and_then(|bytes| Event::from_json(&bytes));
    let lines = journal_of(workspace, id);
    let event = match event {
        Ok(event) => event,
        Err(fault) => {
            out::line(&format!("{id}  {}", standing(workspace, found, &lines, "")))?;
            return out::line(&format!("  {:<7} {fault}", found.side.name()));
        }
    };
    let decision = learned::load(workspace).and_then(|known| route::decide(workspace, &event, &known));
    let lane = decision.as_ref().map(|d| d.session.clone()).unwrap_or_default();
    let records = if found.side == Side::Inbox { session_log::read(workspace, &lane, id)? } else { Vec::new() };
    let turns: Vec<&Record> =
        records.iter().filter(|r| matches!(r, Record::Model { id: of, .. } if of == id)).collect();
    let done = records.iter().find_map(|r| match r {
        Record::Done { ids, out, at, .. } if ids.contains(id) => Some((at, out)),
        _ => None,
    });
    let mut tokens = 0;
    for turn in &turns {
        if let Record::Model { reply, .. } = turn {
            tokens += reply.usage.input + reply.usage.output;
        }
    }
    let out_lines: Vec<Line> =
        done.iter().flat_map(|(_, out)| out.iter()).flat_map(|out| journal_of(workspace, &out.id)).collect();
    let ends = lines.iter().chain(&out_lines).filter(|l| matches!(&l.what[..], "sent" | "remember"));
    let end = ends.map(|l| l.at).chain(done.iter().map(|(at, _)| **at)).max();
    let took = end.map(|end| took(end, event.created_at)).unwrap_or_default();
    let cost = if turns.is_empty() { String::new() } else { format!(", {tokens} tokens") };
    out::line(&format!("{id}  {}", standing(workspace, found, &lines, &format!("{took}{cost}"))))?;
    out::line(&format!("  {:<7} {}", found.side.name(), came(&event)))?;
    // What is not done and has no lane was never routed.
    let is_routed = found.state.is_none() || !found.entry.lane.is_empty();
    if found.side == Side::Inbox && is_routed && found.state != Some(State::New) {
        match &decision {
            Ok(d) if d.agent.is_empty() => out::line(&format!("  route   {}", d.why))?,
            Ok(d) => out::line(&format!("  route   {} ({}), session {}", d.agent, d.why, d.session))?,
            Err(fault) => out::line(&format!("  route   {fault}"))?,
        }
    }
    if let Some(Record::Model { model, .. }) = turns.last() {
        let steps = if turns.len() == 1 { "1 step".to_owned() } else { format!("{} steps", turns.len()) };
        out::line(&format!("  turn    {model}, {steps}"))?;
    }
    for line in lines.iter().filter(|l| l.what == "remember") {
        out::line(&format!("  noted   {}", line.why))?;
    }
    if found.side == Side::Outbox {
        return sent(workspace, &event, Some(found));
    }
    if slash::is_command(&event)
        && let Some(found) = locate::of(workspace, Side::Outbox, &id.derive(Derived::Reply, 1)).first()
    {
        let answer = spool::read_event(&found.path, &found.entry.id)?;
        return sent(workspace, &answer, Some(found));
    }
    for event in done.iter().flat_map(|(_, out)| out.iter()) {
        let side = if event.kind == EventKind::Remember { Side::Inbox } else { Side::Outbox };
        sent(workspace, event, locate::of(workspace, side, &event.id).first())?;
    }
    Ok(())
}

/// How an outgoing event stands.
fn sent(workspace: &Workspace, event: &Event, found: Option<&Found>) -> Result<()> {
    let Some(found) = found else {
        return out::line(&format!("  out     {} (no longer kept)", event.reply_to));
    };
    let lines = journal_of(workspace, &event.id);
    if event.kind == EventKind::Remember {
        let place = lines.iter().rev().find(|l| l.what == "remember").map(|l| l.why.clone());
        let stands = || format!("to be noted ({})", standing(workspace, found, &lines, ""));
        return out::line(&format!("  noted   {}", place.unwrap_or_else(stands)));
    }
    if found.state.is_some() {
        return out::line(&format!("  out     {}: {}", event.reply_to, standing(workspace, found, &lines, "")));
    }
    if lines.iter().any(|l| l.what == "discard") {
        return out::line(&format!("  out     {}: discarded", event.reply_to));
    }
    let receipt = fs::read_to_string(Side::Outbox.receipt(workspace, &event.id)).unwrap_or_default();
    let receipt: Vec<&str> = receipt.lines().collect();
    let receipt = if receipt.is_empty() { String::new() } else { format!(" ({})", receipt.join(", ")) };
    let verb = if lines.iter().any(|l| l.what == "unread") { "unread" } else { "sent  " };
    out::line(&format!("  {verb}  {}{receipt}", event.reply_to))
}

fn standing(workspace: &Workspace, found: &Found, lines: &[Line], took: &str) -> String {
    let id = &found.entry.id;
    let last = |what: &str| lines.iter().rev().find(|l| l.what == what).map(|l| l.why.clone());
    match found.state {
        None if last("discard").is_some() => "discarded".to_owned(),
        None => format!("done{took}"),
        Some(State::New) => match found.entry.due {
            Some(due) => format!("not due until {}", out::clock(due)),
            None => "not routed yet".to_owned(),
        },
        Some(State::Ready) => format!("ready in {}", found.entry.lane),
        Some(State::Run) => {
            let lock = format!("{}/{}", found.side.name(), found.entry.lane);
            match holders::list(&workspace.root).into_iter().find(|h| h.lock == lock) {
                Some(holder) => format!("being worked on by {} ({})", holder.pid, holder.command),
                None => "orphaned: its worker is gone, the next one will adopt it".to_owned(),
            }
        }
        Some(State::Wait) => {
            let due = found.entry.due.map(out::clock).unwrap_or_default();
            format!("waits until {due}: {}", last("wait").unwrap_or_default())
        }
        Some(State::Failed) => {
            let reason = fs::read_to_string(found.side.reason(workspace, id)).unwrap_or_default();
            format!("failed: {}", reason.lines().next().unwrap_or("no reason was written"))
        }
    }
}

/// Where the event came from.
fn came(event: &Event) -> String {
    let mut text = match event.meta.get("file").and_then(|f| f.as_str()) {
        Some(file) => format!("file {file}"),
        None => format!("from {}", event.from),
    };
    if event.kind != EventKind::Message {
        let kind = format!("{:?}", event.kind).to_lowercase();
        text = format!("{text}, kind {kind}");
    }
    if let Some(answered) = &event.in_reply_to {
        text = format!("{text}, in reply to {}", answered.short());
    }
    text
}

fn took(end: jiff::Timestamp, begin: jiff::Timestamp) -> String {
    let ms = Stamp::from(end).0.saturating_sub(Stamp::from(begin).0).max(0) / 1000;
    match ms {
        ..1000 => format!(" in {ms} ms"),
        1000..100_000 => format!(" in {}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!(" in {} min", ms / 60_000),
    }
}

fn journal_of(workspace: &Workspace, id: &Id) -> Vec<Line> {
    let texts = journal::files(workspace).into_iter().filter_map(|path| fs::read_to_string(path).ok());
    let mut lines = Vec::new();
    for text in texts {
        let about = text.lines().filter(|l| l.contains(id.as_str())).filter_map(journal::parse);
        lines.extend(about.filter(|l| l.id == id.as_str()));
    }
    lines
}
