//! `claw tick`

use crate::command::Here;
use crate::command::terminal::record::Recording;
use crate::command::terminal::{backlog, out};
use crate::core::crons::choose::Action;
use crate::core::crons::line::CronLine;
use crate::core::fault::{Fault, Kind, Result};
use crate::stage::tick;
use crate::store::crons::job;
use crate::store::workspace::Workspace;

/// Process everything that is due, once
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The time to assume (RFC 3339)
    #[arg(long, value_name = "TIME")]
    now: Option<String>,
    /// Only print the scheduled runs that are due
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    record: Recording,
}

/// One pass over all stages; prints only failures.
///
/// # Errors
/// `Config` if `claw.yaml` is invalid, `Machine` if the machine fails.
pub fn run(args: &Args, mut here: Here) -> Result<u8> {
    if let Some(text) = &args.now {
        let now = text.parse::<jiff::Timestamp>();
        let now = now.map_err(|e| Fault::new(Kind::Usage, format!("`{text}` is not an RFC 3339 time: {e}")))?;
        here.world = here.world.at(now.into());
    }
    if args.dry_run {
        return plan(&here.look()?);
    }
    let mut workspace = here.open()?;
    args.record.begin(&mut workspace)?;
    let mut code = 0;
    backlog::watched(&workspace, || {
        tick::run(&workspace, &mut |_, outcome| code = code.max(out::report_outcome(&outcome)))
    })?;
    Ok(code)
}

/// Prints the scheduled runs that are due, and the instants that were missed.
fn plan(workspace: &Workspace) -> Result<u8> {
    for (job, actions) in job::plan(workspace)? {
        for action in actions {
            let text = match action {
                Action::Fire { due, .. } => format!("run {}", job.zone.show(due)),
                Action::Record(CronLine::Queued { due, .. }) => {
                    format!("run {} after its present run", job.zone.show(due))
                }
                Action::Record(CronLine::Missed { due, to, why, .. }) => {
                    let to = to.map(|to| format!(" to {}", job.zone.show(to))).unwrap_or_default();
                    format!("missed {}{to}: {}", job.zone.show(due), why.text())
                }
                Action::Record(_) => continue,
            };
            out::line(&format!("{}  {text}", job.id))?;
        }
    }
    Ok(0)
}
