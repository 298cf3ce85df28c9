//! Definitions: agents and crons, one Markdown file each. A workspace written for the
//! reference program reads as it is.

pub mod headline;
pub mod skill;
pub mod task;

use crate::core::budget::{BUDGET_KEYS, Budget};
use crate::core::model::money::PRICE_KEYS;
use crate::core::model::settings::{MODEL_KEYS, Model};
use crate::core::text::front_matter;
use crate::core::text::problem::{self, Problem};
use crate::core::tool::Grants;
use crate::core::web::settings::AgentWeb;
use jiff::SignedDuration;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// `agents/<id>/AGENT.md`, and SOUL.md beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agent {
    /// The folder's name.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether it may use skills.
    pub allow_skills: bool,
    /// How many of its turns run at once, over all processes.
    pub max_concurrency: u32,
    /// Its model, where it has one of its own.
    pub model: Option<String>,
    /// Parts of the model's settings that are its own.
    pub llm: Model,
    /// The tools that it may use.
    pub tools: Grants,
    /// What it may read beside the usual: paths in the workspace, or absolute ones.
    pub read: Vec<String>,
    /// What it may write instead of the usual.
    pub write: Option<Vec<String>>,
    /// Whether its programs reach the network; the workspace's setting where it does not say.
    pub network: Option<bool>,
    /// Which hosts it may read.
    pub web: AgentWeb,
    /// How often the model is asked in one turn at most.
    pub max_steps: u32,
    /// How long a turn may take.
    pub turn_timeout: SignedDuration,
    /// What it may take of the models.
    pub budget: Budget,
    /// What becomes of messages that come while it is at work.
    pub queue: QueueSetting,
    /// What it is woken by, beside events for it.
    pub watch: Option<WatchSetting>,
    /// Who it is: the file's body.
    pub identity: String,
    /// How it speaks: SOUL.md.
    pub soul: Option<String>,
}

/// What becomes of the messages of a conversation that come while its agent is at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueSetting {
    /// Each is a turn of its own, one after the other.
    #[default]
    Fifo,
    /// What waits is one turn.
    Collect,
}

/// What an agent can be woken by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchSetting {
    /// Open tasks of the shared list.
    Tasks,
}

/// `crons/<id>/CRON.md`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cron {
    /// The folder's name.
    pub id: String,
    /// What it is for.
    pub description: String,
    /// The cron expression.
    pub schedule: String,
    /// Who does it.
    pub agent: String,
    /// What is to be done: the file's body.
    pub prompt: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AgentHead {
    name: Option<String>,
    description: String,
    allow_skills: bool,
    max_concurrency: Option<u32>,
    model: Option<String>,
    llm: Model,
    tools: Grants,
    read: Vec<String>,
    write: Option<Vec<String>>,
    network: Option<bool>,
    web: AgentWeb,
    max_steps: Option<u32>,
    turn_timeout: Option<SignedDuration>,
    budget: Budget,
    queue: QueueSetting,
    watch: Option<WatchSetting>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CronHead {
    name: Option<String>,
    description: String,
    agent: Option<String>,
    schedule: Option<String>,
    #[serde(rename = "one_off")]
    _one_off: bool,
}

const AGENT_KEYS: &[&str] = &[
    "name",
    "description",
    "allow_skills",
    "max_concurrency",
    "model",
    "llm",
    "tools",
    "read",
    "write",
    "network",
    "web",
    "hosts",
    "max_steps",
    "turn_timeout",
    "queue",
    "watch",
];
/// How often a model is asked in one turn where the agent does not say.
const MAX_STEPS: u32 = 30;
/// How long a turn may take where the agent does not say.
const TURN_TIMEOUT: SignedDuration = SignedDuration::from_mins(30);
const CRON_KEYS: &[&str] = &["name", "description", "agent", "schedule", "one_off"];

/// A definition and the warnings about it, or what is wrong with it.
pub type Parsed<T> = Result<(T, Vec<Problem>), Problem>;

/// Reads an AGENT.md; `soul` is the text of SOUL.md.
///
/// # Errors
/// The problem, with line and column.
pub fn agent(id: &str, path: &str, text: &str, soul: Option<String>) -> Parsed<Agent> {
    let known: Vec<&str> = AGENT_KEYS.iter().chain(MODEL_KEYS).chain(PRICE_KEYS).chain(BUDGET_KEYS).copied().collect();
    let (head, body, warnings) = head::<AgentHead>(path, text, &known)?;
    let limit = head.max_concurrency.unwrap_or(1);
    if limit == 0 {
        return Err(Problem::error(path, "max_concurrency is 0: it could never answer"));
    }
    if head.max_steps == Some(0) || head.turn_timeout.is_some_and(|t| !t.is_positive()) {
        return Err(Problem::error(path, "max_steps and turn_timeout are at least 1: else it could never answer"));
    }
    if let Some(pattern) = head.tools.patterns().find(|pattern| regex::Regex::new(pattern).is_err()) {
        let at = problem::locate(text, "tools");
        return Err(Problem::error(path, format!("tools: `{pattern}` is not a regular expression")).at(at));
    }
    if let Some(missing) = head.llm.price.and_then(|price| price.missing()) {
        let at = problem::locate(text, "llm.price");
        return Err(Problem::error(path, format!("llm.price has no `{missing}` (for a million tokens)")).at(at));
    }
    let agent = Agent {
        id: id.to_owned(),
        name: required(path, "name", head.name)?,
        description: head.description,
        allow_skills: head.allow_skills,
        max_concurrency: limit,
        model: head.model,
        llm: head.llm,
        tools: head.tools,
        read: head.read,
        write: head.write,
        network: head.network,
        web: head.web,
        max_steps: head.max_steps.unwrap_or(MAX_STEPS),
        turn_timeout: head.turn_timeout.unwrap_or(TURN_TIMEOUT),
        budget: head.budget,
        queue: head.queue,
        watch: head.watch,
        identity: body,
        soul,
    };
    Ok((agent, warnings))
}

/// How an AGENT.md says that its model is reached, whatever else is wrong with it.
#[must_use]
pub fn llm(text: &str) -> Model {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct AgentFields {
        llm: Model,
    }
    let yaml = front_matter::split(text).ok().and_then(|parts| parts.yaml);
    yaml.and_then(|yaml| serde_yaml::from_str::<AgentFields>(yaml).ok()).unwrap_or_default().llm
}

/// Reads a CRON.md.
///
/// # Errors
/// The problem, with line and column; also a schedule that is none.
pub fn cron(id: &str, path: &str, text: &str) -> Parsed<Cron> {
    let (head, body, warnings) = head::<CronHead>(path, text, CRON_KEYS)?;
    required(path, "name", head.name)?;
    let schedule = required(path, "schedule", head.schedule)?;
    if let Err(error) = cron::parser::CronParser::new().parse(&schedule) {
        let at = problem::locate(text, "schedule");
        return Err(Problem::error(path, format!("schedule `{schedule}`: {error}")).at(at));
    }
    let agent = required(path, "agent", head.agent)?;
    if body.trim().is_empty() {
        return Err(Problem::error(path, "it has no prompt: the body is empty"));
    }
    Ok((Cron { id: id.to_owned(), description: head.description, schedule, agent, prompt: body }, warnings))
}

pub(super) fn head<T: DeserializeOwned + Default>(
    path: &str,
    text: &str,
    known: &[&str],
) -> Result<(T, String, Vec<Problem>), Problem> {
    let parts = front_matter::split(text).map_err(|e| Problem::error(path, e.message))?;
    let Some(yaml) = parts.yaml else {
        return Err(Problem::error(path, "it has no front matter: the first line must be `---`").at(Some((1, 1))));
    };
    let (head, warnings) = problem::read(path, yaml, 2, known)?;
    Ok((head, parts.body.trim().to_owned(), warnings))
}

pub(super) fn required(path: &str, key: &str, value: Option<String>) -> Result<String, Problem> {
    value
        .filter(|v| !v.trim().is_empty())
        .ok_or_else(|| Problem::error(path, format!("`{key}` is missing in the front matter")).at(Some((1, 1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_of_the_reference_program_reads() {
        let text = "---\nname: Pickle\ndescription: x\nallow_skills: true\nllm:\n  provider: openai\n  model: m\n  api_key: k\n  api_base: http://x\n  temperature: 0.7\n  max_tokens: 10\n---\nYou are Pickle.\n";
        let (agent, warnings) = agent("pickle", "agents/pickle/AGENT.md", text, None).unwrap();
        assert_eq!(warnings, []);
        assert_eq!((agent.max_concurrency, agent.allow_skills), (1, true));
        assert_eq!(agent.identity, "You are Pickle.");
        assert_eq!(agent.llm.max_tokens, Some(10));
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        let read = |text: &str| agent("a", "agents/a/AGENT.md", text, None);
        assert_eq!(read("hello").unwrap_err().at, Some((1, 1)));
        assert_eq!(read("---\nname: a\nmax_concurrency: many\n---\n").unwrap_err().at, Some((3, 18)));
        assert!(read("---\nname: a\nmax_concurrency: 0\n---\n").is_err());
        let (_, warnings) = read("---\nname: a\ndescripton: b\n---\n").unwrap();
        assert_eq!(
            warnings[0].to_string(),
            "agents/a/AGENT.md:3:1: warning: unknown key `descripton`, did you mean `description`?"
        );
    }

    #[test]
    fn a_schedule_must_be_one() {
        let read = |s: &str| {
            cron("c", "crons/c/CRON.md", &format!("---\nname: c\nagent: pickle\nschedule: \"{s}\"\n---\nDo it.\n"))
        };
        assert!(read("0 7 * * *").is_ok());
        for bad in ["", "every day", "61 * * * *", "* * *"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
