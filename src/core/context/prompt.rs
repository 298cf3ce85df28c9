//! The system prompt, in layers: identity, personality, workspace guide, lists of agents, skills and scheduled tasks,
//! runtime, channel hint. Layers that stay the same from turn to turn come first and are byte-identical, so that prompt
//! caches of providers hit.

use crate::core::definition::Agent;
use crate::core::event::EventKind;
use crate::core::event::address::Address;
use crate::core::event::origin::SenderClass;
use crate::core::text::template;
use crate::core::text::truncate::{self, ListItem};
use jiff::Zoned;
use serde::Deserialize;

/// The separator between two layers.
const BETWEEN: &str = "\n\n";

/// Size limits of the prompt, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct PromptLimits {
    /// The limit of one file or one list.
    pub max_file: usize,
    /// The limit of all layers together.
    pub max_total: usize,
}

impl Default for PromptLimits {
    fn default() -> Self {
        Self { max_file: 20_000, max_total: 100_000 }
    }
}

/// The content from which the layers are made.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The agent that answers.
    pub agent: &'a Agent,
    /// The existing files of the guide: name and text.
    pub guide: &'a [(&'static str, String)],
    /// How the agent uses the memory; empty for the memory agent.
    pub memory: &'a str,
    /// All agents of the workspace.
    pub agents: &'a [ListItem],
    /// The skills on offer; empty where the agent may not use skills.
    pub skills: &'a [ListItem],
    /// The scheduled tasks.
    pub crons: &'a [ListItem],
    /// The current time, in the owner's time zone.
    pub now: &'a Zoned,
    /// The time at which the conversation began.
    pub began: &'a Zoned,
    /// The session's name.
    pub session: &'a str,
    /// The kind of the event that is answered.
    pub kind: EventKind,
    /// The destination of the answer.
    pub reply_to: &'a Address,
    /// The class of the sender.
    pub class: SenderClass,
    /// The channel's sentence for the model; `None` for a channel without a row in the channel table.
    pub channel_hint: Option<&'a str>,
    /// The workspace's directory, for template variables.
    pub root: &'a str,
    /// The size limits.
    pub limits: PromptLimits,
}

/// One layer of the prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its name: `identity`, `personality`, a guide's file, `memory`, `agents`, `skills`, `crons`, `runtime`, `channel`.
    pub name: &'static str,
    /// The text that the model receives.
    pub text: String,
    /// Whether it is byte-identical from turn to turn.
    pub is_stable: bool,
}

/// The layers in order, stable ones first. No layer is empty.
#[must_use]
pub fn layers(sources: &Sources) -> Vec<Layer> {
    // The time of day would change the prompt every minute, and so miss the providers' caches: the prompt has the
    // time of the conversation's beginning, and the last message the present one where that is later.
    let today = sources.now.strftime("%Y-%m-%d %A (%Q)");
    let began = sources.began.strftime(TIME);
    let id = &sources.agent.id;
    let (session, class) = (sources.session, sources.class.name());
    let runtime = format!(
        "## Runtime\n\nAgent: {id}\nSession: {session}\nSender: {class}\nDate: {today}\n\
         Conversation began: {began}\n\nA time in brackets behind the last message is the present time."
    );
    let fresh = [("runtime", runtime), ("channel", hint(sources.kind, sources.reply_to, sources.channel_hint))];
    // The changing layers are short and never truncated.
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
    add("memory", &|room| filled(sources.memory, room, "claw.yaml"));
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

const AGENTS: &str = "## Agents\n\nThe agents of this workspace:";
/// How times are told to models.
pub const TIME: &str = "%Y-%m-%d %H:%M";

const SKILLS: &str = "## Skills\n\nWhen a task is one of these, call the tool `skill` with its name before you begin, \
                      and follow its instructions:";
const CRONS: &str = "## Scheduled tasks\n\nTasks that run on a schedule (cron expression, agent):";

/// The prompt, and the length in bytes of its stable prefix.
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

/// The text about the destination of the agent's answer.
fn hint(kind: EventKind, reply_to: &Address, channel_hint: Option<&str>) -> String {
    let text = match (kind, reply_to.channel()) {
        (EventKind::Cron | EventKind::Heartbeat, _) => {
            "You run in the background as a scheduled task; your reply is not sent to anyone."
        }
        (EventKind::Dispatch, _) | (_, "agent") => {
            "You were called by another agent; your reply goes to it. Answer with the complete result: it sees nothing \
             else of your work."
        }
        (_, "telegram") => {
            "You answer on Telegram, to a reader on a phone: short paragraphs, no tables, no headings. A text over 4096 \
             characters is sent in pieces."
        }
        (_, "discord") => {
            "You answer on Discord: short Markdown, no tables. A text over 2000 characters is sent in pieces."
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

    /// The content of a small workspace.
    struct SampleWorkspace {
        agent: Agent,
        guide: Vec<(&'static str, String)>,
        agents: Vec<ListItem>,
        skills: Vec<ListItem>,
        crons: Vec<ListItem>,
        now: Zoned,
        reply_to: Address,
    }

    impl SampleWorkspace {
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
                memory: "",
                agents: &self.agents,
                skills: &self.skills,
                crons: &self.crons,
                now: &self.now,
                began: &self.now,
                session: "pickle.cli-ann",
                kind: EventKind::Message,
                reply_to: &self.reply_to,
                class: SenderClass::Owner,
                channel_hint: (self.reply_to.channel() == "cli").then_some("You answer in a terminal."),
                root: "/w",
                limits: PromptLimits::default(),
            }
        }
    }

    #[test]
    fn stable_layers_come_first_in_a_fixed_order() {
        let (text, stable) = join(&layers(&SampleWorkspace::new().sources()));
        assert_eq!(
            &text[..stable],
            "You are Pickle, of /w.\n\n## Personality\n\nBe brief.\n\n# Guide\n\n\
                         ## Agents\n\nThe agents of this workspace:\n\n- cookie: Keeps.\n- pickle: You.\n\n\
             ## Skills\n\nWhen a task is one of these, call the tool `skill` with its name before you begin, and \
             follow its instructions:\n\n- pdf: Reads PDF.\n\n\
                         ## Scheduled tasks\n\nTasks that run on a schedule (cron expression, agent):\n\n\
             - morning (0 7 * * *, pickle): News."
        );
        assert_eq!(
            &text[stable..],
            "\n\n## Runtime\n\nAgent: pickle\nSession: pickle.cli-ann\nSender: owner\nDate: 2026-11-21 Saturday \
             (Europe/Berlin)\nConversation began: 2026-11-21 09:05\n\nA time in brackets behind the last message is the \
             present time.\n\nYou answer in a terminal."
        );
    }

    #[test]
    fn stable_prefix_does_not_depend_on_the_turn() {
        let (context, mut other) = (SampleWorkspace::new(), SampleWorkspace::new());
        other.now = "2027-01-01T23:59[UTC]".parse().unwrap();
        other.reply_to = Address::parse("telegram:1").unwrap();
        let (text, stable) = join(&layers(&context.sources()));
        let changed = Sources { session: "pickle.x", kind: EventKind::Cron, ..other.sources() };
        let (other, other_stable) = join(&layers(&changed));
        assert_eq!(text[..stable], other[..other_stable]);
        assert_ne!(text, other);
    }

    #[test]
    fn empty_sources_add_no_layer() {
        let mut context = SampleWorkspace::new();
        (context.guide, context.agents, context.skills, context.crons) = (vec![], vec![], vec![], vec![]);
        context.agent.soul = Some(" \n".into());
        let layers = layers(&context.sources());
        assert_eq!(layers.iter().map(|layer| layer.name).collect::<Vec<_>>(), ["identity", "runtime", "channel"]);
    }

    #[test]
    fn files_and_prompt_stay_within_their_limits() {
        let mut context = SampleWorkspace::new();
        context.guide =
            vec![("AGENTS.md", "a line of the guide\n".repeat(5_000)), ("BOOTSTRAP.md", "more\n".repeat(9_000))];
        context.skills = (0..300).map(|n| ListItem::new(format!("s{n}"), &"it does much ".repeat(20))).collect();
        for (max_file, max_total) in [(20_000, 100_000), (20_000, 30_000), (5_000, 6_000), (1_000, 2_000)] {
            let layers = layers(&Sources { limits: PromptLimits { max_file, max_total }, ..context.sources() });
            let (text, _) = join(&layers);
            let length = text.chars().count();
            // The marks that name the omitted files may exceed the limit.
            assert!(length <= max_total + 600, "{max_total}: {length}");
            assert!(layers.iter().all(|layer| layer.text.chars().count() <= max_file), "{max_file}");
            for mark in ["all of it is in AGENTS.md …]", "all of it is in BOOTSTRAP.md …]", "in skills/ …]"] {
                assert!(text.contains(mark), "{max_total}: {mark}");
            }
            assert!(text.ends_with("You answer in a terminal."));
        }
    }

    #[test]
    fn channel_hint_names_the_destination() {
        let named = |kind, to: &str| hint(kind, &Address::parse(to).unwrap(), None);
        assert!(named(EventKind::Cron, "cli:ann").contains("not sent to anyone"));
        assert!(named(EventKind::Dispatch, "cli:ann").contains("goes to it"));
        assert!(named(EventKind::Message, "agent:pickle").contains("goes to it"));
        assert!(named(EventKind::Message, "telegram:42").contains("4096"));
        assert_eq!(named(EventKind::Message, "signal:1"), "You answer on the channel signal.");
        let row = Some("Your answer is printed.");
        assert_eq!(hint(EventKind::Message, &Address::parse("signal:1").unwrap(), row), "Your answer is printed.");
        let background = hint(EventKind::Cron, &Address::parse("signal:1").unwrap(), row);
        assert!(background.contains("not sent to anyone"), "{background}");
    }
}
