//! Letting go of what is finished: days of `done/`, the journal, the sessions of `ask` and of dispatches, locks of lanes
//! that nobody has held for a day.

use crate::core::event::session_name;
use crate::core::event::stamp::Stamp;
use crate::core::fault::Result;
use crate::store::fs::At;
use crate::store::lock::Lane;
use crate::store::queue::spool;
use crate::store::session;
use crate::store::session::stop;
use crate::store::tasks;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal;
use crate::store::workspace::mailbox::{Mailbox, State};
use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// Removes what is older than `keep:` says. A day of `done/` is named by when its events were made, and stays
/// as long after the last of them has ended, and while a live event is of that day or derived from one of it;
/// what is no day is somebody's own. The caller has recovered before.
///
/// # Errors
/// Where something cannot be removed.
pub fn run(workspace: &Workspace) -> Result<usize> {
    let keep = workspace.config()?.keep.clone();
    let before = |days: u32| workspace.world.now().minus_days(days);
    // A retry relies on the receipts of what has failed, and on its session.
    let (mut live, mut lanes) = (HashSet::new(), HashSet::new());
    for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
        for state in [State::New, State::Ready, State::Wait, State::Run, State::Failed] {
            for entry in spool::list(workspace, mailbox, state)? {
                live.insert(entry.id.stamp().day());
                lanes.insert(entry.lane);
            }
        }
    }
    let mut removed = 0;
    // A day is done with when its last instant is.
    let last = before(keep.done_days.saturating_add(1));
    for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
        let done = workspace.root.join(mailbox.name()).join("done");
        for day in names(&done) {
            let path = done.join(&day);
            let is_over = Stamp::of_day(&day).is_some_and(|first| first <= last) && !live.contains(&day);
            let is_day = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
            if is_over && is_day && is_older(&path, before(keep.done_days)) {
                fs::remove_dir_all(&path).at("remove", &path)?;
                removed += 1;
            }
        }
    }
    stop::sweep(workspace, last, &|day| live.contains(day))?;
    let last = before(keep.journal_days.saturating_add(1));
    for path in journal::files(workspace) {
        let day = path.file_stem().and_then(|day| Stamp::of_day(&day.to_string_lossy()));
        if day.is_some_and(|first| first <= last) {
            fs::remove_file(&path).at("remove", &path)?;
            removed += 1;
        }
    }
    for session in names(&workspace.path("sessions")) {
        let path = workspace.path("sessions").join(&session);
        let is_free = session_name::is_one_off(&session) && !lanes.contains(&session);
        if is_free && is_older(&path.join("log.jsonl"), before(keep.ask_days)) {
            // Whoever holds the lane is about to write into it.
            if let Some(lane) = Lane::attempt(workspace, Mailbox::Inbox, &session)? {
                fs::remove_dir_all(&path).at("remove", &path)?;
                lane.retire();
                removed += 1;
            }
        }
    }
    session::tidy(workspace)?;
    tasks::tidy(workspace)?;
    for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
        let folder = workspace.path(".claw/locks").join(mailbox.name());
        for name in names(&folder) {
            // Whoever looks at an idle lane makes its lock file anew.
            let is_idle = !lanes.contains(&name) && is_older(&folder.join(&name), before(1));
            if let Some(lane) = is_idle.then(|| Lane::attempt(workspace, mailbox, &name)).transpose()?.flatten() {
                lane.retire();
            }
        }
    }
    Ok(removed)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().into_string().ok()).filter(|n| !n.starts_with('.')).collect()
}

fn is_older(path: &Path, since: Stamp) -> bool {
    let changed = fs::metadata(path).and_then(|m| m.modified()).ok();
    changed.and_then(|at| jiff::Timestamp::try_from(at).ok()).is_some_and(|at| Stamp::from(at) < since)
}
