//! The system prompt, in layers: identity, personality, workspace guide with the agents, skills and
//! scheduled tasks there are, runtime, channel hint. What stays the same from turn to turn stands first and
//! is byte-identical, so that providers' caches hit.

use crate::core::definition::Agent;
use crate::core::event::EventKind;
use crate::core::event::address::Address;
use crate::core::text::template;
use crate::core::text::truncate::{self, ListItem};
use jiff::Zoned;
use serde::Deserialize;

/// What stands between two layers.
const BETWEEN: &str = "\n\n";

/// How long a prompt may be, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PromptLimits {
    /// One file, or one list, in it.
    pub max_file: usize,
    /// All layers together.
    pub max_total: usize,
}

impl Default for PromptLimits {
    fn default() -> Self {
        Self { max_file: 20_000, max_total: 100_000 }
    }
}

/// What the layers are made of.
#[derive(Debug)]
pub struct Sources<'a> {
    /// Who answers.
    pub agent: &'a Agent,
    /// The guide's files: name and text, those that are there.
    pub guide: &'a [(&'static str, String)],
    /// Everybody who can answer.
    pub agents: &'a [ListItem],
    /// What the agent can learn to do; nothing where it may not.
    pub skills: &'a [ListItem],
    /// What happens when.
    pub crons: &'a [ListItem],
    /// The present, in the owner's zone.
    pub now: &'a Zoned,
    /// The session's name.
    pub session: &'a str,
    /// What kind of event is answered.
    pub kind: EventKind,
    /// Where the answer goes.
    pub reply_to: &'a Address,
    /// How the answer's channel shows it, in a sentence; `None` for a channel that has no row yet.
    pub channel_hint: Option<&'a str>,
    /// The workspace's directory, for variables.
    pub root: &'a str,
    /// How long it may become.
    pub limits: PromptLimits,
}

/// A part of the prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What it is: `identity`, `personality`, a guide's file, `agents`, `skills`, `crons`, `runtime`, `channel`.
    pub name: &'static str,
    /// What the model reads.
    pub text: String,
    /// Whether it is the same from turn to turn.
    pub is_stable: bool,
}

/// The layers, in their order: the stable ones first. None is empty.
#[must_use]
pub fn layers(sources: &Sources) -> Vec<Layer> {
    let now = sources.now.strftime("%Y-%m-%d %H:%M %A (%Q)");
    let id = &sources.agent.id;
    let runtime = format!("## Runtime\n\nAgent: {id}\nSession: {}\nTime: {now}", sources.session);
    let fresh = [("runtime", runtime), ("channel", hint(sources.kind, sources.reply_to, sources.channel_hint))];
    // The present is short, and always told whole.
    let taken: usize = fresh.iter().map(|(_, text)| text.chars().count() + BETWEEN.len()).sum();
    let mut room = sources.limits.max_total.saturating_sub(taken);
    let mut layers = Vec::new();
    let mut add = |name: &'static str, make: &dyn Fn(usize) -> String| {
        let text = make(room.min(sources.limits.max_file));
        if !text.is_empty() {
            room = room.saturating_sub(text.chars().count() + BETWEEN.len());
            layers.push(Layer { name, text, is_stable: true });
        }
    };
    let filled = |text: &str, room: usize, place: &str| {
        let text = template::expand(text.trim(), sources.root);
        if text.is_empty() { text } else { truncate::prose(&text, room, place) }
    };
    add("identity", &|room| filled(&sources.agent.identity, room, &format!("agents/{id}/AGENT.md")));
    if let Some(soul) = sources.agent.soul.as_deref().filter(|soul| !soul.trim().is_empty()) {
        let head = "## Personality\n\n";
        let place = format!("agents/{id}/SOUL.md");
        add("personality", &|room| format!("{head}{}", filled(soul, room.saturating_sub(head.len()), &place)));
    }
    for (name, text) in sources.guide {
        add(name, &|room| filled(text, room, name));
    }
    for (name, head, items, place) in [
        ("agents", AGENTS, sources.agents, "agents/"),
        ("skills", SKILLS, sources.skills, "skills/"),
        ("crons", CRONS, sources.crons, "crons/"),
    ] {
        if !items.is_empty() {
            add(name, &|room| truncate::list(head, items, room, place));
        }
    }
    layers.extend(fresh.map(|(name, text)| Layer { name, text, is_stable: false }));
    layers
}

const AGENTS: &str = "## Agents\n\nWho lives in this workspace:";
const SKILLS: &str = "## Skills\n\nWhen a task is one of these, call the tool `skill` with its name before you begin, \
                      and do as it says:";
const CRONS: &str = "## Scheduled tasks\n\nWhat happens without being asked for (cron expression, who does it):";

/// The prompt, and how many bytes from its start are the same from turn to turn.
#[must_use]
pub fn join(layers: &[Layer]) -> (String, usize) {
    let mut text = String::new();
    let mut stable = 0;
    for (number, layer) in layers.iter().enumerate() {
        if number > 0 {
            text.push_str(BETWEEN);
        }
        text.push_str(&layer.text);
        if layer.is_stable {
            stable = text.len();
        }
    }
    (text, stable)
}

/// What an agent is told about where its answer goes.
fn hint(kind: EventKind, reply_to: &Address, channel_hint: Option<&str>) -> String {
    let text = match (kind, reply_to.channel()) {
        (EventKind::Cron | EventKind::Heartbeat, _) => {
            "You run in the background as a scheduled task; your reply is not sent to anybody."
        }
        (EventKind::Dispatch, _) | (_, "agent") => {
            "You were called by another agent; your reply goes to it. Answer with the result, whole: it sees nothing \
             else of your work."
        }
        (_, "telegram") => {
            "You answer on Telegram, to somebody with a phone: short paragraphs, no tables, no headings. What is over \
             4096 characters is sent in pieces."
        }
        (_, "discord") => {
            "You answer on Discord: short Markdown, no tables. What is over 2000 characters is sent in pieces."
        }
        (_, "ws") => "You answer over a WebSocket, to a program that shows Markdown.",
        (_, channel) => {
            return channel_hint.map_or_else(|| format!("You answer on the channel {channel}."), str::to_owned);
        }
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small workspace, as far as a prompt shows it.
    struct Scene {
        agent: Agent,
        guide: Vec<(&'static str, String)>,
        agents: Vec<ListItem>,
        skills: Vec<ListItem>,
        crons: Vec<ListItem>,
        now: Zoned,
        reply_to: Address,
    }

    impl Scene {
        fn new() -> Self {
            let agent = Agent {
                id: "pickle".into(),
                identity: "You are Pickle, of {{workspace}}.".into(),
                soul: Some("Be brief.\n".into()),
                ..Agent::default()
            };
            Self {
                agent,
                guide: vec![("AGENTS.md", "# Guide\n".into())],
                agents: vec![ListItem::new("cookie", "Keeps."), ListItem::new("pickle", "You.")],
                skills: vec![ListItem::new("pdf", "Reads PDF.")],
                crons: vec![ListItem::new("morning (0 7 * * *, pickle)", "News.")],
                now: "2026-11-21T09:05[Europe/Berlin]".parse().unwrap(),
                reply_to: Address::parse("cli:ann").unwrap(),
            }
        }

        fn sources(&self) -> Sources<'_> {
            Sources {
                agent: &self.agent,
                guide: &self.guide,
                agents: &self.agents,
                skills: &self.skills,
                crons: &self.crons,
                now: &self.now,
                session: "pickle.cli-ann",
                kind: EventKind::Message,
                reply_to: &self.reply_to,
                channel_hint: (self.reply_to.channel() == "cli").then_some("You answer in a terminal."),
                root: "/w",
                limits: PromptLimits::default(),
            }
        }
    }

    #[test]
    fn layers_stand_in_their_order_and_the_stable_ones_first() {
        let (text, stable) = join(&layers(&Scene::new().sources()));
        assert_eq!(
            &text[..stable],
            "You are Pickle, of /w.\n\n## Personality\n\nBe brief.\n\n# Guide\n\n\
             ## Agents\n\nWho lives in this workspace:\n\n- cookie: Keeps.\n- pickle: You.\n\n\
             ## Skills\n\nWhen a task is one of these, call the tool `skill` with its name before you begin, and do \
             as it says:\n\n- pdf: Reads PDF.\n\n\
             ## Scheduled tasks\n\nWhat happens without being asked for (cron expression, who does it):\n\n\
             - morning (0 7 * * *, pickle): News."
        );
        assert_eq!(
            &text[stable..],
            "\n\n## Runtime\n\nAgent: pickle\nSession: pickle.cli-ann\nTime: 2026-11-21 09:05 Saturday \
             (Europe/Berlin)\n\nYou answer in a terminal."
        );
    }

    #[test]
    fn what_a_turn_is_about_changes_nothing_of_what_is_stable() {
        let (context, mut other) = (Scene::new(), Scene::new());
        other.now = "2027-01-01T23:59[UTC]".parse().unwrap();
        other.reply_to = Address::parse("telegram:1").unwrap();
        let (text, stable) = join(&layers(&context.sources()));
        let changed = Sources { session: "pickle.x", kind: EventKind::Cron, ..other.sources() };
        let (other, other_stable) = join(&layers(&changed));
        assert_eq!(text[..stable], other[..other_stable]);
        assert_ne!(text, other);
    }

    #[test]
    fn nothing_is_said_of_what_is_not_there() {
        let mut context = Scene::new();
        (context.guide, context.agents, context.skills, context.crons) = (vec![], vec![], vec![], vec![]);
        context.agent.soul = Some(" \n".into());
        let layers = layers(&context.sources());
        assert_eq!(layers.iter().map(|layer| layer.name).collect::<Vec<_>>(), ["identity", "runtime", "channel"]);
    }

    #[test]
    fn no_file_and_no_prompt_is_longer_than_it_may_be() {
        let mut context = Scene::new();
        context.guide =
            vec![("AGENTS.md", "a line of the guide\n".repeat(5_000)), ("BOOTSTRAP.md", "more\n".repeat(9_000))];
        context.skills = (0..300).map(|n| ListItem::new(format!("s{n}"), &"it does much ".repeat(20))).collect();
        for (max_file, max_total) in [(20_000, 100_000), (20_000, 30_000), (5_000, 6_000), (1_000, 2_000)] {
            let layers = layers(&Sources { limits: PromptLimits { max_file, max_total }, ..context.sources() });
            let (text, _) = join(&layers);
            let length = text.chars().count();
            // Where there is no room at all, it is still said what is missing.
            assert!(length <= max_total + 600, "{max_total}: {length}");
            assert!(layers.iter().all(|layer| layer.text.chars().count() <= max_file), "{max_file}");
            for said in ["all of it is in AGENTS.md …]", "all of it is in BOOTSTRAP.md …]", "in skills/ …]"] {
                assert!(text.contains(said), "{max_total}: {said}");
            }
            assert!(text.ends_with("You answer in a terminal."));
        }
    }

    #[test]
    fn an_answer_knows_where_it_goes() {
        let said = |kind, to: &str| hint(kind, &Address::parse(to).unwrap(), None);
        assert!(said(EventKind::Cron, "cli:ann").contains("not sent to anybody"));
        assert!(said(EventKind::Dispatch, "cli:ann").contains("goes to it"));
        assert!(said(EventKind::Message, "agent:pickle").contains("goes to it"));
        assert!(said(EventKind::Message, "telegram:42").contains("4096"));
        assert_eq!(said(EventKind::Message, "signal:1"), "You answer on the channel signal.");
        let row = Some("Your answer is printed.");
        assert_eq!(hint(EventKind::Message, &Address::parse("signal:1").unwrap(), row), "Your answer is printed.");
        let background = hint(EventKind::Cron, &Address::parse("signal:1").unwrap(), row);
        assert!(background.contains("not sent to anybody"), "{background}");
    }
}
