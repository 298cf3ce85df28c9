//! Finding an event by an id, an unambiguous end of one, or a path, as people type them.

use crate::core::event::entry::Entry;
use crate::core::event::id::Id;
use crate::core::fault::{Fault, Result};
use crate::store::fs::At;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{Mailbox, State};
use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The place of an event's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocatedEvent {
    /// Its mailbox.
    pub mailbox: Mailbox,
    /// Its state; `None` is done.
    pub state: Option<State>,
    /// Its name, parsed.
    pub entry: Entry,
    /// Its path.
    pub path: PathBuf,
}

impl LocatedEvent {
    /// The name of its folder.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        self.state.map_or("done", State::name)
    }
}

/// The id in the name of a drop, `<id>~<name>.drop`.
fn drop_id(name: &str) -> Option<Id> {
    let (id, _) = name.strip_suffix(".drop")?.split_once('~')?;
    Id::parse(id).ok()
}

/// The entries of a folder; none if it is missing.
fn entries(dir: &Path) -> Result<Vec<DirEntry>> {
    let none = |e: io::Error| if e.kind() == ErrorKind::NotFound { Ok(Vec::new()) } else { Err(e) };
    fs::read_dir(dir).and_then(Iterator::collect).or_else(none).at("list", dir)
}

/// The files of wanted events in a mailbox, unsorted. `day` limits the search in `done/` to one day.
fn all(
    workspace: &Workspace,
    mailbox: Mailbox,
    wanted: impl Fn(&Id) -> bool,
    day: Option<&str>,
) -> Result<Vec<LocatedEvent>> {
    let mut found = Vec::new();
    let mut search = |dir: &Path, state: Option<State>| -> Result<()> {
        for file in entries(dir)? {
            let name = file.file_name();
            let Some(name) = name.to_str() else { continue };
            let entry = Entry::parse(name).or_else(|| Some(Entry::unrouted(drop_id(name)?, None)));
            if let Some(entry) = entry.filter(|e| wanted(&e.id)) {
                found.push(LocatedEvent { mailbox, state, entry, path: file.path() });
            }
        }
        Ok(())
    };
    for state in [State::New, State::Ready, State::Wait, State::Run, State::Failed] {
        search(&mailbox.dir(workspace, state), Some(state))?;
    }
    let done = workspace.root.join(mailbox.name()).join("done");
    let days: Vec<PathBuf> = match day {
        Some(day) => vec![done.join(day)],
        None => entries(&done)?.iter().map(DirEntry::path).filter(|path| path.is_dir()).collect(),
    };
    days.iter().try_for_each(|day| search(day, None))?;
    Ok(found)
}

/// The files of event `id` in a mailbox: a done one first, then in the order in which the states take precedence.
///
/// # Errors
/// If a folder cannot be listed.
pub fn of(workspace: &Workspace, mailbox: Mailbox, id: &Id) -> Result<Vec<LocatedEvent>> {
    let mut found = all(workspace, mailbox, |other| other == id, Some(&id.stamp().day()))?;
    found.sort_by_key(|f| std::cmp::Reverse(f.state.map_or(9, |s| s as u8)));
    Ok(found)
}

/// Resolves `text`: an id, the end of one, or the path of an event's file.
///
/// # Errors
/// `Data` if no id or several ids match; if a folder cannot be listed.
pub fn resolve(workspace: &Workspace, text: &str) -> Result<Id> {
    let text = text.trim();
    let name = Path::new(text).file_name().and_then(|n| n.to_str()).unwrap_or(text);
    if let Some(id) = Entry::parse(name).map(|entry| entry.id).or_else(|| drop_id(name)) {
        return Ok(id);
    }
    let beside = name.strip_suffix(".reason").or_else(|| name.strip_suffix(".receipt"));
    if let Ok(id) = Id::parse(beside.unwrap_or(name)) {
        return Ok(id);
    }
    let matches = |id: &Id| !text.is_empty() && id.as_str().ends_with(text);
    let (inbox, outbox) =
        (all(workspace, Mailbox::Inbox, matches, None)?, all(workspace, Mailbox::Outbox, matches, None)?);
    let mut ids: Vec<Id> = inbox.into_iter().chain(outbox).map(|f| f.entry.id).collect();
    ids.sort_unstable();
    ids.dedup();
    match &ids[..] {
        [id] => Ok(id.clone()),
        [] => Err(Fault::data(format!("no event has an id that ends with `{}`", text.escape_debug()))),
        [a, b, ..] => Err(Fault::data(format!("`{text}` could be {a} or {b}")).hint("type more of it")),
    }
}

/// The ids of all events in these states, of both mailboxes, oldest first.
///
/// # Errors
/// If a folder cannot be listed.
pub fn in_states(workspace: &Workspace, states: &[State]) -> Result<Vec<Id>> {
    let mut ids = Vec::new();
    for (mailbox, state) in [Mailbox::Inbox, Mailbox::Outbox].iter().flat_map(|m| states.iter().map(move |s| (m, s))) {
        let names = entries(&mailbox.dir(workspace, *state))?.into_iter().map(|file| file.file_name());
        let names = names.filter_map(|name| name.into_string().ok());
        ids.extend(names.filter_map(|name| Entry::parse(&name).map(|entry| entry.id).or_else(|| drop_id(&name))));
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// The newest event that was not derived from another one. An id of a future instant does not count.
///
/// # Errors
/// If a folder cannot be listed.
pub fn newest(workspace: &Workspace) -> Result<Option<Id>> {
    let now = workspace.world.now();
    let found = all(workspace, Mailbox::Inbox, |id| !id.is_derived() && id.stamp() <= now, None)?;
    Ok(found.into_iter().map(|f| f.entry.id).max())
}
