//! An open file of notes. Agents write below `memories/` too, so any path there may be a trap: links below that folder
//! are not followed, and only a regular file without other hard links is a note. The checked file is the one that is
//! read and written, because all go through one descriptor.

use crate::core::config::Sync;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::agent::located::check_regular;
use crate::store::fs::At;
use crate::store::fs::beneath::Beneath;
use crate::store::fs::durable;
use crate::store::workspace::Workspace;
use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The longest file of notes, in bytes.
const MAX: u64 = 64 << 20;

/// An open file of notes.
#[derive(Debug)]
pub struct NoteFile {
    file: File,
    dir: OwnedFd,
    path: PathBuf,
    shown: String,
}

impl NoteFile {
    /// Opens `name`, a path of three parts relative to the workspace, and makes missing parts. The first part may be a
    /// link of the owner; the others may not be links.
    ///
    /// # Errors
    /// `Data` if the path has something other than a note; `Later` if another process has a lease on the file.
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
            // The process that made its folder may have been killed before the folder was durable.
            durable::sync_dir(&top, sync)?;
        }
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW;
        let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat(&dir, own, flags, Mode::RUSR | Mode::WUSR).map_err(|e| match e {
            Errno::LOOP => refused(&format!("{name} is a link")),
            Errno::ISDIR => refused(&format!("{name} is a folder")),
            Errno::NXIO | Errno::NODEV => refused(&format!("{name} is a socket or a device")),
            Errno::AGAIN => Fault::new(Kind::Later, format!("{name} is locked by another program")),
            other => crate::store::fs::io_fault("open", &path, &other.into()),
        })?;
        let file = File::from(file);
        check_regular(&file, name, true).map_err(|fault| refused(&fault.message))?;
        Ok(Self { file, dir, path, shown: name.to_owned() })
    }

    /// The whole content.
    ///
    /// # Errors
    /// `Data` if the file is too long for notes.
    pub fn read(&mut self) -> Result<Vec<u8>> {
        self.file.rewind().at("read", &self.path)?;
        whole(&self.file, &self.shown, MAX).map_err(|fault| match fault.kind {
            Kind::Data => refused(&fault.message),
            _ => fault,
        })
    }

    /// Cuts off the zeros that a power cut has left at the end, as [`durable::truncate_zeros`].
    ///
    /// # Errors
    /// If the file cannot be truncated.
    pub fn truncate_zeros(&self, bytes: &mut Vec<u8>) -> Result<()> {
        durable::truncate_zeros(&self.file, bytes).at("cut", &self.path)
    }

    /// Appends with one write; content and name are durable on return.
    ///
    /// # Errors
    /// If the file cannot be written or synced. Bytes that could not be synced are cut off again.
    pub fn append(&mut self, bytes: &[u8], sync: Sync) -> Result<()> {
        durable::append_to(&mut self.file, bytes, sync).at("write", &self.path)?;
        self.sync_name(sync)
    }

    /// Whether the name still leads to this file: an editor may have put another one in its place.
    ///
    /// # Errors
    /// On a disk error.
    pub fn is_current(&self) -> Result<bool> {
        let own = self.file.metadata().at("read", &self.path)?;
        let name = self.path.file_name().unwrap_or_default();
        match statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(now) => Ok((now.st_dev, now.st_ino) == (own.dev(), own.ino())),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(e).at("read", &self.path),
        }
    }

    /// Makes the writes of others durable, and the name.
    ///
    /// # Errors
    /// On a disk error.
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

fn refused(reason: &str) -> Fault {
    Fault::data(format!("{reason}; the note was not written")).hint("move it away, then retry the note")
}

/// The content of the note at `below`, named `shown` in errors; at most `most` bytes.
///
/// # Errors
/// If the file is not a note, is longer, or cannot be read.
pub fn read(beneath: &Beneath, below: &Path, shown: &str, most: u64) -> Result<Vec<u8>> {
    let file = beneath.file(below).at("read", Path::new(shown))?;
    check_regular(&file, shown, true)?;
    whole(&file, shown, most.min(MAX))
}

fn whole(file: &File, shown: &str, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // The length is checked before reading: a sparse file may be huge.
    let length = file.metadata().at("read", Path::new(shown))?.len();
    if length <= most {
        file.take(most + 1).read_to_end(&mut bytes).at("read", Path::new(shown))?;
    }
    if length.max(bytes.len() as u64) > most {
        return Err(Fault::data(format!("{shown} has more than {most} bytes")));
    }
    Ok(bytes)
}
