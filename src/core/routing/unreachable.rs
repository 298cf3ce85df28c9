//! Whether a pattern can ever match, and whether another one leaves it nothing: decided by walking the
//! patterns' automata side by side, over the addresses that there can be. What would take too long is left
//! undecided, so that there is no false alarm.

use crate::core::routing::binding::{Table, whole};
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use std::collections::{HashMap, VecDeque};

/// What an address may look like (`core/event/address.rs`), but for its length.
const ADDRESS: &str = r"[a-z][a-z0-9]{0,23}:\P{Cc}*[^\s\p{Cc}]\P{Cc}*";
/// The largest automaton, in bytes.
const SIZE: usize = 2 << 20;
/// The most states that a walk visits.
const STEPS: usize = 20_000;

/// The addresses that a pattern matches.
pub struct Language(dense::DFA<Vec<u32>>);

impl Language {
    /// Those of `pattern`; nothing where it is no regular expression, or too large to be decided about.
    #[must_use]
    pub fn of(pattern: &str) -> Option<Self> {
        let config = dense::Config::new()
            .match_kind(MatchKind::All)
            .start_kind(StartKind::Anchored)
            .dfa_size_limit(Some(SIZE))
            .determinize_size_limit(Some(2 * SIZE));
        dense::Builder::new().configure(config).build(&whole(pattern)).ok().map(Self)
    }

    /// All addresses.
    #[must_use]
    pub fn all() -> Option<Self> {
        Self::of(ADDRESS)
    }

    fn start(&self) -> Option<StateID> {
        self.0.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()
    }

    fn accepts(&self, state: StateID) -> bool {
        self.0.is_match_state(self.0.next_eoi_state(state))
    }
}

/// What a walk has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A shortest text of this kind.
    Text(String),
    /// There is none.
    Nothing,
    /// It would have taken too long.
    Undecided,
}

/// Looks for a text in all of `within` and not in `without`.
#[must_use]
pub fn find(within: &[&Language], without: Option<&Language>) -> Verdict {
    let all: Vec<&Language> = within.iter().copied().chain(without).collect();
    let Some(first) = all.iter().map(|one| one.start()).collect::<Option<Vec<StateID>>>() else {
        return Verdict::Undecided;
    };
    // Every group of states, with the one it was reached from and by which byte.
    let mut seen: Vec<(Vec<StateID>, usize, u8)> = vec![(first.clone(), 0, 0)];
    let mut known = HashMap::from([(first, 0)]);
    let mut open = VecDeque::from([0]);
    while let Some(at) = open.pop_front() {
        let states = seen[at].0.clone();
        let mut accepted = all.iter().zip(&states).map(|(one, state)| one.accepts(*state));
        let is_within = accepted.by_ref().take(within.len()).all(|yes| yes);
        if is_within && accepted.next() != Some(true) {
            return text(&seen, at).map_or(Verdict::Undecided, Verdict::Text);
        }
        for byte in 0..=u8::MAX {
            let next: Vec<StateID> =
                all.iter().zip(&states).map(|(one, state)| one.0.next_state(*state, byte)).collect();
            if next.iter().zip(&all).any(|(state, one)| one.0.is_quit_state(*state)) {
                return Verdict::Undecided;
            }
            // What is dead here never comes to anything.
            let is_dead = next.iter().zip(within).any(|(state, one)| one.0.is_dead_state(*state));
            if !is_dead && !known.contains_key(&next) {
                if seen.len() == STEPS {
                    return Verdict::Undecided;
                }
                known.insert(next.clone(), seen.len());
                open.push_back(seen.len());
                seen.push((next, at, byte));
            }
        }
    }
    Verdict::Nothing
}

fn text(seen: &[(Vec<StateID>, usize, u8)], mut at: usize) -> Option<String> {
    let mut bytes = Vec::new();
    while at != 0 {
        let (_, before, byte) = &seen[at];
        bytes.push(*byte);
        at = *before;
    }
    bytes.reverse();
    String::from_utf8(bytes).ok()
}

/// The bindings that never decide anything, by their place, and why: no address is like their pattern, or
/// one that is asked before leaves them nothing.
#[must_use]
pub fn bindings(table: &Table) -> Vec<(usize, String)> {
    let Some(all) = Language::all() else { return Vec::new() };
    let languages: Vec<Option<Language>> = table.rules.iter().map(|rule| Language::of(&rule.binding.pattern)).collect();
    let mut idle = Vec::new();
    for (at, (rule, language)) in table.rules.iter().zip(&languages).enumerate() {
        let Some(language) = language else { continue };
        let example = match find(&[language, &all], None) {
            Verdict::Text(example) => example,
            Verdict::Nothing => {
                let what = format!("no address is like `{}` (an address is channel:rest)", rule.binding.pattern);
                idle.push((rule.index, what));
                continue;
            }
            Verdict::Undecided => continue,
        };
        // Whoever leaves nothing has this one, too.
        let before = table.rules.iter().zip(&languages).take(at).filter(|(_, other)| other.is_some());
        let likely = table.at(&example).map(|rule| rule.index).collect::<Vec<_>>();
        let shadow = before.filter(|(other, _)| likely.contains(&other.index)).find(|(other, theirs)| {
            leaves_nothing(theirs.as_ref(), language, &all)
                && match &other.binding.from {
                    None => true,
                    Some(theirs) => {
                        let ours = rule.binding.from.as_deref().map_or_else(Language::all, Language::of);
                        let theirs = Language::of(theirs);
                        ours.is_some_and(|ours| leaves_nothing(theirs.as_ref(), &ours, &all))
                    }
                }
        });
        if let Some((other, _)) = shadow {
            let (pattern, theirs) = (&rule.binding.pattern, &other.binding.pattern);
            idle.push((
                rule.index,
                format!("`{pattern}` is never asked: `{theirs}` comes before it and has all of it"),
            ));
        }
    }
    idle.sort();
    idle
}

fn leaves_nothing(theirs: Option<&Language>, ours: &Language, all: &Language) -> bool {
    theirs.is_some_and(|theirs| find(&[ours, all], Some(theirs)) == Verdict::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::address::Address;
    use crate::core::routing::binding::{Binding, Scope};

    /// Whether the first pattern leaves nothing to the second.
    fn covers(first: &str, second: &str) -> Option<bool> {
        let (all, first, second) = (Language::all()?, Language::of(first)?, Language::of(second)?);
        match find(&[&second, &all], Some(&first)) {
            Verdict::Nothing => Some(true),
            Verdict::Text(text) => {
                Address::parse(&text).unwrap();
                Some(false)
            }
            Verdict::Undecided => None,
        }
    }

    fn matches_something(pattern: &str) -> bool {
        let (all, one) = (Language::all().unwrap(), Language::of(pattern).unwrap());
        match find(&[&one, &all], None) {
            Verdict::Text(text) => Address::parse(&text).is_ok(),
            found => found != Verdict::Nothing,
        }
    }

    #[test]
    fn a_pattern_that_no_address_can_be_matches_nothing() {
        for none in ["pickle", "telegram", "a|b", "Telegram:1", ":x", "cli:", "^$", "cli: ", r"\d+:x", ""] {
            assert!(!matches_something(none), "{none}");
        }
        for some in [".*", "cli:ann", "cli:.*", ".+x", "a|cli:b", r"telegram:-?\d+", ".*:.*", r"[a-z]+:ü"] {
            assert!(matches_something(some), "{some}");
        }
    }

    #[test]
    fn what_leaves_nothing_is_told_from_what_leaves_something() {
        for (first, second) in [
            (".*", "cli:.*"),
            ("cli:.*", "cli:ann"),
            ("cli:.+", "cli:.*"),
            ("(a|b)+:.*", "(a|b):x"),
            (".*:.*", ".*"),
            (r"telegram:\d+", "telegram:[0-9]+"),
            ("cli:a|cli:b", "cli:[ab]"),
        ] {
            assert_eq!(covers(first, second), Some(true), "{first} {second}");
        }
        for (first, second) in [
            ("cli:.*", ".*"),
            ("cli:a.*", "cli:.*"),
            ("telegram:[0-9]+", r"telegram:\d+"),
            ("cli:[ab]", "cli:a|cli:c"),
            ("cli:.*", "cli:.*|file:x"),
        ] {
            assert_eq!(covers(first, second), Some(false), "{first} {second}");
        }
        assert_eq!(covers(r"cli:\w{900}", r"cli:\w{800}.*"), None, "too large to be decided");
    }

    #[test]
    fn a_binding_that_never_decides_is_found_and_no_other() {
        let unreachable = |lines: &[(&str, Option<&str>)]| {
            let binding = |(pattern, from): &(&str, Option<&str>)| Binding {
                pattern: (*pattern).to_owned(),
                agent: "a".to_owned(),
                from: from.map(ToOwned::to_owned),
                session: Scope::Place,
            };
            let bindings = lines.iter().map(binding).enumerate().map(|(index, one)| (index, None, one));
            super::bindings(&Table::new(bindings).unwrap()).into_iter().map(|(index, _)| index).collect::<Vec<_>>()
        };
        assert_eq!(unreachable(&[("cli:ann", None), ("cli:a.+", None), ("cli:.*", None), (".*", None)]), [0; 0]);
        assert_eq!(unreachable(&[("cli:ann", None), ("cli:bob", None), ("cli:ann", None)]), [2]);
        assert_eq!(
            unreachable(&[(".*", None), ("cli:.*", None), ("cli:ann", None)]),
            [1],
            "the exact one is asked first"
        );
        assert_eq!(unreachable(&[("pickle", None), ("a|b", None)]), [0, 1]);
        assert_eq!(unreachable(&[("a:.*", Some("b:1")), ("a:.*", None), ("a:.*", Some("b:2"))]), [2]);
        assert_eq!(unreachable(&[("a:.*", Some("b:.*")), ("a:.*", Some("b:2")), ("a:.*", Some("c:2"))]), [1]);
    }
}
