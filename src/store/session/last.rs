//! The session that `ask` used last: its name in `.claw/last-ask`.

use crate::core::fault::Result;
use crate::store::fs::durable;
use crate::store::workspace::Workspace;
use std::fs;

const FILE: &str = ".claw/last-ask";

/// Remembers the last session. A convenience, so failures are ignored.
pub fn remember(workspace: &Workspace, session: &str) {
    let _ = fs::write(workspace.path(FILE), session);
}

/// Removes the file if it names `session`.
///
/// # Errors
/// If the file cannot be removed.
pub fn forget(workspace: &Workspace, session: &str) -> Result<()> {
    if name(workspace).is_some_and(|last| last == session) {
        durable::remove(&workspace.path(FILE))?;
    }
    Ok(())
}

/// The name of the last session.
#[must_use]
pub fn name(workspace: &Workspace) -> Option<String> {
    let name = fs::read_to_string(workspace.path(FILE)).ok()?;
    Some(name.trim().to_owned()).filter(|n| !n.is_empty())
}
