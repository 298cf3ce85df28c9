//! Scheduled jobs on disk: the ledgers in `.claw/crons/`, and finished one-off jobs.

mod beat;
pub mod condition;
pub mod due_index;
pub mod job;
pub mod ledger;
pub mod made;

use crate::core::fault::Result;
use crate::store::fs::durable::{self, Moved};
use crate::store::lock::NamedLock;
use crate::store::workspace::Workspace;
use std::path::PathBuf;

/// The folder of the jobs, relative to the workspace.
pub const FOLDER: &str = "crons";
/// The folder of the ledgers, relative to the workspace.
pub const LEDGERS: &str = ".claw/crons";
/// The folder of one-off jobs that have run, relative to the workspace.
pub const DONE: &str = "crons/.done";
/// The lock under which instants are chosen and ledgers are written.
const LOCK: &str = "crons";

/// Takes the lock under which instants are chosen and ledgers are written. Its holders keep it only for that, never
/// during a run.
///
/// # Errors
/// Those of the file system.
pub fn lock(workspace: &Workspace) -> Result<NamedLock> {
    make_layout(workspace)?;
    NamedLock::wait(workspace, LOCK)
}

/// Creates the folders of the jobs and of their ledgers, which the supervisor watches. Git keeps no empty folder, so
/// that a copy of a workspace may lack the first one.
///
/// # Errors
/// Those of the file system.
pub fn make_layout(workspace: &Workspace) -> Result<()> {
    workspace.make_dir(&workspace.path(FOLDER), 1)?;
    workspace.make_dir(&workspace.path(LEDGERS), 1)
}

/// Moves the folder of a one-off job that has run to `crons/.done/`. A missing folder is no error: the job has removed
/// or renamed itself.
///
/// # Errors
/// Those of the file system.
pub fn move_to_done(workspace: &Workspace, id: &str) -> Result<()> {
    let (from, to) = (workspace.path(FOLDER).join(id), workspace.path(DONE));
    let target =
        |number: u32| -> PathBuf { to.join(if number == 1 { id.to_owned() } else { format!("{id}-{number}") }) };
    for number in 1..=1000 {
        if durable::rename(&from, &target(number))? != Moved::Taken {
            break;
        }
    }
    Ok(())
}
