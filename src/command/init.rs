//! `claw init [DIR]`

use crate::command::Here;
use crate::command::terminal::{create, out};
use crate::core::fault::Result;
use std::path::PathBuf;

/// Make a workspace
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where [default: here]
    pub dir: Option<PathBuf>,
}

/// Makes a workspace, or completes one.
///
/// # Errors
/// Where something cannot be written.
pub fn run(args: Args, here: &Here) -> Result<u8> {
    let root = args.dir.or_else(|| here.workspace.clone()).unwrap_or_else(|| PathBuf::from("."));
    out::line(&create::create(&here.world, &root)?)?;
    Ok(0)
}
