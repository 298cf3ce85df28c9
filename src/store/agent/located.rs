//! A path that an agent has named, resolved to the root that it lies beneath.

use crate::core::fault::{Fault, Kind, Result};
use crate::store::fs::At;
use crate::store::fs::beneath::Beneath;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A located path.
pub struct LocatedPath {
    /// The path as the model sees it.
    pub shown: String,
    /// Whether it lies outside the workspace: its content is marked as data for the model.
    pub is_outside: bool,
    /// The absolute path.
    pub path: PathBuf,
    /// The folder that the kernel resolves it beneath.
    pub(super) base: PathBuf,
    /// The path relative to `base`.
    pub(super) below: PathBuf,
    /// Whether a link in `below` is refused.
    pub(super) is_plain: bool,
    pub(super) is_agent_writable: bool,
}

impl LocatedPath {
    /// Whether agents may write here, so that any entry may be theirs.
    #[must_use]
    pub fn is_agent_writable(&self) -> bool {
        self.is_agent_writable
    }

    pub(super) fn beneath(&self) -> Result<Beneath> {
        Beneath::open(&self.base, self.is_plain).map_err(|e| self.refused("open", e))
    }

    /// The parent folder, and the name in it.
    pub(super) fn split(&self) -> Result<(&Path, &OsStr)> {
        let name = self.below.file_name().ok_or_else(|| Fault::data(format!("{} names no file", self.shown)))?;
        Ok((self.below.parent().unwrap_or(Path::new("")), name))
    }

    /// The fault for the model after the kernel has refused the path.
    pub(super) fn refused(&self, doing: &str, error: Errno) -> Fault {
        let shown = &self.shown;
        match error {
            Errno::LOOP if self.is_plain => {
                Fault::data(format!("{shown} is refused: links in folders of agents are not followed"))
                    .hint("`list` shows links; name the target itself")
            }
            Errno::XDEV | Errno::LOOP => {
                Fault::data(format!("{shown} is refused: a link in it leads outside of your folders"))
            }
            Errno::NOENT => Fault::data(format!("there is no {shown}")).hint("`list` shows the names that exist"),
            Errno::NOTDIR => Fault::data(format!("{shown}: a part of this path is not a folder")),
            Errno::NXIO | Errno::NODEV => Fault::data(format!("{shown} is a socket or a device, not a file")),
            Errno::AGAIN => Fault::data(format!("{shown} keeps changing; nothing was done")),
            Errno::NOSYS => Fault::new(Kind::Failed, "this kernel cannot confine file tools (no openat2)")
                .hint("Linux 5.6 and later can"),
            other => self.failed(doing, &other.into()),
        }
    }

    /// The fault for the model after another program has changed the file during the call.
    pub(super) fn was_changed(&self) -> Fault {
        Fault::data(format!("{} was changed by another program meanwhile; read it again", self.shown))
    }

    /// The fault after a disk error. A read-only folder is an answer for the model, not a fault of the machine.
    pub(super) fn failed(&self, doing: &str, error: &std::io::Error) -> Fault {
        let fault = crate::store::fs::io_fault(doing, Path::new(&self.shown), error);
        let is_read_only = error.raw_os_error().is_some_and(|e| Errno::from_raw_os_error(e) == Errno::ROFS);
        if is_read_only { Fault { kind: Kind::Failed, ..fault } } else { fault }
    }
}

/// The size of a file, if it may be read: it must be regular and, where agents may write, have no other hard link,
/// because the other name may lie where they may not read.
pub(crate) fn check_regular(file: &File, shown: &str, is_agent_writable: bool) -> Result<u64> {
    let meta = file.metadata().at("look at", Path::new(shown))?;
    let kind = meta.file_type();
    if kind.is_dir() {
        return Err(Fault::data(format!("{shown} is a folder")).hint("`list` shows its content"));
    }
    if !kind.is_file() {
        let kind = if kind.is_fifo() { "a pipe" } else { "a device" };
        return Err(Fault::data(format!("{shown} is {kind}, not a file")));
    }
    if is_agent_writable && meta.nlink() > 1 {
        return Err(Fault::data(format!("{shown} is refused: it has another hard link")));
    }
    Ok(meta.size())
}

/// The kind of an entry that a file cannot replace, for the model; `None` for a regular file.
pub(super) fn obstacle(kind: FileType) -> Option<&'static str> {
    match kind {
        FileType::RegularFile => None,
        FileType::Directory => Some("a folder"),
        FileType::Symlink => Some("a link"),
        FileType::Fifo => Some("a pipe"),
        _ => Some("a device or a socket"),
    }
}
