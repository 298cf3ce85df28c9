//! A session's log: `sessions/<session>/log.jsonl`, append-only. Only the holder of the session's
//! lane writes it; anybody may read it, and ignores a last line without an end.

use crate::core::config::Sync;
use crate::core::fault::{Fault, Result};
use crate::core::turn::Record;
use crate::store::workspace::Workspace;
use crate::store::{At, durable};
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;

/// The log, opened by the holder of its lane.
#[derive(Debug)]
pub struct SessionLog {
    path: PathBuf,
    file: File,
    sync: Sync,
    /// The folder's own name is durable, which a `done` line proves.
    is_named: bool,
    /// How much of the file was there before this holder wrote.
    before: u64,
}

impl SessionLog {
    /// Opens the log of `session` for its lane's holder, and returns what it says. A torn last line
    /// is cut off.
    ///
    /// # Errors
    /// Where it cannot be read or made.
    pub fn open(workspace: &Workspace, session: &str) -> Result<(Self, Vec<Record>)> {
        let path = path(workspace, session);
        let dir = workspace.path("sessions").join(session);
        fs::create_dir_all(&dir).at("make", &dir)?;
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).at("open", &path)?);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).at("read", &path)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64).at("cut", &path)?;
            bytes.truncate(whole);
        }
        let records = parse(&bytes);
        let is_named = records.iter().any(|record| matches!(record, Record::Done { .. }));
        Ok((Self { path, file, sync: workspace.sync()?, is_named, before: whole as u64 }, records))
    }

    /// Appends records with one write.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn append(&mut self, records: &[Record]) -> Result<()> {
        let mut text = String::new();
        for record in records {
            text += &serde_json::to_string(record).map_err(|e| Fault::data(e.to_string()))?;
            text.push('\n');
        }
        self.file.write_all(text.as_bytes()).at("write", &self.path)
    }

    /// Makes durable what another holder has written, who may have been killed before it was: all of
    /// it, and the names.
    ///
    /// # Errors
    /// Where the disk cannot.
    pub fn inherit(&mut self) -> Result<()> {
        self.is_named = false;
        self.commit()
    }

    /// Makes everything that was appended durable, by whomever; the first time also the session's
    /// folder and its name.
    ///
    /// # Errors
    /// Where the disk cannot. What this holder wrote is cut off again, so that nobody takes it for
    /// durable later: the kernel tells of a lost write only once.
    pub fn commit(&mut self) -> Result<()> {
        if self.sync == Sync::Full
            && let Err(error) = self.file.sync_data()
        {
            let _ = self.file.set_len(self.before);
            return Err(error).at("sync", &self.path);
        }
        if !self.is_named {
            let dir = self.path.parent().unwrap_or(&self.path);
            durable::sync_dir(dir, self.sync)?;
            durable::sync_dir(dir.parent().unwrap_or(dir), self.sync)?;
            self.is_named = true;
        }
        Ok(())
    }
}

/// What a session's log says, for readers without its lane; nothing where there is no log.
///
/// # Errors
/// Where it cannot be read.
pub fn read(workspace: &Workspace, session: &str) -> Result<Vec<Record>> {
    let path = path(workspace, session);
    match fs::read(&path) {
        Ok(bytes) => Ok(parse(&bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e).at("read", &path),
    }
}

fn path(workspace: &Workspace, session: &str) -> PathBuf {
    workspace.path("sessions").join(session).join("log.jsonl")
}

/// A line that cannot be read, in the middle of the log, must not brick the session: it is passed
/// over, and `claw check` names it.
fn parse(bytes: &[u8]) -> Vec<Record> {
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
    bytes[..whole].split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// The numbers of the lines of a session's log that cannot be read.
///
/// # Errors
/// Where the file cannot be read.
pub fn unreadable_lines(workspace: &Workspace, session: &str) -> Result<Vec<usize>> {
    let path = path(workspace, session);
    let bytes = fs::read(&path).at("read", &path)?;
    let lines = bytes.split(|b| *b == b'\n').enumerate();
    let is_bad = |line: &[u8]| !line.is_empty() && serde_json::from_slice::<Record>(line).is_err();
    Ok(lines.filter(|(_, line)| is_bad(line)).map(|(n, _)| n + 1).collect())
}

const LAST: &str = ".claw/last-ask";

/// Remembers which session was asked last; a convenience, so a failure is none.
pub fn remember_last(workspace: &Workspace, session: &str) {
    let _ = fs::write(workspace.path(LAST), session);
}

/// The session that was asked last.
#[must_use]
pub fn last(workspace: &Workspace) -> Option<String> {
    let name = fs::read_to_string(workspace.path(LAST)).ok()?;
    Some(name.trim().to_owned()).filter(|n| !n.is_empty())
}
