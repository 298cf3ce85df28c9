//! `route`: moves events from `inbox/new` to `inbox/ready`, into the lane of the session that answers them. It runs
//! nothing. One process routes at a time, all events, in the order of their ids.

use crate::core::event::Event;
use crate::core::event::entry::Entry;
use crate::core::event::id::Id;
use crate::core::event::session_name;
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::routing::binding::{self, Binding, Scope};
use crate::core::routing::learned::{Learned, LearnedBinding};
use crate::core::routing::{self, Decision};
use crate::core::slash::{self, SlashCommand};
use crate::stage::outcome::{notify, publish_decisions, reason, take_in};
use crate::store::agent::definitions;
use crate::store::fs::durable;
use crate::store::lock::NamedLock;
use crate::store::queue::{listing, spool};
use crate::store::routes;
use crate::store::routes::Routes;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::{Mailbox, State};
use std::path::Path;

/// The result of one call.
#[derive(Debug, Default)]
pub struct Routed {
    /// The events that were routed, in order.
    pub moved: Vec<Id>,
    /// The events that no agent can answer, with the reason.
    pub failed: Vec<(Id, Fault)>,
    /// When the next delayed event or drop is due.
    pub due: Option<Stamp>,
}

/// Takes in drops and routes everything that is due.
///
/// # Errors
/// `Config` if `claw.yaml` is invalid; `Machine`. Events that were moved before stay moved.
pub fn all(workspace: &Workspace) -> Result<Routed> {
    let taken = take_in(workspace, Mailbox::Inbox)?;
    let mut routed = Router::new(workspace).route()?;
    routed.due = routed.due.into_iter().chain(taken.again).min();
    routed.failed.splice(0..0, taken.failed);
    Ok(routed)
}

/// Routes everything that is due, and takes in no drops: for a process that waits for one event.
///
/// # Errors
/// As [`all`].
pub fn published(workspace: &Workspace) -> Result<Routed> {
    publish_decisions(workspace, Mailbox::Inbox)?;
    Router::new(workspace).route()
}

/// Routes repeatedly, with a cache of the learned routes.
pub struct Router<'w> {
    workspace: &'w Workspace,
    routes: Routes,
}

impl<'w> Router<'w> {
    /// A router that has read nothing yet.
    #[must_use]
    pub fn new(workspace: &'w Workspace) -> Self {
        Self { workspace, routes: Routes::default() }
    }

    /// Routes everything that is due.
    ///
    /// # Errors
    /// As [`all`].
    pub fn route(&mut self) -> Result<Routed> {
        let workspace = self.workspace;
        let mut routed = Routed::default();
        if listing::list(workspace, Mailbox::Inbox, State::New)?.is_empty() {
            return Ok(routed);
        }
        let _only = NamedLock::wait(workspace, "route")?;
        self.routes.refresh(workspace)?;
        let now = workspace.world.now();
        // A listing may show a late file and miss an earlier one. The second listing is complete up to the end of the
        // first.
        let first = listing::list(workspace, Mailbox::Inbox, State::New)?;
        let listed = listing::list(workspace, Mailbox::Inbox, State::New)?.into_iter();
        for entry in listed.filter(|entry| first.last().is_some_and(|last| entry.id <= last.id)) {
            if let Some(due) = entry.due.filter(|due| *due > now) {
                routed.due = Some(routed.due.map_or(due, |other| other.min(due)));
                continue;
            }
            let path = Mailbox::Inbox.dir(workspace, State::New).join(entry.to_string());
            let event = match spool::read_event(&path, &entry.id) {
                // A user removed the file.
                Err(_) if path.symlink_metadata().is_err() => continue,
                // An unreadable event fails, so that it does not stop the others.
                Err(fault) if fault.kind == Kind::Failed => Err(Fault { kind: Kind::Data, ..fault }),
                other => other,
            };
            let moved = match &event {
                Ok(event) => self.advance(&path, &entry, event),
                Err(fault) => Err(fault.clone()),
            };
            match moved {
                Ok(()) => routed.moved.push(entry.id),
                Err(fault) if fault.kind == Kind::Data => {
                    fail(workspace, &path, &entry, &fault, event.ok().as_ref())?;
                    routed.failed.push((entry.id, fault));
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(routed)
    }

    /// Learns the binding of a `/route` command before anything is decided by it. An invalid binding is not learned;
    /// the command's answer reports it.
    fn learn_binding(&mut self, event: &Event) -> Result<()> {
        let workspace = self.workspace;
        if !slash::is_command(event) {
            return Ok(());
        }
        let Ok(command @ SlashCommand::Route(..)) = slash::parse_event(event) else { return Ok(()) };
        let is_allowed = slash::allowed(&command, &event.from, &workspace.owners_of(event)?);
        let SlashCommand::Route(pattern, agent) = command else { return Ok(()) };
        let is_valid = binding::check_pattern(&pattern).is_ok() && definitions::has_agent(workspace, &agent);
        if is_allowed && is_valid {
            let binding = Binding { pattern, agent, from: None, session: Scope::Place };
            self.routes.learn_binding(workspace, LearnedBinding { since: event.id.clone(), binding })?;
        }
        Ok(())
    }

    /// Moves an event to `ready`. The routes that it relies on are synced before.
    fn advance(&mut self, path: &Path, entry: &Entry, event: &Event) -> Result<()> {
        let workspace = self.workspace;
        self.learn_binding(event)?;
        let to = decide(workspace, event, &self.routes.learned)?;
        if to.is_learned {
            self.routes.commit(workspace)?;
        }
        for line in to.learn {
            self.routes.append(workspace, line)?;
        }
        let target = Entry { due: None, lane: to.lane.clone(), ..entry.clone() };
        durable::move_or_remove(path, &Mailbox::Inbox.dir(workspace, State::Ready).join(target.to_string()))?;
        let why = if to.agent.is_empty() { to.why } else { format!("{} ({})", to.agent, to.why) };
        let line = JournalLine::about(Mailbox::Inbox, "route", &event.id);
        journal::write(workspace, JournalLine { from: "new".into(), to: "ready".into(), lane: to.lane, why, ..line });
        Ok(())
    }
}

/// Fails an event that no agent can answer.
fn fail(workspace: &Workspace, path: &Path, entry: &Entry, fault: &Fault, event: Option<&Event>) -> Result<()> {
    notify(workspace, Mailbox::Inbox, &entry.id, entry.tries.rounds, fault, event)?;
    let about = event.map(|e| format!("none, from {} to {}", e.from, e.reply_to)).unwrap_or_default();
    spool::write_reason(workspace, Mailbox::Inbox, &entry.id, &reason(fault, &about, workspace.world.now()))?;
    let name = Entry { due: None, ..entry.clone() }.to_string();
    durable::move_or_remove(path, &Mailbox::Inbox.dir(workspace, State::Failed).join(name))?;
    let line = JournalLine::about(Mailbox::Inbox, "fail", &entry.id);
    journal::write(workspace, JournalLine { from: "new".into(), to: "failed".into(), why: fault.to_string(), ..line });
    Ok(())
}

/// Decides which session answers, including the change of route that the command itself makes.
fn decide(workspace: &Workspace, event: &Event, known: &Learned) -> Result<Decision> {
    let mut decision = routes::decide(workspace, event, known)?;
    if let Some(line) = routing::switch(event, known, &decision)
        && definitions::has_agent(workspace, &line.agent)
        && slash::parse_event(event).is_ok_and(|command| {
            workspace.owners_of(event).is_ok_and(|owners| slash::allowed(&command, &event.from, &owners))
        })
    {
        decision = decision.switched_by(line);
    }
    if decision.lane != session_name::MEMORIES && !definitions::has_agent(workspace, &decision.agent) {
        return Err(definitions::unknown(workspace, &decision.agent));
    }
    Ok(decision)
}
