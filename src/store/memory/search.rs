//! The search in all notes: one pass over the files, no index, so that it is as fresh as the disk.

use crate::core::fault::Result;
use crate::core::memory::passage::{self, Passage};
use crate::core::memory::query::Query;
use crate::core::memory::recall::{NoteSearch, RankedLine, SearchedFile};
use crate::store::fs::At;
use crate::store::fs::beneath::Beneath;
use crate::store::memory::{DAILY, FOLDER, note_file};
use crate::store::workspace::Workspace;
use crate::world;
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use jiff::Timestamp;
use jiff::civil::Date;
use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// The most bytes of notes that one search reads.
const MAX_SEARCHED: u64 = 256 << 20;

/// A question to the notes.
#[derive(Clone, Debug)]
pub struct NoteQuery<'a> {
    /// The words.
    pub text: &'a str,
    /// The most lines to find.
    pub limit: usize,
    /// The first day.
    pub since: Option<Date>,
    /// Only files in this folder below `memories/`.
    pub folder: Option<&'a str>,
}

/// A line of a note that matches, with its surroundings.
#[derive(Clone, Debug)]
pub struct FoundNote {
    /// The file, relative to the workspace.
    pub path: String,
    /// The line's number, from 1.
    pub number: usize,
    /// The line and what stands around it.
    pub passage: Passage,
    /// Its rank.
    pub ranked: RankedLine,
    /// The words of the query.
    pub words: Vec<String>,
}

impl FoundNote {
    /// The path for line-oriented output: control characters, such as line breaks in names, are escaped.
    #[must_use]
    pub fn shown_path(&self) -> Cow<'_, str> {
        if self.path.chars().any(char::is_control) {
            self.path.escape_debug().to_string().into()
        } else {
            Cow::Borrowed(&self.path)
        }
    }
}

/// The lines of all notes that match, best first. A file that is not a note, or exceeds the limit of a search, is skipped
/// with a warning.
///
/// # Errors
/// If the folder of notes cannot be opened, or `claw.yaml` is invalid.
pub fn search(workspace: &Workspace, wanted: &NoteQuery) -> Result<Vec<FoundNote>> {
    let Some(notes) = Notes::open(workspace)? else { return Ok(Vec::new()) };
    let query = Query::new(wanted.text, &workspace.config()?.memories.languages);
    let words: Vec<String> = query.words().map(ToOwned::to_owned).collect();
    let mut search = NoteSearch::new(query, wanted.since);
    let mut left = MAX_SEARCHED;
    for below in notes.files(wanted.folder) {
        if let Some(bytes) = notes.read(&below, left) {
            left = left.saturating_sub(bytes.len() as u64);
            search.add(notes.searched(&below), &decode(&bytes));
        }
    }
    let today = workspace.world.now().timestamp().to_zoned(world::zone()).date();
    let (files, ranked) = search.finish(wanted.limit, today);
    let found = ranked.into_iter().filter_map(|ranked| {
        let file = &files[ranked.file];
        let below = Path::new(&file.path).strip_prefix(FOLDER).ok()?;
        let mut passage = passage::around(&decode(&notes.read(below, MAX_SEARCHED)?), ranked.line)?;
        passage.day = passage.day.or(file.day);
        Some(FoundNote { path: file.path.clone(), number: ranked.line, passage, ranked, words: words.clone() })
    });
    Ok(found.collect())
}

/// The folder of notes, opened.
pub(super) struct Notes<'a> {
    workspace: &'a Workspace,
    pub(super) root: PathBuf,
    pub(super) beneath: Beneath,
}

impl<'a> Notes<'a> {
    /// Opens the folder; `None` if there is none.
    pub(super) fn open(workspace: &'a Workspace) -> Result<Option<Self>> {
        let Ok(root) = fs::canonicalize(workspace.path(FOLDER)) else { return Ok(None) };
        Ok(Some(Self { workspace, beneath: Beneath::open(&root, true).at("open", &root)?, root }))
    }

    /// The text of every note, with its path relative to the folder.
    pub(super) fn texts(&self) -> impl Iterator<Item = (PathBuf, String)> {
        let mut left = MAX_SEARCHED;
        self.files(None).filter_map(move |below| {
            let bytes = self.read(&below, left)?;
            left = left.saturating_sub(bytes.len() as u64);
            Some((below, decode(&bytes).into_owned()))
        })
    }

    /// The files that may be notes, relative to the folder of notes.
    fn files(&self, folder: Option<&str>) -> impl Iterator<Item = PathBuf> {
        let hidden = |e: &DirEntry| e.depth() > 0 && e.file_name().to_string_lossy().starts_with('.');
        let is_note =
            |e: &DirEntry| e.file_type().is_file() && e.path().extension().is_some_and(|e| e == "md" || e == "txt");
        let top = folder.map_or_else(|| self.root.clone(), |folder| self.root.join(folder));
        let all = WalkDir::new(top).sort_by_file_name().into_iter().filter_entry(move |e| !hidden(e)).flatten();
        all.filter(is_note).filter_map(|entry| Some(entry.path().strip_prefix(&self.root).ok()?.to_path_buf()))
    }

    fn read(&self, below: &Path, most: u64) -> Option<Vec<u8>> {
        let name = Path::new(FOLDER).join(below).to_string_lossy().into_owned();
        note_file::read(&self.beneath, below, &name, most)
            .inspect_err(|fault| self.workspace.world.say(&format!("a note was not searched: {}", fault.message)))
            .ok()
    }

    fn searched(&self, below: &Path) -> SearchedFile {
        let day = below.starts_with(DAILY).then(|| below.file_stem()?.to_str()?.parse().ok()).flatten();
        let changed = fs::symlink_metadata(self.root.join(below)).and_then(|meta| meta.modified()).ok();
        let changed = changed.and_then(|at| Timestamp::try_from(at).ok()).map(|at| at.to_zoned(world::zone()).date());
        SearchedFile { path: Path::new(FOLDER).join(below).to_string_lossy().into_owned(), day, changed }
    }
}

/// The text of a note: UTF-8, or UTF-16 with a byte order mark. A line that is not UTF-8 is read as Windows-1252.
pub(super) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes).filter(|(encoding, _)| *encoding != UTF_8) {
        return encoding.decode_without_bom_handling(&bytes[mark..]).0;
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Err(_) = std::str::from_utf8(bytes) else { return String::from_utf8_lossy(bytes) };
    let line = |line: &[u8]| match std::str::from_utf8(line) {
        Ok(line) => line.to_owned(),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(line).0.into_owned(),
    };
    bytes.split_inclusive(|byte| *byte == b'\n').map(line).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_in_other_encodings_are_read() {
        assert_eq!(decode(b"\xef\xbb\xbfcaf\xc3\xa9"), "café");
        assert_eq!(decode(b"caf\xe9\ncaf\xc3\xa9\n"), "café\ncafé\n");
        assert_eq!(decode(b"\xff\xfec\0a\0f\0\xe9\0"), "café");
        assert_eq!(decode(b"\0\0"), "\0\0");
    }
}
