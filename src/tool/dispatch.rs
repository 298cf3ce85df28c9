//! `subagent_dispatch`: gives a task to another agent. The task is published as an event whose id is derived from the
//! call's number, so that a repeated call publishes once. The turn's [`Host`] waits for the answer.

use crate::core::definition::Agent;
use crate::core::event::Event;
use crate::core::event::address::Address;
use crate::core::event::dispatch::{self, AGENT, Requester};
use crate::core::event::id::Derived;
use crate::core::event::session_name;
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Result};
use crate::core::tool::{self, Class};
use crate::store::agent::definitions;
use crate::store::queue::publish;
use crate::store::session::log;
use crate::store::workspace::Workspace;
use crate::tool::builtin::Builtin;
use crate::tool::{Tool, ToolContext};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Instant;

pub(super) const DISPATCH: Builtin = Builtin {
    name: tool::DISPATCH,
    class: Class::Repeats,
    description: "Give a task to another agent. Returns its answer as {\"result\", \"session_id\"}. The agent works in \
                  a session of its own and does not see this conversation: give it all information that it needs.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "agent_id": {"type": "string", "description": "The agent."},
                "task": {"type": "string", "description": "The task, and the required content of the answer."},
                "context": {"type": "string", "description": "Background information for the task."},
                "session_id": {"type": "string", "description": "Continue this session, from an earlier result of this tool. Default: a new session."},
                "wait": {"type": "boolean", "description": "false: return at once; the result arrives later as a separate message. Default: true."},
            },
            "required": ["agent_id", "task"],
            "additionalProperties": false,
        })
    },
    run: dispatch,
    offer,
};

/// The turn that runs a call.
pub trait Host: Sync {
    /// Whether a user waits for the turn at a terminal.
    fn is_interactive(&self) -> bool;

    /// Waits until a dispatch is answered, by this process or another one, and returns the answer's event.
    ///
    /// # Errors
    /// The reason why there is no answer. `Machine`: the call is not at fault and is repeated later.
    fn answer(&self, dispatch: &Event) -> Result<Event>;
}

/// Lists the other agents in the description. Without another agent the tool is not offered.
fn offer(builtin: &Builtin, workspace: &Workspace, own: &Agent) -> Result<Option<Tool>> {
    let Some(approve) = own.tools.approve(builtin.name) else { return Ok(None) };
    let valid = definitions::agents(workspace)?.into_iter().filter_map(|(id, read)| Some((id, read.ok()?)));
    let memories = &workspace.config()?.memories;
    let is_offered = |id: &String| memories.offers_agent(id) && own.tools.may_dispatch_to(id);
    let others: Vec<_> = valid.filter(|(id, _)| *id != own.id && is_offered(id)).collect();
    if others.is_empty() {
        return Ok(None);
    }
    let mut spec = builtin.spec();
    spec.description.push_str(" The agents:");
    for (id, agent) in &others {
        let description = agent.description.trim();
        let separator = if description.is_empty() { "" } else { ": " };
        let _ = write!(spec.description, "\n- {id}{separator}{description}");
    }
    let ids: Vec<&String> = others.iter().map(|(id, _)| id).collect();
    spec.parameters["properties"]["agent_id"]["enum"] = json!(ids);
    Ok(Some(builtin.tool(spec, approve)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DispatchArguments {
    agent_id: String,
    task: String,
    context: Option<String>,
    session_id: Option<String>,
    wait: Option<bool>,
}

fn dispatch(context: &ToolContext, arguments: &Value) -> Result<String> {
    let args: DispatchArguments = tool::arguments(arguments)?;
    let (workspace, own) = (context.workspace, &context.lane.name);
    if args.task.trim().is_empty() {
        return Err(Fault::data("there is nothing to do: task is empty"));
    }
    dispatch::check(context.event, session_name::agent(own), &args.agent_id)?;
    if !workspace.config()?.memories.offers_agent(&args.agent_id) {
        return Err(Fault::data(format!("{} takes no tasks of other agents", args.agent_id)));
    }
    if !context.agent.tools.may_dispatch_to(&args.agent_id) {
        let message = format!("you may not give tasks to {}", args.agent_id.escape_debug());
        return Err(Fault::data(message).hint("the owner lists the agents in your AGENT.md"));
    }
    if !definitions::has_agent(workspace, &args.agent_id) {
        return Err(definitions::unknown(workspace, &args.agent_id));
    }
    let id = context.event.id.derive(Derived::Dispatch, context.number);
    let session = match &args.session_id {
        Some(session) => begun_here(workspace, own, &args.agent_id, session)?,
        None => session_name::for_dispatch(&args.agent_id, &id),
    };
    let waits = args.wait.unwrap_or(true);
    let from = Address::parse(&format!("{AGENT}:{}", session_name::agent(own)))?;
    let text = match args.context.as_deref().map(str::trim).filter(|context| !context.is_empty()) {
        Some(context) => format!("{}\n\nContext:\n{context}", args.task.trim()),
        None => args.task.trim().to_owned(),
    };
    let now = workspace.world.now();
    let mut event = context.event.child(Derived::Dispatch, context.number, &from, text, now);
    event.reply_to = from;
    event.origin = context.passed_on();
    (event.agent, event.session) = (Some(args.agent_id), Some(session.clone()));
    if waits {
        event.expires_at = Some(deadline(context, now).timestamp());
    }
    let mut requester = Requester::new(context.event, own, waits);
    requester.is_interactive |= waits && context.host.is_interactive();
    requester.write(&mut event)?;
    publish::check_size(&event)?;
    publish::inbox(workspace, &event)?;
    if !waits {
        let started = json!({"session_id": session, "note": "started; the result arrives later as a message"});
        return Ok(started.to_string());
    }
    let result = context.host.answer(&event).map_err(|fault| {
        let message = format!("{} in session {session}: {}", session_name::agent(&session), fault.message);
        Fault { message, ..fault }
    })?;
    context.inherit_taint(result.origin.taint.as_ref());
    Ok(json!({"result": result.content, "session_id": session}).to_string())
}

/// The deadline of the other agent: nine tenths of the time that is left, so that this turn can still use the answer.
fn deadline(context: &ToolContext, now: Stamp) -> Stamp {
    let left = context.until.saturating_duration_since(Instant::now()) * 9 / 10;
    Stamp(now.0.saturating_add(i64::try_from(left.as_micros()).unwrap_or(i64::MAX)))
}

/// The session's full name, if it was begun by a dispatch from the session `own`. Sessions then wait for each other
/// only in one direction, so that no two can wait for each other.
fn begun_here(workspace: &Workspace, own: &str, agent: &str, session: &str) -> Result<String> {
    let name = session_name::qualify(session, Some(agent), agent)?;
    let first = log::first(workspace, &name)?;
    if first.as_ref().and_then(Requester::of).is_some_and(|requester| requester.session == own) {
        return Ok(name);
    }
    Err(Fault::data(format!("session {name} was not begun by a dispatch of this conversation"))
        .hint("leave session_id out to begin a new one"))
}
