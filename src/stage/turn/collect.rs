//! `queue: collect`: one turn answers all messages of a conversation that are ready when it begins. The log lists them,
//! so that a resumed turn has the same ones; later messages belong to the next turn. They stay in `ready` until the one
//! `done` line answers them all. After a kill behind that line, each finds its id in it and only ends.

use crate::core::definition::QueueSetting;
use crate::core::event::id::Id;
use crate::core::event::session_name;
use crate::core::event::{Event, EventKind};
use crate::core::fault::Result;
use crate::core::{routing, slash, turn};
use crate::stage::turn::active_turn::Turn;
use crate::stage::turn::attached;
use crate::stage::turn::expired;
use crate::store::queue::{listing, spool};
use crate::store::session::log;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::{Mailbox, State};

/// The most messages of one turn, besides the first.
const MAX_MESSAGES: usize = 32;
/// The most text of one turn's messages, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// The messages that the turn answers together with its first one: those ready behind it in the lane, up to the first
/// that needs a turn of its own. The caller holds the lane.
pub(crate) fn waiting(turn: &Turn) -> Result<Vec<Event>> {
    let (workspace, first, lane) = (turn.workspace, turn.event, &turn.lane.name);
    // A user at a terminal gets an answer of their own.
    if turn.agent.queue != QueueSetting::Collect || first.kind != EventKind::Message || turn.interactive.is_some() {
        return Ok(Vec::new());
    }
    let mut more = Vec::new();
    let mut room = MAX_BYTES.saturating_sub(first.content.len());
    for (state, entry) in listing::lane(workspace, Mailbox::Inbox, lane)?.into_iter().filter(|(_, e)| e.id > first.id) {
        let is_next = state == State::Ready && more.len() < MAX_MESSAGES && !is_begun(workspace, lane, &entry.id)?;
        let path = Mailbox::Inbox.dir(workspace, state).join(entry.to_string());
        // An unreadable event fails in a turn of its own.
        let event = Some(entry).filter(|_| is_next).and_then(|entry| spool::read_event(&path, &entry.id).ok());
        let Some(event) = event.map(|event| routing::without_mention(session_name::agent(lane), event)) else { break };
        let event = attached::described(workspace, session_name::agent(lane), event);
        if event.content.len() > room || !goes_with(first, &event) || expired(workspace, &event).is_err() {
            break;
        }
        room -= event.content.len();
        more.push(event);
    }
    Ok(more)
}

/// Whether one turn can answer both.
fn goes_with(first: &Event, other: &Event) -> bool {
    let model = |event: &Event| event.meta.get("model").cloned();
    other.kind == EventKind::Message
        && !slash::is_command(other)
        && other.reply_to == first.reply_to
        && model(other) == model(first)
}

/// Whether an event has ended, or its own turn has begun.
fn is_begun(workspace: &Workspace, lane: &str, id: &Id) -> Result<bool> {
    if Mailbox::Inbox.done(workspace, id).exists() || Mailbox::Inbox.reason(workspace, id).exists() {
        return Ok(true);
    }
    let state = turn::replay(log::read(workspace, lane, id)?, id);
    Ok(state.is_logged || !state.steps.is_empty() || state.done.is_some())
}

/// Moves the messages that were answered together with `first` to `done/`. The caller holds the lane.
pub(crate) fn end(workspace: &Workspace, lane: &str, first: &Id, more: &[Event]) -> Result<()> {
    if more.is_empty() {
        return Ok(());
    }
    for (state, entry) in listing::lane(workspace, Mailbox::Inbox, lane)? {
        if state == State::Ready && more.iter().any(|event| event.id == entry.id) {
            spool::finish(workspace, Mailbox::Inbox, &entry)?;
            let why = format!("with {}", first.short());
            let moved = JournalLine {
                from: "ready".into(),
                to: "done".into(),
                why,
                ..JournalLine::of(Mailbox::Inbox, "collect", &entry)
            };
            journal::write(workspace, moved);
        }
    }
    Ok(())
}
