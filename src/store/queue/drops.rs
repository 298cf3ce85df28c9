//! Drop zones: files that people and programs put into `inbox/` and `outbox/`. A drop is first renamed to
//! `tmp/<new id>~<its name>.drop` and then published under that id, so that a kill between the two steps neither loses
//! nor duplicates it.

use crate::core::config::{Drops, FILE};
use crate::core::event::address::safe_name;
use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Draft, EventKind};
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
    let mut taken = TakenIn::default();
    let (fresh, begun) = waiting(workspace, mailbox)?;
    if fresh.is_empty() && begun.is_empty() {
        return Ok(taken);
    }
    let _lock = NamedLock::wait(workspace, &format!("drops-{}", mailbox.name()))?;
    let soon = workspace.world.now().plus_seconds(UNCHANGED);
    let (mut fresh, mut begun) = waiting(workspace, mailbox)?;
    if !fresh.is_empty() && !mailbox.tmp(workspace).exists() {
        workspace.make_layout()?;
    }
    begun.sort();
    let age = |path: &PathBuf| path.metadata().and_then(|m| m.modified()).ok();
    fresh.sort_by_key(|path| (age(path), path.clone()));
    let tmp = mailbox.tmp(workspace);
    for path in fresh {
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
    for path in begun {
        match writers(workspace, &path) {
            Writers::None => taken.failed.extend(publish_drop(workspace, mailbox, &path, on_refused)?),
            // A writer opened it before the rename. When it closes it, the watch on `tmp` reports it.
            Writers::Some => {}
            Writers::Unknown => taken.again = Some(soon),
        }
    }
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

/// Publishes the event in `tmp/<id>~<name>.drop` and removes the drop. An invalid one is moved to `failed/` and returned.
fn publish_drop(
    workspace: &Workspace,
    mailbox: Mailbox,
    path: &Path,
    on_refused: OnRefused,
) -> Result<Option<(Id, Fault)>> {
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let Some((id, name)) = stem.split_once('~') else { return Ok(None) };
    let Ok(id) = Id::parse(id) else { return Ok(None) };
    match publish_file(workspace, mailbox, path, &id, name) {
        Ok(()) => {
            journal::write(
                workspace,
                JournalLine { why: format!("file {name}"), ..JournalLine::about(mailbox, "drop", &id) },
            );
            durable::remove(path)?;
            Ok(None)
        }
        Err(fault) if fault.kind == Kind::Data => {
            let fault = Fault { message: format!("{name}: {}", fault.message), ..fault };
            on_refused(&id, &fault)?;
            spool::write_reason(workspace, mailbox, &id, &fault.to_string())?;
            let line = JournalLine::about(mailbox, "fail", &id);
            journal::write(workspace, JournalLine { to: "failed".into(), why: fault.to_string(), ..line });
            let target = mailbox.dir(workspace, State::Failed).join(path.file_name().unwrap_or_default());
            durable::move_or_remove(path, &target)?;
            Ok(Some((id, fault)))
        }
        Err(fault) => Err(fault),
    }
}

fn publish_file(workspace: &Workspace, mailbox: Mailbox, path: &Path, id: &Id, name: &str) -> Result<()> {
    let bytes = spool::read_capped(path)?;
    let mut draft = Draft::from_file(name, &bytes)?;
    if mailbox == Mailbox::Outbox && draft.reply_to.is_none() {
        draft.reply_to.clone_from(&workspace.config()?.deliver_to);
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
    let event = publish::complete(workspace, draft, id.clone())?;
    match mailbox {
        Mailbox::Inbox => publish::inbox(workspace, &event)?,
        Mailbox::Outbox => publish::outbox(workspace, &event)?,
    };
    Ok(())
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
