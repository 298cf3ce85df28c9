//! Locks of lanes, and named locks for work that one process does at a time.
//!
//! A lane's lock file holds its *version*: odd while the lane is held, and a different even number after every holder.
//! A listing is still true for a lane if the version was the same even number when it was begun as it is when the lock
//! is taken.

pub(in crate::store) mod held;
pub mod holders;
mod own_slots;
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
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Digits of a version, in hexadecimal.
const WIDTH: usize = 16;

/// A lock on a lane that is not taken yet. Dropped before it is armed it wakes no waiter, so that a process that only
/// checked does not wake itself.
#[derive(Debug)]
pub struct LaneProbe {
    name: String,
    content: Option<u64>,
    /// The first version if the file has none.
    fresh: u64,
    held: FileLock,
}

impl LaneProbe {
    /// The version found; `None` in a new file, or if the last holder was killed.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.content.filter(|v| v % 2 == 0)
    }

    /// Makes the release wake the waiters, also if the lane is not taken: they may have found it held.
    ///
    /// # Errors
    /// If the lock file cannot be opened for writing.
    pub fn arm(&mut self) -> Result<()> {
        self.held.arm().map(drop)
    }

    /// Takes the lane.
    ///
    /// # Errors
    /// If the lock file cannot be written.
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
    /// Locks the lane without taking it; `None` if it is held.
    ///
    /// # Errors
    /// If the lock file cannot be created.
    pub fn probe(workspace: &Workspace, mailbox: Mailbox, name: &str) -> Result<Option<LaneProbe>> {
        Self::lock(workspace, mailbox, name, FlockOperation::NonBlockingLockExclusive)
    }

    fn lock(workspace: &Workspace, mailbox: Mailbox, name: &str, how: FlockOperation) -> Result<Option<LaneProbe>> {
        let path = lane_path(workspace, mailbox, name);
        let held = FileLock::attempt(&path, how)?;
        Ok(held.map(|held| LaneProbe {
            name: name.to_owned(),
            content: read_version(&held.lock),
            fresh: workspace.world.random(),
            held,
        }))
    }

    /// Takes the lane; `None` if it is held.
    ///
    /// # Errors
    /// If the lock file cannot be created or written.
    pub fn attempt(workspace: &Workspace, mailbox: Mailbox, name: &str) -> Result<Option<Self>> {
        Self::probe(workspace, mailbox, name)?.map(LaneProbe::take).transpose()
    }

    /// Takes the lane as soon as it is free, without a time-out.
    ///
    /// # Errors
    /// If the lock file cannot be created or written.
    pub fn wait(workspace: &Workspace, mailbox: Mailbox, name: &str) -> Result<Self> {
        loop {
            if let Some(lane) = Self::lock(workspace, mailbox, name, FlockOperation::LockExclusive)? {
                return lane.take();
            }
        }
    }

    /// The lane whose lock the parent process holds too. It is never released by this process.
    ///
    /// # Errors
    /// If the lock file cannot be opened for writing.
    pub fn inherited(workspace: &Workspace, mailbox: Mailbox, name: &str, lock: OwnedFd) -> Result<Self> {
        let path = lane_path(workspace, mailbox, name);
        let mut held = FileLock { path, lock: lock.into(), write: None, is_shared: AtomicBool::new(true) };
        held.arm()?;
        Ok(Self { name: name.to_owned(), version: 1, slots: Mutex::default(), held })
    }

    /// A descriptor of the lock, for [`Lane::inherited`] in a child process.
    ///
    /// # Errors
    /// If the process is out of descriptors.
    pub fn share_lock(&self) -> Result<OwnedFd> {
        self.held.lock.as_fd().try_clone_to_owned().at("share", &self.held.path)
    }

    /// Leaves the lock to the watchers of a process that was killed: the lane is free once they have killed its
    /// programs. To be called before [`Lane::release`].
    pub fn leave_to_watchers(&self) {
        self.held.is_shared.store(true, Ordering::Relaxed);
    }

    /// Releases the lane, and returns the version that the next holder will find.
    pub fn release(self) -> Option<u64> {
        if self.held.is_shared.load(Ordering::Relaxed) {
            return None;
        }
        let version = self.version.wrapping_add(1);
        self.write(version).ok().map(|()| version)
    }

    /// Releases a lane that is no longer in use, and removes its lock file.
    pub fn release_and_remove(self) {
        let _ = fs::remove_file(&self.held.path);
    }

    /// Both descriptors of the lock, for a program that is not killed with this process. The lane is free, and its
    /// waiters are woken, when that program has ended too.
    ///
    /// # Errors
    /// If the process is out of descriptors.
    pub fn share_all(&self) -> Result<Vec<OwnedFd>> {
        let files = [Some(&self.held.lock), self.held.write.as_ref()];
        let shared = files.into_iter().flatten().map(|file| file.as_fd().try_clone_to_owned());
        shared.collect::<std::io::Result<_>>().at("share", &self.held.path)
    }

    /// The descriptors of the lock and of the slots, for the watcher of a child process to inherit: if the worker is
    /// killed, the child still holds the lane and its slots until it is dead.
    ///
    /// # Errors
    /// If the process is out of descriptors.
    pub fn share(&self) -> Result<Vec<OwnedFd>> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let held = std::iter::once(&self.held).chain(&slots.held);
        let shared = held.map(|held| held.lock.as_fd().try_clone_to_owned());
        shared.collect::<std::io::Result<_>>().at("share", &self.held.path)
    }

    /// Replaces the slots that this lane holds. Empty ones release all, while the work in the lane waits for something
    /// else.
    pub fn occupy(&self, slots: Slots) {
        *self.slots.lock().unwrap_or_else(PoisonError::into_inner) = slots;
    }

    fn write(&self, version: u64) -> Result<()> {
        let Some(file) = &self.held.write else { return Ok(()) };
        file.write_all_at(format!("{version:0WIDTH$x}").as_bytes(), 0).at("write", &self.held.path)
    }
}

/// The state of a lane's lock file, read before a listing is begun.
#[derive(Clone, Copy, Debug)]
pub struct LaneVersion {
    /// The even number in it; `None` while the lane is held.
    pub version: Option<u64>,
    /// When the lane was last taken or released.
    pub served: Option<SystemTime>,
}

/// Reads a lane's lock file, and creates a missing one.
///
/// # Errors
/// If it cannot be created.
pub fn lane_state(workspace: &Workspace, mailbox: Mailbox, name: &str) -> Result<LaneVersion> {
    if let Ok(file) = File::open(lane_path(workspace, mailbox, name)) {
        let served = file.metadata().and_then(|m| m.modified()).ok();
        if let Some(version) = read_version(&file) {
            return Ok(LaneVersion { version: Some(version).filter(|v| v % 2 == 0), served });
        }
    }
    let version = Lane::attempt(workspace, mailbox, name)?.and_then(Lane::release);
    Ok(LaneVersion { version, served: None })
}

fn lane_path(workspace: &Workspace, mailbox: Mailbox, name: &str) -> PathBuf {
    workspace.root.join(".claw/locks").join(mailbox.name()).join(name)
}

fn read_version(file: &File) -> Option<u64> {
    let mut text = [0u8; WIDTH];
    file.read_exact_at(&mut text, 0).ok()?;
    u64::from_str_radix(std::str::from_utf8(&text).ok()?, 16).ok()
}

/// A lock by name, on work that one process does at a time: routing, taking in the drops of a mailbox.
#[derive(Debug)]
pub struct NamedLock(FileLock);

impl NamedLock {
    /// Waits for the lock `name`, without a time-out: its holders keep it only briefly.
    ///
    /// # Errors
    /// If the lock file cannot be created.
    pub fn wait(workspace: &Workspace, name: &str) -> Result<Self> {
        let path = workspace.root.join(".claw/locks").join(name);
        loop {
            if let Some(held) = FileLock::attempt(&path, FlockOperation::LockExclusive)? {
                return Ok(Self(held));
            }
        }
    }

    /// Takes the lock `name`; `None` if it is held.
    ///
    /// # Errors
    /// If the lock file cannot be created.
    pub fn attempt(workspace: &Workspace, name: &str) -> Result<Option<Self>> {
        let path = workspace.root.join(".claw/locks").join(name);
        Ok(FileLock::attempt(&path, FlockOperation::NonBlockingLockExclusive)?.map(Self))
    }

    /// Keeps the lock across `exec`. The program and its children hold it until all of them have ended, which wakes the
    /// waiters.
    ///
    /// # Errors
    /// If the lock file cannot be opened for writing.
    pub fn inherit_on_exec(&mut self) -> Result<()> {
        self.0.arm()?;
        for file in [Some(&self.0.lock), self.0.write.as_ref()].into_iter().flatten() {
            fcntl_setfd(file, FdFlags::empty()).at("share", &self.0.path)?;
        }
        Ok(())
    }

    /// A descriptor of the lock, for the watcher of a program: if this process is killed, the lock is held until the
    /// program is dead.
    ///
    /// # Errors
    /// If the process is out of descriptors.
    pub fn share(&self) -> Result<OwnedFd> {
        self.0.lock.as_fd().try_clone_to_owned().at("share", &self.0.path)
    }

    /// Releases a lock that is no longer in use, and removes its file.
    pub fn release_and_remove(self) {
        let _ = fs::remove_file(&self.0.path);
    }
}
