//! The subcommands: one file each, with its arguments and its `run`. A command prints and returns the exit code; the
//! rooms below do the work.

#![expect(clippy::doc_markdown, reason = "doc comments on arguments are the help that people read")]

pub mod agents;
pub mod approve;
pub mod ask;
pub mod attempt;
pub mod channel_token;
pub mod channels;
pub mod chat;
pub mod check;
pub mod complete;
pub mod completions;
pub mod config;
pub mod crons;
pub mod deliver;
pub mod discard;
pub mod examples;
pub mod export;
pub(crate) mod importing;
pub mod init;
pub mod keys;
pub mod listen;
pub mod log;
pub mod man;
pub mod memory;
pub mod models;
pub mod new;
pub mod page;
pub mod page_text;
pub mod pair;
pub mod prompt;
pub mod recall;
pub mod remember;
pub mod retry;
pub mod route;
pub mod run_agent;
pub mod send;
pub mod sessions;
pub mod setup;
pub mod skills;
pub mod status;
pub mod supervise;
pub mod tasks;
pub mod terminal;
pub mod tick;
pub mod trust;
pub mod units;
pub mod usage;
pub mod why;

use crate::core::fault::Result;
use crate::store::workspace::Workspace;
use crate::world::World;
use std::path::PathBuf;

/// The surroundings of a command.
#[derive(Debug)]
pub struct Here {
    /// Clock, randomness, environment.
    pub world: World,
    /// `--workspace`.
    pub workspace: Option<PathBuf>,
}

impl Here {
    /// The surroundings of this process.
    ///
    /// # Errors
    /// `Usage` if `CLAW_NOW` or `CLAW_SEED` is invalid.
    pub fn new(workspace: Option<PathBuf>) -> Result<Self> {
        Ok(Self { world: World::real()?, workspace })
    }

    /// The workspace, for commands that only read.
    ///
    /// # Errors
    /// If there is none, or it cannot be used.
    pub fn look(self) -> Result<Workspace> {
        Workspace::find(self.world, self.workspace.as_deref())
    }

    /// The workspace; missing folders are created.
    ///
    /// # Errors
    /// If there is none, or it cannot be used or written.
    pub fn open(self) -> Result<Workspace> {
        let workspace = self.look()?;
        workspace.make_layout()?;
        Ok(workspace)
    }
}
