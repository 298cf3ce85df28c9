//! Notes: Markdown files below `memories/`. A note is appended and never rewritten, so that concurrent edits of a person
//! are not lost; a fact that another one replaces is struck out. [`history`] has every change of these files. A comment
//! after the note has the id of its event, so that writing it again does nothing.

pub mod admit;
pub mod git;
pub mod history;
mod known_facts;
pub mod note_file;
pub mod replace;
mod search;

use self::history::NewContents;
pub use known_facts::{find, marks};
pub use search::{FoundNote, NoteQuery, search};

use crate::core::event::Event;
use crate::core::event::id::{Id, is_name_byte};
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::memory::change::ChangeAuthor;
use crate::core::memory::note_mark;
use crate::store::memory::note_file::NoteFile;
use crate::store::workspace::Workspace;
use crate::world;
use std::path::Path;

/// The folder's name in a workspace.
pub const FOLDER: &str = "memories";
/// A note is appended so often to files that another program replaces at the same time.
const APPENDS: usize = 16;
/// The folder of daily notes below it.
pub const DAILY: &str = "daily-notes";

/// The file of a note.
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
    /// The place that an event's `meta` names; the daily notes by default.
    ///
    /// # Errors
    /// `Data` if a name is not a file name, or both are given.
    pub fn named(topic: Option<&str>, project: Option<&str>) -> Result<Self> {
        let checked = |name: &str| {
            let plain = |c: char| c.is_alphanumeric() || u8::try_from(c).is_ok_and(is_name_byte);
            if name.is_empty() || name.len() > 90 || name.starts_with('.') || !name.chars().all(plain) {
                return Err(Fault::data(format!("`{}` is not a valid name for a note", name.escape_debug()))
                    .hint("use letters, digits, . _ + -"));
            }
            Ok(name.strip_suffix(".md").unwrap_or(name).to_owned())
        };
        match (topic, project) {
            (Some(_), Some(_)) => Err(Fault::data("a note has a topic or a project, not both")),
            (Some(name), None) => Ok(Self::Topic(checked(name)?)),
            (None, Some(name)) => Ok(Self::Project(checked(name)?)),
            (None, None) => Ok(Self::Daily),
        }
    }

    /// The file, relative to the workspace, of a note made at `at`. The day is in the owner's time zone.
    #[must_use]
    pub fn file(&self, at: Stamp) -> String {
        match self {
            Self::Topic(name) => format!("{FOLDER}/topics/{name}.md"),
            Self::Project(name) => format!("{FOLDER}/projects/{name}.md"),
            Self::Daily => format!("{FOLDER}/{DAILY}/{}.md", at.timestamp().to_zoned(world::zone()).date()),
        }
    }
}

/// A note that is on the disk.
#[derive(Debug)]
pub struct Noted {
    /// `file:line`, or `already at file:line` if another note has the fact.
    pub place: String,
    /// The contents that were written for it; none if it was there already.
    pub written: NewContents,
}

/// Writes a note, unless it is already there. The caller holds the lock of the history ([`history::change`]). The day of
/// a daily note is that of the event's creation, so that a repeat finds it. A fact that it replaces is struck out.
///
/// # Errors
/// `Data` if the fact to replace is not there; or if the file cannot be written; `Later`
/// if another program replaces it again and again.
pub fn note(workspace: &Workspace, place: &NotePlace, event: &Event) -> Result<Noted> {
    let replaced = replace::Replaced::of(event)?;
    let mut noted = match written_on_the_ids_day(workspace, place, event)? {
        Some(place) => Noted { place, written: Vec::new() },
        None => write(workspace, place, event, replaced.as_ref())?,
    };
    if let Some(replaced) = replaced {
        // Both changes may be in one file: its content is read again.
        noted.written.retain(|(name, _)| *name != replaced.file);
        replace::strike(workspace, &replaced)?;
    }
    Ok(noted)
}

/// The files that a note changes, relative to the workspace.
///
/// # Errors
/// `Data` if the event names the fact to replace wrongly.
pub fn files(place: &NotePlace, event: &Event) -> Result<Vec<String>> {
    let own = place.file(event.created_at.into());
    let struck = replace::Replaced::of(event)?.map(|replaced| replaced.file).filter(|file| *file != own);
    Ok([own].into_iter().chain(struck).collect())
}

fn write(
    workspace: &Workspace,
    place: &NotePlace,
    event: &Event,
    replaced: Option<&replace::Replaced>,
) -> Result<Noted> {
    let (id, text) = (&event.id, event.content.trim().replace("\r\n", "\n"));
    let name = place.file(event.created_at.into());
    let sync = workspace.sync()?;
    for _ in 0..APPENDS {
        let mut note_file = NoteFile::open(workspace, &name, sync)?;
        let mut whole = note_file.read()?;
        if line_of_mark(&whole, id).is_some() {
            // Its writer may have been killed before the note was durable.
            note_file.sync(sync)?;
        } else {
            if let Some(replaced) = replaced {
                replace::check(workspace, replaced, &text)?;
            }
            if let Some(known) = find(workspace, &text, &name, id)? {
                return Ok(Noted { place: format!("already at {known}"), written: Vec::new() });
            }
            check_encoding(&whole, &name)?;
            note_file.truncate_zeros(&mut whole)?;
            note_file.append(&missing(&whole, &addition(&whole, &name, event, &text)), sync)?;
            whole = note_file.read()?;
        }
        // An editor that saves by renaming may have put a new file there, to which the note is appended again.
        if note_file.is_current()? {
            let place = place_in(&name, line_of_mark(&whole, id).unwrap_or(1), &text);
            return Ok(Noted { place, written: vec![(name, Some(whole))] });
        }
    }
    Err(Fault::new(Kind::Later, format!("another program replaces {name} all the time; the note waits")))
}

/// Refuses to append to UTF-16 text, which would end in garbage.
fn check_encoding(whole: &[u8], name: &str) -> Result<()> {
    if whole.starts_with(b"\xff\xfe") || whole.starts_with(b"\xfe\xff") {
        return Err(Fault::data(format!("{name} is UTF-16 text; the note was not written"))
            .hint("save the file as UTF-8, then retry the note"));
    }
    Ok(())
}

/// The lines to append to a file for a note, with the line ends of the file.
fn addition(whole: &[u8], name: &str, event: &Event, text: &str) -> String {
    let title = Path::new(name).file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let head = if whole.is_empty() { format!("# {title}\n\n") } else { String::new() };
    let mark = note_mark::new(&event.id, event.origin.taint.as_deref());
    let body = note_mark::without_comments(text).replace('\n', "\n  ");
    let body = match event.origin.taint {
        Some(_) => note_mark::on_each_line(&body, &mark),
        None => format!("{body} {mark}"),
    };
    let lines = format!("{head}- {body}\n");
    let has_crlf = memchr::memmem::find(whole, b"\r\n").is_some();
    if has_crlf { lines.replace('\n', "\r\n") } else { lines }
}

/// The place of a note that was written already, durable on return; `None` if there is none.
///
/// # Errors
/// If the file cannot be read.
pub fn written(workspace: &Workspace, place: &NotePlace, event: &Event) -> Result<Option<String>> {
    match written_in(workspace, &place.file(event.created_at.into()), event)? {
        None => written_on_the_ids_day(workspace, place, event),
        found => Ok(found),
    }
}

/// As [`written`], in the file of the id's day, where versions before 0.2 have put it. It is another day if the clock
/// was wrong.
fn written_on_the_ids_day(workspace: &Workspace, place: &NotePlace, event: &Event) -> Result<Option<String>> {
    let name = place.file(event.id.stamp());
    if name == place.file(event.created_at.into()) {
        return Ok(None);
    }
    written_in(workspace, &name, event)
}

fn written_in(workspace: &Workspace, name: &str, event: &Event) -> Result<Option<String>> {
    if !workspace.path(name).exists() {
        return Ok(None);
    }
    let sync = workspace.sync()?;
    let mut note_file = NoteFile::open(workspace, name, sync)?;
    let Some(line) = line_of_mark(&note_file.read()?, &event.id) else { return Ok(None) };
    note_file.sync(sync)?;
    Ok(Some(place_in(name, line, &event.content)))
}

/// The line of the last comment of a note, from 1. Text of a person or after a power cut may be invalid UTF-8.
fn line_of_mark(text: &[u8], id: &Id) -> Option<usize> {
    let mark = note_mark::begin(id);
    let text = String::from_utf8_lossy(text);
    text.lines().enumerate().filter(|(_, line)| line.contains(&mark)).last().map(|(n, _)| n + 1)
}

/// `file:line` of a note whose last line has this number.
fn place_in(name: &str, last: usize, text: &str) -> String {
    format!("{name}:{}", (last + 1).saturating_sub(text.trim().lines().count().max(1)))
}

/// The author of a note for the history.
#[must_use]
pub fn author(event: &Event) -> ChangeAuthor {
    let session = event.session.clone();
    let is_agent = event.from.channel() == "agent";
    ChangeAuthor {
        event: event.id.clone(),
        agent: is_agent.then(|| event.from.rest().to_owned()),
        session,
        origin: event.origin.taint.clone().unwrap_or_else(|| event.from.as_str().to_owned()),
        by_shell: false,
        undoes: None,
    }
}

/// The bytes to append to `old` so that it ends with `addition`. A last line without a newline is either the beginning
/// of `addition`, torn by a power cut, or a line of a person, which gets a newline first.
fn missing(old: &[u8], addition: &str) -> Vec<u8> {
    let tail = old.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    match addition.as_bytes().strip_prefix(tail) {
        Some(rest) => rest.to_owned(),
        None => format!("\n{addition}").into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fs::durable;
    use std::fs;

    #[test]
    fn torn_note_is_completed_and_a_persons_line_gets_a_newline() {
        assert_eq!(missing(b"", "- a\n"), b"- a\n");
        assert_eq!(missing(b"x\n", "- a\n"), b"- a\n");
        assert_eq!(missing(b"x\n- ", "- a\n"), b"a\n");
        assert_eq!(missing(b"x\n- \xc3", "- \u{e9}\n"), b"\xa9\n");
        assert_eq!(missing(b"x\nmine", "- a\n"), b"\n- a\n");
    }

    #[test]
    fn zeros_after_a_power_cut_are_cut_off_unless_text_was_added() {
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
    fn note_names_are_file_names() {
        assert_eq!(NotePlace::named(Some("préférences"), None), Ok(NotePlace::Topic("préférences".into())));
        assert_eq!(NotePlace::named(None, Some("house.md")), Ok(NotePlace::Project("house".into())));
        for bad in ["", "..", "../x", "a/b", "a\0", ".git", "a b~"] {
            assert!(NotePlace::named(Some(bad), None).is_err(), "{bad:?}");
        }
        assert!(NotePlace::named(Some("a"), Some("b")).is_err());
    }
}
