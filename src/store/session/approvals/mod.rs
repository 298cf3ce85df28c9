//! Tool calls that wait for the owner's approval: one file each in `.claw/approvals/pending`. Moving the file to
//! `approved/` or `denied/` is the decision. The file of a published decision ends with `.taken`.

pub mod always;
mod decisions;
mod named_files;

use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::tool::approval::{self, Approval, ApprovedFile};
use crate::store::fs::At;
use crate::store::fs::durable;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::Mailbox;
pub use decisions::{decided_call, difference, publish_decisions};
pub use named_files::named_files;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

/// The folder's name in a workspace.
pub const FOLDER: &str = ".claw/approvals";
const PENDING: &str = "pending";
/// The states of an approval that is not pending any more.
const DECIDED: [&str; 4] = ["approved", "denied", "withdrawn", "expired"];
const TAKEN: &str = "taken";
/// The suffix of the file with the id of the slash command that made a decision.
const BY: &str = "by";

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
    if DECIDED
        .into_iter()
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

/// Finds the one approval that `text` names, in any state: by its whole id, its whole short id, or the path of its file.
/// A part of an id is not enough: it may name a call that the owner does not know of.
///
/// # Errors
/// `Data` if none or several match.
pub fn find(workspace: &Workspace, text: &str) -> Result<Id> {
    let text = text.rsplit('/').next().unwrap_or(text).trim_end_matches(".md");
    if let Ok(id) = Id::parse(text) {
        return Ok(id);
    }
    let named = |states: &[&str]| -> Result<Vec<Id>> {
        let mut ids = BTreeSet::new();
        for (state, suffix) in states.iter().flat_map(|state| [(state, "md"), (state, TAKEN)]) {
            ids.extend(names(workspace, state, suffix)?.into_iter().filter(|id| id.short() == text));
        }
        Ok(ids.into_iter().collect())
    };
    let mut ids = named(&[PENDING])?;
    if ids.is_empty() {
        ids = named(&DECIDED)?;
    }
    match &ids[..] {
        [id] => Ok(id.clone()),
        [] => Err(Fault::data(format!("no pending approval has the id `{}`", text.escape_debug()))
            .hint("`claw approve` lists the ids of pending approvals; the whole id is needed")),
        _ => {
            Err(Fault::data(format!("several approvals are called {text}: {}", joined(&ids))).hint("name one of them"))
        }
    }
}

fn joined(ids: &[Id]) -> String {
    ids.iter().map(Id::as_str).collect::<Vec<_>>().join(", ")
}

/// The call that the owner has decided this way.
#[must_use]
pub fn decided(workspace: &Workspace, id: &Id, verdict: Verdict) -> Option<Approval> {
    let state = verdict.folder();
    let suffix = [TAKEN, "md"].into_iter().find(|suffix| path(workspace, state, id, suffix).exists())?;
    read(workspace, state, id, suffix).ok()
}

/// Makes the owner's decision by a slash command. The command's id is recorded before, so that the command may run again
/// after a kill: a decision that it has made itself is not an error.
///
/// # Errors
/// As [`decide`].
pub fn decide_by(workspace: &Workspace, id: &Id, verdict: Verdict, command: &Id) -> Result<()> {
    make_layout(workspace)?;
    let by = path(workspace, verdict.folder(), id, BY);
    if path(workspace, PENDING, id, "md").exists() {
        let (dir, name) = (dir(workspace, verdict.folder()), format!("{id}.{BY}"));
        let text = format!("{command}\n");
        durable::publish(&dir, &name, &Mailbox::Inbox.tmp(workspace), text.as_bytes(), workspace.sync()?)?;
    } else if decided(workspace, id, verdict).is_some()
        && fs::read_to_string(&by).is_ok_and(|text| text.trim_end() == command.as_str())
    {
        return Ok(());
    }
    decide(workspace, id, verdict)
}

/// Makes the owner's decision.
///
/// # Errors
/// `Data` if no approval with that id is pending.
pub fn decide(workspace: &Workspace, id: &Id, verdict: Verdict) -> Result<()> {
    make_layout(workspace)?;
    let (from, to) = (path(workspace, PENDING, id, "md"), path(workspace, verdict.folder(), id, "md"));
    if !from.exists() {
        let known = DECIDED
            .into_iter()
            .find(|state| path(workspace, state, id, "md").exists() || path(workspace, state, id, TAKEN).exists());
        return Err(match known {
            Some(state) => Fault::data(format!("{} is already {state}", id.short())),
            None => Fault::data(format!("no approval with the id {id} is pending"))
                .hint("`claw approve` lists pending approvals"),
        });
    }
    if verdict == Verdict::Approved
        && let Ok(approval) = read(workspace, PENDING, id, "md")
        && let Some(change) = approval::difference(&approval.files, &current_files(workspace, &approval)?)
    {
        return Err(Fault::data(format!("{} is void: {change} after the request", id.short()))
            .hint(format!("look at it, then `claw deny {}` and let the agent ask again", id.short())));
    }
    durable::move_or_remove(&from, &to)
}

fn current_files(workspace: &Workspace, approval: &Approval) -> Result<Vec<ApprovedFile>> {
    named_files(workspace, &approval.tool, &approval.arguments)
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
