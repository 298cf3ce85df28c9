//! The facts of all notes: where one is noted already, and which marks the lines of other files have.

use crate::core::event::id::Id;
use crate::core::fault::Result;
use crate::core::memory::query::fold;
use crate::core::memory::{facts, note_mark, origin_marks, passage};
use crate::store::memory::search::Notes;
use crate::store::memory::{DAILY, FOLDER};
use crate::store::workspace::Workspace;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// `file:line` of a fact that is noted already: in this file, or in a topic or project. The notes of another day do not
/// count, because a thing may happen again. `None` also if the note of the event `own` is the one that has it.
///
/// # Errors
/// If the folder of notes cannot be opened.
pub fn find(workspace: &Workspace, text: &str, file: &str, own: &Id) -> Result<Option<String>> {
    let key = facts::key(text);
    let Some(notes) = Notes::open(workspace)? else { return Ok(None) };
    let (rare, mark) = (longest_word(&key), note_mark::begin(own));
    for (below, text) in notes.texts() {
        let path = Path::new(FOLDER).join(&below);
        if below.starts_with(DAILY) && path != Path::new(file) || !fold(&text).contains(rare) {
            continue;
        }
        if text.contains(&mark) {
            return Ok(None);
        }
        if let Some(fact) = facts::all(&text).into_iter().find(|fact| !fact.is_struck && fact.key == key) {
            return Ok(Some(format!("{}:{}", path.display(), fact.line)));
        }
    }
    Ok(None)
}

fn longest_word(key: &str) -> &str {
    key.split(' ').max_by_key(|word| word.len()).unwrap_or_default()
}

/// The marks of these lines, by key, in all files but `file`; a line without a source has `None`. Keys that no file has
/// are left out.
///
/// # Errors
/// If the folder of notes cannot be opened.
pub fn marks(workspace: &Workspace, keys: &BTreeSet<String>, file: &Path) -> Result<BTreeMap<String, Option<String>>> {
    let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
    let Some(notes) = Notes::open(workspace)? else { return Ok(found) };
    if keys.is_empty() {
        return Ok(found);
    }
    for (below, text) in notes.texts() {
        if notes.root.join(&below) == file {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        for (line, source) in lines.iter().zip(passage::sources(&lines)) {
            let key = facts::key(line);
            if keys.contains(&key) {
                // A line that is marked anywhere keeps its mark.
                let mark = source.and_then(|_| origin_marks::mark_in(line));
                let entry = found.entry(key).or_default();
                *entry = entry.take().or(mark);
            }
        }
    }
    Ok(found)
}
