//! `claw new`

use crate::channel;
use crate::command::Here;
use crate::command::terminal::out;
use crate::core::config::Sync;
use crate::core::definition::cron;
use crate::core::definition::new_cron::{self, NewCron};
use crate::core::event::address::Address;
use crate::core::event::session_name;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::schedule::Timing;
use crate::store::agent::definitions;
use crate::store::crons::FOLDER;
use crate::store::fs::durable;
use crate::store::workspace::{Workspace, zones};

/// The schedule, if none is given.
const DEFAULT: &str = "0 7 * * *";

/// Create a definition from a template
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Create a scheduled job: crons/NAME/CRON.md
    Cron(CronArgs),
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
pub fn run(args: Args, here: Here) -> Result<u8> {
    let Action::Cron(args) = args.action;
    let workspace = here.open()?;
    out::line(&new_cron(&workspace, &args)?)?;
    Ok(0)
}

fn new_cron(workspace: &Workspace, args: &CronArgs) -> Result<String> {
    // The rule for agents keeps the name plain in paths, addresses and lists.
    session_name::check_agent(&args.name).map_err(|fault| Fault {
        message: format!("`{}` is not a name for a job", args.name.escape_debug()),
        ..fault
    })?;
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
    let prompt = if args.text.is_empty() { None } else { Some(out::text(&args.text)?) };
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
    let path = format!("{FOLDER}/{}/CRON.md", args.name);
    cron::read(&args.name, &path, &text, workspace.world.now().timestamp())?;
    let dir = workspace.path(FOLDER).join(&args.name);
    durable::make_dir(&dir, 2, Sync::Full)?;
    if durable::publish(&dir, "CRON.md", &dir, text.as_bytes(), Sync::Full)? {
        return Ok(path);
    }
    Err(Fault::new(Kind::Failed, format!("{path} exists")).hint("edit it, or choose another name"))
}
