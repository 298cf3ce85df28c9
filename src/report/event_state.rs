//! The state of one event, from its folder, its lock and its journal lines.

use crate::core::event::id::Id;
use crate::store::lock::holders;
use crate::store::queue::locate::LocatedEvent;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::{Mailbox, State};
use jiff::Timestamp;
use serde::Serialize;
use std::fs;

/// The state of an event, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EventStatus {
    /// Accepted, not routed yet.
    New,
    /// Accepted, not due yet.
    Scheduled,
    /// Routed; no worker has claimed it.
    Ready,
    /// Claimed by a worker.
    Running,
    /// Claimed by a worker that has ended; the next worker takes it over.
    Orphaned,
    /// Not due before its next attempt.
    Waiting,
    /// Given up; the reason is beside it.
    Failed,
    /// Finished.
    Done,
    /// Moved to `done/` by the owner.
    Discarded,
    /// An outgoing event that its channel has accepted.
    Sent,
    /// An outgoing event for a terminal that was not fetched in time.
    Unread,
    /// The result of a dispatch that another agent's turn waits for: it goes into that turn, not into a mailbox.
    Returned,
    /// A note that is in the memories.
    Saved,
    /// An outgoing event whose file was pruned.
    Pruned,
}

/// The state of an event, with its details.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventState {
    /// The state.
    pub status: EventStatus,
    /// The lane, unless the event is new or done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// Nothing happens before this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// Why it waits or has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The process that works on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_by: Option<LockHolder>,
}

/// A process that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockHolder {
    /// The process id.
    pub pid: u32,
    /// Its command line; empty if it may not be read.
    pub command: String,
}

impl From<EventStatus> for EventState {
    fn from(status: EventStatus) -> Self {
        Self { status, lane: None, due_at: None, reason: None, locked_by: None }
    }
}

impl EventState {
    /// The state of the event in this file; `lines` are its journal lines.
    #[must_use]
    pub fn of(workspace: &Workspace, found: &LocatedEvent, lines: &[JournalLine]) -> Self {
        let last = |kind: &str| lines.iter().rev().find(|line| line.kind == kind).map(|line| line.why.clone());
        let told =
            lines.iter().rev().find(|line| line.kind == "fail" && line.to == "done").map(|line| line.why.clone());
        let due_at = found.entry.due.map(crate::core::event::stamp::Stamp::timestamp);
        let lane = Some(found.entry.lane.clone()).filter(|lane| !lane.is_empty());
        match found.state {
            None if last("discard").is_some() => EventStatus::Discarded.into(),
            None if told.is_some() => Self { reason: told, ..EventStatus::Failed.into() },
            None => EventStatus::Done.into(),
            Some(State::New) if due_at.is_some() => Self { due_at, ..EventStatus::Scheduled.into() },
            Some(State::New) => EventStatus::New.into(),
            Some(State::Ready) => Self { lane, ..EventStatus::Ready.into() },
            Some(State::Run) => {
                let lock = format!("{}/{}", found.mailbox.name(), found.entry.lane);
                let holder = holders::list(&workspace.root).into_iter().find(|holder| holder.lock == lock);
                let locked_by = holder.map(|holder| LockHolder { pid: holder.pid, command: holder.command });
                let status = if locked_by.is_some() { EventStatus::Running } else { EventStatus::Orphaned };
                Self { lane, locked_by, ..status.into() }
            }
            Some(State::Wait) => Self { lane, due_at, reason: last("wait"), ..EventStatus::Waiting.into() },
            Some(State::Failed) => {
                let reason = Some(failure(workspace, found.mailbox, &found.entry.id));
                Self { lane, reason, ..EventStatus::Failed.into() }
            }
        }
    }
}

/// The first line of the recorded reason why an event has failed.
pub(super) fn failure(workspace: &Workspace, mailbox: Mailbox, id: &Id) -> String {
    let text = fs::read_to_string(mailbox.reason(workspace, id)).unwrap_or_default();
    text.lines().next().unwrap_or("no reason was recorded").to_owned()
}

/// The journal lines of an event, oldest first.
pub(super) fn journal_lines(workspace: &Workspace, id: &Id) -> Vec<JournalLine> {
    let texts = journal::files(workspace).into_iter().filter_map(|path| fs::read_to_string(path).ok());
    let mut lines = Vec::new();
    for text in texts {
        let about = text.lines().filter(|line| line.contains(id.as_str())).filter_map(journal::parse);
        lines.extend(about.filter(|line| line.id == id.as_str()));
    }
    lines
}
