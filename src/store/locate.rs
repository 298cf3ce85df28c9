//! Finding an event by what people type: its id, any unambiguous end of it, or a path.

use crate::core::entry::Entry;
use crate::core::fault::{Fault, Result};
use crate::core::id::Id;
use crate::store::boxes::{Side, State};
use crate::store::workspace::Workspace;
use std::fs;
use std::path::{Path, PathBuf};

/// Where an event's file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which box.
    pub side: Side,
    /// Which state; `None` is done.
    pub state: Option<State>,
    /// Its name there.
    pub entry: Entry,
    /// The file.
    pub path: PathBuf,
}

impl Found {
    /// The folder's name.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        self.state.map_or("done", State::name)
    }
}

/// Every event file of a box, in no order; `days` says which days of `done/` are wanted.
fn all(workspace: &Workspace, side: Side, wanted: impl Fn(&Id) -> bool, day: Option<&str>) -> Vec<Found> {
    let mut found = Vec::new();
    let mut look = |dir: &Path, state: Option<State>| {
        for file in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = file.file_name();
            let Some(name) = name.to_str() else { continue };
            let entry = Entry::parse(name).or_else(|| {
                let (id, _) = name.strip_suffix(".drop")?.split_once('~')?;
                Some(Entry::unrouted(Id::parse(id).ok()?, None))
            });
            if let Some(entry) = entry.filter(|e| wanted(&e.id)) {
                found.push(Found { side, state, entry, path: file.path() });
            }
        }
    };
    for state in [State::New, State::Ready, State::Wait, State::Run, State::Failed] {
        look(&side.dir(workspace, state), Some(state));
    }
    let done = workspace.root.join(side.name()).join("done");
    for folder in fs::read_dir(&done).into_iter().flatten().flatten() {
        if day.is_none_or(|day| folder.file_name() == day) {
            look(&folder.path(), None);
        }
    }
    found
}

/// The files of event `id` in a box; what has ended first, then the state that wins.
#[must_use]
pub fn of(workspace: &Workspace, side: Side, id: &Id) -> Vec<Found> {
    let mut found = all(workspace, side, |other| other == id, Some(&id.stamp().day()));
    found.sort_by_key(|f| std::cmp::Reverse(f.state.map_or(9, |s| s as u8)));
    found
}

/// The id that `text` means: an id, the end of one, or the path of an event's file.
///
/// # Errors
/// `Data` where nothing or more than one thing is meant.
pub fn resolve(workspace: &Workspace, text: &str) -> Result<Id> {
    let text = text.trim();
    let name = Path::new(text).file_name().and_then(|n| n.to_str()).unwrap_or(text);
    if let Some(entry) = Entry::parse(name) {
        return Ok(entry.id);
    }
    let beside = name.strip_suffix(".reason").or_else(|| name.strip_suffix(".receipt"));
    if let Ok(id) = Id::parse(beside.unwrap_or(name)) {
        return Ok(id);
    }
    let fits = |id: &Id| !text.is_empty() && id.as_str().ends_with(text);
    let mut ids: Vec<Id> = [Side::Inbox, Side::Outbox]
        .into_iter()
        .flat_map(|side| all(workspace, side, fits, None))
        .map(|f| f.entry.id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    match &ids[..] {
        [id] => Ok(id.clone()),
        [] => Err(Fault::data(format!("no event's id ends with `{}`", text.escape_debug()))),
        [a, b, ..] => Err(Fault::data(format!("`{text}` could be {a} or {b}")).hint("type more of it")),
    }
}

/// The newest event that came in from outside; what is named by a due time to come does not count.
#[must_use]
pub fn newest(workspace: &Workspace) -> Option<Id> {
    let now = workspace.world.now();
    all(workspace, Side::Inbox, |id| !id.is_derived() && id.stamp() <= now, None).into_iter().map(|f| f.entry.id).max()
}
