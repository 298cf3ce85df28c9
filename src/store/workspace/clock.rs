//! Monotonic event ids: `.claw/clock` holds the instant of the last id, and the next one is later, also when the
//! machine's clock is set back. Due times and times of other platforms never enter it.

use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::fault::Result;
use crate::store::fs::At;
use crate::store::workspace::Workspace;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use std::fs::File;
use std::os::unix::fs::FileExt;

const FILE: &str = ".claw/clock";
const WIDTH: usize = 20;

/// A new id, later than every earlier one of this workspace.
///
/// # Errors
/// If `.claw/clock` cannot be locked or written.
pub fn next_id(workspace: &Workspace) -> Result<Id> {
    let path = workspace.path(FILE);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).at("open", &path)?);
    flock(&file, FlockOperation::LockExclusive).at("lock", &path)?;
    let last = read(&file).unwrap_or_default();
    let at = workspace.world.now().0.max(last + 1);
    file.write_all_at(format!("{at:0WIDTH$}").as_bytes(), 0).at("write", &path)?;
    Ok(Id::new(Stamp(at), workspace.world.random()))
}

/// How far `.claw/clock` is ahead of the machine's clock, in microseconds.
#[must_use]
pub fn lead(workspace: &Workspace) -> i64 {
    let last = File::open(workspace.path(FILE)).ok().and_then(|file| read(&file));
    last.unwrap_or_default().saturating_sub(workspace.world.now().0).max(0)
}

/// The last instant; `None` where the file is torn or empty. Ids then start from the machine's clock.
fn read(file: &File) -> Option<i64> {
    let mut text = [0u8; WIDTH];
    file.read_exact_at(&mut text, 0).ok()?;
    // An id cannot have an instant before 1970 or after the year 9999.
    std::str::from_utf8(&text).ok()?.parse().ok().filter(|at| (0..253_402_207_200_000_000).contains(at))
}
