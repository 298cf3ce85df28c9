//! Finding bindings that never decide, for `claw check`. The test is an approximation without false alarms: it recognises
//! identical patterns, literal addresses that an earlier pattern matches, and patterns below an earlier `prefix.*`. Other
//! overlaps of regular expressions are not reported.

use crate::core::event::address::Address;
use crate::core::routing::binding::{Rule, Table, Tier, whole};
use regex::Regex;

/// The bindings that never decide, as their index and the reason: their pattern matches no address, or a rule that is
/// tried before matches every address that they match.
#[must_use]
pub fn bindings(table: &Table) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for rule in &table.rules {
        let pattern = &rule.binding.pattern;
        let literals = literals(pattern);
        let earlier = match literals.as_deref() {
            Some([]) => {
                let message = format!("`{pattern}` matches no address (an address is channel:rest)");
                found.push((rule.index, message));
                continue;
            }
            Some([first, ..]) => earlier(table.at(first), rule),
            None => earlier(table.rules.iter(), rule),
        };
        if let Some(earlier) = earlier {
            let theirs = &earlier.binding.pattern;
            let message = format!("`{pattern}` is never reached: `{theirs}` is tried before it and matches all of it");
            found.push((rule.index, message));
        }
    }
    found.sort();
    found
}

/// The first rule before `rule` that matches all its addresses and senders.
fn earlier<'a>(mut tried: impl Iterator<Item = &'a Rule>, rule: &Rule) -> Option<&'a Rule> {
    let (pattern, from) = (&rule.binding.pattern, rule.binding.from.as_deref().unwrap_or(".*"));
    let is_covering = |earlier: &Rule| {
        covers(&earlier.binding.pattern, pattern)
            && earlier.binding.from.as_deref().is_none_or(|theirs| covers(theirs, from))
    };
    tried.by_ref().take_while(|earlier| !std::ptr::eq(*earlier, rule)).find(|earlier| is_covering(earlier))
}

/// Whether `first` certainly matches every address that `second` matches.
fn covers(first: &str, second: &str) -> bool {
    if first == second {
        return true;
    }
    match literals(second) {
        Some(texts) => Regex::new(&whole(first)).is_ok_and(|first| texts.iter().all(|text| first.is_match(text))),
        None => prefix(first).is_some_and(|prefix| is_below(second, prefix)),
    }
}

/// The addresses in a pattern that is a literal or an alternation of literals; `None` for every other pattern.
fn literals(pattern: &str) -> Option<Vec<&str>> {
    let texts: Vec<&str> = pattern.split('|').collect();
    let is_literal = texts.iter().all(|text| Tier::of(text) == Tier::Exact);
    is_literal.then(|| texts.into_iter().filter(|text| Address::parse(text).is_ok()).collect())
}

/// The literal prefix of a pattern that matches every address with this prefix: `prefix.*`, also `.+` and `channel:.+`,
/// because the text after the channel is never empty.
fn prefix(pattern: &str) -> Option<&str> {
    let is_channel = |prefix: &&str| prefix.is_empty() || prefix.find(':') == Some(prefix.len() - 1);
    let prefix = pattern.strip_suffix(".*").or_else(|| pattern.strip_suffix(".+").filter(is_channel));
    prefix.filter(|prefix| Tier::of(prefix) == Tier::Exact)
}

/// Whether every match of a pattern certainly begins with this literal.
fn is_below(pattern: &str, prefix: &str) -> bool {
    let is_optional = |rest: &str| rest.starts_with(['*', '?', '{']);
    prefix.is_empty() || !pattern.contains('|') && pattern.strip_prefix(prefix).is_some_and(|rest| !is_optional(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::routing::binding::{Binding, Scope};

    #[test]
    fn pattern_without_an_address_matches_nothing() {
        for none in ["pickle", "telegram", "a|b", "Telegram:1", ":x", "cli:", "cli: ", ""] {
            assert_eq!(literals(none), Some(vec![]), "{none}");
        }
        for some in [".*", "cli:ann", "cli:.*", ".+x", "a|cli:b", r"telegram:-?\d+", ".*:.*", r"[a-z]+:ü"] {
            assert_ne!(literals(some), Some(vec![]), "{some}");
        }
    }

    #[test]
    fn coverage_is_recognised_without_false_alarms() {
        for (first, second) in [
            (".*", "cli:.*"),
            (".+", "cli:.*"),
            ("cli:.*", "cli:ann"),
            ("cli:.*", "cli:a.*"),
            ("cli:.+", "cli:.*"),
            ("cli:.+", "cli:x.*"),
            ("(a|b)+:.*", "a:x|b:x"),
            (r"telegram:\d+", "telegram:42"),
            ("cli:[ab]", "cli:a|cli:b"),
            (r"telegram:\d+", r"telegram:\d+"),
        ] {
            assert!(covers(first, second), "{first} {second}");
        }
        for (first, second) in [
            ("cli:.*", ".*"),
            ("cli:a.*", "cli:.*"),
            ("cli:a.*", "cli:a*"),
            ("cli:ab.*", "cli:ab?.*"),
            ("cli:a.+", "cli:a.*"),
            ("cli:.*", "cli:x.*|file:.*"),
            ("telegram:[0-9]+", r"telegram:\d+"),
            ("cli:[ab]", "cli:a|cli:c"),
            ("cli:.*", "cli:.*|file:x"),
        ] {
            assert!(!covers(first, second), "{first} {second}");
        }
    }

    #[test]
    fn bindings_that_never_decide_are_found() {
        let unreachable = |lines: &[(&str, Option<&str>)]| {
            let binding = |(pattern, from): &(&str, Option<&str>)| Binding {
                pattern: (*pattern).to_owned(),
                agent: "a".to_owned(),
                from: from.map(ToOwned::to_owned),
                session: Scope::Place,
            };
            let lines = lines.iter().map(binding).enumerate().map(|(index, one)| (index, None, one));
            bindings(&Table::new(lines).unwrap()).into_iter().map(|(index, _)| index).collect::<Vec<_>>()
        };
        assert_eq!(unreachable(&[("cli:ann", None), ("cli:a.+", None), ("cli:.*", None), (".*", None)]), [0; 0]);
        assert_eq!(unreachable(&[("cli:ann", None), ("cli:bob", None), ("cli:ann", None)]), [2]);
        assert_eq!(
            unreachable(&[(".*", None), ("cli:.*", None), ("cli:ann", None)]),
            [1],
            "exact ones are tried first"
        );
        assert_eq!(unreachable(&[("pickle", None), ("a|b", None)]), [0, 1]);
        assert_eq!(unreachable(&[("a:.*", Some("b:1")), ("a:.*", None), ("a:.*", Some("b:2"))]), [2]);
        assert_eq!(unreachable(&[("a:.*", Some("b:.*")), ("a:.*", Some("b:2")), ("a:.*", Some("c:2"))]), [1]);
    }
}
