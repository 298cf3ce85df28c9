//! The system prompt, in layers: identity, personality, workspace guide, runtime, channel hint.
//! What stays the same from turn to turn stands first, so that providers' caches hit.

use crate::core::address::Address;
use crate::core::definition::Agent;
use crate::core::event::EventKind;
use jiff::Zoned;
use std::fmt::Write;

/// What the layers are made of.
#[derive(Debug)]
pub struct Layers<'a> {
    /// Who answers.
    pub agent: &'a Agent,
    /// AGENTS.md and BOOTSTRAP.md.
    pub guide: &'a str,
    /// The present, in the owner's zone.
    pub now: &'a Zoned,
    /// The session's name.
    pub session: &'a str,
    /// What kind of event is answered.
    pub kind: EventKind,
    /// Where the answer goes.
    pub reply_to: &'a Address,
}

/// The prompt of these layers.
#[must_use]
pub fn build(layers: &Layers) -> String {
    let mut text = layers.agent.identity.trim().to_owned();
    if let Some(soul) = layers.agent.soul.as_deref().map(str::trim).filter(|s| !s.is_empty()) {
        let _ = write!(text, "\n\n## Personality\n\n{soul}");
    }
    if !layers.guide.trim().is_empty() {
        let _ = write!(text, "\n\n{}", layers.guide.trim());
    }
    let now = layers.now.strftime("%Y-%m-%d %H:%M %A (%Q)");
    let _ = write!(text, "\n\n## Runtime\n\nAgent: {}\nSession: {}\nTime: {now}", layers.agent.id, layers.session);
    let _ = write!(text, "\n\n{}", hint(layers.kind, layers.reply_to));
    text
}

fn hint(kind: EventKind, reply_to: &Address) -> String {
    match (kind, reply_to.channel()) {
        (EventKind::Cron | EventKind::Heartbeat, _) => {
            "You run in the background as a scheduled task; your reply is not sent to anybody.".to_owned()
        }
        (EventKind::Dispatch, _) => "You were called by another agent; your reply goes to it.".to_owned(),
        (_, "cli") => "You answer in a terminal.".to_owned(),
        (_, channel) => format!("You answer on the channel {channel}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_stand_in_their_order_and_the_stable_ones_first() {
        let agent = Agent {
            id: "pickle".into(),
            identity: "You are Pickle.".into(),
            soul: Some("Be brief.\n".into()),
            ..Agent::default()
        };
        let now: Zoned = "2026-11-21T09:05[Europe/Berlin]".parse().unwrap();
        let reply_to = Address::parse("cli:ann").unwrap();
        let layers = Layers {
            agent: &agent,
            guide: "# Guide\n",
            now: &now,
            session: "pickle.cli-ann",
            kind: EventKind::Message,
            reply_to: &reply_to,
        };
        assert_eq!(
            build(&layers),
            "You are Pickle.\n\n## Personality\n\nBe brief.\n\n# Guide\n\n## Runtime\n\nAgent: pickle\nSession: pickle.cli-ann\nTime: 2026-11-21 09:05 Saturday (Europe/Berlin)\n\nYou answer in a terminal."
        );
    }
}
