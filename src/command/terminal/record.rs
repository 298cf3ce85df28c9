//! `--record FILE`, for the commands that ask models.

use crate::core::fault::{Fault, Result};
use crate::store::cassette;
use crate::store::workspace::Workspace;
use std::path::PathBuf;

/// Whether what models are asked is recorded.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Recording {
    /// Record what models are asked and answer on this cassette, behind what is on it
    ///
    /// Each exchange is a line of JSON: the request without its headers, the answer with its status and its body in
    /// the pieces that it came in. Keys are in none of it, but everything that is said is. A model with `provider:
    /// replay` and `cassette: FILE` answers from it, in its order; it compares what it is asked with what was
    /// recorded, and where that differs it says in which places and fails (exit code 1). CLAW_NOW and CLAW_SEED make
    /// requests the same from run to run. What a replay or the built-in model says is not recorded.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

impl Recording {
    /// Records from now on, where that was said.
    ///
    /// # Errors
    /// `Config` where the file is something else than a cassette.
    pub fn begin(&self, workspace: &mut Workspace) -> Result<()> {
        let Some(file) = &self.record else { return Ok(()) };
        let path = std::path::absolute(file).map_err(|e| Fault::data(format!("{}: {e}", file.display())))?;
        cassette::check(&path)?;
        workspace.record = Some(path);
        Ok(())
    }
}
