//! Temporary folders of programs: `.claw/tmp/<session>/<call>`. Only the holder of the session's lane makes and removes
//! them; folders of a killed holder are removed with the turn. A folder is renamed before its removal, to a name with a
//! `~`: a folder that cannot be removed is reported, and does not block the name.

use crate::core::fault::Result;
use crate::store::fs::durable;
use crate::store::fs::{At, io_fault};
use crate::store::workspace::Workspace;
use rustix::fs::{AtFlags, CWD, Dir, DirEntry, FileType, Mode, OFlags, chmod, fstat, openat, rmdir, statat, unlinkat};
use rustix::io::{Errno, Result as IoResult};
use rustix::path::Arg;
use std::ffi::CStr;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The folder of all temporary folders, in the workspace.
pub const FOLDER: &str = ".claw/tmp";

/// Makes a new, empty folder for a call.
///
/// # Errors
/// On a disk error.
pub fn make(workspace: &Workspace, session: &str, call: u32) -> Result<PathBuf> {
    let folder = workspace.path(FOLDER).join(session);
    let path = folder.join(call.to_string());
    if path.exists() {
        discard(workspace, &folder, &call.to_string());
    }
    fs::create_dir_all(&folder).at("make", &folder)?;
    fs::create_dir(&path).at("make", &path)?;
    Ok(path)
}

/// Removes all temporary folders of this session. A folder that cannot be removed is reported; nothing depends on it.
pub fn clear(workspace: &Workspace, session: &str) {
    discard(workspace, &workspace.path(FOLDER), session);
}

/// Renames the folder `name` to `name~N`, and removes it with all earlier ones.
fn discard(workspace: &Workspace, folder: &Path, name: &str) {
    let path = folder.join(name);
    if path.exists() {
        let mut places = (0u32..).map(|number| folder.join(format!("{name}~{number}")));
        let moved = places.find_map(|place| match durable::rename(&path, &place) {
            Ok(durable::Moved::Taken) => None,
            other => Some(other),
        });
        if let Some(Err(fault)) = moved {
            workspace.world.say(&fault.to_string());
        }
    }
    let prefix = format!("{name}~");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix)
            && let Err(error) = remove(&entry.path())
        {
            let fault = io_fault("remove", &entry.path(), &error.into());
            workspace.world.say(&fault.hint("it is not used any more: remove it by hand").to_string());
        }
    }
}

/// Removes a folder tree of any depth. The subfolders of each folder are moved to the top before the folder is removed:
/// so paths stay short, a few descriptors suffice, and nothing recurses. No link is followed.
fn remove(path: &Path) -> IoResult<()> {
    let mut removal = Removal { top: open_folder(CWD, path)?, moves: 0, error: Ok(()) };
    loop {
        let before = removal.moves;
        removal.error = Ok(());
        for entry in Dir::read_from(&removal.top)? {
            removal.remove_entry(&entry?)?;
        }
        if removal.moves == before {
            break;
        }
    }
    removal.error?;
    rmdir(path)
}

/// A folder tree that is being removed.
struct Removal {
    top: OwnedFd,
    /// The number of removed and moved entries.
    moves: u64,
    /// The last error of the current pass.
    error: IoResult<()>,
}

impl Removal {
    /// Removes an entry at the top. A folder is emptied first, as far as possible.
    fn remove_entry(&mut self, entry: &DirEntry) -> IoResult<()> {
        let name = entry.file_name();
        match kind(&self.top, entry) {
            None => {}
            Some(FileType::Directory) => match open_folder(&self.top, name) {
                Ok(folder) => {
                    for entry in Dir::read_from(&folder)? {
                        self.lift(&folder, &entry?);
                    }
                    let done = unlinkat(&self.top, name, AtFlags::REMOVEDIR);
                    self.count(done);
                }
                other => self.count(other.map(drop)),
            },
            Some(_) => {
                let done = unlinkat(&self.top, name, AtFlags::empty());
                self.count(done);
            }
        }
        Ok(())
    }

    /// Removes a file from a folder, or moves a subfolder to the top.
    fn lift(&mut self, folder: &OwnedFd, entry: &DirEntry) {
        let name = entry.file_name();
        let done = match kind(folder, entry) {
            None => return,
            Some(FileType::Directory) => match self.rename(folder, name) {
                // Moving a folder requires write permission on it.
                Err(Errno::ACCESS) => open_folder(folder, name).and_then(|_| self.rename(folder, name)),
                other => other,
            },
            Some(_) => unlinkat(folder, name, AtFlags::empty()),
        };
        self.count(done);
    }

    fn rename(&mut self, folder: &OwnedFd, name: &CStr) -> IoResult<()> {
        loop {
            match durable::rename_at(folder, name, &self.top, &self.moves.to_string()) {
                Err(Errno::EXIST) => self.moves += 1,
                other => return other,
            }
        }
    }

    fn count(&mut self, done: IoResult<()>) {
        match done {
            Ok(()) => self.moves += 1,
            other => self.error = other,
        }
    }
}

/// The type of an entry; `None` for `.` and `..`.
fn kind(folder: &OwnedFd, entry: &DirEntry) -> Option<FileType> {
    let name = entry.file_name();
    match entry.file_type() {
        _ if matches!(name.to_bytes(), b"." | b"..") => None,
        FileType::Unknown => {
            statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| FileType::from_raw_mode(stat.st_mode))
        }
        known => Some(known),
    }
}

/// Opens a folder, even if its program has removed its permissions, as caches do.
fn open_folder(folder: impl AsFd, name: impl Arg) -> IoResult<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = openat(folder, name, flags | OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?;
    if !Mode::from_raw_mode(fstat(&place)?.st_mode).contains(Mode::RWXU) {
        // Through the descriptor: the name may have another folder by now.
        chmod(format!("/proc/self/fd/{}", place.as_raw_fd()), Mode::RWXU)?;
    }
    openat(&place, ".", flags | OFlags::RDONLY, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use rustix::fs::mkdirat;
    use rustix::process::{Resource, getrlimit};
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// Nested folders, some of which contain a file, a link that leads out, and a folder without permissions.
    fn nest(top: &Path, depth: usize, outside: &Path) {
        let mut at = open_folder(CWD, top).unwrap();
        for level in 0..depth {
            if level % 100 == 0 {
                drop(openat(&at, "1", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap());
                rustix::fs::symlinkat(outside, &at, "link").unwrap();
                mkdirat(&at, "0", Mode::empty()).unwrap();
            }
            mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = open_folder(&at, "d").unwrap();
        }
    }

    #[test]
    fn folders_of_any_depth_are_removed_and_link_targets_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "").unwrap();
        let depth = usize::try_from(getrlimit(Resource::Nofile).current.unwrap_or(4096)).unwrap().clamp(4096, 6000);
        let top = dir.path().join("top");
        fs::create_dir(&top).unwrap();
        nest(&top, depth, &outside);
        fs::set_permissions(&top, fs::Permissions::from_mode(0o000)).unwrap();
        remove(&top).unwrap();
        assert!(!top.exists() && outside.join("kept").exists());
        symlink(&outside, &top).unwrap();
        assert!(remove(&top).is_err(), "a link is not a folder");
        assert!(outside.join("kept").exists());
    }

    #[test]
    fn call_gets_an_empty_folder_even_after_a_killed_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("claw.yaml"), "model: offline\n").unwrap();
        let workspace = Workspace::open(World::real().unwrap(), dir.path().to_path_buf(), true).unwrap();
        let names = |path: &str| {
            let entries = fs::read_dir(dir.path().join(path)).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        let path = make(&workspace, "a.b", 1).unwrap();
        fs::write(path.join("x"), "").unwrap();
        // Left by a process that was killed during the removal.
        fs::create_dir_all(dir.path().join(".claw/tmp/a.b~0/1/y")).unwrap();
        assert_eq!(make(&workspace, "a.b", 1).unwrap(), path);
        assert_eq!(names(".claw/tmp/a.b/1"), [""; 0]);
        make(&workspace, "a.bc", 1).unwrap();
        clear(&workspace, "a.b");
        assert_eq!(names(".claw/tmp"), ["a.bc"]);
    }
}
