//! The events that this process has claimed. Every claim, and every move of a claimed event, happens under the lock of
//! this registry. So a process that must end at once can give all of them back: a file left in `run/` would count as a
//! killed worker.

use crate::core::event::entry::{Entry, Tries};
use crate::core::event::id::Id;
use crate::core::fault::{Fault, Kind, Result};
use crate::process::own::OwnProcess;
use crate::store::fs::durable;
use crate::store::queue::listing;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::{Mailbox, State};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The claims of this process.
#[derive(Debug, Default)]
pub(in crate::store) struct ClaimRegistry(Mutex<Registered>);

/// The content of the registry.
#[derive(Debug, Default)]
pub(in crate::store) struct Registered {
    pub(in crate::store) claims: BTreeMap<(Mailbox, Id), RegisteredClaim>,
    /// All claims were given back. No event is claimed or moved any more.
    is_closed: bool,
}

/// A claimed event.
#[derive(Debug)]
pub(in crate::store) struct RegisteredClaim {
    /// Its name in `run/`. A process of its own may have renamed it since.
    pub(in crate::store) entry: Entry,
    /// The tries before the claim.
    pub(in crate::store) before: Tries,
    /// The process that handles it, if it has one of its own.
    pub(in crate::store) process: Option<OwnProcess>,
}

impl ClaimRegistry {
    /// Locks the registry for one move.
    ///
    /// # Errors
    /// `Machine` if all claims were given back.
    pub(in crate::store) fn lock(&self) -> Result<MutexGuard<'_, Registered>> {
        let registered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if registered.is_closed {
            return Err(Fault::new(Kind::Machine, "this process is ending, and its events were given back"));
        }
        Ok(registered)
    }
}

/// Gives back every event that this process has claimed, with the tries it had before the claim; processes of single
/// events are killed before. From then on this process claims and moves nothing. To be called while the lanes are
/// still locked: the caller ends the process.
pub fn give_back_all(workspace: &Workspace) {
    let registry = workspace.caches.of::<ClaimRegistry>();
    let Ok(mut registered) = registry.lock() else { return };
    registered.is_closed = true;
    for claim in registered.claims.values() {
        claim.process.iter().for_each(OwnProcess::kill);
    }
    for ((mailbox, id), claim) in &registered.claims {
        let found = match &claim.process {
            Some(_) => in_run(workspace, *mailbox, id).ok().flatten(),
            None => Some(claim.entry.clone()),
        };
        let Some(entry) = found else { continue };
        let [run, ready] = [State::Run, State::Ready].map(|state| mailbox.dir(workspace, state));
        // If its own process has made progress with it, its kills were forgiven.
        let is_forgiven = entry.tries.crashes < claim.before.crashes;
        let tries = if is_forgiven { Tries { attempts: 0, ..entry.tries } } else { claim.before };
        let free = Entry { tries, ..entry.clone() };
        // An error leaves the file in `run/`, which is safe: it then counts as a kill.
        if durable::rename(&run.join(entry.to_string()), &ready.join(free.to_string())).is_ok() {
            let why = "its process was stopped".to_owned();
            let line = JournalLine {
                from: "run".into(),
                to: "ready".into(),
                why,
                ..JournalLine::of(*mailbox, "returned", &free)
            };
            journal::write(workspace, line);
        }
    }
}

/// The name of an event in `run/`, if it is there.
pub(in crate::store) fn in_run(workspace: &Workspace, mailbox: Mailbox, id: &Id) -> Result<Option<Entry>> {
    Ok(listing::list(workspace, mailbox, State::Run)?.into_iter().find(|entry| entry.id == *id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::stamp::Stamp;
    use crate::world::World;
    use std::fs;
    use std::process::Command;

    /// A process that still lives could move or answer an event that was given back, and that another worker has claimed.
    #[test]
    fn process_of_an_event_is_dead_before_its_event_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::write(root.join("claw.yaml"), "sync: none\n").unwrap();
        let workspace = Workspace::open(World::real().unwrap(), root, true).unwrap();
        workspace.make_layout().unwrap();
        let before = Tries { attempts: 4, crashes: 2, ..Tries::default() };
        let id = Id::new(Stamp(1), 7);
        let entry = Entry { tries: Tries { attempts: 5, ..before }, ..Entry::fresh(id.clone(), "pickle.a") };
        let name =
            |state, tries| Mailbox::Inbox.dir(&workspace, state).join(Entry { tries, ..entry.clone() }.to_string());
        fs::write(name(State::Run, entry.tries), "{}").unwrap();
        let mut child = Command::new("sleep").arg("300").spawn().unwrap();
        let claim = RegisteredClaim { entry: entry.clone(), before, process: Some(OwnProcess::of(&child)) };
        let registry = workspace.caches.of::<ClaimRegistry>();
        registry.lock().unwrap().claims.insert((Mailbox::Inbox, id), claim);
        give_back_all(&workspace);
        let is_dead = child.try_wait().unwrap().is_some();
        let _ = child.kill();
        let _ = child.wait();
        assert!(is_dead, "the process of the event lives on");
        assert!(name(State::Ready, before).exists() && !name(State::Run, entry.tries).exists());
        assert!(registry.lock().is_err(), "nothing is claimed or moved any more");
    }
}
