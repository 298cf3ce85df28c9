//! Who may talk: one function of the policy, the lists, the pairings, the place and the sender.

use crate::core::event::origin::SenderClass;
use serde::Deserialize;
use std::fmt;

/// Who may talk on a channel. Empty lists mean nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Senders in `allow` and paired ones.
    #[default]
    Pairing,
    /// Senders in `allow`.
    Allow,
    /// Everybody.
    Open,
}

/// Whose messages count in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Members {
    /// Those of senders that may talk.
    #[default]
    Allowed,
    /// Those of every member.
    Any,
}

/// The facts about a message's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupFacts {
    /// `groups` of the settings has it.
    pub is_named: bool,
    /// The message mentions the channel's account.
    pub is_mentioned: bool,
    /// The message replies to one of the account's.
    pub is_reply: bool,
}

/// The facts about a message and its sender.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderFacts {
    /// The sender is a bot, or the channel's own account.
    pub is_bot: bool,
    /// The group; `None` for a direct message.
    pub group: Option<GroupFacts>,
    /// `owner` or `deliver_to` of claw.yaml has the address.
    pub is_owner: bool,
    /// `allow` of the channel has the sender.
    pub is_allowed: bool,
    /// `known` of claw.yaml has the address.
    pub is_known: bool,
    /// An approved pairing of this type and account.
    pub pairing: Option<PairedAs>,
}

/// The rank that a pairing gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairedAs {
    /// A person that the owner knows.
    Contact,
    /// The owner.
    Owner,
}

/// Why a message is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The sender may not talk.
    NotAllowed,
    /// The group is not in `groups`.
    UnnamedGroup,
    /// The message in a group neither mentions the account nor replies to it.
    NotAddressed,
    /// The sender is a bot.
    Bot,
    /// It has neither text nor files.
    Empty,
    /// It cannot be accepted, for this reason.
    Invalid(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAllowed => "the sender may not talk here",
            Self::UnnamedGroup => "the group is not in `groups`",
            Self::NotAddressed => "the message does not address the account",
            Self::Bot => "the sender is a bot",
            Self::Empty => "it has no text",
            Self::Invalid(why) => why,
        })
    }
}

/// Decides whether a message becomes an event, and the class of its sender.
///
/// # Errors
/// The reason why it does not.
pub fn decide(policy: Policy, members: Members, facts: &SenderFacts) -> Result<SenderClass, Refusal> {
    if facts.is_bot {
        return Err(Refusal::Bot);
    }
    if let Some(group) = facts.group {
        if !group.is_named {
            return Err(Refusal::UnnamedGroup);
        }
        if !group.is_mentioned && !group.is_reply {
            return Err(Refusal::NotAddressed);
        }
    }
    let pairing = facts.pairing.filter(|_| policy == Policy::Pairing);
    let class = if facts.is_owner || pairing == Some(PairedAs::Owner) {
        SenderClass::Owner
    } else if facts.is_allowed || facts.is_known || pairing.is_some() {
        SenderClass::Known
    } else {
        SenderClass::Unknown
    };
    let is_open = policy == Policy::Open || facts.group.is_some() && members == Members::Any;
    // `known` is a class, not a permission.
    let may_talk = class == SenderClass::Owner || facts.is_allowed || pairing.is_some() || is_open;
    if may_talk { Ok(class) } else { Err(Refusal::NotAllowed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule of the documentation, in ten lines.
    fn reference(policy: Policy, members: Members, f: SenderFacts) -> Option<&'static str> {
        let pairing = if policy == Policy::Pairing { f.pairing } else { None };
        let owner = f.is_owner || pairing == Some(PairedAs::Owner);
        let listed = owner || f.is_allowed || pairing == Some(PairedAs::Contact);
        let addressed = f.group.is_none_or(|g| g.is_named && (g.is_mentioned || g.is_reply));
        let everybody = policy == Policy::Open || (f.group.is_some() && members == Members::Any);
        if f.is_bot || !addressed || !(listed || everybody) {
            return None;
        }
        Some(if owner {
            "owner"
        } else if listed || f.is_known {
            "known"
        } else {
            "unknown"
        })
    }

    #[test]
    fn every_combination_is_decided_as_the_reference_says() {
        let (bools, mut count) = ([false, true], 0);
        let mut groups = vec![None];
        for bits in 0..8u8 {
            let [is_named, is_mentioned, is_reply] = [1, 2, 4].map(|bit| bits & bit > 0);
            groups.push(Some(GroupFacts { is_named, is_mentioned, is_reply }));
        }
        for policy in [Policy::Pairing, Policy::Allow, Policy::Open] {
            for members in [Members::Allowed, Members::Any] {
                for pairing in [None, Some(PairedAs::Contact), Some(PairedAs::Owner)] {
                    for group in &groups {
                        for bits in 0..16u8 {
                            let [is_bot, is_owner, is_allowed, is_known] =
                                [1, 2, 4, 8].map(|bit| bools[usize::from(bits & bit > 0)]);
                            let facts = SenderFacts { is_bot, group: *group, is_owner, is_allowed, is_known, pairing };
                            let decided = decide(policy, members, &facts).ok().map(SenderClass::name);
                            assert_eq!(decided, reference(policy, members, facts), "{policy:?} {members:?} {facts:?}");
                            count += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(count, 3 * 2 * 3 * 9 * 16);
    }

    #[test]
    fn nobody_may_talk_by_default() {
        let stranger = SenderFacts::default();
        assert_eq!(decide(Policy::default(), Members::default(), &stranger), Err(Refusal::NotAllowed));
        assert_eq!(decide(Policy::Allow, Members::Any, &stranger), Err(Refusal::NotAllowed));
        assert_eq!(decide(Policy::Open, Members::default(), &stranger), Ok(SenderClass::Unknown));
    }
}
