//! The locks of lanes, and those of what only one may do.
//!
//! A lane's file holds its *version*: odd while somebody holds the lane, and another number after
//! every holder. A listing that was begun when the version was the even number found under the lock
//! is still true for that lane.

pub(in crate::store) mod held;
pub mod holders;
pub mod slots;

use crate::core::fault::Result;
use crate::store::fs::At;
use crate::store::lock::held::FileLock;
use crate::store::lock::slots::Slots;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::Mailbox;
use rustix::fs::FlockOperation;
use rustix::io::{FdFlags, fcntl_setfd};
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

const WIDTH: usize = 16;

/// A lane that could be locked. Dropped before it is armed, it wakes nobody: the one that only looked must
/// not wake itself.
#[derive(Debug)]
pub struct LaneProbe {
    name: String,
    content: Option<u64>,
    fresh: u64,
    held: FileLock,
}

impl LaneProbe {
    /// The version found, where the last holder let go in good order.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
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
    held: FileLock,
}

impl Lane {
    /// Locks the lane if nobody holds it.
    ///
    /// # Errors
    /// Where the lock file cannot be made.
    pub fn probe(workspace: &Workspace, mailbox: Mailbox, name: &str) -> Result<Option<LaneProbe>> {
        let path = lane_path(workspace, mailbox, name);
        let held = FileLock::attempt(&path, FlockOperation::NonBlockingLockExclusive)?;
        Ok(held.map(|held| LaneProbe {
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
    pub fn attempt(workspace: &Workspace, mailbox: Mailbox, name: &str) -> Result<Option<Self>> {
        Self::probe(workspace, mailbox, name)?.map(LaneProbe::take).transpose()
    }

    /// Lets go, and returns the version that the next holder will find.
    pub fn release(self) -> Option<u64> {
        let version = self.version.wrapping_add(1);
        self.write(version).ok().map(|()| version)
    }

    /// Lets go of a lane that nobody will need for long: its lock file goes too.
    pub fn release_and_remove(self) {
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
pub struct LaneState {
    /// The even number in it; `None` while somebody holds the lane.
    pub version: Option<u64>,
    /// When the lane was served last.
    pub served: Option<SystemTime>,
}

/// Looks at a lane's lock file, and makes it where there is none.
///
/// # Errors
/// Where it cannot be made.
pub fn lane_state(workspace: &Workspace, mailbox: Mailbox, name: &str) -> Result<LaneState> {
    if let Ok(file) = File::open(lane_path(workspace, mailbox, name)) {
        let served = file.metadata().and_then(|m| m.modified()).ok();
        if let Some(version) = read_version(&file) {
            return Ok(LaneState { version: Some(version).filter(|v| v % 2 == 0), served });
        }
    }
    let version = Lane::attempt(workspace, mailbox, name)?.and_then(Lane::release);
    Ok(LaneState { version, served: None })
}

fn lane_path(workspace: &Workspace, mailbox: Mailbox, name: &str) -> PathBuf {
    workspace.root.join(".claw/locks").join(mailbox.name()).join(name)
}

fn read_version(file: &File) -> Option<u64> {
    let mut text = [0u8; WIDTH];
    file.read_exact_at(&mut text, 0).ok()?;
    u64::from_str_radix(std::str::from_utf8(&text).ok()?, 16).ok()
}

/// A lock on something there is one of: routing, a box's drop zone.
#[derive(Debug)]
pub struct NamedLock(FileLock);

impl NamedLock {
    /// Waits for the lock `name`; its holders are quick.
    ///
    /// # Errors
    /// Where the lock file cannot be made.
    pub fn wait(workspace: &Workspace, name: &str) -> Result<Self> {
        let path = workspace.root.join(".claw/locks").join(name);
        loop {
            if let Some(held) = FileLock::attempt(&path, FlockOperation::LockExclusive)? {
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
        Ok(FileLock::attempt(&path, FlockOperation::NonBlockingLockExclusive)?.map(Self))
    }

    /// Leaves the lock to the program that this process becomes: it holds it until it and all that it has
    /// started have ended, and then whoever waits is woken.
    ///
    /// # Errors
    /// Where the lock file cannot be written.
    pub fn inherit_on_exec(&mut self) -> Result<()> {
        self.0.arm()?;
        for file in [Some(&self.0.lock), self.0.write.as_ref()].into_iter().flatten() {
            fcntl_setfd(file, FdFlags::empty()).at("share", &self.0.path)?;
        }
        Ok(())
    }

    /// Lets go of a lock that nobody will need for long: its file goes too.
    pub fn release_and_remove(self) {
        let _ = fs::remove_file(&self.0.path);
    }
}
