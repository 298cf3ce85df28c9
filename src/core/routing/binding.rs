//! Bindings from address patterns to agents. A pattern is a regular expression that must match a whole address:
//! `telegram:1|telegram:2` matches these two and no longer address.

use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::event::session_name;
use crate::core::fault::{Fault, Result};
use regex::{Regex, RegexSet, RegexSetBuilder};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::OnceLock;

/// The size limit of all compiled patterns together, in bytes.
const SET: usize = 64 << 20;
/// The size limit of the regex engine's cache, in bytes.
const CACHE: usize = 16 << 20;

/// One line of `routing.bindings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Binding {
    /// A regular expression for the reply address.
    pub pattern: String,
    /// The agent that answers.
    pub agent: String,
    /// A regular expression for the sender; without it every sender matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The messages that share a session.
    #[serde(default, skip_serializing_if = "Scope::is_place")]
    pub session: Scope,
}

/// The messages that share a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(with = "String"))]
#[serde(from = "String", into = "String")]
pub enum Scope {
    /// One session for each reply address.
    #[default]
    Place,
    /// One session for each sender, at any reply address.
    Sender,
    /// The session of `deliver_to`; without that setting, a session named `main`.
    Main,
    /// The session of this name.
    Named(String),
}

impl Scope {
    fn is_place(&self) -> bool {
        *self == Self::Place
    }

    /// The session of `agent` for a message of `from` with reply address `place`.
    ///
    /// # Errors
    /// `Data` if the name is invalid or belongs to another agent.
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

/// The specificity of a pattern; more specific patterns are tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// One address: the pattern has no regex metacharacters.
    Exact,
    /// Any other pattern.
    Specific,
    /// The pattern contains `.*`.
    Wildcard,
}

impl Tier {
    /// The tier of a pattern, determined from its text.
    #[must_use]
    pub fn of(pattern: &str) -> Self {
        match pattern {
            p if p.contains(".*") => Self::Wildcard,
            p if p.contains(['\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$']) => Self::Specific,
            _ => Self::Exact,
        }
    }

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Specific => "specific",
            Self::Wildcard => "wildcard",
        }
    }
}

/// The pattern anchored at both ends.
#[must_use]
pub fn whole(pattern: &str) -> String {
    format!("^(?:{pattern})$")
}

/// Checks that a pattern is a valid regular expression.
///
/// # Errors
/// The syntax error, in one line.
pub fn check_pattern(pattern: &str) -> std::result::Result<(), String> {
    // Both: `a)(b` is valid only inside the group of `whole`.
    for text in [pattern, &whole(pattern)] {
        regex_syntax::parse(text).map_err(|e| {
            let text = e.to_string();
            let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            format!("`{pattern}` is not a regular expression: {}", last.trim_start_matches("error: "))
        })?;
    }
    Ok(())
}

/// A binding in a table.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The binding as written.
    pub binding: Binding,
    /// The tier of its pattern.
    pub tier: Tier,
    /// Its index in its source, from 0.
    pub index: usize,
    /// The first event that it applies to, if it was set by `/route`.
    pub since: Option<Id>,
    from: Option<Sender>,
}

#[derive(Clone, Debug)]
enum Sender {
    One(String),
    Some(Regex),
}

impl Rule {
    /// Whether it applies to messages of `from`.
    #[must_use]
    pub fn matches_sender(&self, from: &Address) -> bool {
        match &self.from {
            None => true,
            Some(Sender::One(one)) => one == from.as_str(),
            Some(Sender::Some(some)) => some.is_match(from.as_str()),
        }
    }

    /// Whether it has a condition on the sender.
    #[must_use]
    pub fn has_sender(&self) -> bool {
        self.from.is_some()
    }
}

/// Bindings in the order in which they are tried, compiled for a lookup of an address among all of them at once.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Sorted by tier, and within a tier in the given order.
    pub rules: Vec<Rule>,
    exact: HashMap<String, Vec<usize>>,
    /// The rules from index `first` on, which are not exact. `None` if there are none, because even an empty set takes time
    /// to compile.
    set: Option<RegexSet>,
    first: usize,
}

impl Table {
    /// Compiles these bindings; within a tier they are tried in this order.
    ///
    /// # Errors
    /// `Config` if a pattern is invalid, or the patterns are too large together.
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

    /// The rules whose pattern matches this address, in the order in which they are tried.
    pub fn at(&self, place: &str) -> impl Iterator<Item = &Rule> {
        let exact = self.exact.get(place).into_iter().flatten().copied();
        let set = self.set.as_ref().map(|set| set.matches(place));
        let others = set.into_iter().flatten().map(|at| at + self.first);
        exact.chain(others).filter_map(|at| self.rules.get(at))
    }
}

/// The settings `routing:` of `claw.yaml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Routing {
    /// The bindings in the order of the file.
    pub bindings: Vec<Binding>,
    #[serde(skip)]
    table: OnceLock<Result<Table>>,
}

impl Routing {
    /// The first invalid binding, as its index from 0 and a message.
    #[must_use]
    pub fn invalid(&self) -> Option<(usize, String)> {
        let check = |binding: &Binding| {
            session_name::check_agent(&binding.agent).map_err(|e| format!("agent: {}", e.message))?;
            if let Scope::Named(name) = &binding.session {
                session_name::qualify(name, Some(&binding.agent), "").map_err(|e| format!("session: {}", e.message))?;
            }
            check_pattern(&binding.pattern).map_err(|error| format!("pattern: {error}"))?;
            check_pattern(binding.from.as_deref().unwrap_or_default()).map_err(|error| format!("from: {error}"))
        };
        self.bindings.iter().enumerate().find_map(|(n, binding)| Some((n, check(binding).err()?)))
    }

    /// The compiled bindings; they are compiled once.
    ///
    /// # Errors
    /// `Config` if the patterns are too large together.
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
    fn rules_are_ordered_by_tier_then_by_file_order() {
        let patterns = ["cli:.*", "cli:a[nm]n", "cli:ann", ".*", "cli:an.", "cli:ann"];
        assert_eq!(found(&patterns, "cli:ann"), [2, 5, 1, 4, 0, 3]);
        assert_eq!(found(&patterns, "cli:bob"), [0, 3]);
    }

    #[test]
    fn bindings_of_the_settings_are_the_rules_in_their_order() {
        let yaml = "{bindings: [{pattern: 'cli:.*', agent: a}, {pattern: 'cli:ann', agent: b}]}";
        let routing: Routing = serde_yaml::from_str(yaml).unwrap();
        let agents: Vec<&str> =
            routing.table().unwrap().at("cli:ann").map(|rule| rule.binding.agent.as_str()).collect();
        assert_eq!(agents, ["b", "a"]);
        assert_eq!(Routing::default().table().unwrap().at("cli:ann").count(), 0);
    }

    #[test]
    fn alternation_matches_whole_addresses_only() {
        let patterns = ["cli:a|cli:b"];
        assert_eq!(found(&patterns, "cli:a"), [0]);
        assert_eq!(found(&patterns, "cli:b"), [0]);
        for other in ["cli:ann", "cli:bob", "xcli:b", "file:cli:b"] {
            assert_eq!(found(&patterns, other), [0; 0], "{other}");
        }
    }

    #[test]
    fn pattern_cannot_close_the_group_around_it() {
        assert_eq!(check_pattern("cli:(a|b)"), Ok(()));
        assert!(check_pattern("cli:a)|(?:b").unwrap_err().contains("not a regular expression: unopened group"));
        assert!(check_pattern("cli:[").unwrap_err().contains("unclosed character class"));
    }

    #[test]
    fn scope_determines_the_session() {
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
