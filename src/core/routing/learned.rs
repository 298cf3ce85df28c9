//! What was learned about routing, line by line: which conversation goes on where, from which event on. Lines are
//! only ever added, and the answer for an event is a matter of those that are not younger than it.

use crate::core::event::Event;
use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::event::session_name;
use crate::core::routing::binding::{Binding, Table};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// One learned line: from event `since` on, `address` talks to `agent` in `session`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedRoute {
    /// The first event that it holds for.
    pub since: Id,
    /// Whose conversation.
    pub address: Address,
    /// Only what this one says there: its binding, or one before that, asks who says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Address>,
    /// With whom.
    pub agent: String,
    /// Where it is written.
    pub session: String,
    /// What decided; the default agent where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// It holds for event `since` alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
    /// Not about an address: the conversation that began in this session goes on in `session`, wherever it
    /// is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
}

/// A binding that was learned: what `/route` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedBinding {
    /// The first event that it holds for.
    pub since: Id,
    /// What holds.
    #[serde(flatten)]
    pub binding: Binding,
}

/// All that was learned.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    lines: HashMap<Address, Vec<LearnedRoute>>,
    /// The lines about conversations, by the session in which each began.
    moved: HashMap<String, Vec<LearnedRoute>>,
    /// Every binding that was told, in the order in which they were.
    pub bindings: Vec<LearnedBinding>,
    /// The same, ready to be asked.
    pub(super) table: Table,
}

impl Learned {
    /// Adds a line; for one `since` (and sender) the first line said stays.
    pub fn push(&mut self, line: LearnedRoute) {
        let lines = match &line.conversation {
            Some(began) => self.moved.entry(began.clone()).or_default(),
            None => self.lines.entry(line.address.clone()).or_default(),
        };
        let at = lines.partition_point(|l| l.since < line.since);
        let is_known = lines[at..].iter().take_while(|l| l.since == line.since).any(|l| l.from == line.from);
        if !is_known {
            lines.insert(at, line);
        }
    }

    /// Adds bindings. One whose pattern is none was not written by this program, and is passed over.
    pub fn add_bindings(&mut self, told: impl IntoIterator<Item = LearnedBinding>) {
        let before = self.bindings.len();
        self.bindings.extend(told);
        if self.bindings.len() > before {
            // The last word on a tier is asked first.
            let given = self.bindings.iter().enumerate().rev();
            let known = given.map(|(index, one)| (index, Some(one.since.clone()), one.binding.clone()));
            self.table = Table::new(known.filter(|(.., one)| Table::new([(0, None, one.clone())].into_iter()).is_ok()))
                .unwrap_or_default();
        }
    }

    /// The line of this very event, else the last one before it, a sender's own before everybody's.
    pub(super) fn at(&self, event: &Event) -> Option<&LearnedRoute> {
        let lines = self.lines.get(&event.reply_to)?;
        let known = &lines[..lines.partition_point(|l| l.since <= event.id)];
        let own = Some(&event.from);
        let is_for = |line: &&LearnedRoute| line.from.is_none() || line.from.as_ref() == own;
        if let Some(line) = known.iter().rev().take_while(|line| line.since == event.id).find(is_for) {
            return Some(line);
        }
        let of = |from: Option<&Address>| known.iter().rev().find(|line| !line.once && line.from.as_ref() == from);
        of(own).or_else(|| of(None))
    }

    /// The session that `agent` had last, before event `id`, in the conversation that began in this one.
    pub(super) fn last_with(&self, began: &str, id: &Id, agent: &str) -> String {
        let moved = self.moved.get(began).map_or(&[][..], Vec::as_slice);
        let before = &moved[..moved.partition_point(|line| line.since < *id)];
        match before.iter().rev().find(|line| line.agent == agent) {
            Some(line) => line.session.clone(),
            // `cookie.cli-ann` beside `pickle.cli-ann`.
            None => format!("{agent}{}", &began[session_name::agent(began).len()..]),
        }
    }

    /// Where a conversation that began in `session` is at event `id`.
    pub(super) fn follow(&self, session: &str, id: &Id) -> Option<&LearnedRoute> {
        let lines = self.moved.get(session)?;
        lines[..lines.partition_point(|l| l.since <= *id)].last()
    }
}
