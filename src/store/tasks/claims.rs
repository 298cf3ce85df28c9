//! The end of claims on the shared task list. There are no leases and no pids:
//!
//! - A claim of an agent belongs to the session in which it was made. It holds while the session has work: its lane is
//!   held, an event is in it, or an approval is pending. So a killed turn keeps its claim until it is resumed and ends.
//!   A turn that ends without finishing the task, or fails for good, gives the claim up.
//! - A claim with a command holds while the command runs: the command and all its descendants inherit a lock.
//! - A claim of a person, also by `mv`, holds until it is released.
//!
//! Every process that reads the list to change it reopens the tasks whose claims are free.

use crate::core::definition::task::{Hold, Task, TaskState};
use crate::core::event::address::safe_name;
use crate::core::event::session_name;
use crate::core::fault::{Kind, Result};
use crate::store::lock::{Lane, NamedLock};
use crate::store::queue::listing;
use crate::store::session::approvals;
use crate::store::tasks::{self, TaskList};
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::Mailbox;
use std::fs;
use std::path::PathBuf;

/// The folder of the locks that commands hold, below `.claw/locks`.
const LOCKS: &str = "claims";

/// The folder of the lock files of claims by commands.
#[must_use]
pub fn locks(workspace: &Workspace) -> PathBuf {
    workspace.path(".claw/locks").join(LOCKS)
}

/// Makes the folder of lock files.
///
/// # Errors
/// On a disk error.
pub fn make_layout(workspace: &Workspace) -> Result<()> {
    workspace.make_dir(&locks(workspace), 1)
}

/// Takes the lock of a command that works on this task, if it is free. It must be taken before the claim is made.
///
/// # Errors
/// If the lock file cannot be made.
pub fn lock(workspace: &Workspace, task: &str) -> Result<Option<NamedLock>> {
    make_layout(workspace)?;
    NamedLock::attempt(workspace, &format!("{LOCKS}/{}", safe_name(task, 90)))
}

impl TaskList<'_> {
    /// Reopens every task whose claim is free. Returns the number of claims left that can become free without a person.
    ///
    /// # Errors
    /// If the file system refuses. An invalid file, or one that is being written, stays in place.
    pub fn release_free_claims(&self) -> Result<usize> {
        let mut left = 0;
        for (_, read) in tasks::all(self.workspace, TaskState::Claimed) {
            let Ok(task) = read else { continue };
            let is_free = match task.hold() {
                Hold::Manual => continue,
                Hold::Process => match lock(self.workspace, &task.id)? {
                    Some(_lock) => self.try_reopen(&task).map(|()| true)?,
                    None => false,
                },
                Hold::Session(session) => self.release_if_session_is_idle(&task, &session)?,
            };
            left += usize::from(!is_free);
        }
        // Lock files of commands that have ended. Under the list's lock, no process is about to take one.
        for file in fs::read_dir(locks(self.workspace)).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            NamedLock::attempt(self.workspace, &format!("{LOCKS}/{name}"))?
                .into_iter()
                .for_each(NamedLock::release_and_remove);
        }
        Ok(left)
    }

    /// Reopens the task if nothing is left to do in its session, under the session's lane. Returns whether it was free.
    fn release_if_session_is_idle(&self, task: &Task, session: &str) -> Result<bool> {
        let workspace = self.workspace;
        // The lane is probed last: watchers of its lock file would wake and list the session for nothing.
        if !self.can_reopen(task) {
            return Ok(false);
        }
        if session_name::qualify(session, None, "").is_err() {
            return self.try_reopen(task).map(|()| true);
        }
        if !listing::lane(workspace, Mailbox::Inbox, session)?.is_empty() || approvals::has_pending(workspace, session)?
        {
            return Ok(false);
        }
        let Some(mut lane) = Lane::probe(workspace, Mailbox::Inbox, session)? else { return Ok(false) };
        // A process that finds the lane held by this one is notified of the release.
        lane.arm()?;
        let is_free = listing::lane(workspace, Mailbox::Inbox, session)?.is_empty();
        if is_free {
            self.try_reopen(task)?;
        }
        Ok(is_free)
    }

    fn try_reopen(&self, task: &Task) -> Result<()> {
        match self.reopen(task) {
            // The file is being written, or the open name exists: the next check tries again.
            Err(fault) if matches!(fault.kind, Kind::Later | Kind::Data) => {
                self.workspace.world.say(&fault.to_string());
                Ok(())
            }
            other => other.map(drop),
        }
    }
}

/// Reopens the tasks of a session whose lane the caller holds, if nothing is left to do in it.
///
/// # Errors
/// If the file system refuses.
pub fn release_of_session(workspace: &Workspace, session: &str) -> Result<()> {
    let is_one = |task: &Task| task.hold() == Hold::Session(session.to_owned());
    let claimed =
        || tasks::all(workspace, TaskState::Claimed).into_iter().filter_map(|(_, read)| read.ok()).filter(is_one);
    if claimed().next().is_none()
        || !listing::lane(workspace, Mailbox::Inbox, session)?.is_empty()
        || approvals::has_pending(workspace, session)?
    {
        return Ok(());
    }
    let list = TaskList::open(workspace)?;
    claimed().try_for_each(|task| list.try_reopen(&task))
}
