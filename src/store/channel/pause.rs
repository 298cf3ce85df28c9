//! The pause of a channel's account: `.claw/channels/NAME/pause`, until when the platform wants no more requests. All
//! processes that send through the account look at it. Losing it costs one refused request.

use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::fs::At;
use crate::store::workspace::Workspace;
use std::fs;
use std::path::PathBuf;

/// The longest pause that is believed, in seconds.
const MAX: i64 = 24 * 3600;

fn path(workspace: &Workspace, channel: &str) -> PathBuf {
    workspace.path(super::FOLDER).join(channel).join("pause")
}

/// Begins a pause of this many seconds, unless a longer one is in force.
///
/// # Errors
/// If the file cannot be written.
pub fn begin(workspace: &Workspace, channel: &str, seconds: u64) -> Result<()> {
    let until = workspace.world.now().plus_seconds(seconds.min(MAX.unsigned_abs()).cast_signed());
    if end(workspace, channel).is_some_and(|known| known >= until) {
        return Ok(());
    }
    let path = path(workspace, channel);
    workspace.make_dir(path.parent().unwrap_or(&path), 2)?;
    fs::write(&path, format!("{until}\n")).at("write", &path)
}

/// When the pause ends; `None` if there is none.
#[must_use]
pub fn end(workspace: &Workspace, channel: &str) -> Option<Stamp> {
    let until = Stamp::parse(fs::read_to_string(path(workspace, channel)).ok()?.trim())?;
    let now = workspace.world.now();
    // A clock that was set back must not prolong it.
    (now < until && until <= now.plus_seconds(MAX)).then_some(until)
}

/// Checks that the account does not pause.
///
/// # Errors
/// `Later`, with the rest of the pause.
pub fn check(workspace: &Workspace, channel: &str) -> Result<()> {
    let Some(until) = end(workspace, channel) else { return Ok(()) };
    let rest = (until.0 - workspace.world.now().0).max(0).cast_unsigned().div_ceil(1_000_000);
    Err(Fault::new(Kind::Later, format!("channel `{channel}` pauses, as the platform has asked"))
        .after(Some(rest.max(1))))
}
