//! The answer of a turn while the model writes it: `.claw/stream/<event>`, lines of JSON, never synced, removed when the
//! turn ends. It is written only while a client watches: then the listener's file `.claw/stream/watched` is there. It
//! promises nothing: the answer itself is in the session's log.

use crate::core::event::id::Id;
use crate::core::fault::Result;
use crate::store::agent::secrets::Secrets;
use crate::store::fs::{At, if_there};
use crate::store::workspace::Workspace;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// The folder in the workspace.
pub const FOLDER: &str = ".claw/stream";
/// The file that is there while a client watches.
const WATCHED: &str = "watched";

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerDelta {
    /// The number of the model call in its turn, from 1. A later call begins its text anew.
    pub call: u32,
    /// The text that follows the one before.
    pub text: String,
}

/// The stream of one turn. Errors are ignored: it is a convenience.
#[derive(Debug)]
pub struct DeltaStream {
    path: PathBuf,
    watched: PathBuf,
    file: Option<File>,
    call: u32,
    /// The text of this call that is not written yet.
    rest: String,
    is_on: bool,
}

impl DeltaStream {
    /// The stream of the turn for this event. Nothing is written before its first text.
    #[must_use]
    pub fn of(workspace: &Workspace, event: &Id) -> Self {
        let folder = workspace.path(FOLDER);
        let (path, watched) = (folder.join(event.as_str()), folder.join(WATCHED));
        Self { path, watched, file: None, call: 0, rest: String::new(), is_on: false }
    }

    /// A model call begins.
    pub fn begin(&mut self) {
        self.call += 1;
        self.rest.clear();
        self.is_on = self.watched.exists();
    }

    /// Adds text. As much of its end as may be the beginning of a key is held back.
    pub fn add(&mut self, text: &str, secrets: &Secrets) {
        if !self.is_on {
            return;
        }
        self.rest = secrets.hide(std::mem::take(&mut self.rest) + text);
        let end = self.rest.floor_char_boundary(self.rest.len().saturating_sub(secrets.longest().saturating_sub(1)));
        if end == 0 {
            return;
        }
        let delta = AnswerDelta { call: self.call, text: self.rest.drain(..end).collect() };
        if self.file.is_none() {
            self.file = File::options().create(true).append(true).mode(0o600).open(&self.path).ok();
        }
        if let (Some(file), Ok(json)) = (&mut self.file, serde_json::to_string(&delta)) {
            let _ = file.write_all((json + "\n").as_bytes());
        }
    }
}

impl Drop for DeltaStream {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the folder, and removes the streams of killed turns.
///
/// # Errors
/// If the folder cannot be made.
pub fn prepare(workspace: &Workspace) -> Result<()> {
    let folder = workspace.path(FOLDER);
    fs::create_dir_all(&folder).at("make", &folder)?;
    for entry in fs::read_dir(&folder).at("list", &folder)?.flatten() {
        let _ = fs::remove_file(entry.path());
    }
    Ok(())
}

/// Records whether a client watches. Errors are ignored.
pub fn set_watched(workspace: &Workspace, is_watched: bool) {
    let path = workspace.path(FOLDER).join(WATCHED);
    let _ = if is_watched { fs::write(&path, "") } else { fs::remove_file(&path) };
}

/// The complete pieces of a stream after this offset in bytes, and the offset after them.
///
/// # Errors
/// If the file cannot be read. A missing one has ended.
pub fn read(workspace: &Workspace, event: &Id, from: u64) -> Result<(Vec<AnswerDelta>, u64)> {
    let path = workspace.path(FOLDER).join(event.as_str());
    let bytes = if_there(fs::read(&path)).at("read", &path)?.unwrap_or_default();
    let new = bytes.get(usize::try_from(from).unwrap_or(usize::MAX)..).unwrap_or_default();
    let whole = new.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let deltas = new[..whole].split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    Ok((deltas, from + whole as u64))
}
