//! The story of an event: where it came from, who answered it, whom that one asked, what went out, and how it
//! stands; from files alone, and the journal adds how long it took.

use crate::core::event::dispatch::Asker;
use crate::core::event::id::{Derived, Id};
use crate::core::event::stamp::Stamp;
use crate::core::event::{Event, EventKind};
use crate::core::fault::Result;
use crate::core::session::record::Record;
use crate::core::slash;
use crate::core::tool::DISPATCH;
use crate::core::turn;
use crate::store::lock::holders;
use crate::store::queue::locate::{self, Located};
use crate::store::queue::spool;
use crate::store::routes;
use crate::store::session::log;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::{Mailbox, State};
use crate::world;
use serde::Serialize;
use std::fs;

/// What is known of an event.
#[derive(Debug, Serialize)]
pub struct Story {
    /// Which event.
    pub id: Id,
    /// In which box.
    #[serde(rename = "box")]
    pub mailbox: &'static str,
    /// In which folder of it.
    pub state: &'static str,
    /// How it stands, in words.
    pub stands: String,
    /// Where it came from, in words; where it cannot be read, why.
    pub came: String,
    /// Who answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// In which session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Why there, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The model that answered last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How often a model was asked.
    pub steps: usize,
    /// What that took, read and written.
    pub tokens: u64,
    /// From its making to its end, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<i64>,
    /// What its turn asked other agents.
    pub asked: Vec<Story>,
    /// What of it became one turn with others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub collected: Vec<String>,
    /// Where it was noted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub noted: Vec<String>,
    /// What went out.
    pub out: Vec<OutgoingRow>,
}

/// Something that an event has sent out.
#[derive(Debug, Serialize)]
pub struct OutgoingRow {
    /// What became of it, in a word.
    pub what: &'static str,
    /// Its id.
    pub id: Id,
    /// Where it goes, and how that stands.
    pub stands: String,
}

impl Story {
    /// The story of the event `id`, of which `found` is a file.
    ///
    /// # Errors
    /// Where the log of its session, or what it has sent, cannot be read.
    pub fn of(workspace: &Workspace, id: &Id, found: &Located) -> Result<Self> {
        let event = spool::read_capped(&found.path).and_then(|bytes| Event::from_json(&bytes));
        let lines = journal_of(workspace, id);
        let told = |what: &str| lines.iter().filter(|l| l.kind == what).map(|l| l.why.clone()).collect();
        let mut story = Self {
            id: id.clone(),
            mailbox: found.mailbox.name(),
            state: found.state_name(),
            stands: String::new(),
            came: String::new(),
            agent: None,
            session: None,
            route: None,
            model: None,
            steps: 0,
            tokens: 0,
            ms: None,
            asked: Vec::new(),
            collected: told("collect"),
            noted: told("remember"),
            out: Vec::new(),
        };
        match event {
            Ok(event) => story.read(workspace, &event, found, &lines)?,
            Err(fault) => {
                story.stands = standing(workspace, found, &lines, "");
                story.came = fault.to_string();
            }
        }
        Ok(story)
    }

    fn read(&mut self, workspace: &Workspace, event: &Event, found: &Located, lines: &[JournalLine]) -> Result<()> {
        let id = &event.id;
        self.came = came(event);
        let decision = routes::load(workspace).and_then(|known| routes::decide(workspace, event, &known));
        let lane = decision.as_ref().map(|d| d.session.clone()).unwrap_or_default();
        let records = if found.mailbox == Mailbox::Inbox { log::read(workspace, &lane, id)? } else { Vec::new() };
        for record in &records {
            if let Record::Model { id: of, model, reply, .. } = record
                && of == id
            {
                self.steps += 1;
                self.tokens += reply.usage.input + reply.usage.output;
                self.model = Some(model.clone());
            }
        }
        let done = records.iter().find_map(|r| match r {
            Record::Done { ids, out, at, .. } if ids.contains(id) => Some((*at, out.clone())),
            _ => None,
        });
        let sent = done.iter().flat_map(|(_, out)| out).flat_map(|out| journal_of(workspace, &out.id));
        let ends = lines.iter().cloned().chain(sent).filter(|l| matches!(&l.kind[..], "sent" | "remember"));
        let end = ends.map(|l| l.at).chain(done.iter().map(|(at, _)| *at)).max();
        self.ms = end.map(|end| Stamp::from(end).0.saturating_sub(Stamp::from(event.created_at).0).max(0) / 1000);
        let took = self.ms.map(took).unwrap_or_default();
        let cost = if self.steps == 0 { String::new() } else { format!(", {} tokens", self.tokens) };
        self.stands = standing(workspace, found, lines, &format!("{took}{cost}"));
        // What is not done and has no lane was never routed.
        let is_routed = found.state.is_none() || !found.entry.lane.is_empty();
        if found.mailbox == Mailbox::Inbox && is_routed && found.state != Some(State::New) {
            self.route = Some(match &decision {
                Ok(d) if d.agent.is_empty() => d.why.clone(),
                Ok(d) => {
                    (self.agent, self.session) = (Some(d.agent.clone()), Some(d.session.clone()));
                    format!("{} ({}), session {}", d.agent, d.why, d.session)
                }
                Err(fault) => fault.to_string(),
            });
        }
        if found.mailbox == Mailbox::Outbox {
            self.out.push(sent_out(workspace, event, Some(found)));
            return Ok(());
        }
        if slash::is_command(event)
            && let Some(found) = locate::of(workspace, Mailbox::Outbox, &id.derive(Derived::Reply, 1))?.first()
        {
            let answer = spool::read_event(&found.path, &found.entry.id)?;
            self.out.push(sent_out(workspace, &answer, Some(found)));
            return Ok(());
        }
        self.asked = asked(workspace, id, records)?;
        for event in done.iter().flat_map(|(_, out)| out) {
            let is_inward = matches!(event.kind, EventKind::Remember | EventKind::Result);
            let mailbox = if is_inward { Mailbox::Inbox } else { Mailbox::Outbox };
            self.out.push(sent_out(workspace, event, locate::of(workspace, mailbox, &event.id)?.first()));
        }
        Ok(())
    }
}

/// The stories of what the turn of event `id` has asked other agents, as far as they are kept.
fn asked(workspace: &Workspace, id: &Id, records: Vec<Record>) -> Result<Vec<Story>> {
    let steps = turn::replay(records, id).steps;
    let calls = (1..).zip(steps.iter().flat_map(|step| &step.reply.calls));
    let children = calls.filter(|(_, call)| call.name == DISPATCH);
    let ids = children.map(|(number, _)| id.derive(Derived::Dispatch, number));
    let mut stories = Vec::new();
    for id in ids {
        if let Some(found) = locate::of(workspace, Mailbox::Inbox, &id)?.first() {
            stories.push(Story::of(workspace, &id, found)?);
        }
    }
    Ok(stories)
}

/// How an outgoing event stands.
fn sent_out(workspace: &Workspace, event: &Event, found: Option<&Located>) -> OutgoingRow {
    let (what, stands) = how(workspace, event, found);
    OutgoingRow { what, id: event.id.clone(), stands }
}

fn how(workspace: &Workspace, event: &Event, found: Option<&Located>) -> (&'static str, String) {
    let to = &event.reply_to;
    if event.kind == EventKind::Result && Asker::of(event).is_some_and(|asker| asker.waits) {
        return ("told", to.to_string());
    }
    let Some(found) = found else { return ("out", format!("{to} (no longer kept)")) };
    let lines = journal_of(workspace, &event.id);
    if event.kind == EventKind::Remember {
        let place = lines.iter().rev().find(|l| l.kind == "remember").map(|l| l.why.clone());
        return ("noted", place.unwrap_or_else(|| format!("to be noted ({})", standing(workspace, found, &lines, ""))));
    }
    if event.kind == EventKind::Result {
        let session = event.session.as_deref().unwrap_or_default();
        return (
            "told",
            format!("session {session} ({}): {}", event.id.short(), standing(workspace, found, &lines, "")),
        );
    }
    if found.state.is_some() {
        return ("out", format!("{to}: {}", standing(workspace, found, &lines, "")));
    }
    if lines.iter().any(|l| l.kind == "discard") {
        return ("out", format!("{to}: discarded"));
    }
    let receipt = fs::read_to_string(Mailbox::Outbox.receipt(workspace, &event.id)).unwrap_or_default();
    let receipt: Vec<&str> = receipt.lines().collect();
    let receipt = if receipt.is_empty() { String::new() } else { format!(" ({})", receipt.join(", ")) };
    (if lines.iter().any(|l| l.kind == "unread") { "unread" } else { "sent" }, format!("{to}{receipt}"))
}

fn standing(workspace: &Workspace, found: &Located, lines: &[JournalLine], took: &str) -> String {
    let id = &found.entry.id;
    let last = |what: &str| lines.iter().rev().find(|l| l.kind == what).map(|l| l.why.clone());
    match found.state {
        None if last("discard").is_some() => "discarded".to_owned(),
        None => format!("done{took}"),
        Some(State::New) => match found.entry.due {
            Some(due) => format!("not due until {}", world::local(due)),
            None => "not routed yet".to_owned(),
        },
        Some(State::Ready) => format!("ready in {}", found.entry.lane),
        Some(State::Run) => {
            let lock = format!("{}/{}", found.mailbox.name(), found.entry.lane);
            match holders::list(&workspace.root).into_iter().find(|h| h.lock == lock) {
                Some(holder) => format!("being worked on by {} ({})", holder.pid, holder.command),
                None => "orphaned: its worker is gone, the next one will adopt it".to_owned(),
            }
        }
        Some(State::Wait) => {
            let due = found.entry.due.map(world::local).unwrap_or_default();
            format!("waits until {due}: {}", last("wait").unwrap_or_default())
        }
        Some(State::Failed) => {
            let reason = fs::read_to_string(found.mailbox.reason(workspace, id)).unwrap_or_default();
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

fn took(ms: i64) -> String {
    match ms {
        ..1000 => format!(" in {ms} ms"),
        1000..100_000 => format!(" in {}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!(" in {} min", ms / 60_000),
    }
}

fn journal_of(workspace: &Workspace, id: &Id) -> Vec<JournalLine> {
    let texts = journal::files(workspace).into_iter().filter_map(|path| fs::read_to_string(path).ok());
    let mut lines = Vec::new();
    for text in texts {
        let about = text.lines().filter(|l| l.contains(id.as_str())).filter_map(journal::parse);
        lines.extend(about.filter(|l| l.id == id.as_str()));
    }
    lines
}
