//! The sessions there are: what each comes to, which one is meant, and letting go of one.

pub mod approvals;
pub mod history;
pub mod index;
pub mod log;
pub mod stop;

use crate::core::event::session_name;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::session::summary::SessionSummary;
use crate::store::agent::scratch;
use crate::store::fs::At;
use crate::store::lock::Lane;
use crate::store::queue::spool;
use crate::store::session::index::IndexLine;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal;
use crate::store::workspace::mailbox::{Mailbox, State};
use rustix::fs::{AtFlags, Stat, statat};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::panic::resume_unwind;
use std::path::Path;

const FOLDER: &str = "sessions";
/// How many lines more than twice the sessions the file of what they come to may have.
const SLACK: usize = 1000;

/// What every session comes to in which something was said, in no order; of a turn that runs, what is written by
/// now. A log is read only where it has more than is known of it.
///
/// # Errors
/// Where the folder or a log cannot be read.
pub fn heads(workspace: &Workspace) -> Result<Vec<(String, SessionSummary)>> {
    // With many of them both take their time.
    let (logs, (mut known, lines)) = std::thread::scope(|scope| {
        let known = scope.spawn(|| index::load(workspace));
        (logs(workspace), known.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    let logs = logs?;
    let (mut found, mut fresh) = (Vec::with_capacity(logs.len()), Vec::new());
    for (session, stat) in logs {
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let written = stat.st_mtime * 1_000_000_000 + i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
        // Another log, one that has lost something and one that was changed are known of no line.
        let is_of = |line: &IndexLine| {
            line.inode == stat.st_ino && (line.to < size || (line.to, line.written) == (size, written))
        };
        let line = known.remove(&session).filter(is_of);
        let mut line = line.unwrap_or_else(|| IndexLine::nothing(&session, stat.st_ino));
        let before = line.to;
        if before < size {
            line.to = log::since(workspace, &session, before, |record| line.head.take(&record))?;
        }
        if line.to > before {
            line.written = written;
            fresh.push(found.len());
        }
        found.push(line);
    }
    if lines + fresh.len() > 2 * found.len() + SLACK {
        index::rewrite(workspace, &found);
    } else {
        index::note(&index::path(workspace), fresh.iter().filter_map(|at| found.get(*at)));
    }
    Ok(found.into_iter().filter(|line| line.head.messages > 0).map(|line| (line.s, line.head)).collect())
}

/// Sees to it that the file of what sessions come to stays short where nobody lists them: a line is less than
/// 1000 bytes long.
///
/// # Errors
/// As [`heads`].
pub(crate) fn tidy(workspace: &Workspace) -> Result<()> {
    let size = fs::metadata(index::path(workspace)).map_or(0, |meta| meta.len());
    let is_long = |sessions: usize| size > 1000 * (3 * sessions + 2 * SLACK) as u64;
    if is_long(0) && is_long(names(workspace)?.len()) { heads(workspace).map(drop) } else { Ok(()) }
}

/// Every session that has a log, and how that stands.
fn logs(workspace: &Workspace) -> Result<Vec<(String, Stat)>> {
    let names = names(workspace)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let folder = workspace.path(FOLDER);
    let dir = File::open(&folder).at("open", &folder)?;
    let mut logs = Vec::with_capacity(names.len());
    for session in names {
        match statat(&dir, format!("{session}/log.jsonl"), AtFlags::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            other => {
                let stat = other.at("look at", &folder.join(&session))?;
                logs.push((session, stat));
            }
        }
    }
    Ok(logs)
}

fn names(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.path(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.at("list", &folder)?,
    };
    let names: std::io::Result<Vec<_>> = entries.map(|entry| entry.map(|entry| entry.file_name())).collect();
    Ok(names.at("list", &folder)?.into_iter().filter_map(|name| name.into_string().ok()).collect())
}

/// The session that `text` means: its name, with or without the agent's; any unambiguous end of it; or the path
/// of its folder or log.
///
/// # Errors
/// `Data` where nothing or more than one thing is meant.
pub fn find(workspace: &Workspace, text: &str) -> Result<String> {
    let path = Path::new(text.trim());
    let path = if path.ends_with("log.jsonl") { path.parent().unwrap_or(path) } else { path };
    let text = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let names = names(workspace)?;
    let default = workspace.config()?.default_agent.clone();
    let full = session_name::qualify(text, None, &default).ok();
    if let Some(name) = names.iter().find(|name| **name == text || full.as_ref() == Some(name)) {
        return Ok(name.clone());
    }
    let mut meant = names.iter().filter(|name| !text.is_empty() && name.ends_with(text));
    match (meant.next(), meant.next()) {
        (Some(one), None) => Ok(one.clone()),
        (Some(a), Some(b)) => Err(Fault::data(format!("`{text}` could be {a} or {b}")).hint("type more of it")),
        (None, _) => Err(Fault::data(format!("there is no session `{}`", text.escape_debug()))
            .hint("`claw sessions` lists them; any end of a name will do")),
    }
}

/// Lets go of what was said in a session. Which events are answered is kept, so that a second copy of one of them
/// is not answered again.
///
/// # Errors
/// `Later` where somebody works in it, or an event of it is not done.
pub fn remove(workspace: &Workspace, name: &str) -> Result<()> {
    let Some(lane) = Lane::attempt(workspace, Mailbox::Inbox, name)? else {
        let fault = Fault::new(Kind::Later, format!("somebody works in session {name}"));
        return Err(fault.hint("`claw status` says who; /stop ends the turn that runs"));
    };
    let mut live = Vec::new();
    for state in [State::Run, State::Wait, State::Ready, State::Failed] {
        let entries = spool::list(workspace, Mailbox::Inbox, state)?.into_iter();
        let own = entries.filter(|entry| entry.lane == name);
        live.extend(own.map(|entry| format!("{} ({})", entry.id.short(), state.name())));
    }
    if !live.is_empty() {
        let fault =
            Fault::new(Kind::Later, format!("session {name} has events that are not done: {}", live.join(", ")));
        return Err(fault.hint("`claw run-agent` or `claw retry ID` first, or give one up: `claw discard ID`"));
    }
    approvals::withdraw(workspace, name)?;
    scratch::clear(workspace, name);
    log::forget(workspace, name, workspace.world.now().timestamp())?;
    log::forget_last(workspace, name)?;
    let told = journal::JournalLine {
        what: "forget".into(),
        mailbox: Mailbox::Inbox.name().into(),
        ..journal::JournalLine::default()
    };
    journal::write(workspace, journal::JournalLine { lane: name.to_owned(), ..told });
    lane.release();
    Ok(())
}
