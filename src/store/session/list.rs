//! Listing sessions, from the index and from the parts of logs that the index does not cover yet.

use super::{FOLDER, index, log, names};
use crate::core::fault::Result;
use crate::core::session::summary::SessionSummary;
use crate::store::fs::At;
use crate::store::session::index::IndexLine;
use crate::store::workspace::Workspace;
use rustix::fs::{AtFlags, Stat, statat};
use rustix::io::Errno;
use std::fs::{self, File};
use std::panic::resume_unwind;

/// The most lines that the index may have beyond two per session, before it is rewritten.
const SLACK: usize = 1000;

/// The name and summary of every session that has a message, unsorted. A running turn counts as far as it is written.
/// Only the part of a log that the index does not cover is read.
///
/// # Errors
/// If the folder or a log cannot be read.
pub fn summaries(workspace: &Workspace) -> Result<Vec<(String, SessionSummary)>> {
    // With many sessions both are slow.
    let (logs, (mut known, lines)) = std::thread::scope(|scope| {
        let known = scope.spawn(|| index::load(workspace));
        (logs(workspace), known.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    let logs = logs?;
    let (mut found, mut fresh) = (Vec::with_capacity(logs.len()), Vec::new());
    for (session, stat) in logs {
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let written = stat.st_mtime * 1_000_000_000 + i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
        // A line is valid for the same log (inode), while the log has only grown or has not changed.
        let is_valid = |line: &IndexLine| {
            line.inode == stat.st_ino && (line.to < size || (line.to, line.written) == (size, written))
        };
        let line = known.remove(&session).filter(is_valid);
        let mut line = line.unwrap_or_else(|| IndexLine::empty(&session, stat.st_ino));
        let before = line.to;
        if before < size {
            line.to = log::since(workspace, &session, before, |record| line.summary.take(&record))?;
        }
        if line.to > before {
            line.written = written;
            fresh.push(found.len());
        }
        found.push(line);
    }
    if lines + fresh.len() > 2 * found.len() + SLACK {
        index::rewrite(workspace, &found);
    } else {
        index::append(&index::path(workspace), fresh.iter().filter_map(|at| found.get(*at)));
    }
    Ok(found.into_iter().filter(|line| line.summary.messages > 0).map(|line| (line.session, line.summary)).collect())
}

/// Keeps the index short even if sessions are never listed. A line has less than 1000 bytes.
///
/// # Errors
/// As [`summaries`].
pub(crate) fn tidy(workspace: &Workspace) -> Result<()> {
    let size = fs::metadata(index::path(workspace)).map_or(0, |meta| meta.len());
    let is_long = |sessions: usize| size > 1000 * (3 * sessions + 2 * SLACK) as u64;
    if is_long(0) && is_long(names(workspace)?.len()) { summaries(workspace).map(drop) } else { Ok(()) }
}

/// Every session that has a log, and the log's metadata.
fn logs(workspace: &Workspace) -> Result<Vec<(String, Stat)>> {
    let names = names(workspace)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let folder = workspace.path(FOLDER);
    let dir = File::open(&folder).at("open", &folder)?;
    let mut logs = Vec::with_capacity(names.len());
    for session in names {
        match statat(&dir, format!("{session}/log.jsonl"), AtFlags::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            other => {
                let stat = other.at("look at", &folder.join(&session))?;
                logs.push((session, stat));
            }
        }
    }
    Ok(logs)
}
