//! Why an event goes where it goes: everything that could have decided, in the order in which it is asked.

use crate::core::event::Event;
use crate::core::fault::Result;
use crate::core::routing::binding::{Binding, Rule, Table, Tier};
use crate::core::routing::learned::Learned;
use crate::core::routing::{DEFAULT, Decision, NAMED, RoutingRules, candidates, decide, mention, winner};
use serde::Serialize;

/// A rule, and what becomes of it for one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// What kind of rule it is.
    pub rule: &'static str,
    /// Its place in `routing.bindings`, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// The tier of its pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// Its pattern, or what else it is about.
    pub pattern: String,
    /// Who it would have answer.
    pub agent: String,
    /// Whether it is the one that decides.
    pub wins: bool,
    /// Whether it is about this place at all.
    pub matches: bool,
    /// Why it does, or does not.
    pub why: String,
}

/// Everything that could have decided about an event, in the order in which it is asked, with the decision.
///
/// # Errors
/// As [`decide`].
pub fn explain(event: &Event, learned: &Learned, rules: &RoutingRules) -> Result<(Decision, Vec<Considered>)> {
    let decision = decide(event, learned, rules)?;
    let mut list = Vec::new();
    if event.session.is_some() || event.agent.is_some() {
        consider(&mut list, "event", "the event's own agent or session".to_owned(), decision.agent.clone(), Ok(NAMED));
    }
    if let Some((name, _)) = mention(&event.content) {
        let is_agent = (rules.is_agent)(name);
        let reason = if is_agent { Ok("it calls that agent") } else { Err("there is no such agent: it stays text") };
        consider(&mut list, "mention", format!("@{name}"), name.to_owned(), reason);
    }
    let line = learned.at(event);
    let told_since = |rule: &&Rule| line.is_none_or(|line| rule.since.as_ref().is_some_and(|s| line.since < *s));
    let first = winner(event, learned, rules).0;
    let is_told = first.is_some_and(|rule| told_since(&rule));
    if let Some(line) = line {
        let whose = line.from.as_ref().map(|from| format!(", from {from}")).unwrap_or_default();
        let by = line.by.as_deref().unwrap_or(DEFAULT);
        let what = format!("{}{whose} since {} ({by})", line.address, line.since.short());
        let reason = if is_told { Err("a /route was said since") } else { Ok("a conversation keeps its agent") };
        consider(&mut list, "learned", what, line.agent.clone(), reason);
    }
    let found = candidates(event, learned, rules);
    let same = |a: &Rule, b: &Rule| std::ptr::eq(a, b);
    let others = |table: &'_ Table| table.rules.iter().filter(|r| !found.iter().any(|f| same(f, r))).cloned().collect();
    let others: [Vec<Rule>; 2] = [others(&learned.table), others(rules.table)];
    for rule in found.iter().copied().chain(others.iter().flatten()) {
        let wins = first.is_some_and(|first| same(first, rule));
        let reason = match first {
            _ if wins => Ok("the first that is for it"),
            _ if !found.iter().any(|f| same(f, rule)) => {
                let is_late = rule.since.as_ref().is_some_and(|since| *since > event.id);
                Err(if is_late { "it was said later" } else { "its pattern is another" })
            }
            _ if !rule.matches_sender(&event.from) => Err("it is for another sender"),
            Some(first) if first.tier < rule.tier => Err("a narrower pattern is asked first"),
            _ => Err("one of the same tier is asked first"),
        };
        let Binding { pattern, agent, from, .. } = &rule.binding;
        let from = from.as_ref().map(|from| format!(", from {from}")).unwrap_or_default();
        let kind = if rule.since.is_some() { "/route" } else { "binding" };
        let one = consider(&mut list, kind, format!("{pattern}{from}"), agent.clone(), reason);
        one.matches = found.iter().any(|f| same(f, rule));
        one.tier = Some(rule.tier);
        one.index = rule.since.is_none().then_some(rule.index);
    }
    consider(
        &mut list,
        "default",
        "everything else".to_owned(),
        rules.default_agent.to_owned(),
        Ok("no binding is for it"),
    );
    Ok((decision, list))
}

/// Adds a rule to the list; the first that could decide does.
fn consider<'a>(
    list: &'a mut Vec<Considered>,
    rule: &'static str,
    pattern: String,
    agent: String,
    reason: std::result::Result<&str, &str>,
) -> &'a mut Considered {
    let wins = reason.is_ok() && !list.iter().any(|one| one.wins);
    let why = match reason {
        Ok(why) if wins => why,
        Ok(_) => "something before it decides",
        Err(why) => why,
    };
    let (matches, why) = (reason.is_ok(), why.to_owned());
    list.push(Considered { rule, index: None, tier: None, pattern, agent, wins, matches, why });
    let at = list.len() - 1;
    &mut list[at]
}
