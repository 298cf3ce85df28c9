//! The turn in progress: the event, the state from the session's log, and the limits.

use crate::core::definition::Agent;
use crate::core::event::Event;
use crate::core::event::id::Derived;
use crate::core::event::origin::{Origin, SenderClass};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::Call;
use crate::core::session::record::{Record, ToolResult};
use crate::core::tool::DISPATCH;
use crate::core::turn::Replay;
use crate::stage::turn::progress::{Interactive, Progress};
use crate::stage::worker::handler::Handler;
use crate::store::agent::secrets::Secrets;
use crate::store::lock::Lane;
use crate::store::session::approvals::always::AlwaysApproved;
use crate::store::session::log::SessionLog;
use crate::store::session::stop::CancelToken;
use crate::store::session::stream::DeltaStream;
use crate::store::workspace::Workspace;
use crate::tool::{self, Tool};
use jiff::{SignedDuration, Timestamp, Zoned};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// A turn in progress.
pub(crate) struct Turn<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) event: &'a Event,
    pub(crate) lane: &'a Lane,
    pub(crate) log: SessionLog,
    pub(crate) state: Replay,
    pub(crate) agent: Arc<Agent>,
    pub(crate) tools: Vec<Tool>,
    /// The lowest class of the senders that the turn answers.
    pub(crate) class: SenderClass,
    /// The agents that passed the task on; calls need their approvals too. `None`: its file cannot be read.
    pub(crate) requesters: Vec<(String, Option<Arc<Agent>>)>,
    /// Set if a user waits for this event at a terminal.
    pub(crate) interactive: Option<&'a Interactive<'a>>,
    /// The call that the owner has approved, if the event is an approval.
    pub(crate) approved: Option<Call>,
    /// The calls that are approved once and for all, once they were read.
    pub(crate) always: OnceLock<Vec<AlwaysApproved>>,
    /// Set when the turn must end early.
    pub(crate) cancel: CancelToken<'a>,
    /// The secrets that are removed from everything that is written.
    pub(crate) secrets: Secrets,
    /// The answer as far as it is written, for pages and programs that watch.
    pub(crate) stream: DeltaStream,
    /// The time that the prompt states. It is the same at every step, so that the providers' caches hit.
    pub(crate) began_at: Zoned,
    /// The system prompt, and the length of its stable part, once it was built. It is the same at every step too, even
    /// if a step changes one of its source files.
    pub(crate) prompt: Option<(String, usize)>,
    /// Whether a part of the answer was shown at the terminal.
    pub(crate) has_shown_text: bool,
    /// Whether the turn ends because it was stopped.
    pub(crate) is_stopped: bool,
    /// The ids of notes that were made before a compaction.
    pub(crate) noted: Vec<String>,
    /// When the turn must end.
    pub(crate) deadline: Instant,
    /// The time from the beginning to the deadline, for messages.
    pub(crate) time_limit: SignedDuration,
    /// The handler that runs this turn; it names the slots.
    pub(crate) handler: &'a dyn Handler,
    /// The handler for the turns of every session, for events that this turn waits for.
    pub(crate) all_sessions: &'a dyn Handler,
}

/// Whether a call that publishes an event has done so: a fact that is known already is not noted again.
fn has_published(result: &ToolResult) -> bool {
    !result.failed && !result.result.starts_with("already at ")
}

impl Turn<'_> {
    /// Reports progress to the user at the terminal, if there is one.
    pub(crate) fn report_progress(&self, progress: Progress) {
        if let Some(on_progress) = self.interactive.and_then(|interactive| interactive.on_progress) {
            on_progress(progress);
        }
    }

    /// Lowers the class to that of the turn's other messages, and withdraws the tools that it excludes.
    pub(crate) fn limit_tools(&mut self) -> Result<()> {
        for event in &self.state.also {
            self.class = self.class.min(self.workspace.class(event)?);
        }
        let (class, senders) = (self.class, &self.agent.senders);
        self.tools.retain(|tool| senders.allow(class, &tool.spec.name));
        Ok(())
    }

    /// The first source of text from outside that the turn sends to the model.
    pub(crate) fn taint(&self) -> Option<&String> {
        self.state.taint.as_ref().or(self.event.origin.taint.as_ref())
    }

    /// The origin of everything that the turn sends out.
    pub(crate) fn origin(&self) -> Origin {
        let requesters = self.requesters.iter().map(|(id, _)| id.clone()).collect();
        Origin { class: Some(self.class), taint: self.taint().cloned(), requesters }
    }

    /// The event as it is logged: text of an unknown sender counts as text from outside.
    pub(crate) fn received(&self, event: &Event) -> Result<Event> {
        let mut event = event.clone();
        if event.origin.taint.is_none() && self.workspace.class(&event)? == SenderClass::Unknown {
            event.origin.taint = Some(event.from.as_str().to_owned());
        }
        Ok(event)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.workspace.world.now().timestamp()
    }

    /// Writes the answer and the end of the turn to the log, in one write before one sync. `is_new` if no model wrote
    /// the answer, so that the log does not contain it yet.
    pub(crate) fn close(&mut self, answer: String, is_new: bool) -> Result<()> {
        let out = self.outgoing(&answer)?;
        let also = self.state.also.iter().map(|event| event.id.clone());
        let ids = std::iter::once(self.event.id.clone()).chain(also).collect();
        let said = is_new.then_some(answer);
        self.log.append(&[Record::Done { at: self.now(), ids, out: out.clone(), said }])?;
        self.log.commit()?;
        self.state.done = Some(out);
        Ok(())
    }

    /// Ends a turn whose failure the user at the terminal is told: its finished steps become part of the conversation,
    /// and no answer is sent.
    pub(crate) fn close_failed(&mut self, fault: &Fault) -> Result<()> {
        if self.interactive.is_none() || self.state.steps.is_empty() || fault.kind == Kind::Machine {
            return Ok(());
        }
        let said = Some("I could not finish: the call of the model failed.".to_owned());
        self.log.append(&[Record::Done { at: self.now(), ids: vec![self.event.id.clone()], out: Vec::new(), said }])?;
        self.log.commit()
    }

    /// The ids of the notes and dispatches that tool calls have published before the end.
    pub(crate) fn published_by_calls(&self) -> Vec<String> {
        let calls = self.state.steps.iter().flat_map(|step| step.reply.calls.iter().zip(&step.calls));
        let succeeded = (1..).zip(calls).filter(|(_, (_, call))| call.result.as_ref().is_some_and(has_published));
        let derived = |name: &str| match name {
            tool::REMEMBER => Some(Derived::Memory),
            DISPATCH => Some(Derived::Dispatch),
            tool::POST => Some(Derived::Post),
            _ => None,
        };
        succeeded
            .filter_map(|(number, (call, _))| Some(self.event.id.derive(derived(&call.name)?, number).to_string()))
            .collect()
    }
}
