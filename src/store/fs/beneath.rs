//! Opening files confined to a folder: the kernel resolves every path from the folder's descriptor (`openat2(2)`,
//! `RESOLVE_BENEATH`) in the same call that opens it, so that no link can be swapped between a check and a use.

use crate::core::config::Sync;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::{Errno, Result};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Attempts at a path that changes while the kernel resolves it (`EAGAIN`).
const TRIES: usize = 16;

/// An open folder, from which paths are resolved.
#[derive(Debug)]
pub struct Beneath {
    folder: OwnedFd,
    links: ResolveFlags,
}

impl Beneath {
    /// Opens the folder at `path`, which is absolute and canonical: a link in it was put there after the caller
    /// resolved it, and is refused. Links below the folder are followed while they stay below it; with `is_plain`,
    /// none is followed.
    ///
    /// # Errors
    /// `NOSYS` before Linux 5.6, which cannot confine paths; other errors of `openat2(2)`.
    pub fn open(path: &Path, is_plain: bool) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = retried(|| openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS))?;
        Ok(Self::of(folder, is_plain))
    }

    /// As [`Beneath::open`], for a folder that is open already.
    #[must_use]
    pub fn of(folder: OwnedFd, is_plain: bool) -> Self {
        Self { folder, links: if is_plain { ResolveFlags::NO_SYMLINKS } else { ResolveFlags::NO_MAGICLINKS } }
    }

    /// Opens a path of any file type for reading. Does not wait for the other end of a pipe.
    ///
    /// # Errors
    /// Those of `openat2(2)`.
    pub fn file(&self, below: &Path) -> Result<File> {
        self.resolve(below, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).map(File::from)
    }

    /// Opens a folder.
    ///
    /// # Errors
    /// Those of `openat2(2)`.
    pub fn folder(&self, below: &Path) -> Result<OwnedFd> {
        self.resolve(below, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Opens a folder, and creates the missing folders of its path.
    ///
    /// # Errors
    /// Those of `openat2(2)` and `mkdirat(2)`.
    pub fn make(&self, below: &Path, sync: Sync) -> Result<OwnedFd> {
        match self.folder(below) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let steps: Vec<&Path> = below.ancestors().filter(|step| !step.as_os_str().is_empty()).collect();
        let mut at = self.folder(Path::new(""))?;
        for step in steps.into_iter().rev() {
            at = match self.folder(step) {
                Err(Errno::NOENT) => {
                    match mkdirat(&at, step.file_name().unwrap_or_default(), Mode::from_raw_mode(0o777)) {
                        Ok(()) if sync == Sync::Full => rustix::fs::fsync(&at)?,
                        // Another process created it first; or it is a dangling link, which the next line reports.
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(e) => return Err(e),
                    }
                    self.folder(step)?
                }
                other => other?,
            };
        }
        Ok(at)
    }

    fn resolve(&self, below: &Path, flags: OFlags) -> Result<OwnedFd> {
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | self.links;
        retried(|| openat2(self.folder.as_fd(), below, flags | OFlags::CLOEXEC, Mode::empty(), how))
    }
}

/// Repeats `open` while it fails with `EAGAIN`.
fn retried(open: impl Fn() -> Result<OwnedFd>) -> Result<OwnedFd> {
    for _ in 1..TRIES {
        match open() {
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
    open()
}
