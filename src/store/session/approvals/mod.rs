//! Tool calls that wait for the owner's approval: one file each in `.claw/approvals/pending`. Moving the file to
//! `approved/` or `denied/` is the decision. The file of a published decision ends with `.taken`.

mod decisions;

use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::tool::approval::Approval;
use crate::store::fs::At;
use crate::store::fs::durable;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::Mailbox;
pub use decisions::{decided_call, publish_decisions};
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

/// The folder's name in a workspace.
pub const FOLDER: &str = ".claw/approvals";
const PENDING: &str = "pending";
const TAKEN: &str = "taken";

/// The owner's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The call is run.
    Approved,
    /// The call is not run.
    Denied,
}

impl Verdict {
    const BOTH: [Self; 2] = [Self::Approved, Self::Denied];

    /// The folder of decisions of this kind.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Denied => "denied",
        }
    }
}

/// The folder of a state: `pending`, `approved`, `denied`, `withdrawn` or `expired`.
#[must_use]
pub fn dir(workspace: &Workspace, state: &str) -> PathBuf {
    workspace.path(FOLDER).join(state)
}

/// Makes the folders that people move files to.
///
/// # Errors
/// On a disk error.
pub fn make_layout(workspace: &Workspace) -> Result<()> {
    [PENDING, "approved", "denied"].iter().try_for_each(|state| workspace.make_dir(&dir(workspace, state), 2))
}

/// Requests an approval: the file is durable on return. A repeated request changes nothing.
///
/// # Errors
/// On a disk error.
pub fn request(workspace: &Workspace, approval: &Approval) -> Result<()> {
    make_layout(workspace)?;
    let decided = Verdict::BOTH.map(Verdict::folder).into_iter().chain(["withdrawn", "expired"]);
    if decided
        .flat_map(|state| [path(workspace, state, &approval.id, "md"), path(workspace, state, &approval.id, TAKEN)])
        .any(|p| p.exists())
    {
        return Ok(());
    }
    let text = approval.to_markdown()?;
    let tmp = Mailbox::Inbox.tmp(workspace);
    let name = format!("{}.md", approval.id);
    durable::publish(&dir(workspace, PENDING), &name, &tmp, text.as_bytes(), workspace.sync()?)?;
    record(workspace, "ask", &approval.id, &approval.summary());
    Ok(())
}

/// The pending approvals, oldest first. Unreadable files are skipped.
///
/// # Errors
/// `Machine` on a disk error.
pub fn pending(workspace: &Workspace) -> Result<Vec<Approval>> {
    let mut all = Vec::new();
    for id in names(workspace, PENDING, "md")? {
        match read(workspace, PENDING, &id, "md") {
            Err(fault) if fault.kind == Kind::Machine => return Err(fault),
            read => all.extend(read),
        }
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(all)
}

/// Whether a call of this session is pending.
///
/// # Errors
/// `Machine` on a disk error.
pub fn has_pending(workspace: &Workspace, session: &str) -> Result<bool> {
    Ok(pending(workspace)?.iter().any(|approval| approval.session == session))
}

/// Finds the one approval that `text` names: its id, any unambiguous end of it, or the path of its file. A whole id
/// need not be pending: the caller may report its state.
///
/// # Errors
/// `Data` if none or several match.
pub fn find(workspace: &Workspace, text: &str) -> Result<Id> {
    let text = text.rsplit('/').next().unwrap_or(text).trim_end_matches(".md");
    if let Ok(id) = Id::parse(text) {
        return Ok(id);
    }
    match &with_suffix(names(workspace, PENDING, "md")?, text)[..] {
        [id] => Ok(id.clone()),
        [] => Err(Fault::data(format!("no pending approval ends with `{}`", text.escape_debug()))
            .hint("`claw approve` lists pending approvals")),
        _ => Err(Fault::data(format!("more than one id ends with `{text}`")).hint("`claw approve` lists them")),
    }
}

/// The call that the owner has decided this way before, if `text` names one: repeating a decision changes nothing.
#[must_use]
pub fn previous_decision(workspace: &Workspace, text: &str, verdict: Verdict) -> Option<Approval> {
    [TAKEN, "md"].into_iter().find_map(|suffix| {
        match &with_suffix(names(workspace, verdict.folder(), suffix).ok()?, text)[..] {
            [id] => read(workspace, verdict.folder(), id, suffix).ok(),
            _ => None,
        }
    })
}

fn with_suffix(ids: Vec<Id>, text: &str) -> Vec<Id> {
    ids.into_iter().filter(|id| !text.is_empty() && id.as_str().ends_with(text)).collect()
}

/// Makes the owner's decision.
///
/// # Errors
/// `Data` if no approval with that id is pending.
pub fn decide(workspace: &Workspace, id: &Id, verdict: Verdict) -> Result<()> {
    make_layout(workspace)?;
    let (from, to) = (path(workspace, PENDING, id, "md"), path(workspace, verdict.folder(), id, "md"));
    if !from.exists() {
        let known = ["approved", "denied", "withdrawn", "expired"]
            .into_iter()
            .find(|state| path(workspace, state, id, "md").exists() || path(workspace, state, id, TAKEN).exists());
        return Err(match known {
            Some(state) => Fault::data(format!("{} is already {state}", id.short())),
            None => Fault::data(format!("no approval with the id {id} is pending"))
                .hint("`claw approve` lists pending approvals"),
        });
    }
    durable::move_or_remove(&from, &to)
}

/// Withdraws the pending approvals of a session: a later message has arrived in it.
///
/// # Errors
/// On a disk error.
pub fn withdraw(workspace: &Workspace, session: &str) -> Result<()> {
    retire(workspace, "withdrawn", |approval| approval.session == session)
}

/// Ends the pending approvals whose time is over.
///
/// # Errors
/// On a disk error.
pub fn expire(workspace: &Workspace) -> Result<()> {
    let now = workspace.world.now();
    retire(workspace, "expired", |approval| Stamp::from(approval.expires_at) < now)
}

fn retire(workspace: &Workspace, state: &str, is_over: impl Fn(&Approval) -> bool) -> Result<()> {
    for approval in pending(workspace)?.into_iter().filter(is_over) {
        workspace.make_dir(&dir(workspace, state), 2)?;
        let (from, to) = (path(workspace, PENDING, &approval.id, "md"), path(workspace, state, &approval.id, "md"));
        // If the owner decides at the same moment, only one of the two renames finds the file.
        match durable::move_or_remove(&from, &to) {
            Err(_) if !from.exists() => {}
            other => {
                other?;
                record(workspace, state, &approval.id, &approval.summary());
            }
        }
    }
    Ok(())
}

fn path(workspace: &Workspace, state: &str, id: &Id, suffix: &str) -> PathBuf {
    dir(workspace, state).join(format!("{id}.{suffix}"))
}

fn names(workspace: &Workspace, state: &str, suffix: &str) -> Result<Vec<Id>> {
    let names = workspace.names(&format!("{FOLDER}/{state}"))?;
    let ids = names.iter().filter_map(|name| Id::parse(name.strip_suffix(suffix)?.strip_suffix('.')?).ok());
    let mut ids: Vec<Id> = ids.collect();
    ids.sort();
    Ok(ids)
}

fn read(workspace: &Workspace, state: &str, id: &Id, suffix: &str) -> Result<Approval> {
    let path = path(workspace, state, id, suffix);
    let text = match fs::read_to_string(&path) {
        Err(e) if e.kind() == ErrorKind::InvalidData => {
            return Err(Fault::data(format!("{} is not UTF-8", path.display())));
        }
        other => other.at("read", &path)?,
    };
    let approval =
        Approval::parse(&text).map_err(|fault| Fault::data(format!("{}: {}", path.display(), fault.message)))?;
    if approval.id == *id {
        Ok(approval)
    } else {
        Err(Fault::data(format!("{} is about {}", path.display(), approval.id)))
    }
}

/// Writes a journal line about an approval.
fn record(workspace: &Workspace, what: &str, id: &Id, why: &str) {
    journal::write(workspace, JournalLine { why: why.to_owned(), ..JournalLine::about(Mailbox::Inbox, what, id) });
}
