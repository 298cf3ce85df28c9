//! Files beneath a folder, and nowhere else: every path is resolved by the kernel from the folder's descriptor
//! (`openat2(2)`, `RESOLVE_BENEATH`), in the same call that opens it. There is nothing between a check and a use
//! that somebody could swap.

use crate::core::config::Sync;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::{Errno, Result};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// How often a path is tried that is being changed while it is resolved (`EAGAIN`).
const TRIES: usize = 16;

/// A folder, and what lies beneath it.
#[derive(Debug)]
pub struct Beneath {
    folder: OwnedFd,
    links: ResolveFlags,
}

impl Beneath {
    /// The folder at `path`, which is absolute and has no links in it: one that is there now was put there
    /// meanwhile. Links beneath it are followed as long as they stay beneath it, unless `is_plain`.
    ///
    /// # Errors
    /// `NOSYS` where the kernel cannot confine (before Linux 5.6); what `openat2(2)` says.
    pub fn open(path: &Path, is_plain: bool) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = again(|| openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS))?;
        Ok(Self::of(folder, is_plain))
    }

    /// What lies beneath a folder that is open.
    #[must_use]
    pub fn of(folder: OwnedFd, is_plain: bool) -> Self {
        Self { folder, links: if is_plain { ResolveFlags::NO_SYMLINKS } else { ResolveFlags::NO_MAGICLINKS } }
    }

    /// Opens something to be read, whatever it is: never waits for the other end of a pipe.
    ///
    /// # Errors
    /// What `openat2(2)` says.
    pub fn file(&self, below: &Path) -> Result<File> {
        self.resolve(below, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).map(File::from)
    }

    /// Opens a folder.
    ///
    /// # Errors
    /// What `openat2(2)` says.
    pub fn folder(&self, below: &Path) -> Result<OwnedFd> {
        self.resolve(below, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Opens a folder, and makes what is missing of its path.
    ///
    /// # Errors
    /// What `openat2(2)` and `mkdirat(2)` say.
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
                        // Somebody else was quicker; or it is a link to nothing, which the next line finds.
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
        again(|| openat2(self.folder.as_fd(), below, flags | OFlags::CLOEXEC, Mode::empty(), how))
    }
}

fn again(open: impl Fn() -> Result<OwnedFd>) -> Result<OwnedFd> {
    for _ in 1..TRIES {
        match open() {
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
    open()
}
