//! Agents: `agents/<id>/AGENT.md`, and SOUL.md beside it.

use crate::core::budget::Budget;
use crate::core::definition::{self, Parsed};
use crate::core::model::settings::{Model, clear_text_warning};
use crate::core::text::front_matter;
use crate::core::text::problem::{self, Problem};
use crate::core::tool::DISPATCH;
use crate::core::tool::grants::{Grants, SenderTools};
use crate::core::web::settings::AgentWeb;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// The folders that programs of agents see read-only: only the file tools, which know the event and the agent, change
/// them.
pub const GUARDED: [&str; 3] = ["memories", "skills", "crons"];
/// The default of `max_steps`.
const MAX_STEPS: u32 = 30;
/// The default of `turn_timeout`.
const TURN_TIMEOUT: SignedDuration = SignedDuration::from_mins(30);

/// An agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agent {
    /// The folder's name.
    pub id: String,
    /// The display name.
    pub name: String,
    /// The purpose, for lists.
    pub description: String,
    /// Whether it may use skills.
    pub allow_skills: bool,
    /// The number of its turns that run at once, over all processes.
    pub max_concurrency: u32,
    /// The name of its model; `None` for the workspace's model.
    pub model: Option<String>,
    /// Overrides of single settings of the model.
    pub llm: Model,
    /// The tools that it may use.
    pub tools: Grants,
    /// The tools that it may use for senders who are not the owner.
    pub senders: SenderTools,
    /// Additional readable paths: in the workspace, or absolute.
    pub read: Vec<String>,
    /// The writable paths, instead of the default ones.
    pub write: Option<Vec<String>>,
    /// The folders of `memories`, `skills` and `crons` that its programs may write.
    pub shell_write: Vec<String>,
    /// Whether its programs may use the network; `None` for the workspace's setting.
    pub network: Option<bool>,
    /// The hosts that it may read.
    pub web: AgentWeb,
    /// The limit of model calls in one turn.
    pub max_steps: u32,
    /// The time limit of a turn.
    pub turn_timeout: SignedDuration,
    /// Limits on its use of models.
    pub budget: Budget,
    /// The treatment of messages that arrive during a turn.
    pub queue: QueueSetting,
    /// A source of events besides messages.
    pub watch: Option<WatchSetting>,
    /// Its identity: the body of AGENT.md.
    pub identity: String,
    /// Its personality: the text of SOUL.md.
    pub soul: Option<String>,
}

/// The treatment of messages that arrive during a turn of their session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum QueueSetting {
    /// Each message is a turn of its own, in order.
    #[default]
    Fifo,
    /// All waiting messages are one turn.
    Collect,
}

/// A source of events besides messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum WatchSetting {
    /// Open tasks of the shared list.
    Tasks,
}

/// The front matter of an AGENT.md.
#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(title = "AGENT.md"))]
#[serde(default)]
pub(in crate::core) struct AgentFields {
    /// The display name. Required.
    name: Option<String>,
    /// The purpose of the agent, in one line, for lists and for other agents.
    description: String,
    /// Whether the agent may use skills.
    allow_skills: bool,
    /// The number of its turns that run at once, over all processes; default 1.
    max_concurrency: Option<u32>,
    /// Its model: `offline`, a name of `models` in claw.yaml, or `provider/model`; default: the workspace's model.
    model: Option<String>,
    /// Overrides of single settings of the model.
    llm: Model,
    /// The tools that it may use; default: all.
    tools: Grants,
    /// The tools for senders who are not the owner.
    senders: SenderTools,
    /// Additional readable paths: in the workspace, or absolute.
    read: Vec<String>,
    /// The writable paths, instead of the default ones.
    write: Option<Vec<String>>,
    /// The folders that its programs may write as well: of `memories`, `skills`, `crons`, which only the file tools
    /// change by default.
    shell_write: Vec<String>,
    /// Whether its programs may use the network; default: `sandbox.network` in claw.yaml.
    network: Option<bool>,
    /// The hosts that it may read with the web tools.
    web: AgentWeb,
    /// The limit of model calls in one turn; default 30.
    max_steps: Option<u32>,
    /// The time limit of a turn, like `30m`; default 30 min.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    turn_timeout: Option<SignedDuration>,
    /// Limits on its use of models.
    budget: Budget,
    /// The treatment of messages that arrive during a turn of their session.
    queue: QueueSetting,
    /// A source of events besides messages.
    watch: Option<WatchSetting>,
}

/// Reads an AGENT.md; `soul` is the text of SOUL.md.
///
/// # Errors
/// The problem, with line and column.
pub fn read(id: &str, path: &str, text: &str, soul: Option<String>) -> Parsed<Agent> {
    let (fields, body, mut warnings) = definition::read::<AgentFields>(path, text)?;
    let limit = fields.max_concurrency.unwrap_or(1);
    if limit == 0 {
        return Err(Problem::error(path, "max_concurrency is 0: the agent could never answer"));
    }
    if fields.max_steps == Some(0) || fields.turn_timeout.is_some_and(|t| !t.is_positive()) {
        return Err(Problem::error(path, "max_steps and turn_timeout must be positive"));
    }
    if let Some(pattern) = fields.tools.patterns().find(|pattern| regex::Regex::new(pattern).is_err()) {
        let at = problem::locate(text, "tools");
        return Err(Problem::error(path, format!("tools: `{pattern}` is not a regular expression")).at(at));
    }
    if let Some(tool) = fields.tools.misplaced_agents() {
        let message = format!("tools: `{tool}` has `agents`, which only {DISPATCH} can have");
        return Err(Problem::error(path, message).at(problem::locate(text, "tools")));
    }
    if let Some(other) = fields.shell_write.iter().find(|name| !GUARDED.contains(&name.as_str())) {
        let message = format!("shell_write: `{}` is none of {}", other.escape_debug(), GUARDED.join(", "));
        return Err(Problem::error(path, message).at(problem::locate(text, "shell_write")));
    }
    if let Some(missing) = fields.llm.price.and_then(|price| price.missing()) {
        let at = problem::locate(text, "llm.price");
        return Err(Problem::error(path, format!("llm.price has no `{missing}` (for a million tokens)")).at(at));
    }
    if let Some(url) = fields.llm.clear_text_url() {
        let at = problem::locate(text, "llm.api_base");
        warnings.push(Problem::warning(path, clear_text_warning("llm.api_base", url)).at(at));
    }
    let agent = Agent {
        id: id.to_owned(),
        name: definition::required(path, "name", fields.name)?,
        description: fields.description,
        allow_skills: fields.allow_skills,
        max_concurrency: limit,
        model: fields.model,
        llm: fields.llm,
        tools: fields.tools,
        senders: fields.senders,
        read: fields.read,
        write: fields.write,
        shell_write: fields.shell_write,
        network: fields.network,
        web: fields.web,
        max_steps: fields.max_steps.unwrap_or(MAX_STEPS),
        turn_timeout: fields.turn_timeout.unwrap_or(TURN_TIMEOUT),
        budget: fields.budget,
        queue: fields.queue,
        watch: fields.watch,
        identity: body,
        soul,
    };
    Ok((agent, warnings))
}

/// The `llm:` of an AGENT.md, read independently of other errors in the file.
#[must_use]
pub fn llm(text: &str) -> Model {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct LlmField {
        llm: Model,
    }
    alone::<LlmField>(text).llm
}

/// The `write:` of an AGENT.md, read independently of other errors in the file.
#[must_use]
pub fn write(text: &str) -> Vec<String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct WriteField {
        write: Option<Vec<String>>,
    }
    alone::<WriteField>(text).write.unwrap_or_default()
}

/// These fields of the front matter, or their defaults if they cannot be read.
fn alone<T: Default + serde::de::DeserializeOwned>(text: &str) -> T {
    let yaml = front_matter::split(text).ok().and_then(|parts| parts.yaml);
    yaml.and_then(|yaml| serde_yaml::from_str(yaml).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_of_the_reference_program_is_read() {
        let text = "---\nname: Pickle\ndescription: x\nallow_skills: true\nllm:\n  provider: openai\n  model: m\n  api_key: k\n  api_base: http://x\n  temperature: 0.7\n  max_tokens: 10\n---\nYou are Pickle.\n";
        let (agent, warnings) = read("pickle", "agents/pickle/AGENT.md", text, None).unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].message.starts_with("llm.api_base: the API key is sent unencrypted to http://x"));
        assert_eq!((agent.max_concurrency, agent.allow_skills), (1, true));
        assert_eq!(agent.identity, "You are Pickle.");
        assert_eq!(agent.llm.max_tokens, Some(10));
    }

    #[test]
    fn only_guarded_folders_can_be_opened_for_programs() {
        let read =
            |names: &str| read("a", "agents/a/AGENT.md", &format!("---\nname: a\nshell_write: [{names}]\n---\n"), None);
        assert_eq!(read("memories, skills").unwrap().0.shell_write, ["memories", "skills"]);
        let problem = read("memories, files").unwrap_err();
        assert_eq!(problem.message, "shell_write: `files` is none of memories, skills, crons");
        assert_eq!(problem.at, Some((3, 1)));
    }

    #[test]
    fn problems_have_line_and_column() {
        let read = |text: &str| read("a", "agents/a/AGENT.md", text, None);
        assert_eq!(read("hello").unwrap_err().at, Some((1, 1)));
        assert_eq!(read("---\nname: a\nmax_concurrency: many\n---\n").unwrap_err().at, Some((3, 18)));
        assert!(read("---\nname: a\nmax_concurrency: 0\n---\n").is_err());
        let (_, warnings) = read("---\nname: a\ndescripton: b\n---\n").unwrap();
        assert_eq!(
            warnings[0].to_string(),
            "agents/a/AGENT.md:3:1: warning: unknown key `descripton`, did you mean `description`?"
        );
    }
}
