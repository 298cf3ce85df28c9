//! `claw init [DIR]`

use crate::command::Here;
use crate::command::terminal::{create, out};
use crate::core::fault::Result;
use std::path::PathBuf;

/// Create a workspace
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder [default: the current one]
    pub dir: Option<PathBuf>,
}

/// Creates a workspace, or adds missing files to one.
///
/// # Errors
/// If a file cannot be written.
pub fn run(args: Args, here: &Here) -> Result<u8> {
    let root = args.dir.or_else(|| here.workspace.clone()).unwrap_or_else(|| PathBuf::from("."));
    out::line(&create::create(&here.world, &root)?)?;
    Ok(0)
}
