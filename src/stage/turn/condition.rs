//! Decides by a job's `if` whether the agent is asked. It runs before the event is logged, so after a kill it may run
//! again.

use crate::core::event::Event;
use crate::core::event::id::Derived;
use crate::core::event::scheduled::Scheduled;
use crate::core::fault::{Fault, Kind, Result};
use crate::stage::turn::active_turn::Turn;
use crate::stage::turn::dispatch::Children;
use crate::store::crons::condition;
use crate::tool::{self, ToolContext};
use std::sync::OnceLock;

/// The decision.
pub(crate) enum ConditionResult {
    /// The agent is asked; the event holds the output of the command.
    Ask(Option<Box<Event>>),
    /// There is nothing to do.
    Quiet,
}

/// Runs the event's `if`, if it has one and the owner has approved it.
pub(crate) fn decide(turn: &Turn) -> Result<ConditionResult> {
    let scheduled = Scheduled::of(turn.event);
    let Some((job, command)) = scheduled.and_then(|scheduled| Some((scheduled.job, scheduled.condition?))) else {
        return Ok(ConditionResult::Ask(None));
    };
    if !condition::is_approved(turn.workspace, &job, &turn.agent.id, &command)? {
        return Err(Fault::new(Kind::Failed, "its command in `if` is not approved in its present version")
            .hint(format!("look at it with claw crons approve {job}")));
    }
    let (origin, taint) = (turn.origin(), OnceLock::new());
    let context = ToolContext {
        workspace: turn.workspace,
        agent: &turn.agent,
        event: turn.event,
        lane: turn.lane,
        number: 0,
        until: turn.deadline,
        stop: turn.cancel.stop_fd(),
        host: &Children { turn },
        origin: &origin,
        taint: &taint,
    };
    let Some(output) = tool::condition::run(&context, &command)? else { return Ok(ConditionResult::Quiet) };
    if output.is_empty() {
        return Ok(ConditionResult::Ask(None));
    }
    let (output, now) = (turn.secrets.hide(output), turn.workspace.world.now());
    let mut event = turn.event.child(Derived::Condition, 1, &turn.event.from, output, now);
    event.origin.taint = event.origin.taint.or_else(|| taint.into_inner());
    Ok(ConditionResult::Ask(Some(Box::new(event))))
}
