//! A session's log: `sessions/<session>/log.jsonl`, append-only. Only the holder of the session's
//! lane writes it. Any process may read it; readers ignore a last line without a newline.

mod reader;

use crate::core::config::Sync;
use crate::core::event::id::Id;
use crate::core::fault::{Fault, Result};
use crate::core::session::record::Record;
use crate::core::session::summary::SessionSummary;
use crate::store::fs::At;
use crate::store::fs::durable;
use crate::store::session::index;
use crate::store::workspace::Workspace;
pub use reader::{each, first, read, since, unreadable_lines};
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The log's name in its session's folder.
pub(super) const LOG: &str = "log.jsonl";

/// The log, opened by the holder of its lane.
#[derive(Debug)]
pub struct SessionLog {
    path: PathBuf,
    file: File,
    sync: Sync,
    /// Whether the name of the session's folder is durable; a `done` line proves it.
    is_named: bool,
    /// Whether everything in the file is durable.
    is_synced: bool,
    /// The size of the durable part of the file, in bytes.
    synced: u64,
    /// The file's size, in bytes.
    size: u64,
    /// The summary of the records that this holder has written.
    part: LogPart,
}

/// The part of the log for the next line of the session index.
#[derive(Debug)]
struct LogPart {
    file: PathBuf,
    session: String,
    inode: u64,
    from: u64,
    summary: SessionSummary,
    has_ended: bool,
}

impl SessionLog {
    /// Opens the log of `session` for its lane's holder. Returns the records of event `id`, and all records since the
    /// last compaction. A torn last line is cut off.
    ///
    /// # Errors
    /// If it cannot be read or made.
    pub fn open(workspace: &Workspace, session: &str, id: &Id) -> Result<(Self, Vec<Record>)> {
        let path = path(workspace, session);
        let dir = workspace.path("sessions").join(session);
        fs::create_dir_all(&dir).at("make", &dir)?;
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).at("open", &path)?);
        let (records, whole, size) = reader::recent(&file, id).at("read", &path)?;
        if whole < size {
            file.set_len(whole).at("cut", &path)?;
        }
        let is_named = records.iter().any(|record| matches!(record, Record::Done { .. }));
        let part = LogPart {
            file: index::path(workspace),
            session: session.to_owned(),
            inode: file.metadata().at("read", &path)?.ino(),
            from: whole,
            summary: SessionSummary::default(),
            has_ended: false,
        };
        let sync = workspace.sync()?;
        let log = Self { path, file, sync, is_named, is_synced: true, synced: whole, size: whole, part };
        Ok((log, records))
    }

    /// Appends records with one write.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn append(&mut self, records: &[Record]) -> Result<()> {
        let mut text = String::new();
        for record in records {
            text += &serde_json::to_string(record).map_err(|e| Fault::data(e.to_string()))?;
            text.push('\n');
            self.part.summary.take(record);
            self.part.has_ended |= matches!(record, Record::Done { .. });
        }
        self.is_synced = false;
        self.file.write_all(text.as_bytes()).at("write", &self.path)?;
        self.size += text.len() as u64;
        Ok(())
    }

    /// Syncs the whole log and its names: a previous holder may have been killed before its records were durable.
    ///
    /// # Errors
    /// On a disk error.
    pub fn inherit(&mut self) -> Result<()> {
        (self.is_named, self.is_synced) = (false, false);
        self.commit()
    }

    /// Makes every appended record durable, also those of other holders; the first time also the names of the log and
    /// the session's folder. Does nothing if nothing was appended since.
    ///
    /// # Errors
    /// On a disk error; then the records since the last commit are cut off again, so that no later reader takes them
    /// for durable: the kernel reports a lost write only once.
    pub fn commit(&mut self) -> Result<()> {
        if self.is_synced {
            return Ok(());
        }
        if self.sync == Sync::Full
            && let Err(error) = self.file.sync_data()
        {
            let _ = self.file.set_len(self.synced);
            return Err(error).at("sync", &self.path);
        }
        if !self.is_named {
            let dir = self.path.parent().unwrap_or(&self.path);
            durable::sync_dir(dir, self.sync)?;
            durable::sync_dir(dir.parent().unwrap_or(dir), self.sync)?;
            self.is_named = true;
        }
        (self.is_synced, self.synced) = (true, self.size);
        self.update_index();
        Ok(())
    }

    /// Appends a line about the written part to the session index, once a turn.
    fn update_index(&mut self) {
        let part = &mut self.part;
        if !part.has_ended {
            return;
        }
        let (session, summary) = (part.session.clone(), std::mem::take(&mut part.summary));
        let meta = self.file.metadata().ok();
        let written = meta.map_or(0, |meta| meta.mtime() * 1_000_000_000 + meta.mtime_nsec());
        let line = index::IndexLine { session, inode: part.inode, written, from: part.from, to: self.size, summary };
        index::append(&part.file, std::iter::once(&line));
        (part.from, part.has_ended) = (self.size, false);
    }
}

pub(super) fn path(workspace: &Workspace, session: &str) -> PathBuf {
    workspace.path("sessions").join(session).join(LOG)
}
