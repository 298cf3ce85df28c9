//! The shared task list: `tasks/{open,claimed,done}/<id>.md`. A task's folder is its state. Every move is one
//! rename that never replaces, under the lock `tasks`, so that of two who claim a task one has it; what holds a
//! claim, and when it is free again, [`crate::store::tasks::claims`] says.
//!
//! What stands in a file is written before it moves into `claimed` or `done`, and after it has come back to
//! `open`: a claim always says what it holds by, whoever is killed when.

pub mod claims;

use crate::core::definition::task::{self, Hold, Task, TaskState};
use crate::core::event::address::Address;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::problem::{Problem, nearest};
use crate::store::fs::At;
use crate::store::fs::durable::{self, Moved};
use crate::store::fs::{contained, lease};
use crate::store::lock::Only;
use crate::store::queue::drops;
use crate::store::workspace::Workspace;
use crate::store::workspace::clock;
use rustix::fs::Mode;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The folder's name in a workspace.
pub const FOLDER: &str = "tasks";
/// The longest file of a task, in bytes.
const MAX: u64 = 256 << 10;
/// What the second name of a task that is written anew ends with; it begins with a dot.
const TEMPORARY: &str = ".md.tmp";

/// The folder of a state.
#[must_use]
pub fn dir(workspace: &Workspace, state: TaskState) -> PathBuf {
    workspace.path(FOLDER).join(state.name())
}

/// Makes the folders that people put tasks into.
///
/// # Errors
/// Where the disk cannot.
pub fn lay_out(workspace: &Workspace) -> Result<()> {
    TaskState::ALL.into_iter().try_for_each(|state| workspace.make_place(&dir(workspace, state), 2))
}

/// The list, while nobody else changes it.
pub struct TaskList<'w> {
    pub(crate) workspace: &'w Workspace,
    _only: Only,
}

/// A task that could be read, or the problem with its file.
pub type ParsedTask = std::result::Result<Task, Problem>;

/// The tasks of a state by name, those named by an instant in its order. A file that is no task is passed over.
#[must_use]
pub fn all(workspace: &Workspace, state: TaskState) -> Vec<(String, ParsedTask)> {
    let names = names(workspace, state).into_iter();
    // Between the listing and the reading it may have moved on.
    let read = |id: String| Some((id.clone(), read(workspace, &id, state)?.map(|(task, _)| task)));
    names.filter_map(read).collect()
}

/// What is wrong with the files in `tasks/`, or might be better.
#[must_use]
pub fn problems(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen: Vec<(String, TaskState)> = Vec::new();
    for state in TaskState::ALL {
        for id in names(workspace, state) {
            match read(workspace, &id, state) {
                Some(Ok((_, slips))) => problems.extend(slips),
                Some(Err(problem)) => problems.push(problem),
                None => {}
            }
            if let Some((_, other)) = seen.iter().find(|(known, _)| *known == id) {
                let path = format!("{FOLDER}/{}/{id}.md", state.name());
                let what = format!("there is another one of this name in {FOLDER}/{}", other.name());
                problems.push(Problem::error(&path, what));
            }
            seen.push((id, state));
        }
        for entry in fs::read_dir(dir(workspace, state)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let why = drops::refusal(&entry.path()).or_else(|| (!name.ends_with(".md")).then_some("not a .md file"));
            if let Some(why) = why.filter(|_| name != ".gitkeep") {
                let path = format!("{FOLDER}/{}/{name}", state.name());
                problems.push(Problem::warning(&path, format!("is no task: {why}")));
            }
        }
    }
    problems
}

/// How many tasks there are in a state, by their names alone.
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

/// Reads one, with what might be better about it; nothing where it is not there any more.
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

/// The one task that `text` means: its name, any unambiguous end of it, or the path of its file.
///
/// # Errors
/// `Data` where nothing, or more than one task, is meant, or its file is none; with a guess.
pub fn find(workspace: &Workspace, text: &str) -> Result<Task> {
    let text = text.trim();
    let text = text.rsplit('/').next().unwrap_or(text);
    let text = text.strip_suffix(".md").unwrap_or(text);
    let mut guess = None;
    // Between two folders it is in neither for a reader, who therefore looks twice.
    for _ in 0..2 {
        let ids: Vec<(String, TaskState)> = TaskState::ALL
            .into_iter()
            .flat_map(|state| names(workspace, state).into_iter().map(move |id| (id, state)))
            .collect();
        let exact: Vec<_> = ids.iter().filter(|(id, _)| id == text).collect();
        let mut meant = exact;
        if meant.is_empty() {
            meant = ids.iter().filter(|(id, _)| !text.is_empty() && id.ends_with(text)).collect();
        }
        // What has moved while it was listed is further than it seems.
        let last = meant.last().copied();
        if let Some((other, _)) = meant.iter().find(|(id, _)| last.is_some_and(|(last, _)| id != last)) {
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
    Err(fault.hint(guess.unwrap_or_else(|| "claw tasks list shows what there is".to_owned())))
}

/// The first open task.
///
/// # Errors
/// `Later` where none is.
pub fn first(workspace: &Workspace) -> Result<Task> {
    let mut open = all(workspace, TaskState::Open).into_iter();
    open.find_map(|(_, read)| read.ok()).ok_or_else(|| Fault::new(Kind::Later, "no task is open"))
}

/// Takes away the second names that killed writers have left.
///
/// # Errors
/// Where one cannot be removed.
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
    // Nobody is just writing one.
    let _list = TaskList::open(workspace)?;
    left().try_for_each(|path| durable::remove(&path))
}

impl<'w> TaskList<'w> {
    /// Waits for the list; whoever has it is quick.
    ///
    /// # Errors
    /// Where the folders cannot be made.
    pub fn open(workspace: &'w Workspace) -> Result<Self> {
        lay_out(workspace)?;
        Ok(Self { workspace, _only: Only::wait(workspace, "tasks")? })
    }

    /// Puts a task on the list, durable on return, and returns its name: `name`, or a fresh one. One of that name
    /// that is there, in whatever state, stays as it is.
    ///
    /// # Errors
    /// `Data` where the text has front matter that is none, or is too long.
    pub fn add(&self, name: Option<String>, text: &str, by: &Address, hops: u32) -> Result<String> {
        let workspace = self.workspace;
        let name = match name {
            Some(name) if TaskState::ALL.into_iter().any(|state| self.path(&name, state).exists()) => return Ok(name),
            Some(name) => name,
            None => clock::next_id(workspace)?.to_string(),
        };
        if text.trim().is_empty() {
            return Err(Fault::data("there is nothing to be done: the text is empty"));
        }
        let text = task::compose(&name, text, by, workspace.world.now(), hops)?;
        if text.len() as u64 > MAX {
            return Err(Fault::data(format!("{} bytes are more than a task may have ({MAX})", text.len()))
                .hint("put it into files/ and name it"));
        }
        let dir = dir(workspace, TaskState::Open);
        durable::publish(&dir, &format!("{name}.md"), &dir, text.as_bytes(), workspace.sync()?)?;
        Ok(name)
    }

    /// Claims a task, or the first open one. The session that has it already has it; to one that has some already
    /// and names none, the first of those is told, so that a repeated call is one claim.
    ///
    /// # Errors
    /// `Later` where somebody else has it, or nothing is open; `Data` where it is done, or there is none.
    pub fn claim(&self, id: Option<&str>, by: &Address, hold: &Hold) -> Result<Task> {
        let own = || all(self.workspace, TaskState::Claimed).into_iter().filter_map(|(_, read)| read.ok());
        let task = match id {
            Some(id) => find(self.workspace, id)?,
            None => own().find(|task| is_same(task, hold)).map_or_else(|| first(self.workspace), Ok)?,
        };
        match task.state {
            TaskState::Open => {}
            TaskState::Done => return Err(Fault::data(format!("{} is done already", task.id))),
            TaskState::Claimed if is_same(&task, hold) => return Ok(task),
            TaskState::Claimed => return Err(taken(&task)),
        }
        self.write(&task, &task.claimed(by, self.workspace.world.now(), hold)?)?;
        self.shift(&task, TaskState::Claimed)
    }

    /// Ends a task, with what came of it. `own` is whose claim it must be, where it must be one's own.
    ///
    /// # Errors
    /// `Later` where somebody else has it; `Data` where nobody has and it must be one's own, or there is none.
    pub fn done(&self, id: &str, by: &Address, own: Option<&Hold>, result: &str) -> Result<Task> {
        let task = find(self.workspace, id)?;
        match (task.state, own) {
            (TaskState::Done, _) => return Ok(task),
            (TaskState::Claimed, Some(hold)) if !is_same(&task, hold) => return Err(taken(&task)),
            (TaskState::Open, Some(_)) => {
                return Err(Fault::data(format!("{} is not claimed: claim it first", task.id)));
            }
            _ => {}
        }
        self.write(&task, &task.finished(by, self.workspace.world.now(), result)?)?;
        self.shift(&task, TaskState::Done)
    }

    /// Gives a task back: a claimed one, and one that is done by mistake. `own` as with [`TaskList::done`].
    ///
    /// # Errors
    /// As [`TaskList::done`].
    pub fn release(&self, id: &str, own: Option<&Hold>) -> Result<Task> {
        let task = find(self.workspace, id)?;
        match (task.state, own) {
            (TaskState::Open, _) => return Ok(task),
            (TaskState::Claimed, Some(hold)) if !is_same(&task, hold) => return Err(taken(&task)),
            (TaskState::Done, Some(_)) => return Err(Fault::data(format!("{} is done already", task.id))),
            _ => {}
        }
        self.reopen(&task)
    }

    /// Whether nothing stands in the way of putting it back.
    pub(crate) fn can_reopen(&self, task: &Task) -> bool {
        !lease::is_being_written(&self.path(&task.id, task.state)) && !self.path(&task.id, TaskState::Open).exists()
    }

    /// Puts a task back to the open ones, as one that was given up once more.
    pub(crate) fn reopen(&self, task: &Task) -> Result<Task> {
        // What it holds by still stands in it: killed before the move, it is found to be free again.
        self.write(task, &task.given_up()?)?;
        let task = self.shift(task, TaskState::Open)?;
        self.write(&task, &task.unclaimed()?)?;
        Ok(self.again(&task.id, TaskState::Open)?.unwrap_or(task))
    }

    fn path(&self, id: &str, state: TaskState) -> PathBuf {
        dir(self.workspace, state).join(format!("{id}.md"))
    }

    fn again(&self, id: &str, state: TaskState) -> Result<Option<Task>> {
        let read = read(self.workspace, id, state).transpose().map_err(|problem| Fault::data(problem.to_string()))?;
        Ok(read.map(|(task, _)| task))
    }

    /// Writes a task's file anew where it lies; never over what somebody is writing, or has written since it was
    /// read.
    fn write(&self, task: &Task, text: &str) -> Result<()> {
        if text == task.text {
            return Ok(());
        }
        let path = self.path(&task.id, task.state);
        let busy = || Fault::new(Kind::Later, format!("{} is being changed by somebody else", path.display()));
        if lease::is_being_written(&path) || self.again(&task.id, task.state)?.is_none_or(|now| now.text != task.text) {
            return Err(busy());
        }
        let mode = fs::metadata(&path).map(|meta| Mode::from_raw_mode(meta.mode() & 0o777)).ok();
        let dir = dir(self.workspace, task.state);
        let handle = File::open(&dir).at("open", &dir)?;
        let (name, temp) = (format!("{}.md", task.id), format!(".{}{TEMPORARY}", task.id));
        durable::replace_at(&handle, name.as_ref(), &temp, text.as_bytes(), mode, self.workspace.sync()?)
            .at("write", &path)
    }

    /// Moves a task's file, durable on return.
    fn shift(&self, task: &Task, to: TaskState) -> Result<Task> {
        let (from, target) = (self.path(&task.id, task.state), self.path(&task.id, to));
        match durable::rename(&from, &target)? {
            Moved::Yes => {}
            Moved::Gone => {
                return Err(Fault::new(Kind::Later, format!("{} was moved by somebody else", from.display())));
            }
            Moved::Taken => {
                return Err(
                    Fault::data(format!("{} is in the way", target.display())).hint("give one of them another name")
                );
            }
        }
        let sync = self.workspace.sync()?;
        durable::sync_dir(&dir(self.workspace, to), sync)?;
        durable::sync_dir(&dir(self.workspace, task.state), sync)?;
        Ok(self.again(&task.id, to)?.unwrap_or_else(|| Task { state: to, ..task.clone() }))
    }
}

/// Whether a claimed task is had by the same session. Of people and commands nobody knows whether they are the same.
fn is_same(task: &Task, hold: &Hold) -> bool {
    matches!(hold, Hold::Session(_)) && task.hold() == *hold
}

fn taken(task: &Task) -> Fault {
    let who = task.fields.claimed_by.as_deref().unwrap_or("somebody");
    let whose = match task.hold() {
        Hold::Session(session) => format!(", in {session}"),
        Hold::Process | Hold::Manual => String::new(),
    };
    Fault::new(Kind::Later, format!("{} is claimed by {who}{whose}", task.id))
}
