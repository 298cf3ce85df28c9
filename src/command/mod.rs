//! What a person types: one file per subcommand, its arguments and its `run`. A command prints, and
//! returns the exit code; what it does is done by the rooms below.

#![expect(clippy::doc_markdown, reason = "doc comments on arguments are the help that people read")]

pub mod agents;
pub mod approve;
pub mod ask;
pub mod chat;
pub mod check;
pub mod completions;
pub mod deliver;
pub mod discard;
pub mod init;
pub mod log;
pub mod man;
pub mod models;
pub mod page;
pub mod prompt;
pub mod recall;
pub mod remember;
pub mod retry;
pub mod route;
pub mod run_agent;
pub mod send;
pub mod sessions;
pub mod skills;
pub mod status;
pub mod supervise;
pub mod tasks;
pub mod terminal;
pub mod tick;
pub mod trust;
pub mod usage;
pub mod why;

use crate::core::fault::Result;
use crate::store::workspace::Workspace;
use crate::world::World;
use std::path::PathBuf;

/// Where a command was typed.
#[derive(Debug)]
pub struct Here {
    /// Clock, randomness, environment.
    pub world: World,
    /// `--workspace`.
    pub workspace: Option<PathBuf>,
}

impl Here {
    /// The process's own surroundings.
    ///
    /// # Errors
    /// `Usage` where `CLAW_NOW` or `CLAW_SEED` cannot be read.
    pub fn new(workspace: Option<PathBuf>) -> Result<Self> {
        Ok(Self { world: World::real()?, workspace })
    }

    /// The workspace, for commands that only look.
    ///
    /// # Errors
    /// Where there is none, or it is unfit.
    pub fn look(self) -> Result<Workspace> {
        Workspace::find(self.world, self.workspace.as_deref())
    }

    /// The workspace, with all its folders.
    ///
    /// # Errors
    /// Where there is none, or it is unfit or cannot be written.
    pub fn open(self) -> Result<Workspace> {
        let workspace = self.look()?;
        workspace.make_layout()?;
        Ok(workspace)
    }
}
