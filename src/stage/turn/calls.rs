//! Runs the tool calls of one reply. Calls that only read run in parallel, all others one after the other; the results
//! are in the order of the calls. A call with effects is logged as begun before it runs; if it is begun and has no
//! result, it is never run again.

use crate::core::event::id::Derived;
use crate::core::event::origin::Origin;
use crate::core::event::session_name;
use crate::core::fault::{Kind, Result};
use crate::core::memory::note_mark;
use crate::core::model::Call;
use crate::core::session::record::{Record, ToolResult};
use crate::core::text::cut::cut;
use crate::core::text::data_mark;
use crate::core::text::secret;
use crate::core::tool::approval::{self, Approval};
use crate::core::tool::normal;
use crate::core::tool::{Approve, Class, MAX_RESULT};
use crate::core::turn::{AssistantStep, PendingCall};
use crate::stage::turn::active_turn::Turn;
use crate::stage::turn::dispatch::Children;
use crate::stage::turn::expired;
use crate::stage::turn::progress::Progress;
use crate::store::agent::files;
use crate::store::session::approvals;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::Mailbox;
use crate::tool::{Tool, ToolContext};
use serde_json::json;
use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::Instant;

/// How long an approval can be decided, in seconds.
const APPROVAL_TIME: i64 = 24 * 3600;
/// The most calls that run in parallel.
const PARALLEL: usize = 8;

/// Runs the calls that have no result yet, and writes their results to the log.
pub(crate) fn run(turn: &mut Turn, pending: &[PendingCall]) -> Result<()> {
    let normal: Vec<PendingCall> = pending.iter().map(|pending| normal(turn, pending)).collect();
    let mut rest = &normal[..];
    while let Some(first) = rest.first().filter(|_| !turn.cancel.is_cancelled()) {
        if turn.state.steps.last().is_some_and(AssistantStep::needs_approval) {
            return rest.iter().try_for_each(|pending| write(turn, pending, behind_approval(), 0));
        }
        let reads = rest.iter().take_while(|pending| class(turn, pending) == Some(Class::Reads)).take(PARALLEL).count();
        let (now, later) = rest.split_at(reads.max(1));
        if class(turn, first) == Some(Class::Acts) && !first.is_begun {
            let (at, id) = (turn.now(), turn.event.id.clone());
            turn.log.append(&[Record::Begun { at, id, call: first.call.id.clone() }])?;
        }
        turn.log.commit()?;
        for pending in now {
            turn.report_progress(Progress::Call(&pending.call));
        }
        let results: Vec<Result<(ToolResult, u64)>> = match now {
            [only] => vec![one(turn, only)],
            several => parallel(turn, several),
        };
        // The results of the other calls are logged before the error of one is returned.
        let mut io_fault = Ok(());
        for (pending, result) in now.iter().zip(results) {
            match result {
                Ok((result, ms)) => write(turn, pending, result, ms)?,
                Err(fault) => io_fault = io_fault.and(Err(fault)),
            }
        }
        io_fault?;
        rest = later;
    }
    Ok(())
}

/// The call with the arguments that its tool takes: this is the call that is approved, logged as begun, and run.
fn normal(turn: &Turn, pending: &PendingCall) -> PendingCall {
    let Some(tool) = find(turn, pending) else { return pending.clone() };
    let (call, ignored) = normal::call(&pending.call, &tool.spec.parameters);
    PendingCall { call, ignored, ..pending.clone() }
}

/// The class of a call. A request for approval may be repeated: it has one effect.
fn class(turn: &Turn, pending: &PendingCall) -> Option<Class> {
    find(turn, pending)
        .map(|tool| if approval_reason(turn, pending, tool).is_some() { Class::Repeats } else { tool.class })
}

/// Why the call needs the owner's approval, by the settings of this agent or of an agent that passed the task on; `None`
/// if it needs none, or has it.
fn approval_reason(turn: &Turn, pending: &PendingCall, tool: &Tool) -> Option<String> {
    if is_approved(turn) {
        return None;
    }
    let (name, arguments, taint) = (&pending.call.name, &pending.call.arguments, turn.taint().map(String::as_str));
    let own = tool.approve.reason(name, arguments, taint).filter(|_| !is_always_approved(turn, pending, tool));
    own.or_else(|| {
        turn.requesters.iter().find_map(|(id, agent)| {
            let Some(agent) = agent else {
                return Some(format!("{id} passed the task on, and agents/{id}/AGENT.md cannot be read"));
            };
            // A requester without the tool has no say in its use.
            let reason = agent.tools.approve(name)?.reason(name, arguments, taint)?;
            Some(format!("{id} passed the task on: {reason}"))
        })
    })
}

/// Whether the owner has approved exactly this call once and for all. A turn with text from outside asks again.
fn is_always_approved(turn: &Turn, pending: &PendingCall, tool: &Tool) -> bool {
    if matches!(tool.approve, Approve::When(_)) || turn.taint().is_some() {
        return false;
    }
    // Read once, so that a call is of one class for the whole turn.
    let known = turn.always.get_or_init(|| approvals::always::list(turn.workspace).unwrap_or_default());
    let agent = session_name::agent(&turn.lane.name);
    approvals::always::covers(turn.workspace, known, agent, &pending.call).unwrap_or(false)
}

/// Whether this is the step that runs the approved call.
fn is_approved(turn: &Turn) -> bool {
    turn.approved.is_some() && turn.state.steps.len() == 1
}

/// The result of a call behind one that waits for approval: the model wanted it after that one.
fn behind_approval() -> ToolResult {
    let result = "It was not run: the call before it waits for the owner's approval.".to_owned();
    ToolResult { result, failed: true, ..ToolResult::default() }
}

/// The result of an approved call that is not run: the approval has expired, or a file that the call names has changed
/// since the request. Time may have passed since the turn began, because its worker was killed.
fn void(turn: &Turn) -> Result<Option<ToolResult>> {
    if !is_approved(turn) {
        return Ok(None);
    }
    let why = match expired(turn.workspace, turn.event) {
        Err(fault) => Some(fault.message),
        Ok(()) => approvals::difference(turn.workspace, &turn.event.id)?
            .map(|change| format!("{change} after the owner was asked")),
    };
    Ok(why.map(|why| {
        failed(&format!(
            "it was not run, because the approval is void: {why}. Call the tool again to ask for approval of the present \
             version"
        ))
    }))
}

/// Requests the owner's approval, which ends the turn.
fn request_approval(turn: &Turn, pending: &PendingCall, reason: String) -> Result<ToolResult> {
    if let Cow::Owned(_) = secret::shown_arguments(&pending.call.name, &pending.call.arguments) {
        return Ok(failed("it has a secret, which is not saved in a note, so the owner is not asked"));
    }
    let id = turn.event.id.derive(Derived::Approval, pending.number);
    let files = match approvals::named_files(turn.workspace, &pending.call.name, &pending.call.arguments) {
        Err(fault) if fault.kind == Kind::Data => return Ok(failed(&format!("it was not run: {fault}"))),
        files => files?,
    };
    let expires_at = turn.workspace.world.now().plus_seconds(APPROVAL_TIME).timestamp();
    let approval = Approval {
        event: turn.event.id.clone(),
        number: pending.number,
        session: turn.lane.name.clone(),
        tool: pending.call.name.clone(),
        reason,
        from: turn.event.from.clone(),
        // Another agent cannot approve.
        reply_to: turn.workspace.person(turn.event)?,
        expires_at,
        hash: approval::hash(&id, &pending.call, &files),
        files,
        arguments: pending.call.arguments.clone(),
        id,
    };
    approvals::request(turn.workspace, &approval)?;
    let asks = approval.request();
    let result = "It was not run: the owner is asked for approval. The turn ends now.".to_owned();
    Ok(ToolResult { result, failed: true, asks: Some(asks), approval: Some(approval.hash), taint: None })
}

fn find<'a>(turn: &'a Turn, pending: &PendingCall) -> Option<&'a Tool> {
    turn.tools.iter().find(|tool| tool.spec.name == pending.call.name)
}

fn parallel(turn: &Turn, pending: &[PendingCall]) -> Vec<Result<(ToolResult, u64)>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = pending.iter().map(|pending| scope.spawn(move || one(turn, pending))).collect();
        let crashed = |_| Ok((failed("the tool crashed"), 0));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(crashed)).collect()
    })
}

fn failed(why: &str) -> ToolResult {
    ToolResult { result: format!("error: {why}"), failed: true, ..ToolResult::default() }
}

/// Runs one call. Returns its duration in milliseconds too.
fn one(turn: &Turn, pending: &PendingCall) -> Result<(ToolResult, u64)> {
    let Some(tool) = find(turn, pending) else {
        let names: Vec<&str> = turn.tools.iter().map(|tool| tool.spec.name.as_str()).collect();
        let why = format!("there is no tool `{}`; there are: {}", pending.call.name.escape_debug(), names.join(", "));
        return Ok((failed(&why), 0));
    };
    if let Some(reason) = approval_reason(turn, pending, tool) {
        return Ok((request_approval(turn, pending, reason)?, 0));
    }
    if pending.is_begun && tool.class == Class::Acts {
        return Ok((failed("it was interrupted and may have had effects. Check before you repeat it"), 0));
    }
    if let Some(result) = void(turn)? {
        return Ok((result, 0));
    }
    let (origin, taint) = (turn.origin(), OnceLock::new());
    let children = Children { turn };
    let context = context(turn, &children, pending.number, &origin, &taint);
    let began = Instant::now();
    let mut result = tool.run(&context, &pending.call)?;
    if !pending.ignored.is_empty() {
        result.result +=
            &format!("\n[ignored, because {} has no such argument: {}]", tool.spec.name, pending.ignored.join(", "));
    }
    result.taint = taint.into_inner().or_else(|| note_mark::source_in(&result.result));
    result.result = bounded(turn, pending, turn.secrets.hide(result.result));
    Ok((result, u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)))
}

fn context<'a>(
    turn: &'a Turn,
    host: &'a Children,
    number: u32,
    origin: &'a Origin,
    taint: &'a OnceLock<String>,
) -> ToolContext<'a> {
    ToolContext {
        workspace: turn.workspace,
        agent: &turn.agent,
        event: turn.event,
        lane: turn.lane,
        number,
        until: turn.deadline,
        stop: turn.cancel.stop_fd(),
        host,
        origin,
        taint,
    }
}

/// A tool of the turn whose calls need no approval.
pub(super) fn free_tool<'a>(turn: &'a Turn, name: &str) -> Option<&'a Tool> {
    let tool = turn.tools.iter().find(|tool| tool.spec.name == name)?;
    let call = Call { id: String::new(), name: name.to_owned(), arguments: json!({}) };
    let pending = PendingCall { call, number: 0, is_begun: false, ignored: Vec::new() };
    approval_reason(turn, &pending, tool).is_none().then_some(tool)
}

/// Publishes a note outside of the conversation; returns its id, or `None` if it is refused or known.
pub(super) fn publish_note(turn: &Turn, call: &Call, number: u32) -> Result<Option<String>> {
    let Some(tool) = free_tool(turn, &call.name) else { return Ok(None) };
    let (call, _) = normal::call(call, &tool.spec.parameters);
    let (origin, taint) = (turn.origin(), OnceLock::new());
    let children = Children { turn };
    let result = tool.run(&context(turn, &children, number, &origin, &taint), &call)?;
    let is_noted = !result.failed && !result.result.starts_with("already at ");
    Ok(is_noted.then(|| turn.event.id.derive(Derived::Memory, number).to_string()))
}

/// The result, cut if it is too long; then the whole goes into a file that the agent can read.
fn bounded(turn: &Turn, pending: &PendingCall, result: String) -> String {
    if result.len() <= MAX_RESULT {
        return result;
    }
    let name = format!("{}-{:02}.txt", turn.event.id.short(), pending.number);
    let (shown, all) = (data_mark::shorten(&result, MAX_RESULT), result.len());
    match files::spill(turn.workspace, &name, result.as_bytes()) {
        Ok(path) => format!("{shown}\n[cut: {MAX_RESULT} of {all} bytes; all of it is in {path}]"),
        Err(fault) => format!("{shown}\n[cut: {MAX_RESULT} of {all} bytes; the rest is lost: {fault}]"),
    }
}

fn write(turn: &mut Turn, pending: &PendingCall, outcome: ToolResult, ms: u64) -> Result<()> {
    let line = JournalLine {
        ms: Some(ms),
        why: if outcome.failed {
            format!("{}: {}", pending.call.name, cut(&outcome.result, 120))
        } else {
            pending.call.name.clone()
        },
        lane: turn.lane.name.clone(),
        ..JournalLine::about(Mailbox::Inbox, "call", &turn.event.id)
    };
    let (at, id, call) = (turn.now(), turn.event.id.clone(), pending.call.id.clone());
    turn.log.append(&[Record::Tool { at, id, call, ms, outcome: outcome.clone() }])?;
    turn.report_progress(Progress::Result(&outcome));
    turn.state.set_result(&pending.call.id, outcome);
    journal::write(turn.workspace, line);
    Ok(())
}
