//! Kernel locks: lanes and slots. Holding the lock *is* the claim; the kernel frees it when the
//! holder dies, so there are no pids, no leases and no time-outs.
//!
//! A lock is tried on a read-only descriptor, because closing a written one wakes waiters, also the
//! one that tried. The winner opens it for writing too: when it lets go, or is killed, the kernel
//! closes that descriptor, and whoever watches the folder is told.
//!
//! A lane's file holds its *version*: odd while somebody holds the lane, and another number after
//! every holder. A listing that was begun when the version was the even number found under the lock
//! is still true for that lane.

use crate::core::fault::Result;
use crate::store::At;
use crate::store::boxes::Side;
use crate::store::ours::Ours;
use crate::store::workspace::Workspace;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

const WIDTH: usize = 16;

/// A lock that this process holds until it is dropped.
#[derive(Debug)]
struct Held {
    path: PathBuf,
    lock: File,
    write: Option<File>,
}

impl Held {
    /// Tries, and leaves no trace where it fails or is not armed.
    fn attempt(path: &Path, how: FlockOperation) -> Result<Option<Self>> {
        loop {
            let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::CLOEXEC;
            let lock = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).at("open", path)?);
            match flock(&lock, how) {
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => continue,
                other => other.at("lock", path)?,
            }
            // Somebody unlinked the file between open and lock: that lock guards nothing.
            if lock.metadata().at("read", path)?.nlink() > 0 {
                return Ok(Some(Self { path: path.to_path_buf(), lock, write: None }));
            }
        }
    }

    /// Opens the descriptor whose close will wake the waiters. Nobody unlinks the file meanwhile:
    /// that is done under its lock.
    fn arm(&mut self) -> Result<&File> {
        let write = File::options().write(true).open(&self.path).at("open", &self.path)?;
        Ok(self.write.insert(write))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Unlock first, close the written descriptor second: the close wakes the waiters.
        let _ = flock(&self.lock, FlockOperation::Unlock);
        drop(self.write.take());
    }
}

/// A lane that could be locked. Dropped before it is armed, it wakes nobody: the one that only looked must
/// not wake itself.
#[derive(Debug)]
pub struct Tried {
    name: String,
    content: Option<u64>,
    fresh: u64,
    held: Held,
}

impl Tried {
    /// The version found, where the last holder let go in good order.
    #[must_use]
    pub fn found(&self) -> Option<u64> {
        self.content.filter(|v| v % 2 == 0)
    }

    /// Lets others hear when it is let go of, whatever comes of it: they may have found it held.
    ///
    /// # Errors
    /// Where the lock file cannot be written.
    pub fn arm(&mut self) -> Result<()> {
        self.held.arm().map(drop)
    }

    /// Takes the lane.
    ///
    /// # Errors
    /// Where the lock file cannot be written.
    pub fn take(mut self) -> Result<Lane> {
        if self.held.write.is_none() {
            self.arm()?;
        }
        let version = match self.content {
            Some(old) if old % 2 == 0 => old.wrapping_add(1),
            Some(old) => old.wrapping_add(2),
            None => self.fresh | 1,
        };
        let lane = Lane { name: self.name, version, slots: Mutex::default(), held: self.held };
        lane.write(version)?;
        Ok(lane)
    }
}

/// A lane that this process holds.
#[derive(Debug)]
pub struct Lane {
    /// The lane's name.
    pub name: String,
    version: u64,
    slots: Mutex<Slots>,
    held: Held,
}

impl Lane {
    /// Locks the lane if nobody holds it.
    ///
    /// # Errors
    /// Where the lock file cannot be made.
    pub fn probe(workspace: &Workspace, side: Side, name: &str) -> Result<Option<Tried>> {
        let path = lane_path(workspace, side, name);
        let held = Held::attempt(&path, FlockOperation::NonBlockingLockExclusive)?;
        Ok(held.map(|held| Tried {
            name: name.to_owned(),
            content: read_version(&held.lock),
            fresh: workspace.world.random(),
            held,
        }))
    }

    /// Takes the lane if nobody holds it.
    ///
    /// # Errors
    /// Where the lock file cannot be made or written.
    pub fn attempt(workspace: &Workspace, side: Side, name: &str) -> Result<Option<Self>> {
        Self::probe(workspace, side, name)?.map(Tried::take).transpose()
    }

    /// Lets go, and returns the version that the next holder will find.
    pub fn release(self) -> Option<u64> {
        let version = self.version.wrapping_add(1);
        self.write(version).ok().map(|()| version)
    }

    /// Lets go of a lane that nobody will need for long: its lock file goes too.
    pub fn retire(self) {
        let _ = fs::remove_file(&self.held.path);
    }

    /// The lock's two descriptors, for a program that is not to be killed: the lane is free when that
    /// has ended too, and then whoever waits is woken.
    ///
    /// # Errors
    /// Where the process is out of descriptors.
    pub fn share_all(&self) -> Result<Vec<OwnedFd>> {
        let files = [Some(&self.held.lock), self.held.write.as_ref()];
        let shared = files.into_iter().flatten().map(|file| file.as_fd().try_clone_to_owned());
        shared.collect::<std::io::Result<_>>().at("share", &self.held.path)
    }

    /// The descriptors of the lock and of the slots, for the watcher of a child process to inherit: what a
    /// killed worker has started counts until it is dead.
    ///
    /// # Errors
    /// Where the process is out of descriptors.
    pub fn share(&self) -> Result<Vec<OwnedFd>> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let held = std::iter::once(&self.held).chain(&slots.held);
        let shared = held.map(|held| held.lock.as_fd().try_clone_to_owned());
        shared.collect::<std::io::Result<_>>().at("share", &self.held.path)
    }

    /// Takes these slots for what is done in this lane, and lets go of those it had: with none, while what is
    /// done in it waits for something else.
    pub fn occupy(&self, slots: Slots) {
        *self.slots.lock().unwrap_or_else(PoisonError::into_inner) = slots;
    }

    fn write(&self, version: u64) -> Result<()> {
        let Some(file) = &self.held.write else { return Ok(()) };
        file.write_all_at(format!("{version:0WIDTH$x}").as_bytes(), 0).at("write", &self.held.path)
    }
}

/// What a lane's lock file says before a listing is begun.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The even number in it; `None` while somebody holds the lane.
    pub version: Option<u64>,
    /// When the lane was served last.
    pub served: Option<SystemTime>,
}

/// Looks at a lane's lock file, and makes it where there is none.
///
/// # Errors
/// Where it cannot be made.
pub fn look(workspace: &Workspace, side: Side, name: &str) -> Result<Seen> {
    if let Ok(file) = File::open(lane_path(workspace, side, name)) {
        let served = file.metadata().and_then(|m| m.modified()).ok();
        if let Some(version) = read_version(&file) {
            return Ok(Seen { version: Some(version).filter(|v| v % 2 == 0), served });
        }
    }
    let version = Lane::attempt(workspace, side, name)?.and_then(Lane::release);
    Ok(Seen { version, served: None })
}

fn lane_path(workspace: &Workspace, side: Side, name: &str) -> PathBuf {
    workspace.root.join(".claw/locks").join(side.name()).join(name)
}

fn read_version(file: &File) -> Option<u64> {
    let mut text = [0u8; WIDTH];
    file.read_exact_at(&mut text, 0).ok()?;
    u64::from_str_radix(std::str::from_utf8(&text).ok()?, 16).ok()
}

/// A lock on something there is one of: routing, a box's drop zone.
#[derive(Debug)]
pub struct Only(Held);

impl Only {
    /// Waits for the lock `name`; its holders are quick.
    ///
    /// # Errors
    /// Where the lock file cannot be made.
    pub fn wait(workspace: &Workspace, name: &str) -> Result<Self> {
        let path = workspace.root.join(".claw/locks").join(name);
        loop {
            if let Some(held) = Held::attempt(&path, FlockOperation::LockExclusive)? {
                return Ok(Self(held));
            }
        }
    }

    /// Takes the lock `name` if nobody holds it.
    ///
    /// # Errors
    /// Where the lock file cannot be made.
    pub fn attempt(workspace: &Workspace, name: &str) -> Result<Option<Self>> {
        let path = workspace.root.join(".claw/locks").join(name);
        Ok(Held::attempt(&path, FlockOperation::NonBlockingLockExclusive)?.map(Self))
    }

    /// Leaves the lock to the program that this process becomes: it holds it until it and all that it has
    /// started have ended, and then whoever waits is woken.
    ///
    /// # Errors
    /// Where the lock file cannot be written.
    pub fn leave_to_program(&mut self) -> Result<()> {
        self.0.arm()?;
        for file in [Some(&self.0.lock), self.0.write.as_ref()].into_iter().flatten() {
            fcntl_setfd(file, FdFlags::empty()).at("share", &self.0.path)?;
        }
        Ok(())
    }

    /// Lets go of a lock that nobody will need for long: its file goes too.
    pub fn retire(self) {
        let _ = fs::remove_file(&self.0.path);
    }
}

/// A group of slots, and how many there are of it.
pub type Group = (String, u32);

fn slot_path(workspace: &Workspace, group: &str, number: u32) -> PathBuf {
    workspace.root.join(".claw/locks/slots").join(format!("{group}.{number}"))
}

/// Places among a limited number, over all processes.
#[derive(Debug, Default)]
pub struct Slots {
    names: Vec<(String, u32)>,
    ours: Arc<Ours>,
    /// Behind what `Drop` does: whoever is woken by their release may try them.
    held: Vec<Held>,
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.names.iter().for_each(|(group, number)| self.ours.remove(group, *number));
    }
}

/// What came of a try to take slots.
#[derive(Debug)]
pub enum Taken {
    /// One of every group.
    All(Slots),
    /// None at all: of these groups, from the first one, the last is full.
    Full(usize),
}

impl Slots {
    /// Whether this process has all of a group itself, so that there is none to be had.
    #[must_use]
    pub fn are_spent(workspace: &Workspace, groups: &[Group]) -> bool {
        groups.iter().any(|(group, limit)| workspace.memo.slots.has_all(group, *limit))
    }

    /// Takes one slot of every group, or none at all, and none that is promised to somebody else.
    ///
    /// # Errors
    /// Where a lock file cannot be made.
    pub fn attempt(workspace: &Workspace, groups: &[Group], own: &Promised) -> Result<Taken> {
        let ours = &workspace.memo.slots;
        let mut held: Vec<(Held, &str, u32)> = Vec::with_capacity(groups.len());
        'groups: for (index, (group, limit)) in groups.iter().enumerate() {
            let mine = own.number(group).filter(|number| number < limit);
            // Anywhere: the first ones are the ones that are taken.
            let first = u32::try_from(workspace.world.random() % u64::from(*limit).max(1)).unwrap_or_default();
            for number in mine.into_iter().chain(first..*limit).chain(0..first) {
                if ours.has(group, number) || mine != Some(number) && Promised::is_made(workspace, group, number)? {
                    continue;
                }
                let path = slot_path(workspace, group, number);
                if let Some(slot) = Held::attempt(&path, FlockOperation::NonBlockingLockExclusive)? {
                    held.push((slot, group, number));
                    continue 'groups;
                }
            }
            give_back(workspace, held, own)?;
            return Ok(Taken::Full(index + 1));
        }
        let mut slots = Self { ours: Arc::clone(ours), names: Vec::new(), held: Vec::new() };
        for (mut slot, group, number) in held {
            slot.arm()?;
            slots.held.push(slot);
            slots.names.push((group.to_owned(), number));
            ours.add(group, number);
        }
        Ok(Taken::All(slots))
    }
}

/// Lets go of slots that nothing was done with. That wakes nobody; but one that somebody else was promised
/// meanwhile may be all that he waits for, so he hears of it.
fn give_back(workspace: &Workspace, held: Vec<(Held, &str, u32)>, own: &Promised) -> Result<()> {
    for (slot, group, number) in held {
        drop(slot);
        // Looked at behind the release: who is promised it from here on tries it once more before he sleeps.
        if own.number(group) != Some(number) && Promised::is_made(workspace, group, number)? {
            let path = slot_path(workspace, group, number);
            drop(File::options().append(true).open(&path).at("open", &path)?);
        }
    }
    Ok(())
}

/// The slots that are next to be had by whoever waits for them: one in each group that it needs, up to the one
/// that is full. Others leave those alone, so that a pool which takes the next event at once cannot keep a
/// sleeper waiting for ever. Whoever was promised one in a wide group was promised one in every narrower group
/// before, so no two wait for each other's promises.
#[derive(Debug, Default)]
pub struct Promised(Vec<(String, u32, Held)>);

impl Promised {
    /// Keeps what was promised in these groups, lets go of the rest, and asks for what is missing. True where
    /// something was promised that was not before: whoever had that may have given it back already.
    ///
    /// # Errors
    /// Where a lock file cannot be made.
    pub fn renew(&mut self, workspace: &Workspace, groups: &[Group]) -> Result<bool> {
        self.0.retain(|(known, number, _)| groups.iter().any(|(group, limit)| group == known && number < limit));
        let mut is_new = false;
        'groups: for (group, limit) in groups {
            if self.number(group).is_some() {
                continue;
            }
            let first = u32::try_from(workspace.world.random() % u64::from(*limit).max(1)).unwrap_or_default();
            for number in (first..*limit).chain(0..first) {
                let path = Self::path(workspace, group, number);
                if let Some(mut held) = Held::attempt(&path, FlockOperation::NonBlockingLockExclusive)? {
                    // Whoever left it alone hears when it is let go of.
                    held.arm()?;
                    self.0.push((group.clone(), number, held));
                    is_new = true;
                    continue 'groups;
                }
            }
            break;
        }
        Ok(is_new)
    }

    fn path(workspace: &Workspace, group: &str, number: u32) -> PathBuf {
        slot_path(workspace, group, number).with_added_extension("next")
    }

    fn number(&self, group: &str) -> Option<u32> {
        self.0.iter().find(|(known, ..)| known == group).map(|(_, number, _)| *number)
    }

    /// Whether somebody else was promised this slot. It is looked at without a trace: those who look do not
    /// keep each other from it.
    fn is_made(workspace: &Workspace, group: &str, number: u32) -> Result<bool> {
        let path = Self::path(workspace, group, number);
        let file = match File::open(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
            other => other.at("open", &path)?,
        };
        Ok(flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK))
    }
}
