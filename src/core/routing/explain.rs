//! Explaining a routing decision: all rules in the order in which they are tried, each with the reason why it decides or
//! does not.

use crate::core::event::Event;
use crate::core::fault::Result;
use crate::core::routing::binding::{Binding, Rule, Table, Tier};
use crate::core::routing::learned::Learned;
use crate::core::routing::{DEFAULT, Decision, NAMED, RoutingRules, candidates, decide, mention, winner};
use serde::Serialize;

/// A rule and its outcome for one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// The kind of rule: `event`, `mention`, `learned`, `/route`, `binding` or `default`.
    pub rule: &'static str,
    /// Its index in `routing.bindings`, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// The tier of its pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// Its pattern, or a description of its condition.
    pub pattern: String,
    /// The agent that it selects.
    pub agent: String,
    /// Whether it decides.
    pub wins: bool,
    /// Whether it matches the reply address.
    pub matches: bool,
    /// The reason why it decides or does not.
    pub why: String,
}

/// The decision about an event, and all rules in the order in which they are tried.
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
        let reason = if is_agent { Ok("mentions that agent") } else { Err("no such agent: treated as text") };
        consider(&mut list, "mention", format!("@{name}"), name.to_owned(), reason);
    }
    let line = learned.at(event);
    let is_newer = |rule: &&Rule| line.is_none_or(|line| rule.since.as_ref().is_some_and(|s| line.since < *s));
    let first = winner(event, learned, rules).0;
    let is_rerouted = first.is_some_and(|rule| is_newer(&rule));
    if let Some(line) = line {
        let whose = line.from.as_ref().map(|from| format!(", from {from}")).unwrap_or_default();
        let by = line.by.as_deref().unwrap_or(DEFAULT);
        let pattern = format!("{}{whose} since {} ({by})", line.address, line.since.short());
        let reason = if is_rerouted { Err("replaced by a later /route") } else { Ok("a conversation keeps its agent") };
        consider(&mut list, "learned", pattern, line.agent.clone(), reason);
    }
    let found = candidates(event, learned, rules);
    let same = |a: &Rule, b: &Rule| std::ptr::eq(a, b);
    let others = |table: &'_ Table| table.rules.iter().filter(|r| !found.iter().any(|f| same(f, r))).cloned().collect();
    let others: [Vec<Rule>; 2] = [others(&learned.table), others(rules.table)];
    for rule in found.iter().copied().chain(others.iter().flatten()) {
        let wins = first.is_some_and(|first| same(first, rule));
        let reason = match first {
            _ if wins => Ok("first match"),
            _ if !found.iter().any(|f| same(f, rule)) => {
                let is_late = rule.since.as_ref().is_some_and(|since| *since > event.id);
                Err(if is_late { "set by a later /route" } else { "pattern does not match" })
            }
            _ if !rule.matches_sender(&event.from) => Err("sender does not match"),
            Some(first) if first.tier < rule.tier => Err("a more specific pattern is tried first"),
            _ => Err("an earlier rule of the same tier matches"),
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
        Ok("no binding matches"),
    );
    Ok((decision, list))
}

/// Adds a rule to the list. The first rule with an `Ok` reason decides.
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
        Ok(_) => "an earlier rule decides",
        Err(why) => why,
    };
    let (matches, why) = (reason.is_ok(), why.to_owned());
    list.push(Considered { rule, index: None, tier: None, pattern, agent, wins, matches, why });
    let at = list.len() - 1;
    &mut list[at]
}
