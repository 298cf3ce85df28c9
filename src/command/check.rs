//! `claw check`

use crate::channel;
use crate::command::Here;
use crate::command::terminal::out;
use crate::core::config::{Config, FILE, SandboxMode};
use crate::core::definition::{self, Agent, reach};
use crate::core::event::entry::Entry;
use crate::core::event::stamp::SECOND;
use crate::core::fault::Result;
use crate::core::model::price_table;
use crate::core::routing::unreachable;
use crate::core::text::problem::{self, Problem};
use crate::process::sandbox;
use crate::provider;
use crate::report::problem::ProblemReport;
use crate::report::risks::{self, Risk};
use crate::store::agent::{definitions, problems, secrets};
use crate::store::memory::git;
use crate::store::queue::drops;
use crate::store::session::log;
use crate::store::workspace::Workspace;
use crate::store::workspace::clock;
use crate::store::workspace::mailbox::{Mailbox, State};
use crate::store::workspace::programs;
use crate::store::{skills, tasks};
use crate::{tool, world};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Free space in bytes below which a warning is printed.
const SPACE: u64 = 100 << 20;
/// Microseconds that ids may be ahead of the clock before a warning is printed.
const LEAD: i64 = 60 * SECOND;

/// The longest search for repositories of agents that run programs.
const MAX_SEARCH: Duration = Duration::from_secs(5);

/// Check settings, definitions, folders, permissions and this machine
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the problems as JSON Lines
    #[arg(long)]
    json: bool,
    /// Correct permissions that let other users change the workspace or read keys
    #[arg(long)]
    fix: bool,
}

/// Prints each problem with path, line, column and the way out.
///
/// # Errors
/// If there is no workspace.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.look()?;
    let mut problems = match workspace.read_config() {
        Ok((config, warnings)) => {
            let mut problems = warnings;
            problems.extend(settings(&workspace, &config));
            problems
        }
        Err(problem) => vec![problem],
    };
    problems.extend(problems::of(&workspace));
    problems.extend(destinations(&workspace));
    problems.extend(tools(&workspace));
    problems.extend(skills::problems(&workspace));
    problems.extend(tasks::problems(&workspace));
    problems.extend(unknown_files(&workspace));
    problems.extend(sessions(&workspace));
    problems.extend(machine(&workspace));
    problems.extend(weak_places(&workspace, args.fix)?);
    problems.extend(risks::repositories(&workspace, MAX_SEARCH));
    let in_force = sandbox_in_force(&workspace, &mut problems);
    for problem in &problems {
        if args.json {
            out::json(&ProblemReport::from(problem))?;
        } else {
            out::line(&out::row(&problem.to_string()))?;
        }
    }
    let errors = problems.iter().filter(|p| !p.is_warning).count();
    let warnings = problems.len() - errors;
    for (ability, is_available, needs) in sandbox::kernel_support() {
        let state = if is_available { "available".to_owned() } else { format!("not available, needs {needs}") };
        out::message(&format!("{ability}: {state}"));
    }
    out::message(&format!("sandbox: {in_force}"));
    for line in reached_tools(&workspace)? {
        out::message(&line);
    }
    if problems.is_empty() && !args.json {
        out::line("no problems")?;
    } else if !problems.is_empty() {
        let count = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
        out::message(&format!("{}, {}", count(errors, "error"), count(warnings, "warning")));
    }
    Ok(if errors == 0 { 0 } else { 78 })
}

/// The warning about a model whose price the program ships, and that is old.
fn old_price(workspace: &Workspace, config: &Config, name: &str) -> Option<String> {
    let chosen = config.resolve_model(&Agent::default(), Some(name)).ok().filter(|one| one.model.price.is_none())?;
    let row = price_table::row(&chosen.host(), chosen.model.model.as_deref()?)?;
    let read = row.read()?;
    let today = workspace.world.now().timestamp().to_zoned(world::zone()).date();
    let is_old = today.since(read).is_ok_and(|age| age.get_days() > price_table::OLD);
    is_old.then(|| format!("its price was read on {read}; compare {} and set `price`, or update claw", row.source))
}

/// The warnings of `claw.yaml`, and the agents and models that it names and that do not exist; none if it is invalid.
pub(in crate::command) fn of_settings(workspace: &Workspace) -> Vec<Problem> {
    let Ok((config, mut problems)) = workspace.read_config() else { return Vec::new() };
    problems.extend(settings(workspace, &config));
    problems
}

/// Checks that everything the settings refer to exists.
fn settings(workspace: &Workspace, config: &Config) -> Vec<Problem> {
    let text = fs::read_to_string(workspace.path(FILE)).unwrap_or_default();
    let error = |key: &str, message: String| Problem::error(FILE, message).at(problem::locate(&text, key));
    let mut problems = Vec::new();
    if !definitions::has_agent(workspace, &config.default_agent) {
        let fault = definitions::missing(workspace, &config.default_agent);
        problems.push(error("default_agent", format!("default_agent: {fault}")));
    }
    if let Some(address) = &config.deliver_to {
        let fault = channel::check(workspace, address).err();
        problems.extend(fault.map(|f| error("deliver_to", format!("deliver_to: {f}"))));
    }
    problems.extend(channels(workspace, config, &text));
    for (key, command) in config.channels.commands().filter(|(_, command)| !command.is_empty()) {
        problems.extend(changed(workspace, command).map(|fault| error(&key, fault)));
        problems.extend(program(workspace, command).map(|fault| error(&key, format!("{key}: {fault}"))));
    }
    for (name, model) in &config.models {
        let key = format!("models.{name}");
        let known = model.provider.as_deref().unwrap_or_default();
        if !provider::names().any(|p| p == known) {
            let all: Vec<&str> = provider::names().collect();
            let message = format!("{key}: unknown provider `{known}` (known: {})", all.join(", "));
            problems.push(error(&key, message));
        }
        if let Some(wanted) = model.dialect.as_deref().filter(|wanted| !provider::dialects().any(|d| d == *wanted)) {
            let all: Vec<&str> = provider::dialects().collect();
            let message = format!("{key}: unknown dialect `{wanted}` (known: {})", all.join(", "));
            problems.push(error(&format!("{key}.dialect"), message));
        }
        problems.extend(
            old_price(workspace, config, name)
                .map(|message| Problem::warning(FILE, format!("{key}: {message}")).at(problem::locate(&text, &key))),
        );
        for other in &model.fallback {
            let fault = config.resolve_model(&Agent::default(), Some(other)).err();
            problems.extend(fault.map(|fault| error(&format!("{key}.fallback"), format!("{key}.fallback: {fault}"))));
        }
        if known == "command" {
            problems.extend(changed(workspace, &model.command).map(|fault| error(&format!("{key}.command"), fault)));
            problems.extend(
                program(workspace, &model.command)
                    .map(|fault| error(&format!("{key}.command"), format!("{key}.command: {fault}"))),
            );
        }
        let unreadable = model.api_key_file.as_ref().and_then(|_| secrets::key(workspace, name, model).err());
        let at = || problem::locate(&text, &format!("{key}.api_key_file"));
        problems.extend(unreadable.map(|fault| Problem::warning(FILE, fault.to_string()).at(at())));
        let missing = model.api_key_env.as_deref().filter(|v| workspace.world.var(v).is_none());
        let warning = |v| Problem::warning(FILE, format!("{key}: {v} is not set in this environment"));
        problems.extend(missing.map(|v| warning(v).at(problem::locate(&text, &key))));
    }
    let search = config.web.search.as_ref().and_then(|search| search.api_key_env.as_deref());
    if let Some(variable) = search.filter(|variable| workspace.world.var(variable).is_none()) {
        let message = format!("web.search: {variable} is not set in this environment");
        problems.push(Problem::warning(FILE, message).at(problem::locate(&text, "web.search")));
    }
    match config.resolve_model(&Agent::default(), None) {
        Err(fault) => problems.push(error("model", fault.to_string())),
        Ok(chosen) => {
            let fault = chosen.unpriced(&[&config.budget], &config.currency);
            problems.extend(fault.map(|fault| error(&format!("models.{}", chosen.name), fault.to_string())));
        }
    }
    problems.extend(bindings(workspace, config, &text));
    if config.memories.git && (!git::is_installed() || !workspace.path(".git").exists()) {
        let message = "memories.git is true, but git is not installed or the workspace is not the root of a repository";
        problems.push(Problem::warning(FILE, message).at(problem::locate(&text, "memories.git")));
    }
    problems
}

/// Checks the channels: their settings, and whether each has an account of its own. A variable may be set elsewhere.
fn channels(workspace: &Workspace, config: &Config, text: &str) -> Vec<Problem> {
    let mut problems = channel::problems(config, text);
    for (name, settings) in &config.channels.named {
        let key = format!("channels.{name}");
        let Some(listener) = channel::listener(config, name) else { continue };
        let Err(fault) = (listener.account)(workspace, name, settings) else { continue };
        let is_elsewhere =
            settings.token_env.as_deref().is_some_and(|variable| workspace.world.var(variable).is_none());
        let problem = if is_elsewhere { Problem::warning } else { Problem::error };
        // Its own settings are reported already.
        if !problems.iter().any(|known| known.message.starts_with(&key)) {
            problems.push(problem(FILE, fault.message).at(problem::locate(text, &key)));
        }
    }
    problems
}

/// The message that a program of the command has changed since it was trusted.
fn changed(workspace: &Workspace, command: &[String]) -> Option<String> {
    let programs = programs::of(workspace, command).ok().filter(|_| workspace.is_trusted)?;
    programs.iter().find(|program| program.is_changed()).map(|program| programs::fault(program).to_string())
}

/// Why a command cannot be run. A bare name is not checked: it is searched in PATH when it is run.
fn program(workspace: &Workspace, command: &[String]) -> Option<String> {
    let Some(name) = command.first() else { return Some("it is missing".to_owned()) };
    let is_there = || rustix::fs::access(workspace.path(name), rustix::fs::Access::EXEC_OK).is_ok();
    (name.contains('/') && !is_there()).then(|| format!("there is no executable {name}"))
}

/// Checks the programs in `tools/`, and that each tool an agent names exists.
fn tools(workspace: &Workspace) -> Vec<Problem> {
    let (programs, faults) = tool::program::all(workspace).unwrap_or_else(|fault| (Vec::new(), vec![fault]));
    let mut known: Vec<&str> = tool::names().collect();
    known.extend(programs.iter().map(|program| &program.spec.name[..]));
    let mut problems: Vec<Problem> = faults
        .iter()
        .map(|fault| match fault.message.split_once(": ") {
            Some((path, message)) => Problem::error(path, message),
            None => Problem::error(tool::program::FOLDER, &fault.message),
        })
        .collect();
    for id in definitions::folders(workspace, "agents").unwrap_or_default() {
        let path = format!("agents/{id}/AGENT.md");
        let text = fs::read_to_string(workspace.path(&path)).unwrap_or_default();
        // `problems::of` reports an agent that cannot be read.
        let Ok((agent, _)) = definition::agent::read(&id, &path, &text, None) else { continue };
        for name in agent.tools.names().chain(agent.senders.names()).filter(|name| !known.contains(name)) {
            let near = problem::nearest(name, known.iter().copied());
            let guess = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
            let message = format!("tools: unknown tool `{name}`{guess}");
            problems.push(Problem::warning(&path, message).at(problem::locate(&text, "tools")));
        }
    }
    problems
}

/// Checks the destination of each scheduled job.
fn destinations(workspace: &Workspace) -> Vec<Problem> {
    let wrong = |id: String| {
        let address = definitions::cron(workspace, &id).ok()?.ok()?.deliver_to.clone()?;
        let fault = channel::check(workspace, &address).err()?;
        let text = definitions::text(workspace, "crons", "CRON.md", &id).unwrap_or_default();
        let problem = Problem::error(&format!("crons/{id}/CRON.md"), format!("deliver_to: {fault}"));
        Some(problem.at(problem::locate(&text, "deliver_to")))
    };
    definitions::folders(workspace, "crons").unwrap_or_default().into_iter().filter_map(wrong).collect()
}

/// The tools that each agent reaches only by giving tasks to others.
fn reached_tools(workspace: &Workspace) -> Result<Vec<String>> {
    let agents: Vec<_> = definitions::agents(workspace)?.into_iter().filter_map(|(_, read)| read.ok()).collect();
    let agents: Vec<&Agent> = agents.iter().map(|agent| &**agent).collect();
    let (programs, _) = tool::program::all(workspace)?;
    let mut tools: Vec<&str> = tool::names().collect();
    tools.extend(programs.iter().map(|program| &program.spec.name[..]));
    let mut lines = Vec::new();
    for agent in &agents {
        let through = reach::through_others(agent, &agents, &tools);
        if !through.is_empty() {
            let list = through.iter().map(|(tool, other)| format!("{tool} ({other})")).collect::<Vec<_>>().join(", ");
            lines.push(format!("{} reaches through other agents: {list}", agent.id));
        }
    }
    Ok(lines)
}

/// Checks that each binding can be selected and that its agent exists.
fn bindings(workspace: &Workspace, config: &Config, text: &str) -> Vec<Problem> {
    let error = |n: usize, key: &str, message: String| {
        Problem::error(FILE, format!("routing.bindings: {message}")).at(problem::locate_item(
            text,
            "routing.bindings",
            key,
            n,
        ))
    };
    let given = config.routing.bindings.iter().enumerate();
    let is_there = |agent: &str| definitions::has_agent(workspace, agent);
    let unknown = given.filter(|(_, binding)| !is_there(&binding.agent));
    let unknown =
        unknown.map(|(n, binding)| error(n, "agent", definitions::unknown(workspace, &binding.agent).to_string()));
    let mut problems: Vec<Problem> = unknown.collect();
    match config.routing.table() {
        Ok(table) => {
            problems.extend(unreachable::bindings(table).into_iter().map(|(n, message)| error(n, "pattern", message)));
        }
        Err(fault) => problems.push(error(0, "pattern", fault.message)),
    }
    problems
}

/// Files in the mailboxes that no stage processes.
fn unknown_files(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
        let mut own = vec!["tmp", "new", "ready", "run", "wait", "done", "failed"];
        own.extend(channel::folders());
        for path in entries(&workspace.path(mailbox.name())) {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let refusal = drops::refusal(&path).or_else(|| drops::unreadable(&path));
            let refusal = refusal.filter(|_| !own.contains(&&name[..]) && name != ".gitkeep");
            problems.extend(
                refusal.map(|reason| {
                    Problem::warning(&relative(workspace, &path), format!("stays where it is: {reason}"))
                }),
            );
        }
        for state in [State::New, State::Ready, State::Wait, State::Run] {
            for path in entries(&mailbox.dir(workspace, state)) {
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                let is_event = Entry::parse(&name).is_some_and(|e| !e.lane.is_empty() || state == State::New);
                if !is_event {
                    let message =
                        "the name is not that of an event in this folder, so it is never processed".to_owned();
                    problems.push(Problem::warning(&relative(workspace, &path), message));
                }
            }
        }
    }
    problems
}

fn sessions(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    for path in entries(&workspace.path("sessions")) {
        let session = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let log = format!("sessions/{session}/log.jsonl");
        for line in log::unreadable_lines(workspace, &session).unwrap_or_default() {
            problems.push(Problem::warning(&log, "this line cannot be read and is skipped").at(Some((line, 1))));
        }
    }
    problems
}

fn machine(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    let lead = clock::lead(workspace);
    if lead > LEAD {
        let message = format!(
            "new ids are {} s ahead of the clock, which was set back; the order is kept. To take ids from the clock \
             again, stop every claw process while nothing is pending, and remove this file",
            lead / SECOND
        );
        problems.push(Problem::warning(".claw/clock", message));
    }
    if let Ok(space) = fs2::available_space(&workspace.root)
        && space < SPACE
    {
        problems.push(Problem::warning(".", format!("only {} MiB are free", space >> 20)));
    }
    if !workspace.is_trusted {
        problems.push(Problem::warning(".", "not trusted: no program is run and no server is contacted (claw trust)"));
    }
    problems
}

/// Permissions, settings and folders that are weak. With `is_fixed`, modes are corrected and not reported.
fn weak_places(workspace: &Workspace, is_fixed: bool) -> Result<Vec<Problem>> {
    let mut left = Vec::new();
    for Risk { problem, mode } in risks::of(workspace) {
        match mode.filter(|_| is_fixed) {
            Some((path, mode)) => {
                risks::fix(&path, mode)?;
                out::message(&format!("fixed: {} has mode {mode:04o}", problem.path));
            }
            None => left.push(problem),
        }
    }
    Ok(left)
}

/// The sandbox that programs of agents have, tried by one of them, as a line of text. A thing that the program could do
/// and should not becomes a problem.
fn sandbox_in_force(workspace: &Workspace, problems: &mut Vec<Problem>) -> String {
    if !workspace.is_trusted {
        return "not tried: the workspace is not trusted, so no program of an agent runs".to_owned();
    }
    let trial = workspace.config().and_then(|config| {
        let agent = definitions::agent(workspace, &config.default_agent)?;
        Ok((config.sandbox.mode, tool::probe::run(workspace, &agent)?))
    });
    match trial {
        Ok((_, None)) => "off: programs of agents run with all your rights".to_owned(),
        Ok((mode, Some(trial))) => {
            if !trial.leaks.is_empty() {
                let message =
                    format!("the sandbox is not in force: a program of an agent could {}", trial.leaks.join(", "));
                let is_warning = mode != SandboxMode::Require;
                problems.push(Problem { is_warning, ..Problem::error(FILE, message) });
            }
            let network = if trial.network { "the network is allowed" } else { "no network" };
            let tried = if trial.leaks.is_empty() { "in force, as tried now" } else { "NOT in force" };
            let others = if trial.is_namespaced {
                "other files and processes are hidden (namespaces)"
            } else {
                "names of other files and processes are visible (no user namespaces here)"
            };
            format!("{tried}: no settings, no home, no signals to other programs; {network}; {others}")
        }
        Err(fault) => format!("not in force, because no program of an agent can run: {fault}"),
    }
}

fn entries(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    paths.sort();
    paths
}

fn relative(workspace: &Workspace, path: &Path) -> String {
    path.strip_prefix(&workspace.root).unwrap_or(path).display().to_string()
}
