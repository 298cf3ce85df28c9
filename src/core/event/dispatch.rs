//! Dispatch, as far as it is a value: who has asked whom, and where the answer goes. It stands whole in the
//! event that asks, so that whoever works on that needs nobody else's files.

use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::event::session_name;
use crate::core::event::{Event, EventKind};
use crate::core::fault::{Fault, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An event that came by so many others is answered, and asks nobody any more.
pub const MAX_HOPS: u32 = 8;
/// The channel of what one agent says to another. Nothing is ever delivered there.
pub const AGENT: &str = "agent";
/// Where it stands in an event's `meta`.
const KEY: &str = "dispatch";

/// Who has asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    /// The event that it was answering.
    pub event: Id,
    /// The session in which it did.
    pub session: String,
    /// Where its own answer goes.
    pub reply_to: Address,
    /// Its turn waits for this.
    pub waits: bool,
    /// Somebody sits before it, and is told of trouble at once.
    #[serde(default, rename = "asked", skip_serializing_if = "std::ops::Not::not")]
    pub is_interactive: bool,
    /// Its own answer goes to nobody: it runs in the background.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
    /// Who had asked it, where it was asked itself.
    #[serde(default, rename = "above", skip_serializing_if = "Option::is_none")]
    pub parent: Option<Box<Requester>>,
}

impl Requester {
    /// The turn that answers `event` in `session`, as one that asks.
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

    /// Who has asked for what `event` says. What comes of a dispatch has whoever had asked the requester.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let is_one = matches!(event.kind, EventKind::Dispatch | EventKind::Result);
        event.meta.get(KEY).filter(|_| is_one).and_then(|value| Self::deserialize(value).ok())
    }

    /// Writes it into an event.
    ///
    /// # Errors
    /// `Data` where it cannot be written as JSON, which none can.
    pub fn write(&self, event: &mut Event) -> Result<()> {
        let value = serde_json::to_value(self).map_err(|e| Fault::data(e.to_string()))?;
        event.meta.insert(KEY.to_owned(), value);
        Ok(())
    }

    /// The agent that has asked.
    #[must_use]
    pub fn agent(&self) -> &str {
        session_name::agent(&self.session)
    }

    /// This one, and whoever had asked before, up to the one that nobody has asked.
    fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |requester| requester.parent.as_deref())
    }

    /// The agents that have asked each other, the first one first.
    #[must_use]
    pub fn agents(&self) -> Vec<&str> {
        let mut agents: Vec<&str> = self.chain().map(Self::agent).collect();
        agents.reverse();
        agents
    }

    /// The turns that wait for this, the nearest first.
    pub fn waiting(&self) -> impl Iterator<Item = &Id> {
        self.chain().take_while(|requester| requester.waits).map(|requester| &requester.event)
    }

    /// What comes of it for an requester that does not wait: an event of its session.
    ///
    /// # Errors
    /// As [`Requester::write`].
    pub fn result_event(&self, mut result: Event) -> Result<Event> {
        result.kind = EventKind::Result;
        result.reply_to = self.reply_to.clone();
        result.session = Some(self.session.clone());
        result.meta.clear();
        if self.silent {
            result.meta.insert(SILENT.to_owned(), Value::Bool(true));
        }
        if let Some(parent) = &self.parent {
            // Whoever waited for the requester's turn has its answer by then.
            let line = Self { waits: false, is_interactive: false, ..(**parent).clone() };
            line.write(&mut result)?;
        }
        Ok(result)
    }
}

const SILENT: &str = "silent";

/// Whether the answer to `event` goes to nobody.
#[must_use]
pub fn is_silent(event: &Event) -> bool {
    matches!(event.kind, EventKind::Cron | EventKind::Heartbeat)
        || event.kind == EventKind::Result && event.meta.get(SILENT).is_some_and(|value| value == true)
}

/// Where the final_recipient is for whom `event` is answered in the end; nothing where that is nobody.
#[must_use]
pub fn final_recipient(event: &Event) -> Option<Address> {
    let requester = Requester::of(event);
    let first = requester.as_ref().and_then(|requester| requester.chain().last());
    let (place, silent) =
        first.map_or((&event.reply_to, is_silent(event)), |requester| (&requester.reply_to, requester.silent));
    (!silent).then(|| place.clone())
}

/// Whether the turn that answers `event` as `own` may ask `agent`.
///
/// # Errors
/// `Data`, in words for the model that asks.
pub fn check(event: &Event, own: &str, agent: &str) -> Result<()> {
    if agent == own {
        return Err(Fault::data(format!("you are {own} yourself: do it, or give it to another agent")));
    }
    let requester = Requester::of(event);
    let agents = requester.as_ref().map(Requester::agents).unwrap_or_default();
    if agents.contains(&agent) {
        let line = agents.iter().chain([&own, &agent]).copied().collect::<Vec<_>>().join(" → ");
        return Err(Fault::data(format!("{agent} waits for this itself ({line}): it cannot be asked"))
            .hint("answer with what you have, and say what is missing"));
    }
    if event.hops >= MAX_HOPS {
        return Err(Fault::data(format!("this came by {} events already, and no more agents are asked", event.hops))
            .hint("answer with what you have"));
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

    fn question() -> Event {
        Draft::message("q").complete(Id::new(Stamp(1), 1), Stamp(1), &at("cli:ann"), &at("cli:ann"))
    }

    /// What the turn of `event` asks.
    fn asked(event: &Event, session: &str, waits: bool) -> Event {
        let from = at(&format!("agent:{}", session_name::agent(session)));
        let mut child = event.child(Derived::Dispatch, 1, &from, "task".into(), Stamp(2));
        child.reply_to = from;
        Requester::new(event, session, waits).write(&mut child).unwrap();
        Event::from_json(child.to_json().unwrap().as_bytes()).unwrap()
    }

    #[test]
    fn nobody_is_asked_who_waits_for_it_and_no_line_is_endless() {
        let first = question();
        let second = asked(&first, "a.x", true);
        let third = asked(&second, "b.y", true);
        assert!(check(&first, "a", "b").is_ok() && check(&second, "b", "c").is_ok() && check(&third, "c", "d").is_ok());
        let told = |event: &Event, own: &str, agent: &str| check(event, own, agent).unwrap_err().message;
        assert!(told(&first, "a", "a").contains("yourself"));
        assert!(told(&second, "b", "a").contains("(a → b → a)"));
        assert!(told(&third, "c", "a").contains("(a → b → c → a)"));
        let mut last = first;
        let names: Vec<String> = (0..20).map(|n| format!("a{n}")).collect();
        let depth = names.windows(2).take_while(|pair| {
            let may = check(&last, &pair[0], &pair[1]).is_ok();
            last = asked(&last, &format!("{}.x", pair[0]), true);
            may
        });
        assert_eq!(depth.count(), 8);
    }

    #[test]
    fn a_stop_reaches_what_is_waited_for_and_nothing_else() {
        let first = question();
        let second = asked(&first, "a.x", true);
        let third = asked(&second, "b.y", true);
        let waiting = |event: &Event| Requester::of(event).unwrap().waiting().cloned().collect::<Vec<_>>();
        assert_eq!(waiting(&third), [second.id.clone(), first.id.clone()]);
        assert_eq!(waiting(&asked(&asked(&first, "a.x", false), "b.y", true)).len(), 1);
        assert!(waiting(&asked(&second, "b.y", false)).is_empty());
    }

    #[test]
    fn what_nobody_waits_for_comes_back_up_the_line() {
        let first = question();
        let second = asked(&first, "a.x", true);
        let third = asked(&second, "b.y", false);
        let answer = third.child(Derived::Reply, 1, &at("agent:c"), "done".into(), Stamp(3));
        let result = Requester::of(&third).unwrap().result_event(answer.clone()).unwrap();
        assert_eq!((result.kind, result.session.as_deref()), (EventKind::Result, Some("b.y")));
        assert_eq!(result.reply_to, at("agent:a"));
        // The one that it comes to was asked itself, and its requester waits no more.
        let parent = Requester::of(&result).unwrap();
        assert_eq!((parent.session.as_str(), parent.waits), ("a.x", false));
        let end = parent.result_event(answer).unwrap();
        assert_eq!((end.reply_to.clone(), Requester::of(&end)), (at("cli:ann"), None));
        assert_eq!((final_recipient(&third), final_recipient(&first)), (Some(at("cli:ann")), Some(at("cli:ann"))));
    }

    #[test]
    fn what_runs_in_the_background_stays_there() {
        let mut first = question();
        first.kind = EventKind::Cron;
        let second = asked(&first, "a.x", false);
        let answer = second.child(Derived::Reply, 1, &at("agent:b"), "done".into(), Stamp(3));
        let result = Requester::of(&second).unwrap().result_event(answer).unwrap();
        assert!(is_silent(&first) && !is_silent(&second) && is_silent(&result));
        assert_eq!(
            [&first, &second, &asked(&second, "b.y", true), &result].map(final_recipient),
            [None, None, None, None]
        );
    }
}
