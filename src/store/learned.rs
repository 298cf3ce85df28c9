//! Learned routes: `.claw/routes.jsonl`, append-only, synced before the event that taught them moves.

use crate::core::fault::{Fault, Result};
use crate::core::routing::{Learned, Line};
use crate::store::workspace::Workspace;
use crate::store::{At, durable};
use std::fs;
use std::io::ErrorKind;

const FILE: &str = ".claw/routes.jsonl";

/// All lines that can be read; a torn one at the end was never relied on.
///
/// # Errors
/// Where the file cannot be read.
pub fn load(workspace: &Workspace) -> Result<Learned> {
    let path = workspace.path(FILE);
    let text = match fs::read_to_string(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Learned::default()),
        other => other.at("read", &path)?,
    };
    let mut learned = Learned::default();
    for line in text.lines().filter_map(|l| serde_json::from_str::<Line>(l).ok()) {
        learned.push(line);
    }
    Ok(learned)
}

/// Makes every line durable that somebody has written, and may have been killed before it was.
///
/// # Errors
/// Where the disk cannot.
pub fn commit(workspace: &Workspace) -> Result<()> {
    let path = workspace.path(FILE);
    durable::sync_file(&path, workspace.sync()?)
}

/// Learns a line. The caller holds the lock on routing.
///
/// # Errors
/// Where it cannot be made durable.
pub fn append(workspace: &Workspace, line: &Line) -> Result<()> {
    let json = serde_json::to_string(line).map_err(|e| Fault::data(e.to_string()))?;
    // The leading newline ends a line that was torn; empty lines are passed over.
    durable::append(&workspace.path(FILE), format!("\n{json}\n").as_bytes(), workspace.sync()?)
}
