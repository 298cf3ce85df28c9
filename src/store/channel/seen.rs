//! Ids of received messages: `.claw/seen/CHANNEL/HASH` holds the id of the event of a message whose platform gives no
//! instant. It is synced before the event is published, so that a repeated message has the same id.

use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::fault::Result;
use crate::core::text::base32::hash32;
use crate::store::fs::{At, durable, if_there};
use crate::store::workspace::Workspace;
use crate::store::workspace::clock;
use std::fs;
use std::path::Path;

/// The folder in the workspace.
const FOLDER: &str = ".claw/seen";
/// How long an id is kept, in days.
const KEEP_DAYS: u32 = 30;

/// A received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenMessage {
    /// The id of its event.
    pub id: Id,
    /// It was received before.
    pub is_repeat: bool,
    /// It was received before, with another text.
    pub is_changed: bool,
}

/// Looks up a message of `channel` by its key, and chooses an id for a new one; durable on return.
///
/// # Errors
/// Those of the file system.
pub fn look_up(workspace: &Workspace, channel: &str, key: &str, text: &str) -> Result<SeenMessage> {
    let (dir, name) = (workspace.path(FOLDER).join(channel), hash32(key, 26));
    let (path, print) = (dir.join(&name), hash32(text, 16));
    let read = || -> Result<Option<SeenMessage>> {
        let found = if_there(fs::read_to_string(&path)).at("read", &path)?;
        Ok(found.as_deref().and_then(parse).map(|(id, was)| SeenMessage {
            id,
            is_repeat: true,
            is_changed: was != print,
        }))
    };
    if let Some(seen) = read()? {
        // Its writer may have been killed before it synced the name.
        durable::sync_dir(&dir, workspace.sync()?)?;
        return Ok(seen);
    }
    workspace.make_dir(&dir, 2)?;
    let id = clock::next_id(workspace)?;
    let line = format!("{id} {print}\n");
    if durable::publish(&dir, &name, &dir, line.as_bytes(), workspace.sync()?)? {
        return Ok(SeenMessage { id, is_repeat: false, is_changed: false });
    }
    if let Some(seen) = read()? {
        return Ok(seen);
    }
    // A file that is no id was not written by claw.
    durable::remove(&path)?;
    durable::publish(&dir, &name, &dir, line.as_bytes(), workspace.sync()?)?;
    Ok(SeenMessage { id, is_repeat: false, is_changed: false })
}

fn parse(text: &str) -> Option<(Id, &str)> {
    let (id, print) = text.strip_suffix('\n')?.split_once(' ')?;
    Some((Id::parse(id).ok()?, print))
}

/// Removes ids that are older than 30 days. Returns the number of removed files.
///
/// # Errors
/// If one cannot be removed.
pub fn tidy(workspace: &Workspace) -> Result<usize> {
    let since = workspace.world.now().minus_days(KEEP_DAYS);
    let mut removed = 0;
    for channel in paths(&workspace.path(FOLDER)) {
        for path in paths(&channel) {
            let at = fs::metadata(&path).and_then(|meta| meta.modified()).ok();
            if at.and_then(|at| jiff::Timestamp::try_from(at).ok()).is_some_and(|at| Stamp::from(at) < since) {
                durable::remove(&path)?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

fn paths(dir: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
