//! What every session comes to, without reading its log: `.claw/sessions.jsonl`. Whoever ends a turn appends a
//! line about the part of the log that he has written, unsynced and without a lock; nothing is ever written
//! anew at a message. A line says where its part begins and ends, so that a reader sees by the size of the log
//! what is missing (a killed worker's, a line that was lost, a log that somebody has put there), reads only
//! that from the log, and appends what it comes to. The logs are the truth: without this file they are read.
//!
//! When most lines are old a reader writes the file anew. What others append meanwhile is lost with the old one,
//! and found missing the next time.

use crate::core::config::Sync;
use crate::core::session::summary::SessionSummary;
use crate::store::fs::durable;
use crate::store::lock::NamedLock;
use crate::store::workspace::Workspace;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The file's name in a workspace.
const FILE: &str = ".claw/sessions.jsonl";

/// What a part of a log comes to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IndexLine {
    /// The session.
    pub(crate) s: String,
    /// The log's inode: one that was put in its place is another one.
    pub(crate) inode: u64,
    /// When it was written last, in nanoseconds: one that a person has edited was written later.
    pub(crate) written: i64,
    /// Where the part begins, in bytes; a line that begins at 0 is about all there is.
    pub(crate) from: u64,
    /// Where it ends.
    pub(crate) to: u64,
    /// What it comes to.
    pub(crate) head: SessionSummary,
}

impl IndexLine {
    /// Nothing is known of the session's log.
    pub(crate) fn nothing(session: &str, inode: u64) -> Self {
        Self { s: session.to_owned(), inode, written: 0, from: 0, to: 0, head: SessionSummary::default() }
    }
}

/// The file that lines go to.
pub(crate) fn path(workspace: &Workspace) -> PathBuf {
    workspace.path(FILE)
}

/// Appends lines, if they can be written.
pub(crate) fn note<'a>(file: &Path, lines: impl Iterator<Item = &'a IndexLine>) {
    let json = lines.filter_map(|line| serde_json::to_string(line).ok());
    // The leading newline ends a line that was torn; empty lines are passed over.
    let text: String = json.map(|json| format!("\n{json}\n")).collect();
    if !text.is_empty() {
        let _ = durable::append(file, text.as_bytes(), true, Sync::None);
    }
}

/// What the file says of each session, and how many lines it has.
pub(crate) fn load(workspace: &Workspace) -> (HashMap<String, IndexLine>, usize) {
    let text = fs::read(path(workspace)).unwrap_or_default();
    let mut known: HashMap<String, IndexLine> = HashMap::new();
    let mut lines = 0;
    let parsed = text.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice::<IndexLine>(line).ok());
    for line in parsed {
        lines += 1;
        if line.from == 0 {
            known.insert(line.s.clone(), line);
        } else if let Some(before) = known.get_mut(&line.s)
            && (before.inode, before.to) == (line.inode, line.from)
        {
            before.head.add(line.head);
            (before.written, before.to) = (line.written, line.to);
        }
    }
    (known, lines)
}

/// Writes the file anew, whole or not at all.
pub(crate) fn rewrite(workspace: &Workspace, lines: &[IndexLine]) {
    let lines = lines.iter();
    let text: String = lines.filter_map(|line| serde_json::to_string(line).ok()).map(|json| json + "\n").collect();
    let path = path(workspace);
    let (Ok(_lock), Some(Ok(dir))) = (NamedLock::wait(workspace, "sessions"), path.parent().map(File::open)) else {
        return;
    };
    let name = path.file_name().unwrap_or(OsStr::new(FILE));
    let _ = durable::replace_at(&dir, name, "sessions.jsonl.tmp", text.as_bytes(), None, Sync::None);
}
