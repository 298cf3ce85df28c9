//! Calls that wait for the owner's word: one file each in `.claw/approvals/pending`. Whoever moves it to
//! `approved/` or `denied/` has decided; what was taken up from there ends with `.taken`.

use crate::core::event::Event;
use crate::core::event::id::{Derived, Id};
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::Call;
use crate::core::session::record::Record;
use crate::core::tool::approval::{self, Approval};
use crate::core::turn;
use crate::store::fs::At;
use crate::store::fs::durable;
use crate::store::queue::publish;
use crate::store::session::log;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::Mailbox;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

/// The folder's name in a workspace.
pub const FOLDER: &str = ".claw/approvals";
const PENDING: &str = "pending";
const TAKEN: &str = "taken";

/// What the owner has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is run.
    Approved,
    /// It is not.
    Denied,
}

impl Verdict {
    const BOTH: [Self; 2] = [Self::Approved, Self::Denied];

    /// The folder of what was decided so.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Denied => "denied",
        }
    }
}

/// Where approvals lie: `pending`, `approved`, `denied`, `withdrawn` or `expired`.
#[must_use]
pub fn dir(workspace: &Workspace, state: &str) -> PathBuf {
    workspace.path(FOLDER).join(state)
}

/// Makes the folders that people move files to.
///
/// # Errors
/// Where the disk cannot.
pub fn lay_out(workspace: &Workspace) -> Result<()> {
    [PENDING, "approved", "denied"].iter().try_for_each(|state| workspace.make_place(&dir(workspace, state), 2))
}

/// Asks: the file is durable on return. Asked again, it is the same file.
///
/// # Errors
/// Where the disk cannot.
pub fn ask(workspace: &Workspace, approval: &Approval) -> Result<()> {
    lay_out(workspace)?;
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
    write(workspace, "ask", &approval.id, &approval.summary());
    Ok(())
}

/// What waits for the owner's word, oldest first; what is bad is passed over.
///
/// # Errors
/// The machine's trouble.
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

/// Whether a call of this session waits for the owner's word.
///
/// # Errors
/// The machine's trouble.
pub fn is_asked(workspace: &Workspace, session: &str) -> Result<bool> {
    Ok(pending(workspace)?.iter().any(|approval| approval.session == session))
}

/// The one approval that `text` means: its id, any unambiguous end of it, or the path of its file. An id that
/// is whole need not wait any more, to be told what became of it.
///
/// # Errors
/// `Data` where nothing, or more than one thing, is meant.
pub fn find(workspace: &Workspace, text: &str) -> Result<Id> {
    let text = text.rsplit('/').next().unwrap_or(text).trim_end_matches(".md");
    if let Ok(id) = Id::parse(text) {
        return Ok(id);
    }
    match &ending(names(workspace, PENDING, "md")?, text)[..] {
        [id] => Ok(id.clone()),
        [] => Err(Fault::data(format!("nothing that ends with `{}` waits for your word", text.escape_debug()))
            .hint("claw approve lists what does")),
        _ => Err(Fault::data(format!("`{text}` ends more than one id")).hint("claw approve lists them")),
    }
}

/// The call that the owner has decided so before, if `text` means one: to say it again changes nothing.
#[must_use]
pub fn already(workspace: &Workspace, text: &str, verdict: Verdict) -> Option<Approval> {
    [TAKEN, "md"].into_iter().find_map(|suffix| {
        match &ending(names(workspace, verdict.folder(), suffix).ok()?, text)[..] {
            [id] => read(workspace, verdict.folder(), id, suffix).ok(),
            _ => None,
        }
    })
}

fn ending(ids: Vec<Id>, text: &str) -> Vec<Id> {
    ids.into_iter().filter(|id| !text.is_empty() && id.as_str().ends_with(text)).collect()
}

/// The owner has decided.
///
/// # Errors
/// `Data` where nothing of that id waits.
pub fn decide(workspace: &Workspace, id: &Id, verdict: Verdict) -> Result<()> {
    lay_out(workspace)?;
    let (from, to) = (path(workspace, PENDING, id, "md"), path(workspace, verdict.folder(), id, "md"));
    if !from.exists() {
        let known = ["approved", "denied", "withdrawn", "expired"]
            .into_iter()
            .find(|state| path(workspace, state, id, "md").exists() || path(workspace, state, id, TAKEN).exists());
        return Err(match known {
            Some(state) => Fault::data(format!("{} is {state} already", id.short())),
            None => {
                Fault::data(format!("nothing of the id {id} waits for your word")).hint("claw approve lists what does")
            }
        });
    }
    durable::settle(&from, &to)
}

/// Makes an event of every decision that was not taken up yet. Returns what is wrong with the others; they
/// stay where they are.
///
/// # Errors
/// The machine's trouble.
pub fn take_up(workspace: &Workspace) -> Result<Vec<(Id, Fault)>> {
    let mut refused = Vec::new();
    for verdict in Verdict::BOTH {
        for id in names(workspace, verdict.folder(), "md")? {
            match event(workspace, &id, verdict) {
                Ok(event) => {
                    publish::inbox(workspace, &event)?;
                    let taken = path(workspace, verdict.folder(), &id, TAKEN);
                    durable::settle(&path(workspace, verdict.folder(), &id, "md"), &taken)?;
                    write(workspace, verdict.folder(), &id, &format!("answered at {}", event.reply_to));
                }
                Err(fault) if fault.kind == Kind::Machine => return Err(fault),
                Err(fault) => refused.push((id, fault)),
            }
        }
    }
    Ok(refused)
}

/// The event that a decision is.
fn event(workspace: &Workspace, id: &Id, verdict: Verdict) -> Result<Event> {
    let approval = read(workspace, verdict.folder(), id, "md")?;
    let (asked, _) = logged(workspace, &approval)?;
    let from = workspace.me()?;
    let text = match verdict {
        Verdict::Approved => format!("I approve this call, and it is run now: {}", approval.summary()),
        Verdict::Denied => format!("I do not allow this call, so it is not run: {}", approval.summary()),
    };
    let mut event = asked.child(Derived::Approval, approval.number, &from, text, workspace.world.now());
    // Another agent, or a schedule, has no use for what comes of it.
    event.reply_to = workspace.person(&asked)?;
    event.session = Some(approval.session);
    event.expires_at = (verdict == Verdict::Approved).then_some(approval.expires_at);
    Ok(event)
}

/// The call that the owner has approved: the one in the session's log, if his file says exactly the same.
/// Nothing where he has denied it.
///
/// # Errors
/// `Data` where he has decided nothing like it.
pub fn decided(workspace: &Workspace, id: &Id) -> Result<Option<Call>> {
    for verdict in Verdict::BOTH {
        for suffix in [TAKEN, "md"] {
            if path(workspace, verdict.folder(), id, suffix).exists() {
                let approval = read(workspace, verdict.folder(), id, suffix)?;
                let (_, call) = logged(workspace, &approval)?;
                return Ok((verdict == Verdict::Approved).then_some(call));
            }
        }
    }
    Err(Fault::data(format!("there is no decision {id} in {FOLDER}")))
}

/// The event and the call that an approval is about, by the session's log.
fn logged(workspace: &Workspace, approval: &Approval) -> Result<(Event, Call)> {
    let unknown = || Fault::data(format!("{}: the session's log knows of no such call", approval.id));
    let (parent, number) = (&approval.event, approval.number);
    let records = log::read(workspace, &approval.session, parent)?;
    let asked = records.iter().find_map(|record| match record {
        Record::In { event, .. } if event.id == *parent => Some((**event).clone()),
        _ => None,
    });
    let state = turn::replay(records, parent);
    let mut calls = state.steps.into_iter().flat_map(|step| step.reply.calls);
    let call = calls.nth(usize::try_from(number).unwrap_or(usize::MAX).wrapping_sub(1)).ok_or_else(unknown)?;
    if parent.derive(Derived::Approval, number) != approval.id || approval::hash(&approval.id, &call) != approval.hash {
        return Err(Fault::data(format!("{}: the call in the file is not the one that was made", approval.id)));
    }
    Ok((asked.ok_or_else(unknown)?, call))
}

/// A later message has come: what a session has asked for is asked for no more.
///
/// # Errors
/// Where the disk cannot.
pub fn withdraw(workspace: &Workspace, session: &str) -> Result<()> {
    retire(workspace, "withdrawn", |approval| approval.session == session)
}

/// What nobody has answered in time is asked for no more.
///
/// # Errors
/// Where the disk cannot.
pub fn expire(workspace: &Workspace) -> Result<()> {
    let now = workspace.world.now();
    retire(workspace, "expired", |approval| Stamp::from(approval.expires_at) < now)
}

fn retire(workspace: &Workspace, state: &str, is_over: impl Fn(&Approval) -> bool) -> Result<()> {
    for approval in pending(workspace)?.into_iter().filter(is_over) {
        workspace.make_place(&dir(workspace, state), 2)?;
        let (from, to) = (path(workspace, PENDING, &approval.id, "md"), path(workspace, state, &approval.id, "md"));
        // The owner may decide at this moment: one of the two renames finds the file.
        match durable::settle(&from, &to) {
            Err(_) if !from.exists() => {}
            other => {
                other?;
                write(workspace, state, &approval.id, &approval.summary());
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
        Err(Fault::data(format!("{} holds {}", path.display(), approval.id)))
    }
}

fn write(workspace: &Workspace, what: &str, id: &Id, why: &str) {
    journal::write(workspace, JournalLine { why: why.to_owned(), ..JournalLine::about(Mailbox::Inbox, what, id) });
}
