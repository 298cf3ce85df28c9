//! The settings: `claw.yaml`. Every key is in [`Config`] and, commented, in the file that `init`
//! writes.

use crate::core::address::{Address, safe_name};
use crate::core::binding::{self, Routing, Scope};
use crate::core::budget::{BUDGET_KEYS, Budget};
use crate::core::fault::{Fault, Result};
use crate::core::model_settings::{MODEL_KEYS, Model};
use crate::core::money::PRICE_KEYS;
use crate::core::problem::{self, Problem};
use crate::core::prompt::Limits;
use crate::core::web_settings::{WEB_KEYS, Web};
use crate::core::{definition, session};
use jiff::SignedDuration;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The file's name in a workspace.
pub const FILE: &str = "claw.yaml";
/// The name of the built-in model.
pub const OFFLINE: &str = "offline";
/// The provider that answers from a cassette.
pub const REPLAY: &str = "replay";

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
    pub prompt: Limits,
    /// When a conversation is made shorter.
    pub compact: Compact,
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
    pub mode: Mode,
    /// Whether programs reach the network.
    pub network: bool,
}

/// Whether there must be walls around agents' programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
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
pub struct Compact {
    /// At which share of the model's window.
    pub at: f64,
}

impl Default for Compact {
    fn default() -> Self {
        Self { at: 0.8 }
    }
}

impl Compact {
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
            prompt: Limits::default(),
            compact: Compact::default(),
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
pub fn parse(text: &str) -> std::result::Result<(Config, Vec<Problem>), Problem> {
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
    session::check_agent(&config.default_agent)
        .map_err(|e| Problem::error(FILE, e.message).at(place("default_agent")))?;
    for (name, model) in &config.models {
        let at = place(&format!("models.{name}"));
        if model.provider.is_none() {
            let message =
                format!("models.{name} has no `provider` (openai, anthropic, ollama, command, replay or offline)");
            return Err(Problem::error(FILE, message).at(at));
        }
        if model.provider.as_deref() == Some(REPLAY) && model.cassette.is_none() {
            return Err(Problem::error(FILE, format!("models.{name} has no `cassette`")).at(at));
        }
        if let Some(missing) = model.price.and_then(|price| price.missing()) {
            let message =
                format!("models.{name}.price has no `{missing}` (for a million tokens; 0 if it costs nothing)");
            return Err(Problem::error(FILE, message).at(place(&format!("models.{name}.price")).or(at)));
        }
        if model.window.is_some_and(|window| window < 1000) {
            let message = format!("models.{name}.window is under 1000 tokens: not even the prompt would fit");
            return Err(Problem::error(FILE, message).at(place(&format!("models.{name}.window")).or(at)));
        }
        if model.api_key.is_some() {
            let message = format!("models.{name}.api_key is in the file; api_key_env or api_key_file keeps it out");
            warnings.push(Problem::warning(FILE, message).at(at));
        }
    }
    for (n, binding) in config.routing.bindings.iter().enumerate() {
        let check = || {
            session::check_agent(&binding.agent).map_err(|e| ("agent", e.message))?;
            if let Scope::Named(name) = &binding.session {
                session::named(name, Some(&binding.agent), "").map_err(|e| ("session", e.message))?;
            }
            binding::check_pattern(&binding.pattern).map_err(|what| ("pattern", what))?;
            binding::check_pattern(binding.from.as_deref().unwrap_or_default()).map_err(|what| ("from", what))
        };
        if let Err((key, what)) = check() {
            let at = problem::locate_item(text, "routing.bindings", "pattern", n);
            return Err(Problem::error(FILE, format!("routing.bindings: {key}: {what}")).at(at));
        }
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

/// The model that shall be used: its name, and how to reach it.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// What the owner calls it.
    pub name: String,
    /// How to reach it.
    pub model: Model,
}

impl Chosen {
    /// Who it is to others: its thoughts are given back to nobody else.
    #[must_use]
    pub fn by(&self) -> String {
        let model = self.model.model.as_deref().unwrap_or(&self.name);
        format!("{}/{model}", self.model.provider.as_deref().unwrap_or_default())
    }

    /// The slots that its requests share, and how many there are, where there is a limit.
    #[must_use]
    pub fn slots(&self) -> Option<(String, u32)> {
        let limit = self.model.max_concurrency?;
        Some((format!("model-{}", safe_name(&self.name, 40)), limit.max(1)))
    }

    /// The built-in model, whatever `models:` calls by its name.
    #[must_use]
    pub fn offline() -> Self {
        Self { name: OFFLINE.to_owned(), model: Model { provider: Some(OFFLINE.to_owned()), ..Model::default() } }
    }
}

impl Chosen {
    /// Whether nobody is asked, so that nothing is taken.
    #[must_use]
    pub fn is_free(&self) -> bool {
        matches!(self.model.provider.as_deref(), Some(OFFLINE | REPLAY))
    }

    /// That nobody knows what this model costs, where one of these budgets is in money.
    #[must_use]
    pub fn unpriced(&self, budgets: &[&Budget]) -> Option<Fault> {
        let is_known = self.model.price.is_some() || self.is_free();
        if is_known || !budgets.iter().any(|budget| budget.is_in_money()) {
            return None;
        }
        let what = format!("a budget is in money, and model `{}` has no price", self.name);
        let way_out = format!("give it one under models: in {FILE}, or `price: {{input: 0, output: 0}}` if it is free");
        Some(Fault::config(what).hint(way_out))
    }
}

impl Config {
    /// The model for `agent`, or the one that was asked for by name.
    ///
    /// # Errors
    /// `Config` where no model has that name, with a guess.
    pub fn choose(&self, agent: &definition::Agent, asked: Option<&str>) -> Result<Chosen> {
        let name = asked.or(agent.model.as_deref()).unwrap_or(&self.model);
        let mut model = self.named(name)?;
        if asked.is_none() {
            model.merge(&agent.llm);
        }
        Ok(Chosen { name: name.to_owned(), model })
    }

    fn named(&self, name: &str) -> Result<Model> {
        if let Some(model) = self.models.get(name) {
            return Ok(model.clone());
        }
        if name == OFFLINE {
            return Ok(Model { provider: Some(OFFLINE.to_owned()), ..Model::default() });
        }
        if let Some((provider, model)) = name.split_once('/') {
            let (provider, model) = (Some(provider.to_owned()), Some(model.to_owned()));
            return Ok(Model { provider, model, ..Model::default() });
        }
        let names = self.models.keys().map(String::as_str).chain([OFFLINE]);
        let hint = match problem::nearest(name, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("name it under models: in {FILE}, or use offline or provider/model"),
        };
        Err(Fault::config(format!("no model is called `{name}`")).hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_init_writes_has_every_key_and_reads_as_the_defaults() {
        let text = include_str!("../../claw.yaml");
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
    fn a_model_is_chosen_by_name_and_an_agent_overrides_parts() {
        let (config, _) =
            parse("model: fast\nmodels:\n  fast: {provider: openai, model: a, temperature: 0.5}\n").unwrap();
        let mut agent = definition::Agent::default();
        agent.llm.model = Some("b".to_owned());
        let chosen = config.choose(&agent, None).unwrap();
        assert_eq!((chosen.name.as_str(), chosen.model.model.as_deref()), ("fast", Some("b")));
        assert_eq!(chosen.model.temperature, Some(0.5));
        let asked = config.choose(&agent, Some("openai/c")).unwrap();
        assert_eq!(asked.model.model.as_deref(), Some("c"));
        let error = config.choose(&agent, Some("fats")).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean `fast`?"));
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
