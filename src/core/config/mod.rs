//! The settings of a workspace: `claw.yaml`. Every key is a field below [`Config`], and is shown in the file that `init`
//! writes. The doc comments of the fields are the descriptions in `docs/schema/claw.yaml.json`.

pub mod describe;
pub mod edit;
mod flow;
pub mod languages;
pub mod resolved_model;
#[cfg(test)]
mod schema;

use crate::core::budget::Budget;
use crate::core::channel::settings::Channels;
use crate::core::context::memory_guide::MemoryWay;
use crate::core::context::prompt::PromptLimits;
use crate::core::crons::heartbeat::HeartbeatSettings;
use crate::core::event::address::Address;
use crate::core::event::session_name;
use crate::core::model::settings::{Model, clear_text_warning};
use crate::core::routing::binding::Routing;
use crate::core::text::problem::{self, Problem};
use crate::core::web::settings::{SearchSettings, Web};
use jiff::SignedDuration;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The file's name in a workspace.
pub const FILE: &str = "claw.yaml";
/// The name of the built-in model.
pub const OFFLINE: &str = "offline";

/// The settings of a workspace.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(title = "claw.yaml"))]
#[serde(default)]
pub struct Config {
    /// The default model of agents: `offline`, a name of `models`, or `provider/model`.
    pub model: String,
    /// The agent for messages that no binding matches.
    pub default_agent: String,
    /// The destination of messages without a reply address, such as results of scheduled tasks.
    pub deliver_to: Option<Address>,
    /// Further addresses of the owner, besides `deliver_to` and the terminal; they may use owner commands.
    pub owner: Vec<Address>,
    /// Addresses of senders that the owner knows, or `channel:*` for all of a channel. Agents give unknown senders no
    /// tools; see `senders` in AGENT.md.
    pub known: Vec<Address>,
    /// Whether slash commands in dropped files are run.
    pub drops: Drops,
    /// Bindings from addresses to agents.
    pub routing: Routing,
    /// The number of turns that run at once, over all processes.
    pub max_concurrency: u32,
    /// `full`: writes wait for the disk. `none`: they do not.
    pub sync: Sync,
    /// Allow a workspace on a network file system, although locks and renames may be unreliable there.
    pub allow_network_fs: bool,
    /// Models by name.
    pub models: BTreeMap<String, Model>,
    /// Limits on the use of models by all agents together.
    pub budget: Budget,
    /// The currency of prices, for display.
    pub currency: String,
    /// Settings of channels.
    pub channels: Channels,
    /// Settings of the memory.
    pub memories: Memories,
    /// The sandbox of agents' programs.
    pub sandbox: SandboxSettings,
    /// Size limits of the system prompt.
    pub prompt: PromptLimits,
    /// When conversations are compacted.
    pub compact: CompactSettings,
    /// The web tools.
    pub web: Web,
    /// Scheduled jobs.
    pub crons: CronSettings,
    /// The heartbeat.
    pub heartbeat: HeartbeatSettings,
    /// Retention periods.
    pub keep: Keep,
}

/// Whether writes wait for the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Sync {
    /// Nothing acknowledged is lost in a power cut.
    #[default]
    Full,
    /// For tests and `tmpfs`: safe if the program is killed, not in a power cut.
    None,
}

/// The rights of dropped files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Drops {
    /// A drop is a message of a known sender. One that begins with a slash command is refused.
    #[default]
    Known,
    /// Slash commands in drops are run as the owner's: only the owner can write into `inbox/`.
    Owner,
}

/// Settings of the memory.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Memories {
    /// Commit every change of the memories to git.
    pub git: bool,
    /// The languages of the notes (ISO 639-1): a search also finds other forms of its words in them.
    pub languages: Vec<String>,
    /// How agents use the memory.
    pub way: MemoryWay,
    /// The agent that keeps the memory.
    pub agent: String,
}

impl Default for Memories {
    fn default() -> Self {
        let agent = "cookie".to_owned();
        Self { git: false, languages: vec!["en".to_owned()], way: MemoryWay::Agent, agent }
    }
}

impl Memories {
    /// Whether other agents may give tasks to this one: to the memory agent only in its way.
    #[must_use]
    pub fn offers_agent(&self, id: &str) -> bool {
        self.way == MemoryWay::Agent || id != self.agent
    }
}

/// The sandbox of agents' programs.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct SandboxSettings {
    /// Whether the sandbox is required.
    pub mode: SandboxMode,
    /// Whether agents' programs may use the network.
    pub network: bool,
}

/// Whether a sandbox is required for agents' programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SandboxMode {
    /// Programs do not run if the kernel does not support the sandbox.
    #[default]
    Require,
    /// Programs run in as much of the sandbox as the kernel supports.
    BestEffort,
    /// No sandbox: programs have the permissions of the owner.
    Off,
}

/// When conversations are compacted.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct CompactSettings {
    /// The share of the model's context window, 0.1 to 0.95, at which a conversation is compacted.
    pub at: f64,
    /// Ask the model first which facts of the older part are worth a note.
    pub remember: bool,
}

impl Default for CompactSettings {
    fn default() -> Self {
        Self { at: 0.8, remember: true }
    }
}

impl CompactSettings {
    /// The limit in tokens for a context window of `window` tokens.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`parse` restricts the share to 0.1 to 0.95"
    )]
    pub fn of(self, window: u64) -> u64 {
        window.saturating_mul((self.at * 1000.0).round() as u64) / 1000
    }
}

/// Scheduled jobs.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct CronSettings {
    /// The number of jobs that agents may make.
    pub max_made: u32,
    /// The shortest time between two runs of a job that an agent has made, like `10m`.
    #[cfg_attr(test, schemars(with = "String"))]
    pub min_interval: SignedDuration,
    /// Whether scheduled runs may make jobs.
    pub made_by_runs: bool,
    /// Addresses to which scheduled runs may send messages, besides their own destination and `deliver_to`.
    pub post_to: Vec<Address>,
}

impl Default for CronSettings {
    fn default() -> Self {
        Self { max_made: 20, min_interval: SignedDuration::from_mins(10), made_by_runs: false, post_to: Vec::new() }
    }
}

/// Retention periods, in days.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Keep {
    /// Finished events.
    pub done_days: u32,
    /// Unnamed sessions of `claw ask`.
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
            known: Vec::new(),
            drops: Drops::Known,
            routing: Routing::default(),
            max_concurrency: 8,
            sync: Sync::Full,
            allow_network_fs: false,
            models: BTreeMap::new(),
            budget: Budget::default(),
            currency: String::new(),
            channels: Channels::default(),
            memories: Memories::default(),
            sandbox: SandboxSettings::default(),
            prompt: PromptLimits::default(),
            compact: CompactSettings::default(),
            web: Web::default(),
            crons: CronSettings::default(),
            heartbeat: HeartbeatSettings::default(),
            keep: Keep::default(),
        }
    }
}

/// Reads `claw.yaml`.
///
/// # Errors
/// The problem, with line and column, if the text is not YAML or a value is invalid.
pub fn parse(text: &str) -> Result<(Config, Vec<Problem>), Problem> {
    // Some editors write a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (config, mut warnings) = problem::read::<Config>(FILE, text, 1)?;
    let place = |key: &str| problem::locate(text, key);
    if config.max_concurrency == 0 {
        return Err(Problem::error(FILE, "max_concurrency is 0: no turn could run").at(place("max_concurrency")));
    }
    if !(0.1..=0.95).contains(&config.compact.at) {
        let message = format!("compact.at is {}, it must be between 0.1 and 0.95", config.compact.at);
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
            let message = format!("models.{name}.api_key is in the file; use api_key_env or api_key_file instead");
            warnings.push(Problem::warning(FILE, message).at(at("")));
        }
    }
    for (name, model) in &config.models {
        if let Some(base) = model.api_base.as_deref().filter(|base| !base.contains("://")) {
            let message =
                format!("models.{name}.api_base: `{base}` has no scheme; write http:// or https:// before it");
            let at = place(&format!("models.{name}.api_base")).or_else(|| place(&format!("models.{name}")));
            warnings.push(Problem::warning(FILE, message).at(at));
        }
        if let Some(url) = model.clear_text_url() {
            let key = format!("models.{name}.api_base");
            let at = place(&key).or_else(|| place(&format!("models.{name}")));
            warnings.push(Problem::warning(FILE, clear_text_warning(&key, url)).at(at));
        }
    }
    if let Some(unknown) = config.memories.languages.iter().find(|code| !languages::codes().any(|own| own == *code)) {
        let known: Vec<&str> = languages::codes().collect();
        let message = format!("memories.languages: no rules for `{unknown}`; there are: {}", known.join(", "));
        return Err(Problem::error(FILE, message).at(place("memories.languages")));
    }
    session_name::check_agent(&config.memories.agent)
        .map_err(|e| Problem::error(FILE, e.message).at(place("memories.agent")))?;
    if let Some((n, message)) = config.routing.invalid() {
        let at = problem::locate_item(text, "routing.bindings", "pattern", n);
        return Err(Problem::error(FILE, format!("routing.bindings: {message}")).at(at));
    }
    if let Some((key, message)) = config.channels.invalid() {
        return Err(Problem::error(FILE, message).at(place(&key)));
    }
    if let Some((key, message)) = config.web.invalid() {
        return Err(Problem::error(FILE, message).at(place(key)));
    }
    if let Some((key, message)) = config.heartbeat.invalid() {
        return Err(Problem::error(FILE, message).at(place(key)));
    }
    if config.web.search.as_ref().is_some_and(|search| search.api_key.is_some()) {
        let message = "web.search.api_key is in the file; use api_key_env or api_key_file instead";
        warnings.push(Problem::warning(FILE, message).at(place("web.search.api_key")));
    }
    if let Some(url) = config.web.search.as_ref().and_then(SearchSettings::clear_text_url) {
        let key = "web.search.api_base";
        warnings.push(Problem::warning(FILE, clear_text_warning(key, url)).at(place(key)));
    }
    Ok((config, warnings))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::text::keys;

    #[test]
    fn shipped_file_shows_every_key_and_reads_as_the_defaults() {
        let text = include_str!("../../../claw.yaml");
        let (config, warnings) = parse(text).unwrap();
        assert_eq!(warnings, []);
        assert_eq!(config.model, OFFLINE);
        let keys = keys::of::<Config>();
        assert_eq!(keys.len(), 108, "{keys:?}");
        for key in keys {
            assert!(text.contains(&format!("{key}:")), "claw.yaml does not show `{key}`");
        }
    }

    /// Each example: its first line, and the file in which the `# ` before its lines is removed.
    fn uncommented() -> Vec<(String, String)> {
        let lines: Vec<&str> = include_str!("../../../claw.yaml").lines().collect();
        let known: Vec<String> = keys::of::<Config>().into_iter().map(|key| format!("{key}:")).collect();
        let begins = |line: &str| {
            let text = line.trim_start().strip_prefix("# ")?;
            known.iter().any(|key| text.starts_with(key.as_str())).then_some(line.len() - line.trim_start().len())
        };
        let mut all = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let Some(indent) = begins(line) else { continue };
            let inner = format!("{}#  ", " ".repeat(indent));
            let end =
                lines[at + 1..].iter().position(|line| !line.starts_with(&inner)).map_or(lines.len(), |n| at + 1 + n);
            let plain = |(n, line): (usize, &&str)| {
                if (at..end).contains(&n) { line.replacen("# ", "", 1) + "\n" } else { (*line).to_owned() + "\n" }
            };
            all.push(((*line).to_owned(), lines.iter().enumerate().map(plain).collect()));
        }
        all
    }

    #[test]
    fn every_example_is_valid_without_the_number_signs_before_its_lines() {
        let text = include_str!("../../../claw.yaml");
        let all = uncommented();
        assert!(all.len() >= 15, "{}", all.len());
        for (name, uncommented) in &all {
            let (_, warnings) = parse(uncommented).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(warnings, [], "{name}");
            assert_ne!(
                serde_yaml::from_str::<serde_yaml::Value>(uncommented).unwrap(),
                serde_yaml::from_str::<serde_yaml::Value>(text).unwrap(),
                "{name} sets nothing"
            );
        }
        // A line of an example elsewhere would be taken for prose.
        let examples =
            all.iter().map(|(_, uncommented)| text.lines().zip(uncommented.lines()).filter(|(a, b)| a != b).count());
        let deep = text.lines().filter(|line| line.trim_start().starts_with("#  ")).count();
        assert_eq!(
            examples.sum::<usize>(),
            deep + all.len(),
            "write an example as `# key:` and its lines as `#   key:`"
        );
    }

    #[test]
    fn all_examples_together_are_valid() {
        let text = include_str!("../../../claw.yaml");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (_, uncommented) in uncommented() {
            for (line, new) in
                lines.iter_mut().zip(uncommented.lines()).filter(|(line, new)| line.starts_with('#') && line != new)
            {
                new.clone_into(line);
            }
        }
        let (config, warnings) = parse(&lines.join("\n")).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(warnings, []);
        assert!(config.models.len() >= 3 && !config.channels.exec.is_empty());
    }

    #[test]
    fn key_over_plain_http_is_a_warning() {
        let warnings = |base: &str, key: &str| {
            let model = format!("models:\n  m: {{provider: openai, model: x, api_base: \"{base}\"{key}}}\n");
            let (_, warnings) = parse(&model).unwrap();
            warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let expected = "claw.yaml:2:35: warning: models.m.api_base: the API key is sent unencrypted to \
                        http://example.org/v1; use https, or a server on this machine";
        assert_eq!(warnings("http://example.org/v1", ", api_key_env: K"), [expected]);
        for base in ["http://10.0.0.7:8000", "http://[2001:db8::1]/v1"] {
            assert_eq!(warnings(base, ", api_key_file: k").len(), 1, "{base}");
        }
        for base in [
            "https://example.org",
            "http://127.0.0.1:1",
            "http://localhost:1",
            "http://[::1]:1",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert_eq!(warnings(base, ", api_key_env: K"), [""; 0], "{base}");
        }
        assert_eq!(warnings("http://example.org/v1", ""), [""; 0]);
        let search = "web: {search: {provider: brave, api_key_env: K, api_base: 'http://example.org'}}\n";
        assert_eq!(parse(search).unwrap().1.len(), 1);
    }

    #[test]
    fn invalid_values_are_errors_with_line_and_column() {
        let at = |text: &str| parse(text).unwrap_err().at;
        assert_eq!(at("model: x\nmax_concurrency: 0\n"), Some((2, 1)));
        assert_eq!(at("models:\n  m: {model: x}\n"), Some((2, 3)));
        assert_eq!(at("default_agent: a/b\n"), Some((1, 1)));
        assert_eq!(at("models:\n  m:\n    provider: openai\n    price: {input: 1}\n"), Some((4, 5)));
        assert_eq!(at("budget:\n  day: {money: -1}\n"), Some((2, 8)));
        let bindings = "routing:\n  bindings:\n    # pattern: x\n    - {pattern: 'cli:.*', agent: a}\n    - ";
        for invalid in [
            "{pattern: 'cli:[', agent: a}",
            "{pattern: x, agent: a/b}",
            "{agent: a, pattern: x, session: b.c}",
            "{pattern: x, agent: a, from: '('}",
        ] {
            let error = parse(&format!("{bindings}{invalid}\n")).unwrap_err();
            assert_eq!(error.at.unwrap().0, 5, "{error}");
        }
        assert_eq!(at(&format!("{bindings}{{pattern: x}}\n")).unwrap().0, 5);
        let (_, warnings) = parse(&format!("{bindings}{{pattern: x, agent: a, form: y}}\n")).unwrap();
        let expected = "claw.yaml:5:30: warning: unknown key `routing.bindings.1.form`, did you mean `from`?";
        assert_eq!(warnings[0].to_string(), expected);
        let (_, warnings) = parse("channels:\n  irc: {pollicy: open}\n").unwrap();
        assert!(warnings[0].to_string().contains("unknown key `channels.irc.pollicy`, did you mean `policy`?"));
        assert_eq!(at("compact:\n  at: 80\n"), Some((2, 3)));
        assert_eq!(at("models:\n  m:\n    provider: openai\n    window: 8\n"), Some((4, 5)));
        assert_eq!(at("models:\n  m: {provider: openai, price: {input: 0,25, output: 2}}\n"), Some((2, 40)));
        assert_eq!(at("models:\n  m: {provider: openai}\n  m: {provider: ollama}\n"), Some((3, 3)));
        assert_eq!(parse("\u{feff}model: m\n").unwrap().0.model, "m");
        assert!(parse("sync: maybe\n").unwrap_err().message.contains("full"));
        assert!(parse("a: [\n").is_err());
        assert_eq!(at("web:\n  search: {provider: searxng}\n"), Some((2, 3)));
        assert_eq!(at("web:\n  search: {provider: brave}\n"), Some((2, 3)));
        assert_eq!(at("web:\n  read: true\n  proxy: socks://x\n"), Some((3, 3)));
        assert!(parse("web: {search: {provider: gogle}}\n").unwrap_err().message.contains("`brave`"));
        assert!(parse("web: {allow_private: [localhost]}\n").unwrap_err().message.contains("HOST:PORT"));
    }
}
