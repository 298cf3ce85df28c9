//! A folder that `claw export` has written: every file becomes itself.

use crate::core::fault::{Fault, Result};
use crate::import::plan::ImportPlan;
use crate::import::session_file::SessionContent;
use crate::import::{ForeignProgram, Import};
use serde_json::{Value, json};

/// The row of this program.
pub(super) const PROGRAM: ForeignProgram =
    ForeignProgram { name: "claw", recognises: |source| source.has(MARK), plan, read: no_sessions };

/// The file that marks an export.
pub const MARK: &str = "claw-export.json";
/// The version of the format.
const VERSION: u64 = 1;

/// The content of [`MARK`].
#[must_use]
pub fn mark() -> String {
    format!("{}\n", json!({"format": "claw-export", "v": VERSION}))
}

fn plan(import: &Import, plan: &mut ImportPlan) -> Result<()> {
    let mark: Value = serde_json::from_str(&import.source.text(MARK)?).unwrap_or_default();
    if mark["v"].as_u64().is_none_or(|version| version > VERSION) {
        return Err(Fault::data(format!("{MARK} is of a newer program, or damaged")).hint("update claw"));
    }
    plan.is_complete = true;
    for file in &import.source.files {
        match &file.refused {
            Some(why) => plan.stays(&file.path, why),
            None if file.path == MARK => plan.stays(MARK, "it marks the folder as an export"),
            None if is_internal(&file.path) => plan.stays(&file.path, "an import brings no internal state"),
            None => plan.copy(&file.path, &file.path),
        }
    }
    Ok(())
}

/// Paths that an export never has: the boxes and the internal state.
#[must_use]
pub fn is_internal(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    matches!(first, "inbox" | "outbox" | ".claw" | ".git" | ".secrets")
}

fn no_sessions(_: &str, _: &str, _: &mut SessionContent) {}
