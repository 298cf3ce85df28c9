//! The tools that an agent may use: `tools:` and `senders:` of an AGENT.md.

use crate::core::event::origin::SenderClass;
use crate::core::tool::{Approve, DISPATCH};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// An item of an agent's `tools:`: a name, or a name with settings.
#[derive(Clone, Debug, PartialEq)]
enum Grant {
    Name(String),
    With(BTreeMap<String, GrantSettings>),
}

/// Implemented by hand: the errors of serde's untagged enums have neither the wrong key nor its place.
impl<'de> Deserialize<'de> for Grant {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct GrantVisitor;
        impl<'de> Visitor<'de> for GrantVisitor {
            type Value = Grant;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a tool's name, or `NAME: {approve: …}`")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Grant, E> {
                Ok(Grant::Name(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Grant, A::Error> {
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
    /// The agents that the call may name; only for [`DISPATCH`]. `None`: all.
    agents: Option<Vec<String>>,
}

/// The name that grants every tool without a line of its own.
const ALL: &str = "*";

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
        let named = |tool: &str| {
            lines.iter().find_map(|line| match line {
                Grant::Name(name) => (name == tool).then(Approve::default),
                Grant::With(settings) => settings.get(tool).map(|settings| settings.approve.clone()),
            })
        };
        named(tool).or_else(|| named(ALL))
    }

    /// Whether the agent may give tasks to agent `other`, provided that it has the tool for it.
    #[must_use]
    pub fn may_dispatch_to(&self, other: &str) -> bool {
        let settings = self.0.iter().flatten().find_map(|line| match line {
            Grant::With(settings) => settings.get(DISPATCH),
            Grant::Name(_) => None,
        });
        let agents = settings.and_then(|settings| settings.agents.as_ref());
        agents.is_none_or(|agents| agents.iter().any(|agent| agent == other))
    }

    /// A tool other than [`DISPATCH`] that has a list of agents.
    #[must_use]
    pub fn misplaced_agents(&self) -> Option<&str> {
        let settings = self.0.iter().flatten().filter_map(|line| match line {
            Grant::With(settings) => Some(settings),
            Grant::Name(_) => None,
        });
        let mut all = settings.flatten();
        all.find(|(tool, settings)| settings.agents.is_some() && *tool != DISPATCH).map(|(tool, _)| tool.as_str())
    }

    /// The tools that are named.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.0.iter().flatten().flat_map(|line| match line {
            Grant::Name(name) => vec![name.as_str()],
            Grant::With(settings) => settings.keys().map(String::as_str).collect(),
        });
        names.filter(|name| *name != ALL)
    }

    /// All approval patterns.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        let settings = self.0.iter().flatten().filter_map(|line| match line {
            Grant::With(settings) => Some(settings.values()),
            Grant::Name(_) => None,
        });
        settings.flatten().flat_map(|settings| match &settings.approve {
            Approve::Where(patterns) => patterns.iter().map(String::as_str).collect(),
            Approve::Always(_) | Approve::When(_) => Vec::new(),
        })
    }
}

/// An agent's `senders:`: the tools that it may use for senders who are not the owner.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SenderTools {
    /// For known senders: names of tools, or `*`; default: all of `tools`.
    pub known: Option<Vec<String>>,
    /// For unknown senders: names of tools, or `*`; default: none.
    pub unknown: Vec<String>,
}

impl SenderTools {
    /// Whether a turn for a sender of this class may use the tool, provided that the agent has it.
    #[must_use]
    pub fn allow(&self, class: SenderClass, tool: &str) -> bool {
        let listed = match class {
            SenderClass::Owner => None,
            SenderClass::Known => self.known.as_ref(),
            SenderClass::Unknown => Some(&self.unknown),
        };
        listed.is_none_or(|listed| listed.iter().any(|name| name == tool || name == ALL))
    }

    /// The tools that are named.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.known.iter().flatten().chain(&self.unknown).map(String::as_str).filter(|name| *name != ALL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let rest = grants("['*', {bash: {approve: true}}]");
        assert_eq!(
            (rest.approve("bash"), rest.approve("read")),
            (Some(Approve::Always(true)), Some(Approve::default()))
        );
        assert_eq!(rest.names().collect::<Vec<_>>(), ["bash"]);
    }

    #[test]
    fn dispatch_may_be_limited_to_some_agents() {
        let some = grants("[{subagent_dispatch: {agents: [cookie]}}]");
        assert!(some.may_dispatch_to("cookie") && !some.may_dispatch_to("pickle"));
        assert!(Grants::default().may_dispatch_to("x") && grants("[subagent_dispatch]").may_dispatch_to("x"));
        assert_eq!(some.misplaced_agents(), None);
        assert_eq!(grants("[{bash: {agents: [a]}}]").misplaced_agents(), Some("bash"));
    }

    #[test]
    fn class_of_the_sender_limits_the_tools() {
        let default = SenderTools::default();
        for class in [SenderClass::Owner, SenderClass::Known] {
            assert!(default.allow(class, "bash"));
        }
        assert!(!default.allow(SenderClass::Unknown, "read"));
        let some: SenderTools = serde_yaml::from_str("{known: [read], unknown: ['*']}").unwrap();
        assert!(some.allow(SenderClass::Owner, "bash") && !some.allow(SenderClass::Known, "bash"));
        assert!(some.allow(SenderClass::Known, "read") && some.allow(SenderClass::Unknown, "bash"));
    }
}
