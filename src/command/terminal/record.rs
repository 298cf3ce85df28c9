//! `--record FILE`, for the commands that call models.

use crate::core::fault::{Fault, Result};
use crate::store::cassette;
use crate::store::workspace::Workspace;
use std::path::PathBuf;

/// The option to record model calls.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Recording {
    /// Append all model calls to this cassette
    ///
    /// Each exchange is a line of JSON: the request without its headers, and the response with its status and its body
    /// in the chunks in which it arrived. It contains no keys, but the whole conversation. A model with `provider:
    /// replay` and `cassette: FILE` replays it in its order. The replay compares each request with the recorded one; if
    /// they differ, it reports each difference and fails (exit code 1). CLAW_NOW and CLAW_SEED make requests the same
    /// from run to run. Calls of a replay or of the built-in model are not recorded.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

impl Recording {
    /// Starts recording, if the option is given.
    ///
    /// # Errors
    /// `Config` if the file exists and is not a cassette.
    pub fn begin(&self, workspace: &mut Workspace) -> Result<()> {
        let Some(file) = &self.record else { return Ok(()) };
        let path = std::path::absolute(file).map_err(|e| Fault::data(format!("{}: {e}", file.display())))?;
        cassette::check(&path)?;
        workspace.record = Some(path);
        Ok(())
    }
}
