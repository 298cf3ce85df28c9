//! Changing the task list, under its lock.

use super::{MAX, TEMPORARY, all, dir, find, first, make_layout, read};
use crate::core::definition::task::{self, Hold, Task, TaskState};
use crate::core::event::address::Address;
use crate::core::event::origin::Origin;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::fs::At;
use crate::store::fs::durable::{self, Moved};
use crate::store::fs::lease;
use crate::store::lock::NamedLock;
use crate::store::workspace::Workspace;
use crate::store::workspace::clock;
use rustix::fs::Mode;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The task list, locked.
pub struct TaskList<'w> {
    pub(crate) workspace: &'w Workspace,
    _lock: NamedLock,
}

impl<'w> TaskList<'w> {
    /// Waits for the lock, which is never held for long.
    ///
    /// # Errors
    /// If the folders cannot be made.
    pub fn open(workspace: &'w Workspace) -> Result<Self> {
        make_layout(workspace)?;
        Ok(Self { workspace, _lock: NamedLock::wait(workspace, "tasks")? })
    }

    /// Adds an open task, durable on return, and returns its name: `name`, or a new one. An existing task of that name,
    /// in any state, stays unchanged.
    ///
    /// # Errors
    /// `Data` if the text is empty or too long, or its front matter is invalid.
    pub fn add(&self, name: Option<String>, text: &str, by: &Address, chain: (u32, &Origin)) -> Result<String> {
        let workspace = self.workspace;
        let name = match name {
            Some(name) if TaskState::ALL.into_iter().any(|state| self.path(&name, state).exists()) => return Ok(name),
            Some(name) => name,
            None => clock::next_id(workspace)?.to_string(),
        };
        if text.trim().is_empty() {
            return Err(Fault::data("the text of the task is empty"));
        }
        let text = task::compose(&name, text, by, workspace.world.now(), chain)?;
        if text.len() as u64 > MAX {
            return Err(Fault::data(format!("the task has {} bytes, more than the limit of {MAX}", text.len()))
                .hint("put it into files/ and name it"));
        }
        let dir = dir(workspace, TaskState::Open);
        durable::publish(&dir, &format!("{name}.md"), &dir, text.as_bytes(), workspace.sync()?)?;
        Ok(name)
    }

    /// Claims a task, or the first open one. A session's claim is idempotent: without an id, the first task that it
    /// already holds is returned.
    ///
    /// # Errors
    /// `Later` if another holds the task, or none is open; `Data` if it is done, or does not exist.
    pub fn claim(&self, id: Option<&str>, by: &Address, hold: &Hold) -> Result<Task> {
        let own = || all(self.workspace, TaskState::Claimed).into_iter().filter_map(|(_, read)| read.ok());
        let task = match id {
            Some(id) => find(self.workspace, id)?,
            None => own().find(|task| is_same_session(task, hold)).map_or_else(|| first(self.workspace), Ok)?,
        };
        match task.state {
            TaskState::Open => {}
            TaskState::Done => return Err(Fault::data(format!("{} is already done", task.id))),
            TaskState::Claimed if is_same_session(&task, hold) => return Ok(task),
            TaskState::Claimed => return Err(claimed(&task)),
        }
        self.write(&task, &task.claimed(by, self.workspace.world.now(), hold)?)?;
        self.move_to(&task, TaskState::Claimed)
    }

    /// Ends a task with a result. With `own`, the task must be claimed by that holder.
    ///
    /// # Errors
    /// `Later` if another holds the task; `Data` if it is not claimed although `own` is given, or does not exist.
    pub fn done(&self, id: &str, by: &Address, own: Option<&Hold>, result: &str) -> Result<Task> {
        let task = find(self.workspace, id)?;
        match (task.state, own) {
            (TaskState::Done, _) => return Ok(task),
            (TaskState::Claimed, Some(hold)) if !is_same_session(&task, hold) => return Err(claimed(&task)),
            (TaskState::Open, Some(_)) => {
                return Err(Fault::data(format!("{} is not claimed: claim it first", task.id)));
            }
            _ => {}
        }
        self.write(&task, &task.finished(by, self.workspace.world.now(), result)?)?;
        self.move_to(&task, TaskState::Done)
    }

    /// Reopens a task that is claimed, or done by mistake. `own` as in [`TaskList::done`].
    ///
    /// # Errors
    /// As [`TaskList::done`].
    pub fn release(&self, id: &str, own: Option<&Hold>) -> Result<Task> {
        let task = find(self.workspace, id)?;
        match (task.state, own) {
            (TaskState::Open, _) => return Ok(task),
            (TaskState::Claimed, Some(hold)) if !is_same_session(&task, hold) => return Err(claimed(&task)),
            (TaskState::Done, Some(_)) => return Err(Fault::data(format!("{} is already done", task.id))),
            _ => {}
        }
        self.reopen(&task)
    }

    /// Whether the task can be reopened now: its file is not being written, and no open task has its name.
    pub(crate) fn can_reopen(&self, task: &Task) -> bool {
        !lease::is_being_written(&self.path(&task.id, task.state)) && !self.path(&task.id, TaskState::Open).exists()
    }

    /// Reopens a task, and counts that it was given up.
    pub(crate) fn reopen(&self, task: &Task) -> Result<Task> {
        // The holder stays in the file until after the move: if this process is killed before, the claim is found free
        // again.
        self.write(task, &task.given_up()?)?;
        let task = self.move_to(task, TaskState::Open)?;
        self.write(&task, &task.unclaimed()?)?;
        Ok(self.reread(&task.id, TaskState::Open)?.unwrap_or(task))
    }

    fn path(&self, id: &str, state: TaskState) -> PathBuf {
        dir(self.workspace, state).join(format!("{id}.md"))
    }

    /// The task as it is now in this state; `None` if it is not there.
    fn reread(&self, id: &str, state: TaskState) -> Result<Option<Task>> {
        let read = read(self.workspace, id, state).transpose().map_err(|problem| Fault::data(problem.to_string()))?;
        Ok(read.map(|(task, _)| task))
    }

    /// Replaces a task's file, unless another program is writing it, or has changed it since it was read.
    fn write(&self, task: &Task, text: &str) -> Result<()> {
        if text == task.text {
            return Ok(());
        }
        let path = self.path(&task.id, task.state);
        let is_changing = || Fault::new(Kind::Later, format!("{} is being changed by another program", path.display()));
        if lease::is_being_written(&path) || self.reread(&task.id, task.state)?.is_none_or(|now| now.text != task.text)
        {
            return Err(is_changing());
        }
        let mode = fs::metadata(&path).map(|meta| Mode::from_raw_mode(meta.mode() & 0o777)).ok();
        let dir = dir(self.workspace, task.state);
        let handle = File::open(&dir).at("open", &dir)?;
        let (name, temp) = (format!("{}.md", task.id), format!(".{}{TEMPORARY}", task.id));
        durable::replace_at(&handle, name.as_ref(), &temp, text.as_bytes(), mode, self.workspace.sync()?)
            .at("write", &path)
    }

    /// Moves a task's file to the folder of another state, durable on return.
    fn move_to(&self, task: &Task, to: TaskState) -> Result<Task> {
        let (from, target) = (self.path(&task.id, task.state), self.path(&task.id, to));
        match durable::rename(&from, &target)? {
            Moved::Yes => {}
            Moved::Gone => {
                return Err(Fault::new(Kind::Later, format!("{} was moved by another program", from.display())));
            }
            Moved::Taken => {
                return Err(Fault::data(format!("{} already exists", target.display())).hint("rename one of the two"));
            }
        }
        let sync = self.workspace.sync()?;
        durable::sync_dir(&dir(self.workspace, to), sync)?;
        durable::sync_dir(&dir(self.workspace, task.state), sync)?;
        Ok(self.reread(&task.id, to)?.unwrap_or_else(|| Task { state: to, ..task.clone() }))
    }
}

/// Whether a task is claimed by the same session. People and commands cannot be told apart, so they never match.
fn is_same_session(task: &Task, hold: &Hold) -> bool {
    matches!(hold, Hold::Session(_)) && task.hold() == *hold
}

fn claimed(task: &Task) -> Fault {
    let claimant = task.fields.claimed_by.as_deref().unwrap_or("another holder");
    let session = match task.hold() {
        Hold::Session(session) => format!(", in {session}"),
        Hold::Process | Hold::Manual => String::new(),
    };
    Fault::new(Kind::Later, format!("{} is claimed by {claimant}{session}", task.id))
}
