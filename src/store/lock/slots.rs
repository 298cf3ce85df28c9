//! Slots: places among a limited number, over all processes. Each is a lock, which the kernel frees when its
//! holder dies.

use crate::core::fault::Result;
use crate::store::fs::At;
use crate::store::lock::held::FileLock;
use crate::store::workspace::Workspace;
use crate::store::workspace::own_slots::OwnSlots;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

/// A group of slots, and how many there are of it.
pub type Group = (String, u32);

fn slot_path(workspace: &Workspace, group: &str, number: u32) -> PathBuf {
    workspace.root.join(".claw/locks/slots").join(format!("{group}.{number}"))
}

/// Places among a limited number, over all processes.
#[derive(Debug, Default)]
pub struct Slots {
    names: Vec<(String, u32)>,
    ours: Arc<OwnSlots>,
    /// Behind what `Drop` does: whoever is woken by their release may try them.
    pub(crate) held: Vec<FileLock>,
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.names.iter().for_each(|(group, number)| self.ours.remove(group, *number));
    }
}

/// What came of a try to take slots.
#[derive(Debug)]
pub enum SlotsTaken {
    /// One of every group.
    All(Slots),
    /// None at all: of these groups, from the first one, the last is full.
    Full(usize),
}

impl Slots {
    /// Whether this process has all of a group itself, so that there is none to be had.
    #[must_use]
    pub fn all_held_here(workspace: &Workspace, groups: &[Group]) -> bool {
        groups.iter().any(|(group, limit)| workspace.caches.slots.has_all(group, *limit))
    }

    /// Takes one slot of every group, or none at all, and none that is promised to somebody else.
    ///
    /// # Errors
    /// Where a lock file cannot be made.
    pub fn attempt(workspace: &Workspace, groups: &[Group], own: &Reservations) -> Result<SlotsTaken> {
        let ours = &workspace.caches.slots;
        let mut held: Vec<(FileLock, &str, u32)> = Vec::with_capacity(groups.len());
        'groups: for (index, (group, limit)) in groups.iter().enumerate() {
            let mine = own.number(group).filter(|number| number < limit);
            // Anywhere: the first ones are the ones that are taken.
            let first = u32::try_from(workspace.world.random() % u64::from(*limit).max(1)).unwrap_or_default();
            for number in mine.into_iter().chain(first..*limit).chain(0..first) {
                if ours.has(group, number) || mine != Some(number) && Reservations::is_made(workspace, group, number)? {
                    continue;
                }
                let path = slot_path(workspace, group, number);
                if let Some(slot) = FileLock::attempt(&path, FlockOperation::NonBlockingLockExclusive)? {
                    held.push((slot, group, number));
                    continue 'groups;
                }
            }
            give_back(workspace, held, own)?;
            return Ok(SlotsTaken::Full(index + 1));
        }
        let mut slots = Self { ours: Arc::clone(ours), names: Vec::new(), held: Vec::new() };
        for (mut slot, group, number) in held {
            slot.arm()?;
            slots.held.push(slot);
            slots.names.push((group.to_owned(), number));
            ours.add(group, number);
        }
        Ok(SlotsTaken::All(slots))
    }
}

/// Lets go of slots that nothing was done with. That wakes nobody; but one that somebody else was promised
/// meanwhile may be all that he waits for, so he hears of it.
fn give_back(workspace: &Workspace, held: Vec<(FileLock, &str, u32)>, own: &Reservations) -> Result<()> {
    for (slot, group, number) in held {
        drop(slot);
        // Looked at behind the release: who is promised it from here on tries it once more before he sleeps.
        if own.number(group) != Some(number) && Reservations::is_made(workspace, group, number)? {
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
pub struct Reservations(Vec<(String, u32, FileLock)>);

impl Reservations {
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
                if let Some(mut held) = FileLock::attempt(&path, FlockOperation::NonBlockingLockExclusive)? {
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
