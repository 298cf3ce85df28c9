//! The sessions of a workspace: their logs, and an index of summaries.

pub mod approvals;
mod forget;
pub mod history;
pub mod index;
pub mod last;
mod list;
pub mod log;
pub mod stop;
pub mod stream;

use crate::core::event::session_name;
use crate::core::fault::{Fault, Result};
use crate::store::fs::At;
use crate::store::workspace::Workspace;
pub use forget::forget;
pub use list::summaries;
pub(crate) use list::tidy;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

const FOLDER: &str = "sessions";

/// The names of all session folders, unsorted.
///
/// # Errors
/// If the folder cannot be listed.
pub fn names(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.path(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.at("list", &folder)?,
    };
    let names: std::io::Result<Vec<_>> = entries.map(|entry| entry.map(|entry| entry.file_name())).collect();
    Ok(names.at("list", &folder)?.into_iter().filter_map(|name| name.into_string().ok()).collect())
}

/// Finds the session that `text` names: its name, with or without the agent's; any unambiguous end of it; or the path
/// of its folder or log.
///
/// # Errors
/// `Data` if none or several match.
pub fn find(workspace: &Workspace, text: &str) -> Result<String> {
    let path = Path::new(text.trim());
    let path = if path.ends_with("log.jsonl") { path.parent().unwrap_or(path) } else { path };
    let text = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let names = names(workspace)?;
    let default = workspace.config()?.default_agent.clone();
    let full = session_name::qualify(text, None, &default).ok();
    if let Some(name) = names.iter().find(|name| **name == text || full.as_ref() == Some(name)) {
        return Ok(name.clone());
    }
    let is_end = |name: &&String| name.ends_with(text) || session_name::short(name).ends_with(text);
    let mut matches = names.iter().filter(|name| !text.is_empty() && is_end(name));
    match (matches.next(), matches.next()) {
        (Some(one), None) => Ok(one.clone()),
        (Some(a), Some(b)) => Err(Fault::data(format!("`{text}` could be {a} or {b}")).hint("type more of it")),
        (None, _) => Err(Fault::data(format!("there is no session `{}`", text.escape_debug()))
            .hint("`claw sessions` lists them; any unambiguous end of a name will do")),
    }
}
