//! `claw tasks`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::definition::task::{Hold, Task, TaskState};
use crate::core::event::origin::Origin;
use crate::core::fault::{Fault, Kind, Result};
use crate::process;
use crate::store::tasks::claims;
use crate::store::tasks::{self, TaskList};
use crate::store::workspace::Workspace;
use serde_json::{Value, json};

/// Show and change the shared task list: tasks/{open,claimed,done}/*.md
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A task is a Markdown file, and its folder is its state: every file in tasks/open is an open task.
An agent's claim ends when its session has no work left, the claim of `claim ID -- COMMAND` when the
command and all its child processes have ended, your own when you release it. Agents with `watch: tasks`
in their AGENT.md are woken by open tasks, and again if a task is given up, at most three times.

  claw tasks add Water the plants
  while id=$(claw tasks claim); do work-on \"$id\" && claw tasks done \"$id\"; done
  claw tasks claim k7f3q9 -- make report

An ID is a task's name, any unambiguous end of it, or its path; - reads IDs from stdin.")]
pub struct Args {
    /// Print JSON: one line for each task
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List open and claimed tasks [default]
    List {
        /// Also list tasks that are done
        #[arg(short, long, conflicts_with = "state")]
        all: bool,
        /// Only tasks in this state
        #[arg(long, value_name = "STATE", value_parser = ["open", "claimed", "done"])]
        state: Option<String>,
    },
    /// Print a task's file
    Show {
        /// The tasks
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Add a task, and print its name once it is durable
    Add {
        /// The task: a title line, then details. `-` reads it from stdin, with or without front matter
        #[arg(value_name = "TEXT|-")]
        text: Vec<String>,
    },
    /// Claim a task (by default the first open one), and print its name. Exit code 75 if it is claimed
    Claim {
        /// The tasks
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        /// Hold the claim while this command runs, with CLAW_TASK set to the task's name
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Mark a task as done
    Done {
        /// The result, appended to the task's file; `-` reads it from stdin
        #[arg(short, long, value_name = "TEXT|-")]
        result: Option<String>,
        /// The tasks
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Reopen a claimed or finished task
    Release {
        /// The tasks
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

/// Shows or changes the task list.
///
/// # Errors
/// `Data` if a task does not exist, `Later` if it is claimed.
pub fn run(args: Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    let is_json = args.json;
    match args.action.unwrap_or(Action::List { all: false, state: None }) {
        Action::List { all, state } => list(&workspace, all, state.as_deref(), is_json),
        Action::Show { ids } => out::each_argument(&ids, |id| {
            let task = tasks::find(&workspace, id)?;
            if is_json { out::json(&document(&task, true)) } else { out::content(&task.text) }
        }),
        Action::Add { text } => {
            let text = out::text(&text)?;
            let name =
                TaskList::open(&workspace)?.add(None, &text, &workspace.local_user()?, (0, &Origin::default()))?;
            print(&tasks::find(&workspace, &name)?, is_json).map(|()| 0)
        }
        Action::Claim { ids, command } if !command.is_empty() => hold(&workspace, &ids, &command),
        Action::Claim { ids, .. } if ids.is_empty() => claim(&workspace, None, is_json).map(|()| 0),
        Action::Claim { ids, .. } => out::each_argument(&ids, |id| claim(&workspace, Some(id), is_json)),
        Action::Done { result, ids } => {
            let result = match result.as_deref() {
                Some("-") => out::stdin()?,
                given => given.unwrap_or_default().to_owned(),
            };
            out::each_argument(&ids, |id| {
                let task = TaskList::open(&workspace)?.done(id, &workspace.local_user()?, None, &result)?;
                print(&task, is_json)
            })
        }
        Action::Release { ids } => out::each_argument(&ids, |id| {
            let task = TaskList::open(&workspace)?.release(id, None)?;
            print(&task, is_json)
        }),
    }
}

fn claim(workspace: &Workspace, id: Option<&str>, is_json: bool) -> Result<()> {
    let list = TaskList::open(workspace)?;
    list.release_free_claims()?;
    print(&list.claim(id, &workspace.local_user()?, &Hold::Manual)?, is_json)
}

/// Claims one task, and replaces this process by the command.
fn hold(workspace: &Workspace, ids: &[String], command: &[String]) -> Result<u8> {
    let list = TaskList::open(workspace)?;
    list.release_free_claims()?;
    let id = match ids {
        [] => tasks::first(workspace)?.id,
        [id] => tasks::find(workspace, id)?.id,
        _ => return Err(Fault::new(Kind::Usage, "a command can claim only one task")),
    };
    let claimed = || Fault::new(Kind::Later, format!("a command that was started with {id} still runs"));
    let mut lock = claims::lock(workspace, &id)?.ok_or_else(claimed)?;
    lock.inherit_on_exec()?;
    let task = list.claim(Some(&id), &workspace.local_user()?, &Hold::Process)?;
    drop(list);
    Err(process::exec(command, &[("CLAW_TASK", &task.id)]))
}

fn list(workspace: &Workspace, all: bool, state: Option<&str>, is_json: bool) -> Result<u8> {
    if TaskState::ALL.into_iter().any(|state| tasks::count(workspace, state) > 0) {
        TaskList::open(workspace)?.release_free_claims()?;
    }
    let is_wanted = |own: &TaskState| match state {
        Some(name) => own.name() == name,
        None => all || *own != TaskState::Done,
    };
    let mut code = 0;
    let mut found = Vec::new();
    for (id, read) in TaskState::ALL.into_iter().filter(is_wanted).flat_map(|state| tasks::all(workspace, state)) {
        match read {
            Ok(task) => found.push(task),
            Err(problem) => {
                code = 65;
                out::message(&format!("{id} is skipped: {problem}"));
            }
        }
    }
    if is_json {
        return found.iter().try_for_each(|task| out::json(&document(task, false))).map(|()| code);
    }
    let width = found.iter().map(|task| task.short().chars().count()).max().unwrap_or(0);
    for task in &found {
        let holder = match task.state {
            TaskState::Open => None,
            TaskState::Claimed => task.fields.claimed_by.as_deref(),
            TaskState::Done => task.fields.done_by.as_deref(),
        };
        let holder = holder.map(|holder| format!("  ({holder})")).unwrap_or_default();
        let line = format!("{:<width$}  {:<7}  {}{holder}", task.short(), task.state.name(), task.title());
        out::line(&line)?;
    }
    Ok(code)
}

fn print(task: &Task, is_json: bool) -> Result<()> {
    if is_json { out::json(&document(task, false)) } else { out::line(&task.id) }
}

/// A task as JSON; with its text if `is_whole`.
fn document(task: &Task, is_whole: bool) -> Value {
    let mut document = json!(task.fields);
    document["id"] = task.id.clone().into();
    document["state"] = task.state.name().into();
    document["title"] = task.title().into();
    document["path"] = format!("{}/{}/{}.md", tasks::FOLDER, task.state.name(), task.id).into();
    if is_whole {
        document["text"] = task.body().into();
    }
    document
}
