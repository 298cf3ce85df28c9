//! Dispatch: one agent gives a task to another. The request event carries the whole chain of requesters and the
//! destination of the answer, so that its worker needs no other files.

use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::event::scheduled::Scheduled;
use crate::core::event::session_name;
use crate::core::event::{Event, EventKind};
use crate::core::fault::{Fault, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An event with this many hops is answered, but its turn may not dispatch any more.
pub const MAX_HOPS: u32 = 8;
/// The channel of events between agents. Nothing is ever delivered there.
pub const AGENT: &str = "agent";
/// The key in an event's `meta`.
const KEY: &str = "dispatch";

/// A turn that has dispatched an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    /// The event that the turn answers.
    pub event: Id,
    /// The session of the turn.
    pub session: String,
    /// The destination of the turn's own answer.
    pub reply_to: Address,
    /// The turn waits for the result.
    pub waits: bool,
    /// A user waits at a terminal, so failures are reported at once.
    #[serde(default, rename = "asked", skip_serializing_if = "std::ops::Not::not")]
    pub is_interactive: bool,
    /// The turn runs in the background: its own answer is not delivered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
    /// The requester of the turn, if the turn itself answers a dispatch.
    #[serde(default, rename = "above", skip_serializing_if = "Option::is_none")]
    pub parent: Option<Box<Requester>>,
}

impl Requester {
    /// The turn that answers `event` in `session`, as a requester.
    #[must_use]
    pub fn new(event: &Event, session: &str, waits: bool) -> Self {
        let parent = Self::of(event);
        Self {
            is_interactive: waits && parent.as_ref().is_some_and(|parent| parent.is_interactive),
            event: event.id.clone(),
            session: session.to_owned(),
            reply_to: event.reply_to.clone(),
            waits,
            silent: is_silent(event),
            parent: parent.map(Box::new),
        }
    }

    /// The requester in a dispatch or in a result. A result carries the requester of the turn that it goes to.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let has_requester = matches!(event.kind, EventKind::Dispatch | EventKind::Result);
        event.meta.get(KEY).filter(|_| has_requester).and_then(|value| Self::deserialize(value).ok())
    }

    /// Writes the requester into an event.
    ///
    /// # Errors
    /// `Data` where serialisation fails, which does not happen for values of this type.
    pub fn write(&self, event: &mut Event) -> Result<()> {
        let value = serde_json::to_value(self).map_err(|e| Fault::data(e.to_string()))?;
        event.meta.insert(KEY.to_owned(), value);
        Ok(())
    }

    /// The agent of the turn.
    #[must_use]
    pub fn agent(&self) -> &str {
        session_name::agent(&self.session)
    }

    /// This requester, its parent, and so on up to the turn that was not dispatched.
    fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |requester| requester.parent.as_deref())
    }

    /// The agents of the chain, the first requester first.
    #[must_use]
    pub fn agents(&self) -> Vec<&str> {
        let mut agents: Vec<&str> = self.chain().map(Self::agent).collect();
        agents.reverse();
        agents
    }

    /// The events of the turns that wait for the result, the nearest first.
    pub fn waiting(&self) -> impl Iterator<Item = &Id> {
        self.chain().take_while(|requester| requester.waits).map(|requester| &requester.event)
    }

    /// The result for a requester that does not wait: an event of its session.
    ///
    /// # Errors
    /// As [`Requester::write`].
    pub fn result_event(&self, mut result: Event) -> Result<Event> {
        result.kind = EventKind::Result;
        result.reply_to = self.reply_to.clone();
        result.session = Some(self.session.clone());
        result.meta.clear();
        // The session that receives it is the one of the last agent.
        result.origin.requesters.pop();
        if self.silent {
            result.meta.insert(SILENT.to_owned(), Value::Bool(true));
        }
        if let Some(parent) = &self.parent {
            // A turn that waited for the requester has its answer by now.
            let parent = Self { waits: false, is_interactive: false, ..(**parent).clone() };
            parent.write(&mut result)?;
        }
        Ok(result)
    }
}

const SILENT: &str = "silent";

/// Whether the answer to `event` is not delivered.
#[must_use]
pub fn is_silent(event: &Event) -> bool {
    matches!(event.kind, EventKind::Cron | EventKind::Heartbeat)
        && !Scheduled::of(event).is_some_and(|scheduled| scheduled.delivers)
        || event.kind == EventKind::Result && event.meta.get(SILENT).is_some_and(|value| value == true)
}

/// The destination of the final answer: the user at the start of the chain; `None` for background work.
#[must_use]
pub fn final_recipient(event: &Event) -> Option<Address> {
    let requester = Requester::of(event);
    let first = requester.as_ref().and_then(|requester| requester.chain().last());
    let (address, silent) =
        first.map_or((&event.reply_to, is_silent(event)), |requester| (&requester.reply_to, requester.silent));
    (!silent).then(|| address.clone())
}

/// The agents that passed `event` on, the first one first. Events of older programs have them only in the chain of
/// requesters.
#[must_use]
pub fn requesters(event: &Event) -> Vec<String> {
    if !event.origin.requesters.is_empty() {
        return event.origin.requesters.clone();
    }
    let requester = Requester::of(event);
    requester.iter().flat_map(Requester::agents).map(str::to_owned).collect()
}

/// Checks that the turn of agent `own` that answers `event` may dispatch to `agent`.
///
/// # Errors
/// `Data`, with a message for the model.
pub fn check(event: &Event, own: &str, agent: &str) -> Result<()> {
    if agent == own {
        return Err(Fault::data(format!("you are {own}: do it yourself, or give it to another agent")));
    }
    let requester = Requester::of(event);
    let agents = requester.as_ref().map(Requester::agents).unwrap_or_default();
    if agents.contains(&agent) {
        let chain = agents.iter().chain([&own, &agent]).copied().collect::<Vec<_>>().join(" → ");
        return Err(Fault::data(format!("{agent} already waits for this task ({chain}), so it cannot be given to it"))
            .hint("answer with the results you have, and name the missing ones"));
    }
    if event.hops >= MAX_HOPS {
        return Err(Fault::data(format!("this task was already passed on {} times, which is the limit", event.hops))
            .hint("answer with the results you have"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Draft;
    use crate::core::event::id::Derived;
    use crate::core::event::stamp::Stamp;

    fn at(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn first_event() -> Event {
        Draft::message("q").complete(Id::new(Stamp(1), 1), Stamp(1), &at("cli:ann"), &at("cli:ann"))
    }

    /// The dispatch that the turn of `event` sends, read back from JSON.
    fn dispatched(event: &Event, session: &str, waits: bool) -> Event {
        let from = at(&format!("agent:{}", session_name::agent(session)));
        let mut child = event.child(Derived::Dispatch, 1, &from, "task".into(), Stamp(2));
        child.reply_to = from;
        Requester::new(event, session, waits).write(&mut child).unwrap();
        Event::from_json(child.to_json().unwrap().as_bytes()).unwrap()
    }

    #[test]
    fn waiting_agent_is_not_asked_again_and_chains_are_bounded() {
        let first = first_event();
        let second = dispatched(&first, "a.x", true);
        let third = dispatched(&second, "b.y", true);
        assert!(check(&first, "a", "b").is_ok() && check(&second, "b", "c").is_ok() && check(&third, "c", "d").is_ok());
        let refusal = |event: &Event, own: &str, agent: &str| check(event, own, agent).unwrap_err().message;
        assert!(refusal(&first, "a", "a").contains("yourself"));
        assert!(refusal(&second, "b", "a").contains("(a → b → a)"));
        assert!(refusal(&third, "c", "a").contains("(a → b → c → a)"));
        let mut last = first;
        let names: Vec<String> = (0..20).map(|n| format!("a{n}")).collect();
        let depth = names.windows(2).take_while(|pair| {
            let may = check(&last, &pair[0], &pair[1]).is_ok();
            last = dispatched(&last, &format!("{}.x", pair[0]), true);
            may
        });
        assert_eq!(depth.count(), 8);
    }

    #[test]
    fn stop_reaches_only_turns_that_are_waited_for() {
        let first = first_event();
        let second = dispatched(&first, "a.x", true);
        let third = dispatched(&second, "b.y", true);
        let waiting = |event: &Event| Requester::of(event).unwrap().waiting().cloned().collect::<Vec<_>>();
        assert_eq!(waiting(&third), [second.id.clone(), first.id.clone()]);
        assert_eq!(waiting(&dispatched(&dispatched(&first, "a.x", false), "b.y", true)).len(), 1);
        assert!(waiting(&dispatched(&second, "b.y", false)).is_empty());
    }

    #[test]
    fn result_goes_back_up_the_chain_when_the_requester_does_not_wait() {
        let first = first_event();
        let second = dispatched(&first, "a.x", true);
        let third = dispatched(&second, "b.y", false);
        let answer = third.child(Derived::Reply, 1, &at("agent:c"), "done".into(), Stamp(3));
        let result = Requester::of(&third).unwrap().result_event(answer.clone()).unwrap();
        assert_eq!((result.kind, result.session.as_deref()), (EventKind::Result, Some("b.y")));
        assert_eq!(result.reply_to, at("agent:a"));
        // The receiving turn was dispatched itself, and its requester does not wait any more.
        let parent = Requester::of(&result).unwrap();
        assert_eq!((parent.session.as_str(), parent.waits), ("a.x", false));
        let end = parent.result_event(answer).unwrap();
        assert_eq!((end.reply_to.clone(), Requester::of(&end)), (at("cli:ann"), None));
        assert_eq!((final_recipient(&third), final_recipient(&first)), (Some(at("cli:ann")), Some(at("cli:ann"))));
    }

    #[test]
    fn wire_names_are_stable() {
        let second = dispatched(&first_event(), "a.x", true);
        let mut requester = Requester::new(&second, "b.y", true);
        requester.is_interactive = true;
        let json = serde_json::to_value(&requester).unwrap();
        assert_eq!((&json["asked"], &json["above"]["session"]), (&Value::Bool(true), &Value::from("a.x")));
    }

    #[test]
    fn background_work_stays_in_the_background() {
        let mut first = first_event();
        first.kind = EventKind::Cron;
        let second = dispatched(&first, "a.x", false);
        let answer = second.child(Derived::Reply, 1, &at("agent:b"), "done".into(), Stamp(3));
        let result = Requester::of(&second).unwrap().result_event(answer).unwrap();
        assert!(is_silent(&first) && !is_silent(&second) && is_silent(&result));
        assert_eq!(
            [&first, &second, &dispatched(&second, "b.y", true), &result].map(final_recipient),
            [None, None, None, None]
        );
    }
}
