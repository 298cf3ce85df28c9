//! Changes that are not committed yet. `.claw/memory/begun.jsonl` has the change that is being made, so that it keeps
//! its author if its process is killed. `.claw/memory/pending.jsonl` has changes whose contents are stored as blobs, and
//! which wait for an operation of the owner's to end. `.claw/memory/contained.jsonl` has those that a commit of the
//! owner's already contains. All are written under the lock of the history.

use crate::core::config::Sync;
use crate::core::fault::Result;
use crate::core::memory::change::{ChangeAuthor, PendingChange};
use crate::store::fs::{At, durable, if_there};
use crate::store::workspace::Workspace;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;

/// The folder of these files, in the workspace.
pub const STATE: &str = ".claw/memory";
const BEGUN: &str = "begun.jsonl";
const PENDING: &str = "pending.jsonl";
const CONTAINED: &str = "contained.jsonl";

/// A change that is being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BegunChange {
    /// Its author.
    pub author: ChangeAuthor,
    /// The first line of its commit message.
    pub subject: String,
    /// The files; none: every file that a program changes.
    pub files: Vec<String>,
    /// A program may run until then; other changes are over when the lock is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// The begun changes.
///
/// # Errors
/// If the file cannot be read.
pub fn begun(workspace: &Workspace) -> Result<Vec<BegunChange>> {
    lines(workspace, BEGUN)
}

/// The pending changes, the oldest first.
///
/// # Errors
/// If the file cannot be read.
pub fn pending(workspace: &Workspace) -> Result<Vec<PendingChange>> {
    lines(workspace, PENDING)
}

/// The changes that commits of the owner's contain.
///
/// # Errors
/// If the file cannot be read.
pub fn contained(workspace: &Workspace) -> Result<Vec<PendingChange>> {
    lines(workspace, CONTAINED)
}

/// Adds a begun change, without a sync: after a power cut it may be taken for the owner's.
///
/// # Errors
/// If it cannot be written.
pub fn begin(workspace: &Workspace, change: &BegunChange) -> Result<()> {
    append(workspace, BEGUN, change, Sync::None)
}

/// Keeps only these begun changes.
///
/// # Errors
/// If the file cannot be written.
pub fn keep_begun(workspace: &Workspace, left: &[BegunChange]) -> Result<()> {
    let path = file(workspace, BEGUN);
    if left.is_empty() {
        return match if_there(fs::File::options().write(true).open(&path)).at("open", &path)? {
            Some(file) => file.set_len(0).at("write", &path),
            None => Ok(()),
        };
    }
    replace(workspace, BEGUN, left, Sync::None)
}

/// Adds a pending change, durable on return.
///
/// # Errors
/// If it cannot be written.
pub fn add(workspace: &Workspace, change: &PendingChange) -> Result<()> {
    append(workspace, PENDING, change, workspace.sync()?)
}

/// Keeps only these pending changes.
///
/// # Errors
/// If the file cannot be written.
pub fn keep(workspace: &Workspace, left: &[PendingChange]) -> Result<()> {
    let sync = workspace.sync()?;
    replace(workspace, PENDING, left, sync)
}

/// Records that a commit of the owner's contains a change.
///
/// # Errors
/// If it cannot be written.
pub fn record_contained(workspace: &Workspace, change: &PendingChange) -> Result<()> {
    append(workspace, CONTAINED, change, workspace.sync()?)
}

fn file(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.path(STATE).join(name)
}

/// The lines of a file. One that a power cut has torn is not there.
fn lines<T: DeserializeOwned>(workspace: &Workspace, name: &str) -> Result<Vec<T>> {
    let path = file(workspace, name);
    let text = if_there(fs::read(&path)).at("read", &path)?.unwrap_or_default();
    Ok(text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

fn append(workspace: &Workspace, name: &str, line: &impl Serialize, sync: Sync) -> Result<()> {
    let path = file(workspace, name);
    let is_named = path.exists();
    if !is_named {
        workspace.make_dir(&workspace.path(STATE), 1)?;
    }
    let json = serde_json::to_string(line).unwrap_or_default();
    // The newline before it ends a line that a power cut has torn.
    durable::append(&path, format!("\n{json}\n").as_bytes(), is_named, sync)
}

fn replace(workspace: &Workspace, name: &str, left: &[impl Serialize], sync: Sync) -> Result<()> {
    let text: String = left.iter().map(|line| serde_json::to_string(line).unwrap_or_default() + "\n").collect();
    let dir = workspace.path(STATE);
    let folder = fs::File::open(&dir).at("open", &dir)?;
    durable::replace_at(folder, name.as_ref(), &format!("{name}.tmp"), text.as_bytes(), None, sync)
        .at("write", &dir.join(name))
}
