//! A kernel lock on a file. Holding it *is* the claim; the kernel frees it when the holder dies, so there are no
//! pids, no leases and no time-outs.
//!
//! A lock is tried on a read-only descriptor, because closing a written one wakes waiters, also the
//! one that tried. The winner opens it for writing too: when it lets go, or is killed, the kernel
//! closes that descriptor, and whoever watches the folder is told.

use crate::core::fault::Result;
use crate::store::fs::At;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A lock that this process holds until it is dropped.
#[derive(Debug)]
pub(crate) struct FileLock {
    pub(crate) path: PathBuf,
    pub(crate) lock: File,
    pub(crate) write: Option<File>,
}

impl FileLock {
    /// Tries, and leaves no trace where it fails or is not armed.
    pub(crate) fn attempt(path: &Path, how: FlockOperation) -> Result<Option<Self>> {
        loop {
            let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::CLOEXEC;
            let lock = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).at("open", path)?);
            match flock(&lock, how) {
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => continue,
                other => other.at("lock", path)?,
            }
            // Somebody unlinked the file between open and lock: that lock guards nothing.
            if lock.metadata().at("read", path)?.nlink() > 0 {
                return Ok(Some(Self { path: path.to_path_buf(), lock, write: None }));
            }
        }
    }

    /// Opens the descriptor whose close will wake the waiters. Nobody unlinks the file meanwhile:
    /// that is done under its lock.
    pub(crate) fn arm(&mut self) -> Result<&File> {
        let write = File::options().write(true).open(&self.path).at("open", &self.path)?;
        Ok(self.write.insert(write))
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Unlock first, close the written descriptor second: the close wakes the waiters.
        let _ = flock(&self.lock, FlockOperation::Unlock);
        drop(self.write.take());
    }
}
