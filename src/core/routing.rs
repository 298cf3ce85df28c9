//! Who answers, in which session: a function of the event and of the lines learned before it.

use crate::core::address::Address;
use crate::core::event::{Event, EventKind};
use crate::core::fault::Result;
use crate::core::id::Id;
use crate::core::session;
use crate::core::slash::{self, Command};
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

    /// The line that holds for an event.
    #[must_use]
    pub fn at(&self, address: &Address, id: &Id) -> Option<&Line> {
        self.until(address, id).last()
    }

    /// The last line before an event that is about that agent.
    fn last_with(&self, address: &Address, id: &Id, agent: &str) -> Option<&Line> {
        self.until(address, id).iter().rev().find(|line| line.agent == agent)
    }

    fn until(&self, address: &Address, id: &Id) -> &[Line] {
        let lines = self.0.get(address).map_or(&[][..], Vec::as_slice);
        &lines[..lines.partition_point(|line| line.since <= *id)]
    }
}

/// Where an event goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The lane: the session, the one of its commands beside it, or `memories`.
    pub lane: String,
    /// The session that it is about; empty for `memories`.
    pub session: String,
    /// Who answers; empty for `memories`.
    pub agent: String,
    /// Why, in a few words.
    pub why: &'static str,
    /// The line to be synced before the event moves.
    pub learn: Option<Line>,
    /// A line that was learned before has decided; it must be durable before the event moves.
    pub is_learned: bool,
}

/// Decides. What the event says of its session, its agent and its place, `conversation` does; commands go
/// beside it.
///
/// # Errors
/// `Data` where the event names an impossible session or agent.
pub fn decide(event: &Event, learned: &Learned, default_agent: &str) -> Result<Decision> {
    let decision = conversation(event, learned, default_agent)?;
    if !slash::is_command(event) {
        return Ok(decision);
    }
    Ok(Decision { lane: session::control(&decision.session), why: "a command", ..decision })
}

/// The line that a command teaches, where it is one that does: from here on another session, or another
/// agent in the session that it had here last. Nothing where the event names its session or its agent
/// itself, where it has taught its line already, and where nothing would change. Who may say it and which
/// agents there are is not looked at.
#[must_use]
pub fn turned(event: &Event, learned: &Learned, default_agent: &str) -> Option<Line> {
    if !slash::is_command(event) || event.session.is_some() || event.agent.is_some() {
        return None;
    }
    let now = learned.at(&event.reply_to, &event.id);
    if now.is_some_and(|line| line.since == event.id) {
        return None;
    }
    let bound = now.map_or(default_agent, |line| &line.agent);
    let (agent, session) = match slash::of(event).ok()? {
        Command::New => (bound.to_owned(), session::fresh(bound, &event.reply_to, &event.id)),
        Command::Bind(agent) if agent != bound => {
            session::check_agent(&agent).ok()?;
            let last = learned.last_with(&event.reply_to, &event.id, &agent).map(|line| line.session.clone());
            let session = last.unwrap_or_else(|| session::at(&agent, &event.reply_to));
            (agent, session)
        }
        _ => return None,
    };
    Some(Line { since: event.id.clone(), address: event.reply_to.clone(), agent, session })
}

impl Decision {
    /// The same with what a command has taught.
    #[must_use]
    pub fn turned_by(self, line: Line) -> Self {
        let (agent, session) = (line.agent.clone(), line.session.clone());
        Self { lane: session::control(&session), session, agent, learn: Some(line), is_learned: false, ..self }
    }
}

/// Decides for what is said. The event's own session, then its own agent, then what was learned about its place,
/// then the default agent, which is then learned: a conversation keeps its agent.
///
/// # Errors
/// `Data` where the event names an impossible session or agent.
fn conversation(event: &Event, learned: &Learned, default_agent: &str) -> Result<Decision> {
    let to = |lane: String, why| Decision {
        agent: session::agent(&lane).to_owned(),
        session: lane.clone(),
        lane,
        why,
        learn: None,
        is_learned: false,
    };
    if event.kind == EventKind::Remember {
        return Ok(Decision {
            lane: session::MEMORIES.to_owned(),
            session: String::new(),
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
        let why = if line.agent == default_agent { "default agent" } else { "as before" };
        return Ok(Decision { is_learned: true, ..to(line.session.clone(), why) });
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

    /// Decides as `route` does, and learns.
    fn routed(event: &Event, learned: &mut Learned) -> Decision {
        let decision = decide(event, learned, "pickle").unwrap();
        let decision = match turned(event, learned, "pickle") {
            Some(line) => decision.turned_by(line),
            None => decision,
        };
        decision.learn.iter().for_each(|line| learned.push(line.clone()));
        decision
    }

    #[test]
    fn a_new_conversation_begins_with_the_command_and_not_before_it() {
        let mut learned = Learned::default();
        let [first, new, later] = [(1, "hi"), (5, "/new"), (9, "hi")].map(|(at, text)| event(at, Draft::message(text)));
        assert_eq!(routed(&first, &mut learned).lane, "pickle.cli-ann");
        let decision = routed(&new, &mut learned);
        let session = session::fresh("pickle", &new.reply_to, &new.id);
        assert_eq!((&decision.session, &decision.lane), (&session, &session::control(&session)));
        assert_eq!(routed(&later, &mut learned).lane, session);
        // Second copies are decided as the first ones were, and teach nothing more.
        assert_eq!(routed(&first, &mut learned).lane, "pickle.cli-ann");
        let again = routed(&new, &mut learned);
        assert_eq!((again.lane, again.learn), (decision.lane, None));
    }

    #[test]
    fn an_agent_that_comes_back_goes_on_where_it_was() {
        let mut learned = Learned::default();
        let mut say = |at, text| {
            let decision = routed(&event(at, Draft::message(text)), &mut learned);
            (decision.session, decision.learn.is_some())
        };
        say(1, "hi");
        let (new, _) = say(2, "/new");
        assert_eq!(say(3, "/agent cookie"), ("cookie.cli-ann".to_owned(), true));
        assert_eq!(say(4, "hi"), ("cookie.cli-ann".to_owned(), false));
        assert_eq!(say(5, "/agent cookie"), ("cookie.cli-ann".to_owned(), false));
        assert_eq!(say(6, "/agent pickle"), (new.clone(), true));
        assert_eq!(say(7, "/agent ../x"), (new, false));
    }

    #[test]
    fn a_command_lies_beside_its_session_also_where_the_event_names_it() {
        let draft = Draft { session: Some("work".into()), ..Draft::message("/new") };
        let decision = routed(&event(1, draft), &mut Learned::default());
        assert_eq!((&decision.lane[..], decision.learn), ("pickle.work+control", None));
        let text = routed(&event(1, Draft::message("/etc/hosts, what is it?")), &mut Learned::default());
        assert_eq!(text.lane, "pickle.cli-ann");
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
