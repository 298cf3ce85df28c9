//! Bindings: which agent talks to which addresses. A pattern is a regular expression for a whole address:
//! `telegram:1|telegram:2` means these two and nothing that begins like them.

use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::event::session_name;
use crate::core::fault::{Fault, Result};
use regex::{Regex, RegexSet, RegexSetBuilder};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::OnceLock;

/// The most bytes of all patterns, made ready to be looked for together.
const SET: usize = 64 << 20;
/// The most bytes of what looking for them keeps.
const CACHE: usize = 16 << 20;

/// The keys of `routing:` and of one binding.
pub const KEYS: &[&str] = &["routing", "bindings", "pattern", "agent", "from", "session"];

/// One line of `routing.bindings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The addresses, as a regular expression.
    pub pattern: String,
    /// Who talks to them.
    pub agent: String,
    /// Only what these say, as a regular expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Which of them share a conversation.
    #[serde(default, skip_serializing_if = "Scope::is_place")]
    pub session: Scope,
}

/// Whose messages are one conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Scope {
    /// Everything said at one place.
    #[default]
    Place,
    /// Everything said by one sender, wherever.
    Sender,
    /// The one at `deliver_to`; without that, one called `main`.
    Main,
    /// The one of this name.
    Named(String),
}

impl Scope {
    fn is_place(&self) -> bool {
        *self == Self::Place
    }

    /// The session of `agent` for what `from` says at `place`.
    ///
    /// # Errors
    /// `Data` where the name is unfit, or another agent's.
    pub fn session(&self, agent: &str, place: &Address, from: &Address, main: Option<&Address>) -> Result<String> {
        match self {
            Self::Place => Ok(session_name::at(agent, place)),
            Self::Sender => Ok(session_name::at(agent, from)),
            Self::Main => Ok(main.map_or_else(|| format!("{agent}.main"), |main| session_name::at(agent, main))),
            Self::Named(name) => session_name::qualify(name, Some(agent), agent),
        }
    }
}

impl From<String> for Scope {
    fn from(text: String) -> Self {
        match &text[..] {
            "place" => Self::Place,
            "sender" => Self::Sender,
            "main" => Self::Main,
            _ => Self::Named(text),
        }
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Place => "place".to_owned(),
            Scope::Sender => "sender".to_owned(),
            Scope::Main => "main".to_owned(),
            Scope::Named(name) => name,
        }
    }
}

/// How narrow a pattern is; the narrower one is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// One address: nothing in it has a meaning to a regular expression.
    Exact,
    /// Anything between the other two.
    Specific,
    /// It has `.*` in it.
    Wildcard,
}

impl Tier {
    /// The tier of a pattern, by its text alone.
    #[must_use]
    pub fn of(pattern: &str) -> Self {
        match pattern {
            p if p.contains(".*") => Self::Wildcard,
            p if p.contains(['\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$']) => Self::Specific,
            _ => Self::Exact,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Specific => "specific",
            Self::Wildcard => "wildcard",
        }
    }
}

/// A pattern for the whole of a text.
#[must_use]
pub fn whole(pattern: &str) -> String {
    format!("^(?:{pattern})$")
}

/// Whether a pattern is a regular expression at all.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn check_pattern(pattern: &str) -> std::result::Result<(), String> {
    // Both: `a)(b` is one only between our brackets.
    for text in [pattern, &whole(pattern)] {
        regex_automata::util::syntax::parse(text).map_err(|e| {
            let text = e.to_string();
            let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            format!("`{pattern}` is not a regular expression: {}", last.trim_start_matches("error: "))
        })?;
    }
    Ok(())
}

/// One binding in its place among the others.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What was written.
    pub binding: Binding,
    /// How narrow it is.
    pub tier: Tier,
    /// Its place where it was written, from 0.
    pub index: usize,
    /// The first event that it holds for, where it was learned.
    pub since: Option<Id>,
    from: Option<Sender>,
}

#[derive(Clone, Debug)]
enum Sender {
    One(String),
    Some(Regex),
}

impl Rule {
    /// Whether it is for what `from` says.
    #[must_use]
    pub fn hears(&self, from: &Address) -> bool {
        match &self.from {
            None => true,
            Some(Sender::One(one)) => one == from.as_str(),
            Some(Sender::Some(some)) => some.is_match(from.as_str()),
        }
    }

    /// Whether it asks who says it.
    #[must_use]
    pub fn asks_who(&self) -> bool {
        self.from.is_some()
    }
}

/// Bindings in the order in which they are asked, made ready for looking up an address among all of them
/// at once.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// By tier, and within a tier as they were given.
    pub rules: Vec<Rule>,
    exact: HashMap<String, Vec<usize>>,
    /// The others, from the first that is not exact; an empty set takes its time to be made too.
    set: Option<RegexSet>,
    first: usize,
}

impl Table {
    /// Makes the table of these bindings, in the order in which those of one tier are asked.
    ///
    /// # Errors
    /// `Config` where a pattern is none, or they are too large together.
    pub fn new(bindings: impl Iterator<Item = (usize, Option<Id>, Binding)>) -> Result<Self> {
        let bad = |e: regex::Error| Fault::config(format!("routing.bindings: {e}"));
        let mut rules = Vec::new();
        for (index, since, binding) in bindings {
            let from = match &binding.from {
                None => None,
                Some(one) if Tier::of(one) == Tier::Exact => Some(Sender::One(one.clone())),
                Some(some) => Some(Sender::Some(Regex::new(&whole(some)).map_err(bad)?)),
            };
            rules.push(Rule { tier: Tier::of(&binding.pattern), binding, index, since, from });
        }
        rules.sort_by_key(|rule| rule.tier);
        let first = rules.partition_point(|rule| rule.tier == Tier::Exact);
        let mut exact: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, rule) in rules[..first].iter().enumerate() {
            exact.entry(rule.binding.pattern.clone()).or_default().push(at);
        }
        let patterns: Vec<String> = rules[first..].iter().map(|rule| whole(&rule.binding.pattern)).collect();
        let set = || RegexSetBuilder::new(&patterns).size_limit(SET).dfa_size_limit(CACHE).build().map_err(bad);
        let set = (!patterns.is_empty()).then(set).transpose()?;
        Ok(Self { rules, exact, set, first })
    }

    /// The rules whose pattern is this place, in the order in which they are asked.
    pub fn at(&self, place: &str) -> impl Iterator<Item = &Rule> {
        let exact = self.exact.get(place).into_iter().flatten().copied();
        let set = self.set.as_ref().map(|set| set.matches(place));
        let others = set.into_iter().flatten().map(|at| at + self.first);
        exact.chain(others).filter_map(|at| self.rules.get(at))
    }
}

/// The `routing:` of `claw.yaml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Routing {
    /// In the order of the file.
    pub bindings: Vec<Binding>,
    #[serde(skip)]
    table: OnceLock<Result<Table>>,
}

impl Routing {
    /// Which binding is unfit, from 0, and what is wrong with it.
    #[must_use]
    pub fn wrong(&self) -> Option<(usize, String)> {
        let check = |binding: &Binding| {
            session_name::check_agent(&binding.agent).map_err(|e| format!("agent: {}", e.message))?;
            if let Scope::Named(name) = &binding.session {
                session_name::qualify(name, Some(&binding.agent), "").map_err(|e| format!("session: {}", e.message))?;
            }
            check_pattern(&binding.pattern).map_err(|what| format!("pattern: {what}"))?;
            check_pattern(binding.from.as_deref().unwrap_or_default()).map_err(|what| format!("from: {what}"))
        };
        self.bindings.iter().enumerate().find_map(|(n, binding)| Some((n, check(binding).err()?)))
    }

    /// The bindings, ready to be asked. That is made once.
    ///
    /// # Errors
    /// `Config` where the patterns are too large together.
    pub fn table(&self) -> Result<&Table> {
        let make = || Table::new(self.bindings.iter().cloned().enumerate().map(|(index, one)| (index, None, one)));
        self.table.get_or_init(make).as_ref().map_err(Clone::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(patterns: &[&str]) -> Table {
        let binding = |pattern: &&str| Binding {
            pattern: (*pattern).to_owned(),
            agent: "pickle".to_owned(),
            from: None,
            session: Scope::Place,
        };
        Table::new(patterns.iter().map(binding).enumerate().map(|(index, one)| (index, None, one))).unwrap()
    }

    fn found(patterns: &[&str], place: &str) -> Vec<usize> {
        table(patterns).at(place).map(|rule| rule.index).collect()
    }

    #[test]
    fn the_narrower_tier_is_asked_first_and_within_one_the_file_s_order_counts() {
        let patterns = ["cli:.*", "cli:a[nm]n", "cli:ann", ".*", "cli:an.", "cli:ann"];
        assert_eq!(found(&patterns, "cli:ann"), [2, 5, 1, 4, 0, 3]);
        assert_eq!(found(&patterns, "cli:bob"), [0, 3]);
    }

    #[test]
    fn an_alternation_is_one_and_no_beginning() {
        let patterns = ["cli:a|cli:b"];
        assert_eq!(found(&patterns, "cli:a"), [0]);
        assert_eq!(found(&patterns, "cli:b"), [0]);
        for other in ["cli:ann", "cli:bob", "xcli:b", "file:cli:b"] {
            assert_eq!(found(&patterns, other), [0; 0], "{other}");
        }
    }

    #[test]
    fn a_pattern_closes_only_its_own_brackets() {
        assert_eq!(check_pattern("cli:(a|b)"), Ok(()));
        assert!(check_pattern("cli:a)|(?:b").unwrap_err().contains("not a regular expression: unopened group"));
        assert!(check_pattern("cli:[").unwrap_err().contains("unclosed character class"));
    }

    #[test]
    fn a_scope_names_the_session() {
        let [place, from, home] =
            ["telegram:-100/7", "telegram:42", "cli:ann"].map(|text| Address::parse(text).unwrap());
        let session = |text: &str, main| Scope::from(text.to_owned()).session("pickle", &place, &from, main);
        assert_eq!(session("place", None).unwrap(), session_name::at("pickle", &place));
        assert_eq!(session("sender", None).unwrap(), "pickle.telegram-42");
        assert_eq!(session("main", Some(&home)).unwrap(), "pickle.cli-ann");
        assert_eq!(session("main", None).unwrap(), "pickle.main");
        assert_eq!(session("work", None).unwrap(), "pickle.work");
        assert!(session("cookie.work", None).is_err());
    }
}
