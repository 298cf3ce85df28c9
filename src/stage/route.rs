//! `route`: from `inbox/new` to `inbox/ready`, in the lane of the session that will answer. It runs
//! nothing. One process routes at a time, everything there is, in id order.

use crate::core::entry::Entry;
use crate::core::event::Event;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::id::Id;
use crate::core::routing::{self, Decision};
use crate::core::session;
use crate::core::stamp::Stamp;
use crate::stage::{notify, reason};
use crate::store::durable::{self, Moved};
use crate::store::journal::{self, Line};
use crate::store::lock::Only;
use crate::store::spool::{self, Side, State};
use crate::store::workspace::Workspace;
use crate::store::{definitions, drops, learned};

/// What one call has done.
#[derive(Debug, Default)]
pub struct Routed {
    /// The events that moved on, in order.
    pub moved: Vec<Id>,
    /// The events that nobody can answer, and why.
    pub failed: Vec<(Id, Fault)>,
    /// When there will be something to do without any new file.
    pub due: Option<Stamp>,
}

/// Takes in drops and routes everything that is due.
///
/// # Errors
/// `Config` where `claw.yaml` is bad; the machine's trouble. What had moved by then has moved.
pub fn all(workspace: &Workspace) -> Result<Routed> {
    let mut routed = Routed { due: drops::take_in(workspace, Side::Inbox)?, ..Routed::default() };
    if spool::list(workspace, Side::Inbox, State::New)?.is_empty() {
        return Ok(routed);
    }
    let _only = Only::wait(workspace, "route")?;
    let mut known = learned::load(workspace)?;
    let now = workspace.world.now();
    for entry in spool::list(workspace, Side::Inbox, State::New)? {
        if let Some(due) = entry.due.filter(|due| *due > now) {
            routed.due = Some(routed.due.map_or(due, |other| other.min(due)));
            continue;
        }
        let path = Side::Inbox.dir(workspace, State::New).join(entry.to_string());
        let event = match spool::read_capped(&path).and_then(|bytes| Event::from_json(&bytes)) {
            Ok(event) if event.id == entry.id => Ok(event),
            Ok(event) => {
                Err((None, Fault::data(format!("the file is named {} but holds event {}", entry.id, event.id))))
            }
            Err(fault) if fault.kind == Kind::Data => Err((None, fault)),
            // Gone again, or the machine's trouble.
            Err(fault) if !path.exists() => {
                drop(fault);
                continue;
            }
            Err(fault) => return Err(fault),
        };
        let decided = event.and_then(|event| match decide(workspace, &event, &known) {
            Ok(decision) => Ok((event, decision)),
            Err(fault) => Err((Some(event), fault)),
        });
        match decided {
            Ok((event, decision)) => {
                if let Some(line) = decision.learn.clone() {
                    learned::append(workspace, &line)?;
                    known.push(line);
                }
                let target = Entry::fresh(event.id.clone(), decision.lane.clone());
                let target = Side::Inbox.dir(workspace, State::Ready).join(target.to_string());
                if durable::rename(&path, &target)? == Moved::Taken {
                    durable::remove(&path)?;
                }
                let why = if decision.agent.is_empty() {
                    decision.why.to_owned()
                } else {
                    format!("{} ({})", decision.agent, decision.why)
                };
                let line = Line {
                    from: "new".into(),
                    to: "ready".into(),
                    lane: decision.lane,
                    why,
                    ..Line::about(Side::Inbox, "route", &event.id)
                };
                journal::write(workspace, line);
                routed.moved.push(event.id);
            }
            Err((_, fault)) if fault.kind != Kind::Data => return Err(fault),
            Err((event, fault)) => {
                notify(workspace, Side::Inbox, &entry.id, 0, &fault, event.as_ref())?;
                let about = event.map(|e| format!("none, from {} to {}", e.from, e.reply_to)).unwrap_or_default();
                spool::write_reason(workspace, Side::Inbox, &entry.id, &reason(&fault, about, now))?;
                let target =
                    Side::Inbox.dir(workspace, State::Failed).join(Entry { due: None, ..entry.clone() }.to_string());
                durable::settle(&path, &target)?;
                let line = Line {
                    from: "new".into(),
                    to: "failed".into(),
                    why: fault.to_string(),
                    ..Line::about(Side::Inbox, "fail", &entry.id)
                };
                journal::write(workspace, line);
                routed.failed.push((entry.id, fault));
            }
        }
    }
    Ok(routed)
}

fn decide(workspace: &Workspace, event: &Event, known: &routing::Learned) -> Result<Decision> {
    let decision = routing::decide(event, known, &workspace.config()?.default_agent)?;
    if decision.lane != session::MEMORIES && !definitions::has_agent(workspace, &decision.agent) {
        return Err(definitions::unknown(workspace, &decision.agent));
    }
    Ok(decision)
}
