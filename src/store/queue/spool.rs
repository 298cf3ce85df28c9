//! Claiming the head of a lane, and moving a claimed event. Every transition is one rename that never replaces, under
//! the lane's lock.

use crate::core::event::entry::{Entry, Tries};
use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Event, MAX_BYTES};
use crate::core::fault::{Fault, Result};
use crate::store::fs::At;
use crate::store::fs::durable::{self, Moved};
use crate::store::fs::durable_dirs::DurableDirs;
use crate::store::lock::Lane;
use crate::store::queue::listing;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::{Mailbox, State};
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// An event that this process has claimed.
#[derive(Debug)]
pub struct Job<'w> {
    /// Its name in `run/`.
    pub entry: Entry,
    /// The tries before this claim.
    before: Tries,
    /// Its previous worker was killed.
    is_adopted: bool,
    mailbox: Mailbox,
    workspace: &'w Workspace,
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
        if let Some(due) = entry.waits_until(workspace.world.now()) {
            entries.splice(0..0, copies.iter().cloned());
            return Ok(LaneHead::NotDue(due));
        }
        for copy in redundant {
            durable::remove(&path(copy))?;
        }
        let is_adopted = *state == State::Run;
        let before = Tries { crashes: entry.tries.crashes.saturating_add(u32::from(is_adopted)), ..entry.tries };
        let run = Entry {
            due: None,
            tries: Tries { attempts: before.attempts.saturating_add(1), ..before },
            ..entry.clone()
        };
        let from = path(&copies[0]);
        match durable::rename(&from, &mailbox.dir(workspace, State::Run).join(run.to_string()))? {
            Moved::Yes => {
                let why = if is_adopted { "its worker was gone" } else { "" };
                let moved = JournalLine {
                    from: state.name().into(),
                    to: "run".into(),
                    why: why.into(),
                    ..JournalLine::of(mailbox, "claim", &run)
                };
                journal::write(workspace, moved);
                return Ok(LaneHead::Job(Job { entry: run, before, is_adopted, mailbox, workspace }));
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

impl Job<'_> {
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
        let moved = self.workspace.sync().and_then(|sync| durable_dirs.move_into_day(&self.path(), &done, sync));
        self.or_give_back(moved)
    }

    /// Moves the event to `wait/` until `due`. `counts` says whether this attempt counts as a try.
    ///
    /// # Errors
    /// Those of the file system; the claim is given back then.
    pub fn wait(self, due: Stamp, counts: bool) -> Result<()> {
        let tries = if counts { self.entry.tries } else { self.before };
        let entry = Entry { due: Some(due), tries: Tries { crashes: 0, ..tries }, ..self.entry.clone() };
        let moved = self.move_to(State::Wait, &entry);
        self.or_give_back(moved)
    }

    /// Resets the tries, because the event has made progress.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn record_progress(&mut self) -> Result<()> {
        let tries = Tries { attempts: self.entry.tries.attempts.min(1), crashes: 0, ..self.entry.tries };
        if tries != self.entry.tries {
            let entry = Entry { tries, ..self.entry.clone() };
            self.move_to(State::Run, &entry)?;
            (self.entry, self.before) = (entry, Tries { attempts: 0, ..tries });
        }
        Ok(())
    }

    /// Whether its previous worker was killed.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.is_adopted
    }

    /// Does not count the kill of the previous worker as a crash.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn discount_crash(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_adopted) {
            let less = |tries: Tries| Tries { crashes: tries.crashes.saturating_sub(1), ..tries };
            let entry = Entry { tries: less(self.entry.tries), ..self.entry.clone() };
            self.move_to(State::Run, &entry)?;
            (self.entry, self.before) = (entry, less(self.before));
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
        let moved = write_reason(self.workspace, self.mailbox, &self.entry.id, reason)
            .and_then(|()| move_to_failed(self.workspace, self.mailbox, &self.path(), &self.entry));
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
        durable::move_or_remove(&self.path(), &self.mailbox.dir(self.workspace, state).join(entry.to_string()))
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
