//! Temporary folders of programs: `.claw/tmp/<session>/<call>`. Only the holder of the session's lane makes and
//! removes them; what a killed holder has left is removed with the turn. A folder that goes gets another name first,
//! with a `~` in it: what cannot be removed is said, and in nobody's way.

use crate::core::fault::Result;
use crate::store::fs::durable;
use crate::store::fs::{At, io_fault};
use crate::store::workspace::Workspace;
use rustix::fs::{AtFlags, CWD, Dir, DirEntry, FileType, Mode, OFlags, chmod, fstat, openat, rmdir, statat, unlinkat};
use rustix::io::{Errno, Result as Done};
use rustix::path::Arg;
use std::ffi::CStr;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

const FOLDER: &str = ".claw/tmp";

/// A new, empty folder for a call.
///
/// # Errors
/// Where the disk cannot.
pub fn make(workspace: &Workspace, session: &str, call: u32) -> Result<PathBuf> {
    let folder = workspace.path(FOLDER).join(session);
    let path = folder.join(call.to_string());
    if path.exists() {
        put_away(workspace, &folder, &call.to_string());
    }
    fs::create_dir_all(&folder).at("make", &folder)?;
    fs::create_dir(&path).at("make", &path)?;
    Ok(path)
}

/// Removes everything that calls of this session have left. Nothing depends on it: what stays is said.
pub fn clear(workspace: &Workspace, session: &str) {
    put_away(workspace, &workspace.path(FOLDER), session);
}

/// Removes `name`, and what was put away of that name before.
fn put_away(workspace: &Workspace, folder: &Path, name: &str) {
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
    let away = format!("{name}~");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&away)
            && let Err(error) = remove(&entry.path())
        {
            let fault = io_fault("remove", &entry.path(), &error.into());
            workspace.world.say(&fault.hint("nobody needs it: remove it yourself").to_string());
        }
    }
}

/// Removes a folder and all that is in it, however deep: what lies in a folder is lifted to the top before that
/// folder goes. So no path becomes long, a few descriptors are enough, and nothing recurses. No link is followed.
fn remove(path: &Path) -> Done<()> {
    let mut heap = Heap { top: open_up(CWD, path)?, moves: 0, io_fault: Ok(()) };
    loop {
        let before = heap.moves;
        heap.io_fault = Ok(());
        for entry in Dir::read_from(&heap.top)? {
            heap.take(&entry?)?;
        }
        if heap.moves == before {
            break;
        }
    }
    heap.io_fault?;
    rmdir(path)
}

/// A folder that is being removed.
struct Heap {
    top: OwnedFd,
    /// How much was removed or lifted.
    moves: u64,
    /// Why something stays.
    io_fault: Done<()>,
}

impl Heap {
    /// Removes something at the top; of a folder what it can.
    fn take(&mut self, entry: &DirEntry) -> Done<()> {
        let name = entry.file_name();
        match kind(&self.top, entry) {
            None => {}
            Some(FileType::Directory) => match open_up(&self.top, name) {
                Ok(folder) => {
                    for entry in Dir::read_from(&folder)? {
                        self.lift(&folder, &entry?);
                    }
                    let done = unlinkat(&self.top, name, AtFlags::REMOVEDIR);
                    self.note(done);
                }
                other => self.note(other.map(drop)),
            },
            Some(_) => {
                let done = unlinkat(&self.top, name, AtFlags::empty());
                self.note(done);
            }
        }
        Ok(())
    }

    /// Removes a file in a folder, and lifts a folder out of it.
    fn lift(&mut self, folder: &OwnedFd, entry: &DirEntry) {
        let name = entry.file_name();
        let done = match kind(folder, entry) {
            None => return,
            Some(FileType::Directory) => match self.rename(folder, name) {
                // Whoever moves a folder must be able to write it.
                Err(Errno::ACCESS) => open_up(folder, name).and_then(|_| self.rename(folder, name)),
                other => other,
            },
            Some(_) => unlinkat(folder, name, AtFlags::empty()),
        };
        self.note(done);
    }

    fn rename(&mut self, folder: &OwnedFd, name: &CStr) -> Done<()> {
        loop {
            match durable::rename_at(folder, name, &self.top, &self.moves.to_string()) {
                Err(Errno::EXIST) => self.moves += 1,
                other => return other,
            }
        }
    }

    fn note(&mut self, done: Done<()>) {
        match done {
            Ok(()) => self.moves += 1,
            other => self.io_fault = other,
        }
    }
}

/// What something in a folder is; nothing where it is the folder itself, or the one above.
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

/// Opens a folder, also one that its program has closed, as caches do.
fn open_up(folder: impl AsFd, name: impl Arg) -> Done<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = openat(folder, name, flags | OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?;
    if !Mode::from_raw_mode(fstat(&place)?.st_mode).contains(Mode::RWXU) {
        // By the descriptor: whatever has this name by now.
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

    /// Folders in each other, some with a file, a link that leads out, and a closed folder.
    fn nest(top: &Path, depth: usize, outside: &Path) {
        let mut at = open_up(CWD, top).unwrap();
        for level in 0..depth {
            if level % 100 == 0 {
                drop(openat(&at, "1", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap());
                rustix::fs::symlinkat(outside, &at, "link").unwrap();
                mkdirat(&at, "0", Mode::empty()).unwrap();
            }
            mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = open_up(&at, "d").unwrap();
        }
    }

    #[test]
    fn folders_of_any_depth_are_removed_and_nothing_that_a_link_leads_to() {
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
        assert!(remove(&top).is_err(), "a link is no folder");
        assert!(outside.join("kept").exists());
    }

    #[test]
    fn a_call_has_an_empty_folder_whatever_was_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("claw.yaml"), "model: offline\n").unwrap();
        let workspace = Workspace::open(World::real().unwrap(), dir.path().to_path_buf(), true).unwrap();
        let names = |path: &str| {
            let entries = fs::read_dir(dir.path().join(path)).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        let path = make(&workspace, "a.b", 1).unwrap();
        fs::write(path.join("x"), "").unwrap();
        // Left by somebody who was killed while it was removed.
        fs::create_dir_all(dir.path().join(".claw/tmp/a.b~0/1/y")).unwrap();
        assert_eq!(make(&workspace, "a.b", 1).unwrap(), path);
        assert_eq!(names(".claw/tmp/a.b/1"), [""; 0]);
        make(&workspace, "a.bc", 1).unwrap();
        clear(&workspace, "a.b");
        assert_eq!(names(".claw/tmp"), ["a.bc"]);
    }
}
