//! Reading a session's log, without its lane.

use super::path;
use crate::core::event::Event;
use crate::core::event::id::Id;
use crate::core::fault::Result;
use crate::core::session::record::Record;
use crate::store::fs::At;
use crate::store::workspace::Workspace;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::panic::resume_unwind;

/// The part of a log's end that is read first, in bytes.
const WINDOW: u64 = 1 << 20;
/// The largest part that is read if no `compact` line is found, in bytes: more than the largest context window.
const LONGEST: u64 = 16 << 20;
/// The start of a `compact` line, which replaces everything before it. Inside of a record, a newline is escaped.
const COMPACT: &[u8] = b"\n{\"t\":\"compact\",";

/// The records of event `id`, and all records since the last compaction. Empty if there is no log.
///
/// # Errors
/// If the log cannot be read.
pub fn read(workspace: &Workspace, session: &str, id: &Id) -> Result<Vec<Record>> {
    let path = path(workspace, session);
    match File::open(&path) {
        Ok(file) => Ok(recent(&file, id).at("read", &path)?.0),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e).at("read", &path),
    }
}

/// Passes every record of a session's log to `see`; none if there is no log.
///
/// # Errors
/// If the log cannot be read.
pub fn each(workspace: &Workspace, session: &str, see: impl FnMut(Record)) -> Result<()> {
    since(workspace, session, 0, see).map(drop)
}

/// Passes the records from the line that begins at byte `from` to `see`. Returns the end of the last whole line.
///
/// # Errors
/// If the log cannot be read.
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
        // A last line without a newline is still being written.
        if line.ends_with(b"\n") {
            parse(&line).into_iter().for_each(&mut see);
            to += line.len() as u64;
        }
    }
    Ok(to)
}

/// The first event of a session; `None` if there is no such session.
///
/// # Errors
/// If the log cannot be read.
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

/// The records of event `id` before the last compaction and all records since; then the log's size without a torn
/// last line, and with it. A log of any age costs one scan of its bytes, and memory for its last part.
pub(super) fn recent(file: &File, id: &Id) -> std::io::Result<(Vec<Record>, u64, u64)> {
    let size = file.metadata()?.len();
    let mut start = size;
    let mut tail = Vec::new();
    let (whole, first) = loop {
        // A line may be longer than the part that was read.
        let whole = memchr::memrchr(b'\n', &tail).map_or(0, |end| end + 1);
        let compact = memchr::memmem::rfind(&tail[..whole], COMPACT).map(|before| before + 1);
        let is_enough = compact.is_some() || size - start >= LONGEST && whole > 0;
        if is_enough || start == 0 {
            // The part may begin in the middle of a line.
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

/// The records of whole lines. A large part is parsed by two threads.
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

/// A reader with its own position: the file's position is shared with other readers.
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

/// An unreadable line in the middle of the log must not block the session: it is skipped, and `claw check` reports
/// it.
fn parse(line: &[u8]) -> Option<Record> {
    serde_json::from_slice(line).ok()
}

/// The numbers of the unreadable lines of a session's log.
///
/// # Errors
/// If the log cannot be read.
pub fn unreadable_lines(workspace: &Workspace, session: &str) -> Result<Vec<usize>> {
    let path = path(workspace, session);
    let bytes = fs::read(&path).at("read", &path)?;
    let lines = bytes.split(|b| *b == b'\n').enumerate();
    let is_bad = |line: &[u8]| !line.is_empty() && serde_json::from_slice::<Record>(line).is_err();
    Ok(lines.filter(|(_, line)| is_bad(line)).map(|(n, _)| n + 1).collect())
}
