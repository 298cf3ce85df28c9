//! `claw trust [DIR]`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::config;
use crate::core::fault::{Fault, Result};
use crate::store::workspace::Workspace;
use crate::store::workspace::trust;
use crate::world::World;
use std::path::PathBuf;

/// Trust the workspace: permit the programs and servers that it configures
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The workspace [default: the current folder or its nearest parent that is one]
    pub dir: Option<PathBuf>,
}

/// Trusts a workspace.
///
/// # Errors
/// If there is none, or the list of trusted workspaces cannot be written.
pub fn run(args: Args, here: &Here) -> Result<u8> {
    let start = args.dir.or_else(|| here.workspace.clone()).unwrap_or_else(|| PathBuf::from("."));
    let start = start.canonicalize().map_err(|e| Fault::config(format!("{}: {e}", start.display())))?;
    let root = start.ancestors().find(|dir| dir.join(config::FILE).is_file());
    let root =
        root.ok_or_else(|| Fault::config(format!("there is no {} in {} or above", config::FILE, start.display())))?;
    // A workspace that no other command can open is not trusted either.
    let workspace = Workspace::open(World::real()?, root.to_path_buf(), true)?;
    trust::trust(&here.world, &workspace.root)?;
    out::line(&format!("trusted {}", root.display()))?;
    Ok(0)
}
