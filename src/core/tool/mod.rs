//! Tools as values: whether a call may be repeated, the tools that an agent may use, the calls that need approval, and
//! the size limits of results.

pub mod approval;
pub mod words;

use crate::core::fault::{Fault, Result};
use regex::Regex;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// The longest result that is sent to a model, in bytes; a longer one is saved to a file.
pub const MAX_RESULT: usize = 16 << 10;
/// The longest page, in bytes, of a tool that returns its result in pages: below [`MAX_RESULT`], with room for the
/// tool's notes.
pub const MAX_PAGE: usize = 14 << 10;
/// The built-in tool that runs a shell command.
pub const BASH: &str = "bash";
/// The built-in tool that gives a task to another agent.
pub const DISPATCH: &str = "subagent_dispatch";

/// The handling of a call that was begun and has no result, because its worker was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Reads only: run again, and in parallel with other calls.
    Reads,
    /// Idempotent: run again.
    Repeats,
    /// Has side effects: never run again; the model gets a note that the outcome is unknown.
    Acts,
}

/// Whether a call needs the owner's approval.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, expecting = "`approve` is true, false or a list of regular expressions")]
pub enum Approve {
    /// Every call, or none.
    Always(bool),
    /// Calls whose [`describe_call`] text matches one of these regular expressions. They are reminders, not a barrier:
    /// one action has many spellings, and `rm -fr` passes `rm -r`.
    Where(Vec<String>),
}

impl Default for Approve {
    fn default() -> Self {
        Self::Always(false)
    }
}

impl Approve {
    /// The reason why this call needs approval; `None` where it does not. An invalid pattern matches every call.
    #[must_use]
    pub fn reason(&self, tool: &str, arguments: &Value) -> Option<String> {
        let text = describe_call(tool, arguments);
        match self {
            Self::Always(true) => Some("every call of this tool needs approval".to_owned()),
            Self::Always(false) => None,
            Self::Where(patterns) => patterns
                .iter()
                .find(|pattern| Regex::new(pattern).map_or(true, |regex| regex.is_match(&text)))
                .map(|pattern| format!("it matches `{pattern}`")),
        }
    }
}

/// The text of a call that is shown to the owner and matched against the approval patterns: the command of the shell
/// tool, and all arguments as JSON of every other tool, because any of them may matter.
#[must_use]
pub fn describe_call(tool: &str, arguments: &Value) -> String {
    let command = arguments.get("command").filter(|_| tool == BASH).and_then(Value::as_str);
    command.map_or_else(|| arguments.to_string(), str::to_owned)
}

/// An item of an agent's `tools:`: a name, or a name with settings.
#[derive(Clone, Debug, PartialEq)]
enum Grant {
    Name(String),
    With(BTreeMap<String, GrantSettings>),
}

/// Implemented by hand: the errors of serde's untagged enums have neither the wrong key nor its place.
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

/// An agent's `tools:`: the tools that it may use, and the calls that need approval. Without the key it may use all
/// tools.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Grants(Option<Vec<Grant>>);

impl Grants {
    /// The approval setting of a tool; `None` where the agent may not use it.
    #[must_use]
    pub fn approve(&self, tool: &str) -> Option<Approve> {
        let Some(lines) = &self.0 else { return Some(Approve::default()) };
        lines.iter().find_map(|line| match line {
            Grant::Name(name) => (name == tool).then(Approve::default),
            Grant::With(settings) => settings.get(tool).map(|settings| settings.approve.clone()),
        })
    }

    /// The tools that are named.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().flat_map(|line| match line {
            Grant::Name(name) => vec![name.as_str()],
            Grant::With(settings) => settings.keys().map(String::as_str).collect(),
        })
    }

    /// All approval patterns.
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

/// Parses a tool's arguments.
///
/// # Errors
/// `Data`, with a message for the model.
pub fn arguments<T: DeserializeOwned>(value: &Value) -> Result<T> {
    if let Value::String(text) = value {
        let why = match serde_json::from_str::<Value>(text) {
            Err(e) if e.is_eof() => format!("{e}: they are incomplete, probably because the answer was too long"),
            Err(e) => e.to_string(),
            Ok(_) => "not an object".to_owned(),
        };
        return Err(Fault::data(format!("the arguments are not a JSON object ({why}); the tool was not run")));
    }
    T::deserialize(value).map_err(|e| Fault::data(format!("invalid arguments ({e}); the tool was not run")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn grants(yaml: &str) -> Grants {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn agent_has_the_named_tools_or_all() {
        assert_eq!(Grants::default().approve("bash"), Some(Approve::Always(false)));
        let some = grants("[read, {bash: {approve: true}}, {write: {approve: ['^x']}}]");
        assert_eq!(some.approve("edit"), None);
        assert_eq!(some.approve("read"), Some(Approve::Always(false)));
        assert_eq!(some.names().collect::<Vec<_>>(), ["read", "bash", "write"]);
        assert_eq!(some.patterns().collect::<Vec<_>>(), ["^x"]);
        assert_eq!(grants("[]").approve("read"), None);
    }

    #[test]
    fn approval_patterns_match_the_command() {
        let approve = grants("[{bash: {approve: ['^git push', 'rm -rf']}}]").approve("bash").unwrap();
        let needs_approval = |command: &str| approve.reason("bash", &json!({"command": command})).is_some();
        assert!(needs_approval("git push origin") && needs_approval("cd x; rm -rf ."));
        assert!(!needs_approval("ls; git push"));
        let bad = Approve::Where(vec!["(".into()]).reason("bash", &json!({"command": "ls"}));
        assert!(bad.is_some(), "an invalid pattern needs approval");
    }

    #[test]
    fn approval_patterns_match_all_arguments_of_other_tools() {
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
    fn invalid_arguments_are_explained() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Args {
            #[serde(rename = "path")]
            _path: String,
        }
        let message = |value: Value| arguments::<Args>(&value).unwrap_err().message;
        for cut in ["{\"path\": ", ""] {
            let text = message(json!(cut));
            assert!(text.contains("not a JSON object (EOF") && text.contains("too long"), "{text}");
        }
        assert!(!message(json!("{a}")).contains("too long"));
        assert!(message(json!({"path": 1})).contains("expected a string"));
        assert!(message(json!({})).contains("missing field `path`"));
        assert!(message(json!({"path": "a", "paht": "b"})).contains("unknown field `paht`"));
    }
}
