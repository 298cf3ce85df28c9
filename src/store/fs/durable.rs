//! Files that are there whole or not at all: publish by link, rename without replacing, sync.

use crate::core::config::Sync;
use crate::core::fault::{Fault, Result};
use crate::store::fs::At;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, unlinkat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Makes `dir/name` with these bytes, durable on return. False where a file of that name is there
/// already, which is then made durable instead: a repeated publish is a success.
///
/// # Errors
/// Before the file has its name nothing is there. After it, the message says so: the file may or may
/// not survive a power cut, and publishing it again settles that.
pub fn publish(dir: &Path, name: &str, tmp: &Path, bytes: &[u8], sync: Sync) -> Result<bool> {
    let target = dir.join(name);
    let fresh = match write_unnamed(dir, bytes, sync) {
        Ok(file) => {
            let own = format!("/proc/self/fd/{}", file.as_raw_fd());
            match rustix::fs::linkat(CWD, own.as_str(), CWD, &target, AtFlags::SYMLINK_FOLLOW) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                // No /proc: go the way of file systems without unnamed files.
                Err(Errno::NOENT) => publish_named(&target, tmp, name, bytes, sync)?,
                Err(e) => return Err(e).at("publish", &target),
            }
        }
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => publish_named(&target, tmp, name, bytes, sync)?,
        Err(e) => return Err(e).at("write into", dir),
    };
    sync_dir(dir, sync).map_err(|e| Fault { message: format!("{} is published, but {e}", target.display()), ..e })?;
    Ok(fresh)
}

fn write_unnamed(dir: &Path, bytes: &[u8], sync: Sync) -> std::result::Result<File, Errno> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR)?);
    write_synced(&mut file, bytes, sync).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    Ok(file)
}

fn publish_named(target: &Path, tmp: &Path, name: &str, bytes: &[u8], sync: Sync) -> Result<bool> {
    let own = tmp.join(format!("{name}.{}.tmp", std::process::id()));
    write_new(&own, bytes, sync)?;
    let linked = rustix::fs::linkat(CWD, &own, CWD, target, AtFlags::empty());
    let _ = fs::remove_file(&own);
    match linked {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(e) => Err(e).at("publish", target),
    }
}

/// Makes `name`, in the folder that `dir` is a descriptor of, a file with these bytes: whole or not at all, whatever
/// had that name before, and durable on return. Nothing is ever written through the old one, be it a link or a
/// file with other names. Replacing takes a second name for an instant: `temp`, which is the caller's alone; one
/// that a killed caller has left goes first.
///
/// # Errors
/// Where the file system refuses. Up to the last sync the old file is there.
pub fn replace_at(
    dir: impl AsFd,
    name: &OsStr,
    temp: &str,
    bytes: &[u8],
    mode: Option<Mode>,
    sync: Sync,
) -> io::Result<()> {
    let dir = dir.as_fd();
    match unlinkat(dir, temp, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    if !replace_unnamed(dir, name, temp, bytes, mode, sync)? {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut file = File::from(rustix::fs::openat(dir, temp, flags, PLAIN)?);
        let written = fill(&mut file, bytes, mode, sync);
        named(dir, temp, written.and_then(|()| Ok(rustix::fs::renameat(dir, temp, dir, name)?)))?;
    }
    match sync {
        Sync::Full => Ok(rustix::fs::fsync(dir)?),
        Sync::None => Ok(()),
    }
}

/// What people's files may be read and written by, before the umask.
const PLAIN: Mode = Mode::from_raw_mode(0o666);

/// False where the file system has no unnamed files, or there is no /proc to name them by.
fn replace_unnamed(
    dir: BorrowedFd,
    name: &OsStr,
    temp: &str,
    bytes: &[u8],
    mode: Option<Mode>,
    sync: Sync,
) -> io::Result<bool> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = match rustix::fs::openat(dir, ".", flags, PLAIN) {
        Ok(file) => File::from(file),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => return Ok(false),
        Err(e) => return Err(e.into()),
    };
    fill(&mut file, bytes, mode, sync)?;
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    let link = |name: &OsStr| rustix::fs::linkat(CWD, own.as_str(), dir, name, AtFlags::SYMLINK_FOLLOW);
    match link(name) {
        Ok(()) => return Ok(true),
        Err(Errno::EXIST) => {}
        Err(Errno::NOENT) => return Ok(false),
        Err(e) => return Err(e.into()),
    }
    link(OsStr::new(temp))?;
    let moved = rustix::fs::renameat(dir, temp, dir, name).map_err(Into::into);
    named(dir, temp, moved).map(|()| true)
}

fn fill(file: &mut File, bytes: &[u8], mode: Option<Mode>, sync: Sync) -> io::Result<()> {
    if let Some(mode) = mode {
        rustix::fs::fchmod(&*file, mode)?;
    }
    write_synced(file, bytes, sync)
}

/// Takes the second name away again where what was to be done with it has failed.
fn named(dir: BorrowedFd, temp: &str, done: io::Result<()>) -> io::Result<()> {
    done.inspect_err(|_| {
        let _ = unlinkat(dir, temp, AtFlags::empty());
    })
}

/// Writes `path` anew, synced; its name is not durable until its directory is.
///
/// # Errors
/// Where it cannot be written.
pub fn write_new(path: &Path, bytes: &[u8], sync: Sync) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).at("make", path)?);
    write_synced(&mut file, bytes, sync).at("write", path)
}

fn write_synced(file: &mut File, bytes: &[u8], sync: Sync) -> io::Result<()> {
    file.write_all(bytes)?;
    match sync {
        Sync::Full => file.sync_data(),
        Sync::None => Ok(()),
    }
}

/// Appends `bytes` to `path` with one write, making the file where it is missing; durable on return,
/// its name too unless the caller knows that it `is_named`.
///
/// # Errors
/// Where it cannot be written or synced. What could not be synced is cut off again, so that nobody
/// takes it for durable later.
pub fn append(path: &Path, bytes: &[u8], is_named: bool, sync: Sync) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).at("open", path)?);
    append_to(&mut file, bytes, sync).at("write", path)?;
    if is_named {
        return Ok(());
    }
    sync_dir(path.parent().unwrap_or(path), sync)
}

/// Appends `bytes`, with one write, to a file that is open for that; durable on return, its name not.
///
/// # Errors
/// As [`append`].
pub fn append_to(file: &mut File, bytes: &[u8], sync: Sync) -> io::Result<()> {
    let before = file.metadata()?.len();
    if let Err(error) = write_synced(file, bytes, sync) {
        // Somebody else may have written behind it.
        if file.metadata().is_ok_and(|meta| meta.len() <= before + bytes.len() as u64) {
            let _ = file.set_len(before);
        }
        return Err(error);
    }
    Ok(())
}

/// Cuts zeros off the end of a file that now has these bytes, unless somebody has written to it since: a power cut
/// leaves them where the length was durable and what had been written was not. Durable with the next append.
///
/// # Errors
/// Where it cannot be cut.
pub fn truncate_zeros(file: &File, bytes: &mut Vec<u8>) -> io::Result<()> {
    let kept = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if kept < bytes.len() && file.metadata()?.len() == bytes.len() as u64 {
        file.set_len(kept as u64)?;
        bytes.truncate(kept);
    }
    Ok(())
}

/// Makes what somebody else has written into `path` durable, its name too. A file that is not there
/// has nothing to lose.
///
/// # Errors
/// Where the disk cannot.
pub fn sync_file(path: &Path, sync: Sync) -> Result<()> {
    if sync == Sync::None {
        return Ok(());
    }
    match File::open(path).and_then(|file| file.sync_data()) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other.at("sync", path).and_then(|()| sync_dir(path.parent().unwrap_or(path), sync)),
    }
}

/// Makes the names in `dir` durable.
///
/// # Errors
/// Where the disk cannot.
pub fn sync_dir(dir: &Path, sync: Sync) -> Result<()> {
    match sync {
        Sync::Full => File::open(dir).and_then(|d| d.sync_all()).at("sync", dir),
        Sync::None => Ok(()),
    }
}

/// Folders that this process has found durable: by name, inode and time of birth, so that one that is
/// made anew is another one.
#[derive(Debug, Default)]
pub struct DurableDirs(Mutex<HashMap<PathBuf, (Identity, Sync)>>);

/// Inode and time of birth.
type Identity = (u64, Option<SystemTime>);

impl DurableDirs {
    /// As [`make_dir`], once for each folder.
    ///
    /// # Errors
    /// Where the disk cannot.
    pub fn make(&self, dir: &Path, levels: usize, sync: Sync) -> Result<()> {
        if !self.has(dir, sync) {
            make_dir(dir, levels, sync)?;
            self.add(dir, sync);
        }
        Ok(())
    }

    /// Moves a finished file into the folder of its day. While that is empty, its name may not be
    /// durable: whoever made it may have been killed.
    ///
    /// # Errors
    /// Where the file system refuses.
    pub fn move_into_day(&self, from: &Path, to: &Path, sync: Sync) -> Result<()> {
        let day = to.parent().unwrap_or(to);
        if !self.has(day, sync) {
            if fs::read_dir(day).is_ok_and(|mut entries| entries.next().is_none()) {
                make_dir(day, 1, sync)?;
            }
            move_or_remove(from, to)?;
            self.add(day, sync);
            return Ok(());
        }
        move_or_remove(from, to)
    }

    /// One that was made while nothing was synced is not known to be durable.
    fn has(&self, dir: &Path, sync: Sync) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(dir).copied();
        let known = known.filter(|(_, was)| *was == Sync::Full || sync == Sync::None).map(|(identity, _)| identity);
        known.is_some() && known == identity(dir)
    }

    fn add(&self, dir: &Path, sync: Sync) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(identity(dir).map(|identity| (dir.to_path_buf(), (identity, sync))));
    }
}

fn identity(dir: &Path) -> Option<Identity> {
    let meta = fs::metadata(dir).ok()?;
    Some((meta.ino(), meta.created().ok()))
}

/// Makes `dir` where it is missing, and its name and those of the folders above it durable, `levels` of
/// them: whoever had made them may have been killed before that.
///
/// # Errors
/// Where the disk cannot.
pub fn make_dir(dir: &Path, levels: usize, sync: Sync) -> Result<()> {
    fs::create_dir_all(dir).at("make", dir)?;
    dir.ancestors().skip(1).take(levels).try_for_each(|above| sync_dir(above, sync))
}

/// What a rename found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It is there now.
    Yes,
    /// There was nothing to move.
    Gone,
    /// The new name is taken; nothing was moved.
    Taken,
}

/// Renames without ever replacing; makes the target's directory where it is missing.
///
/// # Errors
/// Where the file system refuses.
pub fn rename(from: &Path, to: &Path) -> Result<Moved> {
    for _ in 0..2 {
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(Moved::Yes),
            Err(Errno::EXIST) => return Ok(Moved::Taken),
            Err(Errno::NOENT) => match to.parent() {
                Some(dir) if !dir.exists() => {
                    // Once a day; what moves in must not vanish with its folder.
                    let missing = dir.ancestors().take_while(|dir| !dir.exists()).count();
                    make_dir(dir, missing, Sync::Full)?;
                }
                _ => return Ok(Moved::Gone),
            },
            Err(e) => return Err(e).at("move", from),
        }
    }
    Ok(Moved::Gone)
}

/// Renames from one open folder into another, without ever replacing. Nothing is synced: for what may be lost.
///
/// # Errors
/// What `renameat2(2)` says.
pub fn rename_at(from: impl AsFd, name: &CStr, to: impl AsFd, new: &str) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(from, name, to, new, RenameFlags::NOREPLACE)
}

/// Moves a finished file to its last place; a copy that was there first makes this one needless.
///
/// # Errors
/// Where the file system refuses.
pub fn move_or_remove(from: &Path, to: &Path) -> Result<()> {
    if rename(from, to)? == Moved::Taken {
        remove(from)?;
    }
    Ok(())
}

/// Removes a file; one that is gone already is fine.
///
/// # Errors
/// Where the file system refuses.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e).at("remove", path),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_has_a_name_is_ever_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let read = |name: &str| fs::read_to_string(at(name)).unwrap();
        assert!(publish(dir.path(), "a", dir.path(), b"first", Sync::None).unwrap());
        assert!(!publish(dir.path(), "a", dir.path(), b"second", Sync::None).unwrap());
        assert!(!publish_named(&at("a"), dir.path(), "a", b"third", Sync::None).unwrap());
        assert_eq!(read("a"), "first");
        fs::write(at("b"), "other").unwrap();
        assert!(matches!(rename(&at("b"), &at("a")).unwrap(), Moved::Taken));
        assert_eq!((read("a"), read("b")), ("first".to_owned(), "other".to_owned()));
        assert!(matches!(rename(&at("b"), &at("new/day/b")).unwrap(), Moved::Yes));
        assert!(matches!(rename(&at("b"), &at("c")).unwrap(), Moved::Gone));
        assert_eq!(read("new/day/b"), "other");
    }
}
