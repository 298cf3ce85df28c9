//! The journal: `.claw/journal/<day>.jsonl`, one line per transition, never synced. People read it; losing it loses no
//! event, so a line that cannot be written is not an error.

use crate::core::event::entry::Entry;
use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::Mailbox;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Every kind of transition. `tests/it/house.rs` checks that each kind that is written is listed here.
pub const KINDS: [&str; 23] = [
    "drop",
    "route",
    "claim",
    "turn",
    "call",
    "compact",
    "collect",
    "ask",
    "approved",
    "denied",
    "withdrawn",
    "expired",
    "control",
    "remember",
    "sent",
    "outbound",
    "unread",
    "wait",
    "fail",
    "retry",
    "discard",
    "forget",
    "returned",
];

/// One transition.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct JournalLine {
    /// When it was written.
    pub at: Timestamp,
    /// The kind of transition: one of [`KINDS`].
    #[serde(rename = "what")]
    pub kind: String,
    /// The event's id.
    pub id: String,
    /// The mailbox.
    #[serde(rename = "box", skip_serializing_if = "String::is_empty")]
    pub mailbox: String,
    /// The state before.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// The state after.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// Its lane.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lane: String,
    /// The reason.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The due time of an event that waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Duration in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// Input and output tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<[u64; 2]>,
    /// The receipt of the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
}

impl Default for JournalLine {
    fn default() -> Self {
        let empty = String::new;
        Self {
            at: Timestamp::UNIX_EPOCH,
            kind: empty(),
            id: empty(),
            mailbox: empty(),
            from: empty(),
            to: empty(),
            lane: empty(),
            why: empty(),
            until: None,
            ms: None,
            tokens: None,
            receipt: None,
        }
    }
}

impl JournalLine {
    /// A line about an event.
    #[must_use]
    pub fn about(mailbox: Mailbox, kind: &str, id: &Id) -> Self {
        Self { kind: kind.to_owned(), id: id.to_string(), mailbox: mailbox.name().to_owned(), ..Self::default() }
    }

    /// A line about an event in its lane.
    #[must_use]
    pub fn of(mailbox: Mailbox, kind: &str, entry: &Entry) -> Self {
        Self { lane: entry.lane.clone(), ..Self::about(mailbox, kind, &entry.id) }
    }
}

/// The journal's file of the day, open for appending.
#[derive(Default)]
struct OpenFile(Mutex<Option<(String, File)>>);

/// Writes a line with the present time. Errors are ignored.
pub fn write(workspace: &Workspace, line: JournalLine) {
    let now = workspace.world.now();
    let line = JournalLine { at: now.timestamp(), ..line };
    let Ok(json) = serde_json::to_string(&line) else { return };
    let cache = workspace.caches.of::<OpenFile>();
    let mut open = cache.0.lock().unwrap_or_else(PoisonError::into_inner);
    let day = now.day();
    // A file that was removed is no longer the journal.
    let is_there = |file: &File| file.metadata().is_ok_and(|meta| meta.nlink() > 0);
    if open.as_ref().is_none_or(|(of, file)| *of != day || !is_there(file)) {
        let file = File::options().append(true).create(true).mode(0o600).open(path(workspace, now));
        *open = file.ok().map(|file| (day, file));
    }
    if let Some((_, file)) = open.as_mut() {
        let _ = file.write_all(format!("{json}\n").as_bytes());
    }
}

/// Parses a line of the journal.
#[must_use]
pub fn parse(line: &str) -> Option<JournalLine> {
    serde_json::from_str(line).ok()
}

/// The journal's files, oldest first.
#[must_use]
pub fn files(workspace: &Workspace) -> Vec<PathBuf> {
    let entries = fs::read_dir(workspace.path(".claw/journal")).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> =
        entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "jsonl")).collect();
    files.sort();
    files
}

/// The file of a day.
#[must_use]
pub fn path(workspace: &Workspace, at: Stamp) -> PathBuf {
    workspace.path(".claw/journal").join(format!("{}.jsonl", at.day()))
}
