//! Claiming the head of a lane, and moving a claimed event. Every transition is one rename that never replaces, under
//! the lane's lock.

use crate::core::event::entry::{Entry, Tries};
use crate::core::event::id::Id;
use crate::core::event::retry;
use crate::core::event::session_name;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Event, MAX_BYTES};
use crate::core::fault::{Fault, Result};
use crate::process::own::OwnProcess;
use crate::store::agent::definitions;
use crate::store::fs::At;
use crate::store::fs::durable::{self, Moved};
use crate::store::fs::durable_dirs::DurableDirs;
use crate::store::lock::Lane;
use crate::store::queue::claimed::{self, ClaimRegistry, RegisteredClaim};
use crate::store::queue::listing;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::{Mailbox, State};
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An event that this process has claimed.
#[derive(Debug)]
pub struct Job<'w> {
    /// Its name in `run/`.
    pub entry: Entry,
    /// The tries before this claim.
    before: Tries,
    /// Its mailbox.
    pub mailbox: Mailbox,
    /// Its workspace.
    pub workspace: &'w Workspace,
    registry: Arc<ClaimRegistry>,
}

/// The head of a lane.
#[derive(Debug)]
pub enum LaneHead<'w> {
    /// Claimed.
    Job(Job<'w>),
    /// The first event waits until then, and the lane with it.
    NotDue(Stamp),
    /// The lane is empty.
    Nothing,
}

/// Claims the lowest id of a lane whose lock the caller holds. `entries` is its listing, begun under that lock or known
/// to be still true; the claimed event and finished ones are removed from it.
///
/// # Errors
/// Those of the file system.
pub fn claim<'w>(
    workspace: &'w Workspace,
    mailbox: Mailbox,
    lane: &Lane,
    entries: &mut Vec<(State, Entry)>,
) -> Result<LaneHead<'w>> {
    let mut is_relisted = false;
    while let Some((_, first)) = entries.first() {
        let id = first.id.clone();
        let copies: Vec<(State, Entry)> = entries.extract_if(.., |(_, e)| e.id == id).collect();
        let path = |(state, entry): &(State, Entry)| mailbox.dir(workspace, *state).join(entry.to_string());
        let is_done = mailbox.done(workspace, &id).exists();
        if is_done || mailbox.reason(workspace, &id).exists() {
            // It has ended: these files are copies, or its last move was interrupted.
            for copy in &copies {
                if is_done {
                    durable::remove(&path(copy))?;
                } else {
                    move_to_failed(workspace, mailbox, &path(copy), &copy.1)?;
                }
            }
            continue;
        }
        // Copies are sorted: the state that counts is first.
        let [(state, entry), redundant @ ..] = &copies[..] else { continue };
        if let Some(due) = waits_until(workspace, entry) {
            entries.splice(0..0, copies.iter().cloned());
            return Ok(LaneHead::NotDue(due));
        }
        for copy in redundant {
            durable::remove(&path(copy))?;
        }
        let is_adopted = *state == State::Run;
        let before = Tries { limits: None, ..entry.tries };
        let before = if is_adopted { before.killed(false) } else { before };
        let now = workspace.world.now();
        let pause = retry::after_kill(now, before.crashes).filter(|_| is_adopted && !before.is_given_up());
        let (to, target) = if pause.is_some() {
            (State::Wait, Entry { due: pause, tries: before, ..entry.clone() })
        } else {
            let tries = Tries { attempts: before.attempts.saturating_add(1), ..before };
            (State::Run, Entry { due: None, tries, ..entry.clone() })
        };
        let registry = workspace.caches.of::<ClaimRegistry>();
        let mut registered = registry.lock()?;
        match durable::rename(&path(&copies[0]), &mailbox.dir(workspace, to).join(target.to_string()))? {
            Moved::Yes => {
                let why = if is_adopted { "its worker was gone" } else { "" };
                let moved = JournalLine {
                    from: state.name().into(),
                    to: to.name().into(),
                    until: pause.map(Stamp::timestamp),
                    why: why.into(),
                    ..JournalLine::of(mailbox, if pause.is_some() { "wait" } else { "claim" }, &target)
                };
                journal::write(workspace, moved);
                if let Some(due) = pause {
                    entries.insert(0, (State::Wait, target));
                    return Ok(LaneHead::NotDue(due));
                }
                let claim = RegisteredClaim { entry: target.clone(), before, process: None };
                registered.claims.insert((mailbox, id), claim);
                drop(registered);
                return Ok(LaneHead::Job(Job { entry: target, before, mailbox, workspace, registry }));
            }
            // A person or program has moved the file: list the lane again, once.
            Moved::Gone | Moved::Taken if !is_relisted => {
                is_relisted = true;
                *entries = listing::lane(workspace, mailbox, &lane.name)?;
            }
            Moved::Gone | Moved::Taken => {}
        }
    }
    Ok(LaneHead::Nothing)
}

/// The instant before which an event is not claimed. An event that waits for a budget is due once the limits have
/// changed.
#[must_use]
pub fn waits_until(workspace: &Workspace, entry: &Entry) -> Option<Stamp> {
    let has_changed = || entry.tries.limits.is_some_and(|mark| mark != limits_mark(workspace, &entry.lane));
    entry.waits_until(workspace.world.now()).filter(|_| !has_changed())
}

/// A mark of the limits that apply to the turns of a lane.
fn limits_mark(workspace: &Workspace, lane: &str) -> u16 {
    let all = workspace.config().map(|config| config.budget).unwrap_or_default();
    let agent = definitions::agent(workspace, session_name::agent(lane)).map(|agent| agent.budget).unwrap_or_default();
    let hash = blake3::hash(format!("{all:?} {agent:?}").as_bytes());
    let [first, second, ..] = hash.as_bytes();
    u16::from_le_bytes([*first, *second])
}

impl<'w> Job<'w> {
    /// The job that another process has claimed for this one: `entry` is its name in `run/`.
    #[must_use]
    pub fn inherited(workspace: &'w Workspace, mailbox: Mailbox, entry: Entry) -> Self {
        let before = Tries { attempts: entry.tries.attempts.saturating_sub(1), ..entry.tries };
        Self { entry, before, mailbox, workspace, registry: workspace.caches.of() }
    }

    /// Reads the event.
    ///
    /// # Errors
    /// `Data` if the file is torn, too large or not an event.
    pub fn read(&self) -> Result<Event> {
        read_event(&self.path(), &self.entry.id)
    }

    /// Moves the event to `done/`.
    ///
    /// # Errors
    /// Those of the file system; the claim is given back then.
    pub fn done(self) -> Result<()> {
        let done = self.mailbox.done(self.workspace, &self.entry.id);
        let durable_dirs = self.workspace.caches.of::<DurableDirs>();
        let moved = self.workspace.sync().and_then(|sync| {
            let _moving = self.registry.lock()?;
            durable_dirs.move_into_day(&self.path(), &done, sync)
        });
        self.or_give_back(moved)
    }

    /// Moves the event to `wait/` until `due`. `counts` says whether this attempt counts as a try.
    ///
    /// # Errors
    /// Those of the file system; the claim is given back then.
    pub fn wait(self, due: Stamp, counts: bool) -> Result<()> {
        let tries = if counts { self.entry.tries } else { self.before };
        let entry = Entry { due: Some(due), tries: tries.forgiven(), ..self.entry.clone() };
        let moved = self.move_to(State::Wait, &entry);
        self.or_give_back(moved)
    }

    /// Moves the event to `wait/` until `due`, or until the limits of its budgets change. The attempt does not count.
    ///
    /// # Errors
    /// Those of the file system; the claim is given back then.
    pub fn wait_for_budget(self, due: Stamp) -> Result<()> {
        let limits = Some(limits_mark(self.workspace, &self.entry.lane));
        let tries = Tries { limits, ..self.before.forgiven() };
        let moved = self.move_to(State::Wait, &Entry { due: Some(due), tries, ..self.entry.clone() });
        self.or_give_back(moved)
    }

    /// Moves the event to `wait/` until `due` with the tries that it had before the claim, because it could not be
    /// handled at all.
    ///
    /// # Errors
    /// Those of the file system; the claim is given back then.
    pub fn put_off(self, due: Stamp) -> Result<()> {
        let entry = Entry { due: Some(due), tries: self.before, ..self.entry.clone() };
        let moved = self.move_to(State::Wait, &entry);
        self.or_give_back(moved)
    }

    /// Counts the death of the event's own process, which this process has seen, and moves the event to `wait/`; to
    /// `ready/`, if it is given up. Returns the tries, and when it is due. `None` if it was moved already.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn blame(self) -> Result<Option<(Tries, Option<Stamp>)>> {
        let Some(entry) = claimed::in_run(self.workspace, self.mailbox, &self.entry.id)? else { return Ok(None) };
        let tries = entry.tries.killed(true);
        let due = retry::after_kill(self.workspace.world.now(), tries.crashes).filter(|_| !tries.is_given_up());
        let state = if due.is_some() { State::Wait } else { State::Ready };
        let from = self.mailbox.dir(self.workspace, State::Run).join(entry.to_string());
        let target = Entry { due, tries, ..entry };
        let _moving = self.registry.lock()?;
        durable::move_or_remove(&from, &self.mailbox.dir(self.workspace, state).join(target.to_string()))?;
        Ok(Some((tries, due)))
    }

    /// Registers the process of its own that handles the event.
    ///
    /// # Errors
    /// `Machine` if all claims of this process were given back; the process is killed then.
    pub fn handled_by(&self, process: &OwnProcess) -> Result<()> {
        let mut registered = self.registry.lock().inspect_err(|_| process.kill())?;
        let claim = registered.claims.get_mut(&(self.mailbox, self.entry.id.clone()));
        if let Some(claim) = claim {
            claim.process = Some(process.clone());
        }
        Ok(())
    }

    /// Resets the tries, because the event has made progress.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn record_progress(&mut self) -> Result<()> {
        let tries = Tries { attempts: self.entry.tries.attempts.min(1), ..self.entry.tries }.forgiven();
        self.rename_in_run(tries, Tries { attempts: 0, ..tries })
    }

    /// Forgives the kills of its earlier workers.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn forgive_kills(&mut self) -> Result<()> {
        self.rename_in_run(self.entry.tries.forgiven(), self.before.forgiven())
    }

    fn rename_in_run(&mut self, tries: Tries, before: Tries) -> Result<()> {
        if tries != self.entry.tries {
            let entry = Entry { tries, ..self.entry.clone() };
            let target = self.mailbox.dir(self.workspace, State::Run).join(entry.to_string());
            let mut registered = self.registry.lock()?;
            durable::move_or_remove(&self.path(), &target)?;
            if let Some(claim) = registered.claims.get_mut(&(self.mailbox, entry.id.clone())) {
                (claim.entry, claim.before) = (entry.clone(), before);
            }
            drop(registered);
            (self.entry, self.before) = (entry, before);
        }
        Ok(())
    }

    /// Moves the event back to `ready/` with the tries it had before the claim.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn give_back(self) -> Result<()> {
        let entry = Entry { tries: self.before, ..self.entry.clone() };
        self.move_to(State::Ready, &entry)
    }

    /// Writes the reason, then moves the event to `failed/`.
    ///
    /// # Errors
    /// Those of the file system; the claim is given back then.
    pub fn fail(self, reason: &str) -> Result<()> {
        let moved = write_reason(self.workspace, self.mailbox, &self.entry.id, reason).and_then(|()| {
            let _moving = self.registry.lock()?;
            move_to_failed(self.workspace, self.mailbox, &self.path(), &self.entry)
        });
        self.or_give_back(moved)
    }

    /// Gives the claim back if the last move has failed: a file left in `run/` would count as a crash.
    fn or_give_back(self, moved: Result<()>) -> Result<()> {
        moved.inspect_err(|_| {
            let _ = self.give_back();
        })
    }

    /// The file in `run/`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.mailbox.dir(self.workspace, State::Run).join(self.entry.to_string())
    }

    fn move_to(&self, state: State, entry: &Entry) -> Result<()> {
        let _moving = self.registry.lock()?;
        durable::move_or_remove(&self.path(), &self.mailbox.dir(self.workspace, state).join(entry.to_string()))
    }
}

impl Drop for Job<'_> {
    /// The event was moved, or stays in `run/` and counts as a kill.
    fn drop(&mut self) {
        if let Ok(mut registered) = self.registry.lock() {
            registered.claims.remove(&(self.mailbox, self.entry.id.clone()));
        }
    }
}

/// Moves an event from `ready/` to `done/` that was answered together with another one. The caller holds its lane. A
/// missing file is not an error: the event has ended in another way.
///
/// # Errors
/// Those of the file system.
pub fn finish(workspace: &Workspace, mailbox: Mailbox, entry: &Entry) -> Result<()> {
    let (ready, done) =
        (mailbox.dir(workspace, State::Ready).join(entry.to_string()), mailbox.done(workspace, &entry.id));
    workspace.caches.of::<DurableDirs>().move_into_day(&ready, &done, workspace.sync()?)
}

/// Reads a regular file of at most [`MAX_BYTES`].
///
/// # Errors
/// `Data` if it is larger, not a regular file, or may not be read.
pub fn read_capped(path: &Path) -> Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::ACCESS | rustix::io::Errno::NXIO) => {
            return Err(Fault::data(format!("{} is not a readable regular file", path.display())));
        }
        other => File::from(other.at("read", path)?),
    };
    let meta = file.metadata().at("read", path)?;
    if !meta.is_file() {
        return Err(Fault::data(format!("{} is not a regular file", path.display())));
    }
    if meta.len() > MAX_BYTES {
        return Err(Fault::data(format!("{} bytes exceed the size limit of an event ({MAX_BYTES})", meta.len())));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
    file.take(MAX_BYTES).read_to_end(&mut bytes).at("read", path)?;
    Ok(bytes)
}

/// Reads the event `id` from its file.
///
/// # Errors
/// `Data` if the file is torn, too large, not an event, or holds another event.
pub fn read_event(path: &Path, id: &Id) -> Result<Event> {
    let event = Event::from_json(&read_capped(path)?)?;
    if event.id == *id {
        Ok(event)
    } else {
        Err(Fault::data(format!("the file is named {id} but holds event {}", event.id)))
    }
}

/// Writes the reason why an event failed, durable on return. While it exists, the event counts as failed.
///
/// # Errors
/// If it cannot be written.
pub fn write_reason(workspace: &Workspace, mailbox: Mailbox, id: &Id, reason: &str) -> Result<()> {
    let dir = mailbox.dir(workspace, State::Failed);
    fs::create_dir_all(&dir).at("make", &dir)?;
    let text = format!("{}\n", reason.trim_end());
    // Published, so that it is never torn.
    durable::publish(&dir, &format!("{id}.reason"), &mailbox.tmp(workspace), text.as_bytes(), workspace.sync()?)?;
    Ok(())
}

fn move_to_failed(workspace: &Workspace, mailbox: Mailbox, from: &Path, entry: &Entry) -> Result<()> {
    let entry = Entry { due: None, ..entry.clone() };
    let is_copied = listing::list(workspace, mailbox, State::Failed)?.iter().any(|e| e.id == entry.id);
    if is_copied {
        durable::remove(from)
    } else {
        durable::move_or_remove(from, &mailbox.dir(workspace, State::Failed).join(entry.to_string()))
    }
}
