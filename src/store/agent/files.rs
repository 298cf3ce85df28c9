//! The files that agents act on: which of the folders that an agent may reach a path lies in, and what is read
//! or written there. Whatever a path says, the kernel resolves it beneath that folder.

use crate::core::definition::Agent;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::agent::access::{Reach, WRITE};
use crate::store::fs::At;
use crate::store::fs::beneath::Beneath;
use crate::store::fs::durable;
use crate::store::lock::NamedLock;
use crate::store::workspace::Workspace;
use rustix::fs::{AtFlags, FileType, Mode, statat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

/// Where results go that are too long to be told.
const RESULTS: &str = "results";
/// The largest file that is changed, in bytes.
const MAX_CHANGED: u64 = 8 << 20;

/// The most places that a refusal names.
const MAX_ROOTS: usize = 40;

/// What an agent may reach, by the names that it knows.
pub struct AgentFiles<'a> {
    workspace: &'a Workspace,
    reach: Reach,
    /// Names that are links, and where they lead: the owner's, at the top of the workspace or in an agent's file.
    links: BTreeMap<PathBuf, PathBuf>,
}

/// Where a path lies.
pub struct Located {
    /// How it is told.
    pub shown: String,
    /// It lies outside the workspace: what it says is told as data.
    pub is_outside: bool,
    /// All of it, absolute.
    pub path: PathBuf,
    /// The folder that it is resolved beneath.
    base: PathBuf,
    below: PathBuf,
    /// No link has a place in what is beneath.
    is_plain: bool,
    is_theirs: bool,
}

/// A file that was opened to be read.
pub struct Opened {
    /// The file.
    pub file: File,
    /// How large it is, in bytes.
    pub size: u64,
    /// Where it lies.
    pub place: Located,
}

/// What can be walked through or read.
pub enum WalkStart {
    /// A folder, and where it lies.
    Folder(OwnedFd, Located),
    /// A file.
    File(Opened),
    /// Nothing of its own: these lie in it, by the names that can be asked for.
    Several(Vec<String>),
}

impl<'a> AgentFiles<'a> {
    /// The desk of an agent, as it is now.
    ///
    /// # Errors
    /// Where the workspace cannot be read.
    pub fn of(workspace: &'a Workspace, agent: &Agent) -> Result<Self> {
        let reach = Reach::of(workspace, agent)?;
        let own = agent.read.iter().chain(agent.write.iter().flatten()).map(String::as_str);
        let names = own.chain(WRITE).map(|name| reach.root.join(name).components().collect::<PathBuf>());
        let links =
            names.filter_map(|name| fs::canonicalize(&name).ok().filter(|real| *real != name).map(|to| (name, to)));
        Ok(Self { links: links.collect(), workspace, reach })
    }

    /// A regular file, opened to be read.
    ///
    /// # Errors
    /// `Data`, in words for the model: what is wrong with it, or what it may reach instead.
    pub fn open(&self, path: &str) -> Result<Opened> {
        let place = self.place(path, false)?;
        let file = place.beneath()?.file(&place.below).map_err(|e| place.refused("open", e))?;
        let size = is_plain(&file, &place.shown, place.is_theirs)?;
        Ok(Opened { file, size, place })
    }

    /// What is to be listed or searched.
    ///
    /// # Errors
    /// As [`AgentFiles::open`].
    pub fn start(&self, path: &str) -> Result<WalkStart> {
        let place = match self.place(path, false) {
            Ok(place) => place,
            Err(refused) => {
                let inside = self.absolute(path)?;
                let has = |root: &&PathBuf| inside.starts_with(&self.reach.root) && root.starts_with(&inside);
                let several: Vec<String> = self.reach.read.iter().filter(has).map(|root| self.shown(root)).collect();
                let links =
                    self.links.keys().filter(|name| name.parent() == Some(&inside)).map(|name| self.shown(name));
                let several: std::collections::BTreeSet<String> = several.into_iter().chain(links).collect();
                return if several.is_empty() {
                    Err(refused)
                } else {
                    Ok(WalkStart::Several(several.into_iter().collect()))
                };
            }
        };
        match place.beneath()?.folder(&place.below) {
            Ok(folder) => Ok(WalkStart::Folder(folder, place)),
            Err(Errno::NOTDIR) => self.open(path).map(WalkStart::File),
            Err(e) => Err(place.refused("open", e)),
        }
    }

    /// Makes a file with these bytes, and the folders above it; tells whether it is new. `temp` is a name that
    /// nobody else uses.
    ///
    /// # Errors
    /// As [`AgentFiles::open`]; `Machine` where the disk cannot.
    pub fn write(&self, path: &str, bytes: &[u8], temp: &str) -> Result<bool> {
        if path.ends_with('/') {
            return Err(Fault::data(format!("{path} is a folder's name; nothing was written")));
        }
        let place = self.place(path, true)?;
        let _alone = NamedLock::wait(self.workspace, "desk")?;
        let sync = self.workspace.sync()?;
        let (above, name) = place.split()?;
        let dir = place.beneath()?.make(above, sync).map_err(|e| place.refused("make the folder of", e))?;
        let old = match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(stat),
            Err(Errno::NOENT) => None,
            Err(e) => return Err(place.refused("look at", e)),
        };
        let kind = old.as_ref().map(|stat| FileType::from_raw_mode(stat.st_mode));
        if let Some(what) = kind.and_then(what) {
            return Err(Fault::data(format!("{} is {what}, not a file; nothing was written", place.shown)));
        }
        let mode = old.as_ref().map(|stat| Mode::from_raw_mode(stat.st_mode & 0o777));
        durable::replace_at(&dir, name, temp, bytes, mode, sync).map_err(|e| place.failed("write", &e))?;
        Ok(old.is_none())
    }

    /// Changes a file of text by what `change` makes of it. Between reading and replacing nobody else's call
    /// comes, and what somebody else has written is not written over.
    ///
    /// # Errors
    /// As [`AgentFiles::write`], and what `change` says.
    pub fn change<T>(&self, path: &str, temp: &str, change: impl FnOnce(&str) -> Result<(String, T)>) -> Result<T> {
        let place = self.place(path, true)?;
        let _alone = NamedLock::wait(self.workspace, "desk")?;
        let (above, name) = place.split()?;
        let dir = place.beneath()?.folder(above).map_err(|e| place.refused("open the folder of", e))?;
        let here = Beneath::of(dir.try_clone().at("open", &place.path)?, true);
        let mut file = here.file(Path::new(name)).map_err(|e| place.refused("open", e))?;
        let size = is_plain(&file, &place.shown, true)?;
        let too_large =
            || Fault::data(format!("{} is larger than the {MAX_CHANGED} bytes that are edited", place.shown));
        if size > MAX_CHANGED {
            return Err(too_large());
        }
        let before = file.metadata().at("read", &place.path)?;
        let mut bytes = Vec::new();
        (&mut file).take(MAX_CHANGED + 1).read_to_end(&mut bytes).at("read", &place.path)?;
        if bytes.len() as u64 > MAX_CHANGED {
            return Err(too_large());
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| Fault::data(format!("{} is no UTF-8 text; nothing was changed", place.shown)))?;
        let in_place = |fault: Fault| Fault { message: format!("{}: {}", place.shown, fault.message), ..fault };
        let (text, told) = change(&text).map_err(in_place)?;
        let identity = |m: &fs::Metadata| (m.dev(), m.ino(), m.size(), m.mtime(), m.mtime_nsec(), m.ctime_nsec());
        let now = here
            .file(Path::new(name))
            .and_then(|file| file.metadata().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO)));
        if !now.is_ok_and(|now| identity(&now) == identity(&before)) {
            return Err(Fault::data(format!("{} was changed by somebody else meanwhile; read it again", place.shown)));
        }
        let mode = Mode::from_raw_mode(before.mode() & 0o777);
        let sync = self.workspace.sync()?;
        durable::replace_at(&dir, name, temp, text.as_bytes(), Some(mode), sync)
            .map_err(|e| place.failed("write", &e))?;
        Ok(told)
    }

    /// The workspace, without links.
    #[must_use]
    pub fn top(&self) -> &Path {
        &self.reach.root
    }

    /// The absolute path that is meant, not looked at.
    fn absolute(&self, path: &str) -> Result<PathBuf> {
        let typed = Path::new(path);
        if typed.components().any(|part| part == Component::ParentDir) {
            return Err(Fault::data(format!("{path:?}: there is no `..` here")).hint("name it from the workspace"));
        }
        let inside = typed.strip_prefix(&self.workspace.root).unwrap_or(typed);
        Ok(self.reach.root.join(inside).components().collect())
    }

    fn place(&self, path: &str, is_write: bool) -> Result<Located> {
        let named = self.absolute(path)?;
        let link = named.ancestors().find_map(|above| self.links.get_key_value(above));
        let real = match link {
            Some((name, to)) => to.join(named.strip_prefix(name).unwrap_or(&named)).components().collect(),
            None => named.clone(),
        };
        let root = if is_write { self.reach.writes(&real) } else { self.reach.reads(&real) };
        let Some(root) = root else { return Err(self.out_of_reach(path, is_write)) };
        // A root that is a file is a name in its folder; one that is not there yet is made from the top.
        let is_missing = is_write && fs::symlink_metadata(root).is_err() && root.starts_with(&self.reach.root);
        let (base, is_plain) = match root == real {
            _ if is_missing => (self.reach.root.as_path(), true),
            true => (real.parent().unwrap_or(root), true),
            false => (root, false),
        };
        Ok(Located {
            shown: self.shown(&named),
            is_outside: !named.starts_with(&self.reach.root),
            below: real.strip_prefix(base).unwrap_or(&real).to_path_buf(),
            base: base.to_path_buf(),
            is_plain,
            is_theirs: self.reach.writes(&real).is_some(),
            path: real,
        })
    }

    fn shown(&self, path: &Path) -> String {
        let named = self.links.iter().find(|(_, to)| *to == path).map_or(path, |(name, _)| name);
        let inside = named.strip_prefix(&self.reach.root).unwrap_or(named).to_string_lossy().into_owned();
        let shown = if inside.is_empty() { ".".to_owned() } else { inside };
        if shown.chars().any(char::is_control) { shown.escape_debug().to_string() } else { shown }
    }

    fn out_of_reach(&self, path: &str, is_write: bool) -> Fault {
        let (what, roots) = if is_write { ("write", &self.reach.write) } else { ("read", &self.reach.read) };
        let named: Vec<String> = roots.iter().take(MAX_ROOTS).map(|root| self.shown(root)).collect();
        let roots = match roots.len() {
            0 => "nothing".to_owned(),
            some => format!("{}{}", named.join(", "), if some > MAX_ROOTS { ", …" } else { "" }),
        };
        Fault::data(format!("{path:?} is not among what you may {what}")).hint(format!("you may {what}: {roots}"))
    }
}

impl Located {
    /// Agents may write here, so what is here may have been put here.
    #[must_use]
    pub fn is_theirs(&self) -> bool {
        self.is_theirs
    }

    fn beneath(&self) -> Result<Beneath> {
        Beneath::open(&self.base, self.is_plain).map_err(|e| self.refused("open", e))
    }

    /// The folder that it lies in, and its name there.
    fn split(&self) -> Result<(&Path, &std::ffi::OsStr)> {
        let name = self.below.file_name().ok_or_else(|| Fault::data(format!("{} names no file", self.shown)))?;
        Ok((self.below.parent().unwrap_or(Path::new("")), name))
    }

    /// Why the kernel has refused it, in words for the model.
    fn refused(&self, doing: &str, error: Errno) -> Fault {
        let shown = &self.shown;
        match error {
            Errno::XDEV | Errno::LOOP => {
                Fault::data(format!("{shown} is refused: a link in it leads out of what you may reach"))
            }
            Errno::NOENT => Fault::data(format!("there is no {shown}")).hint("`list` shows what there is"),
            Errno::NOTDIR => Fault::data(format!("{shown}: a part of this path is not a folder")),
            Errno::NXIO | Errno::NODEV => Fault::data(format!("{shown} is a socket or a device, not a file")),
            Errno::AGAIN => Fault::data(format!("{shown} is being changed all the time; nothing was done")),
            Errno::NOSYS => Fault::new(Kind::Failed, "this kernel cannot confine file tools (no openat2)")
                .hint("Linux 5.6 and later can"),
            other => self.failed(doing, &other.into()),
        }
    }

    /// What the disk has refused. A folder that nobody may write to is no trouble of the machine.
    fn failed(&self, doing: &str, error: &std::io::Error) -> Fault {
        let fault = crate::store::fs::io_fault(doing, Path::new(&self.shown), error);
        let is_told = error.raw_os_error().is_some_and(|e| Errno::from_raw_os_error(e) == Errno::ROFS);
        if is_told { Fault { kind: Kind::Failed, ..fault } } else { fault }
    }
}

/// The size of a file that may be read: a regular one and, where agents may write, one without other names,
/// because those may lie where they may not read.
pub(crate) fn is_plain(file: &File, shown: &str, is_theirs: bool) -> Result<u64> {
    let meta = file.metadata().at("look at", Path::new(shown))?;
    let kind = meta.file_type();
    if kind.is_dir() {
        return Err(Fault::data(format!("{shown} is a folder")).hint("`list` shows what is in it"));
    }
    if !kind.is_file() {
        let what = if kind.is_fifo() { "a pipe" } else { "a device" };
        return Err(Fault::data(format!("{shown} is {what}, not a file")));
    }
    if is_theirs && meta.nlink() > 1 {
        return Err(Fault::data(format!("{shown} is refused: it is a hard link, also known by another name")));
    }
    Ok(meta.size())
}

/// What stands where no file can be written.
fn what(kind: FileType) -> Option<&'static str> {
    match kind {
        FileType::RegularFile => None,
        FileType::Directory => Some("a folder"),
        FileType::Symlink => Some("a link"),
        FileType::Fifo => Some("a pipe"),
        _ => Some("a device or a socket"),
    }
}

/// Keeps a result that was too long to be told, and returns its path, by which an agent can read it.
///
/// # Errors
/// Where it cannot be written.
pub fn spill(workspace: &Workspace, name: &str, text: &[u8]) -> Result<String> {
    let files = workspace.path(WRITE[0]);
    let shown = format!("{}/{RESULTS}/{name}", WRITE[0]);
    fs::create_dir_all(&files).at("make", &files)?;
    let real = fs::canonicalize(&files).at("read", &files)?;
    let sync = workspace.sync()?;
    let dir = Beneath::open(&real, false).and_then(|files| files.make(Path::new(RESULTS), sync));
    let dir = dir.at("make the folder of", Path::new(&shown))?;
    durable::replace_at(&dir, name.as_ref(), &format!(".{name}.tmp"), text, None, sync)
        .at("write", Path::new(&shown))?;
    Ok(shown)
}
