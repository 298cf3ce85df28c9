//! The shared task list: `tasks/{open,claimed,done}/<id>.md`. A task's folder is its state. Every transition is one
//! rename that never replaces, under the lock `tasks`, so that only one of two claims succeeds. The module `claims`
//! decides when a claim ends.
//!
//! A task's file is changed before it moves to `claimed` or `done`, and after it has moved back to `open`: a claimed
//! task always names its holder, even if a process is killed between the steps.

pub mod claims;
mod list;

use crate::core::definition::task::{self, Task, TaskState};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::problem::{Problem, nearest};
use crate::store::fs::contained;
use crate::store::fs::durable;

use crate::store::queue::drops;
use crate::store::workspace::Workspace;
pub use list::TaskList;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder's name in a workspace.
pub const FOLDER: &str = "tasks";
/// The longest file of a task, in bytes.
const MAX: u64 = 256 << 10;
/// The end of the temporary name while a task's file is replaced; the name begins with a dot.
const TEMPORARY: &str = ".md.tmp";

/// The folder of a state.
#[must_use]
pub fn dir(workspace: &Workspace, state: TaskState) -> PathBuf {
    workspace.path(FOLDER).join(state.name())
}

/// Makes the folders that people put tasks into.
///
/// # Errors
/// On a disk error.
pub fn make_layout(workspace: &Workspace) -> Result<()> {
    TaskState::ALL.into_iter().try_for_each(|state| workspace.make_dir(&dir(workspace, state), 2))
}

/// A parsed task, or the problem with its file.
pub type ParsedTask = std::result::Result<Task, Problem>;

/// The tasks of a state, sorted by name: names that are ids come in order of time. Files that are not tasks are
/// skipped.
#[must_use]
pub fn all(workspace: &Workspace, state: TaskState) -> Vec<(String, ParsedTask)> {
    let names = names(workspace, state).into_iter();
    // A task may move to another state between the listing and the reading.
    let read = |id: String| Some((id.clone(), read(workspace, &id, state)?.map(|(task, _)| task)));
    names.filter_map(read).collect()
}

/// The problems with the files in `tasks/`, for `claw check`.
#[must_use]
pub fn problems(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen: Vec<(String, TaskState)> = Vec::new();
    for state in TaskState::ALL {
        for id in names(workspace, state) {
            match read(workspace, &id, state) {
                Some(Ok((_, warnings))) => problems.extend(warnings),
                Some(Err(problem)) => problems.push(problem),
                None => {}
            }
            if let Some((_, other)) = seen.iter().find(|(known, _)| *known == id) {
                let path = format!("{FOLDER}/{}/{id}.md", state.name());
                let message = format!("there is another task with this name in {FOLDER}/{}", other.name());
                problems.push(Problem::error(&path, message));
            }
            seen.push((id, state));
        }
        for entry in fs::read_dir(dir(workspace, state)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let why = drops::refusal(&entry.path()).or_else(|| (!name.ends_with(".md")).then_some("not a .md file"));
            if let Some(why) = why.filter(|_| name != ".gitkeep") {
                let path = format!("{FOLDER}/{}/{name}", state.name());
                problems.push(Problem::warning(&path, format!("not a task: {why}")));
            }
        }
    }
    problems
}

/// The number of tasks in a state, by their file names.
#[must_use]
pub fn count(workspace: &Workspace, state: TaskState) -> usize {
    names(workspace, state).len()
}

fn names(workspace: &Workspace, state: TaskState) -> Vec<String> {
    let dir = dir(workspace, state);
    let is_one = |name: &&String| drops::refusal(&dir.join(name)).is_none();
    let there = workspace.names(&format!("{FOLDER}/{}", state.name())).unwrap_or_default();
    let ids = there.iter().filter(is_one).filter_map(|name| name.strip_suffix(".md").filter(|id| task::is_name(id)));
    let mut ids: Vec<String> = ids.map(ToOwned::to_owned).collect();
    ids.sort();
    ids
}

/// Reads a task and its warnings; `None` if the file is gone.
fn read(
    workspace: &Workspace,
    id: &str,
    state: TaskState,
) -> Option<std::result::Result<(Task, Vec<Problem>), Problem>> {
    let name = format!("{id}.md");
    match contained::text(&dir(workspace, state), Path::new(&name), MAX) {
        Ok(text) => Some(Task::read(id, state, text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            let path = format!("{FOLDER}/{}/{name}", state.name());
            Some(Err(Problem::error(&path, format!("cannot be read: {error}"))))
        }
    }
}

/// Finds the task that `text` names: its name, any unambiguous end of it, or the path of its file.
///
/// # Errors
/// `Data` if none or several match, or the file is invalid; with a suggestion.
pub fn find(workspace: &Workspace, text: &str) -> Result<Task> {
    let text = text.trim();
    let text = text.rsplit('/').next().unwrap_or(text);
    let text = text.strip_suffix(".md").unwrap_or(text);
    let mut guess = None;
    // A task that moves during the listing may be missed in both folders, so there are two attempts.
    for _ in 0..2 {
        let ids: Vec<(String, TaskState)> = TaskState::ALL
            .into_iter()
            .flat_map(|state| names(workspace, state).into_iter().map(move |id| (id, state)))
            .collect();
        let mut matches: Vec<_> = ids.iter().filter(|(id, _)| id == text).collect();
        if matches.is_empty() {
            matches = ids.iter().filter(|(id, _)| !text.is_empty() && id.ends_with(text)).collect();
        }
        // A task that moved during the listing is found twice: its later state counts.
        let last = matches.last().copied();
        if let Some((other, _)) = matches.iter().find(|(id, _)| last.is_some_and(|(last, _)| id != last)) {
            let last = last.map_or("", |(id, _)| id.as_str());
            return Err(Fault::data(format!("`{text}` could be {other} or {last}")).hint("type more of it"));
        }
        if let Some((id, state)) = last
            && let Some(read) = read(workspace, id, *state)
        {
            return read.map(|(task, _)| task).map_err(|problem| Fault::data(problem.to_string()));
        }
        guess = nearest(text, ids.iter().map(|(id, _)| id.as_str())).map(|near| format!("did you mean `{near}`?"));
    }
    let fault = Fault::data(format!("there is no task `{}`", text.escape_debug()));
    Err(fault.hint(guess.unwrap_or_else(|| "`claw tasks list` lists all tasks".to_owned())))
}

/// The first open task.
///
/// # Errors
/// `Later` if no task is open.
pub fn first(workspace: &Workspace) -> Result<Task> {
    let mut open = all(workspace, TaskState::Open).into_iter();
    open.find_map(|(_, read)| read.ok()).ok_or_else(|| Fault::new(Kind::Later, "no task is open"))
}

/// Removes temporary files of killed writers.
///
/// # Errors
/// If a file cannot be removed.
pub fn tidy(workspace: &Workspace) -> Result<()> {
    let left = || {
        let files =
            TaskState::ALL.into_iter().flat_map(|state| fs::read_dir(dir(workspace, state))).flatten().flatten();
        files.map(|file| file.path()).filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with('.') && name.ends_with(TEMPORARY)
        })
    };
    if left().next().is_none() {
        return Ok(());
    }
    // Under the lock, no writer is using one.
    let _list = TaskList::open(workspace)?;
    left().try_for_each(|path| durable::remove(&path))
}
