//! Workspaces of pickle-bot, the reference program: `config.*.yaml`, `agents/ID/AGENT.md`, `skills/ID/SKILL.md`,
//! `crons/ID/CRON.md`, `memories/`, and the history: `index.jsonl` and `sessions/[session-]ID[.N].jsonl`.

use crate::core::event::session_name::MAX;
use crate::core::fault::Result;
use crate::core::model::Call;
use crate::import::conversation::{Said, Utterance};
use crate::import::definition;
use crate::import::plan::{ImportPlan, ImportedModel, Output, OutputContent};
use crate::import::session_file::{self, SessionContent};
use crate::import::source::Source;
use crate::import::{ForeignProgram, Import, secrets, session_path};
use serde_json::Value as Json;
use serde_yaml::{Mapping, Value};
use std::collections::BTreeMap;

/// The row of this program.
pub(super) const PROGRAM: ForeignProgram = ForeignProgram { name: "pickle-bot", recognises, plan, read };

/// The settings, the later ones first in force.
const CONFIGS: &[&str] =
    &["config.example.yaml", "config.system.yaml", "config.yaml", "config.user.yaml", "config.runtime.yaml"];
/// Keys of the settings that the import uses, or that it does not need.
const USED: &[&str] = &["llm", "default_agent", "routing", "workspace", "sources"];

fn recognises(source: &Source) -> bool {
    let is_agent = |path: &str| path.starts_with("agents/") && path.ends_with("/AGENT.md");
    let has_config = CONFIGS.iter().any(|name| source.has(name));
    source.files.iter().any(|file| is_agent(&file.path)) || has_config && (source.has("agents") || source.has("crons"))
}

/// The settings of all files as one mapping.
fn config(source: &Source) -> Result<Mapping> {
    let mut all = Mapping::new();
    for name in CONFIGS.iter().filter(|name| **name != "config.example.yaml" && source.has(name)) {
        if let Ok(Value::Mapping(map)) = serde_yaml::from_str(&source.text(name)?) {
            merge(&mut all, map);
        }
    }
    Ok(all)
}

fn merge(all: &mut Mapping, over: Mapping) {
    for (key, value) in over {
        match (all.get_mut(&key), value) {
            (Some(Value::Mapping(below)), Value::Mapping(over)) => merge(below, over),
            (_, value) => {
                all.insert(key, value);
            }
        }
    }
}

fn text<'a>(map: &'a Mapping, key: &str) -> Option<&'a str> {
    map.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

/// The folders of the source, by their purpose.
struct Folders {
    agents: String,
    skills: String,
    crons: String,
    memories: String,
    history: Vec<String>,
    logs: Vec<String>,
}

impl Folders {
    fn new(config: &Mapping) -> Self {
        let named = |key: &str, default: &str| {
            let path = text(config, key).unwrap_or(default);
            format!("{}/", path.trim_start_matches("./").trim_end_matches('/'))
        };
        let both = |key: &str, plain: &str| vec![named(key, &format!(".{plain}")), format!("{plain}/")];
        Self {
            agents: named("agents_path", "agents"),
            skills: named("skills_path", "skills"),
            crons: named("crons_path", "crons"),
            memories: named("memories_path", "memories"),
            history: both("history_path", "history"),
            logs: both("logging_path", "logs"),
        }
    }
}

/// The part of `path` below one of the folders.
fn below<'a>(path: &'a str, folders: &[String]) -> Option<&'a str> {
    folders.iter().find_map(|folder| path.strip_prefix(folder.as_str()))
}

fn plan(import: &Import, plan: &mut ImportPlan) -> Result<()> {
    let source = import.source;
    let config = config(source)?;
    let folders = Folders::new(&config);
    let mut agents = BTreeMap::new();
    for file in &source.files {
        if let Some((id, "AGENT.md")) = file.path.strip_prefix(&folders.agents).and_then(|rest| rest.split_once('/')) {
            let path = plan.take_numbered(&format!("agents/{}", definition::id(id)), "/AGENT.md");
            let new = path.trim_start_matches("agents/").trim_end_matches("/AGENT.md").to_owned();
            agents.insert(id.to_owned(), new);
        }
    }
    settings(&config, &agents, plan);
    let sessions =
        Sessions::new(source, &folders, &agents, plan.settings.default_agent.as_deref().unwrap_or("pickle"))?;
    for file in &source.files {
        let path = file.path.as_str();
        if let Some(why) = &file.refused {
            plan.stays(path, why);
        } else if CONFIGS.contains(&path) {
            config_file(import, path, plan)?;
        } else if secrets::is_credential_file(path) {
            plan.secrets.push(path.to_owned());
            plan.stays(path, "it holds credentials");
        } else if let Some(rest) = path.strip_prefix(&folders.agents) {
            agent_file(import, path, rest, &agents, plan)?;
        } else if let Some(rest) = path.strip_prefix(&folders.skills).filter(|rest| rest.contains('/')) {
            import.copy(plan, path, &format!("skills/{rest}"))?;
        } else if let Some(rest) = path.strip_prefix(&folders.crons) {
            cron_file(import, path, rest, plan)?;
        } else if let Some(rest) = path.strip_prefix(&folders.memories) {
            import.copy(plan, path, &format!("memories/{rest}"))?;
        } else if let Some(rest) = below(path, &folders.history) {
            sessions.file(path, rest, plan);
        } else if below(path, &folders.logs).is_some() {
            plan.stays(path, "it is a log of the program");
        } else if matches!(path, "AGENTS.md" | "BOOTSTRAP.md" | "HEARTBEAT.md") {
            import.copy(plan, path, path)?;
        } else {
            import.aside(plan, path)?;
        }
    }
    Ok(())
}

fn settings(config: &Mapping, agents: &BTreeMap<String, String>, plan: &mut ImportPlan) {
    let of = |id: &str| agents.get(id).cloned();
    let default = text(config, "default_agent").and_then(of).or_else(|| of("pickle"));
    plan.settings.default_agent = default.or_else(|| agents.values().next().cloned());
    if let Some(Value::Mapping(llm)) = config.get("llm")
        && let Some(model) = text(llm, "model")
    {
        plan.settings.model = Some(imported_model(text(llm, "provider"), model, text(llm, "api_base")));
    }
    let bindings = config.get("routing").and_then(|routing| routing.get("bindings")).and_then(Value::as_sequence);
    for binding in bindings.into_iter().flatten().filter_map(Value::as_mapping) {
        let (Some(pattern), Some(agent)) = (text(binding, "value"), text(binding, "agent")) else { continue };
        let pattern = pattern.trim_start_matches("platform-");
        match of(agent) {
            Some(agent) if regex::Regex::new(pattern).is_ok() => {
                plan.settings.bindings.push((pattern.to_owned(), agent));
            }
            _ => plan.remarks.push(format!("the binding of `{pattern}` to `{agent}` is not taken over")),
        }
    }
    let unused = config.keys().filter_map(Value::as_str).filter(|key| !USED.contains(key) && !key.ends_with("_path"));
    for key in unused {
        plan.remarks.push(format!("the setting `{key}` is not taken over; look into claw.yaml for its counterpart"));
    }
}

/// The model of a source that names it as `PROVIDER/MODEL`, or with a provider beside it.
pub(super) fn imported_model(provider: Option<&str>, model: &str, api_base: Option<&str>) -> ImportedModel {
    let (prefix, rest) = model.split_once('/').map_or((None, model), |(prefix, rest)| (Some(prefix), rest));
    let named = provider.or(prefix).unwrap_or("openai").to_ascii_lowercase();
    // A gateway's own names have a slash too.
    let model = if prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(&named)) { rest } else { model };
    let provider = match &named[..] {
        "anthropic" => "anthropic",
        "ollama" => "ollama",
        _ => "openai",
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let known_base = match &named[..] {
        "openrouter" => Some("https://openrouter.ai/api/v1"),
        "groq" => Some("https://api.groq.com/openai/v1"),
        "deepseek" => Some("https://api.deepseek.com/v1"),
        "mistral" => Some("https://api.mistral.ai/v1"),
        _ => None,
    };
    ImportedModel {
        provider,
        model: model.to_owned(),
        api_base: api_base.or(known_base).map(ToOwned::to_owned),
        key_env: (provider != "ollama").then(|| format!("{}_API_KEY", named.chars().map(plain).collect::<String>())),
    }
}

fn config_file(import: &Import, path: &str, plan: &mut ImportPlan) -> Result<()> {
    if path == "config.example.yaml" {
        return import.aside(plan, path);
    }
    match serde_yaml::from_str::<Value>(&import.source.text(path)?) {
        Ok(value) => {
            let secrets = secrets::settings(&value).into_iter().map(|key| format!("{path}: {key}"));
            plan.secrets.extend(secrets);
            let part = Output { path: "claw.yaml".to_owned(), content: OutputContent::Part };
            plan.becomes(path, vec![part], Vec::new());
        }
        Err(e) => plan.stays(path, format!("it is not valid YAML ({e}), and may hold secrets")),
    }
    Ok(())
}

fn agent_file(
    import: &Import,
    path: &str,
    rest: &str,
    agents: &BTreeMap<String, String>,
    plan: &mut ImportPlan,
) -> Result<()> {
    let known = rest.split_once('/').and_then(|(old, file)| Some((old, agents.get(old)?, file)));
    match known {
        Some((old, id, "AGENT.md")) => {
            let text = import.source.text(path)?;
            let (kept, keys) = definition::without_keys(&text);
            let target = format!("agents/{id}/AGENT.md");
            let mut notes: Vec<String> = definition::agent_problem(id, &target, &kept).into_iter().collect();
            if id != old {
                notes.push(format!("the id `{old}` is not free or not valid here; the agent is `{id}`"));
            }
            for key in keys {
                plan.secrets.push(format!("{path}: {key}"));
                notes.push(format!("without {key}"));
            }
            if let Some(line) = secrets::line(&kept) {
                plan.secrets.push(format!("{path}: line {line}"));
                plan.stays(path, format!("line {line} has what looks like a key"));
                return Ok(());
            }
            let content = if kept == text { OutputContent::Copy } else { OutputContent::Text(kept) };
            plan.becomes(path, vec![Output { path: target, content }], notes);
            Ok(())
        }
        Some((_, id, "SOUL.md")) => import.copy(plan, path, &format!("agents/{id}/SOUL.md")),
        _ => import.aside(plan, path),
    }
}

fn cron_file(import: &Import, path: &str, rest: &str, plan: &mut ImportPlan) -> Result<()> {
    let Some((old, "CRON.md")) = rest.split_once('/') else { return import.aside(plan, path) };
    let text = import.source.text(path)?;
    let Some(disabled) = definition::disabled(&text) else { return import.aside(plan, path) };
    if let Some(line) = secrets::line(&text) {
        plan.secrets.push(format!("{path}: line {line}"));
        plan.stays(path, format!("line {line} has what looks like a key"));
        return Ok(());
    }
    let target = plan.take_numbered(&format!("crons/{}", definition::id(old)), "/CRON.md");
    let id = target.trim_start_matches("crons/").trim_end_matches("/CRON.md");
    let mut notes = vec!["with enabled: false".to_owned()];
    notes.extend(definition::cron_problem(id, &target, &disabled, import.now));
    plan.becomes(path, vec![Output { path: target.clone(), content: OutputContent::Text(disabled) }], notes);
    Ok(())
}

/// The sessions of the history: files in order by id, and what the index says about each.
struct Sessions {
    parts: BTreeMap<String, Vec<String>>,
    /// The agent and the source of each session.
    index: BTreeMap<String, (String, String)>,
    default_agent: String,
}

/// The id and the number of the part: `session-x.2.jsonl` is part 2 of `x`.
fn part(rest: &str) -> Option<(&str, u32)> {
    let name = rest.strip_prefix("sessions/")?.strip_suffix(".jsonl").filter(|name| !name.contains('/'))?;
    let name = name.strip_prefix("session-").unwrap_or(name);
    let numbered = name.rsplit_once('.').and_then(|(id, number)| Some((id, number.parse().ok()?)));
    Some(numbered.unwrap_or((name, 0)))
}

impl Sessions {
    fn new(source: &Source, folders: &Folders, agents: &BTreeMap<String, String>, default: &str) -> Result<Self> {
        let mut parts: BTreeMap<String, Vec<(u32, String)>> = BTreeMap::new();
        let mut index = BTreeMap::new();
        for file in source.files.iter().filter(|file| file.refused.is_none()) {
            let Some(rest) = below(&file.path, &folders.history) else { continue };
            if rest == "index.jsonl" {
                for value in SessionContent::default().lines(rest, &source.text(&file.path)?) {
                    let [id, agent, from] =
                        ["id", "agent_id", "source"].map(|key| value[key].as_str().unwrap_or_default());
                    let agent = agents.get(agent).map_or(agent, String::as_str);
                    index.insert(id.to_owned(), (agent.to_owned(), from.to_owned()));
                }
            } else if let Some((id, number)) = part(rest) {
                parts.entry(id.to_owned()).or_default().push((number, file.path.clone()));
            }
        }
        let sorted = |mut files: Vec<(u32, String)>| {
            files.sort();
            files.into_iter().map(|(_, path)| path).collect()
        };
        let parts = parts.into_iter().map(|(id, files)| (id, sorted(files))).collect();
        Ok(Self { parts, index, default_agent: default.to_owned() })
    }

    fn file(&self, path: &str, rest: &str, plan: &mut ImportPlan) {
        if matches!(rest, "index.jsonl" | "index.json") {
            plan.stays(path, "it lists the sessions, and the list is made anew");
            return;
        }
        let Some(((id, _), files)) = part(rest).and_then(|found| Some((found, self.parts.get(found.0)?))) else {
            plan.aside(path, &[]);
            return;
        };
        let known = self.index.get(id);
        let agent = known.map_or("", |(agent, _)| agent);
        let agent = if agent.is_empty() { &self.default_agent } else { agent };
        let target = session_path(agent, id, MAX);
        if files.first().is_some_and(|first| first != path) {
            plan.becomes(path, vec![Output { path: target, content: OutputContent::Part }], Vec::new());
            return;
        }
        if !plan.take(&target) {
            plan.aside(path, &[format!("another session becomes {target}")]);
            return;
        }
        let from = known.map(|(_, from)| from.clone()).unwrap_or_default();
        plan.senders.insert(target.clone(), from);
        plan.becomes(path, vec![Output { path: target, content: OutputContent::Session(files.clone()) }], Vec::new());
    }
}

/// Reads the messages of one file of a session.
fn read(name: &str, text: &str, content: &mut SessionContent) {
    for value in content.lines(name, text) {
        let at = session_file::instant(&value["timestamp"]);
        let text = match &value["content"] {
            Json::String(text) => text.clone(),
            Json::Null => String::new(),
            other => other.to_string(),
        };
        let said = match value["role"].as_str().unwrap_or_default() {
            "user" => Said::User(text),
            "system" => Said::User(format!("[system] {text}")),
            "assistant" => {
                let calls = value["tool_calls"].as_array().into_iter().flatten().map(|call| {
                    let function = &call["function"];
                    let name = function["name"].as_str().unwrap_or("unknown").to_owned();
                    let arguments = match &function["arguments"] {
                        Json::String(text) => Call::parse_arguments(text),
                        Json::Null => Json::Object(serde_json::Map::new()),
                        other => other.clone(),
                    };
                    (call["id"].as_str().unwrap_or_default().to_owned(), name, arguments)
                });
                Said::Agent { text, calls: calls.collect(), thinking: String::new(), model: None }
            }
            "tool" => {
                let call = value["tool_call_id"].as_str().unwrap_or_default().to_owned();
                Said::Result { call, tool: value["name"].as_str().map(ToOwned::to_owned), text, failed: false }
            }
            other => {
                content.notes.push(format!("{name}: a message of the role `{other}` is left out"));
                continue;
            }
        };
        content.utterances.push(Utterance { at, said });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_session_have_a_number() {
        assert_eq!(part("sessions/session-a-b.2.jsonl"), Some(("a-b", 2)));
        assert_eq!(part("sessions/a-b.jsonl"), Some(("a-b", 0)));
        assert_eq!(part("sessions/2026.01.x.jsonl"), Some(("2026.01.x", 0)));
        assert_eq!(part("archive/a/x.jsonl"), None);
    }

    #[test]
    fn model_of_the_source_is_named_for_this_program() {
        let model = |provider, model, base| {
            let model = imported_model(provider, model, base);
            (model.provider, model.model, model.api_base, model.key_env)
        };
        let own = |text: &str| Some(text.to_owned());
        assert_eq!(
            model(Some("zai"), "zai/glm-4.7", Some("https://api.z.ai/v4")),
            ("openai", "glm-4.7".into(), own("https://api.z.ai/v4"), own("ZAI_API_KEY"))
        );
        assert_eq!(
            model(None, "anthropic/claude-x", None),
            ("anthropic", "claude-x".into(), None, own("ANTHROPIC_API_KEY"))
        );
        assert_eq!(model(Some("ollama"), "llama3", None), ("ollama", "llama3".into(), None, None));
        assert_eq!(
            model(Some("openrouter"), "openrouter/meta/llama", None),
            ("openai", "meta/llama".into(), own("https://openrouter.ai/api/v1"), own("OPENROUTER_API_KEY"))
        );
    }
}
