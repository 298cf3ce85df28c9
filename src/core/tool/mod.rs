//! Tools, as far as they are values: what a call may be repeated for, which tools an agent has, and how
//! their results are cut and marked.

pub mod approval;

use crate::core::fault::{Fault, Result};
use regex::Regex;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// How much a model is told of one result, in bytes; the rest goes into a file.
pub const MAX_RESULT: usize = 16 << 10;
/// How much a tool tells that knows how to go on: it stays below what is told of any result, with room for its
/// notes.
pub const MAX_PAGE: usize = 14 << 10;
/// The built-in tool that runs a line of shell.
pub const BASH: &str = "bash";
/// The built-in tool that gives a task to another agent.
pub const DISPATCH: &str = "subagent_dispatch";

/// What may be done about a call that was begun and has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// It only reads: it is run again, and beside others.
    Reads,
    /// Done twice it is done once: it is run again.
    Repeats,
    /// It acts: it is never run again; the model is told that nobody knows how far it came.
    Acts,
}

/// Whether the owner is asked before a call is run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, expecting = "`approve` is true, false or a list of regular expressions")]
pub enum Approve {
    /// Always, or never.
    Always(bool),
    /// Where one of these regular expressions is found in what [`describe_call`] says of the call.
    Where(Vec<String>),
}

impl Default for Approve {
    fn default() -> Self {
        Self::Always(false)
    }
}

impl Approve {
    /// Why the owner is to be asked about this call, if he is. A pattern that is none asks about everything.
    #[must_use]
    pub fn reason(&self, tool: &str, arguments: &Value) -> Option<String> {
        let text = describe_call(tool, arguments);
        match self {
            Self::Always(true) => Some("every call of it needs your word".to_owned()),
            Self::Always(false) => None,
            Self::Where(patterns) => patterns
                .iter()
                .find(|pattern| Regex::new(pattern).map_or(true, |regex| regex.is_match(&text)))
                .map(|pattern| format!("it matches `{pattern}`")),
        }
    }
}

/// What the owner is told of a call, and his patterns are looked for in: the shell's command, of every other tool all
/// arguments as JSON, because nobody else knows which of them matters.
#[must_use]
pub fn describe_call(tool: &str, arguments: &Value) -> String {
    let command = arguments.get("command").filter(|_| tool == BASH).and_then(Value::as_str);
    command.map_or_else(|| arguments.to_string(), str::to_owned)
}

/// A line of an agent's `tools:`: a name, or a name with settings.
#[derive(Clone, Debug, PartialEq)]
enum Grant {
    Name(String),
    With(BTreeMap<String, GrantSettings>),
}

/// By hand: what serde makes of an untagged enum knows neither the key that is wrong nor its place.
impl<'de> Deserialize<'de> for Grant {
    fn deserialize<D: Deserializer<'de>>(source: D) -> std::result::Result<Self, D::Error> {
        struct GrantVisitor;
        impl<'de> Visitor<'de> for GrantVisitor {
            type Value = Grant;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a tool's name, or `NAME: {approve: …}`")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> std::result::Result<Grant, E> {
                Ok(Grant::Name(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Grant, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(Grant::With)
            }
        }
        source.deserialize_any(GrantVisitor)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GrantSettings {
    approve: Approve,
}

/// What an agent's `tools:` says: the tools it may use, and about which calls the owner is asked. Without
/// it, it may use all.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Grants(Option<Vec<Grant>>);

impl Grants {
    /// The settings for a tool; nothing where the agent may not use it.
    #[must_use]
    pub fn approve(&self, tool: &str) -> Option<Approve> {
        let Some(lines) = &self.0 else { return Some(Approve::default()) };
        lines.iter().find_map(|line| match line {
            Grant::Name(name) => (name == tool).then(Approve::default),
            Grant::With(settings) => settings.get(tool).map(|settings| settings.approve.clone()),
        })
    }

    /// The tools that it names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().flat_map(|line| match line {
            Grant::Name(name) => vec![name.as_str()],
            Grant::With(settings) => settings.keys().map(String::as_str).collect(),
        })
    }

    /// The patterns that it names.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        let settings = self.0.iter().flatten().filter_map(|line| match line {
            Grant::With(settings) => Some(settings.values()),
            Grant::Name(_) => None,
        });
        settings.flatten().flat_map(|settings| match &settings.approve {
            Approve::Where(patterns) => patterns.iter().map(String::as_str).collect(),
            Approve::Always(_) => Vec::new(),
        })
    }
}

/// A tool's arguments.
///
/// # Errors
/// `Data`, in words for the model.
pub fn arguments<T: DeserializeOwned>(value: &Value) -> Result<T> {
    if let Value::String(text) = value {
        let why = match serde_json::from_str::<Value>(text) {
            Err(e) if e.is_eof() => format!("{e}: they end before their end, as where an answer was too long"),
            Err(e) => e.to_string(),
            Ok(_) => "not an object".to_owned(),
        };
        return Err(Fault::data(format!("the arguments are not a JSON object ({why}); nothing was done")));
    }
    T::deserialize(value).map_err(|e| Fault::data(format!("the arguments do not fit ({e}); nothing was done")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn grants(yaml: &str) -> Grants {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn an_agent_has_the_tools_that_it_names_or_all() {
        assert_eq!(Grants::default().approve("bash"), Some(Approve::Always(false)));
        let some = grants("[read, {bash: {approve: true}}, {write: {approve: ['^x']}}]");
        assert_eq!(some.approve("edit"), None);
        assert_eq!(some.approve("read"), Some(Approve::Always(false)));
        assert_eq!(some.names().collect::<Vec<_>>(), ["read", "bash", "write"]);
        assert_eq!(some.patterns().collect::<Vec<_>>(), ["^x"]);
        assert_eq!(grants("[]").approve("read"), None);
    }

    #[test]
    fn the_owner_is_asked_by_the_command() {
        let approve = grants("[{bash: {approve: ['^git push', 'rm -rf']}}]").approve("bash").unwrap();
        let asked = |command: &str| approve.reason("bash", &json!({"command": command})).is_some();
        assert!(asked("git push origin") && asked("cd x; rm -rf ."));
        assert!(!asked("ls; git push"));
        let bad = Approve::Where(vec!["(".into()]).reason("bash", &json!({"command": "ls"}));
        assert!(bad.is_some(), "a bad pattern asks");
    }

    #[test]
    fn of_another_tool_every_argument_counts() {
        let approve = grants("[{disk: {approve: [delete]}}]").approve("disk").unwrap();
        assert!(approve.reason("disk", &json!({"action": "delete", "command": "x"})).is_some());
        assert!(approve.reason("disk", &json!({"command": "delete"})).is_some());
        assert!(approve.reason("disk", &json!({"action": "list", "command": "x"})).is_none());
        assert_eq!(
            describe_call("disk", &json!({"action": "delete", "command": "x"})),
            r#"{"action":"delete","command":"x"}"#
        );
        assert_eq!(describe_call("bash", &json!({"command": "ls", "timeout": 1})), "ls");
    }

    #[test]
    fn arguments_that_do_not_fit_are_told_in_words() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Args {
            #[serde(rename = "path")]
            _path: String,
        }
        let told = |value: Value| arguments::<Args>(&value).unwrap_err().message;
        for cut in ["{\"path\": ", ""] {
            let told = told(json!(cut));
            assert!(told.contains("not a JSON object (EOF") && told.contains("too long"), "{told}");
        }
        assert!(!told(json!("{a}")).contains("too long"));
        assert!(told(json!({"path": 1})).contains("expected a string"));
        assert!(told(json!({})).contains("missing field `path`"));
        assert!(told(json!({"path": "a", "paht": "b"})).contains("unknown field `paht`"));
    }
}
