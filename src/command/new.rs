//! `claw new agent | skill | tool | cron`

use crate::channel;
use crate::command::Here;
use crate::command::terminal::out;
use crate::core::config::Sync;
use crate::core::definition::new_cron::{self, NewCron};
use crate::core::definition::{agent, cron, skill, templates};
use crate::core::event::address::Address;
use crate::core::event::session_name;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::schedule::Timing;
use crate::core::text::problem::Problem;
use crate::store::agent::definitions;
use crate::store::crons::FOLDER;
use crate::store::fs::At;
use crate::store::fs::durable;
use crate::store::workspace::{Workspace, zones};
use crate::tool;
use crate::tool::program::FOLDER as TOOLS;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// The schedule, if none is given.
const DEFAULT: &str = "0 7 * * *";

/// Create an agent, a skill, a tool or a scheduled job from a template
///
/// The new file is valid at once; its other fields are there as comments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Create an agent: agents/NAME/AGENT.md
    Agent(AgentArgs),
    /// Create a skill: skills/NAME/SKILL.md
    Skill(TextArgs),
    /// Create a tool: the program tools/NAME and its description for models, tools/NAME.json
    Tool(ToolArgs),
    /// Create a scheduled job: crons/NAME/CRON.md
    Cron(CronArgs),
}

#[derive(Debug, clap::Args)]
struct AgentArgs {
    /// The agent's id: letters, digits, `_` and `-`
    #[arg(value_name = "NAME")]
    name: String,
    /// Its purpose, in one line, for lists and for other agents
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Its prompt; `-` reads it from stdin [default: an example]
    #[arg(value_name = "TEXT|-")]
    text: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct TextArgs {
    /// The name: a-z, 0-9, and single hyphens between them
    #[arg(value_name = "NAME")]
    name: String,
    /// What it does and when to use it, in one line: models choose a skill by this
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Its instructions; `-` reads them from stdin [default: an example]
    #[arg(value_name = "TEXT|-")]
    text: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct ToolArgs {
    /// The tool's name: letters, digits, `_` and `-`
    #[arg(value_name = "NAME")]
    name: String,
    /// What it does, in one line, for models
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

#[derive(Debug, clap::Args)]
struct CronArgs {
    /// The job's name: letters, digits, `_` and `-`
    #[arg(value_name = "NAME")]
    name: String,
    /// When it runs: five fields as in Debian's cron, or @daily and the like [default: 0 7 * * *]
    #[arg(long, value_name = "FIELDS", conflicts_with_all = ["every", "at"])]
    schedule: Option<String>,
    /// When it runs: the period, like 2h
    #[arg(long, value_name = "PERIOD", conflicts_with = "at")]
    every: Option<String>,
    /// When it runs: date and time, like 2026-12-24T18:00
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Its time zone, like Europe/Berlin [default: yours]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// The agent that runs it [default: the default agent]
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// The address for its answers [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    deliver_to: Option<String>,
    /// Its prompt; `-` reads it from stdin. Without it the job has an example, and is disabled
    #[arg(value_name = "TEXT|-")]
    text: Vec<String>,
}

/// Creates a definition, and prints its path.
///
/// # Errors
/// `Data` if a value is invalid; `Failed` if the file exists.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    let path = match &args.action {
        Action::Agent(args) => new_agent(&workspace, args)?,
        Action::Skill(args) => new_skill(&workspace, args)?,
        Action::Tool(args) => new_tool(&workspace, args)?,
        Action::Cron(args) => new_cron(&workspace, args)?,
    };
    out::line(&path)?;
    if let Action::Skill(args) = &args.action {
        out::message(&format!("agents are offered it after `claw skills approve {}`", args.name));
    }
    Ok(0)
}

fn new_agent(workspace: &Workspace, args: &AgentArgs) -> Result<String> {
    session_name::check_agent(&args.name)?;
    let text = templates::agent(&args.name, args.description.as_deref(), prompt(&args.text)?.as_deref());
    agent::read(&args.name, "AGENT.md", &text, None).map_err(|problem| unplaced(&problem))?;
    write(workspace, "agents", &args.name, "AGENT.md", &text)
}

fn new_skill(workspace: &Workspace, args: &TextArgs) -> Result<String> {
    if !skill::is_name(&args.name) {
        return Err(Fault::data(format!("`{}` is not a name for a skill", args.name.escape_debug()))
            .hint("at most 64 of a-z 0-9, with single hyphens between them"));
    }
    let text = templates::skill(&args.name, args.description.as_deref(), prompt(&args.text)?.as_deref());
    let (_, warnings) = skill::read(&args.name, "SKILL.md", &text).map_err(|problem| unplaced(&problem))?;
    warnings.first().map_or(Ok(()), |problem| Err(unplaced(problem)))?;
    write(workspace, "skills", &args.name, "SKILL.md", &text)
}

fn new_tool(workspace: &Workspace, args: &ToolArgs) -> Result<String> {
    check(&args.name, "a tool")?;
    if tool::is_reserved(&args.name) {
        return Err(Fault::data(format!("there is a built-in tool `{}`", args.name)).hint("choose another name"));
    }
    let (program, manifest) = templates::tool(&args.name, args.description.as_deref());
    let (path, dir) = (format!("{TOOLS}/{}", args.name), workspace.path(TOOLS));
    let description = format!("{}.json", args.name);
    if let Some(taken) = [&args.name, &description].into_iter().find(|name| dir.join(name).symlink_metadata().is_ok()) {
        return Err(exists(&format!("{TOOLS}/{taken}")));
    }
    durable::make_dir(&dir, 1, Sync::Full)?;
    // The program comes first: a description without its program is a problem of the workspace.
    if !durable::publish(&dir, &args.name, &dir, program.as_bytes(), Sync::Full)? {
        return Err(exists(&path));
    }
    let file = dir.join(&args.name);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).at("make executable", &file)?;
    if !durable::publish(&dir, &description, &dir, manifest.as_bytes(), Sync::Full)? {
        return Err(exists(&format!("{path}.json")));
    }
    Ok(path)
}

/// The text of the arguments, if there is one.
fn prompt(words: &[String]) -> Result<Option<String>> {
    if words.is_empty() { Ok(None) } else { out::text(words).map(Some) }
}

/// Checks a name by the rule for agents, which keeps it plain in paths, addresses and lists.
fn check(name: &str, what: &str) -> Result<()> {
    session_name::check_agent(name)
        .map_err(|fault| Fault { message: format!("`{}` is not a name for {what}", name.escape_debug()), ..fault })
}

/// A problem of a text that is not written, without its line.
fn unplaced(problem: &Problem) -> Fault {
    Fault::data(problem.message.clone()).hint("nothing was written")
}

fn exists(path: &str) -> Fault {
    Fault::new(Kind::Failed, format!("{path} exists")).hint("edit it, or choose another name")
}

/// Writes the file of a definition, unless it exists; returns its path.
fn write(workspace: &Workspace, folder: &str, name: &str, file: &str, text: &str) -> Result<String> {
    let path = format!("{folder}/{name}/{file}");
    let dir = workspace.path(folder).join(name);
    durable::make_dir(&dir, 2, Sync::Full)?;
    if durable::publish(&dir, file, &dir, text.as_bytes(), Sync::Full)? { Ok(path) } else { Err(exists(&path)) }
}

fn new_cron(workspace: &Workspace, args: &CronArgs) -> Result<String> {
    check(&args.name, "a job")?;
    let agent = args.agent.clone().map_or_else(|| workspace.config().map(|c| c.default_agent.clone()), Ok)?;
    if !definitions::has_agent(workspace, &agent) {
        return Err(definitions::unknown(workspace, &agent));
    }
    let timing = match (&args.every, &args.at) {
        (Some(period), _) => Timing::every(period)?,
        (_, Some(time)) => Timing::at(time)?,
        _ => Timing::schedule(args.schedule.as_deref().unwrap_or(DEFAULT))?,
    };
    let zone = zones::of(workspace, args.timezone.as_deref())?;
    // Commands and timers may run with another TZ than the owner's shell. A period needs no zone.
    let is_local = !matches!(timing, Timing::Every(_)) && zone.name != zones::LOCAL;
    let named = args.timezone.as_deref().or(is_local.then_some(zone.name.as_str()));
    let prompt = prompt(&args.text)?;
    let deliver_to = args.deliver_to.as_deref().map(Address::parse).transpose()?;
    deliver_to.as_ref().map_or(Ok(()), |address| channel::check(workspace, address))?;
    let text = new_cron::compose(&NewCron {
        name: &args.name,
        agent: &agent,
        timing: &timing,
        zone: named,
        deliver_to: deliver_to.as_ref(),
        prompt: prompt.as_deref(),
    });
    let now = workspace.world.now().timestamp();
    cron::read(&args.name, "CRON.md", &text, now).map_err(|problem| unplaced(&problem))?;
    write(workspace, FOLDER, &args.name, "CRON.md", &text)
}
