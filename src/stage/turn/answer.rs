//! The events that an answered event sends out.

use crate::core::crons::heartbeat;
use crate::core::event::address::Address;
use crate::core::event::dispatch::{AGENT, Requester, is_silent};
use crate::core::event::id::Derived;
use crate::core::event::origin::{Origin, SenderClass};
use crate::core::event::post;
use crate::core::event::scheduled::{self, Scheduled};
use crate::core::event::session_name;
use crate::core::event::{Event, EventKind};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::turn::AssistantStep;
use crate::stage::turn::active_turn::Turn;
use crate::store::queue::publish;
use crate::store::workspace::Workspace;
use crate::tool;

/// The key in an answer's `meta` that marks the end of a stopped turn.
const STOPPED: &str = "stopped";

/// Whether an event only says that its turn was stopped.
#[must_use]
pub fn is_stopped(answer: &Event) -> bool {
    answer.meta.contains_key(STOPPED) && answer.from.channel() == AGENT
}

impl Turn<'_> {
    /// The events that go out with this answer: notes, and the answer itself.
    pub(crate) fn outgoing(&self, text: &str) -> Result<Vec<Event>> {
        let (event, session) = (self.event, &self.lane.name);
        let now = self.workspace.world.now();
        let from = Address::parse(&format!("agent:{}", session_name::agent(session)))?;
        let mut out = Vec::new();
        let may_note = self.agent.senders.allow(self.class, tool::REMEMBER);
        let notes = self.state.steps.iter().flat_map(|step| &step.reply.remember).filter(|_| may_note);
        for (number, note) in (self.state.calls() + 1..).zip(notes) {
            out.push(event.child(Derived::Memory, number, &from, note.clone(), now));
        }
        for event in &mut out {
            event.session = Some(session.clone());
        }
        let is_silent = is_silent(event);
        // A run that has sent its message does not send its answer, too.
        let has_posted = self.state.has_called(tool::POST);
        let is_quiet = Scheduled::of(event).is_some() && (has_posted || scheduled::is_quiet(text))
            || event.kind == EventKind::Heartbeat && heartbeat::is_ok(text);
        let asks = self.state.steps.last().is_some_and(AssistantStep::needs_approval);
        if let Some(requester) = Requester::of(event) {
            let answer = event.child(Derived::Reply, 1, &from, text.trim_end().to_owned(), now);
            out.push(dispatch_result(&requester, answer, session)?);
        } else if (asks || !is_silent && !is_quiet) && !text.trim().is_empty() {
            let mut answer = event.child(Derived::Reply, 1, &from, text.trim_end().to_owned(), now);
            if is_silent {
                // A background session asks the owner.
                answer.reply_to = self.workspace.default_destination()?;
            }
            answer.session = Some(session.clone());
            answer.meta.extend(self.is_stopped.then(|| (STOPPED.to_owned(), true.into())));
            let post = Scheduled::of(event).map(|_| post::of(&answer, session, &from, now));
            out.push(answer);
            out.extend(post);
        }
        let origin = self.origin();
        for event in &mut out {
            // A result has left out the agent that receives it.
            event.origin = Origin { requesters: event.origin.requesters.clone(), ..origin.clone() };
            if event.kind == EventKind::Remember && self.class != SenderClass::Owner {
                // A note names its source where that is not the owner.
                event.origin.taint.get_or_insert_with(|| self.event.from.as_str().to_owned());
            }
        }
        let too_long = |fault| Fault { kind: Kind::Failed, ..fault };
        out.iter().try_for_each(publish::check_size).map_err(too_long)?;
        Ok(out)
    }
}

/// The result of a dispatch. A turn that waits for it reads it in the log; otherwise it is an event of the requester.
fn dispatch_result(requester: &Requester, mut answer: Event, session: &str) -> Result<Event> {
    if requester.waits {
        (answer.kind, answer.session) = (EventKind::Result, Some(session.to_owned()));
        requester.write(&mut answer)?;
        return Ok(answer);
    }
    let head = format!("Result from {} in session {session}:", session_name::agent(session));
    let text = if answer.content.trim().is_empty() { "(no text)" } else { &answer.content };
    answer.content = format!("{head}\n\n{text}");
    requester.result_event(answer)
}

/// Publishes the outgoing events of an answered event. From here on it counts as answered, so that an error is
/// `Machine` and never fails the event.
pub(crate) fn publish_all(workspace: &Workspace, out: &[Event]) -> Result<Vec<String>> {
    let machine = |fault| Fault { kind: Kind::Machine, ..fault };
    // A turn that waits for an answer reads it in the log.
    let goes_out = |event: &&Event| Requester::of(event).is_none_or(|requester| !requester.waits);
    for event in out.iter().filter(goes_out) {
        match event.kind {
            EventKind::Remember | EventKind::Result | EventKind::Post => {
                publish::inbox(workspace, event).map_err(machine)?
            }
            _ => publish::outbox(workspace, event).map_err(machine)?,
        };
    }
    Ok(out.iter().filter(goes_out).map(|event| event.id.to_string()).collect())
}

/// Fails if the event has expired.
///
/// # Errors
/// `Failed`.
pub(crate) fn expired(workspace: &Workspace, event: &Event) -> Result<()> {
    match event.expires() {
        Some(end) if end < workspace.world.now() => {
            Err(Fault::new(Kind::Failed, format!("it has expired at {}", end.timestamp())))
        }
        _ => Ok(()),
    }
}
