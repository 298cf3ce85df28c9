//! Forgetting a session: its records go, the ids of its answered events stay.

use super::{approvals, last, log};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::session::record::Record;
use crate::store::agent::scratch;
use crate::store::fs::At;
use crate::store::fs::durable;
use crate::store::lock::Lane;
use crate::store::queue::listing;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal;
use crate::store::workspace::mailbox::{Mailbox, State};
use rustix::fs::Mode;
use std::fs::{self, File};

/// Forgets the conversation of a session. The ids of answered events are kept, so that a second copy of one is not
/// answered again.
///
/// # Errors
/// `Later` if the session is in use, or one of its events is not done.
pub fn forget(workspace: &Workspace, name: &str) -> Result<()> {
    let Some(lane) = Lane::attempt(workspace, Mailbox::Inbox, name)? else {
        let fault = Fault::new(Kind::Later, format!("session {name} is in use"));
        return Err(fault.hint("`claw status` shows the process; /stop cancels its turn"));
    };
    let mut live = Vec::new();
    for state in [State::Run, State::Wait, State::Ready, State::Failed] {
        let entries = listing::list(workspace, Mailbox::Inbox, state)?.into_iter();
        let own = entries.filter(|entry| entry.lane == name);
        live.extend(own.map(|entry| format!("{} ({})", entry.id.short(), state.name())));
    }
    if !live.is_empty() {
        let fault = Fault::new(Kind::Later, format!("session {name} has unfinished events: {}", live.join(", ")));
        return Err(
            fault.hint("finish them with `claw run-agent` or `claw retry ID`, or drop one with `claw discard ID`")
        );
    }
    approvals::withdraw(workspace, name)?;
    scratch::clear(workspace, name);
    forget_records(workspace, name)?;
    last::forget(workspace, name)?;
    let forgotten = journal::JournalLine {
        kind: "forget".into(),
        mailbox: Mailbox::Inbox.name().into(),
        ..journal::JournalLine::default()
    };
    journal::write(workspace, journal::JournalLine { lane: name.to_owned(), ..forgotten });
    lane.release();
    Ok(())
}

/// Replaces the log by one `done` line with the ids of the answered events. The caller holds the lane, and no event of
/// the session is left to be worked on.
///
/// # Errors
/// If the log cannot be read or written. Until the last sync, the old log is there.
fn forget_records(workspace: &Workspace, session: &str) -> Result<()> {
    let (path, sync) = (log::path(workspace, session), workspace.sync()?);
    let dir = path.parent().unwrap_or(&path);
    let mut answered = Vec::new();
    log::each(workspace, session, |record| {
        if let Record::Done { ids, .. } = record {
            answered.extend(ids);
        }
    })?;
    if answered.is_empty() {
        fs::remove_dir_all(dir).at("remove", dir)?;
        return durable::sync_dir(dir.parent().unwrap_or(dir), sync);
    }
    let record = Record::Done { at: workspace.world.now().timestamp(), ids: answered, out: Vec::new(), said: None };
    let text = serde_json::to_string(&record).map_err(|e| Fault::data(e.to_string()))? + "\n";
    let folder = File::open(dir).at("open", dir)?;
    durable::replace_at(&folder, log::LOG.as_ref(), "log.tmp", text.as_bytes(), Some(Mode::RUSR | Mode::WUSR), sync)
        .at("write", &path)
}
