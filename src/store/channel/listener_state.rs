//! The state of a channel's listener: `.claw/listeners/NAME.json`, replaced whenever it changes. Only people and
//! `claw status` read it; losing it loses no event.

use crate::core::config::Sync;
use crate::core::fault::{Fault, Result};
use crate::store::fs::At;
use crate::store::fs::durable;
use crate::store::lock::holders;
use crate::store::workspace::Workspace;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;

/// The folder in the workspace.
pub const FOLDER: &str = ".claw/listeners";

/// The condition of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerCondition {
    /// It has never run, or was stopped.
    #[default]
    Stopped,
    /// It has started and is not connected yet.
    Starting,
    /// It is connected.
    Listening,
    /// The other side cannot be reached; the listener tries again by itself.
    Unreachable,
    /// It has ended with an error, and is started again.
    Failed,
    /// It ends with an error again and again.
    CrashLoop,
    /// Its settings are wrong: it is started again when they change, or after 5 minutes.
    Misconfigured,
}

impl ListenerCondition {
    /// The condition if no process listens: one that only a process can be in is over.
    #[must_use]
    pub fn without_process(self) -> Self {
        match self {
            Self::Starting | Self::Listening | Self::Unreachable => Self::Stopped,
            other => other,
        }
    }

    /// The name in files and on the terminal.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Listening => "listening",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
            Self::CrashLoop => "crash-loop",
            Self::Misconfigured => "misconfigured",
        }
    }
}

/// The state of a channel's listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenerState {
    /// Its condition.
    pub condition: ListenerCondition,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The reason, if it is not listening.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// When it tries again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Timestamp>,
    /// When the last message was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_in: Option<Timestamp>,
    /// When the last message was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_out: Option<Timestamp>,
    /// Accepted messages.
    pub accepted: u64,
    /// Refused and skipped messages.
    pub refused: u64,
    /// Their length altogether, in bytes: the only thing that is kept of them.
    pub refused_bytes: u64,
    /// Starts in a row that have failed.
    pub failures: u32,
}

/// The name of the lock of the listener of `channel`.
#[must_use]
pub fn lock_name(channel: &str) -> String {
    format!("listen-{channel}")
}

/// Whether a process listens on `channel`. Takes no lock: that would keep a listener from starting.
#[must_use]
pub fn has_process(workspace: &Workspace, channel: &str) -> bool {
    let lock = lock_name(channel);
    holders::list(&workspace.root).iter().any(|holder| holder.lock == lock)
}

/// Reads the state of the listener of `channel`; the default if there is none.
#[must_use]
pub fn read(workspace: &Workspace, channel: &str) -> ListenerState {
    let text = fs::read_to_string(workspace.path(FOLDER).join(format!("{channel}.json"))).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Replaces the state. It is not synced.
///
/// # Errors
/// Those of the file system.
pub fn write(workspace: &Workspace, channel: &str, state: &ListenerState) -> Result<()> {
    let folder = workspace.path(FOLDER);
    fs::create_dir_all(&folder).at("make", &folder)?;
    let text = serde_json::to_string(state).map_err(|e| Fault::data(e.to_string()))? + "\n";
    durable::replace(&folder, &format!("{channel}.json"), text.as_bytes(), Sync::None)
}

/// Whether this is the first answer that became too old since the channel has last sent one.
#[must_use]
pub fn begins_outage(workspace: &Workspace, channel: &str) -> bool {
    let folder = workspace.path(FOLDER);
    fs::create_dir_all(&folder).is_ok() && fs::File::create_new(outage(workspace, channel)).is_ok()
}

/// The channel has sent a message: an outage is over.
pub fn end_outage(workspace: &Workspace, channel: &str) {
    let _ = fs::remove_file(outage(workspace, channel));
}

fn outage(workspace: &Workspace, channel: &str) -> PathBuf {
    workspace.path(FOLDER).join(format!("{channel}.outage"))
}
