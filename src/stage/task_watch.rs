//! Announces open tasks of the shared task list to agents with `watch: tasks`: one event per task and agent, each in a
//! session of its own, so that claims made there end with it. The event's id is derived from the task's id and the
//! agent's, so that every process makes the same event, and a known one is not published again.

use crate::core::definition::task::{Task, TaskState};
use crate::core::definition::{Agent, WatchSetting};
use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Draft, Event, EventKind};
use crate::core::fault::Result;
use crate::core::session::record::Record;
use crate::store::agent::definitions;
use crate::store::fs::lease;
use crate::store::queue::{listing, publish};
use crate::store::session::log;
use crate::store::tasks::{self, TaskList};
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{self, Mailbox};
use crate::tool;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fs;

/// The key in an event's `meta` of the announced task.
const META: &str = "task";
/// The channel of the sender's address.
const CHANNEL: &str = "task";

/// Announces open tasks repeatedly, with a cache of the known events.
pub struct Announcer<'w> {
    workspace: &'w Workspace,
    /// Existing and ended events, by the part of their id after the instant.
    known: BTreeSet<String>,
}

/// Reopens tasks whose claim is free. Returns the number of claims left that may end without a person: when a lock is
/// released.
///
/// # Errors
/// Those of the file system.
pub fn release_claims(workspace: &Workspace) -> Result<usize> {
    match tasks::count(workspace, TaskState::Claimed) {
        0 => Ok(0),
        _ => TaskList::open(workspace)?.release_free_claims(),
    }
}

impl<'w> Announcer<'w> {
    /// An announcer that knows no event yet.
    #[must_use]
    pub fn new(workspace: &'w Workspace) -> Self {
        Self { workspace, known: BTreeSet::new() }
    }

    /// Reopens tasks whose claim is free, then publishes an event for every open task and watching agent. Returns the
    /// number of claims left that may end without a person: when a lock is released.
    ///
    /// # Errors
    /// Those of the file system. Events that were published before stay published.
    pub fn announce(&mut self) -> Result<usize> {
        let workspace = self.workspace;
        let counts = [TaskState::Open, TaskState::Claimed].map(|state| tasks::count(workspace, state));
        if counts == [0, 0] || !workspace.is_trusted {
            return Ok(0);
        }
        let watchers = self.watchers()?;
        let list = TaskList::open(workspace)?;
        let claims = list.release_free_claims()?;
        let mut unknown = Vec::new();
        for task in tasks::all(workspace, TaskState::Open).into_iter().filter_map(|(_, read)| read.ok()) {
            let path = tasks::dir(workspace, TaskState::Open).join(format!("{}.md", task.id));
            // A file that is being written causes another change when its last writer closes it.
            let Some(round) = task.round().filter(|_| !lease::is_being_written(&path)) else { continue };
            let changed = fs::metadata(&path).and_then(|meta| meta.modified()).ok();
            let seen = changed.and_then(|at| Timestamp::try_from(at).ok()).map_or(workspace.world.now(), Stamp::from);
            for agent in &watchers {
                let id = task.event_id(agent, round, seen)?;
                if !self.known.contains(id.short()) {
                    unknown.push((task.clone(), agent.clone(), id));
                }
            }
        }
        if unknown.is_empty() {
            return Ok(claims);
        }
        // An event that moves while the folders are listed may be missed in all of them, so they are listed twice.
        for _ in 0..2 {
            self.list_known()?;
        }
        for (task, agent, id) in unknown {
            if !self.known.contains(id.short()) && !self.is_logged(&task.session(&agent), &id)? {
                publish::inbox(workspace, &self.event(&task, agent, id.clone())?)?;
            }
            self.known.insert(id.short().to_owned());
        }
        Ok(claims)
    }

    fn watchers(&self) -> Result<Vec<String>> {
        let is_one = |agent: &Agent| agent.watch == Some(WatchSetting::Tasks);
        let agents = definitions::agents(self.workspace)?.into_iter();
        Ok(agents.filter(|(_, read)| read.as_deref().is_ok_and(is_one)).map(|(id, _)| id).collect())
    }

    /// Adds all events of the inbox that have not succeeded to the known ones.
    fn list_known(&mut self) -> Result<()> {
        use mailbox::State;
        for state in [State::New, State::Ready, State::Wait, State::Run, State::Failed] {
            let entries = listing::list(self.workspace, Mailbox::Inbox, state)?.into_iter();
            self.known.extend(entries.map(|entry| entry.id.short().to_owned()));
        }
        Ok(())
    }

    /// Whether the session's log has the event, even if the task's file has changed since.
    fn is_logged(&self, session: &str, id: &Id) -> Result<bool> {
        let mut is_known = false;
        log::each(self.workspace, session, |record| {
            is_known |= matches!(&record, Record::In { event, .. } | Record::Also { event, .. }
                if event.id.short() == id.short());
        })?;
        Ok(is_known)
    }

    fn event(&self, task: &Task, agent: String, id: Id) -> Result<Event> {
        let draft = Draft {
            kind: EventKind::Message,
            from: Some(Address::parse(&format!("{CHANNEL}:{}", task.id))?),
            reply_to: Some(self.workspace.default_destination()?),
            session: Some(task.session(&agent)),
            agent: Some(agent),
            meta: [(META.to_owned(), task.id.clone().into())].into_iter().collect(),
            ..Draft::message(task.prompt(tool::TASKS))
        };
        let event = publish::complete(self.workspace, draft, id)?;
        let mut origin = task.origin();
        if origin.class.is_none() {
            // A person made it: its creator's class.
            let by = task.fields.by.as_deref().and_then(|by| Address::parse(by).ok());
            origin.class = by.map(|from| self.workspace.class_of(&from)).transpose()?;
        }
        Ok(Event { hops: task.fields.hops, origin, ..event })
    }
}

/// Whether an event announces a task that is no longer open, so that no agent need be called.
#[must_use]
pub fn is_stale(workspace: &Workspace, event: &Event) -> bool {
    let id = event.meta.get(META).and_then(|id| id.as_str()).filter(|_| event.from.channel() == CHANNEL);
    id.is_some_and(|id| tasks::find(workspace, id).map_or(true, |task| task.id != id || task.state != TaskState::Open))
}
