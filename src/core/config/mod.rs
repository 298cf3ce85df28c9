//! The settings: `claw.yaml`. Every key is in [`Config`] and, commented, in the file that `init`
//! writes.

pub mod resolved_model;

use crate::core::budget::{BUDGET_KEYS, Budget};
use crate::core::context::prompt::PromptLimits;
use crate::core::event::address::Address;
use crate::core::event::session_name;
use crate::core::model::money::PRICE_KEYS;
use crate::core::model::settings::{MODEL_KEYS, Model};
use crate::core::routing::binding::{self, Routing};
use crate::core::text::problem::{self, Problem};
use crate::core::web::settings::{WEB_KEYS, Web};
use jiff::SignedDuration;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The file's name in a workspace.
pub const FILE: &str = "claw.yaml";
/// The name of the built-in model.
pub const OFFLINE: &str = "offline";

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The model of agents that name none: `offline`, a name of `models`, or `provider/model`.
    pub model: String,
    /// The agent that answers what nobody else is named for.
    pub default_agent: String,
    /// Where answers go that have no place to go to.
    pub deliver_to: Option<Address>,
    /// Addresses whose slash commands are the owner's, beside `deliver_to` and the terminal.
    pub owner: Vec<Address>,
    /// Which agent talks to whom.
    pub routing: Routing,
    /// How many turns run at once, over all processes.
    pub max_concurrency: u32,
    /// Whether writes wait for the disk.
    pub sync: Sync,
    /// Use a network file system in spite of everything.
    pub allow_network_fs: bool,
    /// Named models.
    pub models: BTreeMap<String, Model>,
    /// What all agents together may take of the models.
    pub budget: Budget,
    /// What prices are in, for people.
    pub currency: String,
    /// Settings of channels.
    pub channels: Channels,
    /// Settings of the memory.
    pub memories: Memories,
    /// The walls around agents' programs.
    pub sandbox: Sandbox,
    /// How long the system prompt may be.
    pub prompt: PromptLimits,
    /// When a conversation is made shorter.
    pub compact: CompactSettings,
    /// The tools that reach the web.
    pub web: Web,
    /// How long finished things are kept.
    pub keep: Keep,
}

/// Whether writes wait for the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sync {
    /// A power cut loses nothing that was acknowledged.
    #[default]
    Full,
    /// For tests and `tmpfs`: a killed program loses nothing, a power cut may.
    None,
}

/// Settings of channels.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Channels {
    /// `exec:NAME` destinations.
    pub exec: BTreeMap<String, Exec>,
}

/// A program that delivers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Exec {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How long it may run; default 1 min.
    pub timeout: Option<SignedDuration>,
}

/// Settings of the memory.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Memories {
    /// Commit every note.
    pub git: bool,
}

/// The walls around agents' programs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Sandbox {
    /// Whether there must be walls.
    pub mode: SandboxMode,
    /// Whether programs reach the network.
    pub network: bool,
}

/// Whether there must be walls around agents' programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxMode {
    /// Where the kernel has none, no program is run.
    #[default]
    Require,
    /// As far as the kernel has them.
    BestEffort,
    /// None: programs may do what the owner may.
    Off,
}

/// When a conversation is made shorter for the model.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct CompactSettings {
    /// At which share of the model's window.
    pub at: f64,
}

impl Default for CompactSettings {
    fn default() -> Self {
        Self { at: 0.8 }
    }
}

impl CompactSettings {
    /// The share of a window at which a conversation is made shorter.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share is between 0.1 and 0.95, as the settings are read"
    )]
    pub fn of(self, window: u64) -> u64 {
        window.saturating_mul((self.at * 1000.0).round() as u64) / 1000
    }
}

/// How long finished things are kept, in days.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Keep {
    /// Events that are done.
    pub done_days: u32,
    /// Sessions of `claw ask` that were not named.
    pub ask_days: u32,
    /// The journal.
    pub journal_days: u32,
}

impl Default for Keep {
    fn default() -> Self {
        Self { done_days: 7, ask_days: 30, journal_days: 30 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model: OFFLINE.to_owned(),
            default_agent: "pickle".to_owned(),
            deliver_to: None,
            owner: Vec::new(),
            routing: Routing::default(),
            max_concurrency: 8,
            sync: Sync::Full,
            allow_network_fs: false,
            models: BTreeMap::new(),
            budget: Budget::default(),
            currency: String::new(),
            channels: Channels::default(),
            memories: Memories::default(),
            sandbox: Sandbox::default(),
            prompt: PromptLimits::default(),
            compact: CompactSettings::default(),
            web: Web::default(),
            keep: Keep::default(),
        }
    }
}

const KEYS: &[&str] = &[
    "model",
    "default_agent",
    "deliver_to",
    "owner",
    "max_concurrency",
    "sync",
    "allow_network_fs",
    "models",
    "currency",
    "channels",
    "memories",
    "sandbox",
    "mode",
    "network",
    "prompt",
    "compact",
    "at",
    "keep",
    "exec",
    "command",
    "timeout",
    "git",
    "max_file",
    "max_total",
    "done_days",
    "ask_days",
    "journal_days",
];

/// Reads `claw.yaml`.
///
/// # Errors
/// The problem, with line and column, where it is not YAML or a value is unfit.
pub fn parse(text: &str) -> Result<(Config, Vec<Problem>), Problem> {
    let known: Vec<&str> = KEYS
        .iter()
        .chain(MODEL_KEYS)
        .chain(PRICE_KEYS)
        .chain(BUDGET_KEYS)
        .chain(binding::KEYS)
        .chain(WEB_KEYS)
        .copied()
        .collect();
    let (config, mut warnings) = problem::read::<Config>(FILE, text, 1, &known)?;
    let place = |key: &str| problem::locate(text, key);
    if config.max_concurrency == 0 {
        return Err(Problem::error(FILE, "max_concurrency is 0: nothing could ever run").at(place("max_concurrency")));
    }
    if !(0.1..=0.95).contains(&config.compact.at) {
        let message = format!("compact.at is {}, and not a share between 0.1 and 0.95", config.compact.at);
        return Err(Problem::error(FILE, message).at(place("compact.at")));
    }
    session_name::check_agent(&config.default_agent)
        .map_err(|e| Problem::error(FILE, e.message).at(place("default_agent")))?;
    for (name, model) in &config.models {
        let at = |key: &str| place(&format!("models.{name}.{key}")).or_else(|| place(&format!("models.{name}")));
        if let Some((key, message)) = model.problem() {
            return Err(Problem::error(FILE, format!("models.{name}{message}")).at(at(key)));
        }
        if model.api_key.is_some() {
            let message = format!("models.{name}.api_key is in the file; api_key_env or api_key_file keeps it out");
            warnings.push(Problem::warning(FILE, message).at(at("")));
        }
    }
    if let Some((n, message)) = config.routing.wrong() {
        let at = problem::locate_item(text, "routing.bindings", "pattern", n);
        return Err(Problem::error(FILE, format!("routing.bindings: {message}")).at(at));
    }
    if let Some((key, message)) = config.web.wrong() {
        return Err(Problem::error(FILE, message).at(place(key)));
    }
    if config.web.search.as_ref().is_some_and(|search| search.api_key.is_some()) {
        let message = "web.search.api_key is in the file; api_key_env or api_key_file keeps it out";
        warnings.push(Problem::warning(FILE, message).at(place("web.search.api_key")));
    }
    Ok((config, warnings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_init_writes_has_every_key_and_reads_as_the_defaults() {
        let text = include_str!("../../../claw.yaml");
        let (config, warnings) = parse(text).unwrap();
        assert_eq!(warnings, []);
        assert_eq!(config.model, OFFLINE);
        for key in
            KEYS.iter().chain(MODEL_KEYS).chain(PRICE_KEYS).chain(BUDGET_KEYS).chain(binding::KEYS).chain(WEB_KEYS)
        {
            assert!(text.contains(&format!("{key}:")), "claw.yaml does not show `{key}`");
        }
        // Uncommented it is valid too: the examples are real ones.
        let all: String = text
            .lines()
            .map(|l| l.strip_prefix("#   ").map_or(l, |rest| rest))
            .fold(String::new(), |a, l| a + l + "\n");
        let (config, warnings) = parse(&all).unwrap_or_else(|e| panic!("{e}\n{all}"));
        assert_eq!(warnings, []);
        assert!(config.models.len() >= 3 && !config.channels.exec.is_empty());
    }

    #[test]
    fn unfit_values_are_errors_with_their_line() {
        let at = |text: &str| parse(text).unwrap_err().at;
        assert_eq!(at("model: x\nmax_concurrency: 0\n"), Some((2, 1)));
        assert_eq!(at("models:\n  m: {model: x}\n"), Some((2, 3)));
        assert_eq!(at("default_agent: a/b\n"), Some((1, 1)));
        assert_eq!(at("models:\n  m:\n    provider: openai\n    price: {input: 1}\n"), Some((4, 5)));
        assert_eq!(at("budget:\n  day: {money: -1}\n"), Some((2, 8)));
        let bindings = "routing:\n  bindings:\n    # pattern: x\n    - {pattern: 'cli:.*', agent: a}\n    - ";
        for wrong in [
            "{pattern: 'cli:[', agent: a}",
            "{pattern: x, agent: a/b}",
            "{agent: a, pattern: x, session: b.c}",
            "{pattern: x, agent: a, from: '('}",
        ] {
            let error = parse(&format!("{bindings}{wrong}\n")).unwrap_err();
            assert_eq!(error.at.unwrap().0, 5, "{error}");
        }
        assert_eq!(at(&format!("{bindings}{{pattern: x}}\n")).unwrap().0, 5);
        let (_, warnings) = parse(&format!("{bindings}{{pattern: x, agent: a, form: y}}\n")).unwrap();
        let said = "claw.yaml:5:30: warning: unknown key `routing.bindings.1.form`, did you mean `from`?";
        assert_eq!(warnings[0].to_string(), said);
        assert_eq!(at("compact:\n  at: 80\n"), Some((2, 3)));
        assert_eq!(at("models:\n  m:\n    provider: openai\n    window: 8\n"), Some((4, 5)));
        assert!(parse("sync: maybe\n").unwrap_err().message.contains("full"));
        assert!(parse("a: [\n").is_err());
        assert_eq!(at("web:\n  search: {provider: searxng}\n"), Some((2, 3)));
        assert_eq!(at("web:\n  search: {provider: brave}\n"), Some((2, 3)));
        assert_eq!(at("web:\n  read: true\n  proxy: socks://x\n"), Some((3, 3)));
        assert!(parse("web: {search: {provider: gogle}}\n").unwrap_err().message.contains("`brave`"));
        assert!(parse("web: {allow_private: [localhost]}\n").unwrap_err().message.contains("HOST:PORT"));
    }
}
