//! Reading the journal from a place: every complete line after it, in order, with the place after each. The place is a
//! [`Cursor`]; one that the journal does not have any more is a [`JournalGap`].

use crate::core::channel::web::cursor::{Cursor, check_of};
use crate::core::event::stamp::Stamp;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// The most bytes that are read at once. A line is far shorter.
const CHUNK: u64 = 1 << 20;
/// How long after midnight a process may write a line into the file of the day before, in seconds.
const LATE: i64 = 2;

/// Why the lines after a cursor cannot be read completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalGap {
    /// It is no cursor of this program.
    Malformed,
    /// The file of its day was pruned.
    TooOld,
    /// The journal does not have the line before it: a power cut took it, or the file was edited.
    Lost,
    /// The machine was restarted: the last lines before that may be lost.
    Restarted,
}

impl JournalGap {
    /// The reason for the client.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Malformed => "the cursor is malformed",
            Self::TooOld => "the cursor is too old: the journal of its day is pruned",
            Self::Lost => {
                "the journal does not have the cursor's line any more: a power cut took lines, or it was edited"
            }
            Self::Restarted => "the machine was restarted: a power cut may have taken lines after the cursor",
        }
    }
}

/// A place in the journal, from which lines are read.
#[derive(Clone, Debug)]
pub struct JournalReader {
    place: Cursor,
}

impl JournalReader {
    /// The end of the journal.
    #[must_use]
    pub fn at_end(workspace: &Workspace) -> Self {
        let day = days(workspace).pop().unwrap_or_else(|| workspace.world.now().day());
        let mut reader = Self { place: Cursor { day, offset: 0, check: 0, boot: boot() } };
        let path = reader.path(workspace);
        let size = fs::metadata(&path).map_or(0, |meta| meta.len());
        reader.place.offset = size.saturating_sub(CHUNK);
        // The last line's end: a line that is being written does not count.
        while !reader.lines(workspace).is_empty() {}
        reader
    }

    /// The place of a client. After [`JournalGap::Restarted`] the lines are read from there on nevertheless.
    ///
    /// # Errors
    /// The gap, and the place at which reading goes on.
    pub fn at(workspace: &Workspace, text: &str) -> Result<Self, (JournalGap, Self)> {
        let lost = |gap| Err((gap, Self::at_end(workspace)));
        let Some(cursor) = Cursor::parse(text) else { return lost(JournalGap::Malformed) };
        let reader = Self { place: Cursor { boot: boot(), ..cursor.clone() } };
        if !reader.path(workspace).exists() {
            let is_old = days(workspace).first().is_some_and(|first| cursor.day < *first);
            return match (cursor.offset, is_old) {
                // The first line of that day was not written yet.
                (0, false) => Ok(reader),
                (_, true) => lost(JournalGap::TooOld),
                (_, false) => lost(JournalGap::Lost),
            };
        }
        if !reader.is_after_its_line(workspace) {
            return lost(JournalGap::Lost);
        }
        if cursor.boot == reader.place.boot { Ok(reader) } else { Err((JournalGap::Restarted, reader)) }
    }

    /// The place.
    #[must_use]
    pub fn cursor(&self) -> &Cursor {
        &self.place
    }

    /// The next complete lines, each with the place after it; none at the end.
    pub fn lines(&mut self, workspace: &Workspace) -> Vec<(Cursor, JournalLine)> {
        loop {
            let found = self.lines_of_file(workspace);
            if !found.is_empty() || !self.enter_next_file(workspace) {
                return found;
            }
        }
    }

    fn lines_of_file(&mut self, workspace: &Workspace) -> Vec<(Cursor, JournalLine)> {
        let mut found = Vec::new();
        while found.is_empty() {
            let mut bytes = Vec::new();
            let read = File::open(self.path(workspace)).and_then(|mut file| {
                file.seek(SeekFrom::Start(self.place.offset))?;
                file.take(CHUNK).read_to_end(&mut bytes)
            });
            let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            if read.is_err() || whole == 0 {
                break;
            }
            for line in bytes[..whole].split_inclusive(|b| *b == b'\n') {
                self.place.offset += line.len() as u64;
                let text = line.strip_suffix(b"\n").unwrap_or(line);
                self.place.check = check_of(text);
                // A torn line is skipped.
                let parsed = std::str::from_utf8(text).ok().and_then(journal::parse);
                found.extend(parsed.map(|parsed| (self.place.clone(), parsed)));
            }
        }
        found
    }

    /// Goes on to the next file, unless lines of this one may still be written.
    fn enter_next_file(&mut self, workspace: &Workspace) -> bool {
        let Some(next) = days(workspace).into_iter().find(|day| *day > self.place.day) else { return false };
        let now = workspace.world.now();
        if now.day() == next && now.plus_seconds(-LATE).day() != next {
            return false;
        }
        self.place = Cursor { day: next, offset: 0, check: 0, boot: self.place.boot };
        true
    }

    /// Whether the line before the place is the one of its check.
    fn is_after_its_line(&self, workspace: &Workspace) -> bool {
        let (offset, begin) = (self.place.offset, self.place.offset.saturating_sub(CHUNK));
        let mut bytes = Vec::new();
        let read = File::open(self.path(workspace)).and_then(|mut file| {
            file.seek(SeekFrom::Start(begin))?;
            file.take(offset - begin).read_to_end(&mut bytes)
        });
        if offset == 0 {
            return self.place.check == 0;
        }
        let line = bytes.strip_suffix(b"\n").and_then(|text| text.rsplit(|b| *b == b'\n').next());
        read.is_ok()
            && bytes.len() as u64 == offset - begin
            && line.is_some_and(|line| check_of(line) == self.place.check)
    }

    fn path(&self, workspace: &Workspace) -> PathBuf {
        workspace.path(".claw/journal").join(format!("{}.jsonl", self.place.day))
    }
}

/// The days that have a file, oldest first.
fn days(workspace: &Workspace) -> Vec<String> {
    let stem = |path: &PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    journal::files(workspace).iter().filter_map(stem).filter(|day| Stamp::of_day(day).is_some()).collect()
}

/// The hash of the machine's boot id; 0 if it has none.
fn boot() -> u32 {
    fs::read("/proc/sys/kernel/random/boot_id").map_or(0, |id| check_of(&id))
}
