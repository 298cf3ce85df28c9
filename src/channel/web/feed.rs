//! The feed: frames made of the journal's lines and of the streams of turns, with the addresses that each concerns. A
//! thread watches the folders and sends new frames to the hub; a client that returns gets older ones from [`replay`].

use super::KIND;
use crate::core::channel::web::cursor::Cursor;
use crate::core::event::Event;
use crate::core::event::address::Address;
use crate::core::event::entry::Entry;
use crate::core::event::id::Id;
use crate::core::fault::Result;
use crate::store::fs::watch::{Watch, WatchKind, Woken};
use crate::store::queue::{listing, locate, spool};
use crate::store::session::stream;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::JournalLine;
use crate::store::workspace::journal_reader::JournalReader;
use crate::store::workspace::mailbox::{Mailbox, State};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::UnboundedSender;

/// The most events whose addresses are remembered.
const MAX_KNOWN: usize = 10_000;

/// A frame for those that it concerns.
#[derive(Clone, Debug)]
pub(super) struct FeedFrame {
    /// The place after the journal's line; `None` for a delta.
    pub(super) cursor: Option<Cursor>,
    /// The sender and the destination of the event.
    pub(super) concerns: Arc<[Address]>,
    /// The frame, as JSON.
    pub(super) text: Arc<str>,
}

/// A message of the feed's thread.
pub(super) enum FeedMessage {
    /// A frame.
    Frame(FeedFrame),
    /// A token was made or removed.
    Tokens,
}

/// The addresses and the session of events, by the id of the first event of their chain.
#[derive(Default)]
pub(super) struct KnownEvents(Mutex<HashMap<Id, EventParties>>);

#[derive(Clone, Debug, Default)]
struct EventParties {
    concerns: Arc<[Address]>,
    session: String,
}

impl KnownEvents {
    fn get(&self, workspace: &Workspace, id: &Id) -> EventParties {
        let root = id.root();
        let find = || self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&root).cloned();
        find().unwrap_or_else(|| match inbound(workspace, &root, "") {
            Some(event) => self.insert(&event, None),
            None => EventParties::default(),
        })
    }

    fn insert(&self, event: &Event, session: Option<&str>) -> EventParties {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        let concerns = Arc::new([event.from.clone(), event.reply_to.clone()]);
        let session = session.or(event.session.as_deref()).unwrap_or_default().to_owned();
        let entry = EventParties { concerns, session };
        known.insert(event.id.clone(), entry.clone());
        entry
    }
}

/// Reads an event of the inbox: with a lane where that leads to it, else by its id.
fn inbound(workspace: &Workspace, id: &Id, lane: &str) -> Option<Event> {
    let read = |path: &std::path::Path| spool::read_event(path, id).ok();
    let by_lane = || {
        let name = Entry::fresh(id.clone(), lane).to_string();
        [State::Ready, State::Run].iter().find_map(|state| read(&Mailbox::Inbox.dir(workspace, *state).join(&name)))
    };
    let by_id = || locate::of(workspace, Mailbox::Inbox, id).ok()?.iter().find_map(|found| read(&found.path));
    let done = Mailbox::Inbox.done(workspace, id);
    Some(lane).filter(|lane| !lane.is_empty()).and_then(|_| by_lane()).or_else(|| read(&done)).or_else(by_id)
}

/// Reads an event of the outbox that is being delivered, or was.
fn outbound(workspace: &Workspace, id: &Id) -> Option<Event> {
    let done = Mailbox::Outbox.done(workspace, id);
    let pending = || {
        [State::Run, State::Ready, State::Wait].iter().find_map(|state| {
            let entries = listing::list(workspace, Mailbox::Outbox, *state).ok()?;
            let entry = entries.into_iter().find(|entry| entry.id == *id)?;
            spool::read_event(&Mailbox::Outbox.dir(workspace, *state).join(entry.to_string()), id).ok()
        })
    };
    let read = || spool::read_event(&done, id).ok();
    read().or_else(pending).or_else(read)
}

/// The frame of a journal line; `None` if it has none.
fn frame(workspace: &Workspace, known: &KnownEvents, cursor: &Cursor, line: &JournalLine) -> Option<FeedFrame> {
    let id = Id::parse(&line.id).ok()?;
    let is_inbox = line.mailbox != Mailbox::Outbox.name();
    let (event, mut frame) = match line.kind.as_str() {
        "route" => {
            let event = inbound(workspace, &id, &line.lane)?;
            let frame = json!({"type": "inbound", "kind": event.kind, "from": event.from, "content": event.content});
            let known = known.insert(&event, Some(&line.lane));
            (known, frame)
        }
        kind @ ("outbound" | "sent") => {
            let event = outbound(workspace, &id)?;
            let is_web = workspace.config().is_ok_and(|config| {
                config.channels.get(event.reply_to.channel()).is_some_and(|(_, kind)| kind == KIND)
            });
            // The line of this channel is written by its own delivery, exactly once.
            if is_web != (kind == "outbound") {
                return None;
            }
            let mut concerned = known.get(workspace, &id);
            concerned.concerns = Arc::new([event.from.clone(), event.reply_to.clone()]);
            let frame = json!({
                "type": "outbound", "kind": event.kind, "from": event.from, "to": event.reply_to,
                "in_reply_to": event.in_reply_to, "content": event.content,
            });
            (concerned, frame)
        }
        "turn" => (known.get(workspace, &id), json!({"type": "turn", "model": line.why, "tokens": line.tokens})),
        "call" => (known.get(workspace, &id), json!({"type": "call", "call": line.why})),
        "fail" => (known.get(workspace, &id), json!({"type": "error", "message": line.why})),
        state @ ("ask" | "approved" | "denied" | "withdrawn" | "expired") => {
            (known.get(workspace, &id), json!({"type": "approval", "state": state, "call": line.why}))
        }
        kind => (known.get(workspace, &id), json!({"type": kind, "why": line.why, "until": line.until})),
    };
    frame["event"] = line.id.as_str().into();
    frame["at"] = line.at.to_string().into();
    frame["cursor"] = cursor.to_string().into();
    if let Some(ms) = line.ms {
        frame["ms"] = ms.into();
    }
    let session = if is_inbox && !line.lane.is_empty() { &line.lane } else { &event.session };
    if !session.is_empty() {
        frame["session"] = session.as_str().into();
    }
    if let Value::Object(fields) = &mut frame {
        fields.retain(|_, value| !value.is_null());
    }
    Some(FeedFrame { cursor: Some(cursor.clone()), concerns: event.concerns, text: frame.to_string().into() })
}

/// The next frames after a place, up to and with the line at `end`; empty at the end.
pub(super) fn replay(
    workspace: &Workspace,
    known: &KnownEvents,
    reader: &mut JournalReader,
    end: &Cursor,
) -> Vec<FeedFrame> {
    let is_within = |cursor: &Cursor| (&cursor.day, cursor.offset) <= (&end.day, end.offset);
    loop {
        let lines = reader.lines(workspace);
        let frames: Vec<FeedFrame> = lines
            .iter()
            .filter(|(cursor, _)| is_within(cursor))
            .filter_map(|(cursor, line)| frame(workspace, known, cursor, line))
            .collect();
        if !frames.is_empty() || lines.last().is_none_or(|(cursor, _)| !is_within(cursor)) {
            return frames;
        }
    }
}

/// Sends new frames until `stop` is readable or no client receives them.
///
/// # Errors
/// If the folders cannot be watched.
pub(super) fn run(
    workspace: &Workspace,
    known: &KnownEvents,
    mut reader: JournalReader,
    watch: &Watch,
    stop: BorrowedFd,
    sender: &UnboundedSender<FeedMessage>,
) -> Result<()> {
    let mut offsets: HashMap<Id, (u64, u32)> = HashMap::new();
    loop {
        let lines = reader.lines(workspace);
        let is_end = lines.is_empty();
        for (cursor, line) in lines {
            if let Some(frame) = frame(workspace, known, &cursor, &line)
                && sender.send(FeedMessage::Frame(frame)).is_err()
            {
                return Ok(());
            }
        }
        if !is_end {
            continue;
        }
        if sender.is_closed() {
            return Ok(());
        }
        match watch.wait(&workspace.world, None, Some(stop))? {
            Woken::Other => return Ok(()),
            Woken::Files(changes) => {
                for change in changes {
                    match (change.folder, change.name.as_deref().and_then(|name| Id::parse(name).ok())) {
                        (STREAM, Some(id)) => deltas(workspace, known, &mut offsets, &id, sender)?,
                        (TOKENS, _) => drop(sender.send(FeedMessage::Tokens)),
                        _ => {}
                    }
                }
            }
            Woken::Time | Woken::Lost(_) => {}
        }
    }
}

/// The folders that are watched, in this order.
const STREAM: usize = 1;
const TOKENS: usize = 2;

/// Watches the folders of the feed.
///
/// # Errors
/// As [`Watch::new`].
pub(super) fn watch(workspace: &Workspace, tokens: &str) -> Result<Watch> {
    Watch::new(&[
        (workspace.path(".claw/journal"), WatchKind::Appends),
        (workspace.path(stream::FOLDER), WatchKind::Appends),
        (workspace.path(tokens), WatchKind::Edits),
    ])
}

fn deltas(
    workspace: &Workspace,
    known: &KnownEvents,
    offsets: &mut HashMap<Id, (u64, u32)>,
    id: &Id,
    sender: &UnboundedSender<FeedMessage>,
) -> Result<()> {
    let (from, mut call) = offsets.get(id).copied().unwrap_or_default();
    let (deltas, to) = stream::read(workspace, id, from)?;
    let event = known.get(workspace, id);
    for delta in deltas {
        let mut frame = json!({"type": "delta", "event": id, "session": event.session, "text": delta.text});
        if delta.call != call {
            frame["begin"] = true.into();
            call = delta.call;
        }
        let text = frame.to_string().into();
        let _ = sender.send(FeedMessage::Frame(FeedFrame { cursor: None, concerns: event.concerns.clone(), text }));
    }
    if offsets.len() > 1000 {
        offsets.clear();
    }
    offsets.insert(id.clone(), (to, call));
    Ok(())
}
