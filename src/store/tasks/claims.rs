//! When a claim of the shared task list is free again. There are no leases and no pids:
//!
//! - An agent's claim belongs to the session in which it was made. It holds while there is work in that session:
//!   its lane is held, or an event lies in it, or its owner is asked for a word there. So a turn that was killed
//!   keeps its claim until it was resumed and has ended; a turn that has ended without doing the task, or that
//!   nobody resumes any more because it has failed, gives it up.
//! - A claim with a command holds while that runs: the command and all that it starts inherit a lock.
//! - A claim by a person's word, also by `mv`, holds until it is released.
//!
//! Whoever looks at the list puts back what is free.

use crate::core::definition::task::{Hold, Task, TaskState};
use crate::core::event::address::safe_name;
use crate::core::event::session_name;
use crate::core::fault::{Kind, Result};
use crate::store::lock::{Lane, Only};
use crate::store::queue::spool;
use crate::store::session::approvals;
use crate::store::tasks::{self, TaskList};
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::Mailbox;
use std::fs;
use std::path::PathBuf;

/// The folder of the locks that commands hold, below `.claw/locks`.
const LOCKS: &str = "claims";

/// The lock files of claims that hold while a command runs.
#[must_use]
pub fn locks(workspace: &Workspace) -> PathBuf {
    workspace.path(".claw/locks").join(LOCKS)
}

/// Makes the folder of those locks.
///
/// # Errors
/// Where the disk cannot.
pub fn lay_out(workspace: &Workspace) -> Result<()> {
    workspace.make_place(&locks(workspace), 1)
}

/// The lock of a command that works on this task, where nobody has it. It is taken before the claim is made.
///
/// # Errors
/// Where the lock file cannot be made.
pub fn lock(workspace: &Workspace, task: &str) -> Result<Option<Only>> {
    lay_out(workspace)?;
    Only::attempt(workspace, &format!("{LOCKS}/{}", safe_name(task, 90)))
}

impl TaskList<'_> {
    /// Puts back every claimed task whose claim is free, and returns how many claims are left that can become so
    /// without anybody's word.
    ///
    /// # Errors
    /// Where the file system refuses. A file that is none, or that somebody is writing, stays where it is.
    pub fn put_back(&self) -> Result<usize> {
        let mut left = 0;
        for (_, read) in tasks::all(self.workspace, TaskState::Claimed) {
            let Ok(task) = read else { continue };
            let is_free = match task.hold() {
                Hold::Manual => continue,
                Hold::Process => match lock(self.workspace, &task.id)? {
                    Some(_lock) => self.reopened(&task).map(|()| true)?,
                    None => false,
                },
                Hold::Session(session) => self.put_back_of_session(&task, &session)?,
            };
            left += usize::from(!is_free);
        }
        // What commands have left that are gone. Under this list's lock nobody else is about to take one.
        for file in fs::read_dir(locks(self.workspace)).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            Only::attempt(self.workspace, &format!("{LOCKS}/{name}"))?.into_iter().for_each(Only::retire);
        }
        Ok(left)
    }

    /// Whether the claim was free; then it is put back while nobody can begin anything in its session.
    fn put_back_of_session(&self, task: &Task, session: &str) -> Result<bool> {
        let workspace = self.workspace;
        // Where nothing can be done about it now, or something is to be done there, nobody is disturbed by our
        // taking the lock: whoever hears of that would look again.
        if !self.can_reopen(task) {
            return Ok(false);
        }
        if session_name::named(session, None, "").is_err() {
            return self.reopened(task).map(|()| true);
        }
        if !spool::lane(workspace, Mailbox::Inbox, session)?.is_empty() || approvals::is_asked(workspace, session)? {
            return Ok(false);
        }
        let Some(mut lane) = Lane::probe(workspace, Mailbox::Inbox, session)? else { return Ok(false) };
        // Whoever finds it held by us is told when it is not any more.
        lane.arm()?;
        let is_free = spool::lane(workspace, Mailbox::Inbox, session)?.is_empty();
        if is_free {
            self.reopened(task)?;
        }
        Ok(is_free)
    }

    fn reopened(&self, task: &Task) -> Result<()> {
        match self.reopen(task) {
            // It is being written, or in the way: the next one who looks tries again.
            Err(fault) if matches!(fault.kind, Kind::Later | Kind::Data) => {
                self.workspace.world.say(&fault.to_string());
                Ok(())
            }
            other => other.map(drop),
        }
    }
}

/// Gives up what was claimed in a session whose lane the caller holds, where nothing is left to be done there.
///
/// # Errors
/// Where the file system refuses.
pub fn give_up(workspace: &Workspace, session: &str) -> Result<()> {
    let is_one = |task: &Task| task.hold() == Hold::Session(session.to_owned());
    let claimed =
        || tasks::all(workspace, TaskState::Claimed).into_iter().filter_map(|(_, read)| read.ok()).filter(is_one);
    if claimed().next().is_none()
        || !spool::lane(workspace, Mailbox::Inbox, session)?.is_empty()
        || approvals::is_asked(workspace, session)?
    {
        return Ok(());
    }
    let list = TaskList::open(workspace)?;
    claimed().try_for_each(|task| list.reopened(&task))
}
