//! `claw export DIR`

use crate::command::Here;
use crate::command::importing;
use crate::command::terminal::{create, out};
use crate::core::fault::Result;
use crate::import::export;
use crate::store::queue::locate;
use crate::store::workspace::mailbox::State;
use std::path::PathBuf;

/// Write the workspace to a new folder, without secrets and internal state
///
/// `claw init --from DIR` makes the same workspace of it: settings, agents, skills, crons, tools, notes, tasks, files and
/// sessions. Pending events, approvals, learned routes and the journal are not part of an export.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder; it must not exist, or be empty
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Exports the workspace.
///
/// # Errors
/// `Failed` if the folder has files; those of the file system. Then nothing is written.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.look()?;
    let target = importing::absolute(&args.dir)?;
    let exported = export::export(&workspace.root, &target)?;
    for (head, lines) in [("secret, not exported: ", &exported.secrets), ("not exported: ", &exported.left)] {
        for line in lines {
            out::message(&format!("{head}{line}"));
        }
    }
    let pending = locate::in_states(&workspace, &[State::New, State::Ready, State::Run, State::Wait])?.len();
    if pending > 0 {
        out::message(&format!("{pending} pending events are not exported"));
    }
    out::line(&format!("exported {} files to {}", exported.files, create::short(&workspace.world, &target)))?;
    Ok(0)
}
