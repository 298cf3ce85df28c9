//! The history of `memories/`: one git commit for each change, with its author. Changes of agents and notes are made
//! through [`change()`], under one lock. Whatever else differs from the last commit is the owner's, and is committed as
//! such before.
//!
//! No change waits for git or fails because of it. During a merge of the owner's, or while another program holds git's
//! lock, contents are stored as blobs and the change is listed as pending; the next change or tick commits it.

mod files;
mod pending;
mod repository;
mod undo;

pub use files::name_of;
pub use pending::STATE;
pub use undo::{MemoryPlan, apply, plan_restore, plan_undo};

use crate::core::fault::{Fault, Kind, Result};
use crate::core::memory::change::{self, BY, ChangeAuthor, EVENT, FileChange, NewCommit, PendingChange};
use crate::core::memory::merge;
use crate::store::lock::NamedLock;
use crate::store::memory::history::files::{MAX_OWN, MemoryFile};
use crate::store::memory::history::pending::BegunChange;
use crate::store::memory::history::repository::{MemoryStatus, Repository};
use crate::store::workspace::Workspace;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// The lock of the history: of changes below `memories/`, and of their commits.
const LOCK: &str = "memories";
/// The most changes whose authors are kept while git does not work.
const MAX_BEGUN: usize = 200;
/// The message about trouble with git is printed once, until git works again.
const TROUBLE: &str = "memory-history";

/// The new contents of files; `None`: the file is removed. A file that is not in the list is read again.
pub type NewContents = Vec<(String, Option<Vec<u8>>)>;

/// Makes a change of these files, named relative to the workspace, and commits it as its author's. `act` returns what it
/// has written. Trouble with git is no error.
///
/// # Errors
/// Those of `act`, and of the lock.
pub fn change<T>(
    workspace: &Workspace,
    author: &ChangeAuthor,
    subject: &str,
    names: &[String],
    act: impl FnOnce() -> Result<(T, NewContents)>,
) -> Result<T> {
    let mut history = History::open(workspace)?;
    history.settle(names);
    history.make(author, subject, names, act)
}

/// Commits pending changes, if there are some and nobody else is at it. Returns whether some are left.
///
/// # Errors
/// If the lists cannot be read.
pub fn commit_pending(workspace: &Workspace) -> Result<bool> {
    if pending::pending(workspace)?.is_empty() && pending::begun(workspace)?.is_empty() {
        return Ok(false);
    }
    if let Some(lock) = NamedLock::attempt(workspace, LOCK)? {
        History::with(workspace, lock)?.settle(&[]);
    }
    Ok(!pending::pending(workspace)?.is_empty())
}

/// The number of pending changes, and the operation that they wait for.
///
/// # Errors
/// If the list cannot be read.
pub fn waiting(workspace: &Workspace) -> Result<(usize, Option<&'static str>)> {
    let count = pending::pending(workspace)?.len();
    let repository = Repository::open(workspace, Vec::new())?;
    Ok((count, repository.map(|repository| repository.busy()).transpose()?.flatten()))
}

/// Lets a program of `author` change files below `memories/`, until `until` at the latest. The owner's changes are
/// committed before, and the program's after it. Other changes may be made meanwhile.
///
/// # Errors
/// Those of `run`, and of the lock.
pub fn during<T>(
    workspace: &Workspace,
    author: &ChangeAuthor,
    subject: &str,
    until: Timestamp,
    run: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let begun =
        BegunChange { author: author.clone(), subject: subject.to_owned(), files: Vec::new(), until: Some(until) };
    let mut history = History::open(workspace)?;
    if history.repository.is_none() {
        drop(history);
        return run();
    }
    history.settle(&[]);
    pending::begin(workspace, &begun)?;
    drop(history);
    let result = run();
    let mut history = History::open(workspace)?;
    history.settle(&[]);
    let mut left = pending::begun(workspace)?;
    left.retain(|other| *other != begun);
    pending::keep_begun(workspace, &left)?;
    result
}

/// The history, locked.
struct History<'w> {
    workspace: &'w Workspace,
    repository: Option<Repository<'w>>,
    /// The status after the last [`History::settle`]; `None` if nothing can be committed now.
    status: Option<MemoryStatus>,
    _lock: NamedLock,
}

impl<'w> History<'w> {
    fn open(workspace: &'w Workspace) -> Result<Self> {
        let lock = NamedLock::wait(workspace, LOCK)?;
        Self::with(workspace, lock)
    }

    fn with(workspace: &'w Workspace, lock: NamedLock) -> Result<Self> {
        let is_on = workspace.config()?.memories.git && workspace.is_trusted;
        let repository = if is_on { Repository::open(workspace, vec![lock.share()?])? } else { None };
        if is_on && repository.is_none() {
            let text = "the memories have no history: memories.git is true, but the workspace is no git repository";
            workspace.warn_once("no-history", text);
        }
        Ok(Self { workspace, repository, status: None, _lock: lock })
    }

    /// Commits everything that is not committed yet: pending changes, those of a killed process, and the owner's.
    /// Of files that are about to be changed, `names`, the owner's versions are committed whatever their size and form.
    fn settle(&mut self, names: &[String]) {
        self.status = None;
        let Some(repository) = &self.repository else { return };
        match self.settled(repository, names) {
            Ok(status) => self.status = status,
            Err(fault) => self.complain(&fault),
        }
    }

    fn settled(&self, repository: &Repository, names: &[String]) -> Result<Option<MemoryStatus>> {
        if repository.busy()?.is_some() {
            return Ok(None);
        }
        let mut status = repository.status()?;
        if status.is_unmerged {
            return Ok(None);
        }
        let waiting = pending::pending(self.workspace)?;
        let mut tips = Tips { repository, blobs: BTreeMap::new() };
        let mut commits = Vec::new();
        if !waiting.is_empty() {
            // Each path once: thousands of notes may wait for the same file.
            let paths: BTreeSet<&str> =
                waiting.iter().flat_map(|change| change.files.keys().map(String::as_str)).collect();
            let paths: Vec<&str> = paths.into_iter().collect();
            let listed = repository.blobs(&paths)?;
            tips.blobs = paths
                .into_iter()
                .map(|path| (path.to_owned(), listed.get(path).map(|(_, blob)| blob.clone())))
                .collect();
            for change in &waiting {
                commits.extend(self.pending_commit(repository, &mut tips, change)?);
            }
        }
        let begun = pending::begun(self.workspace)?;
        commits.extend(self.found_commits(repository, &status, &mut tips, &begun, names)?);
        if !commits.is_empty() {
            let now = self.workspace.world.now().timestamp();
            status.head = Some(repository.commit(&commits, status.head.clone(), now)?);
        }
        if !waiting.is_empty() {
            pending::keep(self.workspace, &[])?;
        }
        let now = self.workspace.world.now().timestamp();
        let running: Vec<BegunChange> =
            begun.iter().filter(|begun| begun.until.is_some_and(|until| until > now)).cloned().collect();
        if running != begun {
            pending::keep_begun(self.workspace, &running)?;
        }
        self.calm();
        Ok(Some(status))
    }

    /// The commit of a pending change; `None` if a commit of the owner's contains it already, which is recorded.
    fn pending_commit(
        &self,
        repository: &Repository,
        tips: &mut Tips,
        change: &PendingChange,
    ) -> Result<Option<NewCommit>> {
        let mut files = BTreeMap::new();
        for (path, file) in &change.files {
            let tip = tips.blobs.get(path).cloned().flatten();
            if tip == file.after {
                continue;
            }
            let blob = if tip == file.before { file.after.clone() } else { tips.merged(path, tip.as_deref(), file)? };
            if blob == tip {
                continue;
            }
            tips.blobs.insert(path.clone(), blob.clone());
            files.insert(path.clone(), blob.map(|blob| (change::mode(file.is_executable), blob)));
        }
        if files.is_empty() {
            self.record_contained(repository, change)?;
            return Ok(None);
        }
        let (author, message) = (change.author.signature(), change.author.message(&change.subject));
        Ok(Some(NewCommit { author, at: change.at, message, files }))
    }

    fn record_contained(&self, repository: &Repository, change: &PendingChange) -> Result<()> {
        let Some(path) = change.files.keys().next() else { return Ok(()) };
        let format = format!("--format=%H %(trailers:key={EVENT},valueonly,separator=%x2C)");
        // A file's name is no pattern.
        let path = format!(":(literal){path}");
        let found = repository.read(&["log", "-1", &format, "HEAD", "--", &path])?;
        let (commit, event) = found.trim_end().split_once(' ').unwrap_or((found.trim_end(), ""));
        // It was committed by a process that was killed before it could take the change off the list.
        if event.contains(change.author.event.as_str()) {
            return Ok(());
        }
        pending::record_contained(
            self.workspace,
            &PendingChange { contained_in: Some(commit.to_owned()), ..change.clone() },
        )
    }

    /// The commits of files that differ from the last commit: of changes that were begun by a killed process or are
    /// being made by a program, and of the owner.
    fn found_commits(
        &self,
        repository: &Repository,
        status: &MemoryStatus,
        tips: &mut Tips,
        begun: &[BegunChange],
        names: &[String],
    ) -> Result<Vec<NewCommit>> {
        let mut found: Vec<(&String, Option<MemoryFile>)> = Vec::new();
        for (path, tip) in &status.changed {
            if files::is_leftover(path) {
                files::remove_leftover(self.workspace, path)?;
                continue;
            }
            let is_whole = names.contains(path) || begun.iter().any(|begun| begun.files.contains(path));
            let Ok(file) = files::read(self.workspace, path, (!is_whole).then_some(MAX_OWN)) else { continue };
            let is_removed = file.is_none() && tip.is_some();
            let is_new = file.as_ref().is_some_and(|file| is_whole || files::is_text(&file.bytes));
            if !status.ignores(path) && files::is_tracked_name(path) && (is_removed || is_new) {
                found.push((path, file));
            }
        }
        let there: Vec<(&str, &[u8])> =
            found.iter().filter_map(|(path, file)| Some((path.as_str(), file.as_ref()?.bytes.as_slice()))).collect();
        let mut blobs = repository.store(&there)?.into_iter();
        let now = self.workspace.world.now().timestamp();
        let program = begun.iter().rposition(|begun| begun.until.is_some());
        let mut commits: BTreeMap<Option<usize>, NewCommit> = BTreeMap::new();
        let mut unchanged = Vec::new();
        for (path, file) in &found {
            let blob = file.as_ref().and_then(|_| blobs.next());
            let tip = tips.blobs.get(*path).or_else(|| status.changed.get(*path)).cloned().flatten();
            let mode = change::mode(file.as_ref().is_some_and(|file| file.is_executable));
            let entry = blob.clone().map(|blob| (mode, blob));
            if blob == tip {
                // Only the index differs: after a power cut, or it was staged and changed back.
                unchanged.push(((*path).clone(), entry));
                continue;
            }
            let own = begun.iter().position(|begun| begun.files.contains(*path)).or(program);
            let commit = commits.entry(own).or_insert_with(|| match own.map(|own| &begun[own]) {
                Some(begun) => NewCommit {
                    author: begun.author.signature(),
                    at: now,
                    message: begun.author.message(&begun.subject),
                    files: BTreeMap::new(),
                },
                None => NewCommit {
                    author: repository.owner(),
                    at: now,
                    message: "edit memories\n\nClaw-By: owner\n".to_owned(),
                    files: BTreeMap::new(),
                },
            });
            commit.files.insert((*path).clone(), entry);
        }
        if !unchanged.is_empty() && unchanged.iter().any(|(path, _)| status.is_staged(path)) {
            repository.stage(unchanged.iter().map(|(path, entry)| (path, entry)), status.head.as_ref())?;
        }
        Ok(commits.into_values().collect())
    }

    /// Makes a change after [`History::settle`], and commits it or lists it as pending.
    fn make<T>(
        &mut self,
        author: &ChangeAuthor,
        subject: &str,
        names: &[String],
        act: impl FnOnce() -> Result<(T, NewContents)>,
    ) -> Result<T> {
        if self.repository.is_none() {
            return act().map(|(result, _)| result);
        }
        let workspace = self.workspace;
        let read = |name: &String| files::read(workspace, name, None).ok().flatten();
        let before: BTreeMap<&String, Option<MemoryFile>> = names.iter().map(|name| (name, read(name))).collect();
        let others = pending::begun(workspace)?;
        let (author, subject) = (author.clone(), subject.to_owned());
        pending::begin(
            workspace,
            &BegunChange { author: author.clone(), subject: subject.clone(), files: names.to_vec(), until: None },
        )?;
        let acted = act();
        match &acted {
            Ok((_, written)) => {
                let mut all = written.clone();
                for name in before.keys() {
                    if !written.iter().any(|(known, _)| known == *name) {
                        all.push(((*name).clone(), read(name).map(|file| file.bytes)));
                    }
                }
                match self.record(&author, &subject, &before, &all) {
                    Ok(()) => {}
                    // It stays begun, and keeps its author until git works again.
                    Err(fault) => {
                        self.complain(&fault);
                        if others.len() >= MAX_BEGUN {
                            pending::keep_begun(workspace, &others)?;
                        }
                        return acted.map(|(result, _)| result);
                    }
                }
            }
            // A failed call may have changed a file all the same: then the next change commits it as this author's.
            Err(_) if before.iter().any(|(name, file)| read(name) != *file) => {
                return acted.map(|(result, _)| result);
            }
            Err(_) => {}
        }
        pending::keep_begun(workspace, &others)?;
        acted.map(|(result, _)| result)
    }

    fn record(
        &self,
        author: &ChangeAuthor,
        subject: &str,
        before: &BTreeMap<&String, Option<MemoryFile>>,
        written: &NewContents,
    ) -> Result<()> {
        let Some(repository) = &self.repository else { return Ok(()) };
        let old = |name: &String| before.get(name).and_then(Option::as_ref);
        let is_ignored = |name: &String| match &self.status {
            Some(status) => status.ignores(name) || old(name).is_none() && repository.is_ignored(name),
            None => false,
        };
        let is_changed = |(name, new): &&(String, Option<Vec<u8>>)| {
            old(name).map(|old| &old.bytes) != new.as_ref() && files::is_tracked_name(name) && !is_ignored(name)
        };
        let changed: Vec<&(String, Option<Vec<u8>>)> = written.iter().filter(is_changed).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let is_executable = |name: &String| old(name).is_some_and(|old| old.is_executable);
        let new: Vec<(&str, &[u8])> =
            changed.iter().filter_map(|(name, new)| Some((name.as_str(), new.as_deref()?))).collect();
        let at = self.workspace.world.now().timestamp();
        if let Some(status) = &self.status
            && repository.busy()?.is_none()
        {
            let mut blobs = repository.store(&new)?.into_iter();
            let entry = |(name, new): &&(String, Option<Vec<u8>>)| {
                let blob = new.as_ref().and_then(|_| blobs.next());
                (name.clone(), blob.map(|blob| (change::mode(is_executable(name)), blob)))
            };
            let files = changed.iter().map(entry).collect();
            let commit = NewCommit { author: author.signature(), at, message: author.message(subject), files };
            let Err(fault) = repository.commit(&[commit], status.head.clone(), at) else { return Ok(()) };
            // Another program took git's lock meanwhile.
            if repository.busy()?.is_none() {
                self.complain(&fault);
            }
        }
        let olds: Vec<(&str, &[u8])> =
            changed.iter().filter_map(|(name, _)| Some((name.as_str(), old(name)?.bytes.as_slice()))).collect();
        let mut blobs = repository.store(&[&new[..], &olds[..]].concat())?;
        let mut old_blobs = blobs.split_off(new.len()).into_iter();
        let mut new_blobs = blobs.into_iter();
        let files = changed.iter().map(|(name, new)| {
            let after = new.as_ref().and_then(|_| new_blobs.next());
            let before = old(name).and_then(|_| old_blobs.next());
            (name.clone(), FileChange { before, after, is_executable: is_executable(name) })
        });
        let (author, subject) = (author.clone(), subject.to_owned());
        let change = PendingChange { author, at, subject, files: files.collect(), contained_in: None };
        pending::add(self.workspace, &change)
    }

    /// Prints trouble with git once, until git works again.
    fn complain(&self, fault: &Fault) {
        let way_out = "memories are written, but their changes are not committed: correct it, then run `claw tick`";
        self.workspace.warn_once(TROUBLE, &Fault::new(Kind::Later, fault.message.clone()).hint(way_out).to_string());
    }

    fn calm(&self) {
        let path = self.workspace.path(&format!(".claw/said-{TROUBLE}"));
        if path.exists() {
            let _ = fs::remove_file(path);
        }
    }
}

/// The blobs of paths in the last commit, as far as pending changes need them; with the commits to be made applied.
struct Tips<'r, 'w> {
    repository: &'r Repository<'w>,
    blobs: BTreeMap<String, Option<String>>,
}

impl Tips<'_, '_> {
    /// The blob of the last commit's file with a change applied to it; unchanged if it contains the change.
    fn merged(&self, path: &str, tip: Option<&str>, file: &FileChange) -> Result<Option<String>> {
        let content = |blob: Option<&str>| blob.map_or(Ok(Vec::new()), |blob| self.repository.blob(blob));
        let (tip_text, before, after) =
            (content(tip)?, content(file.before.as_deref())?, content(file.after.as_deref())?);
        if merge::contains(&tip_text, &before, &after) {
            return Ok(tip.map(str::to_owned));
        }
        match merge::merge(&before, &tip_text, &after) {
            Ok(text) => Ok(self.repository.store(&[(path, &text)])?.pop()),
            // The file on the disk decides, which is committed next.
            Err(_) => Ok(file.after.clone()),
        }
    }
}

/// Whether a commit's trailers say that an agent's program made the change.
fn is_by_shell(by: &str) -> bool {
    by.split(',').any(|by| by.trim() == change::SHELL)
}

/// The format of `git log` for [`undo`]: commit, parents, event, and [`BY`].
fn log_format() -> String {
    let trailer = |key: &str| format!("%(trailers:key={key},valueonly,separator=%x2C)");
    format!("--format=%H%x09%P%x09{}%x09{}", trailer(EVENT), trailer(BY))
}
