//! File operations of an agent's tools. A path is matched to a root of the agent's access, and the kernel resolves it
//! beneath that root.

use crate::core::definition::{Agent, GUARDED};
use crate::core::fault::{Fault, Result};
use crate::core::memory::shrink;
use crate::store::agent::access::{Access, WRITE, is_git_folder};
use crate::store::agent::located::{LocatedPath, check_regular, obstacle};
use crate::store::agent::repositories::change_time;
use crate::store::fs::At;
use crate::store::fs::beneath::Beneath;
use crate::store::fs::durable;
use crate::store::lock::NamedLock;
use crate::store::workspace::Workspace;
use rustix::fs::{AtFlags, FileType, Mode, Stat, statat};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// The folder of results that are too long for the model.
const RESULTS: &str = "results";
/// The largest file that can be edited, in bytes.
const MAX_CHANGED: u64 = 8 << 20;
/// The largest part of a file in a guarded folder that is compared before it is replaced, in bytes.
const MAX_GUARDED: u64 = 64 << 20;
/// The guarded folder whose files have a history.
const MEMORIES: &str = GUARDED[0];
/// The guarded folder whose files may be executable.
const SKILLS: &str = GUARDED[1];
/// The most roots that a refusal lists.
const MAX_ROOTS: usize = 40;

/// File operations of an agent, within its access.
pub struct AgentFiles<'a> {
    workspace: &'a Workspace,
    access: Access,
    /// Links of the owner, at the top of the workspace or listed in AGENT.md, and their targets.
    links: BTreeMap<PathBuf, PathBuf>,
}

/// How [`AgentFiles::write`] and [`AgentFiles::change`] write a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteMode {
    /// Whether more than half of a file in a guarded folder may be removed.
    pub may_shrink: bool,
    /// Sets or clears the executable bit of a file in `skills/`.
    pub executable: Option<bool>,
}

/// A file, opened for reading.
pub struct Opened {
    /// The file.
    pub file: File,
    /// Its size, in bytes.
    pub size: u64,
    /// Its path.
    pub place: LocatedPath,
}

/// The start of a listing or a search.
pub enum WalkStart {
    /// A folder, and its path.
    Folder(OwnedFd, LocatedPath),
    /// A file.
    File(Opened),
    /// A folder that is not readable itself; these readable names are in it.
    Several(Vec<String>),
}

impl<'a> AgentFiles<'a> {
    /// The files of an agent, with its access of this moment.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn of(workspace: &'a Workspace, agent: &Agent) -> Result<Self> {
        let access = Access::of(workspace, agent)?;
        let own = agent.read.iter().chain(agent.write.iter().flatten()).map(String::as_str);
        let names = own.chain(WRITE).map(|name| access.root.join(name).components().collect::<PathBuf>());
        let links = names.filter_map(|name| access.resolve(&name).filter(|real| *real != name).map(|to| (name, to)));
        Ok(Self { links: links.collect(), workspace, access })
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// `Data`, with a message for the model: the problem with the path, or the roots that are readable.
    pub fn open(&self, path: &str) -> Result<Opened> {
        let place = self.place(path, false)?;
        let file = place.beneath()?.file(&place.below).map_err(|e| place.refused("open", e))?;
        let size = check_regular(&file, &place.shown, place.is_agent_writable)?;
        Ok(Opened { file, size, place })
    }

    /// The absolute path of a file that the agent may write.
    ///
    /// # Errors
    /// `Data`, with a message for the model, if it may not write there.
    pub fn target(&self, path: &str) -> Result<PathBuf> {
        Ok(self.place(path, true)?.path)
    }

    /// Opens the start of a listing or a search.
    ///
    /// # Errors
    /// As [`AgentFiles::open`].
    pub fn start(&self, path: &str) -> Result<WalkStart> {
        let place = match self.place(path, false) {
            Ok(place) => place,
            Err(refused) => {
                let inside = self.absolute(path)?;
                let has = |root: &&PathBuf| inside.starts_with(&self.access.root) && root.starts_with(&inside);
                let roots: Vec<String> = self.access.read.iter().filter(has).map(|root| self.shown(root)).collect();
                let links =
                    self.links.keys().filter(|name| name.parent() == Some(&inside)).map(|name| self.shown(name));
                let several: BTreeSet<String> = roots.into_iter().chain(links).collect();
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

    /// Writes a file with these bytes, and makes the folders above it. Returns whether the file is new. `temp` is a
    /// unique name for the temporary file.
    ///
    /// # Errors
    /// As [`AgentFiles::open`]; `Machine` on a disk error.
    pub fn write(&self, path: &str, bytes: &[u8], temp: &str, how: WriteMode) -> Result<bool> {
        if path.ends_with('/') {
            return Err(Fault::data(format!("{path} names a folder; nothing was written")));
        }
        let place = self.place(path, true)?;
        let _lock = NamedLock::wait(self.workspace, "desk")?;
        let sync = self.workspace.sync()?;
        let (above, name) = place.split()?;
        let dir = place.beneath()?.make(above, sync).map_err(|e| place.refused("make the folder of", e))?;
        let old = match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(stat),
            Err(Errno::NOENT) => None,
            Err(e) => return Err(place.refused("look at", e)),
        };
        let kind = old.as_ref().map(|stat| FileType::from_raw_mode(stat.st_mode));
        if let Some(obstacle) = kind.and_then(obstacle) {
            return Err(Fault::data(format!("{} is {obstacle}, not a file; nothing was written", place.shown)));
        }
        let guard = self.access.guard(&place.path);
        if how.executable.is_some() && guard != Some(SKILLS) {
            return Err(Fault::data(format!("{}: only files in skills/ may be executable", place.shown)));
        }
        let mode = old.as_ref().map(|stat| stat.st_mode & 0o777);
        let mode = match how.executable {
            None => mode,
            Some(true) => Some(mode.unwrap_or(0o644) | 0o111),
            Some(false) => Some(mode.unwrap_or(0o644) & !0o111),
        };
        let mode = mode.map(Mode::from_raw_mode);
        if guard.is_none() {
            durable::replace_at(&dir, name, temp, bytes, mode, sync).map_err(|e| place.failed("write", &e))?;
            return Ok(old.is_none());
        }
        if old.is_some() && !how.may_shrink {
            let here = Beneath::of(dir.try_clone().at("open", &place.path)?, true);
            let file = here.file(Path::new(name)).map_err(|e| place.refused("open", e))?;
            let mut before = Vec::new();
            file.take(MAX_GUARDED).read_to_end(&mut before).at("read", &place.path)?;
            shrink::check(&place.shown, &before, Some(bytes))?;
        }
        let identity = old.as_ref().map(identity);
        let is_old = |stat: Option<&Stat>| stat.map(self::identity) == identity;
        if durable::replace_if(&dir, name, temp, bytes, mode, sync, is_old).map_err(|e| place.failed("write", &e))? {
            return Ok(old.is_none());
        }
        Err(place.was_changed())
    }

    /// Moves a file, or a folder outside of `memories/`, without replacing anything; folders above the target are made.
    ///
    /// # Errors
    /// As [`AgentFiles::open`]; `Machine` on a disk error.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (old, new) = (self.place(from, true)?, self.place(to, true)?);
        if self.access.write.contains(&old.path) {
            return Err(Fault::data(format!("{} is one of your folders, and stays where it is", old.shown)));
        }
        let _lock = NamedLock::wait(self.workspace, "desk")?;
        let sync = self.workspace.sync()?;
        let ((old_above, old_name), (new_above, new_name)) = (old.split()?, new.split()?);
        let from_dir = old.beneath()?.folder(old_above).map_err(|e| old.refused("open the folder of", e))?;
        let stat = statat(&from_dir, old_name, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| old.refused("look at", e))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_folder = kind == FileType::Directory;
        if let Some(obstacle) = obstacle(kind).filter(|_| !is_folder) {
            return Err(Fault::data(format!("{} is {obstacle}, not a file; nothing was moved", old.shown)));
        }
        let is_memory = |place: &LocatedPath| self.access.guard(&place.path) == Some(MEMORIES);
        if is_folder && (is_memory(&old) || is_memory(&new)) {
            return Err(Fault::data(format!("{} is a folder; nothing was moved", old.shown))
                .hint("in memories/ only files are moved: move the files in it"));
        }
        if !is_folder && stat.st_nlink > 1 {
            return Err(Fault::data(format!("{} is refused: it has another hard link", old.shown)));
        }
        let to_dir = new.beneath()?.make(new_above, sync).map_err(|e| new.refused("make the folder of", e))?;
        match durable::move_at(&from_dir, old_name, &to_dir, new_name, sync) {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(Fault::data(format!("{} exists already; nothing was moved", new.shown)).hint("name another target"))
            }
            Err(e) => Err(old.failed("move", &e)),
        }
    }

    /// Replaces a text file by the result of `change`. A lock keeps other calls out between reading and replacing, and
    /// a file that another program changed meanwhile is not overwritten.
    ///
    /// # Errors
    /// As [`AgentFiles::write`], and those of `change`.
    pub fn change<T>(
        &self,
        path: &str,
        temp: &str,
        how: WriteMode,
        change: impl FnOnce(&str) -> Result<(String, T)>,
    ) -> Result<T> {
        let place = self.place(path, true)?;
        let _lock = NamedLock::wait(self.workspace, "desk")?;
        let (above, name) = place.split()?;
        let dir = place.beneath()?.folder(above).map_err(|e| place.refused("open the folder of", e))?;
        let here = Beneath::of(dir.try_clone().at("open", &place.path)?, true);
        let mut file = here.file(Path::new(name)).map_err(|e| place.refused("open", e))?;
        let size = check_regular(&file, &place.shown, true)?;
        let too_large =
            || Fault::data(format!("{} has more than {MAX_CHANGED} bytes, and cannot be edited", place.shown));
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
            .map_err(|_| Fault::data(format!("{} is not UTF-8 text; nothing was changed", place.shown)))?;
        let in_place = |fault: Fault| Fault { message: format!("{}: {}", place.shown, fault.message), ..fault };
        let (edited, result) = change(&text).map_err(in_place)?;
        let is_guarded = self.access.guard(&place.path).is_some();
        if is_guarded && !how.may_shrink {
            shrink::check(&place.shown, text.as_bytes(), Some(edited.as_bytes()))?;
        }
        let identity = |m: &fs::Metadata| (m.dev(), m.ino(), m.size(), m.mtime(), m.mtime_nsec(), m.ctime_nsec());
        let now = here
            .file(Path::new(name))
            .and_then(|file| file.metadata().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO)));
        if !now.is_ok_and(|now| identity(&now) == identity(&before)) {
            return Err(place.was_changed());
        }
        let mode = Mode::from_raw_mode(before.mode() & 0o777);
        let sync = self.workspace.sync()?;
        let is_old =
            |stat: Option<&Stat>| stat.is_some_and(|stat| (stat.st_dev, stat.st_ino) == (before.dev(), before.ino()));
        let is_replaced = durable::replace_if(&dir, name, temp, edited.as_bytes(), Some(mode), sync, is_old)
            .map_err(|e| place.failed("write", &e))?;
        if is_replaced { Ok(result) } else { Err(place.was_changed()) }
    }

    /// The real path of the workspace.
    #[must_use]
    pub fn top(&self) -> &Path {
        &self.access.root
    }

    /// The absolute path, without access to the disk.
    fn absolute(&self, path: &str) -> Result<PathBuf> {
        let typed = Path::new(path);
        if typed.components().any(|part| part == Component::ParentDir) {
            return Err(
                Fault::data(format!("{path:?}: `..` is not allowed")).hint("use a path relative to the workspace")
            );
        }
        let inside = typed.strip_prefix(&self.workspace.root).unwrap_or(typed);
        Ok(self.access.root.join(inside).components().collect())
    }

    fn place(&self, path: &str, is_write: bool) -> Result<LocatedPath> {
        let named = self.absolute(path)?;
        let link = named.ancestors().find_map(|above| self.links.get_key_value(above));
        let real = match link {
            Some((name, to)) => to.join(named.strip_prefix(name).unwrap_or(&named)).components().collect(),
            None => named.clone(),
        };
        let root = if is_write { self.access.writable_root(&real) } else { self.access.readable_root(&real) };
        let Some(root) = root else { return Err(self.denied(path, is_write)) };
        let below = real.strip_prefix(root).unwrap_or(&real);
        if below.components().any(|part| is_git_folder(part.as_os_str())) {
            return Err(Fault::data(format!("{path:?} is refused: settings and hooks in a git folder run programs"))
                .hint("use git for changes of a repository"));
        }
        // A root that is a file is resolved in its parent; a root that does not exist yet is made from the top.
        let is_missing = is_write && fs::symlink_metadata(root).is_err() && root.starts_with(&self.access.root);
        let (base, is_plain) = match root == real {
            _ if is_missing => (self.access.root.as_path(), true),
            true => (real.parent().unwrap_or(root), true),
            // Links of agents are not followed, not even to another place in the same root.
            false => (root, self.access.is_agent_writable(&real)),
        };
        Ok(LocatedPath {
            shown: self.shown(&named),
            is_outside: !named.starts_with(&self.access.root),
            below: real.strip_prefix(base).unwrap_or(&real).to_path_buf(),
            base: base.to_path_buf(),
            is_plain,
            is_agent_writable: self.access.is_agent_writable(&real),
            path: real,
        })
    }

    fn shown(&self, path: &Path) -> String {
        let named = self.links.iter().find(|(_, to)| *to == path).map_or(path, |(name, _)| name);
        let inside = named.strip_prefix(&self.access.root).unwrap_or(named).to_string_lossy().into_owned();
        let shown = if inside.is_empty() { ".".to_owned() } else { inside };
        if shown.chars().any(char::is_control) { shown.escape_debug().to_string() } else { shown }
    }

    fn denied(&self, path: &str, is_write: bool) -> Fault {
        let (verb, roots) = if is_write { ("write", &self.access.write) } else { ("read", &self.access.read) };
        let named: Vec<String> = roots.iter().take(MAX_ROOTS).map(|root| self.shown(root)).collect();
        let roots = match roots.len() {
            0 => "nothing".to_owned(),
            some => format!("{}{}", named.join(", "), if some > MAX_ROOTS { ", …" } else { "" }),
        };
        Fault::data(format!("you may not {verb} {path:?}")).hint(format!("you may {verb}: {roots}"))
    }
}

/// The identity and the age of a file, which a rename does not change.
fn identity(stat: &Stat) -> (u64, u64, i64, i128) {
    let modified = change_time(stat.st_mtime, stat.st_mtime_nsec);
    (stat.st_dev, stat.st_ino, stat.st_size, modified)
}

/// Saves a result that is too long for the model, and returns the path by which the agent can read it.
///
/// # Errors
/// If it cannot be written.
pub fn spill(workspace: &Workspace, name: &str, text: &[u8]) -> Result<String> {
    keep(workspace, RESULTS, name, text)
}

/// Writes a file into a folder of `files/`, durable on return, and returns its path in the workspace. No link below
/// `files/` is followed.
///
/// # Errors
/// If it cannot be written.
pub fn keep(workspace: &Workspace, folder: &str, name: &str, bytes: &[u8]) -> Result<String> {
    let files = workspace.path(WRITE[0]);
    let shown = format!("{}/{folder}/{name}", WRITE[0]);
    fs::create_dir_all(&files).at("make", &files)?;
    let real = fs::canonicalize(&files).at("read", &files)?;
    let sync = workspace.sync()?;
    let dir = Beneath::open(&real, true).and_then(|files| files.make(Path::new(folder), sync));
    let dir = dir.at("make the folder of", Path::new(&shown))?;
    durable::replace_at(&dir, name.as_ref(), &format!(".{name}.tmp"), bytes, None, sync)
        .at("write", Path::new(&shown))?;
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use std::fs::FileTimes;
    use std::time::{Duration, SystemTime};

    /// A workspace with `files/a.md`, last changed long ago.
    fn workspace() -> (tempfile::TempDir, Workspace) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::write(root.join("claw.yaml"), "sync: none\n").unwrap();
        fs::create_dir(root.join("files")).unwrap();
        fs::write(root.join("files/a.md"), "old\n").unwrap();
        let workspace = Workspace::open(World::real().unwrap(), root, true).unwrap();
        workspace.make_layout().unwrap();
        restore_times(&workspace.path("files/a.md"));
        (dir, workspace)
    }

    /// Sets the times of the file to the same instant of the past every time.
    fn restore_times(path: &Path) {
        let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
        File::open(path).unwrap().set_times(times).unwrap();
    }

    /// Lets the clock of the file system pass, by which it dates a change.
    fn pass_a_tick(root: &Path) {
        let changed = || {
            fs::write(root.join("tick"), "").unwrap();
            fs::metadata(root.join("tick")).map(|meta| (meta.ctime(), meta.ctime_nsec())).unwrap()
        };
        let before = changed();
        while changed() == before {
            std::thread::yield_now();
        }
    }

    /// A way of saving a file.
    type Save = Box<dyn Fn(&Path)>;

    /// The owner saves between the reading of the file and its replacement, in every way that editors have.
    #[test]
    fn edit_does_not_overwrite_a_file_that_was_saved_meanwhile() {
        let in_place = |path: &Path| fs::write(path, "own\n").unwrap();
        let by_name = |path: &Path| {
            fs::write(path.with_extension("new"), "own\n").unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        };
        let saves: [(&str, Save, Option<&str>); 6] = [
            ("in place, with the same size", Box::new(in_place), Some("own\n")),
            (
                "in place, with the times of before",
                Box::new(move |path| (in_place(path), restore_times(path)).1),
                Some("own\n"),
            ),
            ("under the same name", Box::new(by_name), Some("own\n")),
            (
                "under the same name, with the times of before",
                Box::new(move |path| (by_name(path), restore_times(path)).1),
                Some("own\n"),
            ),
            ("longer", Box::new(|path| fs::write(path, "old\nand more\n").unwrap()), Some("old\nand more\n")),
            ("removed", Box::new(|path| fs::remove_file(path).unwrap()), None),
        ];
        for (how, save, left) in saves {
            let (_dir, workspace) = workspace();
            let path = workspace.path("files/a.md");
            let files = AgentFiles::of(&workspace, &Agent::default()).unwrap();
            pass_a_tick(&workspace.root);
            let edited = files.change("files/a.md", ".tmp", WriteMode::default(), |text| {
                assert_eq!(text, "old\n");
                save(&path);
                Ok(("edited\n".to_owned(), ()))
            });
            let fault = edited.expect_err(how);
            assert!(fault.message.contains("was changed by another program meanwhile"), "{how}: {fault}");
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), left, "{how}");
            assert!(!path.with_file_name(".tmp").exists(), "{how}: a temporary file is left");
        }
    }

    #[test]
    fn edit_of_an_unchanged_file_replaces_it() {
        let (_dir, workspace) = workspace();
        let files = AgentFiles::of(&workspace, &Agent::default()).unwrap();
        let edited = files.change("files/a.md", ".tmp", WriteMode::default(), |_| Ok(("edited\n".to_owned(), 7)));
        assert_eq!(edited, Ok(7));
        assert_eq!(fs::read_to_string(workspace.path("files/a.md")).unwrap(), "edited\n");
    }

    /// Below the limit, at it, and one byte above.
    #[test]
    fn largest_file_that_can_be_edited_has_the_limit_itself() {
        for (size, is_edited) in [(MAX_CHANGED - 1, true), (MAX_CHANGED, true), (MAX_CHANGED + 1, false)] {
            let (_dir, workspace) = workspace();
            let text = "x".repeat(usize::try_from(size).unwrap());
            fs::write(workspace.path("files/a.md"), text).unwrap();
            let files = AgentFiles::of(&workspace, &Agent::default()).unwrap();
            let edited = files.change("files/a.md", ".tmp", WriteMode::default(), |_| Ok((String::new(), ())));
            assert_eq!(edited.is_ok(), is_edited, "{size} bytes");
        }
    }
}
