//! The origin of an event: how far its sender is believed, whether text from outside is behind it, and which agents
//! passed it on. An input or a turn of claw sets it; the text of a message cannot.

use crate::core::event::address::Address;
use serde::{Deserialize, Serialize};

/// How far a sender is believed, the lowest class first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SenderClass {
    /// Every other sender.
    Unknown,
    /// A sender in `known` of claw.yaml, or a program of this machine: a dropped file, `file:`, `exec:`.
    Known,
    /// The owner: this machine's terminal, the addresses in `owner` of claw.yaml, and the owner's schedules.
    Owner,
}

impl SenderClass {
    /// The class of an address. `known` may contain `channel:*` for every sender of a channel.
    #[must_use]
    pub fn of(from: &Address, owners: &[Address], known: &[Address]) -> Self {
        let is_listed = |listed: &Address| listed == from || listed.rest() == "*" && listed.channel() == from.channel();
        match from.channel() {
            "cli" | "cron" | "heartbeat" => Self::Owner,
            _ if owners.contains(from) => Self::Owner,
            "drop" | "file" | "exec" | "agent" | "task" | "claw" => Self::Known,
            _ if known.iter().any(is_listed) => Self::Known,
            _ => Self::Unknown,
        }
    }

    /// Every class, the lowest first.
    pub const ALL: [Self; 3] = [Self::Unknown, Self::Known, Self::Owner];

    /// Its name in files and prompts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Known => "known",
            Self::Owner => "owner",
        }
    }
}

/// The origin of an event. The default is an event straight from its sender, without text from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Origin {
    /// The class of the sender; `None`: that of the address in `from`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<SenderClass>,
    /// The first source of text from outside that is behind the event, like `web:example.org`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taint: Option<String>,
    /// The agents that passed the task on, the first one first. A call for this event needs their approvals too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requesters: Vec<String>,
}

impl Origin {
    /// Whether it is the default.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_follows_the_address() {
        let at = |text: &str| Address::parse(text).unwrap();
        let (owners, known) = ([at("telegram:42")], [at("telegram:7"), at("matrix:*")]);
        let class = |from: &str| SenderClass::of(&at(from), &owners, &known);
        for owner in ["cli:ann", "telegram:42", "cron:morning"] {
            assert_eq!(class(owner), SenderClass::Owner, "{owner}");
        }
        for known in ["telegram:7", "matrix:@ann:x.org", "drop:a.txt", "file:a", "agent:pickle"] {
            assert_eq!(class(known), SenderClass::Known, "{known}");
        }
        for unknown in ["telegram:421", "telegram:*", "clix:ann", "matrixx:a"] {
            assert_eq!(class(unknown), SenderClass::Unknown, "{unknown}");
        }
        assert!(SenderClass::Unknown < SenderClass::Known && SenderClass::Known < SenderClass::Owner);
    }
}
