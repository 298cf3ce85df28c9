//! Completion of values on the command line: ids, agents, models, sessions, tasks, skills, jobs, channels. The shell runs
//! this program for each Tab, so it reads only what one kind of value needs, and writes nothing.

use crate::channel;
use crate::core::config::Config;
use crate::core::event::session_name;
use crate::core::model::settings::Model;
use crate::core::text::visible::plain;
use crate::store::agent::definitions;
use crate::store::queue::locate;
use crate::store::session::{self, approvals};
use crate::store::tasks;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::State;
use crate::world::World;
use clap::Arg;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::OnceLock;

/// The environment variable by which a shell asks for completions.
pub const VARIABLE: &str = "COMPLETE";
/// The most candidates of one kind.
const MOST: usize = 500;

/// `-w` of the command line that is being completed.
static WORKSPACE: OnceLock<Option<PathBuf>> = OnceLock::new();

/// A kind of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ValueKind {
    Agent,
    Approval,
    Channel,
    Cron,
    Event,
    Model,
    Session,
    Skill,
    Task,
}

/// Rows: the command (empty for every command), the argument, and its kind. The first row that matches counts.
const ROWS: &[(&str, &str, ValueKind)] = &[
    ("agents", "id", ValueKind::Agent),
    ("approve", "ids", ValueKind::Approval),
    ("channels", "name", ValueKind::Channel),
    ("channels", "names", ValueKind::Channel),
    ("crons", "id", ValueKind::Cron),
    ("crons", "ids", ValueKind::Cron),
    ("deliver", "ids", ValueKind::Event),
    ("deny", "ids", ValueKind::Approval),
    ("discard", "ids", ValueKind::Event),
    ("keys", "name", ValueKind::Model),
    ("keys", "names", ValueKind::Model),
    ("listen", "names", ValueKind::Channel),
    ("log", "id", ValueKind::Event),
    ("models", "name", ValueKind::Model),
    ("models", "names", ValueKind::Model),
    ("retry", "ids", ValueKind::Event),
    ("route", "ids", ValueKind::Event),
    ("run-agent", "ids", ValueKind::Event),
    ("sessions", "name", ValueKind::Session),
    ("sessions", "names", ValueKind::Session),
    ("skills", "id", ValueKind::Skill),
    ("skills", "ids", ValueKind::Skill),
    ("tasks", "ids", ValueKind::Task),
    ("why", "id", ValueKind::Event),
    ("", "agent", ValueKind::Agent),
    ("", "channel", ValueKind::Channel),
    ("", "model", ValueKind::Model),
    ("", "session", ValueKind::Session),
];

/// The command line with completers; `words` is the one that is being completed.
#[must_use]
pub fn with_values(mut program: clap::Command, words: &[OsString]) -> clap::Command {
    let _ = WORKSPACE.set(named_workspace(words));
    program.build();
    let names: Vec<String> = program.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        program = program.mut_subcommand(&name, |command| decorated(command, &name));
    }
    program
}

/// The value of `-w` or `--workspace`.
fn named_workspace(words: &[OsString]) -> Option<PathBuf> {
    let flag = |word: &OsString| word == "-w" || word == "--workspace";
    let at = words.iter().position(flag)?;
    words.get(at + 1).map(PathBuf::from)
}

fn decorated(command: clap::Command, above: &str) -> clap::Command {
    let add = |argument: Arg| match kind(above, argument.get_id().as_str()) {
        Some(kind) => argument.add(ArgValueCompleter::new(move |current: &OsStr| candidates(kind, current))),
        None => argument,
    };
    let mut command = command.mut_args(add);
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names.iter().filter(|name| *name != "help") {
        command = command.mut_subcommand(name, |command| decorated(command, above));
    }
    command
}

/// The kind of an argument of a command or of its subcommands.
fn kind(command: &str, argument: &str) -> Option<ValueKind> {
    let is_row = |row: &&(&str, &str, ValueKind)| (row.0.is_empty() || row.0 == command) && row.1 == argument;
    ROWS.iter().find(is_row).map(|row| row.2)
}

/// The values of a kind that begin with `current`. Problems of the workspace give none: a shell shows no errors here.
fn candidates(kind: ValueKind, current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let workspace = World::real().ok().and_then(|world| {
        let named = WORKSPACE.get().cloned().flatten();
        Workspace::find(world, named.as_deref()).ok()
    });
    let values = workspace.map(|workspace| values(&workspace, kind, &current)).unwrap_or_default();
    let mut found: Vec<CompletionCandidate> = Vec::new();
    for (value, help) in values.into_iter().filter(|(value, _)| value.starts_with(&*current)).take(MOST) {
        let help = (!help.is_empty()).then(|| plain(&help).into());
        found.push(CompletionCandidate::new(value).help(help));
    }
    found
}

/// The values of a kind, each with a few words about it.
fn values(workspace: &Workspace, kind: ValueKind, current: &str) -> Vec<(String, String)> {
    let described = |folder: &str, file: &str| {
        let all = definitions::summaries(workspace, folder, file).unwrap_or_default();
        all.into_iter().map(|(id, headline)| (id, headline.description)).collect()
    };
    match kind {
        ValueKind::Agent => described("agents", "AGENT.md"),
        ValueKind::Skill => described("skills", "SKILL.md"),
        ValueKind::Cron => described("crons", "CRON.md"),
        ValueKind::Approval => {
            let pending = approvals::pending(workspace).unwrap_or_default();
            pending.into_iter().map(|approval| (approval.id.short().to_owned(), approval.session)).collect()
        }
        ValueKind::Channel => {
            let names = |config: &Config| {
                channel::names(config).into_iter().map(|name| (name.to_owned(), String::new())).collect()
            };
            workspace.config().map(|config| names(&config)).unwrap_or_default()
        }
        ValueKind::Event => events(workspace, current),
        ValueKind::Model => models(workspace),
        ValueKind::Session => {
            let mut sessions = session::names(workspace).unwrap_or_default();
            sessions.sort_unstable();
            let is_long = current.split_once("-20").is_some();
            let shown = |name: String| if is_long { name } else { session_name::short(&name) };
            let sessions = sessions.into_iter().map(shown);
            // The part after the agent is enough, unless the agent is being typed.
            let default = workspace.config().map(|config| config.default_agent.clone()).unwrap_or_default();
            let short = |name: String| match name.strip_prefix(&format!("{default}.")) {
                Some(rest) if !current.contains('.') => rest.to_owned(),
                _ => name,
            };
            sessions.map(|name| (short(name), String::new())).collect()
        }
        ValueKind::Task => {
            use crate::core::definition::task::TaskState;
            let all = [TaskState::Open, TaskState::Claimed].into_iter().flat_map(|state| tasks::all(workspace, state));
            all.map(|(id, _)| (id, String::new())).collect()
        }
    }
}

/// The pending and failed events, by the short end of their ids, or by the whole id if its instant is being typed.
fn events(workspace: &Workspace, current: &str) -> Vec<(String, String)> {
    let states = [State::New, State::Ready, State::Wait, State::Run, State::Failed];
    let ids = locate::in_states(workspace, &states).unwrap_or_default();
    let is_whole = current.starts_with("20");
    let text = |id: &crate::core::event::id::Id| if is_whole { id.to_string() } else { id.short().to_owned() };
    ids.iter().rev().take(MOST).map(|id| (text(id), crate::world::local(id.stamp()))).collect()
}

fn models(workspace: &Workspace) -> Vec<(String, String)> {
    let Ok(config) = workspace.config() else { return Vec::new() };
    let about = |model: &Model| {
        let words = [model.provider.as_deref(), model.model.as_deref()];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    let mut models: Vec<(String, String)> =
        config.models.iter().map(|(name, model)| (name.clone(), about(model))).collect();
    models.push((crate::core::config::OFFLINE.to_owned(), "built in".to_owned()));
    models
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_kinds_by_command_and_by_name() {
        assert_eq!(kind("ask", "agent"), Some(ValueKind::Agent));
        assert_eq!(kind("why", "id"), Some(ValueKind::Event));
        assert_eq!(kind("agents", "id"), Some(ValueKind::Agent));
        assert_eq!((kind("send", "id"), kind("ask", "text")), (None, None));
    }

    #[test]
    fn workspace_of_the_line_is_found() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(named_workspace(&words("claw -w a ask")), Some("a".into()));
        assert_eq!(named_workspace(&words("claw ask --workspace b")), Some("b".into()));
        assert_eq!(named_workspace(&words("claw ask")), None);
    }
}
