//! Key files: `.secrets/NAME`, readable by the owner only. Agents cannot read this folder.

use crate::core::config::Sync;
use crate::core::event::address::safe_name;
use crate::core::fault::{Fault, Result};
use crate::store::fs::At;
use crate::store::fs::durable;
use crate::store::workspace::Workspace;
use rustix::fs::Mode;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// The folder of key files in a workspace.
pub const FOLDER: &str = ".secrets";
const TEMP: &str = ".new";

/// The file of the key `name`, relative to the workspace.
#[must_use]
pub fn file(name: &str) -> String {
    format!("{FOLDER}/{}", safe_name(name, 60))
}

/// Writes a key into `file`, a path below [`FOLDER`], with mode 0600 from its first byte on, durable on return.
///
/// # Errors
/// `Config` for a path elsewhere or a folder that is a symbolic link; those of the file system.
pub fn write(workspace: &Workspace, file: &str, key: &str) -> Result<()> {
    let name = own_name(file)?;
    let dir = workspace.path(FOLDER);
    if dir.is_symlink() {
        return Err(Fault::config(format!("{FOLDER} is a symbolic link, and no key is written through it")));
    }
    if !dir.exists() {
        DirBuilder::new().mode(0o700).create(&dir).at("make", &dir)?;
    }
    let folder = File::open(&dir).at("open", &dir)?;
    folder.set_permissions(PermissionsExt::from_mode(0o700)).at("change the mode of", &dir)?;
    let (path, text, mode) = (workspace.path(file), format!("{key}\n"), Mode::RUSR | Mode::WUSR);
    durable::replace_at(&folder, OsStr::new(name), TEMP, text.as_bytes(), Some(mode), Sync::Full).at("write", &path)?;
    durable::sync_dir(&workspace.root, Sync::Full)
}

/// Removes a key file; false if there was none.
///
/// # Errors
/// As [`write()`].
pub fn remove(workspace: &Workspace, file: &str) -> Result<bool> {
    own_name(file)?;
    let path = workspace.path(file);
    if path.symlink_metadata().is_err() {
        return Ok(false);
    }
    durable::remove(&path)?;
    durable::sync_dir(&workspace.path(FOLDER), Sync::Full)?;
    Ok(true)
}

/// The key files, sorted.
#[must_use]
pub fn list(workspace: &Workspace) -> Vec<String> {
    let entries = fs::read_dir(workspace.path(FOLDER)).into_iter().flatten().flatten();
    let is_key = |name: &String| !name.starts_with('.');
    let names = entries.filter(|e| e.path().is_file()).filter_map(|e| e.file_name().into_string().ok()).filter(is_key);
    let mut files: Vec<String> = names.map(|name| format!("{FOLDER}/{name}")).collect();
    files.sort();
    files
}

/// The name of a file directly below [`FOLDER`].
fn own_name(file: &str) -> Result<&str> {
    let name = Path::new(file).strip_prefix(FOLDER).ok().and_then(Path::to_str);
    name.filter(|name| !name.is_empty() && !name.contains('/') && !name.starts_with('.'))
        .ok_or_else(|| Fault::config(format!("{file} is not below {FOLDER}/, so it is left to you")))
}
