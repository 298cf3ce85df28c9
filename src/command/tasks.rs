//! `claw tasks`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::definition::task::{Hold, Task, TaskState};
use crate::core::fault::{Fault, Kind, Result};
use crate::process;
use crate::store::tasks::claims;
use crate::store::tasks::{self, TaskList};
use crate::store::workspace::Workspace;
use serde_json::{Value, json};

/// The shared task list: tasks/{open,claimed,done}/*.md
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A task is a Markdown file, and its folder is its state: any file that you put into tasks/open is one.
An agent's claim is free again when there is no work left in the session that made it, `claim ID --
COMMAND` when the command and all that it has started have ended, yours when you release it.
Agents with `watch: tasks` in their AGENT.md are woken by open tasks, again when one is given up, three
times at most.

  claw tasks add Water the plants
  while id=$(claw tasks claim); do work-on \"$id\" && claw tasks done \"$id\"; done
  claw tasks claim k7f3q9 -- make report

An ID is a task's name, any unambiguous end of it, or its path; - reads IDs from stdin.")]
pub struct Args {
    /// Print JSON: for `list` one document with all of them, else one for each task
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show what is open and who has what [default]
    List {
        /// With what is done
        #[arg(short, long, conflicts_with = "state")]
        all: bool,
        /// Only these
        #[arg(long, value_name = "STATE", value_parser = ["open", "claimed", "done"])]
        state: Option<String>,
    },
    /// Print a task's file
    Show {
        /// Which
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Put a task on the list, and print its name once it is durable
    Add {
        /// What is to be done, first a line that names it; - is stdin, also with front matter
        #[arg(value_name = "TEXT|-")]
        text: Vec<String>,
    },
    /// Claim a task, and print its name; without an ID the first open one. 75 where somebody has it
    Claim {
        /// Which
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        /// Hold the claim while this runs, with CLAW_TASK set to the task's name
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Say that a task is done
    Done {
        /// What came of it, to be written below the task; - is stdin
        #[arg(short, long, value_name = "TEXT|-")]
        result: Option<String>,
        /// Which
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Give a task back: whoever had it, and also where it was done
    Release {
        /// Which
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

/// Does what is asked with the list.
///
/// # Errors
/// `Data` where a task is not there, `Later` where somebody else has it.
pub fn run(args: Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    let is_json = args.json;
    match args.what.unwrap_or(Action::List { all: false, state: None }) {
        Action::List { all, state } => list(&workspace, all, state.as_deref(), is_json),
        Action::Show { ids } => out::words(&ids, |id| {
            let task = tasks::find(&workspace, id)?;
            if is_json { out::json(&document(&task, true)) } else { out::raw(&task.text) }
        }),
        Action::Add { text } => {
            let text = out::text(&text)?;
            let name = TaskList::open(&workspace)?.add(None, &text, &workspace.local_user()?, 0)?;
            print(&tasks::find(&workspace, &name)?, is_json).map(|()| 0)
        }
        Action::Claim { ids, command } if !command.is_empty() => hold(&workspace, &ids, &command),
        Action::Claim { ids, .. } if ids.is_empty() => claim(&workspace, None, is_json).map(|()| 0),
        Action::Claim { ids, .. } => out::words(&ids, |id| claim(&workspace, Some(id), is_json)),
        Action::Done { result, ids } => {
            let result = match result.as_deref() {
                Some("-") => out::stdin()?,
                given => given.unwrap_or_default().to_owned(),
            };
            out::words(&ids, |id| {
                let task = TaskList::open(&workspace)?.done(id, &workspace.local_user()?, None, &result)?;
                print(&task, is_json)
            })
        }
        Action::Release { ids } => out::words(&ids, |id| {
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

/// Claims one task, and becomes the command.
fn hold(workspace: &Workspace, ids: &[String], command: &[String]) -> Result<u8> {
    let list = TaskList::open(workspace)?;
    list.release_free_claims()?;
    let id = match ids {
        [] => tasks::first(workspace)?.id,
        [id] => tasks::find(workspace, id)?.id,
        _ => return Err(Fault::new(Kind::Usage, "a command works on one task")),
    };
    let taken = || Fault::new(Kind::Later, format!("a command that was started with {id} still runs"));
    let mut lock = claims::lock(workspace, &id)?.ok_or_else(taken)?;
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
                out::tell(&format!("{id} is passed over: {problem}"));
            }
        }
    }
    if is_json {
        let all: Vec<Value> = found.iter().map(|task| document(task, false)).collect();
        return out::json(&all).map(|()| code);
    }
    let wide = found.iter().map(|task| task.short().chars().count()).max().unwrap_or(0);
    for task in &found {
        let who = match task.state {
            TaskState::Open => None,
            TaskState::Claimed => task.fields.claimed_by.as_deref(),
            TaskState::Done => task.fields.done_by.as_deref(),
        };
        let who = who.map(|who| format!("  ({who})")).unwrap_or_default();
        let line = format!("{:<wide$}  {:<7}  {}{who}", task.short(), task.state.name(), task.title());
        out::line(&out::plain(&line))?;
    }
    Ok(code)
}

fn print(task: &Task, is_json: bool) -> Result<()> {
    if is_json { out::json(&document(task, false)) } else { out::line(&task.id) }
}

/// A task as JSON; `is_whole` with its text.
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
