//! Announcer of the shared task list for agents with `watch: tasks`: an event for each open task, in a session of its
//! own, so that what the agent claims there is free again when it has ended. The event's id is made of the task's
//! and the agent's; whoever looks again makes the same one, and one that is known is not published again.

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

/// What an event's `meta` calls the task that it tells of.
const META: &str = "task";
/// The channel of such an event's sender.
const CHANNEL: &str = "task";

/// Tells news again and again, and remembers what is known.
pub struct Announcer<'w> {
    workspace: &'w Workspace,
    /// Events that there are, or were, by the part of their id behind the instant.
    known: BTreeSet<String>,
}

/// Puts back what nobody works on any more; who watches hears of it as of any other open task. Returns how many
/// claims are left that can become free without anybody's word.
///
/// # Errors
/// Where the file system refuses.
pub fn put_back(workspace: &Workspace) -> Result<usize> {
    match tasks::count(workspace, TaskState::Claimed) {
        0 => Ok(0),
        _ => TaskList::open(workspace)?.release_free_claims(),
    }
}

impl<'w> Announcer<'w> {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(workspace: &'w Workspace) -> Self {
        Self { workspace, known: BTreeSet::new() }
    }

    /// Puts back what nobody works on any more, and tells every agent that watches of every open task. Returns
    /// how many claims are left that can become free without anybody's word.
    ///
    /// # Errors
    /// Where the file system refuses. What had been told by then is told.
    pub fn announce(&mut self) -> Result<usize> {
        let workspace = self.workspace;
        let counts = [TaskState::Open, TaskState::Claimed].map(|state| tasks::count(workspace, state));
        if counts == [0, 0] || !workspace.is_trusted {
            return Ok(0);
        }
        let watchers = self.watchers()?;
        let list = TaskList::open(workspace)?;
        let claims = list.release_free_claims()?;
        let mut fresh = Vec::new();
        for task in tasks::all(workspace, TaskState::Open).into_iter().filter_map(|(_, read)| read.ok()) {
            let path = tasks::dir(workspace, TaskState::Open).join(format!("{}.md", task.id));
            // The close of its last writer wakes whoever watches the folder.
            let Some(round) = task.round().filter(|_| !lease::is_being_written(&path)) else { continue };
            let changed = fs::metadata(&path).and_then(|meta| meta.modified()).ok();
            let seen = changed.and_then(|at| Timestamp::try_from(at).ok()).map_or(workspace.world.now(), Stamp::from);
            for agent in &watchers {
                let id = task.event_id(agent, round, seen)?;
                if !self.known.contains(id.short()) {
                    fresh.push((task.clone(), agent.clone(), id));
                }
            }
        }
        if fresh.is_empty() {
            return Ok(claims);
        }
        // An event that moves on while one folder after the other is read may be met in none.
        for _ in 0..2 {
            self.learn()?;
        }
        for (task, agent, id) in fresh {
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

    /// Learns which events there are that have not ended well.
    fn learn(&mut self) -> Result<()> {
        use mailbox::State;
        for state in [State::New, State::Ready, State::Wait, State::Run, State::Failed] {
            let entries = listing::list(self.workspace, Mailbox::Inbox, state)?.into_iter();
            self.known.extend(entries.map(|entry| entry.id.short().to_owned()));
        }
        Ok(())
    }

    /// Whether its session knows the event, also where the task's file has changed since.
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
        Ok(Event { hops: task.fields.hops, ..event })
    }
}

/// Whether an event tells of a task that is not open any more: nobody need be asked about it.
#[must_use]
pub fn is_stale(workspace: &Workspace, event: &Event) -> bool {
    let id = event.meta.get(META).and_then(|id| id.as_str()).filter(|_| event.from.channel() == CHANNEL);
    id.is_some_and(|id| tasks::find(workspace, id).map_or(true, |task| task.id != id || task.state != TaskState::Open))
}
