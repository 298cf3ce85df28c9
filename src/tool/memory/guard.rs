//! Changes of notes by the file tools. Secrets are refused; lines keep the marks of their sources, and new ones get the
//! turn's; a task that runs without the owner neither rewrites daily notes nor loses facts.

use crate::core::event::EventKind;
use crate::core::fault::{Fault, Result};
use crate::core::memory::{facts, note_mark, origin_marks};
use crate::core::text::base32::hash32;
use crate::store::agent::files::AgentFiles;
use crate::store::fs::At;
use crate::store::fs::durable;
use crate::store::memory::{self, DAILY, FOLDER, admit};
use crate::tool::ToolContext;
use crate::tool::memory::source;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The folder of the facts that files had at the beginning of a task.
const BASELINES: &str = ".claw/memory/baseline";
/// The most bytes of the old text that are looked at.
const MAX: u64 = 8 << 20;

/// The facts of a file before the first change by an event.
#[derive(Serialize, Deserialize)]
struct Baseline {
    event: String,
    facts: BTreeSet<String>,
}

/// The text to write in place of the whole file; `new` itself for a file that is no note.
pub(in crate::tool) fn for_write(context: &ToolContext, files: &AgentFiles, path: &str, new: String) -> Result<String> {
    let target = files.target(path)?;
    if below_notes(context, &target).is_none() {
        return Ok(new);
    }
    let mut old = Vec::new();
    if let Ok(opened) = files.open(path) {
        // A file that cannot be read has no lines to keep.
        let _ = opened.file.take(MAX).read_to_end(&mut old);
    }
    for_change(context, &target, &String::from_utf8_lossy(&old), new)
}

/// The text to write in place of `old`; `new` itself for a file that is no note.
pub(in crate::tool) fn for_change(context: &ToolContext, target: &Path, old: &str, new: String) -> Result<String> {
    let Some(below) = below_notes(context, target) else { return Ok(new) };
    let workspace = context.workspace;
    admit::check_secrets(workspace, &new, old)?;
    let is_unattended = is_unattended(context);
    if is_unattended && below.starts_with(DAILY) && !new.starts_with(old.trim_end()) {
        return Err(Fault::data("daily notes are a record and are not rewritten; nothing was written")
            .hint("save the fact in a topic, and name the daily note that it comes from"));
    }
    let before = if is_unattended { baseline(context, target, old)? } else { BTreeSet::new() };
    let mut keys = origin_marks::added_keys(old, &new);
    keys.extend(before.iter().cloned());
    let elsewhere = memory::marks(workspace, &keys, target)?;
    let (all, lost) = facts::lost(&before, &new, |key| elsewhere.contains_key(key));
    if lost * 4 > all {
        return Err(Fault::data(format!(
            "{lost} of the {all} facts in this file would be lost, and a task without the owner may remove at most a \
             quarter; nothing was written"
        ))
        .hint("keep them, strike out those that no longer hold (~~old fact~~), or move them to another note first"));
    }
    let mark = source(context).map(|source| note_mark::new(&context.event.id, Some(&source)));
    Ok(origin_marks::carried(old, &new, &elsewhere, mark.as_deref()))
}

/// Refuses to move notes away in a task that runs without the owner: it could lose them. Refuses to make a note of a
/// file with a secret, and of any file in a turn whose text would need marks.
pub(in crate::tool) fn for_move(context: &ToolContext, files: &AgentFiles, path: &str, to: &Path) -> Result<()> {
    let from = &files.target(path)?;
    if below_notes(context, to).is_some() && below_notes(context, from).is_none() {
        return for_new_note(context, files, path);
    }
    let Some(below) = below_notes(context, from).filter(|_| is_unattended(context)) else { return Ok(()) };
    if below_notes(context, to).is_some() && !below.starts_with(DAILY) {
        return Ok(());
    }
    Err(Fault::data("a task without the owner does not move daily notes, or notes out of memories/; nothing was moved")
        .hint("say in your answer what should be moved"))
}

fn for_new_note(context: &ToolContext, files: &AgentFiles, path: &str) -> Result<()> {
    if let Some(source) = source(context) {
        return Err(Fault::data(format!(
            "the file may have text from {source}, which needs a mark; nothing was moved"
        ))
        .hint("write the note with `write`, which sets the marks"));
    }
    let mut text = Vec::new();
    // What is no file is refused when it is moved.
    if let Ok(opened) = files.open(path) {
        let _ = opened.file.take(MAX).read_to_end(&mut text);
    }
    admit::check_secrets(context.workspace, &String::from_utf8_lossy(&text), "")
}

/// Whether the owner does not see what the turn does: a scheduled run, or another agent's task.
fn is_unattended(context: &ToolContext) -> bool {
    matches!(context.event.kind, EventKind::Cron | EventKind::Heartbeat | EventKind::Dispatch)
}

/// The path below the folder of notes.
fn below_notes(context: &ToolContext, target: &Path) -> Option<PathBuf> {
    let root = fs::canonicalize(context.workspace.path(FOLDER)).ok()?;
    target.strip_prefix(root).ok().map(Path::to_path_buf)
}

/// The facts of the file before the first change by this event, so that many small changes do not lose more than one
/// large one. One file for each note, which the next event replaces.
fn baseline(context: &ToolContext, target: &Path, old: &str) -> Result<BTreeSet<String>> {
    let name = format!("{}.json", hash32(&target.to_string_lossy(), 16));
    let dir = context.workspace.path(BASELINES);
    let path = dir.join(name);
    let event = context.event.id.to_string();
    let known = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Baseline>(&bytes).ok());
    if let Some(known) = known.filter(|known| known.event == event) {
        return Ok(known.facts);
    }
    let begun = Baseline { event, facts: facts::keys(old) };
    let json = serde_json::to_vec(&begun).map_err(|e| Fault::data(e.to_string()))?;
    fs::create_dir_all(&dir).at("make", &dir)?;
    durable::write_new(&path, &json, context.workspace.sync()?)?;
    Ok(begun.facts)
}
