//! The workspace's repository as the history needs it: its state, the files below `memories/` that differ from the last
//! commit, new blobs and new commits. Only entries below `memories/` of the owner's index are written.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::memory::change::{self, NewCommit};
use crate::store::fs::At;
use crate::store::fs::durable;
use crate::store::memory::FOLDER;
use crate::store::memory::git::Git;
use crate::store::workspace::Workspace;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// Names in git's folder that exist during an operation of the owner's.
const OPERATIONS: [(&str, &str); 8] = [
    ("MERGE_HEAD", "a merge"),
    ("rebase-merge", "a rebase"),
    ("rebase-apply", "a rebase"),
    ("CHERRY_PICK_HEAD", "a cherry-pick"),
    ("REVERT_HEAD", "a revert"),
    ("BISECT_LOG", "a bisect"),
    ("index.lock", "another git command (index.lock)"),
    ("HEAD.lock", "another git command (HEAD.lock)"),
];
/// A lock file that is older and that no process can hold is removed, in seconds.
const LOCK_SECONDS: i64 = 600;
/// Commits are attempted so often when others commit at the same time.
const TRIES: usize = 5;

/// The repository whose top is the workspace.
#[derive(Debug)]
pub struct Repository<'w> {
    workspace: &'w Workspace,
    git: Git<'w>,
    folder: PathBuf,
}

/// What `git status` says about `memories/`.
#[derive(Debug, Default)]
pub struct MemoryStatus {
    /// The last commit; `None` before the first one.
    pub head: Option<String>,
    /// Files that differ from it, and its blob of each; `None` for a new file.
    pub changed: BTreeMap<String, Option<String>>,
    /// Those of them whose entry in the index differs from the last commit.
    pub staged: BTreeSet<String>,
    /// Ignored files, and folders with a slash at the end.
    pub ignored: BTreeSet<String>,
    /// Whether a file has a conflict that is not resolved.
    pub is_unmerged: bool,
}

impl MemoryStatus {
    /// Whether the entry of this path in the index differs from the last commit.
    #[must_use]
    pub fn is_staged(&self, path: &str) -> bool {
        self.staged.contains(path)
    }

    /// Whether git ignores this path.
    #[must_use]
    pub fn ignores(&self, path: &str) -> bool {
        self.ignored.iter().any(|name| name == path || name.ends_with('/') && path.starts_with(name.as_str()))
    }
}

impl<'w> Repository<'w> {
    /// The repository; `None` if the workspace is not the top of one. `locks` are held by git too.
    ///
    /// # Errors
    /// If the settings are invalid.
    pub fn open(workspace: &'w Workspace, locks: Vec<OwnedFd>) -> Result<Option<Self>> {
        let Some(folder) = git_folder(&workspace.root) else { return Ok(None) };
        let git = Git { root: &workspace.root, sync: workspace.sync()?, locks };
        Ok(Some(Self { workspace, git, folder }))
    }

    /// Why nothing can be committed now: an operation of the owner's. Locks from before the machine was started have no
    /// holder and are removed.
    ///
    /// # Errors
    /// If such a lock cannot be removed.
    pub fn busy(&self) -> Result<Option<&'static str>> {
        for name in ["index.lock", "HEAD.lock"] {
            let path = self.folder.join(name);
            if is_abandoned(&path, self.workspace.world.now().timestamp()) {
                durable::remove(&path)?;
            }
        }
        let exists = |name: &str| self.folder.join(name).symlink_metadata().is_ok();
        Ok(OPERATIONS.iter().find(|(name, _)| exists(name)).map(|(_, operation)| *operation))
    }

    /// The status of `memories/`.
    ///
    /// # Errors
    /// `Failed` if the folder is not a plain folder of this repository; `Later` if git fails.
    pub fn status(&self) -> Result<MemoryStatus> {
        self.check_folder()?;
        let arguments = [
            "status",
            "--porcelain=v2",
            "--branch",
            "-z",
            "--untracked-files=all",
            "--ignored=traditional",
            "--ignore-submodules=all",
            "--no-renames",
            "--no-ahead-behind",
            "--",
            FOLDER,
        ];
        parse_status(&self.git.run(&arguments, &[])?)
    }

    /// Refuses a folder `memories` that git does not see as a folder, and a work tree elsewhere.
    fn check_folder(&self) -> Result<()> {
        let root = &self.workspace.root;
        let refused = |why: &str| Fault::new(Kind::Failed, format!("{} {why}", root.join(FOLDER).display()));
        if root.join(FOLDER).is_symlink() {
            return Err(refused("is a link, and git follows none"));
        }
        let config = fs::read_to_string(self.folder.join("config")).unwrap_or_default().to_ascii_lowercase();
        if config.contains("worktree") || config.contains("bare") && !config.contains("bare = false") {
            let top = self.git.run(&["rev-parse", "--show-toplevel"], &[])?;
            let top = String::from_utf8_lossy(&top).trim_end().to_owned();
            if fs::canonicalize(top).ok() != Some(self.workspace.real_root()) {
                return Err(refused("is not in the work tree of the repository here (core.worktree)"));
            }
        }
        let may_be_linked = root.join(".gitmodules").exists() || root.join(FOLDER).join(".git").exists();
        if may_be_linked && self.blobs(&[FOLDER])?.get(FOLDER).is_some_and(|(mode, _)| mode == "160000") {
            return Err(refused("is a submodule"));
        }
        Ok(())
    }

    /// Mode and object of these paths in the last commit.
    ///
    /// # Errors
    /// `Later` if git fails.
    pub fn blobs(&self, paths: &[&str]) -> Result<BTreeMap<String, (String, String)>> {
        if self.head()?.is_none() || paths.is_empty() {
            return Ok(BTreeMap::new());
        }
        let listed = self.git.run(&[&["ls-tree", "-z", "HEAD", "--"], paths].concat(), &[])?;
        let entry = |line: &[u8]| -> Option<(String, (String, String))> {
            let line = std::str::from_utf8(line).ok()?;
            let (about, path) = line.split_once('\t')?;
            let mut words = about.split(' ');
            let (mode, object) = (words.next()?, words.nth(1)?);
            Some((path.to_owned(), (mode.to_owned(), object.to_owned())))
        };
        Ok(listed.split(|byte| *byte == 0).filter_map(entry).collect())
    }

    /// The last commit; `None` before the first one.
    ///
    /// # Errors
    /// `Later` if git fails.
    pub fn head(&self) -> Result<Option<String>> {
        match self.git.run(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], &[]) {
            Ok(id) => Ok(Some(String::from_utf8_lossy(&id).trim_end().to_owned())),
            // Before the first commit, and in a corrupt repository, which the next command reports.
            Err(fault) if fault.message.ends_with("no reason given") => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Stores contents as blobs, which takes no lock, and returns their ids in order. Contents are stored as they are,
    /// unless a committed attribute of the owner's names a filter for the path.
    ///
    /// # Errors
    /// `Later` if git fails.
    pub fn store(&self, files: &[(&str, &[u8])]) -> Result<Vec<String>> {
        let filtered = self.filtered(&files.iter().map(|(path, _)| *path).collect::<Vec<_>>())?;
        let (raw, other): (Vec<_>, Vec<_>) =
            files.iter().enumerate().partition(|(_, (path, _))| !filtered.contains(*path));
        let mut ids = vec![String::new(); files.len()];
        for (at, (path, bytes)) in other {
            let path = format!("--path={path}");
            let id = self.git.run(&["hash-object", "-w", "--stdin", &path], bytes)?;
            String::from_utf8_lossy(&id).trim_end().clone_into(&mut ids[at]);
        }
        let raw_ids = self.store_raw(&raw.iter().map(|(_, (_, bytes))| *bytes).collect::<Vec<_>>())?;
        for ((at, _), id) in raw.into_iter().zip(raw_ids) {
            ids[at] = id;
        }
        Ok(ids)
    }

    fn store_raw(&self, contents: &[&[u8]]) -> Result<Vec<String>> {
        let id = |bytes: &[u8]| -> Vec<String> { String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect() };
        match contents {
            [] => Ok(Vec::new()),
            [only] => Ok(id(&self.git.run(&["hash-object", "-w", "--no-filters", "--stdin"], only)?)),
            several => {
                // Copies, because git would follow a link that replaces a file meanwhile.
                let folder = self.workspace.path(".claw/memory/tmp");
                fs::create_dir_all(&folder).at("make", &folder)?;
                let mut names = String::new();
                for (number, bytes) in several.iter().enumerate() {
                    let path = folder.join(number.to_string());
                    fs::write(&path, bytes).at("write", &path)?;
                    names += &format!("{}\n", path.display());
                }
                let stored = self.git.run(&["hash-object", "-w", "--no-filters", "--stdin-paths"], names.as_bytes());
                let _ = fs::remove_dir_all(&folder);
                let stored = id(&stored?);
                if stored.len() != several.len() {
                    return Err(Fault::new(Kind::Later, "git hash-object has not stored every file"));
                }
                Ok(stored)
            }
        }
    }

    /// The paths for which a committed attribute names a filter, as that of git-crypt.
    fn filtered(&self, paths: &[&str]) -> Result<BTreeSet<String>> {
        let sources = [self.workspace.path(".gitattributes"), self.folder.join("info/attributes")];
        if !sources.iter().any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains("filter="))) {
            return Ok(BTreeSet::new());
        }
        let input = paths.join("\0");
        let found = self.git.run(&["check-attr", "-z", "--stdin", "filter"], input.as_bytes())?;
        let parts: Vec<&[u8]> = found.split(|byte| *byte == 0).collect();
        let is_set = |triple: &&[&[u8]]| !matches!(triple[2], b"unspecified" | b"unset");
        let triples = parts.chunks_exact(3).filter(is_set);
        Ok(triples.map(|triple| String::from_utf8_lossy(triple[0]).into_owned()).collect())
    }

    /// Whether git ignores a path that it does not know yet.
    ///
    /// # Errors
    /// `Later` if git fails.
    pub fn is_ignored(&self, path: &str) -> bool {
        self.git.run(&["check-ignore", "--quiet", "--", path], &[]).is_ok()
    }

    /// Commits, the first one first. The index has the new entries before the branch does: killed between the two, the
    /// changes are staged, and a commit of the owner's contains them. The other way around it would undo them.
    ///
    /// # Errors
    /// `Later` if git fails, or others commit all the time.
    pub fn commit(&self, commits: &[NewCommit], mut head: Option<String>, now: Timestamp) -> Result<String> {
        let last: BTreeMap<&String, _> = commits.iter().flat_map(|commit| &commit.files).collect();
        self.stage(last.into_iter(), head.as_ref())?;
        let mut result = Err(Fault::new(Kind::Later, "git fast-import was not run"));
        for _ in 0..TRIES {
            let stream = change::stream(commits, head.as_deref(), now);
            result = self.git.run(&["fast-import", "--quiet", "--done", "--date-format=raw"], &stream);
            if result.is_ok() {
                break;
            }
            // The owner may have committed meanwhile: then the branch has moved.
            let moved = self.head()?;
            if moved == head {
                break;
            }
            head = moved;
        }
        let printed = result?;
        let id = String::from_utf8_lossy(&printed).trim().to_owned();
        if id.is_empty() { Err(Fault::new(Kind::Later, "git fast-import has printed no commit")) } else { Ok(id) }
    }

    /// Writes entries of the owner's index: mode and blob of each file; `None` removes it.
    ///
    /// # Errors
    /// `Later` if git fails, or another program holds its lock.
    pub fn stage<'f>(
        &self,
        files: impl Iterator<Item = (&'f String, &'f Option<(&'static str, String)>)>,
        head: Option<&String>,
    ) -> Result<()> {
        let no_blob = "0".repeat(head.map_or(40, String::len));
        let mut entries = String::new();
        for (path, file) in files {
            // Mode 0 removes an entry; its id is not read.
            let (mode, blob) = file.as_ref().map_or(("0", &no_blob), |(mode, blob)| (*mode, blob));
            entries += &format!("{mode} {blob}\t{path}\0");
        }
        self.git.run(&["update-index", "-z", "--index-info"], entries.as_bytes())?;
        durable::sync_file(&self.folder.join("index"), self.git.sync)
    }

    /// The owner's name and address for commits.
    #[must_use]
    pub fn owner(&self) -> change::Signature {
        let setting = |name: &str| {
            let value = self.git.run(&["config", "--get", name], &[]).ok()?;
            Some(String::from_utf8_lossy(&value).trim().to_owned()).filter(|value| !value.is_empty())
        };
        let user = self.workspace.world.user();
        let name = setting("user.name").unwrap_or_else(|| user.clone());
        change::Signature { name, email: setting("user.email").unwrap_or_else(|| format!("{user}@localhost")) }
    }

    /// The content of a blob, or of `REV:PATH`.
    ///
    /// # Errors
    /// `Later` if there is none.
    pub fn blob(&self, object: &str) -> Result<Vec<u8>> {
        self.git.run(&["cat-file", "blob", object], &[])
    }

    /// Runs a command that only reads.
    ///
    /// # Errors
    /// `Later` if git fails.
    pub fn read(&self, arguments: &[&str]) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.git.run(arguments, &[])?).into_owned())
    }
}

/// Git's folder of the repository whose top is `root`: `.git`, or the folder that a file `.git` names.
fn git_folder(root: &Path) -> Option<PathBuf> {
    let path = root.join(".git");
    let meta = fs::metadata(&path).ok()?;
    if meta.is_dir() {
        return Some(path);
    }
    let text = fs::read_to_string(&path).ok()?;
    Some(root.join(text.strip_prefix("gitdir:")?.trim()))
}

/// Whether no process holds a lock file of git's any more: it is old or from before the machine was started, no git is
/// running here, and no process has it open. The age alone does not tell: the clock may have been set since.
fn is_abandoned(path: &Path, now: Timestamp) -> bool {
    let Some(made) = path.symlink_metadata().and_then(|meta| meta.modified()).ok() else { return false };
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    let started = seconds.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    let age = Timestamp::try_from(made).map_or(0, |made| now.as_second() - made.as_second());
    let is_old = age > LOCK_SECONDS || started.is_some_and(|started| made < started);
    is_old && !processes().any(|process| may_hold(&process, path))
}

/// The folders of all processes in /proc.
fn processes() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_number = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()));
    entries.filter(move |entry| is_number(&entry.file_name())).map(|entry| entry.path())
}

fn may_hold(process: &Path, lock: &Path) -> bool {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    // Git works at the top of its repository. The folder of another user's process cannot be read, and a process that has
    // ended has none.
    let is_here = || match fs::read_link(process.join("cwd")) {
        Ok(folder) => lock.starts_with(folder),
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    };
    let is_git = name.starts_with("git") && is_here();
    let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    is_git || open.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|file| file == lock)
}

/// Reads `git status --porcelain=v2 --branch -z`. Paths that are not UTF-8 are left to the owner.
fn parse_status(output: &[u8]) -> Result<MemoryStatus> {
    let mut status = MemoryStatus::default();
    let mut has_head = false;
    for line in output.split(|byte| *byte == 0).filter_map(|line| std::str::from_utf8(line).ok()) {
        let (kind, rest) = line.split_at_checked(2).unwrap_or((line, ""));
        match kind {
            "# " => {
                if let Some(id) = rest.strip_prefix("branch.oid ") {
                    has_head = true;
                    status.head = (id != "(initial)").then(|| id.to_owned());
                }
            }
            "1 " => {
                let words: Vec<&str> = rest.splitn(8, ' ').collect();
                let [state, sub, _, _, _, blob, _, path] = words[..] else { continue };
                if sub.starts_with('N') {
                    if !state.starts_with('.') {
                        status.staged.insert(path.to_owned());
                    }
                    let is_new = blob.bytes().all(|byte| byte == b'0');
                    status.changed.insert(path.to_owned(), (!is_new).then(|| blob.to_owned()));
                }
            }
            "u " => status.is_unmerged = true,
            // A repository in a folder is listed as the folder.
            "? " if !rest.ends_with('/') => drop(status.changed.insert(rest.to_owned(), None)),
            "! " => drop(status.ignored.insert(rest.to_owned())),
            _ => {}
        }
    }
    if has_head { Ok(status) } else { Err(Fault::new(Kind::Later, "git status has named no branch")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_that_a_process_has_open_is_not_abandoned() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("index.lock");
        let held = fs::File::create(&path).unwrap();
        let now = Timestamp::try_from(held.metadata().unwrap().modified().unwrap()).unwrap();
        assert!(!is_abandoned(&path, now), "it is new");
        // From before the machine was started, if the clock is right.
        held.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000)).unwrap();
        assert!(!is_abandoned(&path, now));
        drop(held);
        assert!(is_abandoned(&path, now));
        fs::remove_file(&path).unwrap();
        assert!(!is_abandoned(&path, now));
    }

    #[test]
    fn status_is_read() {
        let text = "# branch.oid abc\0# branch.head main\0\
                    1 .M N... 100644 100644 100644 aa bb memories/a b.md\0\
                    1 A. N... 000000 100644 100644 0000 cc memories/new.md\0\
                    1 .M S.M. 160000 160000 160000 dd dd memories/sub\0\
                    ? memories/c.md\0? memories/repository/\0! memories/private/\0! memories/x.log\0";
        let status = parse_status(text.as_bytes()).unwrap();
        let expected = [("memories/a b.md", Some("aa")), ("memories/c.md", None), ("memories/new.md", None)];
        let changed: Vec<_> = status.changed.iter().map(|(path, blob)| (path.as_str(), blob.as_deref())).collect();
        assert_eq!((status.head.as_deref(), changed), (Some("abc"), expected.to_vec()));
        assert!(status.ignores("memories/private/a.md") && status.ignores("memories/x.log"));
        assert!(!status.ignores("memories/x.log2") && !status.is_unmerged);
        assert_eq!(parse_status(b"# branch.oid (initial)\0").unwrap().head, None);
        assert!(parse_status(b"u UU N... 1 1 1 1 a b c memories/a.md\0# branch.oid x\0").unwrap().is_unmerged);
        assert!(parse_status(b"").is_err());
    }
}
