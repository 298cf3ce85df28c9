//! Drop zones: files that people and programs put into `inbox/` and `outbox/`. A drop is first
//! renamed to `tmp/<fresh id>~<its name>.drop`, and that id is its identity: a kill between the two
//! steps neither loses nor doubles it.

use crate::core::event::address::safe_name;
use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Draft, EventKind};
use crate::core::fault::{Fault, Kind, Result};
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

/// Endings of files that editors and copiers have not finished.
const TEMPORARY: &[&str] = &["~", ".tmp", ".part", ".partial", ".crdownload", ".download", ".swp", ".swx", ".bak"];
/// Without leases a file counts as written when it has not changed for this long, in seconds.
const SETTLED: i64 = 2;

/// Why a file in a drop zone is left alone; `None` where it will be taken.
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

/// Why a drop that is not refused lies there all the same, where we may not read it.
#[must_use]
pub fn unreadable(path: &Path) -> Option<&'static str> {
    matches!(open(path), Err(Errno::ACCESS)).then_some("claw may not read it (chmod or chown lets it)")
}

/// Opens a drop, and waits for nothing.
fn open(path: &Path) -> std::result::Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    rustix::fs::open(path, flags, Mode::empty()).map(File::from)
}

/// What lies in a drop zone and in `tmp/` from before: names of files, unsorted.
fn waiting(workspace: &Workspace, mailbox: Mailbox) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let files = |entries: fs::ReadDir| {
        // Folders are most of what lies there: the kernel names their kind without a `stat`.
        let is_dir = |e: &fs::DirEntry| e.file_type().is_ok_and(|t| t.is_dir());
        entries.flatten().filter(move |e| !is_dir(e)).map(|e| e.path())
    };
    let (zone, tmp) = (workspace.root.join(mailbox.name()), mailbox.tmp(workspace));
    let fresh = files(fs::read_dir(&zone).at("list", &zone)?).filter(|p| refusal(p).is_none()).collect();
    let begun = match fs::read_dir(&tmp) {
        // Somebody has taken it away; it is made again for the next drop.
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        listed => files(listed.at("list", &tmp)?).filter(|p| p.extension().is_some_and(|e| e == "drop")).collect(),
    };
    Ok((fresh, begun))
}

/// How many files wait in a drop zone.
#[must_use]
pub fn count(workspace: &Workspace, mailbox: Mailbox) -> usize {
    waiting(workspace, mailbox).map(|(fresh, begun)| fresh.len() + begun.len()).unwrap_or_default()
}

/// What taking in has met.
#[derive(Debug, Default)]
pub struct TakenIn {
    /// When one that may still be written should be looked at again, because nothing will tell.
    pub again: Option<Stamp>,
    /// Files that are no events, and why: they are in `failed/`.
    pub failed: Vec<(Id, Fault)>,
}

/// Tells whoever must know why this is no event.
pub type OnRefused<'t> = &'t dyn Fn(&Id, &Fault) -> Result<()>;

/// Takes in every drop that is whole.
///
/// # Errors
/// Where the file system refuses. A bad drop is no error: `tell` is called, perhaps again after a kill, and then
/// it goes to `failed/` with its reason.
pub fn take_in(workspace: &Workspace, mailbox: Mailbox, tell: OnRefused) -> Result<TakenIn> {
    let mut taken = TakenIn::default();
    let (fresh, begun) = waiting(workspace, mailbox)?;
    if fresh.is_empty() && begun.is_empty() {
        return Ok(taken);
    }
    let _only = NamedLock::wait(workspace, &format!("drops-{}", mailbox.name()))?;
    let soon = workspace.world.now().plus_seconds(SETTLED);
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
            // The close of its last writer wakes whoever watches this folder.
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
        // Their identity is durable before anything is published under it, whoever gave it to them.
        durable::sync_dir(&tmp, workspace.sync()?)?;
    }
    for path in begun {
        match writers(workspace, &path) {
            Writers::None => taken.failed.extend(adopt(workspace, mailbox, &path, tell)?),
            // A writer slipped in before the rename; its close wakes whoever watches `tmp`.
            Writers::Some => {}
            Writers::Unknown => taken.again = Some(soon),
        }
    }
    Ok(taken)
}

/// The file's own name, cut where it would be too long for a name with an id before it.
fn safe_drop_name(path: &Path) -> String {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    if name.len() <= 120 {
        return name;
    }
    let suffix = path.extension().and_then(|e| e.to_str()).filter(|e| e.len() <= 10);
    format!("{}.{}", safe_name(&name, 60), suffix.unwrap_or("unknown"))
}

/// Whether somebody still writes the file; where the kernel does not know, a file that has not
/// changed for a while counts as written. One that may not be read is told.
fn writers(workspace: &Workspace, path: &Path) -> Writers {
    let Ok(file) = open(path) else {
        if let Some(why) = unreadable(path) {
            workspace.world.say(&format!("{} stays where it is: {why}", path.display()));
        }
        return Writers::Some;
    };
    let is_settled = || {
        let changed = file.metadata().and_then(|m| m.modified()).ok()?;
        let changed = Stamp::from(jiff::Timestamp::try_from(changed).ok()?);
        Some(changed.plus_seconds(SETTLED) <= workspace.world.now())
    };
    match lease::writers(&file) {
        Writers::Unknown if is_settled() == Some(true) => Writers::None,
        known => known,
    }
}

/// Makes an event of `tmp/<id>~<name>.drop`, then removes it; what is none is returned.
fn adopt(workspace: &Workspace, mailbox: Mailbox, path: &Path, tell: OnRefused) -> Result<Option<(Id, Fault)>> {
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let Some((id, name)) = stem.split_once('~') else { return Ok(None) };
    let Ok(id) = Id::parse(id) else { return Ok(None) };
    match published(workspace, mailbox, path, &id, name) {
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
            tell(&id, &fault)?;
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

fn published(workspace: &Workspace, mailbox: Mailbox, path: &Path, id: &Id, name: &str) -> Result<()> {
    let bytes = spool::read_capped(path)?;
    let mut draft = Draft::from_file(name, &bytes)?;
    if mailbox == Mailbox::Outbox && draft.reply_to.is_none() {
        draft.reply_to.clone_from(&workspace.config()?.deliver_to);
        if draft.reply_to.is_none() {
            return Err(Fault::data("it does not say where it shall go")
                .hint("set reply_to in its front matter, or deliver_to in claw.yaml"));
        }
    }
    if mailbox == Mailbox::Outbox && !matches!(draft.kind, EventKind::Message | EventKind::Notice) {
        return Err(Fault::data("only messages and notices can be delivered"));
    }
    draft.meta.insert("file".to_owned(), Value::from(name));
    let event = publish::complete(workspace, draft, id.clone())?;
    match mailbox {
        Mailbox::Inbox => publish::inbox(workspace, &event)?,
        Mailbox::Outbox => publish::outbox(workspace, &event)?,
    };
    Ok(())
}
