//! Routing: the agent and the session of an event, as a function of the event, the bindings, and the routes learned
//! before it. Inputs that can change later are recorded as a learned route before the event moves, so that a second copy
//! of the event is routed like the first.

pub mod binding;
pub mod explain;
pub mod learned;
pub mod unreachable;

use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::event::session_name;
use crate::core::event::{Event, EventKind};
use crate::core::fault::Result;
use crate::core::routing::binding::{Binding, Rule, Scope, Table};
use crate::core::routing::learned::{Learned, LearnedRoute};
use crate::core::slash::{self, SlashCommand};

/// The routing settings.
#[derive(Clone, Copy)]
pub struct RoutingRules<'a> {
    /// The agent for events that no binding matches.
    pub default_agent: &'a str,
    /// The reply address whose conversation is the main one.
    pub main: Option<&'a Address>,
    /// The compiled bindings.
    pub table: &'a Table,
    /// Whether an agent of this name exists.
    pub is_agent: &'a dyn Fn(&str) -> bool,
}

/// A routing decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The lane: the session, its control lane for commands, or `memories`.
    pub lane: String,
    /// The session; empty for `memories`.
    pub session: String,
    /// The agent that answers; empty for `memories`.
    pub agent: String,
    /// The reason, in a few words.
    pub why: String,
    /// The session in which this conversation began, if the conversation can be moved to another session.
    pub began: Option<String>,
    /// The event since which the conversation is in its present session, if it was moved.
    pub since: Option<Id>,
    /// The routes to sync before the event moves, in this order.
    pub learn: Vec<LearnedRoute>,
    /// An earlier learned route decided; it must be durable before the event moves.
    pub is_learned: bool,
}

impl Decision {
    fn new(lane: String, why: &str) -> Self {
        let agent = session_name::agent(&lane).to_owned();
        let (session, why) = (lane.clone(), why.to_owned());
        Self { agent, session, lane, why, began: None, since: None, learn: Vec::new(), is_learned: false }
    }

    /// The same decision after a command moved the conversation.
    #[must_use]
    pub fn switched_by(mut self, line: LearnedRoute) -> Self {
        (self.session, self.agent) = (line.session.clone(), line.agent.clone());
        (self.lane, self.since) = (session_name::control(&self.session), Some(line.since.clone()));
        self.learn.push(line);
        self
    }
}

pub(super) const DEFAULT: &str = "default agent";
pub(super) const NAMED: &str = "named by the event";

/// The mention `@cookie` at the beginning of a text: the agent's name, and the rest of the text.
#[must_use]
pub fn mention(text: &str) -> Option<(&str, &str)> {
    let rest = text.trim_start().strip_prefix('@')?;
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    // `@cookie, …` and `@cookie: …` are mentions too.
    let name = name.trim_end_matches([',', ':']);
    session_name::check_agent(name).is_ok().then(|| (name, rest.trim_start()))
}

/// The event as `agent` receives it: without a leading mention of the agent.
#[must_use]
pub fn without_mention(agent: &str, event: Event) -> Event {
    let is_open = event.kind == EventKind::Message && event.agent.is_none() && event.session.is_none();
    match mention(&event.content) {
        Some((name, rest)) if is_open && name == agent && !rest.is_empty() => {
            let content = rest.to_owned();
            Event { content, ..event }
        }
        _ => event,
    }
}

/// Routes an event: `conversation` finds its session; commands go to the control lane of that session, except
/// `/compact`, which needs the session's own lane.
///
/// # Errors
/// `Data` if the event or a binding has an invalid session or agent name.
pub fn decide(event: &Event, learned: &Learned, rules: &RoutingRules) -> Result<Decision> {
    let decision = conversation(event, learned, rules)?;
    if !slash::is_command(event) {
        return Ok(decision);
    }
    let lane = match slash::compact_focus(event) {
        Some(_) => decision.lane,
        None => session_name::control(&decision.session),
    };
    Ok(Decision { lane, why: "a command".to_owned(), ..decision })
}

/// The route learned from a command that moves its conversation: `/new` to a new session, `/agent` to the last session
/// of that agent in this conversation, at every reply address. `None` if the event names its session or agent, if the
/// route was learned already, and if nothing would change. The sender's permission and the agent's existence are not
/// checked here.
#[must_use]
pub fn switch(event: &Event, learned: &Learned, decision: &Decision) -> Option<LearnedRoute> {
    let is_named = event.session.is_some() || event.agent.is_some();
    if !slash::is_command(event) || is_named || decision.since.as_ref() == Some(&event.id) {
        return None;
    }
    let began = decision.began.clone()?;
    let (agent, session) = match slash::parse_event(event).ok()? {
        SlashCommand::New => {
            let agent = decision.agent.clone();
            let session = session_name::fresh(&agent, &event.reply_to, &event.id);
            (agent, session)
        }
        SlashCommand::Bind(agent) if agent != decision.agent => {
            session_name::check_agent(&agent).ok()?;
            let session = learned.last_with(&began, &event.id, &agent);
            (agent, session)
        }
        _ => return None,
    };
    let by = event.content.trim_start().lines().next().map(|line| line.trim_end().to_owned());
    Some(LearnedRoute { conversation: Some(began), by, ..learn(event, None, session, None) })
        .filter(|line| line.agent == agent)
}

/// Finds the session of an event. In order: the session named by the event; the agent named by the event; a route
/// learned from this event; a mention; a route learned for the reply address, unless a later `/route` replaces it; the
/// bindings; the default agent. Decisions not determined by the event alone are learned, so that a conversation keeps
/// its agent.
///
/// # Errors
/// As [`decide`].
pub(super) fn conversation(event: &Event, learned: &Learned, rules: &RoutingRules) -> Result<Decision> {
    if event.kind == EventKind::Remember {
        let (lane, agent) = (session_name::MEMORIES.to_owned(), String::new());
        let session = String::new();
        return Ok(Decision { session, agent, ..Decision::new(lane, "to be remembered") });
    }
    if let Some(name) = &event.session {
        return Ok(Decision::new(session_name::qualify(name, event.agent.as_deref(), rules.default_agent)?, NAMED));
    }
    if let Some(agent) = &event.agent {
        session_name::check_agent(agent)?;
        return Ok(begun(Decision::new(session_name::at(agent, &event.reply_to), NAMED), learned, event));
    }
    let line = learned.at(event);
    if let Some(line) = line.filter(|line| line.since == event.id) {
        return Ok(keep(line, learned, event));
    }
    let called = Some(&event.content).filter(|_| event.kind == EventKind::Message).and_then(|text| mention(text));
    if let Some((name, _)) = called.filter(|(name, _)| (rules.is_agent)(name)) {
        let by = format!("@{name}");
        let line = LearnedRoute { once: true, ..learn(event, None, session_name::at(name, &event.reply_to), Some(by)) };
        let decision = begun(Decision::new(line.session.clone(), &format!("@{name}")), learned, event);
        return Ok(Decision { learn: vec![line], ..decision });
    }
    let mut decision = converse(event, line, learned, rules)?;
    if let (Some((name, _)), true) = (called, decision.learn.is_empty()) {
        // An agent of this name may exist by the time a second copy is routed.
        let by = format!("{}, no agent is called {name}", decision.why);
        let session = decision.began.clone().unwrap_or_else(|| decision.lane.clone());
        decision.learn = vec![LearnedRoute { once: true, ..learn(event, Some(&event.from), session, Some(by)) }];
    }
    Ok(decision)
}

/// The decision by the reply address: the learned route, unless a later `/route` replaces it.
fn converse(event: &Event, line: Option<&LearnedRoute>, learned: &Learned, rules: &RoutingRules) -> Result<Decision> {
    let Some(line) = line else { return bind(event, learned, rules) };
    let since = |rule: &Rule| rule.since.as_ref().is_some_and(|since| line.since < *since && *since <= event.id);
    if !learned.table.at(event.reply_to.as_str()).any(since) {
        return Ok(keep(line, learned, event));
    }
    // A later `/route` matches this address. Its outcome must not depend on settings that can change: it is learned.
    let bound = bind(event, learned, rules)?;
    if winner(event, learned, rules).0.is_some_and(since) {
        return Ok(bound);
    }
    let pinned = LearnedRoute { since: event.id.clone(), ..line.clone() };
    Ok(Decision { learn: vec![pinned], ..keep(line, learned, event) })
}

fn keep(line: &LearnedRoute, learned: &Learned, event: &Event) -> Decision {
    let why = line.by.as_deref().unwrap_or(DEFAULT);
    let decision = Decision { is_learned: true, ..Decision::new(line.session.clone(), why) };
    begun(decision, learned, event)
}

/// The decision for the conversation that began in this lane, which may have moved since.
fn begun(decision: Decision, learned: &Learned, event: &Event) -> Decision {
    let began = Some(decision.lane.clone());
    match learned.follow(&decision.lane, &event.id) {
        Some(line) => {
            let why = line.by.clone().unwrap_or(decision.why);
            let since = Some(line.since.clone());
            Decision { began, since, is_learned: true, ..Decision::new(line.session.clone(), &why) }
        }
        None => Decision { began, ..decision },
    }
}

/// The rule that decides, and whether it or a rule tried before it has a sender condition.
pub(super) fn winner<'a>(event: &Event, learned: &'a Learned, rules: &RoutingRules<'a>) -> (Option<&'a Rule>, bool) {
    let mut depends_on_sender = false;
    for rule in candidates(event, learned, rules) {
        depends_on_sender |= rule.has_sender();
        if rule.matches_sender(&event.from) {
            return (Some(rule), depends_on_sender);
        }
    }
    (None, depends_on_sender)
}

/// The rules that match the event's reply address, in the order in which they are tried: by tier; within a tier those
/// set by `/route` up to this event, then those of the settings.
pub(super) fn candidates<'a>(event: &Event, learned: &'a Learned, rules: &RoutingRules<'a>) -> Vec<&'a Rule> {
    let place = event.reply_to.as_str();
    let is_set = |rule: &&Rule| rule.since.as_ref().is_some_and(|since| *since <= event.id);
    let mut found: Vec<&Rule> = learned.table.at(place).filter(is_set).chain(rules.table.at(place)).collect();
    found.sort_by_key(|rule| rule.tier);
    found
}

/// The decision by the bindings or the default agent, with the route to learn.
fn bind(event: &Event, learned: &Learned, rules: &RoutingRules) -> Result<Decision> {
    let (rule, depends_on_sender) = winner(event, learned, rules);
    let (lane, by, is_personal) = match rule {
        Some(rule) => {
            let Binding { agent, session, pattern, .. } = &rule.binding;
            session_name::check_agent(agent)?;
            let lane = session.session(agent, &event.reply_to, &event.from, rules.main)?;
            let verb = if rule.since.is_some() { "/route" } else { "binding" };
            (lane, Some(format!("{verb} {pattern}")), *session == Scope::Sender)
        }
        None => (session_name::at(rules.default_agent, &event.reply_to), None, false),
    };
    let from = Some(&event.from).filter(|_| depends_on_sender || is_personal);
    let why = by.as_deref().unwrap_or(DEFAULT);
    let decision = Decision { is_learned: rule.is_some_and(|r| r.since.is_some()), ..Decision::new(lane.clone(), why) };
    let decision = begun(decision, learned, event);
    Ok(Decision { learn: vec![learn(event, from, lane, by)], ..decision })
}

fn learn(event: &Event, from: Option<&Address>, session: String, by: Option<String>) -> LearnedRoute {
    LearnedRoute {
        since: event.id.clone(),
        address: event.reply_to.clone(),
        from: from.cloned(),
        agent: session_name::agent(&session).to_owned(),
        session,
        by,
        once: false,
        conversation: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Draft;
    use crate::core::event::stamp::Stamp;
    use crate::core::routing::explain::{Considered, explain};
    use crate::core::routing::learned::LearnedBinding;
    use proptest::prelude::*;

    fn event(at: i64, draft: Draft) -> Event {
        let place = Address::parse("cli:ann").unwrap();
        draft.complete(Id::new(Stamp(at), 0), Stamp(at), &place, &place)
    }

    fn at(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    /// Bindings as `pattern agent [from=…] [session=…]`.
    fn bindings(lines: &[&str]) -> Vec<Binding> {
        let read = |line: &&str| {
            let mut words = line.split(' ');
            let (pattern, agent) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
            let rest: Vec<&str> = words.collect();
            let value = |key: &str| rest.iter().find_map(|word| word.strip_prefix(key)).map(ToOwned::to_owned);
            let session = value("session=").map(Scope::from).unwrap_or_default();
            Binding { pattern, agent, from: value("from="), session }
        };
        lines.iter().map(read).collect()
    }

    fn table(lines: &[&str]) -> Table {
        Table::new(bindings(lines).into_iter().enumerate().map(|(index, one)| (index, None, one))).unwrap()
    }

    /// A router with its settings and learned routes; checks that every second copy is routed like the first.
    #[derive(Default)]
    struct Router {
        learned: Learned,
        table: Table,
        main: Option<Address>,
        default: &'static str,
    }

    impl Router {
        fn new(default: &'static str, lines: &[&str]) -> Self {
            Self { default, table: table(lines), ..Self::default() }
        }

        fn decide(&self, event: &Event) -> Decision {
            let is_agent = |name: &str| ["pickle", "cookie", "brain"].contains(&name);
            let rules = RoutingRules {
                default_agent: self.default,
                main: self.main.as_ref(),
                table: &self.table,
                is_agent: &is_agent,
            };
            let (decision, list) = explain(event, &self.learned, &rules).unwrap();
            if !decision.agent.is_empty() && decision.since.is_none() {
                let winners: Vec<&Considered> = list.iter().filter(|one| one.wins).collect();
                assert_eq!(winners.len(), 1, "{list:#?}");
                assert_eq!(winners[0].agent, decision.agent, "{list:#?}");
            }
            decision
        }

        /// Routes an event, learns from it, and checks that a second copy goes the same way.
        fn route(&mut self, event: &Event) -> String {
            let decision = self.turn(event);
            decision.learn.into_iter().for_each(|line| self.learned.push(line));
            let again = self.turn(event);
            assert_eq!((again.lane, again.learn), (decision.lane.clone(), vec![]));
            decision.lane
        }

        /// Decides as `route` does.
        fn turn(&self, event: &Event) -> Decision {
            let decision = self.decide(event);
            match switch(event, &self.learned, &decision) {
                Some(line) => decision.switched_by(line),
                None => decision,
            }
        }

        fn says(&mut self, instant: i64, from: &str, place: &str, text: &str) -> String {
            self.route(&said(instant, from, place, text))
        }
    }

    fn said(instant: i64, from: &str, place: &str, text: &str) -> Event {
        let draft = Draft { from: Some(at(from)), reply_to: Some(at(place)), ..Draft::message(text) };
        event(instant, draft)
    }

    #[test]
    fn conversation_keeps_its_agent_when_the_default_changes() {
        let mut router = Router::new("pickle", &[]);
        let first = said(5, "cli:ann", "cli:ann", "hi");
        assert_eq!(router.route(&first), "pickle.cli-ann");
        router.default = "cookie";
        let later = router.decide(&event(9, Draft::message("hi")));
        assert_eq!((later.agent.as_str(), later.learn), ("pickle", vec![]));
        // A second copy of the first event is routed like the first.
        assert_eq!(router.decide(&first).lane, "pickle.cli-ann");
        // An event older than every learned route is not affected by them.
        assert_eq!(router.decide(&event(1, Draft::message("hi"))).agent, "cookie");
    }

    #[test]
    fn new_session_begins_with_the_command_and_not_before_it() {
        let mut router = Router::new("pickle", &[]);
        let [first, new, later] = [(1, "hi"), (5, "/new"), (9, "hi")].map(|(at, text)| event(at, Draft::message(text)));
        assert_eq!(router.route(&first), "pickle.cli-ann");
        let session = session_name::fresh("pickle", &new.reply_to, &new.id);
        assert_eq!(router.route(&new), session_name::control(&session));
        assert_eq!(router.route(&later), session);
        // Second copies are routed like the first ones, and nothing more is learned.
        assert_eq!(router.route(&first), "pickle.cli-ann");
        assert_eq!(router.route(&new), session_name::control(&session));
    }

    #[test]
    fn returning_agent_continues_its_last_session() {
        let mut router = Router::new("pickle", &[]);
        let mut say = |at, text| {
            let event = event(at, Draft::message(text));
            let decision = router.turn(&event);
            router.route(&event);
            (decision.session, !decision.learn.is_empty())
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
    fn command_goes_to_the_control_lane_also_if_the_event_names_its_session() {
        let mut router = Router::new("pickle", &[]);
        let draft = Draft { session: Some("work".into()), ..Draft::message("/new") };
        assert_eq!(router.route(&event(1, draft)), "pickle.work+control");
        assert_eq!(router.route(&event(2, Draft::message("/etc/hosts, what is it?"))), "pickle.cli-ann");
        assert_eq!(router.route(&event(3, Draft::message("/compact the boat"))), "pickle.cli-ann");
    }

    #[test]
    fn session_and_agent_named_by_the_event_take_precedence() {
        let router = Router::new("pickle", &[".* brain"]);
        let named = |agent: Option<&str>, session: Option<&str>| {
            let draft = Draft { agent: agent.map(Into::into), session: session.map(Into::into), ..Draft::message("x") };
            let decision = router.decide(&event(1, draft));
            (decision.lane, decision.agent)
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(named(Some("cookie"), None), pair("cookie.cli-ann", "cookie"));
        assert_eq!(named(None, Some("work")), pair("pickle.work", "pickle"));
        assert_eq!(named(None, Some("cookie.work")), pair("cookie.work", "cookie"));
        let rules = RoutingRules { default_agent: "pickle", main: None, table: &router.table, is_agent: &|_| true };
        for (agent, session) in [(Some("../x"), None), (None, Some("../x"))] {
            let draft = Draft { agent: agent.map(Into::into), session: session.map(Into::into), ..Draft::message("x") };
            assert!(decide(&event(1, draft), &Learned::default(), &rules).is_err());
        }
    }

    #[test]
    fn remember_events_have_their_own_lane() {
        let draft = Draft { kind: EventKind::Remember, agent: Some("cookie".into()), ..Draft::message("x") };
        assert_eq!(Router::new("pickle", &[".* brain"]).decide(&event(1, draft)).lane, "memories");
    }

    #[test]
    fn changed_binding_applies_to_new_conversations_only() {
        let mut router = Router::new("pickle", &["telegram:.* brain"]);
        let first = said(5, "telegram:1", "telegram:1", "hi");
        assert_eq!(router.route(&first), "brain.telegram-1");
        router.table = table(&["telegram:.* cookie"]);
        assert_eq!(router.says(6, "telegram:1", "telegram:1", "hi"), "brain.telegram-1");
        assert_eq!(router.says(7, "telegram:2", "telegram:2", "hi"), "cookie.telegram-2");
        assert_eq!(router.decide(&first).lane, "brain.telegram-1");
        // A late event older than every learned route of its address: a route is learned for this event.
        let late = said(3, "telegram:1", "telegram:1", "late");
        assert_eq!(router.route(&late), "cookie.telegram-1");
        router.table = table(&[]);
        assert_eq!(router.decide(&late).lane, "cookie.telegram-1");
        assert_eq!(router.decide(&first).lane, "brain.telegram-1");
    }

    #[test]
    fn binding_with_a_sender_does_not_decide_for_other_senders() {
        let mut router = Router::new("pickle", &["telegram:-1 cookie from=telegram:42", "telegram:.* brain"]);
        assert_eq!(router.says(1, "telegram:42", "telegram:-1", "a"), "cookie.telegram--1");
        assert_eq!(router.says(2, "telegram:7", "telegram:-1", "b"), "brain.telegram--1");
        assert_eq!(router.says(3, "telegram:42", "telegram:-1", "c"), "cookie.telegram--1");
        router.table = table(&[]);
        assert_eq!(router.says(4, "telegram:42", "telegram:-1", "d"), "cookie.telegram--1");
        assert_eq!(router.says(5, "telegram:7", "telegram:-1", "e"), "brain.telegram--1");
        assert_eq!(router.says(6, "telegram:9", "telegram:-1", "f"), "pickle.telegram--1");
    }

    #[test]
    fn binding_scope_selects_the_session() {
        let mut router = Router::new(
            "pickle",
            &["a:.* pickle session=sender", "b:.* pickle session=main", "c:.* cookie session=work", "d:.* cookie"],
        );
        router.main = Some(at("cli:ann"));
        assert_eq!(router.says(1, "u:1", "a:x", "hi"), "pickle.u-1");
        assert_eq!(router.says(2, "u:2", "a:x", "hi"), "pickle.u-2");
        assert_eq!(router.says(3, "u:1", "a:y", "hi"), "pickle.u-1");
        assert_eq!(router.says(4, "u:1", "b:x", "hi"), "pickle.cli-ann");
        assert_eq!(router.says(5, "cli:ann", "cli:ann", "hi"), "pickle.cli-ann");
        assert_eq!(router.says(6, "u:1", "c:x", "hi"), "cookie.work");
        assert_eq!(router.says(7, "u:1", "d:x", "hi"), "cookie.d-x");
        // A route of the address must not replace the route of a sender.
        router.table = table(&["a:.* brain"]);
        assert_eq!(router.says(8, "u:3", "a:x", "hi"), "brain.a-x");
        assert_eq!(router.says(9, "u:1", "a:x", "hi"), "pickle.u-1");
    }

    #[test]
    fn mention_applies_to_one_message_and_an_unknown_name_is_text() {
        let mut router = Router::new("pickle", &[]);
        let called = said(2, "cli:ann", "cli:ann", "@cookie where is it?");
        assert_eq!(router.says(1, "cli:ann", "cli:ann", "hi"), "pickle.cli-ann");
        assert_eq!(router.route(&called), "cookie.cli-ann");
        assert_eq!(without_mention("cookie", called.clone()).content, "where is it?");
        assert_eq!(without_mention("pickle", called).content, "@cookie where is it?");
        assert_eq!(router.says(3, "cli:ann", "cli:ann", "hi"), "pickle.cli-ann");
        let unknown = said(4, "cli:ann", "cli:ann", "@bob hi");
        assert_eq!(router.route(&unknown), "pickle.cli-ann");
        assert_eq!(without_mention("pickle", unknown.clone()).content, "@bob hi");
        // An agent of that name exists now; the second copy is still routed like the first.
        let rules = RoutingRules { default_agent: "pickle", main: None, table: &Table::default(), is_agent: &|_| true };
        assert_eq!(decide(&unknown, &router.learned, &rules).unwrap().lane, "pickle.cli-ann");
    }

    #[test]
    fn route_command_moves_existing_conversations() {
        let mut router = Router::new("pickle", &["cli:ann brain"]);
        for (n, place) in ["cli:ann", "cli:bob", "file:x"].iter().enumerate() {
            router.says(n.try_into().unwrap(), place, place, "hi");
        }
        let set = |n, line: &str| LearnedBinding { since: Id::new(Stamp(n), 0), binding: bindings(&[line]).remove(0) };
        router.learned.add_bindings([set(10, "cli:.* cookie")]);
        let before = said(9, "cli:bob", "cli:bob", "hi");
        assert_eq!(router.route(&before), "pickle.cli-bob");
        let exact = said(11, "cli:ann", "cli:ann", "hi");
        assert_eq!(router.route(&exact), "brain.cli-ann", "the more specific binding comes first");
        assert_eq!(router.says(12, "cli:bob", "cli:bob", "hi"), "cookie.cli-bob");
        assert_eq!(router.says(13, "cli:new", "cli:new", "hi"), "cookie.cli-new");
        assert_eq!(router.says(14, "file:x", "file:x", "hi"), "pickle.file-x");
        // Changed settings do not affect events that were routed.
        router.table = table(&[]);
        assert_eq!(router.decide(&exact).lane, "brain.cli-ann");
        router.learned.add_bindings([set(20, "cli:.* brain")]);
        assert_eq!(router.says(21, "cli:bob", "cli:bob", "hi"), "brain.cli-bob", "the newest binding wins");
        assert_eq!(router.decide(&before).lane, "pickle.cli-bob");
    }

    #[test]
    fn conversation_moves_at_every_reply_address() {
        let mut router = Router::new("pickle", &["[ab]:.* pickle session=main"]);
        router.main = Some(at("cli:ann"));
        let first = said(1, "u:1", "a:x", "hi");
        assert_eq!(router.route(&first), "pickle.cli-ann");
        assert_eq!(router.says(2, "u:1", "b:x", "hi"), "pickle.cli-ann");
        router.says(3, "u:1", "b:x", "/new");
        let fresh = router.says(3, "u:1", "b:x", "hi");
        assert!(fresh.starts_with("pickle.b-x") && fresh != "pickle.b-x", "{fresh}");
        for (n, place) in ["a:x", "b:x", "b:new", "cli:ann"].iter().enumerate() {
            let n: i64 = n.try_into().unwrap();
            assert_eq!(router.says(4 + n, "u:1", place, "hi"), fresh, "{place}");
        }
        assert_eq!(router.decide(&first).lane, "pickle.cli-ann");
    }

    fn pattern() -> impl Strategy<Value = String> {
        let atom =
            prop::sample::select(vec!["a", "b", "a:", "b:", ".", ".*", "[ab]", "(a|b)", "a|b:a", ":", "a+", "b?"]);
        prop::collection::vec(atom, 1..4).prop_map(|atoms| atoms.concat())
    }

    fn place() -> impl Strategy<Value = String> {
        "[ab]{1,2}:[ab]{1,2}"
    }

    proptest! {
        #[test]
        fn first_match_of_the_most_specific_tier_wins(
            patterns in prop::collection::vec((pattern(), prop::option::of(pattern())), 0..8),
            place in place(),
            from in place(),
        ) {
            let agent = |n: usize| format!("agent{n}");
            let made = patterns.iter().enumerate().map(|(n, (pattern, from))| Binding {
                pattern: pattern.clone(),
                agent: agent(n),
                from: from.clone(),
                session: Scope::Place,
            });
            let router = Router {
                table: Table::new(made.enumerate().map(|(n, one)| (n, None, one))).unwrap(),
                default: "pickle",
                ..Router::default()
            };
            let is = |pattern: &str, text: &str| regex::Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(text);
            let tier = |pattern: &str| match pattern {
                p if p.contains(".*") => 2,
                p if regex::escape(p) == p => 0,
                _ => 1,
            };
            let naive = patterns.iter().enumerate().filter(|(_, (pattern, sender))| {
                is(pattern, &place) && sender.as_ref().is_none_or(|sender| is(sender, &from))
            });
            let naive = naive.min_by_key(|(n, (pattern, _))| (tier(pattern), *n)).map_or("pickle".to_owned(), |(n, _)| agent(n));
            prop_assert_eq!(router.decide(&said(1, &from, &place, "hi")).agent, naive);
        }
    }
}
