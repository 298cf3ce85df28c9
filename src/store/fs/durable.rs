//! Durable writes: publish a file whole by linking it, rename without replacing, append, sync.

use crate::core::config::Sync;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::fs::At;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, Stat, statat, unlinkat};
use rustix::io::Errno;
use std::ffi::{CStr, OsStr};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

/// The most files that are synced at the same time.
const SYNCS: usize = 16;

/// Creates `dir/name` with these bytes, durable on return. If a file of that name exists, makes that one durable and
/// returns false: publishing again is a success.
///
/// # Errors
/// If the file could not be linked, nothing was created. If only the sync failed, the message says that the file is
/// published: it may not survive a power cut until it is published again.
pub fn publish(dir: &Path, name: &str, tmp: &Path, bytes: &[u8], sync: Sync) -> Result<bool> {
    let target = dir.join(name);
    let fresh = match write_unnamed(dir, bytes, sync) {
        Ok(file) => match link_unnamed(&file, &target)? {
            Some(fresh) => fresh,
            None => publish_named(&target, tmp, name, bytes, sync)?,
        },
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => publish_named(&target, tmp, name, bytes, sync)?,
        Err(e) => return Err(e).at("write into", dir),
    };
    sync_dir(dir, sync).map_err(|e| unsynced(&target, e))?;
    Ok(fresh)
}

fn unsynced(target: &Path, fault: Fault) -> Fault {
    Fault { message: format!("{} is published, but {fault}", target.display()), ..fault }
}

/// Gives an unnamed file its name. False if a file of that name exists; `None` without /proc, through which it is
/// linked.
fn link_unnamed(file: &File, target: &Path) -> Result<Option<bool>> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    match rustix::fs::linkat(CWD, own.as_str(), CWD, target, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => Ok(Some(true)),
        Err(Errno::EXIST) => Ok(Some(false)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e).at("publish", target),
    }
}

/// Creates files of these names and contents in `dir`, each as [`publish`] does, and syncs them at the same time: a
/// disk then flushes once for several of them. Returns the result of each.
#[must_use]
pub fn publish_all(dir: &Path, files: &[(String, Vec<u8>)], tmp: &Path, sync: Sync) -> Vec<Result<bool>> {
    let written: Vec<Option<File>> =
        files.iter().map(|(_, bytes)| write_unnamed(dir, bytes, Sync::None).ok()).collect();
    let synced = sync_files(&written, sync);
    let mut linked = Vec::with_capacity(files.len());
    for ((name, bytes), (file, synced)) in files.iter().zip(written.into_iter().zip(synced)) {
        let own = synced.at("write into", dir).and_then(|()| match file {
            Some(file) => link_unnamed(&file, &dir.join(name)),
            None => Ok(None),
        });
        // Where unnamed files cannot be made, one file after the other.
        linked.push(own.and_then(|own| own.map_or_else(|| publish(dir, name, tmp, bytes, sync), Ok)));
    }
    if let Err(fault) = sync_dir(dir, sync) {
        for ((name, _), linked) in files.iter().zip(&mut linked) {
            if linked.is_ok() {
                *linked = Err(unsynced(&dir.join(name), fault.clone()));
            }
        }
    }
    linked
}

/// Syncs the contents of files, several at once.
fn sync_files(files: &[Option<File>], sync: Sync) -> Vec<io::Result<()>> {
    let one = |file: &Option<File>| match file {
        Some(file) if sync == Sync::Full => file.sync_data(),
        _ => Ok(()),
    };
    let all = |part: &[Option<File>]| part.iter().map(one).collect::<Vec<_>>();
    if sync == Sync::None || files.len() < 2 {
        return all(files);
    }
    std::thread::scope(|scope| {
        let start = |part| {
            let thread = std::thread::Builder::new().stack_size(64 << 10).spawn_scoped(scope, move || all(part));
            (part, thread.ok())
        };
        let threads: Vec<_> = files.chunks(files.len().div_ceil(SYNCS)).map(start).collect();
        let join = |(part, thread): (_, Option<std::thread::ScopedJoinHandle<'_, Vec<_>>>)| {
            // Without a thread, this one does its work.
            thread.and_then(|thread| thread.join().ok()).unwrap_or_else(|| all(part))
        };
        threads.into_iter().flat_map(join).collect()
    })
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

/// Replaces `name` in the folder `dir` by a new file with these bytes, atomically and durable on return. Nothing is
/// written through the old entry, which may be a link or have other names. `temp` is a second name in the same folder,
/// used for an instant and only by this caller; a leftover of a killed caller is removed first.
///
/// # Errors
/// Those of the file system. Unless only the last sync failed, the old file is still there.
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
        let mut file = File::from(rustix::fs::openat(dir, temp, flags, DEFAULT_MODE)?);
        let written = write_with_mode(&mut file, bytes, mode, sync);
        remove_on_error(dir, temp, written.and_then(|()| Ok(rustix::fs::renameat(dir, temp, dir, name)?)))?;
    }
    match sync {
        Sync::Full => Ok(rustix::fs::fsync(dir)?),
        Sync::None => Ok(()),
    }
}

/// Replaces `dir/name` by a file with these bytes that only its owner may read, as [`replace_at`].
///
/// # Errors
/// Those of the file system.
pub fn replace(dir: &Path, name: &str, bytes: &[u8], sync: Sync) -> Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(dir, flags, Mode::empty()).at("open", dir)?;
    let temp = format!(".{name}.{}.tmp", std::process::id());
    replace_at(folder, OsStr::new(name), &temp, bytes, Some(Mode::RUSR | Mode::WUSR), sync).at("write", &dir.join(name))
}

/// As [`replace_at`], if the entry is still the expected one. The two files change places in one step, and the old one
/// is looked at afterwards: a file that another program has saved in the meantime goes back to its place. `is_expected`
/// is called with the entry that is replaced, `None` if there is none. Returns false if it was not the expected one.
///
/// # Errors
/// Those of the file system.
pub fn replace_if(
    dir: impl AsFd,
    name: &OsStr,
    temp: &str,
    bytes: &[u8],
    mode: Option<Mode>,
    sync: Sync,
    is_expected: impl Fn(Option<&Stat>) -> bool,
) -> io::Result<bool> {
    let dir = dir.as_fd();
    match unlinkat(dir, temp, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut file = File::from(rustix::fs::openat(dir, temp, flags, DEFAULT_MODE)?);
    let written = write_with_mode(&mut file, bytes, mode, sync);
    remove_on_error(dir, temp, written)?;
    let is_replaced = remove_on_error(dir, temp, exchange(dir, name, temp, &is_expected))?;
    if sync == Sync::Full {
        rustix::fs::fsync(dir)?;
    }
    Ok(is_replaced)
}

fn exchange(
    dir: BorrowedFd,
    name: &OsStr,
    temp: &str,
    is_expected: &impl Fn(Option<&Stat>) -> bool,
) -> io::Result<bool> {
    let remove = || unlinkat(dir, temp, AtFlags::empty());
    if is_expected(None) {
        return match rustix::fs::renameat_with(dir, temp, dir, name, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(remove().map(|()| false)?),
            Err(e) => Err(e.into()),
        };
    }
    let swap = || rustix::fs::renameat_with(dir, temp, dir, name, RenameFlags::EXCHANGE);
    match swap() {
        Ok(()) => {}
        Err(Errno::NOENT) => return Ok(remove().map(|()| false)?),
        Err(e) => return Err(e.into()),
    }
    let old = statat(dir, temp, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_old = is_expected(Some(&old));
    if !is_old {
        swap()?;
    }
    remove()?;
    Ok(is_old)
}

/// Removes `name` from the folder `dir`; durable on return. A missing file is no error.
///
/// # Errors
/// Those of the file system.
pub fn remove_at(dir: impl AsFd, name: &OsStr, sync: Sync) -> io::Result<()> {
    match unlinkat(&dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) if sync == Sync::Full => Ok(rustix::fs::fsync(dir)?),
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Moves `name` from one open folder into another, without replacing; durable on return. False if the target exists.
///
/// # Errors
/// Those of the file system.
pub fn move_at(from: impl AsFd, name: &OsStr, to: impl AsFd, new: &OsStr, sync: Sync) -> io::Result<bool> {
    match rustix::fs::renameat_with(&from, name, &to, new, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST) => return Ok(false),
        moved => moved?,
    }
    if sync == Sync::Full {
        rustix::fs::fsync(to)?;
        rustix::fs::fsync(from)?;
    }
    Ok(true)
}

/// The mode of files that people edit, before the umask.
const DEFAULT_MODE: Mode = Mode::from_raw_mode(0o666);

/// False where the file system has no unnamed files, or /proc is missing, by which they are linked.
fn replace_unnamed(
    dir: BorrowedFd,
    name: &OsStr,
    temp: &str,
    bytes: &[u8],
    mode: Option<Mode>,
    sync: Sync,
) -> io::Result<bool> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = match rustix::fs::openat(dir, ".", flags, DEFAULT_MODE) {
        Ok(file) => File::from(file),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => return Ok(false),
        Err(e) => return Err(e.into()),
    };
    write_with_mode(&mut file, bytes, mode, sync)?;
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
    remove_on_error(dir, temp, moved).map(|()| true)
}

fn write_with_mode(file: &mut File, bytes: &[u8], mode: Option<Mode>, sync: Sync) -> io::Result<()> {
    if let Some(mode) = mode {
        rustix::fs::fchmod(&*file, mode)?;
    }
    write_synced(file, bytes, sync)
}

/// Removes the second name again if the step that needed it has failed.
fn remove_on_error<T>(dir: BorrowedFd, temp: &str, done: io::Result<T>) -> io::Result<T> {
    done.inspect_err(|_| {
        let _ = unlinkat(dir, temp, AtFlags::empty());
    })
}

/// Writes `path`, truncating an existing file, and syncs the content. The name is durable only once the directory is
/// synced.
///
/// # Errors
/// If it cannot be written.
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

/// Appends `bytes` to `path` with one write, creating a missing file. Durable on return; so is the name, unless
/// `is_named` says that it already is.
///
/// # Errors
/// If it cannot be written or synced. Bytes that could not be synced are truncated again, so that no reader takes them
/// for durable.
pub fn append(path: &Path, bytes: &[u8], is_named: bool, sync: Sync) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).at("open", path)?);
    append_to(&mut file, bytes, sync).at("write", path)?;
    if is_named {
        return Ok(());
    }
    sync_dir(path.parent().unwrap_or(path), sync)
}

/// Appends `bytes` with one write to a file that is open for appending. The content is durable on return, the name is
/// not.
///
/// # Errors
/// As [`append`].
pub fn append_to(file: &mut File, bytes: &[u8], sync: Sync) -> io::Result<()> {
    let before = file.metadata()?.len();
    if let Err(error) = write_synced(file, bytes, sync) {
        // Unless another process has appended behind it.
        if file.metadata().is_ok_and(|meta| meta.len() <= before + bytes.len() as u64) {
            let _ = file.set_len(before);
        }
        return Err(error);
    }
    Ok(())
}

/// Truncates trailing zeros of a file, and of `bytes`, its content as the caller has read it; leaves both if the file
/// has grown since. A power cut leaves zeros where the length was durable and the data was not. Durable with the next
/// append.
///
/// # Errors
/// If the file cannot be truncated.
pub fn truncate_zeros(file: &File, bytes: &mut Vec<u8>) -> io::Result<()> {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if end < bytes.len() && file.metadata()?.len() == bytes.len() as u64 {
        file.set_len(end as u64)?;
        bytes.truncate(end);
    }
    Ok(())
}

/// Syncs content and name of a file that another process has written. A missing file is no error.
///
/// # Errors
/// If the sync fails.
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
/// If the sync fails.
pub fn sync_dir(dir: &Path, sync: Sync) -> Result<()> {
    match sync {
        Sync::Full => File::open(dir).and_then(|d| d.sync_all()).at("sync", dir),
        Sync::None => Ok(()),
    }
}

/// Creates `dir` and the folders above it where they are missing, and makes the lowest `levels` of their names durable,
/// also of existing ones: the process that created them may have been killed before it synced them.
///
/// # Errors
/// If a folder cannot be created or synced.
pub fn make_dir(dir: &Path, levels: usize, sync: Sync) -> Result<()> {
    fs::create_dir_all(dir).at("make", dir)?;
    dir.ancestors().skip(1).take(levels).try_for_each(|above| sync_dir(above, sync))
}

/// Writes everything in the file system of `dir` to the disk: one call for a tree of many files.
///
/// # Errors
/// If the sync fails.
pub fn sync_tree(dir: &Path) -> Result<()> {
    let folder = File::open(dir).at("open", dir)?;
    rustix::fs::syncfs(&folder).at("sync", dir)
}

/// Renames the folder `from` to `to`, which may be an empty folder. The caller syncs the folder above.
///
/// # Errors
/// `Failed` if `to` is a folder with entries, or another file; those of the file system.
pub fn place_dir(from: &Path, to: &Path) -> Result<()> {
    match rustix::fs::renameat(CWD, from, CWD, to) {
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {
            Err(Fault::new(Kind::Failed, format!("{} is not an empty folder", to.display())))
        }
        other => other.at("make", to),
    }
}

/// The result of a rename that never replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// The file was moved.
    Yes,
    /// The source does not exist.
    Gone,
    /// The target exists; nothing was moved.
    Taken,
}

/// Renames without replacing. Creates the target's directory where it is missing.
///
/// # Errors
/// Those of the file system.
pub fn rename(from: &Path, to: &Path) -> Result<Moved> {
    for _ in 0..2 {
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(Moved::Yes),
            Err(Errno::EXIST) => return Ok(Moved::Taken),
            Err(Errno::NOENT) => match to.parent() {
                Some(dir) if !dir.exists() => {
                    // At most once a day. A file moved into it must not be lost with the folder.
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

/// Renames from one open folder into another, without replacing and without a sync: for files that may be lost.
///
/// # Errors
/// Those of `renameat2(2)`.
pub fn rename_at(from: impl AsFd, name: &CStr, to: impl AsFd, new: &str) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(from, name, to, new, RenameFlags::NOREPLACE)
}

/// Renames `from` to `to`; if `to` exists, it is a copy, and `from` is removed.
///
/// # Errors
/// Those of the file system.
pub fn move_or_remove(from: &Path, to: &Path) -> Result<()> {
    if rename(from, to)? == Moved::Taken {
        remove(from)?;
    }
    Ok(())
}

/// Removes a file. A missing file is no error.
///
/// # Errors
/// Those of the file system.
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
    fn files_published_together_have_the_result_of_each() {
        let dir = tempfile::tempdir().unwrap();
        let file = |n: usize| (format!("f{n}"), vec![b'x'; n]);
        publish(dir.path(), "f7", dir.path(), b"first", Sync::Full).unwrap();
        let files: Vec<_> = (0..40).map(file).collect();
        let fresh: Vec<bool> =
            publish_all(dir.path(), &files, dir.path(), Sync::Full).into_iter().map(Result::unwrap).collect();
        assert_eq!(fresh, (0..40).map(|n| n != 7).collect::<Vec<_>>());
        assert_eq!(fs::read(dir.path().join("f7")).unwrap(), b"first");
        assert!((0..40).filter(|n| *n != 7).all(|n| fs::read(dir.path().join(format!("f{n}"))).unwrap().len() == n));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 40);
        let nowhere = publish_all(&dir.path().join("none"), &files[..2], dir.path(), Sync::Full);
        assert!(nowhere.iter().all(Result::is_err));
    }

    #[test]
    fn file_that_is_not_the_expected_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let folder = File::open(dir.path()).unwrap();
        let replace = |text: &str, expected: Option<u64>| {
            let is_expected = |stat: Option<&Stat>| stat.map(|stat| stat.st_ino) == expected;
            replace_if(&folder, OsStr::new("a"), ".t", text.as_bytes(), None, Sync::None, is_expected).unwrap()
        };
        let inode = || rustix::fs::stat(at("a")).unwrap().st_ino;
        assert!(replace("first", None));
        // Another program has made it, or saved it, or removed it meanwhile.
        assert!(!replace("second", None));
        assert!(!replace("second", Some(inode() + 1)));
        assert_eq!(fs::read_to_string(at("a")).unwrap(), "first");
        assert!(replace("second", Some(inode())));
        assert_eq!(fs::read_to_string(at("a")).unwrap(), "second");
        let old = inode();
        fs::remove_file(at("a")).unwrap();
        assert!(!replace("third", Some(old)));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn publish_and_rename_never_replace_an_existing_file() {
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
