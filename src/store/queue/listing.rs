//! Listing the events of a mailbox, by state or by lane.

use crate::core::event::entry::Entry;
use crate::core::fault::Result;
use crate::store::fs::{At, io_fault};
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{Mailbox, State};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

/// The entries of one state, in id order. Files that are not events are skipped; `claw check` reports them.
///
/// # Errors
/// If the folder cannot be read.
pub fn list(workspace: &Workspace, mailbox: Mailbox, state: State) -> Result<Vec<Entry>> {
    list_some(workspace, mailbox, state, &|_| true)
}

/// The entries of the lanes that `handles` accepts. Names of other lanes are not parsed, because there may be 100,000.
fn list_some(
    workspace: &Workspace,
    mailbox: Mailbox,
    state: State,
    handles: &dyn Fn(&str) -> bool,
) -> Result<Vec<Entry>> {
    let dir = mailbox.dir(workspace, state);
    let names = match fs::read_dir(&dir) {
        Ok(names) => names,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io_fault("list", &dir, &e)),
    };
    let mut entries = Vec::new();
    for name in names {
        let name = name.at("list", &dir)?.file_name();
        let is_wanted = |name: &&str| Entry::lane_of(name).is_none_or(handles);
        let entry = name.to_str().filter(is_wanted).and_then(Entry::parse);
        // A routed event that a person has moved back into new/ is routed again.
        entries.extend(entry.filter(|e| !e.lane.is_empty() || matches!(state, State::New | State::Failed)));
    }
    entries.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok(entries)
}

/// The entries of one state, for a report.
#[derive(Debug, Default)]
pub struct StateSurvey {
    /// Their number.
    pub count: usize,
    /// The first one by id that has no due time.
    pub first: Option<Entry>,
}

/// Counts the entries of a state whose names have no due time, and finds the first one. Their names are compared as they
/// are and not parsed, because there may be 100,000.
///
/// # Errors
/// If the folder cannot be read.
pub fn survey(workspace: &Workspace, mailbox: Mailbox, state: State) -> Result<StateSurvey> {
    let dir = mailbox.dir(workspace, state);
    let names = match fs::read_dir(&dir) {
        Ok(names) => names,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(StateSurvey::default()),
        Err(e) => return Err(io_fault("list", &dir, &e)),
    };
    let (mut count, mut first) = (0, None);
    for name in names {
        let name = name.at("list", &dir)?.file_name();
        let Some(name) = name.to_str().filter(|name| name.ends_with(".json") && Entry::lane_of(name).is_some()) else {
            continue;
        };
        count += 1;
        // A name begins with its id, so the order of names is that of ids.
        if first.as_deref().is_none_or(|first| name < first) {
            first = Some(name.to_owned());
        }
    }
    let Some(name) = first else { return Ok(StateSurvey::default()) };
    if let first @ Some(_) = Entry::parse(&name) {
        return Ok(StateSurvey { count, first });
    }
    // A foreign file is among them: they are looked at one by one.
    let all = list(workspace, mailbox, state)?;
    Ok(StateSurvey { count: all.len(), first: all.into_iter().next() })
}

/// Every entry of ready, wait and run, by lane.
pub type Lanes = BTreeMap<String, Vec<(State, Entry)>>;

/// Lists ready, wait and run once, for the lanes that `handles` accepts. A listing of a folder may contain a late file
/// and miss an earlier one; [`consistent`] corrects that.
///
/// # Errors
/// If a folder cannot be read.
fn listing(workspace: &Workspace, mailbox: Mailbox, handles: &dyn Fn(&str) -> bool) -> Result<Lanes> {
    let mut lanes = Lanes::new();
    for state in [State::Ready, State::Wait, State::Run] {
        for entry in list_some(workspace, mailbox, state, handles)? {
            lanes.entry(entry.lane.clone()).or_default().push((state, entry));
        }
    }
    for entries in lanes.values_mut() {
        // Of two files of one event, the one with the later state, then with more tries, is first.
        let progress =
            |(state, Entry { tries, .. }): &(State, Entry)| (*state, tries.rounds, tries.attempts, tries.crashes);
        entries.sort_unstable_by(|a, b| a.1.id.cmp(&b.1.id).then_with(|| progress(b).cmp(&progress(a))));
    }
    Ok(lanes)
}

/// The second of two listings, without ids after the last one of the first: every event that arrived before one of the
/// first listing is in the second.
fn consistent(first: &Lanes, mut second: Lanes) -> Lanes {
    second.retain(|lane, entries| {
        let last = first.get(lane).and_then(|known| known.last()).map(|(_, entry)| &entry.id);
        entries.retain(|(_, entry)| last.is_some_and(|last| entry.id <= *last));
        !entries.is_empty()
    });
    second
}

/// Lists the lanes that `handles` accepts, with no entry missing before a listed one. For a lane whose lock the caller
/// holds, or whose version is the same before and after, the list is complete except for the newest arrivals.
///
/// # Errors
/// If a folder cannot be read.
pub fn lanes(workspace: &Workspace, mailbox: Mailbox, handles: &dyn Fn(&str) -> bool) -> Result<Lanes> {
    lanes_with(workspace, mailbox, handles, &mut |_| Ok(()))
}

/// As [`lanes`]. Calls `visit` with each lane between the two listings: a version that it reads there is older than the
/// second listing.
///
/// # Errors
/// If a folder cannot be read; those of `visit`.
pub fn lanes_with(
    workspace: &Workspace,
    mailbox: Mailbox,
    handles: &dyn Fn(&str) -> bool,
    visit: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<Lanes> {
    let first = listing(workspace, mailbox, handles)?;
    if first.is_empty() {
        return Ok(first);
    }
    first.keys().try_for_each(|lane| visit(lane))?;
    Ok(consistent(&first, listing(workspace, mailbox, handles)?))
}

/// Lists one lane, as [`lanes`].
///
/// # Errors
/// If a folder cannot be read.
pub fn lane(workspace: &Workspace, mailbox: Mailbox, name: &str) -> Result<Vec<(State, Entry)>> {
    Ok(lanes(workspace, mailbox, &|lane| lane == name)?.remove(name).unwrap_or_default())
}
