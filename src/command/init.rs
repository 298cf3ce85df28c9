//! `claw init [DIR]`

use crate::command::Here;
use crate::command::importing::{self, PlanForm};
use crate::command::terminal::{create, out};
use crate::core::fault::Result;
use std::path::PathBuf;

/// Create a workspace
///
/// With --from, the workspace is made from that of another program: pickle-bot, OpenClaw, or a folder that `claw export`
/// has written. The source is only read. Every file of it becomes a file of the workspace, is kept aside in imported/, or
/// stays; --dry-run shows which, and the plan is saved as imported/PLAN.txt. Scheduled jobs come disabled; secrets are
/// named and not copied.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder [default: the current one]
    pub dir: Option<PathBuf>,
    /// Import the workspace of another program in this folder
    #[arg(long, value_name = "SOURCE")]
    from: Option<PathBuf>,
    /// Print what would become of every file of the source, and write nothing
    #[arg(long, requires = "from")]
    dry_run: bool,
    /// Print the plan as JSON Lines
    #[arg(long, requires = "dry_run")]
    json: bool,
}

/// Creates a workspace, or adds missing files to one.
///
/// # Errors
/// If a file cannot be written.
pub fn run(args: Args, here: &Here) -> Result<u8> {
    if let (Some(from), true) = (&args.from, args.dry_run) {
        importing::show(&here.world, from, if args.json { PlanForm::Json } else { PlanForm::Text })?;
        return Ok(0);
    }
    let root = args.dir.or_else(|| here.workspace.clone()).unwrap_or_else(|| PathBuf::from("."));
    let line = match &args.from {
        Some(from) => importing::import(&here.world, from, &root)?,
        None => create::create(&here.world, &root)?,
    };
    out::line(&line)?;
    Ok(0)
}
