//! Cancelling a turn that runs in any process. `.claw/stop/<turn>~<command>` records that this command has cancelled
//! that turn. The name is durable before the worker is woken, so that a command that is repeated after a kill cancels
//! the same turn and never a later one. `.claw/stop/<turn>` is a FIFO that the turn's worker holds open from its first
//! wait on. Cancelling writes a byte into it that is never read: every wait for a model or a program of that turn ends.
//!
//! A FIFO and not inotify: the kernel takes 8 ms to close an inotify descriptor, and 0.02 ms to close a FIFO. A turn
//! that never waits makes no FIFO: file systems create files slowly where many were just removed (ext4 looks for an
//! inode that was not freed within the last minute).

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
use std::time::{Duration, Instant};

/// The folder's name in a workspace.
const FOLDER: &str = ".claw/stop";

fn path(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.path(FOLDER).join(name)
}

/// Every pair of a cancelled turn and the command that cancelled it.
fn pairs(workspace: &Workspace) -> Result<Vec<(Id, Id)>> {
    let pair = |name: &String| {
        let (turn, command) = name.split_once('~')?;
        Some((Id::parse(turn).ok()?, Id::parse(command).ok()?))
    };
    Ok(workspace.names(FOLDER)?.iter().filter_map(pair).collect())
}

/// The turn that `command` has cancelled.
///
/// # Errors
/// If the folder cannot be read.
pub fn stopped_by(workspace: &Workspace, command: &Id) -> Result<Option<Id>> {
    Ok(pairs(workspace)?.into_iter().find(|(_, by)| by == command).map(|(turn, _)| turn))
}

/// Cancels the turn of event `turn`: durable on return, and a waiting worker is woken. A turn that has already ended
/// is unaffected.
///
/// # Errors
/// On a disk error.
pub fn stop(workspace: &Workspace, turn: &Id, command: &Id) -> Result<()> {
    let name = format!("{turn}~{command}");
    durable::publish(&workspace.path(FOLDER), &name, &Mailbox::Inbox.tmp(workspace), b"", workspace.sync()?)?;
    wake(&path(workspace, turn.as_str()));
    Ok(())
}

/// Makes the FIFO at `path` readable. If no worker waits, there is no reader: a worker checks the name before it
/// waits.
fn wake(path: &Path) {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if let Ok(stop_fd) = open(path, flags, Mode::empty()) {
        let _ = rustix::io::write(&stop_fd, b"!");
    }
}

/// Reports to a turn's worker whether the turn was cancelled.
#[derive(Debug)]
pub struct CancelToken<'w> {
    workspace: &'w Workspace,
    turn: Id,
    /// The turns that wait for this one.
    above: Vec<Id>,
    /// The FIFO. `None` if the file system has no FIFOs: then the name is checked between steps.
    stop_fd: OnceLock<Option<OwnedFd>>,
}

impl<'w> CancelToken<'w> {
    /// The token of a turn, whose lane the caller holds. It is cancelled by a stop of the turn, or of a turn that waits
    /// for it (`above`); an earlier stop counts too.
    #[must_use]
    pub fn open<'i>(workspace: &'w Workspace, turn: &Id, above: impl IntoIterator<Item = &'i Id>) -> Self {
        Self { workspace, turn: turn.clone(), above: above.into_iter().cloned().collect(), stop_fd: OnceLock::new() }
    }

    /// Whether the turn was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        match self.stop_fd.get() {
            Some(Some(stop_fd)) => is_cancelled(stop_fd.as_fd()),
            // After a read error, the next call checks again.
            _ => self.is_named().unwrap_or(false),
        }
    }

    fn is_named(&self) -> Result<bool> {
        Ok(pairs(self.workspace)?.iter().any(|(turn, _)| *turn == self.turn || self.above.contains(turn)))
    }

    /// A descriptor that becomes readable when the turn is cancelled, and stays readable.
    #[must_use]
    pub fn stop_fd(&self) -> Option<BorrowedFd<'_>> {
        let stop_fd = self.stop_fd.get_or_init(|| {
            let path = path(self.workspace, self.turn.as_str());
            // The FIFO of a killed worker can be reused, so `EEXIST` is fine.
            let _ = mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0);
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let stop_fd = open(&path, flags, Mode::empty()).ok()?;
            // Checked once the FIFO is open, so that no stop is missed in between. After a read error there is no
            // descriptor, and `is_cancelled` checks the names.
            if self.is_named().ok()? {
                wake(&path);
            }
            Some(stop_fd)
        });
        stop_fd.as_ref().map(AsFd::as_fd)
    }

    /// Sleeps for this long, or until the turn is cancelled.
    pub fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_cancelled() {
            let left = end.saturating_duration_since(Instant::now());
            let mut fds: Vec<PollFd> =
                self.stop_fd().into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
            let wait = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            if !matches!(poll(&mut fds, Some(&wait)), Err(rustix::io::Errno::INTR)) {
                return;
            }
        }
    }
}

/// Whether the turn of this descriptor ([`CancelToken::stop_fd`]) was cancelled.
#[must_use]
pub fn is_cancelled(stop_fd: BorrowedFd) -> bool {
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

/// Removes files older than `before`, except of days that still have live events.
///
/// # Errors
/// If a file cannot be removed.
pub(crate) fn sweep(workspace: &Workspace, before: Stamp, is_live: &dyn Fn(&str) -> bool) -> Result<()> {
    let names = fs::read_dir(workspace.path(FOLDER)).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    // The command is newer than the turn.
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
    fn stop_before_or_after_opening_the_fifo_cancels_the_turn() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("claw.yaml"), "sync: none\n").unwrap();
        let workspace = Workspace::open(World::real().unwrap(), dir.path().to_owned(), true).unwrap();
        workspace.make_layout().unwrap();
        let [turn, below, later, command] = [1, 2, 3, 4].map(|n| Id::new(Stamp(n), 0));
        let is_readable = |cancel: &CancelToken| {
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            poll(&mut [PollFd::new(&cancel.stop_fd().unwrap(), PollFlags::IN)], Some(&now)).unwrap() > 0
        };
        let cancel = CancelToken::open(&workspace, &turn, []);
        assert!(!cancel.is_cancelled());
        assert!(workspace.names(FOLDER).unwrap().is_empty(), "a turn that does not wait has no FIFO");
        stop(&workspace, &turn, &command).unwrap();
        assert!(cancel.is_cancelled() && is_readable(&cancel) && cancel.is_cancelled());
        let waited_for = CancelToken::open(&workspace, &below, [&turn]);
        assert!(is_readable(&waited_for), "a turn is cancelled with the turn that waits for it");
        let other = CancelToken::open(&workspace, &later, []);
        assert!(!is_readable(&other) && !other.is_cancelled());
        stop(&workspace, &later, &command).unwrap();
        assert!(is_readable(&other) && other.is_cancelled());
        drop((cancel, waited_for, other));
        let left = [format!("{turn}~{command}"), format!("{later}~{command}")];
        assert_eq!(*workspace.names(FOLDER).unwrap(), left, "FIFOs are removed, names stay");
    }
}
