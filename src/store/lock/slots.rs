//! Slots: permits of a semaphore over all processes. Each slot is a lock file, which the kernel releases when its holder
//! dies.

use crate::core::fault::Result;
use crate::store::fs::At;
use crate::store::lock::held::FileLock;
use crate::store::lock::own_slots::OwnSlots;
use crate::store::workspace::Workspace;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

/// The name of a group of slots, and its limit.
pub type Group = (String, u32);

fn slot_path(workspace: &Workspace, group: &str, number: u32) -> PathBuf {
    workspace.root.join(".claw/locks/slots").join(format!("{group}.{number}"))
}

/// Held slots: one of each group.
#[derive(Debug, Default)]
pub struct Slots {
    names: Vec<(String, u32)>,
    ours: Arc<OwnSlots>,
    /// Released after `drop` has removed them from `ours`, so that a thread woken by the release can take them.
    pub(crate) held: Vec<FileLock>,
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.names.iter().for_each(|(group, number)| self.ours.remove(group, *number));
    }
}

/// The result of an attempt to take slots.
#[derive(Debug)]
pub enum SlotsTaken {
    /// One slot of every group.
    All(Slots),
    /// None: the last of the first this many groups is full.
    Full(usize),
}

impl Slots {
    /// Whether this process holds every slot of one of these groups, so that an attempt must fail.
    #[must_use]
    pub fn all_held_here(workspace: &Workspace, groups: &[Group]) -> bool {
        groups.iter().any(|(group, limit)| workspace.caches.of::<OwnSlots>().has_all(group, *limit))
    }

    /// Takes one slot of every group or none, and no slot that another process has reserved. `own` are the caller's
    /// reservations.
    ///
    /// # Errors
    /// If a lock file cannot be created.
    pub fn attempt(workspace: &Workspace, groups: &[Group], own: &Reservations) -> Result<SlotsTaken> {
        let ours = workspace.caches.of::<OwnSlots>();
        let mut held: Vec<(FileLock, &str, u32)> = Vec::with_capacity(groups.len());
        'groups: for (index, (group, limit)) in groups.iter().enumerate() {
            let reserved = own.number(group).filter(|number| number < limit);
            // Starts at a random number: the lowest ones are the most likely to be held.
            let first = u32::try_from(workspace.world.random() % u64::from(*limit).max(1)).unwrap_or_default();
            for number in reserved.into_iter().chain(first..*limit).chain(0..first) {
                let is_own = reserved == Some(number);
                if ours.has(group, number) || !is_own && Reservations::is_reserved(workspace, group, number)? {
                    continue;
                }
                let path = slot_path(workspace, group, number);
                if let Some(slot) = FileLock::attempt(&path, FlockOperation::NonBlockingLockExclusive)? {
                    held.push((slot, group, number));
                    continue 'groups;
                }
            }
            release_unused(workspace, held, own)?;
            return Ok(SlotsTaken::Full(index + 1));
        }
        let mut slots = Self { ours: Arc::clone(&ours), names: Vec::new(), held: Vec::new() };
        for (mut slot, group, number) in held {
            slot.arm()?;
            slots.held.push(slot);
            slots.names.push((group.to_owned(), number));
            ours.add(group, number);
        }
        Ok(SlotsTaken::All(slots))
    }
}

/// Releases slots of a failed attempt. The release wakes no waiter, except those of a slot that another process has
/// reserved meanwhile: it may wait for that slot only.
fn release_unused(workspace: &Workspace, held: Vec<(FileLock, &str, u32)>, own: &Reservations) -> Result<()> {
    for (slot, group, number) in held {
        drop(slot);
        // Checked after the release: a process that reserves it from now on tries it once more before it sleeps.
        if own.number(group) != Some(number) && Reservations::is_reserved(workspace, group, number)? {
            let path = slot_path(workspace, group, number);
            drop(File::options().append(true).open(&path).at("open", &path)?);
        }
    }
    Ok(())
}

/// Slots reserved by a process that waits for them: one in each group that it needs, up to the first full one. Other
/// processes do not take reserved slots, so that a pool that always takes its next event at once cannot starve a waiter.
/// Groups are reserved in the same order by every process, from narrow to wide, so that no two wait for each other's
/// reservations.
#[derive(Debug, Default)]
pub struct Reservations(Vec<(String, u32, FileLock)>);

impl Reservations {
    /// Keeps the reservations in these groups, releases the others and makes the missing ones. True if it has made one:
    /// the slot may have been released already, so that the caller has to try again before it sleeps.
    ///
    /// # Errors
    /// If a lock file cannot be created.
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
                if let Some(mut held) = FileLock::attempt(&path, FlockOperation::NonBlockingLockExclusive)? {
                    // Its release wakes the processes that skipped the slot.
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

    /// Whether a process has reserved this slot. The check takes a shared lock, so that checks do not block each other.
    fn is_reserved(workspace: &Workspace, group: &str, number: u32) -> Result<bool> {
        let path = Self::path(workspace, group, number);
        let file = match File::open(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
            other => other.at("open", &path)?,
        };
        Ok(flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK))
    }
}
