//! `tasks`: the shared task list. It is one tool with an `action`, so that the prompt describes the list once. An
//! agent keeps a claim while there is work in its session.

use crate::core::definition::task::{self, Hold, Task, TaskState};
use crate::core::event::address::Address;
use crate::core::event::session_name;
use crate::core::fault::{Fault, Result};
use crate::core::tool::{self, Class};
use crate::store::agent::definitions;
use crate::store::tasks::{self, TaskList};
use crate::tool::ToolContext;
use crate::tool::builtin::{self, Builtin};
use serde::Deserialize;
use serde_json::{Value, json};

/// The most tasks in one list.
const MAX_LISTED: usize = 100;

pub(super) const TASKS: Builtin = Builtin {
    name: definitions::TASKS,
    class: Class::Repeats,
    description: "Use the task list that all agents and users of this workspace share. `list` shows the open and the \
                  claimed tasks, `show` prints one task in full, `add` adds a task that any agent or user may do. \
                  `claim` a task before you work on it (without an id: the first open one); do not work on a task \
                  that another one has claimed. Your claim lasts until you call `done` with the result, or `release`. \
                  If you end without either, the task is open again.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "action": {"type": "string", "enum": ["list", "show", "add", "claim", "done", "release"]},
                "id": {"type": "string", "description": "The task. Required for show, done and release; optional for claim."},
                "text": {"type": "string", "description": "add: a title line, then the task with all information \
                          that a reader needs who has not seen this conversation. done: the result."},
            },
            "required": ["action"],
            "additionalProperties": false,
        })
    },
    run,
    offer: builtin::if_granted,
};

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    List,
    Show,
    Add,
    Claim,
    Done,
    Release,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskArguments {
    action: Action,
    id: Option<String>,
    text: Option<String>,
}

fn run(context: &ToolContext, arguments: &Value) -> Result<String> {
    let args: TaskArguments = tool::arguments(arguments)?;
    let workspace = context.workspace;
    let session = context.lane.name.clone();
    let by = Address::parse(&format!("agent:{}", session_name::agent(&session)))?;
    let own = Hold::Session(session);
    let id = || args.id.as_deref().ok_or_else(|| Fault::data("`id` is missing; nothing was done"));
    let text = args.text.as_deref().unwrap_or_default();
    let list = TaskList::open(workspace)?;
    list.release_free_claims()?;
    match args.action {
        Action::List => Ok(list_tasks(context)),
        Action::Show => tasks::find(workspace, id()?).map(|task| describe(context, &task)),
        Action::Add => {
            let hops = context.event.hops.saturating_add(1);
            if hops > task::MAX_HOPS {
                let message =
                    format!("the task was not added: it would be number {hops} of a chain of tasks that add tasks");
                return Err(Fault::data(message).hint("tell the owner which work is left"));
            }
            let name = task::id_for_call(&context.event.id, context.number);
            list.add(Some(name), text, &by, (hops, &context.passed_on())).map(|name| format!("added: {name}"))
        }
        Action::Claim => list
            .claim(args.id.as_deref(), &by, &own)
            .map(|task| format!("claimed by you until `done` or `release`\n{}", describe(context, &task))),
        Action::Done => list.done(id()?, &by, Some(&own), text).map(|task| format!("done: {}", task.id)),
        Action::Release => list.release(id()?, Some(&own)).map(|task| format!("open again: {}", task.id)),
    }
}

fn describe(context: &ToolContext, task: &Task) -> String {
    context.inherit_taint(task.fields.taint.as_ref());
    format!("{} ({}): {}\n\n{}", task.id, task.state.name(), task.title(), task.body())
}

/// The open and the claimed tasks, a line each. Titles are untrusted data: any agent or user may have written them.
fn list_tasks(context: &ToolContext) -> String {
    let mut lines = Vec::new();
    for state in [TaskState::Open, TaskState::Claimed] {
        for task in tasks::all(context.workspace, state).into_iter().filter_map(|(_, read)| read.ok()) {
            let owner = task.fields.claimed_by.as_deref().filter(|_| state == TaskState::Claimed);
            let owner = owner.map(|owner| format!(" by {owner}")).unwrap_or_default();
            lines.push(format!("{} ({}{owner}): {}", task.id, state.name(), task.title()));
            context.inherit_taint(task.fields.taint.as_ref());
        }
    }
    let more = lines.len().saturating_sub(MAX_LISTED);
    lines.truncate(MAX_LISTED);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    if lines.is_empty() { "no open or claimed tasks".to_owned() } else { lines.join("\n") }
}
