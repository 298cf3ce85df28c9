//! Stopping a turn that runs, in whatever process. `.claw/stop/<turn>~<command>` says that this command has
//! stopped that turn: a name, durable before anybody is told, so that a command which is worked on again
//! after a kill stops the same turn and never a later one. Beside it stands `.claw/stop/<turn>`, a FIFO that
//! the turn's worker holds open from the first time it waits for something. Who stops the turn puts a byte
//! into it, which nobody takes out again: whoever waits for a model or a program of that turn wakes.
//!
//! Not inotify, whose descriptor takes the kernel 8 ms to close; a FIFO costs 0.02. A turn that never waits
//! has none: file systems are slow to make files where many were just removed (ext4 looks for a place that
//! was not given up within the last minute).

use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::fault::Result;
use crate::store::fs::durable;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::Mailbox;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The folder's name in a workspace.
const FOLDER: &str = ".claw/stop";

fn path(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.path(FOLDER).join(name)
}

/// Every pair of a turn and the command that has stopped it.
fn pairs(workspace: &Workspace) -> Result<Vec<(Id, Id)>> {
    let pair = |name: &String| {
        let (turn, command) = name.split_once('~')?;
        Some((Id::parse(turn).ok()?, Id::parse(command).ok()?))
    };
    Ok(workspace.names(FOLDER)?.iter().filter_map(pair).collect())
}

/// The turn that `command` has stopped.
///
/// # Errors
/// Where that cannot be looked up.
pub fn stopped_by(workspace: &Workspace, command: &Id) -> Result<Option<Id>> {
    Ok(pairs(workspace)?.into_iter().find(|(_, by)| by == command).map(|(turn, _)| turn))
}

/// Stops the turn of event `turn`: durable on return, and its worker knows of it. A turn that has ended
/// meanwhile is not touched.
///
/// # Errors
/// Where the disk cannot.
pub fn stop(workspace: &Workspace, turn: &Id, command: &Id) -> Result<()> {
    let name = format!("{turn}~{command}");
    durable::publish(&workspace.path(FOLDER), &name, &Mailbox::Inbox.tmp(workspace), b"", workspace.sync()?)?;
    ring(&path(workspace, turn.as_str()));
    Ok(())
}

/// Without a worker that waits there is no reader: it will look when there is one.
fn ring(stop_fd: &Path) {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if let Ok(stop_fd) = open(stop_fd, flags, Mode::empty()) {
        let _ = rustix::io::write(&stop_fd, b"!");
    }
}

/// The ear of a turn's worker.
#[derive(Debug)]
pub struct CancelToken<'w> {
    workspace: &'w Workspace,
    turn: Id,
    /// Turns that wait for this one.
    above: Vec<Id>,
    /// `None` where the file system has no FIFOs: then it is looked for between the steps.
    stop_fd: OnceLock<Option<OwnedFd>>,
}

impl<'w> CancelToken<'w> {
    /// Listens for a stop of this turn; one that has come before is heard too, also one of a turn that waits
    /// for it (`above`). The caller holds the lane.
    #[must_use]
    pub fn open<'i>(workspace: &'w Workspace, turn: &Id, above: impl IntoIterator<Item = &'i Id>) -> Self {
        Self { workspace, turn: turn.clone(), above: above.into_iter().cloned().collect(), stop_fd: OnceLock::new() }
    }

    /// Whether the turn is to end.
    #[must_use]
    pub fn is_told(&self) -> bool {
        match self.stop_fd.get() {
            Some(Some(stop_fd)) => rings(stop_fd.as_fd()),
            // Where it cannot be looked up it is asked again.
            _ => self.is_named().unwrap_or(false),
        }
    }

    fn is_named(&self) -> Result<bool> {
        Ok(pairs(self.workspace)?.iter().any(|(turn, _)| *turn == self.turn || self.above.contains(turn)))
    }

    /// What is readable as soon as the turn is to end, and stays so.
    #[must_use]
    pub fn stop_fd(&self) -> Option<BorrowedFd<'_>> {
        let stop_fd = self.stop_fd.get_or_init(|| {
            let path = path(self.workspace, self.turn.as_str());
            // The one of a worker that was killed does as well.
            let _ = mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0);
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let stop_fd = open(&path, flags, Mode::empty()).ok()?;
            // Looked for when it can be heard, so that none falls between. Who cannot look has no bell, and looks again.
            if self.is_named().ok()? {
                ring(&path);
            }
            Some(stop_fd)
        });
        stop_fd.as_ref().map(AsFd::as_fd)
    }
}

/// Whether this bell rings.
#[must_use]
pub fn rings(stop_fd: BorrowedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&stop_fd, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
}

impl Drop for CancelToken<'_> {
    fn drop(&mut self) {
        if self.stop_fd.get().is_some() {
            let _ = fs::remove_file(path(self.workspace, self.turn.as_str()));
        }
    }
}

/// Removes what is older than `before`, but for the days of which something is live.
///
/// # Errors
/// Where it cannot be removed.
pub(crate) fn sweep(workspace: &Workspace, before: Stamp, is_live: &dyn Fn(&str) -> bool) -> Result<()> {
    let names = fs::read_dir(workspace.path(FOLDER)).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    // The command is the younger of the two.
    let at = |name: &String| Id::parse(name.rsplit('~').next()?).ok().map(|id| id.stamp());
    names
        .filter(|name| at(name).is_some_and(|at| at < before && !is_live(&at.day())))
        .try_for_each(|name| durable::remove(&path(workspace, &name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    #[test]
    fn a_stop_is_heard_whether_it_comes_before_or_behind_the_bell() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("claw.yaml"), "sync: none\n").unwrap();
        let workspace = Workspace::open(World::real().unwrap(), dir.path().to_owned(), true).unwrap();
        workspace.make_layout().unwrap();
        let [turn, below, later, command] = [1, 2, 3, 4].map(|n| Id::new(Stamp(n), 0));
        let rings = |cancel: &CancelToken| {
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            poll(&mut [PollFd::new(&cancel.stop_fd().unwrap(), PollFlags::IN)], Some(&now)).unwrap() > 0
        };
        let cancel = CancelToken::open(&workspace, &turn, []);
        assert!(!cancel.is_told());
        assert!(workspace.names(FOLDER).unwrap().is_empty(), "who does not wait has no bell");
        stop(&workspace, &turn, &command).unwrap();
        assert!(cancel.is_told() && rings(&cancel) && cancel.is_told());
        let waited_for = CancelToken::open(&workspace, &below, [&turn]);
        assert!(rings(&waited_for), "what is asked by a stopped turn is stopped too");
        let other = CancelToken::open(&workspace, &later, []);
        assert!(!rings(&other) && !other.is_told());
        stop(&workspace, &later, &command).unwrap();
        assert!(rings(&other) && other.is_told());
        drop((cancel, waited_for, other));
        let left = [format!("{turn}~{command}"), format!("{later}~{command}")];
        assert_eq!(*workspace.names(FOLDER).unwrap(), left, "the bells are gone, the names stay");
    }
}
