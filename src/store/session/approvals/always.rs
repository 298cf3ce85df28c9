//! Calls that the owner has approved once and for all: exactly this agent, tool, arguments and files.

use super::{FOLDER, named_files};
use crate::core::event::session_name;
use crate::core::fault::Result;
use crate::core::model::Call;
use crate::core::tool::approval::{Approval, ApprovedFile};
use crate::store::fs::{At, durable};
use crate::store::workspace::Workspace;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

/// A call that needs no further approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlwaysApproved {
    /// The end of the id of the first approval.
    pub id: String,
    /// The agent.
    pub agent: String,
    /// The tool.
    pub tool: String,
    /// The arguments, all of them.
    pub arguments: Value,
    /// The files that the call names, with their content.
    #[serde(default)]
    pub files: Vec<ApprovedFile>,
    /// The time of the decision.
    pub at: Timestamp,
}

fn file(workspace: &Workspace) -> PathBuf {
    workspace.path(FOLDER).join("always.jsonl")
}

/// Every call that is approved once and for all, oldest first.
///
/// # Errors
/// If the file exists and cannot be read.
pub fn list(workspace: &Workspace) -> Result<Vec<AlwaysApproved>> {
    let path = file(workspace);
    match fs::read_to_string(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        // A torn line approves nothing.
        text => Ok(text.at("read", &path)?.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
    }
}

/// Approves the call of this request from now on. Durable on return.
///
/// # Errors
/// If the file cannot be written.
pub fn add(workspace: &Workspace, approval: &Approval) -> Result<()> {
    let line = AlwaysApproved {
        id: approval.id.short().to_owned(),
        agent: session_name::agent(&approval.session).to_owned(),
        tool: approval.tool.clone(),
        arguments: approval.arguments.clone(),
        files: approval.files.clone(),
        at: workspace.world.now().timestamp(),
    };
    let json = serde_json::to_string(&line).unwrap_or_default() + "\n";
    durable::append(&file(workspace), json.as_bytes(), false, workspace.sync()?)
}

/// Withdraws the approvals with this id; returns how many there were.
///
/// # Errors
/// If the file cannot be written.
pub fn remove(workspace: &Workspace, id: &str) -> Result<usize> {
    let all = list(workspace)?;
    let kept: Vec<&AlwaysApproved> = all.iter().filter(|line| line.id != id).collect();
    if kept.len() < all.len() {
        let text: String = kept.iter().map(|line| serde_json::to_string(line).unwrap_or_default() + "\n").collect();
        durable::write_new(&file(workspace), text.as_bytes(), workspace.sync()?)?;
    }
    Ok(all.len() - kept.len())
}

/// Whether this call of the agent is among `known`, with the files as they were.
///
/// # Errors
/// As [`named_files`].
pub fn covers(workspace: &Workspace, known: &[AlwaysApproved], agent: &str, call: &Call) -> Result<bool> {
    let is_same =
        |line: &&AlwaysApproved| line.agent == agent && line.tool == call.name && line.arguments == call.arguments;
    let mut same = known.iter().filter(is_same).peekable();
    if same.peek().is_none() {
        return Ok(false);
    }
    let files = named_files(workspace, &call.name, &call.arguments)?;
    Ok(same.any(|line| line.files == files))
}
