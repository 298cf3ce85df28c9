//! Notes: Markdown files below `memories/`. A note is appended, never rewritten, so that nothing
//! that a person writes at the same time is lost; the id of the event that brought it stands in a
//! comment behind it, which makes a repeat do nothing.

pub mod git;
pub mod note_file;

use crate::core::event::id::{Id, is_name_byte};
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::memory::recall::{self, NoteLine};
use crate::store::fs::At;
use crate::store::fs::beneath::Beneath;
use crate::store::lock::Lane;
use crate::store::memory::note_file::NoteFile;
use crate::store::workspace::Workspace;
use crate::world;
use std::fs;
use std::path::Path;
use walkdir::WalkDir;

/// The folder's name in a workspace.
pub const FOLDER: &str = "memories";
/// How much of all notes is searched, in bytes.
const MAX_SEARCHED: u64 = 256 << 20;

/// Where a note goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotePlace {
    /// `memories/topics/<name>.md`.
    Topic(String),
    /// `memories/projects/<name>.md`.
    Project(String),
    /// `memories/daily-notes/<day>.md`.
    Daily,
}

impl NotePlace {
    /// The shelf that an event's `meta` names.
    ///
    /// # Errors
    /// `Data` where a name is no file name.
    pub fn named(topic: Option<&str>, project: Option<&str>) -> Result<Self> {
        let fit = |name: &str| {
            let plain = |c: char| c.is_alphanumeric() || u8::try_from(c).is_ok_and(is_name_byte);
            if name.is_empty() || name.len() > 90 || name.starts_with('.') || !name.chars().all(plain) {
                return Err(Fault::data(format!("`{}` is no name for a note", name.escape_debug()))
                    .hint("use letters, digits, . _ + -"));
            }
            Ok(name.strip_suffix(".md").unwrap_or(name).to_owned())
        };
        match (topic, project) {
            (Some(_), Some(_)) => Err(Fault::data("a note has one topic or one project, not both")),
            (Some(name), None) => Ok(Self::Topic(fit(name)?)),
            (None, Some(name)) => Ok(Self::Project(fit(name)?)),
            (None, None) => Ok(Self::Daily),
        }
    }

    /// The file, relative to the workspace, for a note made at `at`. The day is the owner's.
    #[must_use]
    pub fn file(&self, at: Stamp) -> String {
        match self {
            Self::Topic(name) => format!("{FOLDER}/topics/{name}.md"),
            Self::Project(name) => format!("{FOLDER}/projects/{name}.md"),
            Self::Daily => format!("{FOLDER}/daily-notes/{}.md", at.timestamp().to_zoned(world::zone()).date()),
        }
    }
}

/// Writes a note once, for the holder of the lane `memories`. Returns `file:line`.
///
/// # Errors
/// Where it cannot be written.
pub fn note(workspace: &Workspace, shelf: &NotePlace, id: &Id, text: &str) -> Result<String> {
    let name = shelf.file(id.stamp());
    let sync = workspace.sync()?;
    let mut note_file = NoteFile::open(workspace, &name, sync)?;
    let mark = format!("<!-- {id} -->");
    // What a person has written, or a power cut torn, may be no UTF-8.
    let last = |text: &[u8]| String::from_utf8_lossy(text).lines().position(|l| l.contains(&mark)).map(|n| n + 1);
    let mut whole = note_file.read()?;
    if last(&whole).is_none() {
        note_file.truncate_zeros(&mut whole)?;
        let title = Path::new(&name).file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let head = if whole.is_empty() { format!("# {title}\n\n") } else { String::new() };
        let addition = format!("{head}- {} {mark}\n", text.trim().replace('\n', "\n  "));
        note_file.append(&missing(&whole, &addition), sync)?;
        whole = note_file.read()?;
    } else {
        // Whoever wrote it may have been killed before it was durable.
        note_file.sync(sync)?;
    }
    let number = (last(&whole).unwrap_or(1) + 1).saturating_sub(text.trim().lines().count().max(1));
    Ok(format!("{name}:{number}"))
}

/// Commits the file of a note that is written, where `memories.git` is set.
///
/// # Errors
/// `Later` where git does not.
pub fn commit(workspace: &Workspace, lane: &Lane, shelf: &NotePlace, id: &Id, text: &str) -> Result<()> {
    if !workspace.config()?.memories.git || !workspace.is_trusted {
        return Ok(());
    }
    let name = shelf.file(id.stamp());
    git::commit(&workspace.root, lane, workspace.sync()?, Path::new(&name), &format!("remember: {}", first_words(text)))
        .map_err(|e| Fault::new(Kind::Later, format!("{name} is written, but {e}")))
}

/// What has to be appended to `old` so that it ends with `addition`: a line without an end is the
/// beginning of `addition` where a power cut tore it, else somebody's, and is ended first.
fn missing(old: &[u8], addition: &str) -> Vec<u8> {
    let tail = old.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    match addition.as_bytes().strip_prefix(tail) {
        Some(rest) => rest.to_owned(),
        None => format!("\n{addition}").into_bytes(),
    }
}

/// The subject of a commit: one line, of which no character is one that no argument of a program can have.
fn first_words(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").chars().take(60).collect()
}

/// The lines of all notes that answer `query`, best first. What is no note, or more than is searched, is passed over,
/// with a word.
///
/// # Errors
/// Where the notes cannot be read.
pub fn search(workspace: &Workspace, query: &str, limit: usize) -> Result<Vec<NoteLine>> {
    let Ok(root) = fs::canonicalize(workspace.path(FOLDER)) else { return Ok(Vec::new()) };
    let beneath = Beneath::open(&root, true).at("open", &root)?;
    let (mut lines, mut left) = (Vec::new(), MAX_SEARCHED);
    let hidden = |e: &walkdir::DirEntry| e.depth() > 0 && e.file_name().to_string_lossy().starts_with('.');
    for entry in WalkDir::new(&root).sort_by_file_name().into_iter().filter_entry(|e| !hidden(e)).flatten() {
        let is_note = entry.path().extension().is_some_and(|e| e == "md" || e == "txt");
        if !is_note || !entry.file_type().is_file() {
            continue;
        }
        let below = entry.path().strip_prefix(&root).unwrap_or(entry.path());
        let name = Path::new(FOLDER).join(below).to_string_lossy().into_owned();
        let bytes = match note_file::read(&beneath, below, &name, left) {
            Ok(bytes) => bytes,
            Err(fault) => {
                workspace.world.say(&format!("a note is not searched: {}", fault.message));
                continue;
            }
        };
        left -= bytes.len() as u64;
        for (number, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            let line = recall::clean(line);
            lines.extend(line.map(|text| NoteLine { path: name.clone(), number: number + 1, text }));
        }
    }
    Ok(recall::search(&lines, query, limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fs::durable;

    #[test]
    fn a_torn_note_is_completed_and_anybody_elses_line_is_ended() {
        assert_eq!(missing(b"", "- a\n"), b"- a\n");
        assert_eq!(missing(b"x\n", "- a\n"), b"- a\n");
        assert_eq!(missing(b"x\n- ", "- a\n"), b"a\n");
        assert_eq!(missing(b"x\n- \xc3", "- \u{e9}\n"), b"\xa9\n");
        assert_eq!(missing(b"x\nmine", "- a\n"), b"\n- a\n");
    }

    #[test]
    fn zeros_that_a_power_cut_has_left_are_cut_off_unless_somebody_went_on_writing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.md");
        let cut = |known: &[u8], there: &[u8]| {
            fs::write(&path, there).unwrap();
            let mut bytes = known.to_vec();
            let file = fs::File::options().append(true).open(&path).unwrap();
            durable::truncate_zeros(&file, &mut bytes).unwrap();
            (bytes, fs::read(&path).unwrap())
        };
        assert_eq!(cut(b"x\n- a\0\0", b"x\n- a\0\0"), (b"x\n- a".to_vec(), b"x\n- a".to_vec()));
        assert_eq!(cut(b"x\0y\n", b"x\0y\n"), (b"x\0y\n".to_vec(), b"x\0y\n".to_vec()));
        assert_eq!(cut(b"x\0", b"x\0mine"), (b"x\0".to_vec(), b"x\0mine".to_vec()));
        assert_eq!(cut(b"\0\0", b"\0\0"), (vec![], vec![]));
    }

    #[test]
    fn the_subject_of_a_commit_is_one_line_of_words() {
        assert_eq!(first_words("a\0b \n\u{1b}[2K  ä"), "a b [2K ä");
        assert_eq!(first_words(&"x".repeat(99)).len(), 60);
    }

    #[test]
    fn names_are_file_names() {
        assert_eq!(NotePlace::named(Some("préférences"), None), Ok(NotePlace::Topic("préférences".into())));
        assert_eq!(NotePlace::named(None, Some("house.md")), Ok(NotePlace::Project("house".into())));
        for bad in ["", "..", "../x", "a/b", "a\0", ".git", "a b~"] {
            assert!(NotePlace::named(Some(bad), None).is_err(), "{bad:?}");
        }
        assert!(NotePlace::named(Some("a"), Some("b")).is_err());
    }
}
