//! The file era of `OpenClaw`: its state folder (`openclaw.json`, `agents/ID/sessions/*.jsonl`, `cron/jobs.json`,
//! `workspace/`), or a workspace alone (`AGENTS.md`, `SOUL.md`, `HEARTBEAT.md`, `MEMORY.md`, `memory/*.md`).

use crate::core::event::session_name::MAX;
use crate::core::event::stamp::Stamp;
use crate::core::fault::Result;
use crate::import::openclaw_cron;
use crate::import::openclaw_session::read;
use crate::import::pickle_bot::imported_model;
use crate::import::plan::{ImportPlan, Output, OutputContent};
use crate::import::source::Source;
use crate::import::{ForeignProgram, Import, definition, secrets, session_path};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The row of this program.
pub(super) const PROGRAM: ForeignProgram = ForeignProgram { name: "OpenClaw", recognises, plan, read };

/// The list of jobs.
const JOBS: &str = "cron/jobs.json";
/// The main agent.
const MAIN: &str = "main";
/// The settings, by the names that the program has had.
const CONFIGS: &[&str] = &["openclaw.json", "clawdbot.json", "moltbot.json"];
/// Files of an agent's workspace by which a source is recognised.
const MARKS: &[&str] = &["MEMORY.md", "IDENTITY.md", "TOOLS.md", "USER.md", "SOUL.md", "HEARTBEAT.md"];
/// Folders that hold credentials.
const PRIVATE: &[&str] = &["credentials/", "identity/", "devices/", "oauth/"];
/// The identity of an agent for which the source has none.
const IDENTITY: &str = "You are a personal assistant.";

fn recognises(source: &Source) -> bool {
    let is_mark = |path: &str| match place(path) {
        SourcePlace::Workspace(_, rest) => {
            MARKS.contains(&rest) || rest.starts_with("memory/") && rest.ends_with(".md")
        }
        SourcePlace::Session(_, rest) => rest.ends_with(".jsonl"),
        SourcePlace::Other => CONFIGS.contains(&path) || path == JOBS,
    };
    source.files.iter().any(|file| is_mark(&file.path) || CONFIGS.contains(&&file.path[..]))
}

/// The place of a file in the source. An agent is named by its folder there.
enum SourcePlace<'a> {
    /// In the workspace of an agent.
    Workspace(&'a str, &'a str),
    /// Among the sessions of an agent.
    Session(&'a str, &'a str),
    /// Elsewhere.
    Other,
}

fn place(path: &str) -> SourcePlace<'_> {
    let (first, rest) = path.split_once('/').unwrap_or(("", path));
    match first {
        "" | "memory" | "skills" => SourcePlace::Workspace(MAIN, path),
        "workspace" => SourcePlace::Workspace(MAIN, rest),
        "sessions" => SourcePlace::Session(MAIN, rest),
        "agents" => match rest.split_once('/').map(|(id, rest)| (id, rest.split_once('/'))) {
            Some((id, Some(("sessions", rest)))) => SourcePlace::Session(id, rest),
            Some((id, Some(("workspace", rest)))) => SourcePlace::Workspace(id, rest),
            _ => SourcePlace::Other,
        },
        // `workspace-main` is another agent than that of `workspace`.
        _ => match first.strip_prefix("workspace-") {
            Some(MAIN) => SourcePlace::Workspace(first, rest),
            Some(id) => SourcePlace::Workspace(id, rest),
            None => SourcePlace::Other,
        },
    }
}

fn plan(import: &Import, plan: &mut ImportPlan) -> Result<()> {
    let source = import.source;
    let mut names: BTreeSet<&str> = BTreeSet::from([MAIN]);
    for file in source.files.iter().filter(|file| file.refused.is_none()) {
        match place(&file.path) {
            SourcePlace::Workspace(agent, _) | SourcePlace::Session(agent, _) => names.insert(agent),
            SourcePlace::Other => false,
        };
    }
    // `main` comes first, so that it keeps its id.
    let ordered =
        names.iter().copied().filter(|name| *name == MAIN).chain(names.iter().copied().filter(|name| *name != MAIN));
    let agents: BTreeMap<String, String> = ordered.map(|name| (name.to_owned(), new_agent(name, plan))).collect();
    plan.settings.default_agent = agents.get(MAIN).cloned();
    let mut bodies: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let sessions = session_keys(source, &agents)?;
    for file in &source.files {
        let path = file.path.as_str();
        let is_private = PRIVATE.iter().any(|folder| path.starts_with(folder)) || secrets::is_credential_file(path);
        if let Some(why) = &file.refused {
            plan.stays(path, why);
        } else if CONFIGS.contains(&path) {
            config_file(import, path, &agents, plan)?;
        } else if is_private {
            plan.secrets.push(path.to_owned());
            plan.stays(path, "it holds credentials");
        } else if path == JOBS {
            openclaw_cron::file(import, path, &agents, plan)?;
        } else if path.starts_with("logs/") || path.starts_with("cron/runs/") {
            plan.stays(path, "it is a log of the program");
        } else if path.starts_with("memory/") && path.contains(".sqlite") {
            plan.stays(path, "it is a search index, and the notes are searched without one");
        } else {
            match place(path) {
                SourcePlace::Workspace(agent, rest) => {
                    workspace_file(import, path, (agent, &agents[agent]), rest, &mut bodies, plan)?;
                }
                SourcePlace::Session(agent, rest) => session_file(path, &agents[agent], rest, &sessions, plan),
                SourcePlace::Other => import.aside(plan, path)?,
            }
        }
    }
    for id in agents.values() {
        let body = bodies.remove(id).unwrap_or_default().join("\n\n");
        let body = if body.trim().is_empty() { IDENTITY.to_owned() } else { body };
        let text = format!(
            "---\nname: {id}\ndescription: An agent of OpenClaw\nallow_skills: true\n---\n\n{}\n",
            body.trim_end()
        );
        plan.made.push((format!("agents/{id}/AGENT.md"), text));
    }
    Ok(())
}

/// The id of an agent in the new workspace; its AGENT.md is taken.
fn new_agent(name: &str, plan: &mut ImportPlan) -> String {
    let wanted = definition::id(name.strip_prefix("workspace-").unwrap_or(name));
    let path = plan.take_numbered(&format!("agents/{wanted}"), "/AGENT.md");
    let id = path.trim_start_matches("agents/").trim_end_matches("/AGENT.md").to_owned();
    if id != name {
        plan.remarks.push(format!("the id of the agent `{name}` is not free or not valid here; it is `{id}`"));
    }
    id
}

/// Plans a file of an agent's workspace. Its identity is collected in `bodies`.
fn workspace_file(
    import: &Import,
    path: &str,
    (agent, id): (&str, &String),
    rest: &str,
    bodies: &mut BTreeMap<String, Vec<String>>,
    plan: &mut ImportPlan,
) -> Result<()> {
    let is_main = agent == MAIN;
    let own = |name: &str| if is_main { format!("{name}.md") } else { format!("{name}-{id}.md") };
    let lower = rest.to_ascii_lowercase();
    let target = match rest {
        "AGENTS.md" | "HEARTBEAT.md" if is_main => rest.to_owned(),
        "IDENTITY.md" | "AGENTS.md" => {
            let text = import.source.text(path)?;
            if let Some(line) = secrets::line(&text) {
                plan.secrets.push(format!("{path}: line {line}"));
                plan.stays(path, format!("line {line} has what looks like a key"));
                return Ok(());
            }
            bodies.entry(id.clone()).or_default().push(text);
            let part = Output { path: format!("agents/{id}/AGENT.md"), content: OutputContent::Part };
            plan.becomes(path, vec![part], Vec::new());
            return Ok(());
        }
        "SOUL.md" => format!("agents/{id}/SOUL.md"),
        "USER.md" => format!("memories/topics/{}", own("user")),
        "TOOLS.md" => format!("memories/topics/{}", own("tools")),
        "MEMORY.md" | "memory.md" => format!("memories/topics/{}", own("MEMORY")),
        _ => match (rest.strip_prefix("memory/"), rest.strip_prefix("skills/")) {
            (Some(note), _) if lower.ends_with(".md") => {
                let name = note.trim_end_matches(".md");
                let folder = if Stamp::of_day(name).is_some() { "daily-notes" } else { "topics" };
                format!("memories/{folder}/{}", own(name))
            }
            (_, Some(skill)) if skill.contains('/') => format!("skills/{skill}"),
            _ => return import.aside(plan, path),
        },
    };
    import.copy(plan, path, &target)
}

/// The keys of sessions, by the id of the agent and of the session.
type SessionKeys = BTreeMap<(String, String), String>;

/// The keys in every `sessions.json`: `agent:main:telegram:group:-100` without the agent.
fn session_keys(source: &Source, agents: &BTreeMap<String, String>) -> Result<SessionKeys> {
    let mut keys = BTreeMap::new();
    for file in source.files.iter().filter(|file| file.refused.is_none()) {
        let SourcePlace::Session(agent, "sessions.json") = place(&file.path) else { continue };
        let store: Value = serde_json::from_str(&source.text(&file.path)?).unwrap_or_default();
        for (key, entry) in store.as_object().into_iter().flatten() {
            let Some(session) = entry["sessionId"].as_str() else { continue };
            let short =
                key.strip_prefix("agent:").and_then(|rest| rest.split_once(':')).map_or(&key[..], |(_, rest)| rest);
            keys.entry((agents[agent].clone(), session.to_owned())).or_insert_with(|| short.to_owned());
        }
    }
    Ok(keys)
}

fn session_file(path: &str, id: &str, rest: &str, keys: &SessionKeys, plan: &mut ImportPlan) {
    let name = rest.strip_suffix(".jsonl").filter(|name| !name.contains(['/', '.']));
    match name {
        _ if rest == "sessions.json" => plan.stays(path, "it lists the sessions, and the list is made anew"),
        _ if rest.ends_with(".lock") || rest.ends_with(".tmp") => plan.stays(path, "it is a lock or a temporary file"),
        Some(name) => {
            let key = keys.get(&(id.to_owned(), name.to_owned()));
            let mut target = session_path(id, key.map_or(name, String::as_str), MAX);
            if !plan.take(&target) {
                target = session_path(id, name, MAX);
                plan.take(&target);
            }
            plan.senders.insert(target.clone(), key.cloned().unwrap_or_default());
            let content = OutputContent::Session(vec![path.to_owned()]);
            plan.becomes(path, vec![Output { path: target, content }], Vec::new());
        }
        None => plan.aside(path, &[]),
    }
}

fn config_file(import: &Import, path: &str, agents: &BTreeMap<String, String>, plan: &mut ImportPlan) -> Result<()> {
    let Some(config) = json5(&import.source.text(path)?) else {
        plan.stays(path, "it is not valid JSON5, and may hold secrets");
        return Ok(());
    };
    let yaml = serde_yaml::to_value(&config).unwrap_or_default();
    plan.secrets.extend(secrets::settings(&yaml).into_iter().map(|key| format!("{path}: {key}")));
    let defaults = &config["agents"]["defaults"]["model"];
    let model = [&defaults["primary"], defaults, &config["agent"]["model"]["primary"], &config["agent"]["model"]];
    if let Some(model) = model.into_iter().find_map(Value::as_str) {
        plan.settings.model = Some(imported_model(None, model, None));
    }
    let list = config["agents"]["list"].as_array().into_iter().flatten();
    let mut seen = BTreeSet::new();
    for agent in list {
        let id = agent["id"].as_str().unwrap_or_default();
        if !seen.insert(id) {
            plan.remarks.push(format!("{path} has two agents of the id `{id}`; both mean the same folders"));
        }
        if agent["default"].as_bool() == Some(true) && agents.contains_key(id) {
            plan.settings.default_agent = agents.get(id).cloned();
        }
    }
    if config["channels"].is_object() {
        plan.remarks.push("the channels of the source are not taken over: set them up with their own keys".to_owned());
    }
    plan.becomes(path, vec![Output { path: "claw.yaml".to_owned(), content: OutputContent::Part }], Vec::new());
    Ok(())
}

/// JSON with comments, unquoted keys and commas too many: a flow mapping of YAML, once the comments are removed.
fn json5(text: &str) -> Option<Value> {
    let mut plain = String::with_capacity(text.len());
    let (mut quote, mut chars) = (None, text.chars().peekable());
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => {
                plain.push(c);
                plain.extend(chars.next());
                continue;
            }
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '/') if chars.peek() == Some(&'/') => {
                while chars.next_if(|c| *c != '\n').is_some() {}
                continue;
            }
            (None, '/') if chars.peek() == Some(&'*') => {
                let mut last = ' ';
                for c in chars.by_ref() {
                    if last == '*' && c == '/' {
                        break;
                    }
                    last = c;
                }
                continue;
            }
            (None, '\t') => {
                plain.push(' ');
                continue;
            }
            _ => {}
        }
        plain.push(c);
    }
    let parsed = serde_json::from_str(&plain).ok().or_else(|| serde_yaml::from_str(&plain).ok());
    parsed.filter(Value::is_object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_with_comments_are_read() {
        let text = "{\n\t// the model\n\tagents: { defaults: { model: { primary: \"a/b // c\" } } }, /* x */\n}";
        assert_eq!(json5(text), Some(json!({"agents": {"defaults": {"model": {"primary": "a/b // c"}}}})));
        assert_eq!(json5("{"), None);
        assert_eq!(json5("x"), None);
    }

    #[test]
    fn files_belong_to_agents() {
        let shown = |path| match place(path) {
            SourcePlace::Workspace(agent, rest) => format!("w {agent} {rest}"),
            SourcePlace::Session(agent, rest) => format!("s {agent} {rest}"),
            SourcePlace::Other => "-".to_owned(),
        };
        for (path, expected) in [
            ("SOUL.md", "w main SOUL.md"),
            ("memory/2026-01-02.md", "w main memory/2026-01-02.md"),
            ("workspace/memory/a.md", "w main memory/a.md"),
            ("workspace-ops/SOUL.md", "w ops SOUL.md"),
            ("workspace-main/SOUL.md", "w workspace-main SOUL.md"),
            ("agents/ops/sessions/x.jsonl", "s ops x.jsonl"),
            ("sessions/x.jsonl", "s main x.jsonl"),
            ("agents/main/agent/models.json", "-"),
            ("media/a.png", "-"),
        ] {
            assert_eq!(shown(path), expected, "{path}");
        }
    }
}
