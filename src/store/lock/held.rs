//! A kernel lock (`flock(2)`) on a file. Holding it *is* the claim. The kernel releases it when the holder dies, so that
//! there are no pid files, leases or time-outs.
//!
//! The lock is attempted on a read-only descriptor: closing a writable one wakes the waiters, including the process that
//! made the attempt. The holder opens a writable descriptor as well. When it releases the lock or is killed, that
//! descriptor is closed, which inotify reports to every process that watches the folder.

use crate::core::fault::Result;
use crate::store::fs::At;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// A lock that this process holds until it is dropped.
#[derive(Debug)]
pub(crate) struct FileLock {
    pub(crate) path: PathBuf,
    pub(crate) lock: File,
    pub(crate) write: Option<File>,
    /// Other processes hold the lock too, so that it is only closed: it is free once all of them have closed it.
    pub(crate) is_shared: AtomicBool,
}

impl FileLock {
    /// Attempts the lock; `None` if another process holds it. Without [`FileLock::arm`], its release wakes no waiter.
    pub(crate) fn attempt(path: &Path, how: FlockOperation) -> Result<Option<Self>> {
        loop {
            let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::CLOEXEC;
            let lock = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).at("open", path)?);
            match flock(&lock, how) {
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => continue,
                other => other.at("lock", path)?,
            }
            // If the file was unlinked between open and lock, the lock excludes no other process.
            if lock.metadata().at("read", path)?.nlink() > 0 {
                let is_shared = AtomicBool::new(false);
                return Ok(Some(Self { path: path.to_path_buf(), lock, write: None, is_shared }));
            }
        }
    }

    /// Opens the descriptor whose close wakes the waiters. The path still names the locked file, because a lock file is
    /// only unlinked under its lock.
    pub(crate) fn arm(&mut self) -> Result<&File> {
        let write = File::options().write(true).open(&self.path).at("open", &self.path)?;
        Ok(self.write.insert(write))
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Unlock before closing the writable descriptor: the close wakes the waiters.
        if !*self.is_shared.get_mut() {
            let _ = flock(&self.lock, FlockOperation::Unlock);
        }
        drop(self.write.take());
    }
}
