//! Replacing a fact: the old line is struck out, not removed, so that the notes still show what was believed.

use crate::core::event::Event;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::memory::facts::{self, Fact};
use crate::store::agent::located::check_regular;
use crate::store::fs::At;
use crate::store::fs::durable;
use crate::store::lock::NamedLock;
use crate::store::memory::FOLDER;
use crate::store::memory::search::Notes;
use crate::store::workspace::Workspace;
use rustix::fs::Mode;
use serde::{Deserialize, Serialize};
use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

/// The key in an event's `meta`.
const KEY: &str = "replaces";
/// The largest file in which a fact is struck out, in bytes.
const MAX: u64 = 8 << 20;

/// A fact that a note replaces. The text is part of it, because line numbers change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The file, relative to the workspace.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The fact, as [`facts::key`].
    pub fact: String,
}

impl Replaced {
    /// The fact that an event's note replaces.
    ///
    /// # Errors
    /// `Data` if the event names it wrongly.
    pub fn of(event: &Event) -> Result<Option<Self>> {
        let Some(value) = event.meta.get(KEY) else { return Ok(None) };
        let replaced = Self::deserialize(value).map_err(|e| Fault::data(format!("meta.{KEY}: {e}")))?;
        below(&replaced.file)?;
        Ok(Some(replaced))
    }

    /// The fact at `FILE:LINE`, to be replaced by `text`.
    ///
    /// # Errors
    /// `Data` if there is no fact, it is struck out, or it is the same fact.
    pub fn at(workspace: &Workspace, named: &str, text: &str) -> Result<Self> {
        let invalid = || {
            Fault::data(format!("`{}` is no line of a note", named.escape_debug()))
                .hint("write FILE:LINE as recall shows it: memories/topics/house.md:3")
        };
        let (file, line) = named.rsplit_once(':').ok_or_else(invalid)?;
        let line: usize = line.parse().ok().filter(|line| *line > 0).ok_or_else(invalid)?;
        let file = Path::new(file).strip_prefix(&workspace.root).unwrap_or(Path::new(file));
        let file = file.to_str().ok_or_else(invalid)?.trim_start_matches("./").to_owned();
        let (old, _) = open(workspace, &file)?;
        let fact = facts::all(&old).into_iter().rev().find(|fact| fact.line <= line);
        let Some(fact) = fact.filter(|fact| facts::strike(&old, line).is_some() || fact.is_struck) else {
            return Err(Fault::data(format!("{file}:{line} has no fact")).hint("see the numbers with `claw recall`"));
        };
        if fact.is_struck {
            return Err(Fault::data(format!("{file}:{line} is struck out already")));
        }
        let replaced = Self { file, line: fact.line, fact: fact.key };
        check(workspace, &replaced, text)?;
        Ok(replaced)
    }

    /// Writes it into an event.
    ///
    /// # Errors
    /// `Data` where serialisation fails, which does not happen for values of this type.
    pub fn write(&self, event: &mut serde_json::Map<String, serde_json::Value>) -> Result<()> {
        event.insert(KEY.to_owned(), serde_json::to_value(self).map_err(|e| Fault::data(e.to_string()))?);
        Ok(())
    }

    fn missing(&self) -> Fault {
        Fault::data(format!("{}:{} no longer has the fact to replace; nothing was saved", self.file, self.line))
            .hint("search for it again")
    }

    /// The fact in a text, the nearest to the line if there are several.
    fn find(&self, text: &str) -> Option<Fact> {
        let same = facts::all(text).into_iter().filter(|fact| fact.key == self.fact);
        same.min_by_key(|fact| (fact.is_struck, fact.line.abs_diff(self.line)))
    }
}

/// Checks before a note is written that the fact is there.
///
/// # Errors
/// `Data` if it is not.
pub fn check(workspace: &Workspace, replaced: &Replaced, text: &str) -> Result<()> {
    if facts::key(text) == replaced.fact {
        return Err(Fault::data(format!("{}:{} says the same already", replaced.file, replaced.line)));
    }
    let (old, _) = open(workspace, &replaced.file)?;
    replaced.find(&old).map(drop).ok_or_else(|| replaced.missing())
}

/// Strikes the fact out. Does nothing if it is struck out, or has gone since the note was written.
///
/// # Errors
/// `Later` if another program changes the file meanwhile.
pub fn strike(workspace: &Workspace, replaced: &Replaced) -> Result<()> {
    let _lock = NamedLock::wait(workspace, "desk")?;
    let (old, before) = open(workspace, &replaced.file)?;
    let Some(new) = replaced.find(&old).and_then(|fact| facts::strike(&old, fact.line)) else { return Ok(()) };
    let below = below(&replaced.file)?;
    let path = workspace.path(&replaced.file);
    let Some(notes) = Notes::open(workspace)? else { return Ok(()) };
    let dir = notes.beneath.folder(below.parent().unwrap_or(Path::new(""))).at("open the folder of", &path)?;
    let (_, now) = open(workspace, &replaced.file)?;
    if identity(&now) != identity(&before) {
        return Err(Fault::new(Kind::Later, format!("{} is being changed by another program", replaced.file)));
    }
    let name = below.file_name().unwrap_or_default();
    let temp = format!(".{}.tmp", name.to_string_lossy());
    let mode = Mode::from_raw_mode(before.mode() & 0o777);
    durable::replace_at(&dir, name, &temp, new.as_bytes(), Some(mode), workspace.sync()?).at("write", &path)
}

fn identity(file: &Metadata) -> (u64, u64, u64, i64, i64, i64) {
    (file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec(), file.ctime_nsec())
}

/// The text of a note, and the state of its file.
fn open(workspace: &Workspace, file: &str) -> Result<(String, Metadata)> {
    let (below, path) = (below(file)?, workspace.path(file));
    let missing = || Fault::data(format!("there is no note {file}"));
    let notes = Notes::open(workspace)?.ok_or_else(missing)?;
    let opened = notes.beneath.file(below).map_err(|e| match e {
        rustix::io::Errno::NOENT => missing(),
        other => Fault::data(format!("cannot open {file}: {other}")),
    })?;
    let size = check_regular(&opened, file, true)?;
    if size > MAX {
        return Err(Fault::data(format!("{file} has more than {MAX} bytes; no fact in it can be replaced")));
    }
    let state = opened.metadata().at("read", &path)?;
    let mut bytes = Vec::new();
    opened.take(MAX).read_to_end(&mut bytes).at("read", &path)?;
    let text = String::from_utf8(bytes).map_err(|_| Fault::data(format!("{file} is not UTF-8 text")))?;
    Ok((text, state))
}

/// The path below the folder of notes.
fn below(file: &str) -> Result<&Path> {
    let path = Path::new(file);
    let below = path.strip_prefix(FOLDER).ok().filter(|below| {
        below.components().next().is_some() && below.components().all(|part| matches!(part, Component::Normal(_)))
    });
    below.ok_or_else(|| Fault::data(format!("`{}` is no note below {FOLDER}/", file.escape_debug())))
}
