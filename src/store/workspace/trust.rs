//! The list of workspaces that the user trusts: one canonical path per line in `$XDG_STATE_HOME/claw/trusted`. The file
//! is outside every workspace, so that no workspace can trust itself.

use crate::core::fault::{Fault, Result};
use crate::store::fs::At;
use crate::world::World;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder with the lists of trusted workspaces and programs, `$XDG_STATE_HOME/claw`; `None` without a home.
#[must_use]
pub fn state_dir(world: &World) -> Option<PathBuf> {
    let state = world.var("XDG_STATE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || world.var("HOME").map(|h| Path::new(h).join(".local/state"));
    Some(state.or_else(home)?.join("claw"))
}

fn file(world: &World) -> Option<PathBuf> {
    Some(state_dir(world)?.join("trusted"))
}

/// Whether the user trusts the workspace in `root`.
#[must_use]
pub fn is_trusted(world: &World, root: &Path) -> bool {
    let Some(list) = file(world).and_then(|f| fs::read_to_string(f).ok()) else { return false };
    let Ok(root) = root.canonicalize() else { return false };
    list.lines().any(|line| Path::new(line) == root)
}

/// Adds the workspace in `root` to the list.
///
/// # Errors
/// `Config` if neither `XDG_STATE_HOME` nor `HOME` is set, `Failed` if the list cannot be written.
pub fn trust(world: &World, root: &Path) -> Result<()> {
    let root = root.canonicalize().at("find", root)?;
    if is_trusted(world, &root) {
        return Ok(());
    }
    let file = file(world).ok_or_else(|| {
        Fault::config("cannot save trust: neither XDG_STATE_HOME nor HOME is set")
            .hint("a workspace named with -w or CLAW_WORKSPACE is trusted for that command")
    })?;
    let text = root.to_str().filter(|t| !t.contains('\n'));
    let text = text.ok_or_else(|| Fault::data(format!("{} is not UTF-8 or contains a line break", root.display())))?;
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir).at("make", dir)?;
    }
    let mut open = OpenOptions::new().create(true).append(true).open(&file).at("open", &file)?;
    open.write_all(format!("{text}\n").as_bytes()).at("write", &file)
}
