//! A file of notes, held open. Agents write below `memories/` too, so that whatever lies there may lead elsewhere:
//! no link is followed below that folder, only a regular file without other names is a note, and what was looked at
//! is what is read and written, because both go through the one descriptor.

use crate::core::config::Sync;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::agent::files;
use crate::store::fs::At;
use crate::store::fs::beneath::Beneath;
use crate::store::fs::durable;
use crate::store::workspace::Workspace;
use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The longest file of notes, in bytes.
const MAX: u64 = 64 << 20;

/// A file of notes.
#[derive(Debug)]
pub struct NoteFile {
    file: File,
    dir: OwnedFd,
    path: PathBuf,
    shown: String,
}

impl NoteFile {
    /// Opens `name`, a path from the workspace of three parts, and makes what is missing of it. The first part is the
    /// owner's, and may be a link of his; what is behind it may not.
    ///
    /// # Errors
    /// `Data` where something else than a note lies there; `Later` where somebody keeps others out of it.
    pub fn open(workspace: &Workspace, name: &str, sync: Sync) -> Result<Self> {
        let (top, below) = name.split_once('/').unwrap_or_default();
        let (above, own) = below.split_once('/').unwrap_or(("", below));
        let path = workspace.path(name);
        let top = workspace.path(top);
        fs::create_dir_all(&top).at("make", &top)?;
        let top = fs::canonicalize(&top).at("read", &top)?;
        let beneath = Beneath::open(&top, true).at("open", &top)?;
        let folder = name.strip_suffix(own).unwrap_or(name).trim_end_matches('/');
        let dir = beneath.make(Path::new(above), Sync::None).map_err(|e| match e {
            Errno::LOOP => refused(&format!("{folder} is a link")),
            Errno::NOTDIR => refused(&format!("{folder} is not a folder")),
            other => crate::store::fs::io_fault("open", &workspace.path(folder), &other.into()),
        })?;
        if statat(&dir, own, AtFlags::SYMLINK_NOFOLLOW).err() == Some(Errno::NOENT) {
            // Whoever had made its folder may have been killed before that was durable.
            durable::sync_dir(&top, sync)?;
        }
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW;
        let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat(&dir, own, flags, Mode::RUSR | Mode::WUSR).map_err(|e| match e {
            Errno::LOOP => refused(&format!("{name} is a link")),
            Errno::ISDIR => refused(&format!("{name} is a folder")),
            Errno::NXIO | Errno::NODEV => refused(&format!("{name} is a socket or a device")),
            Errno::AGAIN => Fault::new(Kind::Later, format!("somebody keeps others out of {name}")),
            other => crate::store::fs::io_fault("open", &path, &other.into()),
        })?;
        let file = File::from(file);
        files::is_plain(&file, name, true).map_err(|fault| refused(&fault.message))?;
        Ok(Self { file, dir, path, shown: name.to_owned() })
    }

    /// All that is in it.
    ///
    /// # Errors
    /// `Data` where it is too long for notes.
    pub fn read(&mut self) -> Result<Vec<u8>> {
        self.file.rewind().at("read", &self.path)?;
        whole(&self.file, &self.shown, MAX).map_err(|fault| match fault.kind {
            Kind::Data => refused(&fault.message),
            _ => fault,
        })
    }

    /// Cuts off the zeros that a power cut has left at its end, as [`durable::truncate_zeros`].
    ///
    /// # Errors
    /// Where it cannot be cut.
    pub fn truncate_zeros(&self, bytes: &mut Vec<u8>) -> Result<()> {
        durable::truncate_zeros(&self.file, bytes).at("cut", &self.path)
    }

    /// Appends to it with one write; durable on return, its name too.
    ///
    /// # Errors
    /// Where it cannot be written or synced. What could not be synced is cut off again.
    pub fn append(&mut self, bytes: &[u8], sync: Sync) -> Result<()> {
        durable::append_to(&mut self.file, bytes, sync).at("write", &self.path)?;
        self.sync_name(sync)
    }

    /// Makes what somebody else has written into it durable, its name too.
    ///
    /// # Errors
    /// Where the disk cannot.
    pub fn sync(&self, sync: Sync) -> Result<()> {
        if sync == Sync::Full {
            self.file.sync_data().at("sync", &self.path)?;
        }
        self.sync_name(sync)
    }

    fn sync_name(&self, sync: Sync) -> Result<()> {
        match sync {
            Sync::Full => rustix::fs::fsync(&self.dir).at("sync", &self.path),
            Sync::None => Ok(()),
        }
    }
}

fn refused(what: &str) -> Fault {
    Fault::data(format!("{what}; nothing was noted in it")).hint("move it away, then retry the note")
}

/// What is in the note at `below`, which is called `shown`; at most `most` bytes.
///
/// # Errors
/// Where it is no note, is longer, or cannot be read.
pub fn read(beneath: &Beneath, below: &Path, shown: &str, most: u64) -> Result<Vec<u8>> {
    let file = beneath.file(below).at("read", Path::new(shown))?;
    files::is_plain(&file, shown, true)?;
    whole(&file, shown, most.min(MAX))
}

fn whole(file: &File, shown: &str, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // What is too long is not read first: a file may be all hole.
    let length = file.metadata().at("read", Path::new(shown))?.len();
    if length <= most {
        file.take(most + 1).read_to_end(&mut bytes).at("read", Path::new(shown))?;
    }
    if length.max(bytes.len() as u64) > most {
        return Err(Fault::data(format!("{shown} has more than {most} bytes")));
    }
    Ok(bytes)
}
