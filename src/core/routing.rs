//! Who answers, in which session: a function of the event and of the lines learned before it.

use crate::core::address::Address;
use crate::core::event::{Event, EventKind};
use crate::core::fault::Result;
use crate::core::id::Id;
use crate::core::session;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// One learned line: from event `since` on, `address` talks to `agent` in `session`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The first event that it holds for.
    pub since: Id,
    /// Whose conversation.
    pub address: Address,
    /// With whom.
    pub agent: String,
    /// Where it is written.
    pub session: String,
}

/// All learned lines, by address.
#[derive(Clone, Debug, Default)]
pub struct Learned(HashMap<Address, Vec<Line>>);

impl Learned {
    /// Adds a line; for one `since` the first line said stays.
    pub fn push(&mut self, line: Line) {
        let lines = self.0.entry(line.address.clone()).or_default();
        if let Err(at) = lines.binary_search_by(|l| l.since.cmp(&line.since)) {
            lines.insert(at, line);
        }
    }

    fn at(&self, address: &Address, id: &Id) -> Option<&Line> {
        let lines = self.0.get(address)?;
        lines[..lines.partition_point(|l| l.since <= *id)].last()
    }
}

/// Where an event goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The lane: the session, or `memories`.
    pub lane: String,
    /// Who answers; empty for `memories`.
    pub agent: String,
    /// Why, in a few words.
    pub why: &'static str,
    /// The line to be synced before the event moves.
    pub learn: Option<Line>,
    /// A line that was learned before has decided; it must be durable before the event moves.
    pub is_learned: bool,
}

/// Decides. The event's own session, then its own agent, then what was learned about its place,
/// then the default agent, which is then learned: a conversation keeps its agent.
///
/// # Errors
/// `Data` where the event names an impossible session or agent.
pub fn decide(event: &Event, learned: &Learned, default_agent: &str) -> Result<Decision> {
    let to = |lane: String, why| Decision {
        agent: session::agent(&lane).to_owned(),
        lane,
        why,
        learn: None,
        is_learned: false,
    };
    if event.kind == EventKind::Remember {
        return Ok(Decision {
            lane: session::MEMORIES.to_owned(),
            agent: String::new(),
            why: "to be remembered",
            learn: None,
            is_learned: false,
        });
    }
    if let Some(name) = &event.session {
        let lane = session::named(name, event.agent.as_deref(), default_agent)?;
        return Ok(to(lane, "named by the event"));
    }
    if let Some(agent) = &event.agent {
        session::check_agent(agent)?;
        return Ok(to(session::at(agent, &event.reply_to), "named by the event"));
    }
    if let Some(line) = learned.at(&event.reply_to, &event.id) {
        return Ok(Decision { is_learned: true, ..to(line.session.clone(), "default agent") });
    }
    let lane = session::at(default_agent, &event.reply_to);
    let learn = Line {
        since: event.id.clone(),
        address: event.reply_to.clone(),
        agent: default_agent.to_owned(),
        session: lane.clone(),
    };
    Ok(Decision { learn: Some(learn), ..to(lane, "default agent") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Draft;
    use crate::core::stamp::Stamp;

    fn event(at: i64, draft: Draft) -> Event {
        let place = Address::parse("cli:ann").unwrap();
        draft.complete(Id::new(Stamp(at), 0), Stamp(at), &place, &place)
    }

    #[test]
    fn a_conversation_keeps_its_agent_when_the_default_changes() {
        let mut learned = Learned::default();
        let first = event(5, Draft::message("hi"));
        let decision = decide(&first, &learned, "pickle").unwrap();
        assert_eq!((decision.lane.as_str(), decision.agent.as_str()), ("pickle.cli-ann", "pickle"));
        learned.push(decision.learn.unwrap());
        let later = decide(&event(9, Draft::message("hi")), &learned, "cookie").unwrap();
        assert_eq!((later.agent.as_str(), later.learn), ("pickle", None));
        // A second copy of the first event is decided as the first was.
        assert_eq!(decide(&first, &learned, "cookie").unwrap().lane, "pickle.cli-ann");
        // What is older than anything learned is not bound by it.
        assert_eq!(decide(&event(1, Draft::message("hi")), &learned, "cookie").unwrap().agent, "cookie");
    }

    #[test]
    fn what_the_event_names_comes_first() {
        let named = |agent: Option<&str>, session: Option<&str>| {
            let draft = Draft { agent: agent.map(Into::into), session: session.map(Into::into), ..Draft::message("x") };
            decide(&event(1, draft), &Learned::default(), "pickle").map(|d| (d.lane, d.agent))
        };
        let pair = |a: &str, b: &str| Ok((a.to_owned(), b.to_owned()));
        assert_eq!(named(Some("cookie"), None), pair("cookie.cli-ann", "cookie"));
        assert_eq!(named(None, Some("work")), pair("pickle.work", "pickle"));
        assert_eq!(named(None, Some("cookie.work")), pair("cookie.work", "cookie"));
        assert!(named(Some("../x"), None).is_err());
        assert!(named(None, Some("../x")).is_err());
    }

    #[test]
    fn what_is_to_be_remembered_has_its_own_lane() {
        let draft = Draft { kind: EventKind::Remember, agent: Some("cookie".into()), ..Draft::message("x") };
        assert_eq!(decide(&event(1, draft), &Learned::default(), "pickle").unwrap().lane, "memories");
    }
}
