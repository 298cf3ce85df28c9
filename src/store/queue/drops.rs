//! Drop zones: files that people and programs put into `inbox/` and `outbox/`. A drop is first renamed to
//! `tmp/<new id>~<its name>.drop` and then published under that id, so that a kill between the two steps neither loses
//! nor duplicates it.

use crate::core::config::{Drops, FILE};
use crate::core::event::address::safe_name;
use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Draft, Event, EventKind};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::slash;
use crate::store::fs::At;
use crate::store::fs::durable::{self, Moved};
use crate::store::fs::lease::{self, Writers};
use crate::store::lock::NamedLock;
use crate::store::queue::publish;
use crate::store::queue::spool;
use crate::store::workspace::Workspace;
use crate::store::workspace::clock;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::{Mailbox, State};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde_json::Value;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Name endings of files that an editor or a copy has not finished.
const TEMPORARY: &[&str] = &["~", ".tmp", ".part", ".partial", ".crdownload", ".download", ".swp", ".swx", ".bak"];
/// Without leases, a file counts as complete when it has not changed for this many seconds.
const UNCHANGED: i64 = 2;

/// Why a file in a drop zone is ignored; `None` if it will be taken.
#[must_use]
pub fn refusal(path: &Path) -> Option<&'static str> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let is_file = || path.symlink_metadata().is_ok_and(|m| m.is_file());
    match () {
        () if name.starts_with('.') || name.starts_with('#') => Some("a hidden file"),
        () if !is_file() => Some("not a regular file"),
        () if TEMPORARY.iter().any(|end| name.ends_with(end)) => Some("a temporary file by its name"),
        () => None,
    }
}

/// Why a drop that is not refused cannot be taken: claw may not read it.
#[must_use]
pub fn unreadable(path: &Path) -> Option<&'static str> {
    matches!(open(path), Err(Errno::ACCESS)).then_some("claw may not read it (chmod or chown lets it)")
}

/// Opens a drop without following a link or waiting for a pipe.
fn open(path: &Path) -> std::result::Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    rustix::fs::open(path, flags, Mode::empty()).map(File::from)
}

/// The drops in a mailbox, unsorted: those in the zone, and those already renamed into `tmp/`.
fn waiting(workspace: &Workspace, mailbox: Mailbox) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let files = |entries: fs::ReadDir| {
        // Most entries are folders. Their type is known without a `stat`.
        let is_dir = |e: &fs::DirEntry| e.file_type().is_ok_and(|t| t.is_dir());
        entries.flatten().filter(move |e| !is_dir(e)).map(|e| e.path())
    };
    let (zone, tmp) = (workspace.root.join(mailbox.name()), mailbox.tmp(workspace));
    let fresh = files(fs::read_dir(&zone).at("list", &zone)?).filter(|p| refusal(p).is_none()).collect();
    let begun = match fs::read_dir(&tmp) {
        // `tmp` was removed; it is created again for the next drop.
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        listed => files(listed.at("list", &tmp)?).filter(|p| p.extension().is_some_and(|e| e == "drop")).collect(),
    };
    Ok((fresh, begun))
}

/// The number of drops in a mailbox; 0 if it cannot be listed.
#[must_use]
pub fn count(workspace: &Workspace, mailbox: Mailbox) -> usize {
    waiting(workspace, mailbox).map(|(fresh, begun)| fresh.len() + begun.len()).unwrap_or_default()
}

/// The most drops that are taken in at once. They share the flushes of the disk, and between two batches events are
/// routed.
const BATCH: usize = 64;

/// The drops of a mailbox that were listed and are not taken in yet, oldest first.
#[derive(Debug, Default)]
pub struct Backlog {
    /// In the zone.
    fresh: VecDeque<PathBuf>,
    /// Already renamed into `tmp/`, by a process that was killed.
    begun: VecDeque<PathBuf>,
}

impl Backlog {
    /// Whether all of them were taken in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.begun.is_empty()
    }
}

/// The result of [`take_in`].
#[derive(Debug, Default)]
pub struct TakenIn {
    /// When to try again a file that may still be written, if the kernel cannot report the end of that.
    pub again: Option<Stamp>,
    /// Files that are not valid events and were moved to `failed/`, with the reason.
    pub failed: Vec<(Id, Fault)>,
}

/// Reports a drop that is not a valid event.
pub type OnRefused<'t> = &'t dyn Fn(&Id, &Fault) -> Result<()>;

/// Publishes every complete drop of a mailbox. For an invalid one, `on_refused` is called, perhaps again after a kill;
/// then it is moved to `failed/` with its reason.
///
/// # Errors
/// Those of the file system and of `on_refused`. An invalid drop is not an error.
pub fn take_in(workspace: &Workspace, mailbox: Mailbox, on_refused: OnRefused) -> Result<TakenIn> {
    let (mut backlog, mut all) = (Backlog::default(), TakenIn::default());
    loop {
        let taken = take_batch(workspace, mailbox, &mut backlog, on_refused)?;
        all.again = all.again.into_iter().chain(taken.again).min();
        all.failed.extend(taken.failed);
        if backlog.is_empty() {
            return Ok(all);
        }
    }
}

/// Publishes the next drops of a mailbox, as [`take_in`]; the rest stays in `backlog`. An empty one is filled first.
///
/// # Errors
/// As [`take_in`].
pub fn take_batch(
    workspace: &Workspace,
    mailbox: Mailbox,
    backlog: &mut Backlog,
    on_refused: OnRefused,
) -> Result<TakenIn> {
    let taken = take_next(workspace, mailbox, backlog, on_refused);
    if taken.is_err() {
        // Some are neither taken in nor in the backlog: the next call lists all again.
        *backlog = Backlog::default();
    }
    taken
}

fn take_next(workspace: &Workspace, mailbox: Mailbox, backlog: &mut Backlog, on_refused: OnRefused) -> Result<TakenIn> {
    let mut taken = TakenIn::default();
    let is_new = backlog.is_empty();
    if is_new {
        let (fresh, begun) = waiting(workspace, mailbox)?;
        if fresh.is_empty() && begun.is_empty() {
            return Ok(taken);
        }
    }
    let _lock = NamedLock::wait(workspace, &format!("drops-{}", mailbox.name()))?;
    if is_new {
        let (mut fresh, mut begun) = waiting(workspace, mailbox)?;
        if !fresh.is_empty() && !mailbox.tmp(workspace).exists() {
            workspace.make_layout()?;
        }
        begun.sort();
        fresh.sort_by_cached_key(|path| (path.metadata().and_then(|m| m.modified()).ok(), path.clone()));
        *backlog = Backlog { fresh: fresh.into(), begun: begun.into() };
    }
    let soon = workspace.world.now().plus_seconds(UNCHANGED);
    let tmp = mailbox.tmp(workspace);
    let mut begun: Vec<PathBuf> = backlog.begun.drain(..BATCH.min(backlog.begun.len())).collect();
    let room = BATCH - begun.len();
    for path in backlog.fresh.drain(..room.min(backlog.fresh.len())) {
        match writers(workspace, &path) {
            Writers::None => {}
            // When its last writer closes it, the watch on this folder reports it.
            Writers::Some => continue,
            Writers::Unknown => {
                taken.again = Some(soon);
                continue;
            }
        }
        let name = safe_drop_name(&path);
        let target = tmp.join(format!("{}~{name}.drop", clock::next_id(workspace)?));
        if durable::rename(&path, &target)? == Moved::Yes {
            begun.push(target);
        }
    }
    if !begun.is_empty() {
        // Ids are durable before anything is published under them, also those that another process has given.
        durable::sync_dir(&tmp, workspace.sync()?)?;
    }
    begun.retain(|path| match writers(workspace, path) {
        Writers::None => true,
        // A writer opened it before the rename. When it closes it, the watch on `tmp` reports it.
        Writers::Some => false,
        Writers::Unknown => {
            taken.again = Some(soon);
            false
        }
    });
    taken.failed = publish_drops(workspace, mailbox, &begun, on_refused)?;
    Ok(taken)
}

/// The file's own name, shortened if it would be too long behind an id.
fn safe_drop_name(path: &Path) -> String {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    if name.len() <= 120 {
        return name;
    }
    let suffix = path.extension().and_then(|e| e.to_str()).filter(|e| e.len() <= 10);
    format!("{}.{}", safe_name(&name, 60), suffix.unwrap_or("unknown"))
}

/// Whether the file is open for writing. If the kernel cannot tell, a file that has not changed for [`UNCHANGED`] seconds
/// is not. One that may not be read counts as being written, and a warning is printed.
fn writers(workspace: &Workspace, path: &Path) -> Writers {
    let Ok(file) = open(path) else {
        if let Some(why) = unreadable(path) {
            workspace.world.say(&format!("{} stays where it is: {why}", path.display()));
        }
        return Writers::Some;
    };
    let is_unchanged = || {
        let changed = file.metadata().and_then(|m| m.modified()).ok()?;
        let changed = Stamp::from(jiff::Timestamp::try_from(changed).ok()?);
        Some(changed.plus_seconds(UNCHANGED) <= workspace.world.now())
    };
    match lease::writers(&file) {
        Writers::Unknown if is_unchanged() == Some(true) => Writers::None,
        known => known,
    }
}

/// Publishes the events in files `tmp/<id>~<name>.drop` and removes the files. Invalid ones are moved to `failed/` and
/// returned.
fn publish_drops(
    workspace: &Workspace,
    mailbox: Mailbox,
    paths: &[PathBuf],
    on_refused: OnRefused,
) -> Result<Vec<(Id, Fault)>> {
    let mut events = Vec::new();
    let mut refused = Vec::new();
    for path in paths {
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let Some((id, name)) = stem.split_once('~') else { continue };
        let Ok(id) = Id::parse(id) else { continue };
        match read_drop(workspace, mailbox, path, &id, name) {
            Ok(event) => events.push((path, name.to_owned(), event)),
            Err(fault) if fault.kind == Kind::Data => refused.push((path, id, name.to_owned(), fault)),
            Err(fault) => return Err(fault),
        }
    }
    let published = publish::all(workspace, mailbox, events.iter().map(|(_, _, event)| event))?;
    for ((path, name, event), published) in events.into_iter().zip(published) {
        match published {
            Ok(_) => {
                let line = JournalLine::about(mailbox, "drop", &event.id);
                journal::write(workspace, JournalLine { why: format!("file {name}"), ..line });
                durable::remove(path)?;
            }
            Err(fault) if fault.kind == Kind::Data => refused.push((path, event.id, name, fault)),
            Err(fault) => return Err(fault),
        }
    }
    let mut failed = Vec::new();
    for (path, id, name, fault) in refused {
        let fault = Fault { message: format!("{name}: {}", fault.message), ..fault };
        on_refused(&id, &fault)?;
        spool::write_reason(workspace, mailbox, &id, &fault.to_string())?;
        let line = JournalLine::about(mailbox, "fail", &id);
        journal::write(workspace, JournalLine { to: "failed".into(), why: fault.to_string(), ..line });
        let target = mailbox.dir(workspace, State::Failed).join(path.file_name().unwrap_or_default());
        durable::move_or_remove(path, &target)?;
        failed.push((id, fault));
    }
    Ok(failed)
}

/// The event in a drop.
fn read_drop(workspace: &Workspace, mailbox: Mailbox, path: &Path, id: &Id, name: &str) -> Result<Event> {
    let bytes = spool::read_capped(path)?;
    let mut draft = Draft::from_file(name, &bytes)?;
    if mailbox == Mailbox::Outbox && draft.reply_to.is_none() {
        draft.reply_to = workspace.home()?;
        if draft.reply_to.is_none() {
            return Err(Fault::data("it has no destination")
                .hint("set reply_to in its front matter, or deliver_to in claw.yaml"));
        }
    }
    if mailbox == Mailbox::Outbox && draft.kind != EventKind::Message {
        return Err(Fault::data("only messages can be delivered"));
    }
    if mailbox == Mailbox::Inbox && draft.kind == EventKind::Message {
        draft.kind = kind(workspace, draft.content.as_deref().unwrap_or_default())?;
    }
    draft.meta.insert("file".to_owned(), Value::from(name));
    publish::complete(workspace, draft, id.clone())
}

/// The kind of a dropped message: a command, if the owner lets drops give commands.
fn kind(workspace: &Workspace, content: &str) -> Result<EventKind> {
    if slash::parse(content).is_none() {
        return Ok(EventKind::Message);
    }
    match workspace.config()?.drops {
        Drops::Owner => Ok(EventKind::Control),
        Drops::Known => {
            Err(Fault::data(format!("a dropped file gives no slash commands unless {FILE} has `drops: owner`"))
                .hint("retry it with that setting; to send the text to an agent, put a word before it"))
        }
    }
}
