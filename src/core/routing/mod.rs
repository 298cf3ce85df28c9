//! Who answers, in which session: a function of the event, of the bindings, and of the lines learned before
//! it. Whatever of this can change is written down before the event moves, so that its second copy goes
//! where the first one went.

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

/// What the settings say about routing.
#[derive(Clone, Copy)]
pub struct RoutingRules<'a> {
    /// Who answers what no binding is for.
    pub default_agent: &'a str,
    /// The place whose conversation is the main one.
    pub main: Option<&'a Address>,
    /// The bindings.
    pub table: &'a Table,
    /// Whether there is such an agent.
    pub is_agent: &'a dyn Fn(&str) -> bool,
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
    pub why: String,
    /// The session in which this conversation began, where it is one that can go on in another.
    pub began: Option<String>,
    /// Since when it goes on there, where it does.
    pub since: Option<Id>,
    /// The lines to be synced before the event moves, in this order.
    pub learn: Vec<LearnedRoute>,
    /// A line that was learned before has decided; it must be durable before the event moves.
    pub is_learned: bool,
}

impl Decision {
    fn new(lane: String, why: &str) -> Self {
        let agent = session_name::agent(&lane).to_owned();
        let (session, why) = (lane.clone(), why.to_owned());
        Self { agent, session, lane, why, began: None, since: None, learn: Vec::new(), is_learned: false }
    }

    /// The same with what a command has taught.
    #[must_use]
    pub fn turned_by(mut self, line: LearnedRoute) -> Self {
        (self.session, self.agent) = (line.session.clone(), line.agent.clone());
        (self.lane, self.since) = (session_name::control(&self.session), Some(line.since.clone()));
        self.learn.push(line);
        self
    }
}

pub(super) const DEFAULT: &str = "default agent";
pub(super) const NAMED: &str = "named by the event";

/// The agent that a text begins with, `@cookie`, and the text behind it.
#[must_use]
pub fn mention(text: &str) -> Option<(&str, &str)> {
    let rest = text.trim_start().strip_prefix('@')?;
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    // `@cookie, what…` means cookie as well.
    let name = name.trim_end_matches([',', ':']);
    session_name::check_agent(name).is_ok().then(|| (name, rest.trim_start()))
}

/// The event as `agent` is shown it: without the word that called it.
#[must_use]
pub fn heard_by(agent: &str, event: Event) -> Event {
    let is_open = event.kind == EventKind::Message && event.agent.is_none() && event.session.is_none();
    match mention(&event.content) {
        Some((name, rest)) if is_open && name == agent && !rest.is_empty() => {
            let content = rest.to_owned();
            Event { content, ..event }
        }
        _ => event,
    }
}

/// Decides. What the event says of its session, its agent and its place, `conversation` does; commands go
/// beside it, but for the one that needs it.
///
/// # Errors
/// `Data` where the event or a binding names an impossible session or agent.
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

/// The line that a command teaches, where it is one that does: from here on another session, or another agent in
/// the session that it had in this conversation last, at every place where it is held. Nothing where the event
/// names its session or its agent itself, where it has taught its line already, and where nothing would change.
/// Who may say it and which agents there are is not looked at.
#[must_use]
pub fn turned(event: &Event, learned: &Learned, decision: &Decision) -> Option<LearnedRoute> {
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

/// Decides for what is said. The event's own session, then its own agent; then what was learned from this very
/// event; then the agent it calls; then what was learned about its place, unless a binding was told since; then
/// the bindings; then the default agent. Whatever of this is not in the event is then learned: a conversation
/// keeps its agent.
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
        // There may be an agent of this name when the second copy comes.
        let by = format!("{}, no agent is called {name}", decision.why);
        let session = decision.began.clone().unwrap_or_else(|| decision.lane.clone());
        decision.learn = vec![LearnedRoute { once: true, ..learn(event, Some(&event.from), session, Some(by)) }];
    }
    Ok(decision)
}

/// What the conversation at the event's place says.
fn converse(event: &Event, line: Option<&LearnedRoute>, learned: &Learned, rules: &RoutingRules) -> Result<Decision> {
    let Some(line) = line else { return bind(event, learned, rules) };
    let since = |rule: &Rule| rule.since.as_ref().is_some_and(|since| line.since < *since && *since <= event.id);
    if !learned.table.at(event.reply_to.as_str()).any(since) {
        return Ok(keep(line, learned, event));
    }
    // Something was told of this place since; whatever comes of it must not hang on the settings of today.
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

/// A decision for the conversation that began in its lane.
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

/// The rule that wins, and whether it or one that was asked before it asks who says it.
pub(super) fn winner<'a>(event: &Event, learned: &'a Learned, rules: &RoutingRules<'a>) -> (Option<&'a Rule>, bool) {
    let mut asks_who = false;
    for rule in candidates(event, learned, rules) {
        asks_who |= rule.asks_who();
        if rule.hears(&event.from) {
            return (Some(rule), asks_who);
        }
    }
    (None, asks_who)
}

/// The rules for the event's place in the order in which they are asked: by tier, and in one tier those that
/// were told by then before those of the settings.
pub(super) fn candidates<'a>(event: &Event, learned: &'a Learned, rules: &RoutingRules<'a>) -> Vec<&'a Rule> {
    let place = event.reply_to.as_str();
    let is_told = |rule: &&Rule| rule.since.as_ref().is_some_and(|since| *since <= event.id);
    let mut found: Vec<&Rule> = learned.table.at(place).filter(is_told).chain(rules.table.at(place)).collect();
    found.sort_by_key(|rule| rule.tier);
    found
}

/// What the bindings say, and what is to be learned of it.
fn bind(event: &Event, learned: &Learned, rules: &RoutingRules) -> Result<Decision> {
    let (rule, asks_who) = winner(event, learned, rules);
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
    let from = Some(&event.from).filter(|_| asks_who || is_personal);
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
    use crate::core::routing::learned::ToldBinding;
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

    /// What was learned so far, and a way to send one more event at the instant that it is named by.
    #[derive(Default)]
    struct Town {
        learned: Learned,
        table: Table,
        main: Option<Address>,
        default: &'static str,
    }

    impl Town {
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

        /// Routes an event, learns what is to be learned, and looks that its second copy goes there too.
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
            match turned(event, &self.learned, &decision) {
                Some(line) => decision.turned_by(line),
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
    fn a_conversation_keeps_its_agent_when_the_default_changes() {
        let mut town = Town::new("pickle", &[]);
        let first = said(5, "cli:ann", "cli:ann", "hi");
        assert_eq!(town.route(&first), "pickle.cli-ann");
        town.default = "cookie";
        let later = town.decide(&event(9, Draft::message("hi")));
        assert_eq!((later.agent.as_str(), later.learn), ("pickle", vec![]));
        // A second copy of the first event is decided as the first was.
        assert_eq!(town.decide(&first).lane, "pickle.cli-ann");
        // What is older than anything learned is not bound by it.
        assert_eq!(town.decide(&event(1, Draft::message("hi"))).agent, "cookie");
    }

    #[test]
    fn a_new_conversation_begins_with_the_command_and_not_before_it() {
        let mut town = Town::new("pickle", &[]);
        let [first, new, later] = [(1, "hi"), (5, "/new"), (9, "hi")].map(|(at, text)| event(at, Draft::message(text)));
        assert_eq!(town.route(&first), "pickle.cli-ann");
        let session = session_name::fresh("pickle", &new.reply_to, &new.id);
        assert_eq!(town.route(&new), session_name::control(&session));
        assert_eq!(town.route(&later), session);
        // Second copies are decided as the first ones were, and teach nothing more.
        assert_eq!(town.route(&first), "pickle.cli-ann");
        assert_eq!(town.route(&new), session_name::control(&session));
    }

    #[test]
    fn an_agent_that_comes_back_goes_on_where_it_was() {
        let mut town = Town::new("pickle", &[]);
        let mut say = |at, text| {
            let event = event(at, Draft::message(text));
            let decision = town.turn(&event);
            town.route(&event);
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
    fn a_command_lies_beside_its_session_also_where_the_event_names_it() {
        let mut town = Town::new("pickle", &[]);
        let draft = Draft { session: Some("work".into()), ..Draft::message("/new") };
        assert_eq!(town.route(&event(1, draft)), "pickle.work+control");
        assert_eq!(town.route(&event(2, Draft::message("/etc/hosts, what is it?"))), "pickle.cli-ann");
        assert_eq!(town.route(&event(3, Draft::message("/compact the boat"))), "pickle.cli-ann");
    }

    #[test]
    fn what_the_event_names_comes_first() {
        let town = Town::new("pickle", &[".* brain"]);
        let named = |agent: Option<&str>, session: Option<&str>| {
            let draft = Draft { agent: agent.map(Into::into), session: session.map(Into::into), ..Draft::message("x") };
            let decision = town.decide(&event(1, draft));
            (decision.lane, decision.agent)
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(named(Some("cookie"), None), pair("cookie.cli-ann", "cookie"));
        assert_eq!(named(None, Some("work")), pair("pickle.work", "pickle"));
        assert_eq!(named(None, Some("cookie.work")), pair("cookie.work", "cookie"));
        let rules = RoutingRules { default_agent: "pickle", main: None, table: &town.table, is_agent: &|_| true };
        for (agent, session) in [(Some("../x"), None), (None, Some("../x"))] {
            let draft = Draft { agent: agent.map(Into::into), session: session.map(Into::into), ..Draft::message("x") };
            assert!(decide(&event(1, draft), &Learned::default(), &rules).is_err());
        }
    }

    #[test]
    fn what_is_to_be_remembered_has_its_own_lane() {
        let draft = Draft { kind: EventKind::Remember, agent: Some("cookie".into()), ..Draft::message("x") };
        assert_eq!(Town::new("pickle", &[".* brain"]).decide(&event(1, draft)).lane, "memories");
    }

    #[test]
    fn a_changed_binding_is_for_conversations_that_are_new() {
        let mut town = Town::new("pickle", &["telegram:.* brain"]);
        let first = said(5, "telegram:1", "telegram:1", "hi");
        assert_eq!(town.route(&first), "brain.telegram-1");
        town.table = table(&["telegram:.* cookie"]);
        assert_eq!(town.says(6, "telegram:1", "telegram:1", "hi"), "brain.telegram-1");
        assert_eq!(town.says(7, "telegram:2", "telegram:2", "hi"), "cookie.telegram-2");
        assert_eq!(town.decide(&first).lane, "brain.telegram-1");
        // Late, from before anything was learned of the place: it is learned from it, for itself.
        let late = said(3, "telegram:1", "telegram:1", "late");
        assert_eq!(town.route(&late), "cookie.telegram-1");
        town.table = table(&[]);
        assert_eq!(town.decide(&late).lane, "cookie.telegram-1");
        assert_eq!(town.decide(&first).lane, "brain.telegram-1");
    }

    #[test]
    fn who_asks_for_a_sender_does_not_decide_for_the_others_there() {
        let mut town = Town::new("pickle", &["telegram:-1 cookie from=telegram:42", "telegram:.* brain"]);
        assert_eq!(town.says(1, "telegram:42", "telegram:-1", "a"), "cookie.telegram--1");
        assert_eq!(town.says(2, "telegram:7", "telegram:-1", "b"), "brain.telegram--1");
        assert_eq!(town.says(3, "telegram:42", "telegram:-1", "c"), "cookie.telegram--1");
        town.table = table(&[]);
        assert_eq!(town.says(4, "telegram:42", "telegram:-1", "d"), "cookie.telegram--1");
        assert_eq!(town.says(5, "telegram:7", "telegram:-1", "e"), "brain.telegram--1");
        assert_eq!(town.says(6, "telegram:9", "telegram:-1", "f"), "pickle.telegram--1");
    }

    #[test]
    fn a_session_is_the_place_s_the_sender_s_the_main_one_or_a_named_one() {
        let mut town = Town::new(
            "pickle",
            &["a:.* pickle session=sender", "b:.* pickle session=main", "c:.* cookie session=work", "d:.* cookie"],
        );
        town.main = Some(at("cli:ann"));
        assert_eq!(town.says(1, "u:1", "a:x", "hi"), "pickle.u-1");
        assert_eq!(town.says(2, "u:2", "a:x", "hi"), "pickle.u-2");
        assert_eq!(town.says(3, "u:1", "a:y", "hi"), "pickle.u-1");
        assert_eq!(town.says(4, "u:1", "b:x", "hi"), "pickle.cli-ann");
        assert_eq!(town.says(5, "cli:ann", "cli:ann", "hi"), "pickle.cli-ann");
        assert_eq!(town.says(6, "u:1", "c:x", "hi"), "cookie.work");
        assert_eq!(town.says(7, "u:1", "d:x", "hi"), "cookie.d-x");
        // The place's own line would not be the sender's.
        town.table = table(&["a:.* brain"]);
        assert_eq!(town.says(8, "u:3", "a:x", "hi"), "brain.a-x");
        assert_eq!(town.says(9, "u:1", "a:x", "hi"), "pickle.u-1");
    }

    #[test]
    fn a_call_is_for_this_once_and_an_unknown_one_is_text() {
        let mut town = Town::new("pickle", &[]);
        let called = said(2, "cli:ann", "cli:ann", "@cookie where is it?");
        assert_eq!(town.says(1, "cli:ann", "cli:ann", "hi"), "pickle.cli-ann");
        assert_eq!(town.route(&called), "cookie.cli-ann");
        assert_eq!(heard_by("cookie", called.clone()).content, "where is it?");
        assert_eq!(heard_by("pickle", called).content, "@cookie where is it?");
        assert_eq!(town.says(3, "cli:ann", "cli:ann", "hi"), "pickle.cli-ann");
        let unknown = said(4, "cli:ann", "cli:ann", "@bob hi");
        assert_eq!(town.route(&unknown), "pickle.cli-ann");
        assert_eq!(heard_by("pickle", unknown.clone()).content, "@bob hi");
        // An agent of that name has come meanwhile; its second copy goes where the first one went.
        let rules = RoutingRules { default_agent: "pickle", main: None, table: &Table::default(), is_agent: &|_| true };
        assert_eq!(decide(&unknown, &town.learned, &rules).unwrap().lane, "pickle.cli-ann");
    }

    #[test]
    fn what_was_told_moves_conversations_that_are_older() {
        let mut town = Town::new("pickle", &["cli:ann brain"]);
        for (n, place) in ["cli:ann", "cli:bob", "file:x"].iter().enumerate() {
            town.says(n.try_into().unwrap(), place, place, "hi");
        }
        let told = |n, line: &str| ToldBinding { since: Id::new(Stamp(n), 0), binding: bindings(&[line]).remove(0) };
        town.learned.tell([told(10, "cli:.* cookie")]);
        let before = said(9, "cli:bob", "cli:bob", "hi");
        assert_eq!(town.route(&before), "pickle.cli-bob");
        let exact = said(11, "cli:ann", "cli:ann", "hi");
        assert_eq!(town.route(&exact), "brain.cli-ann", "a narrower binding comes first");
        assert_eq!(town.says(12, "cli:bob", "cli:bob", "hi"), "cookie.cli-bob");
        assert_eq!(town.says(13, "cli:new", "cli:new", "hi"), "cookie.cli-new");
        assert_eq!(town.says(14, "file:x", "file:x", "hi"), "pickle.file-x");
        // What the settings say now changes nothing about what was routed.
        town.table = table(&[]);
        assert_eq!(town.decide(&exact).lane, "brain.cli-ann");
        town.learned.tell([told(20, "cli:.* brain")]);
        assert_eq!(town.says(21, "cli:bob", "cli:bob", "hi"), "brain.cli-bob", "the last word counts");
        assert_eq!(town.decide(&before).lane, "pickle.cli-bob");
    }

    #[test]
    fn a_conversation_moves_at_every_place_where_it_is_held() {
        let mut town = Town::new("pickle", &["[ab]:.* pickle session=main"]);
        town.main = Some(at("cli:ann"));
        let first = said(1, "u:1", "a:x", "hi");
        assert_eq!(town.route(&first), "pickle.cli-ann");
        assert_eq!(town.says(2, "u:1", "b:x", "hi"), "pickle.cli-ann");
        town.says(3, "u:1", "b:x", "/new");
        let fresh = town.says(3, "u:1", "b:x", "hi");
        assert!(fresh.starts_with("pickle.b-x") && fresh != "pickle.b-x", "{fresh}");
        for (n, place) in ["a:x", "b:x", "b:new", "cli:ann"].iter().enumerate() {
            let n: i64 = n.try_into().unwrap();
            assert_eq!(town.says(4 + n, "u:1", place, "hi"), fresh, "{place}");
        }
        assert_eq!(town.decide(&first).lane, "pickle.cli-ann");
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
        fn the_first_of_the_narrowest_tier_that_matches_wins(
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
            let town = Town {
                table: Table::new(made.enumerate().map(|(n, one)| (n, None, one))).unwrap(),
                default: "pickle",
                ..Town::default()
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
            prop_assert_eq!(town.decide(&said(1, &from, &place, "hi")).agent, naive);
        }
    }
}
