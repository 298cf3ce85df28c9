//! Settings that give up protection: no sandbox, programs and keys where agents may write, and agents that may change
//! agents or tools.

use super::agent_writable;
use crate::core::channel::policy::{Members, Policy};
use crate::core::channel::settings::ChannelSettings;
use crate::core::config::{Config, FILE, SandboxMode};
use crate::core::definition::Agent;
use crate::core::text::problem::{self, Problem};
use crate::store::agent::definitions;
use crate::store::fs::real_path::real_path;
use crate::store::workspace::Workspace;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Folders of which a writable one lets an agent change its own rights.
const RIGHTS: [(&str, &str); 2] = [
    ("agents", "it may give itself and other agents any tool, folder and network access"),
    ("tools", "it may add tools, with network access, and change those of other agents"),
];

pub(super) fn of(workspace: &Workspace, config: &Config) -> Vec<Problem> {
    let text = fs::read_to_string(workspace.path(FILE)).unwrap_or_default();
    let warning = |key: &str, message: String| Problem::warning(FILE, message).at(problem::locate(&text, key));
    let mut problems = Vec::new();
    if config.sandbox.mode == SandboxMode::Off {
        let message = "sandbox.mode is off: programs of agents run with all your rights; set it to require";
        problems.push(warning("sandbox.mode", message.to_owned()));
    }
    let writable = Writable { root: workspace.real_root(), places: agent_writable(workspace) };
    let models = config.models.iter().map(|(name, model)| (format!("models.{name}.command"), &model.command));
    for (key, command) in models.chain(config.channels.commands()) {
        for word in command.iter().filter(|word| writable.contains_file(word)) {
            let message =
                format!("{key}: agents may write {word}, which runs outside of the sandbox: move it to another folder");
            problems.push(warning(&key, message));
        }
    }
    for folder in workspace.world.var("PATH").unwrap_or_default().split(':').filter(|folder| writable.contains(folder))
    {
        problems.push(Problem::warning(
            ".",
            format!("PATH contains {folder:?}, where agents may write: a program of yours may be theirs"),
        ));
    }
    for (key, file) in key_files(config) {
        if writable.contains_file(file) {
            problems.push(warning(&key, format!("{key}: agents may read and write {file}: move it to .secrets/")));
        }
    }
    for (name, _) in config.channels.named.iter().filter(|(_, channel)| channel.token.is_some()) {
        let key = format!("channels.{name}.token");
        let message = "the token is in claw.yaml itself: write it to a file in .secrets/, and set `token_file`";
        problems.push(warning(&key, format!("{key}: {message}")));
    }
    problems.extend(open_channels(workspace, config, &warning));
    problems.extend(agents(workspace));
    problems
}

/// The files with keys, tokens and secrets, each with its setting.
fn key_files(config: &Config) -> impl Iterator<Item = (String, &str)> {
    let models = config.models.iter().map(|(name, model)| (format!("models.{name}.api_key_file"), &model.api_key_file));
    let search = config.web.search.iter().map(|search| ("web.search.api_key_file".to_owned(), &search.api_key_file));
    let channels = config.channels.named.iter();
    let tokens = channels.clone().map(|(name, one)| (format!("channels.{name}.token_file"), &one.token_file));
    let hooks = channels.flat_map(|(name, one)| one.hooks.values().map(move |hook| (name, hook)));
    let hooks = hooks.map(|(name, hook)| (format!("channels.{name}.hooks"), &hook.secret_file));
    models.chain(search).chain(tokens).chain(hooks).filter_map(|(key, file)| Some((key, file.as_deref()?)))
}

/// Channels on which strangers may talk, while agents give tools to strangers.
fn open_channels(workspace: &Workspace, config: &Config, warning: &dyn Fn(&str, String) -> Problem) -> Vec<Problem> {
    let agents = definitions::agents(workspace).unwrap_or_default();
    let gives_tools = |agent: &Agent| !agent.senders.unknown.is_empty();
    let acting: Vec<String> =
        agents.into_iter().filter_map(|(id, read)| read.ok().filter(|agent| gives_tools(agent)).map(|_| id)).collect();
    if acting.is_empty() {
        return Vec::new();
    }
    let open = config.channels.named.iter().filter_map(|(name, settings)| match settings {
        ChannelSettings { policy: Policy::Open, .. } => Some((name, "policy", "everybody")),
        ChannelSettings { members: Members::Any, groups, .. } if !groups.is_empty() => {
            Some((name, "members", "every member of its groups"))
        }
        _ => None,
    });
    let problem = |(name, key, who): (&String, &str, &str)| {
        let key = format!("channels.{name}.{key}");
        let agents = acting.join(", ");
        warning(
            &key,
            format!("{key}: {who} may talk, and {agents} may use tools for unknown senders (`senders` in AGENT.md)"),
        )
    };
    open.map(problem).collect()
}

/// Agents that may write where rights are defined.
fn agents(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    for id in definitions::folders(workspace, "agents").unwrap_or_default() {
        let path = format!("agents/{id}/AGENT.md");
        let text = fs::read_to_string(workspace.path(&path)).unwrap_or_default();
        for name in crate::core::definition::agent::write(&text) {
            let first = Path::new(&name).components().map(Component::as_os_str).find(|part| *part != ".");
            let right = RIGHTS.iter().find(|(folder, _)| first.is_some_and(|first| first == *folder));
            problems.extend(right.map(|(_, consequence)| {
                Problem::warning(&path, format!("write: `{name}`: {consequence}")).at(problem::locate(&text, "write"))
            }));
        }
    }
    problems
}

/// The places where agents may write.
struct Writable {
    root: PathBuf,
    places: Vec<PathBuf>,
}

impl Writable {
    /// Whether a path, relative to the workspace or absolute, leads into one of the places.
    fn contains(&self, path: &str) -> bool {
        // A link in such a place has no real path.
        let real = real_path(&self.root.join(path), &self.places);
        !path.is_empty() && real.is_none_or(|real| self.places.iter().any(|place| real.starts_with(place)))
    }

    /// Whether the path also names a file.
    fn contains_file(&self, path: &str) -> bool {
        self.root.join(path).is_file() && self.contains(path)
    }
}
