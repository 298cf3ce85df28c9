//! The tools that an agent reaches only through other agents, by giving them tasks.

use crate::core::definition::Agent;
use crate::core::tool::DISPATCH;
use std::collections::BTreeMap;

/// The tools that `agent` does not have itself, each with the first agent in the chain of dispatches that has it.
/// `tools` are the names of all tools.
#[must_use]
pub fn through_others<'a>(agent: &'a Agent, all: &'a [&Agent], tools: &[&'a str]) -> BTreeMap<&'a str, &'a str> {
    let has = |agent: &Agent, tool: &str| agent.tools.approve(tool).is_some();
    let mut reached = vec![agent];
    let mut found = BTreeMap::new();
    let mut next = 0;
    while let Some(from) = reached.get(next).copied().filter(|_| next < all.len()) {
        next += 1;
        if !has(from, DISPATCH) {
            continue;
        }
        for to in all.iter().filter(|to| from.tools.may_dispatch_to(&to.id)) {
            if !reached.iter().any(|known| known.id == to.id) {
                for tool in tools.iter().filter(|tool| has(to, tool) && !has(agent, tool)) {
                    found.entry(*tool).or_insert(to.id.as_str());
                }
                reached.push(to);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(id: &str, tools: &str) -> Agent {
        Agent { id: id.into(), tools: serde_yaml::from_str(tools).unwrap(), ..Agent::default() }
    }

    #[test]
    fn tools_of_agents_further_down_are_found_and_limits_are_followed() {
        let all = [
            agent("a", "[subagent_dispatch, read]"),
            agent("b", "[{subagent_dispatch: {agents: [c]}}, read]"),
            agent("c", "[bash]"),
            agent("d", "[write]"),
        ];
        let all: Vec<&Agent> = all.iter().collect();
        let through = |id: usize| -> Vec<(&str, &str)> {
            through_others(all[id], &all, &["bash", "read", "write", DISPATCH]).into_iter().collect()
        };
        assert_eq!(through(0), [("bash", "c"), ("write", "d")]);
        assert_eq!(through(1), [("bash", "c")]);
        assert_eq!((through(2), through(3)), (vec![], vec![]));
    }
}
