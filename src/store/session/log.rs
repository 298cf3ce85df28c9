//! A session's log: `sessions/<session>/log.jsonl`, append-only. Only the holder of the session's
//! lane writes it; anybody may read it, and ignores a last line without an end.

use crate::core::config::Sync;
use crate::core::event::Event;
use crate::core::event::id::Id;
use crate::core::fault::{Fault, Result};
use crate::core::session::record::Record;
use crate::core::session::summary::SessionSummary;
use crate::store::fs::At;
use crate::store::fs::durable;
use crate::store::session::index;
use crate::store::workspace::Workspace;
use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::panic::resume_unwind;
use std::path::PathBuf;

/// The log's name in its session's folder.
const LOG: &str = "log.jsonl";
/// How much of a log's end is read first, in bytes.
const WINDOW: u64 = 1 << 20;
/// How much of it is read at most, where nothing says that the conversation was compacted: more than the largest
/// window of a model.
const LONGEST: u64 = 16 << 20;
/// How the line begins that everything before it is sent by: none of what it says has a line's end in it.
const COMPACT: &[u8] = b"\n{\"t\":\"compact\",";

/// The log, opened by the holder of its lane.
#[derive(Debug)]
pub struct SessionLog {
    path: PathBuf,
    file: File,
    sync: Sync,
    /// The folder's own name is durable, which a `done` line proves.
    is_named: bool,
    /// There is nothing to be made durable.
    is_synced: bool,
    /// How much of the file stays whatever happens.
    synced: u64,
    /// The file's size.
    size: u64,
    /// What this holder has written comes to.
    part: LogPart,
}

/// What is told of a log's part when a turn has ended ([`crate::store::session::summaries`]).
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
    /// Opens the log of `session` for its lane's holder, and returns what it says about event `id`, and
    /// about others since the conversation was compacted last. A torn last line is cut off.
    ///
    /// # Errors
    /// Where it cannot be read or made.
    pub fn open(workspace: &Workspace, session: &str, id: &Id) -> Result<(Self, Vec<Record>)> {
        let path = path(workspace, session);
        let dir = workspace.path("sessions").join(session);
        fs::create_dir_all(&dir).at("make", &dir)?;
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).at("open", &path)?);
        let (records, whole, size) = recent(&file, id).at("read", &path)?;
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
    /// Where they cannot be written.
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

    /// Makes durable what another holder has written, who may have been killed before it was: all of
    /// it, and the names.
    ///
    /// # Errors
    /// Where the disk cannot.
    pub fn inherit(&mut self) -> Result<()> {
        (self.is_named, self.is_synced) = (false, false);
        self.commit()
    }

    /// Makes everything that was appended durable, by whomever; the first time also the session's
    /// folder and its name. Where nothing was appended since, it does nothing.
    ///
    /// # Errors
    /// Where the disk cannot. What this holder wrote since the last time is cut off again, so that nobody
    /// takes it for durable later: the kernel tells of a lost write only once.
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
        self.tell();
        Ok(())
    }

    /// Tells what was written comes to, once a turn.
    fn tell(&mut self) {
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

/// What a session's log says about event `id` and, since the conversation was compacted last, about others, for
/// readers without its lane; nothing where there is no log.
///
/// # Errors
/// Where it cannot be read.
pub fn read(workspace: &Workspace, session: &str, id: &Id) -> Result<Vec<Record>> {
    let path = path(workspace, session);
    match File::open(&path) {
        Ok(file) => Ok(recent(&file, id).at("read", &path)?.0),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e).at("read", &path),
    }
}

/// Shows every record of a session's log, from its beginning, to `see`; nothing where there is no log.
///
/// # Errors
/// Where it cannot be read.
pub fn each(workspace: &Workspace, session: &str, see: impl FnMut(Record)) -> Result<()> {
    since(workspace, session, 0, see).map(drop)
}

/// The same from the line on that begins at `from`; returns where the last whole line ends.
///
/// # Errors
/// Where it cannot be read.
pub fn since(workspace: &Workspace, session: &str, from: u64, mut see: impl FnMut(Record)) -> Result<u64> {
    let path = path(workspace, session);
    let file = match File::open(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(from),
        other => other.at("read", &path)?,
    };
    let mut lines = BufReader::with_capacity(1 << 16, ReadAt { file: &file, at: from });
    let mut line = Vec::new();
    let mut to = from;
    while {
        line.clear();
        lines.read_until(b'\n', &mut line).at("read", &path)?
    } > 0
    {
        // A last line without an end is being written.
        if line.ends_with(b"\n") {
            parse(&line).into_iter().for_each(&mut see);
            to += line.len() as u64;
        }
    }
    Ok(to)
}

/// The event that a session was begun for; nothing where there is no such session.
///
/// # Errors
/// Where its log cannot be read.
pub fn first(workspace: &Workspace, session: &str) -> Result<Option<Event>> {
    let path = path(workspace, session);
    let file = match File::open(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.at("read", &path)?,
    };
    let mut line = Vec::new();
    BufReader::new(file).read_until(b'\n', &mut line).at("read", &path)?;
    match parse(&line) {
        Some(Record::In { event, .. }) => Ok(Some(*event)),
        _ => Ok(None),
    }
}

fn path(workspace: &Workspace, session: &str) -> PathBuf {
    workspace.path("sessions").join(session).join(LOG)
}

/// The records since the conversation was compacted last, and before them those of event `id`; then how long the
/// log is without a torn last line, and with it. A log of any age costs one look through its bytes and the room
/// of its last part.
fn recent(file: &File, id: &Id) -> std::io::Result<(Vec<Record>, u64, u64)> {
    let size = file.metadata()?.len();
    let mut start = size;
    let mut tail = Vec::new();
    let (whole, first) = loop {
        // A line may be longer than what was read.
        let whole = memchr::memrchr(b'\n', &tail).map_or(0, |end| end + 1);
        let compact = memchr::memmem::rfind(&tail[..whole], COMPACT).map(|before| before + 1);
        let is_enough = compact.is_some() || size - start >= LONGEST && whole > 0;
        if is_enough || start == 0 {
            // The first line of what was read may have begun before it.
            let cut = if start == 0 { 0 } else { memchr::memchr(b'\n', &tail).map_or(0, |end| end + 1) };
            break (whole, compact.unwrap_or(cut));
        }
        start = size.saturating_sub(WINDOW.max(4 * tail.len() as u64));
        tail.resize(usize::try_from(size - start).unwrap_or(usize::MAX), 0);
        file.read_exact_at(&mut tail, start)?;
    };
    let torn = (tail.len() - whole) as u64;
    tail.truncate(whole);
    let mut records = before(file, start + first as u64, id)?;
    records.extend(parsed(&tail[first..]));
    Ok((records, size - torn, size))
}

/// The records of whole lines. Where it is much, half of it is read beside the other half.
fn parsed(lines: &[u8]) -> Vec<Record> {
    let each = |lines: &[u8]| lines.split(|b| *b == b'\n').filter_map(parse).collect::<Vec<_>>();
    if (lines.len() as u64) <= WINDOW {
        return each(lines);
    }
    let middle = lines.len() / 2;
    let half = memchr::memchr(b'\n', &lines[middle..]).map_or(0, |end| middle + end + 1);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| each(&lines[..half]));
        let second = each(&lines[half..]);
        let mut records = first.join().unwrap_or_else(|panic| resume_unwind(panic));
        records.extend(second);
        records
    })
}

/// The records of event `id` in the first `end` bytes.
fn before(file: &File, end: u64, id: &Id) -> std::io::Result<Vec<Record>> {
    let mut records = Vec::new();
    let wanted = memchr::memmem::Finder::new(id.as_str());
    let mut lines = BufReader::with_capacity(1 << 16, ReadAt { file, at: 0 }.take(end));
    let mut line = Vec::new();
    while {
        line.clear();
        lines.read_until(b'\n', &mut line)?
    } > 0
    {
        let found = wanted.find(&line).and_then(|_| parse(&line));
        records.extend(found.filter(|record| record.is_about(id)));
    }
    Ok(records)
}

/// Reads without moving the place where others read.
struct ReadAt<'a> {
    file: &'a File,
    at: u64,
}

impl Read for ReadAt<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read_at(into, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

/// A line that cannot be read, in the middle of the log, must not brick the session: it is passed
/// over, and `claw check` names it.
fn parse(line: &[u8]) -> Option<Record> {
    serde_json::from_slice(line).ok()
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

/// Forgets what was said in a session, whose lane the caller holds and of whose events none is to be worked on.
/// That they are answered stays: it is what a second copy of one of them finds.
///
/// # Errors
/// Where it cannot be read or written. Up to the last sync the old log is there.
pub fn forget(workspace: &Workspace, session: &str, now: Timestamp) -> Result<()> {
    let (path, sync) = (path(workspace, session), workspace.sync()?);
    let dir = path.parent().unwrap_or(&path);
    let mut answered = Vec::new();
    each(workspace, session, |record| {
        if let Record::Done { ids, .. } = record {
            answered.extend(ids);
        }
    })?;
    if answered.is_empty() {
        fs::remove_dir_all(dir).at("remove", dir)?;
        return durable::sync_dir(dir.parent().unwrap_or(dir), sync);
    }
    let record = Record::Done { at: now, ids: answered, out: Vec::new(), said: None };
    let text = serde_json::to_string(&record).map_err(|e| Fault::data(e.to_string()))? + "\n";
    let folder = File::open(dir).at("open", dir)?;
    durable::replace_at(&folder, LOG.as_ref(), "log.tmp", text.as_bytes(), Some(Mode::RUSR | Mode::WUSR), sync)
        .at("write", &path)
}

const LAST: &str = ".claw/last-ask";

/// Remembers which session was asked last; a convenience, so a failure is none.
pub fn remember_last(workspace: &Workspace, session: &str) {
    let _ = fs::write(workspace.path(LAST), session);
}

/// Forgets that `session` was the last one.
///
/// # Errors
/// Where the file cannot be removed.
pub fn forget_last(workspace: &Workspace, session: &str) -> Result<()> {
    if last(workspace).is_some_and(|last| last == session) {
        durable::remove(&workspace.path(LAST))?;
    }
    Ok(())
}

/// The session that was asked last.
#[must_use]
pub fn last(workspace: &Workspace) -> Option<String> {
    let name = fs::read_to_string(workspace.path(LAST)).ok()?;
    Some(name.trim().to_owned()).filter(|n| !n.is_empty())
}
