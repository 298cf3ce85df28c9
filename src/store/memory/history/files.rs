//! Files below `memories/`, read and written for the history. No link below that folder is followed.

use crate::core::fault::{Fault, Kind, Result};
use crate::store::agent::access::is_git_folder;
use crate::store::agent::located::check_regular;
use crate::store::fs::At;
use crate::store::fs::beneath::Beneath;
use crate::store::fs::durable;
use crate::store::memory::FOLDER;
use crate::store::workspace::Workspace;
use rustix::fs::{Mode, Stat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// The largest file whose changes by the owner are committed.
pub const MAX_OWN: u64 = 1 << 20;
/// The end of the name of a temporary file.
const TEMP: &str = ".claw.tmp";
/// The largest file of which a change can be recorded.
const MAX: u64 = 64 << 20;

/// A file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryFile {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Whether its owner may execute it.
    pub is_executable: bool,
    identity: (u64, u64),
}

/// The path of a memory file relative to the workspace, from an absolute path; `None` for other files.
#[must_use]
pub fn name_of(workspace: &Workspace, path: &Path) -> Option<String> {
    let folder = workspace.path(FOLDER);
    let real = fs::canonicalize(&folder).unwrap_or_else(|_| folder.clone());
    let below = path.strip_prefix(&real).or_else(|_| path.strip_prefix(&folder)).ok()?;
    let below = below.to_str().filter(|below| !below.is_empty())?;
    Some(format!("{FOLDER}/{below}"))
}

/// The path below `memories/` of a name that a person has given: `memories/topics/a.md`.
///
/// # Errors
/// `Usage` if it is no such path.
pub fn checked(name: &str) -> Result<&str> {
    let path = Path::new(name);
    let is_plain = path.components().all(|part| match part {
        Component::Normal(name) => !is_git_folder(name),
        _ => false,
    });
    if is_plain && path.starts_with(FOLDER) && path != Path::new(FOLDER) {
        return Ok(name);
    }
    Err(Fault::new(Kind::Usage, format!("{name:?} is not a file below {FOLDER}/"))
        .hint(format!("name it as {FOLDER}/topics/a.md")))
}

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// `Data` if it is not a plain file, or longer.
pub fn read(workspace: &Workspace, name: &str, most: Option<u64>) -> Result<Option<MemoryFile>> {
    let (top, below) = split(workspace, name)?;
    let Ok(top) = Beneath::open(&top, true) else { return Ok(None) };
    let file = match top.file(&below) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(e) => return Err(e).at("read", Path::new(name)),
    };
    check_regular(&file, name, true)?;
    let meta = file.metadata().at("read", Path::new(name))?;
    let most = most.unwrap_or(MAX);
    let mut bytes = Vec::new();
    if meta.len() <= most {
        file.take(most + 1).read_to_end(&mut bytes).at("read", Path::new(name))?;
    }
    if meta.len().max(bytes.len() as u64) > most {
        return Err(Fault::data(format!("{name} has more than {most} bytes")));
    }
    Ok(Some(MemoryFile { bytes, is_executable: meta.mode() & 0o100 != 0, identity: (meta.dev(), meta.ino()) }))
}

/// Whether a change of the owner's is committed: UTF-8 without NULs.
#[must_use]
pub fn is_text(bytes: &[u8]) -> bool {
    !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok()
}

/// Whether the file is a temporary one of [`replace`], left by a process that was killed.
#[must_use]
pub fn is_leftover(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or_default();
    last.starts_with('.') && last.ends_with(TEMP)
}

/// Removes a file for which [`is_leftover`] holds. The caller holds the lock of the history.
///
/// # Errors
/// Those of the file system.
pub fn remove_leftover(workspace: &Workspace, name: &str) -> Result<()> {
    let (top, below) = split(workspace, name)?;
    let (above, own) = (below.parent().unwrap_or(Path::new("")), below.file_name().unwrap_or_default());
    let Ok(dir) = Beneath::open(&top, true).and_then(|top| top.folder(above)) else { return Ok(()) };
    durable::remove_at(&dir, own, workspace.sync()?).at("remove", Path::new(name))
}

/// Whether a file of this name can belong to the history. Settings of git's, and the temporary files of the file
/// tools, cannot.
#[must_use]
pub fn is_tracked_name(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or_default();
    let is_temporary = last.starts_with('.') && last.ends_with(".tmp");
    !is_temporary && !name.split('/').any(|part| part.to_ascii_lowercase().starts_with(".git"))
}

/// Replaces a file by these bytes, or removes it; `old` is the file as the caller has read it.
///
/// # Errors
/// `Data` if another program has changed it meanwhile; those of the file system.
pub fn replace(workspace: &Workspace, name: &str, old: Option<&MemoryFile>, new: Option<&[u8]>) -> Result<()> {
    let sync = workspace.sync()?;
    let (top, below) = split(workspace, name)?;
    let (above, own) = (below.parent().unwrap_or(Path::new("")), below.file_name().unwrap_or_default());
    let dir =
        Beneath::open(&top, true).and_then(|top| top.make(above, sync)).at("open the folder of", Path::new(name))?;
    let is_current = read(workspace, name, None)?.as_ref() == old;
    let changed = || Fault::data(format!("{name} was changed by another program meanwhile; try again"));
    if !is_current {
        return Err(changed());
    }
    let done = match new {
        None => durable::remove_at(&dir, own, sync).map(|()| true),
        Some(bytes) => {
            let mode = old.map(|old| Mode::from_raw_mode(if old.is_executable { 0o755 } else { 0o644 }));
            let is_old =
                |stat: Option<&Stat>| stat.map(|stat| (stat.st_dev, stat.st_ino)) == old.map(|old| old.identity);
            durable::replace_if(&dir, own, &temp(own), bytes, mode, sync, is_old)
        }
    };
    if done.at("write", Path::new(name))? { Ok(()) } else { Err(changed()) }
}

fn temp(name: &OsStr) -> String {
    format!(".{}{TEMP}", name.to_string_lossy())
}

/// The real folder of memories, and the path below it.
fn split(workspace: &Workspace, name: &str) -> Result<(PathBuf, PathBuf)> {
    let top = workspace.path(FOLDER);
    let top = fs::canonicalize(&top).at("read", &top)?;
    Ok((top, Path::new(name).strip_prefix(FOLDER).unwrap_or(Path::new(name)).to_path_buf()))
}
