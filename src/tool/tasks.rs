//! `tasks`: the shared list, for agents. One tool with an action, because a model that is told of one list is
//! told of it once; what an agent claims it has while there is work in its session.

use crate::core::definition::task::{self, Hold, Task, TaskState};
use crate::core::event::address::Address;
use crate::core::event::session_name;
use crate::core::fault::{Fault, Result};
use crate::core::tool::{self, Class};
use crate::store::agent::definitions;
use crate::store::tasks::{self, TaskList};
use crate::tool::{Builtin, ToolContext};
use serde::Deserialize;
use serde_json::{Value, json};

/// The most tasks that are told at once.
const MAX_TOLD: usize = 100;

pub(super) const TASKS: Builtin = Builtin {
    name: definitions::TASKS,
    class: Class::Repeats,
    description: "The task list that all agents and people here share. `list` shows what is open and who has what; \
                  `show` tells one task whole; `add` puts a new one on it for whoever will do it. Before you work on \
                  a task, `claim` it (without an id: the first open one); if somebody else has it, leave it to them. \
                  A claim is yours until you call `done`, with what came of it, or `release`; if you end without, it \
                  goes back to the others.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "action": {"type": "string", "enum": ["list", "show", "add", "claim", "done", "release"]},
                "id": {"type": "string", "description": "Which task: for show, done, release, and claim."},
                "text": {"type": "string", "description": "add: what is to be done, first a line that names it, then \
                          everything one must know who was not here. done: what came of it."},
            },
            "required": ["action"],
            "additionalProperties": false,
        })
    },
    run: act,
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
struct Wish {
    action: Action,
    id: Option<String>,
    text: Option<String>,
}

fn act(context: &ToolContext, arguments: &Value) -> Result<String> {
    let wish: Wish = tool::arguments(arguments)?;
    let workspace = context.workspace;
    let session = context.lane.name.clone();
    let by = Address::parse(&format!("agent:{}", session_name::agent(&session)))?;
    let own = Hold::Session(session);
    let id = || wish.id.as_deref().ok_or_else(|| Fault::data("which one? `id` is missing; nothing was done"));
    let text = wish.text.as_deref().unwrap_or_default();
    let list = TaskList::open(workspace)?;
    list.release_free_claims()?;
    match wish.action {
        Action::List => Ok(listed(context)),
        Action::Show => tasks::find(workspace, id()?).map(|task| told(&task)),
        Action::Add => {
            let hops = context.event.hops.saturating_add(1);
            if hops > task::MAX_HOPS {
                let why =
                    format!("this is the end of a chain of {hops} tasks that were made for tasks; it was not added");
                return Err(Fault::data(why).hint("tell the owner what is left to be done"));
            }
            let name = task::id_for_call(&context.event.id, context.number);
            list.add(Some(name), text, &by, hops).map(|name| format!("added: {name}"))
        }
        Action::Claim => list
            .claim(wish.id.as_deref(), &by, &own)
            .map(|task| format!("it is yours until you are done or give it back\n{}", told(&task))),
        Action::Done => list.done(id()?, &by, Some(&own), text).map(|task| format!("done: {}", task.id)),
        Action::Release => list.release(id()?, Some(&own)).map(|task| format!("open again: {}", task.id)),
    }
}

fn told(task: &Task) -> String {
    format!("{} ({}): {}\n\n{}", task.id, task.state.name(), task.title(), task.body())
}

/// What is open and what is claimed. Titles are data that anybody may have written.
fn listed(context: &ToolContext) -> String {
    let mut lines = Vec::new();
    for state in [TaskState::Open, TaskState::Claimed] {
        for task in tasks::all(context.workspace, state).into_iter().filter_map(|(_, read)| read.ok()) {
            let who = task.fields.claimed_by.as_deref().filter(|_| state == TaskState::Claimed);
            let who = who.map(|who| format!(" by {who}")).unwrap_or_default();
            lines.push(format!("{} ({}{who}): {}", task.id, state.name(), task.title()));
        }
    }
    let more = lines.len().saturating_sub(MAX_TOLD);
    lines.truncate(MAX_TOLD);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    if lines.is_empty() { "nothing is open".to_owned() } else { lines.join("\n") }
}
