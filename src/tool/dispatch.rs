//! `subagent_dispatch`: another agent does it. What is asked goes out as an event, under an id that the call's
//! number makes, so that a repeated call asks once; whoever runs the turn waits for what comes of it.

use crate::core::definition::Agent;
use crate::core::event::Event;
use crate::core::event::address::Address;
use crate::core::event::dispatch::{self, AGENT, Requester};
use crate::core::event::id::Derived;
use crate::core::event::session_name;
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Result};
use crate::core::model::ToolSpec;
use crate::core::tool::{self, Class};
use crate::store::agent::definitions;
use crate::store::queue::publish;
use crate::store::session::log;
use crate::store::workspace::Workspace;
use crate::tool::{Builtin, ToolContext};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Instant;

pub(super) const DISPATCH: Builtin = Builtin {
    name: tool::DISPATCH,
    class: Class::Repeats,
    description: "Give a task to another agent, and get its answer as {\"result\", \"session_id\"}. It works in a \
                  session of its own and knows nothing of this conversation: tell it everything that it needs.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "agent_id": {"type": "string", "description": "Who shall do it."},
                "task": {"type": "string", "description": "What is to be done, and what the answer shall hold."},
                "context": {"type": "string", "description": "What it needs to know for that."},
                "session_id": {"type": "string", "description": "Go on in this session of yours with it, from an earlier result."},
                "wait": {"type": "boolean", "description": "false: do not wait; the result comes later, as a message of its own. true if left out."},
            },
            "required": ["agent_id", "task"],
            "additionalProperties": false,
        })
    },
    run: dispatch,
};

/// Whoever runs a turn, as far as a call needs it.
pub trait Host: Sync {
    /// Whether somebody sits before the turn.
    fn is_asked(&self) -> bool;

    /// Has a dispatch done, here or by whoever has it, and returns the answer.
    ///
    /// # Errors
    /// Why there is none. `Machine`: it is nobody's fault, and the call is repeated later.
    fn answer(&self, dispatch: &Event) -> Result<String>;
}

/// What a model is told of it, with the agents that there are; nothing where there is no other one.
pub(super) fn spec(workspace: &Workspace, own: &Agent) -> Result<Option<ToolSpec>> {
    let known = definitions::agents(workspace)?.into_iter().filter_map(|(id, read)| Some((id, read.ok()?)));
    let others: Vec<_> = known.filter(|(id, _)| *id != own.id).collect();
    if others.is_empty() {
        return Ok(None);
    }
    let mut description = format!("{} There are:", DISPATCH.description);
    for (id, agent) in &others {
        let what = agent.description.trim();
        let _ = write!(description, "\n- {id}{}{what}", if what.is_empty() { "" } else { ": " });
    }
    let mut parameters = (DISPATCH.parameters)();
    let ids: Vec<&String> = others.iter().map(|(id, _)| id).collect();
    parameters["properties"]["agent_id"]["enum"] = json!(ids);
    Ok(Some(ToolSpec { name: DISPATCH.name.to_owned(), description, parameters }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    agent_id: String,
    task: String,
    context: Option<String>,
    session_id: Option<String>,
    wait: Option<bool>,
}

fn dispatch(context: &ToolContext, arguments: &Value) -> Result<String> {
    let args: Args = tool::arguments(arguments)?;
    let (workspace, own) = (context.workspace, &context.lane.name);
    if args.task.trim().is_empty() {
        return Err(Fault::data("there is nothing to do: task is empty"));
    }
    dispatch::check(context.event, session_name::agent(own), &args.agent_id)?;
    if !definitions::has_agent(workspace, &args.agent_id) {
        return Err(definitions::unknown(workspace, &args.agent_id));
    }
    let id = context.event.id.derive(Derived::Dispatch, context.number);
    let session = match &args.session_id {
        Some(session) => known(workspace, own, &args.agent_id, session)?,
        None => session_name::for_dispatch(&args.agent_id, &id),
    };
    let waits = args.wait.unwrap_or(true);
    let from = Address::parse(&format!("{AGENT}:{}", session_name::agent(own)))?;
    let content = match args.context.as_deref().map(str::trim).filter(|context| !context.is_empty()) {
        Some(context) => format!("{}\n\nContext:\n{context}", args.task.trim()),
        None => args.task.trim().to_owned(),
    };
    let now = workspace.world.now();
    let mut event = context.event.child(Derived::Dispatch, context.number, &from, content, now);
    event.reply_to = from;
    (event.agent, event.session) = (Some(args.agent_id), Some(session.clone()));
    if waits {
        event.expires_at = Some(share(context, now).timestamp());
    }
    let mut requester = Requester::new(context.event, own, waits);
    requester.is_interactive |= waits && context.host.is_asked();
    requester.write(&mut event)?;
    publish::check_size(&event)?;
    publish::inbox(workspace, &event)?;
    if !waits {
        let told = json!({"session_id": session, "note": "it is being done; the result comes later, as a message"});
        return Ok(told.to_string());
    }
    let result = context.host.answer(&event).map_err(|fault| {
        let message = format!("{} in session {session}: {}", session_name::agent(&session), fault.message);
        Fault { message, ..fault }
    })?;
    Ok(json!({"result": result, "session_id": session}).to_string())
}

/// Until when it may take: so long that its requester has time to say what came of it.
fn share(context: &ToolContext, now: Stamp) -> Stamp {
    let left = context.until.saturating_duration_since(Instant::now()) * 9 / 10;
    Stamp(now.0.saturating_add(i64::try_from(left.as_micros()).unwrap_or(i64::MAX)))
}

/// A session that was begun by a dispatch out of this very one. Whoever waits in one session for another then
/// always waits downwards, and no two can wait for each other.
fn known(workspace: &Workspace, own: &str, agent: &str, session: &str) -> Result<String> {
    let name = session_name::qualify(session, Some(agent), agent)?;
    let first = log::first(workspace, &name)?;
    if first.as_ref().and_then(Requester::of).is_some_and(|requester| requester.session == own) {
        return Ok(name);
    }
    Err(Fault::data(format!("session {name} was not begun by a dispatch of this conversation"))
        .hint("leave session_id out, and a new one is begun"))
}
