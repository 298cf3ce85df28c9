//! The session index, `.claw/sessions.jsonl`: a summary of each session, so that a listing need not read the logs.
//! When a turn ends, its worker appends a line about the part of the log that it wrote, without a lock or a sync. A
//! line names the beginning and end of its part. So a reader sees from the log's size which part is missing (of a
//! killed worker, a lost line, a log that was copied in), reads only that part, and appends a line for it. The logs
//! are the truth: without this file they are read whole.
//!
//! When most lines are outdated, a reader rewrites the file. Lines that others append meanwhile are lost, and the next
//! reader finds those parts missing.

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

/// The summary of a part of a log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IndexLine {
    /// The session.
    #[serde(rename = "s")]
    pub(crate) session: String,
    /// The log's inode; a log that replaced it has another one.
    pub(crate) inode: u64,
    /// The log's mtime, in nanoseconds; a log that was edited by hand has a later one.
    pub(crate) written: i64,
    /// The beginning of the part, in bytes; a line from 0 replaces all earlier lines.
    pub(crate) from: u64,
    /// The end of the part, in bytes.
    pub(crate) to: u64,
    /// The summary of the part.
    #[serde(rename = "head")]
    pub(crate) summary: SessionSummary,
}

impl IndexLine {
    /// A line that covers nothing of the log.
    pub(crate) fn empty(session: &str, inode: u64) -> Self {
        Self { session: session.to_owned(), inode, written: 0, from: 0, to: 0, summary: SessionSummary::default() }
    }
}

/// The index file.
pub(crate) fn path(workspace: &Workspace) -> PathBuf {
    workspace.path(FILE)
}

/// Appends lines. Errors are ignored: readers find the missing parts in the logs.
pub(crate) fn append<'a>(file: &Path, lines: impl Iterator<Item = &'a IndexLine>) {
    let json = lines.filter_map(|line| serde_json::to_string(line).ok());
    // The leading newline ends a torn line; readers skip empty lines.
    let text: String = json.map(|json| format!("\n{json}\n")).collect();
    if !text.is_empty() {
        let _ = durable::append(file, text.as_bytes(), true, Sync::None);
    }
}

/// The line of each session, with later parts added, and the number of lines in the file.
pub(crate) fn load(workspace: &Workspace) -> (HashMap<String, IndexLine>, usize) {
    let text = fs::read(path(workspace)).unwrap_or_default();
    let mut known: HashMap<String, IndexLine> = HashMap::new();
    let mut lines = 0;
    let parsed = text.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice::<IndexLine>(line).ok());
    for line in parsed {
        lines += 1;
        if line.from == 0 {
            known.insert(line.session.clone(), line);
        } else if let Some(before) = known.get_mut(&line.session)
            && (before.inode, before.to) == (line.inode, line.from)
        {
            before.summary.add(line.summary);
            (before.written, before.to) = (line.written, line.to);
        }
    }
    (known, lines)
}

/// Replaces the file atomically. Errors are ignored.
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
