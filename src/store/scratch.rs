//! Temporary folders of programs: `.claw/tmp/<session>/<call>`. Only the holder of the session's lane makes and
//! removes them; what a killed holder has left is removed with the turn.

use crate::core::fault::Result;
use crate::store::At;
use crate::store::workspace::Workspace;
use rustix::fs::{Mode, chmod};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const FOLDER: &str = ".claw/tmp";

/// A new, empty folder for a call.
///
/// # Errors
/// Where the disk cannot.
pub fn make(workspace: &Workspace, session: &str, call: u32) -> Result<PathBuf> {
    let path = workspace.path(FOLDER).join(session).join(call.to_string());
    remove(&path)?;
    fs::create_dir_all(&path).at("make", &path)?;
    Ok(path)
}

/// Removes everything that calls of this session have left.
///
/// # Errors
/// Where something stays.
pub fn clear(workspace: &Workspace, session: &str) -> Result<()> {
    remove(&workspace.path(FOLDER).join(session))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            open_up(path);
            fs::remove_dir_all(path).at("remove", path)
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other.at("remove", path),
    }
}

/// Makes folders that their program has closed, as caches do, removable again. No link is followed.
fn open_up(path: &Path) {
    let mut folders = walkdir::WalkDir::new(path).follow_links(false).into_iter();
    // A folder is opened before it is entered.
    let _ = chmod(path, Mode::RWXU);
    while let Some(entry) = folders.next() {
        let Ok(entry) = entry else { continue };
        if entry.file_type().is_dir() && chmod(entry.path(), Mode::RWXU).is_err() {
            folders.skip_current_dir();
        }
    }
}
