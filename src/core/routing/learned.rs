//! Learned routes: an append-only list that records, from an event on, the session in which a conversation goes on.
//! Routing of an event uses only lines that are not newer than the event, so that it is repeatable.

use crate::core::event::Event;
use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::event::session_name;
use crate::core::routing::binding::{Binding, Table};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// A learned route: from event `since` on, `agent` answers `address` in `session`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedRoute {
    /// The first event that it applies to.
    pub since: Id,
    /// The reply address of the conversation.
    pub address: Address,
    /// The route applies only to this sender, because its binding, or one tried before it, has a sender condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Address>,
    /// The agent.
    pub agent: String,
    /// The session.
    pub session: String,
    /// The rule that decided; `None` for the default agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The route applies to event `since` only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
    /// If set, the route is not about an address: the conversation that began in this session goes on in `session`, at
    /// every reply address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
}

/// A binding set by `/route`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedBinding {
    /// The first event that it applies to.
    pub since: Id,
    /// The binding.
    #[serde(flatten)]
    pub binding: Binding,
}

/// All learned routes and bindings.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    lines: HashMap<Address, Vec<LearnedRoute>>,
    /// The routes with `conversation`, by the session in which each conversation began.
    moved: HashMap<String, Vec<LearnedRoute>>,
    /// The bindings set by `/route`, oldest first.
    pub bindings: Vec<LearnedBinding>,
    /// The same, compiled.
    pub(super) table: Table,
}

impl Learned {
    /// Adds a route. For one `since` and sender only the first is used.
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

    /// Adds bindings. One with an invalid pattern was not written by this program, and is skipped.
    pub fn add_bindings(&mut self, bindings: impl IntoIterator<Item = LearnedBinding>) {
        let before = self.bindings.len();
        self.bindings.extend(bindings);
        if self.bindings.len() > before {
            // Within a tier, the newest binding is tried first.
            let newest_first = self.bindings.iter().enumerate().rev();
            let rules = newest_first.map(|(index, one)| (index, Some(one.since.clone()), one.binding.clone()));
            let is_valid = |binding: &Binding| Table::new([(0, None, binding.clone())].into_iter()).is_ok();
            self.table = Table::new(rules.filter(|(.., binding)| is_valid(binding))).unwrap_or_default();
        }
    }

    /// The route learned from this event, else the newest one before it; a route of the sender takes precedence over
    /// routes without a sender.
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

    /// The last session of `agent`, before event `id`, in the conversation that began in session `began`.
    pub(super) fn last_with(&self, began: &str, id: &Id, agent: &str) -> String {
        let moved = self.moved.get(began).map_or(&[][..], Vec::as_slice);
        let before = &moved[..moved.partition_point(|line| line.since < *id)];
        match before.iter().rev().find(|line| line.agent == agent) {
            Some(line) => line.session.clone(),
            // The first time: `cookie.cli-ann` for `pickle.cli-ann`.
            None => format!("{agent}{}", &began[session_name::agent(began).len()..]),
        }
    }

    /// The route that moved the conversation begun in `session`, as of event `id`.
    pub(super) fn follow(&self, session: &str, id: &Id) -> Option<&LearnedRoute> {
        let lines = self.moved.get(session)?;
        lines[..lines.partition_point(|l| l.since <= *id)].last()
    }
}
