//! The boxes: what lies in them, claiming the head of a lane, and moving it on. Every transition is
//! one rename that never replaces, under the lane's lock.

use crate::core::event::entry::{Entry, Tries};
use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Event, MAX_BYTES};
use crate::core::fault::{Fault, Result};
use crate::store::fs::durable::{self, Moved};
use crate::store::fs::{At, io_fault};
use crate::store::lock::Lane;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::{Mailbox, State};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The entries of one state, in id order. Files that are not events are passed over; `check` names
/// them.
///
/// # Errors
/// Where the folder cannot be read.
pub fn list(workspace: &Workspace, mailbox: Mailbox, state: State) -> Result<Vec<Entry>> {
    list_some(workspace, mailbox, state, &|_| true)
}

/// The entries of the lanes that are wanted: of 100,000 names that of another lane is not even read.
fn list_some(
    workspace: &Workspace,
    mailbox: Mailbox,
    state: State,
    handles: &dyn Fn(&str) -> bool,
) -> Result<Vec<Entry>> {
    let dir = mailbox.dir(workspace, state);
    let names = match fs::read_dir(&dir) {
        Ok(names) => names,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io_fault("list", &dir, &e)),
    };
    let mut entries = Vec::new();
    for name in names {
        let name = name.at("list", &dir)?.file_name();
        let is_wanted = |name: &&str| Entry::lane_of(name).is_none_or(handles);
        let entry = name.to_str().filter(is_wanted).and_then(Entry::parse);
        // In new/ a person may have put a routed one back: it is routed anew.
        entries.extend(entry.filter(|e| !e.lane.is_empty() || matches!(state, State::New | State::Failed)));
    }
    entries.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok(entries)
}

/// What waits, by lane: every entry of ready, wait and run.
pub type Lanes = BTreeMap<String, Vec<(State, Entry)>>;

/// Lists ready, wait and run, once, for the lanes that are wanted. A reader of a folder may meet a file that came late and miss
/// one that came before it: [`settled`] takes care of that.
///
/// # Errors
/// Where a folder cannot be read.
fn listing(workspace: &Workspace, mailbox: Mailbox, handles: &dyn Fn(&str) -> bool) -> Result<Lanes> {
    let mut lanes = Lanes::new();
    for state in [State::Ready, State::Wait, State::Run] {
        for entry in list_some(workspace, mailbox, state, handles)? {
            lanes.entry(entry.lane.clone()).or_default().push((state, entry));
        }
    }
    for entries in lanes.values_mut() {
        // Of two files of one event the one that is further, and knows more tries, stands first.
        let how_far =
            |(state, Entry { tries, .. }): &(State, Entry)| (*state, tries.rounds, tries.attempts, tries.crashes);
        entries.sort_unstable_by(|a, b| a.1.id.cmp(&b.1.id).then_with(|| how_far(b).cmp(&how_far(a))));
    }
    Ok(lanes)
}

/// The second of two listings, without what is behind the last id of the first one: whatever had
/// come before an event of the first listing is in the second.
fn settled(first: &Lanes, mut second: Lanes) -> Lanes {
    second.retain(|lane, entries| {
        let last = first.get(lane).and_then(|known| known.last()).map(|(_, entry)| &entry.id);
        entries.retain(|(_, entry)| last.is_some_and(|last| entry.id <= *last));
        !entries.is_empty()
    });
    second
}

/// What waits, by lane, with nothing missing before anything that is there. For a lane whose lock is
/// held, or whose version is the same before and after, it is what there is, but for what has just
/// arrived.
///
/// # Errors
/// Where a folder cannot be read.
pub fn lanes(workspace: &Workspace, mailbox: Mailbox, handles: &dyn Fn(&str) -> bool) -> Result<Lanes> {
    lanes_seen(workspace, mailbox, handles, &mut |_| Ok(()))
}

/// The same; between the two listings each lane is shown to `see`, which may look at its version: the
/// second listing was begun after that.
///
/// # Errors
/// Where a folder cannot be read, and those of `see`.
pub fn lanes_seen(
    workspace: &Workspace,
    mailbox: Mailbox,
    handles: &dyn Fn(&str) -> bool,
    see: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<Lanes> {
    let first = listing(workspace, mailbox, handles)?;
    if first.is_empty() {
        return Ok(first);
    }
    first.keys().try_for_each(|lane| see(lane))?;
    Ok(settled(&first, listing(workspace, mailbox, handles)?))
}

/// What waits in one lane, as [`lanes`].
///
/// # Errors
/// Where a folder cannot be read.
pub fn lane(workspace: &Workspace, mailbox: Mailbox, name: &str) -> Result<Vec<(State, Entry)>> {
    Ok(lanes(workspace, mailbox, &|lane| lane == name)?.remove(name).unwrap_or_default())
}

/// An event that this process has claimed.
#[derive(Debug)]
pub struct Job<'w> {
    /// Its name in `run/`.
    pub entry: Entry,
    before: Tries,
    /// Its worker was gone.
    is_adopted: bool,
    mailbox: Mailbox,
    workspace: &'w Workspace,
}

/// The head of a lane.
#[derive(Debug)]
pub enum LaneHead<'w> {
    /// Claimed.
    Job(Job<'w>),
    /// The lane is held up until then.
    NotDue(Stamp),
    /// Nothing is there.
    Nothing,
}

/// Claims the lowest id of a lane whose lock the caller holds. `entries` is its listing, begun under
/// that lock or known to be still true; what is settled on the way is taken out of it.
///
/// # Errors
/// Where the file system refuses.
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
            // It has ended: this is a second copy, or the last move was cut off.
            for copy in &copies {
                if is_done {
                    durable::remove(&path(copy))?;
                } else {
                    move_to_failed(workspace, mailbox, &path(copy), &copy.1)?;
                }
            }
            continue;
        }
        // Copies are sorted: the state that wins stands first.
        let [(state, entry), needless @ ..] = &copies[..] else { continue };
        if let Some(due) = entry.waits_until(workspace.world.now()) {
            entries.splice(0..0, copies.iter().cloned());
            return Ok(LaneHead::NotDue(due));
        }
        for copy in needless {
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
            // Somebody moved it by hand: look again, once.
            Moved::Gone | Moved::Taken if !is_relisted => {
                is_relisted = true;
                *entries = self::lane(workspace, mailbox, &lane.name)?;
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
    /// `Data` where the file is torn, too large or no event.
    pub fn read(&self) -> Result<Event> {
        read_event(&self.path(), &self.entry.id)
    }

    /// It has ended well.
    ///
    /// # Errors
    /// Where the file system refuses; it is given back then.
    pub fn done(self) -> Result<()> {
        let done = self.mailbox.done(self.workspace, &self.entry.id);
        let places = &self.workspace.caches.places;
        let moved = self.workspace.sync().and_then(|sync| places.settle_in_day(&self.path(), &done, sync));
        self.left(moved)
    }

    /// Try again at `due`.
    ///
    /// # Errors
    /// Where the file system refuses; it is given back then.
    pub fn wait(self, due: Stamp, counts: bool) -> Result<()> {
        let tries = if counts { self.entry.tries } else { self.before };
        let entry = Entry { due: Some(due), tries: Tries { crashes: 0, ..tries }, ..self.entry.clone() };
        let moved = self.moved(State::Wait, &entry);
        self.left(moved)
    }

    /// It has come a step further: what was tried before that does not count against it any more.
    ///
    /// # Errors
    /// Where the file system refuses.
    pub fn progressed(&mut self) -> Result<()> {
        let tries = Tries { attempts: self.entry.tries.attempts.min(1), crashes: 0, ..self.entry.tries };
        if tries != self.entry.tries {
            let entry = Entry { tries, ..self.entry.clone() };
            self.moved(State::Run, &entry)?;
            (self.entry, self.before) = (entry, Tries { attempts: 0, ..tries });
        }
        Ok(())
    }

    /// Whether its worker before this one was killed.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.is_adopted
    }

    /// The kill of its last worker does not count against it.
    ///
    /// # Errors
    /// Where the file system refuses.
    pub fn forgive(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_adopted) {
            let less = |tries: Tries| Tries { crashes: tries.crashes.saturating_sub(1), ..tries };
            let entry = Entry { tries: less(self.entry.tries), ..self.entry.clone() };
            self.moved(State::Run, &entry)?;
            (self.entry, self.before) = (entry, less(self.before));
        }
        Ok(())
    }

    /// Back to where it was, as if it had never been claimed.
    ///
    /// # Errors
    /// Where the file system refuses.
    pub fn give_back(self) -> Result<()> {
        let entry = Entry { tries: self.before, ..self.entry.clone() };
        self.moved(State::Ready, &entry)
    }

    /// It has ended badly: the reason is written first, then the event moves.
    ///
    /// # Errors
    /// Where the file system refuses; it is given back then.
    pub fn fail(self, reason: &str) -> Result<()> {
        let moved = write_reason(self.workspace, self.mailbox, &self.entry.id, reason)
            .and_then(|()| move_to_failed(self.workspace, self.mailbox, &self.path(), &self.entry));
        self.left(moved)
    }

    /// Where its last move has failed it is given back: what is left in `run/` counts as a kill.
    fn left(self, moved: Result<()>) -> Result<()> {
        moved.inspect_err(|_| {
            let _ = self.give_back();
        })
    }

    /// The file that is being worked on.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.mailbox.dir(self.workspace, State::Run).join(self.entry.to_string())
    }

    fn moved(&self, state: State, entry: &Entry) -> Result<()> {
        durable::settle(&self.path(), &self.mailbox.dir(self.workspace, state).join(entry.to_string()))
    }
}

/// Ends an event in `ready` that was answered with another one. The caller holds its lane.
///
/// # Errors
/// Where the file system refuses. One that is gone has ended otherwise.
pub fn finish(workspace: &Workspace, mailbox: Mailbox, entry: &Entry) -> Result<()> {
    let (ready, done) =
        (mailbox.dir(workspace, State::Ready).join(entry.to_string()), mailbox.done(workspace, &entry.id));
    workspace.caches.places.settle_in_day(&ready, &done, workspace.sync()?)
}

/// Reads at most [`MAX_BYTES`] of a regular file.
///
/// # Errors
/// `Data` where there is more, or it is no regular file.
pub fn read_capped(path: &Path) -> Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::ACCESS | rustix::io::Errno::NXIO) => {
            return Err(Fault::data(format!("{} is no regular file that can be read", path.display())));
        }
        other => File::from(other.at("read", path)?),
    };
    let meta = file.metadata().at("read", path)?;
    if !meta.is_file() {
        return Err(Fault::data(format!("{} is no regular file", path.display())));
    }
    if meta.len() > MAX_BYTES {
        return Err(Fault::data(format!("{} bytes are more than an event may have ({MAX_BYTES})", meta.len())));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
    file.take(MAX_BYTES).read_to_end(&mut bytes).at("read", path)?;
    Ok(bytes)
}

/// Reads the event `id` from its file.
///
/// # Errors
/// `Data` where the file is torn, too large, no event, or another one.
pub fn read_event(path: &Path, id: &Id) -> Result<Event> {
    let event = Event::from_json(&read_capped(path)?)?;
    if event.id == *id {
        Ok(event)
    } else {
        Err(Fault::data(format!("the file is named {id} but holds event {}", event.id)))
    }
}

/// Writes the reason why an event failed, synced.
///
/// # Errors
/// Where it cannot be written.
pub fn write_reason(workspace: &Workspace, mailbox: Mailbox, id: &Id, reason: &str) -> Result<()> {
    let dir = mailbox.dir(workspace, State::Failed);
    fs::create_dir_all(&dir).at("make", &dir)?;
    let text = format!("{}\n", reason.trim_end());
    // Where it stands the event counts as failed: it is there whole, or not at all.
    durable::publish(&dir, &format!("{id}.reason"), &mailbox.tmp(workspace), text.as_bytes(), workspace.sync()?)?;
    Ok(())
}

fn move_to_failed(workspace: &Workspace, mailbox: Mailbox, from: &Path, entry: &Entry) -> Result<()> {
    let entry = Entry { due: None, ..entry.clone() };
    let known = list(workspace, mailbox, State::Failed)?.iter().any(|e| e.id == entry.id);
    if known {
        durable::remove(from)
    } else {
        durable::settle(from, &mailbox.dir(workspace, State::Failed).join(entry.to_string()))
    }
}
