//! The report of one event: its source, its route, its turn, the events it sent, and the reports of the agents it
//! asked. Everything but the duration, the notes and the reasons comes from files that are not the journal.

use crate::core::event::address::Address;
use crate::core::event::dispatch::Requester;
use crate::core::event::id::{Derived, Id};
use crate::core::event::stamp::Stamp;
use crate::core::event::{Event, EventKind};
use crate::core::fault::Result;
use crate::core::model::money::Money;
use crate::core::session::record::Record;
use crate::core::slash;
use crate::core::tool::DISPATCH;
use crate::core::turn;
use crate::report::event_state::{EventState, EventStatus, journal_lines};
use crate::report::timeline::{self, TimelineRow};
use crate::store::queue::locate::{self, LocatedEvent};
use crate::store::queue::spool;
use crate::store::routes;
use crate::store::session::log;
use crate::store::usage;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::JournalLine;
use crate::store::workspace::mailbox::{Mailbox, State};
use serde::Serialize;
use std::fs;

/// The report of one event, as `claw why --json` prints it.
#[derive(Debug, Serialize)]
pub struct EventReport {
    /// The event's id.
    pub id: Id,
    /// `inbox` or `outbox`.
    pub mailbox: &'static str,
    /// Its state.
    #[serde(flatten)]
    pub state: EventState,
    /// Its kind; `None` if its file cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<EventKind>,
    /// Its source; `None` if its file cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<EventSource>,
    /// The event that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<Id>,
    /// Why its file or its route cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The agent that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The rule that chose agent and session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routed_by: Option<String>,
    /// The model of the last call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The number of model calls.
    pub steps: usize,
    /// Input and output tokens of all model calls.
    pub tokens: u64,
    /// The cost of all model calls, in the currency of the settings; `None` if no price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
    /// What happened, in the order of time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<TimelineRow>,
    /// From creation to the last delivery, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// The reports of the events that its turn dispatched to other agents.
    pub dispatched: Vec<EventReport>,
    /// The journal's notes about events that were answered in one turn with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub collected: Vec<String>,
    /// The places (`file:line`) of the notes that it saved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The events that it sent.
    pub outgoing: Vec<OutgoingReport>,
}

/// The source of an event.
#[derive(Debug, Serialize)]
pub struct EventSource {
    /// The channel: the part of the address before the colon.
    pub channel: String,
    /// The whole address.
    pub address: Address,
    /// The name of the dropped file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// The state of an event that another one sent.
#[derive(Debug, Serialize)]
pub struct OutgoingReport {
    /// Its id.
    pub id: Id,
    /// Its kind.
    pub kind: EventKind,
    /// Its state.
    #[serde(flatten)]
    pub state: EventState,
    /// Its destination.
    pub address: Address,
    /// The session that the result of a dispatch goes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The lines of its delivery receipt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub receipt: Vec<String>,
    /// The place of a saved note, `file:line`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl EventReport {
    /// The report of the event `id`; `found` is its file.
    ///
    /// # Errors
    /// If the log of its session or an event that it sent cannot be read.
    pub fn of(workspace: &Workspace, id: &Id, found: &LocatedEvent) -> Result<Self> {
        let event = spool::read_capped(&found.path).and_then(|bytes| Event::from_json(&bytes));
        let lines = journal_lines(workspace, id);
        let reasons = |kind: &str| lines.iter().filter(|l| l.kind == kind).map(|l| l.why.clone()).collect();
        let mut report = Self {
            id: id.clone(),
            mailbox: found.mailbox.name(),
            state: EventState::of(workspace, found, &lines),
            kind: None,
            source: None,
            in_reply_to: None,
            error: None,
            agent: None,
            session: None,
            routed_by: None,
            model: None,
            steps: 0,
            tokens: 0,
            cost: None,
            timeline: Vec::new(),
            duration_ms: None,
            dispatched: Vec::new(),
            collected: reasons("collect"),
            notes: reasons("remember"),
            outgoing: Vec::new(),
        };
        match event {
            Ok(event) => report.add(workspace, &event, found, &lines)?,
            Err(fault) => report.error = Some(fault.to_string()),
        }
        Ok(report)
    }

    /// Adds everything that is known only from the event itself.
    fn add(&mut self, workspace: &Workspace, event: &Event, found: &LocatedEvent, lines: &[JournalLine]) -> Result<()> {
        let id = &event.id;
        self.kind = Some(event.kind);
        self.in_reply_to.clone_from(&event.in_reply_to);
        let file = event.meta.get("file").and_then(|file| file.as_str()).map(ToOwned::to_owned);
        self.source = Some(EventSource { channel: event.from.channel().to_owned(), address: event.from.clone(), file });
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
        self.timeline = timeline::of(event, lines, &records);
        let paid = usage::of_event(workspace, id)?.money;
        self.cost = (paid > 0).then_some(Money(paid));
        let done = records.iter().find_map(|r| match r {
            Record::Done { ids, out, at, .. } if ids.contains(id) => Some((*at, out.clone())),
            _ => None,
        });
        let sent = done.iter().flat_map(|(_, out)| out).flat_map(|out| journal_lines(workspace, &out.id));
        let ends = lines.iter().cloned().chain(sent).filter(|l| matches!(&l.kind[..], "sent" | "remember"));
        let end = ends.map(|l| l.at).chain(done.iter().map(|(at, _)| *at)).max();
        self.duration_ms =
            end.map(|end| Stamp::from(end).0.saturating_sub(Stamp::from(event.created_at).0).max(0) / 1000);
        // An unfinished event without a lane was never routed.
        let is_routed = found.state.is_none() || !found.entry.lane.is_empty();
        if found.mailbox == Mailbox::Inbox && is_routed && found.state != Some(State::New) {
            match &decision {
                Ok(decision) => {
                    self.routed_by = Some(decision.why.clone());
                    // Notes go to the memories: they have neither agent nor session.
                    if !decision.agent.is_empty() {
                        (self.agent, self.session) = (Some(decision.agent.clone()), Some(decision.session.clone()));
                    }
                }
                Err(fault) => self.error = Some(fault.to_string()),
            }
        }
        if found.mailbox == Mailbox::Outbox {
            self.outgoing.push(outgoing(workspace, event, Some(found)));
            return Ok(());
        }
        if slash::is_command(event)
            && let Some(found) = locate::of(workspace, Mailbox::Outbox, &id.derive(Derived::Reply, 1))?.first()
        {
            let answer = spool::read_event(&found.path, &found.entry.id)?;
            self.outgoing.push(outgoing(workspace, &answer, Some(found)));
            return Ok(());
        }
        self.dispatched = dispatched(workspace, id, records)?;
        for event in done.iter().flat_map(|(_, out)| out) {
            let is_inward = matches!(event.kind, EventKind::Remember | EventKind::Result);
            let mailbox = if is_inward { Mailbox::Inbox } else { Mailbox::Outbox };
            self.outgoing.push(outgoing(workspace, event, locate::of(workspace, mailbox, &event.id)?.first()));
        }
        Ok(())
    }
}

/// The reports of the events that the turn of event `id` dispatched, as far as their files exist.
fn dispatched(workspace: &Workspace, id: &Id, records: Vec<Record>) -> Result<Vec<EventReport>> {
    let steps = turn::replay(records, id).steps;
    let calls = (1..).zip(steps.iter().flat_map(|step| &step.reply.calls));
    let children = calls.filter(|(_, call)| call.name == DISPATCH);
    let ids = children.map(|(number, _)| id.derive(Derived::Dispatch, number));
    let mut reports = Vec::new();
    for id in ids {
        if let Some(found) = locate::of(workspace, Mailbox::Inbox, &id)?.first() {
            reports.push(EventReport::of(workspace, &id, found)?);
        }
    }
    Ok(reports)
}

/// The state of an outgoing event; `found` is its file.
fn outgoing(workspace: &Workspace, event: &Event, found: Option<&LocatedEvent>) -> OutgoingReport {
    let mut report = OutgoingReport {
        id: event.id.clone(),
        kind: event.kind,
        state: EventStatus::Pruned.into(),
        address: event.reply_to.clone(),
        session: None,
        receipt: Vec::new(),
        note: None,
    };
    if event.kind == EventKind::Result && Requester::of(event).is_some_and(|requester| requester.waits) {
        report.state = EventStatus::Returned.into();
        return report;
    }
    let Some(found) = found else { return report };
    let lines = journal_lines(workspace, &event.id);
    report.state = EventState::of(workspace, found, &lines);
    match event.kind {
        EventKind::Remember => {
            report.note = lines.iter().rev().find(|l| l.kind == "remember").map(|l| l.why.clone());
            if report.note.is_some() {
                report.state = EventStatus::Saved.into();
            }
        }
        EventKind::Result => report.session = Some(event.session.clone().unwrap_or_default()),
        _ if report.state.status == EventStatus::Done => {
            let receipt = fs::read_to_string(Mailbox::Outbox.receipt(workspace, &event.id)).unwrap_or_default();
            // The parts of an answer are in brackets behind their number.
            let line = |line: &str| line.split_once(" [").map_or(line, |(line, _)| line).to_owned();
            report.receipt = receipt.lines().map(line).collect();
            let is_unread = lines.iter().any(|l| l.kind == "unread");
            report.state = if is_unread { EventStatus::Unread } else { EventStatus::Sent }.into();
        }
        _ => {}
    }
    report
}
