//! Removing finished data: days of `done/`, the journal, sessions of `ask` and of dispatches, and lock files of lanes
//! that no process has held for a day.

use crate::core::event::session_name;
use crate::core::event::stamp::Stamp;
use crate::core::fault::Result;
use crate::store::channel::{pairing, seen};
use crate::store::crons::ledger;
use crate::store::fs::At;
use crate::store::lock::Lane;
use crate::store::queue::listing;
use crate::store::session;
use crate::store::session::stop;
use crate::store::tasks;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal;
use crate::store::workspace::mailbox::{Mailbox, State};
use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// Removes data older than the limits under `keep:`, and returns the number of removed files and folders. A day of
/// `done/` is named by the creation of its events. It is removed `done_days` after the last of them has ended, but not
/// while a live event was created on that day or derived from one that was. Entries of `done/` that are not days belong
/// to the owner and stay. The caller has run recovery before.
///
/// # Errors
/// If a file cannot be removed.
pub fn run(workspace: &Workspace) -> Result<usize> {
    let keep = workspace.config()?.keep.clone();
    let before = |days: u32| workspace.world.now().minus_days(days);
    let live = Live::read(workspace)?;
    // One day more, because a day is old when its last instant is.
    let last = before(keep.done_days.saturating_add(1));
    let mut removed = remove_done_days(workspace, &live, last, before(keep.done_days))?;
    stop::sweep(workspace, last, &|day| live.days.contains(day))?;
    removed += remove_journal(workspace, before(keep.journal_days.saturating_add(1)))?;
    removed += remove_sessions(workspace, &live, before(keep.ask_days))?;
    session::tidy(workspace)?;
    tasks::tidy(workspace)?;
    remove_lane_locks(workspace, &live, before(1))?;
    pairing::tidy(workspace)?;
    removed += seen::tidy(workspace)?;
    Ok(removed)
}

/// The events that have not ended, or whose end no ledger of a job has yet. Failed ones are among them: a retry relies on their receipts and their session.
struct Live {
    /// The days on which they were created.
    days: HashSet<String>,
    lanes: HashSet<String>,
}

impl Live {
    fn read(workspace: &Workspace) -> Result<Self> {
        let mut live = Self { days: HashSet::new(), lanes: HashSet::new() };
        for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
            for state in [State::New, State::Ready, State::Wait, State::Run, State::Failed] {
                for entry in listing::list(workspace, mailbox, state)? {
                    live.days.insert(entry.id.stamp().day());
                    live.lanes.insert(entry.lane);
                }
            }
        }
        // The end of a run that could not be recorded at once is in its session.
        for name in ledger::names(workspace)? {
            for run in &ledger::read(workspace, &name)?.state.open {
                live.days.insert(run.event.stamp().day());
                live.lanes.insert(run.session.clone());
            }
        }
        Ok(live)
    }
}

/// Removes days of `done/` that begin at `last` or earlier and whose last event ended before `ended`.
fn remove_done_days(workspace: &Workspace, live: &Live, last: Stamp, ended: Stamp) -> Result<usize> {
    let mut removed = 0;
    for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
        let done = workspace.root.join(mailbox.name()).join("done");
        for day in names(&done) {
            let path = done.join(&day);
            let is_over = Stamp::of_day(&day).is_some_and(|first| first <= last) && !live.days.contains(&day);
            let is_day = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
            if is_over && is_day && is_older(&path, ended) {
                fs::remove_dir_all(&path).at("remove", &path)?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

/// Removes files of the journal whose day begins at `last` or earlier.
fn remove_journal(workspace: &Workspace, last: Stamp) -> Result<usize> {
    let mut removed = 0;
    for path in journal::files(workspace) {
        let day = path.file_stem().and_then(|day| Stamp::of_day(&day.to_string_lossy()));
        if day.is_some_and(|first| first <= last) {
            fs::remove_file(&path).at("remove", &path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes sessions of `ask` and of dispatches without live events, whose log was last written before `since`.
fn remove_sessions(workspace: &Workspace, live: &Live, since: Stamp) -> Result<usize> {
    let mut removed = 0;
    for session in names(&workspace.path("sessions")) {
        let path = workspace.path("sessions").join(&session);
        let is_free = session_name::is_one_off(&session) && !live.lanes.contains(&session);
        if is_free && is_older(&path.join("log.jsonl"), since) {
            // A holder of the lane may be about to write into the session.
            if let Some(lane) = Lane::attempt(workspace, Mailbox::Inbox, &session)? {
                fs::remove_dir_all(&path).at("remove", &path)?;
                lane.release_and_remove();
                removed += 1;
            }
        }
    }
    Ok(removed)
}

/// Removes lock files of lanes without live events that were last held before `since`.
fn remove_lane_locks(workspace: &Workspace, live: &Live, since: Stamp) -> Result<()> {
    for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
        let folder = workspace.path(".claw/locks").join(mailbox.name());
        for name in names(&folder) {
            // The next process that reads the state of the lane creates its lock file again.
            let is_idle = !live.lanes.contains(&name) && is_older(&folder.join(&name), since);
            if let Some(lane) = is_idle.then(|| Lane::attempt(workspace, mailbox, &name)).transpose()?.flatten() {
                lane.release_and_remove();
            }
        }
    }
    Ok(())
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().into_string().ok()).filter(|n| !n.starts_with('.')).collect()
}

fn is_older(path: &Path, since: Stamp) -> bool {
    let changed = fs::metadata(path).and_then(|m| m.modified()).ok();
    changed.and_then(|at| jiff::Timestamp::try_from(at).ok()).is_some_and(|at| Stamp::from(at) < since)
}
