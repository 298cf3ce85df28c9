//! Taking back the change of an event, and restoring a file of an earlier commit. Both are planned without a lock on
//! what the owner decides meanwhile, and applied only to the files as they were planned.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::memory::change::{ChangeAuthor, FileChange};
use crate::core::memory::{merge, shrink};
use crate::core::text::line_diff;
use crate::store::memory::FOLDER;
use crate::store::memory::history::files::{self, MemoryFile};
use crate::store::memory::history::repository::Repository;
use crate::store::memory::history::{History, is_by_shell, log_format, pending};
use crate::store::workspace::Workspace;
use std::collections::{BTreeMap, BTreeSet};

/// The most lines of a difference that are shown for one file.
const MAX_LINES: usize = 400;

/// New contents of files.
#[derive(Debug)]
pub struct MemoryPlan {
    /// The event that is undone.
    pub event: Option<String>,
    /// Whether programs of an agent made a change that is undone: others may have changed the files at the same time.
    pub is_by_shell: bool,
    subject: String,
    files: BTreeMap<String, (Option<MemoryFile>, Option<Vec<u8>>)>,
}

impl MemoryPlan {
    /// The files that it changes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The changes, as text.
    #[must_use]
    pub fn difference(&self) -> Vec<String> {
        let text = |bytes: Option<&Vec<u8>>| {
            String::from_utf8_lossy(bytes.map(Vec::as_slice).unwrap_or_default()).into_owned()
        };
        let mut lines = Vec::new();
        for (name, (old, new)) in &self.files {
            lines.push(format!("{name}:"));
            let (old, new) = (text(old.as_ref().map(|old| &old.bytes)), text(new.as_ref()));
            lines.extend(line_diff::lines(&old, &new, MAX_LINES).into_iter().map(|line| format!("  {line}")));
        }
        lines
    }
}

/// One change of an event, or a part of it.
struct EventChange {
    is_by_shell: bool,
    files: BTreeMap<String, FileChange>,
}

/// Plans to take back what an event changed, and nothing else. `typed` is the event's id, or an unambiguous end of it.
///
/// # Errors
/// `Usage` if there is no such event, or several; `Data` if a later change conflicts, with the lines.
pub fn plan_undo(workspace: &Workspace, typed: &str) -> Result<MemoryPlan> {
    let mut history = History::open(workspace)?;
    history.settle(&[]);
    let repository = needed(&history)?;
    let (event, changes) = changes(workspace, repository, typed)?;
    let mut plan =
        MemoryPlan { subject: format!("undo {event}"), event: Some(event), is_by_shell: false, files: BTreeMap::new() };
    let mut conflicts = Vec::new();
    let content = |blob: Option<&String>| blob.map_or(Ok(Vec::new()), |blob| repository.blob(blob));
    // The last change first.
    for change in changes {
        plan.is_by_shell |= change.is_by_shell;
        for (name, file) in change.files {
            if !plan.files.contains_key(&name) {
                let old = files::read(workspace, &name, None)?;
                let new = old.as_ref().map(|old| old.bytes.clone());
                plan.files.insert(name.clone(), (old, new));
            }
            let Some((_, current)) = plan.files.get_mut(&name) else { continue };
            let (before, after) = (content(file.before.as_ref())?, content(file.after.as_ref())?);
            match merge::merge(&after, current.as_deref().unwrap_or_default(), &before) {
                // A file that the event made is removed, unless others have added to it.
                Ok(text) => *current = Some(text).filter(|text| !text.is_empty() || file.before.is_some()),
                Err(lines) => conflicts.extend(lines.into_iter().map(|line| format!("{name}:{line}"))),
            }
        }
    }
    if !conflicts.is_empty() {
        conflicts.truncate(20);
        return Err(Fault::data(format!("nothing was undone: later changes conflict at {}", conflicts.join(", ")))
            .hint("edit the file yourself, or restore it: claw memory restore PATH@REV"));
    }
    plan.files.retain(|_, (old, new)| old.as_ref().map(|old| &old.bytes) != new.as_ref());
    if plan.files.is_empty() {
        return Err(Fault::data("there is nothing to undo: none of its changes is left"));
    }
    Ok(plan)
}

/// Plans to restore a file as it was in a commit.
///
/// # Errors
/// `Usage` if the path or the commit is unknown; `Data` if that removes more than half of the file, and `may_shrink` is
/// not set.
pub fn plan_restore(workspace: &Workspace, name: &str, revision: &str, may_shrink: bool) -> Result<MemoryPlan> {
    let name = files::checked(name)?;
    let mut history = History::open(workspace)?;
    history.settle(&[]);
    let repository = needed(&history)?;
    let unknown = |what: &str| Fault::new(Kind::Usage, format!("{what} in the history of {FOLDER}/"));
    if revision.starts_with('-') {
        return Err(unknown(&format!("there is no commit {revision:?}")));
    }
    let commit = repository.read(&["rev-parse", "--verify", "--quiet", &format!("{revision}^{{commit}}")]);
    let commit = commit.map_err(|_| unknown(&format!("there is no commit {revision:?}")))?;
    let commit = commit.trim();
    let new = repository.blob(&format!("{commit}:{name}"));
    let new = new.map_err(|_| unknown(&format!("there is no {name} at {revision}")))?;
    let old = files::read(workspace, name, None)?;
    if let Some(old) = old.as_ref().filter(|_| !may_shrink) {
        shrink::check(name, &old.bytes, Some(&new))
            .map_err(|fault| Fault { hint: Some("repeat it with --shrink if that is intended".to_owned()), ..fault })?;
    }
    let subject = format!("restore {name} from {}", &commit[..commit.len().min(12)]);
    let files = BTreeMap::from([(name.to_owned(), (old, Some(new)))]);
    Ok(MemoryPlan { event: None, is_by_shell: false, subject, files })
}

/// Applies a plan, and commits it as `author`'s.
///
/// # Errors
/// `Data` if a file has changed since it was planned; those of the file system.
pub fn apply(workspace: &Workspace, author: &ChangeAuthor, plan: &MemoryPlan) -> Result<()> {
    let mut history = History::open(workspace)?;
    let names: Vec<String> = plan.files.keys().cloned().collect();
    history.settle(&names);
    let author = ChangeAuthor { undoes: plan.event.clone(), ..author.clone() };
    history.make(&author, &plan.subject, &names, || {
        for (name, (old, _)) in &plan.files {
            if files::read(workspace, name, None)? != *old {
                return Err(Fault::data(format!("{name} was changed meanwhile; nothing was done, try again")));
            }
        }
        let mut written = Vec::new();
        for (name, (old, new)) in &plan.files {
            files::replace(workspace, name, old.as_ref(), new.as_deref())?;
            written.push((name.clone(), new.clone()));
        }
        Ok(((), written))
    })
}

fn needed<'h, 'w>(history: &'h History<'w>) -> Result<&'h Repository<'w>> {
    history.repository.as_ref().ok_or_else(|| {
        Fault::new(Kind::Failed, format!("there is no history of {FOLDER}/"))
            .hint("set memories.git: true in claw.yaml, and make the workspace a git repository")
    })
}

/// The event that `typed` names, and its changes, the last one first.
fn changes(workspace: &Workspace, repository: &Repository, typed: &str) -> Result<(String, Vec<EventChange>)> {
    let mut events = BTreeSet::new();
    let mut found = Vec::new();
    let is_named = |event: &str| !typed.is_empty() && event.ends_with(typed);
    for change in pending::pending(workspace)?.into_iter().rev() {
        let event = change.author.event.as_str();
        if is_named(event) {
            events.insert(event.to_owned());
            found.push(EventChange { is_by_shell: change.author.by_shell, files: change.files });
        }
    }
    let grep = format!("--grep={typed}");
    let log = if repository.head()?.is_some() {
        repository.read(&["log", "--fixed-strings", &grep, &log_format(), "HEAD", "--", FOLDER])?
    } else {
        String::new()
    };
    for line in log.lines() {
        let mut columns = line.split('\t');
        let (Some(commit), Some(_), Some(event), Some(by)) =
            (columns.next(), columns.next(), columns.next(), columns.next())
        else {
            continue;
        };
        if is_named(event) {
            events.insert(event.to_owned());
            found.push(EventChange { is_by_shell: is_by_shell(by), files: changed_files(repository, commit)? });
        }
    }
    if found.is_empty() {
        for change in pending::contained(workspace)?.into_iter().rev() {
            let event = change.author.event.as_str();
            if is_named(event) {
                events.insert(event.to_owned());
                found.push(EventChange { is_by_shell: change.author.by_shell, files: change.files });
            }
        }
    }
    let mut events = events.into_iter();
    match (events.next(), events.next()) {
        (Some(event), None) => Ok((event, found)),
        (None, _) => Err(Fault::new(Kind::Usage, format!("no change of {FOLDER}/ is from an event {typed:?}"))
            .hint(format!("git log -- {FOLDER} shows the events (Claw-Event)"))),
        (Some(first), Some(second)) => {
            Err(Fault::new(Kind::Usage, format!("{typed:?} is ambiguous: {first}, {second}"))
                .hint("type more of the id"))
        }
    }
}

/// The files below `memories/` that a commit has changed.
fn changed_files(repository: &Repository, commit: &str) -> Result<BTreeMap<String, FileChange>> {
    let arguments = ["diff-tree", "-r", "-z", "--root", "--no-commit-id", "--no-renames", commit, "--", FOLDER];
    let listed = repository.read(&arguments)?;
    let mut parts = listed.split('\0');
    let mut files = BTreeMap::new();
    while let (Some(about), Some(name)) = (parts.next().filter(|about| !about.is_empty()), parts.next()) {
        let words: Vec<&str> = about.trim_start_matches(':').split(' ').collect();
        let [_, mode, before, after, _] = words[..] else { continue };
        let blob = |id: &str| (!id.bytes().all(|byte| byte == b'0')).then(|| id.to_owned());
        let change = FileChange { before: blob(before), after: blob(after), is_executable: mode == "100755" };
        files.insert(name.to_owned(), change);
    }
    Ok(files)
}
