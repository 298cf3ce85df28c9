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
use crate::world;
pub use forget::forget;
use jiff::civil::Date;
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

/// The sessions that began at a time of the clock, `ask-0931` or `pickle.ask-0931`, on the last day with such a session.
fn at_clock<'n>(names: &'n [String], text: &str) -> Vec<&'n String> {
    let clock = |name: &String| session_name::clock(name, &world::zone());
    let is_named = |short: &str| short == text || short.split_once('.').is_some_and(|(_, name)| name == text);
    let found = names.iter().filter_map(|name| Some((name, clock(name)?))).filter(|(_, (short, _))| is_named(short));
    let mut found: Vec<(&String, (String, Date))> = found.collect();
    let newest = found.iter().map(|(_, (_, day))| *day).max();
    found.retain(|(_, (_, day))| Some(*day) == newest);
    found.into_iter().map(|(name, _)| name).collect()
}

/// Finds the session that `text` names: its name, with or without the agent's; any unambiguous end of it; the time
/// of the clock at which it began (`ask-0931`, of its last day); or the path of its folder or log.
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
    let mut matches: Vec<&String> = names.iter().filter(|name| !text.is_empty() && is_end(name)).collect();
    if matches.is_empty() {
        matches = at_clock(&names, text);
    }
    match &matches[..] {
        [one] => Ok((*one).clone()),
        [a, b, ..] => Err(Fault::data(format!("`{text}` could be {a} or {b}")).hint("type more of it")),
        [] => Err(Fault::data(format!("there is no session `{}`", text.escape_debug()))
            .hint("`claw sessions` lists them; any unambiguous end of a name will do")),
    }
}
