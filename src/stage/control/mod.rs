//! `control`: slash commands, each in the lane beside its session. They call no model, wait for no turn and take no
//! slots, so that they are answered even if everything else is busy.
//!
//! The commit point is the answer in the outbox, whose id is the command's `.r01`. A command may run again after a
//! kill, because each is idempotent. Its change to the routes was synced before it moved to its lane (`/new`, `/agent
//! ID`); the turn that it stops is recorded in a file named after the command before the turn is stopped (`/stop`); a
//! repeated decision on a call is the same decision (`/approve`, `/deny`); the others only read. A second answer has
//! the id of the first, and is not published or is removed as its copy.

mod commands;
mod usage;

use crate::core::event::Event;
use crate::core::event::address::Address;
use crate::core::event::id::Derived;
use crate::core::event::session_name;
use crate::core::fault::{Fault, Result};
use crate::core::slash;
use crate::stage::control::commands::About;
use crate::stage::outcome::{EventOutcome, Outcome, RetryPolicy, crashed, end_failed_attempt};
use crate::stage::turn::{expired, publish_all};
use crate::stage::worker::handler::Handler;
use crate::store::lock::Lane;
use crate::store::queue::locate;
use crate::store::queue::publish;
use crate::store::queue::spool::Job;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::Mailbox;

/// Commands that one process runs at once.
pub const WIDTH: usize = 4;

/// The sender of an answer.
const FROM: &str = "claw:control";
/// The key in an answer's `meta` that marks a refused command.
const REFUSED: &str = "refused";

/// Whether an event is the answer to a refused command.
#[must_use]
pub fn is_refusal(answer: &Event) -> bool {
    answer.meta.contains_key(REFUSED) && answer.from.as_str() == FROM
}

/// Commands, for all sessions or for some.
pub struct Control<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// If set, only commands about this agent's sessions.
    pub agent: Option<&'a str>,
    /// If set, only commands about this session.
    pub session: Option<&'a str>,
}

impl<'a> Control<'a> {
    /// Commands about every session.
    #[must_use]
    pub fn all(workspace: &'a Workspace) -> Self {
        Self { workspace, agent: None, session: None }
    }
}

impl Handler for Control<'_> {
    fn mailbox(&self) -> Mailbox {
        Mailbox::Inbox
    }

    fn handles(&self, lane: &str) -> bool {
        session_name::is_control(lane)
            && self.agent.is_none_or(|agent| session_name::agent(lane) == agent)
            && self.session.is_none_or(|name| lane == session_name::control(name))
    }

    fn limit_key<'k>(&self, lane: &'k str) -> &'k str {
        lane
    }

    fn slots(&self, _: &str) -> Result<Vec<(String, u32)>> {
        Ok(Vec::new())
    }

    fn may_run_apart(&self, _: &Job) -> bool {
        true
    }

    fn run(&self, job: Job, _: &Lane) -> Outcome {
        let id = job.entry.id.clone();
        let event = match job.read() {
            Ok(event) => event,
            Err(fault) => {
                return end_failed_attempt(self.workspace, Mailbox::Inbox, job, fault, None, RetryPolicy::UntilExpired);
            }
        };
        let answered = match crashed(&job) {
            Some(fault) => published_answer(self.workspace, &event).and_then(|out| out.ok_or(fault)),
            None => answer(self.workspace, &event),
        };
        match answered {
            Ok(out) => {
                let why = event.content.trim_start().lines().next().unwrap_or_default();
                let why = crate::core::text::cut::cut(why, 120).to_owned();
                let line =
                    JournalLine { to: "done".into(), why, ..JournalLine::of(Mailbox::Inbox, "control", &job.entry) };
                let state = match job.done() {
                    Ok(()) => {
                        journal::write(self.workspace, line);
                        EventOutcome::Done(out)
                    }
                    Err(fault) => EventOutcome::GivenBack(fault),
                };
                Outcome { id, state }
            }
            Err(fault) => {
                end_failed_attempt(self.workspace, Mailbox::Inbox, job, fault, Some(&event), RetryPolicy::UntilExpired)
            }
        }
    }
}

/// The answer of an earlier worker, if it was published.
fn published_answer(workspace: &Workspace, event: &Event) -> Result<Option<Vec<String>>> {
    let reply = event.id.derive(Derived::Reply, 1);
    let found = locate::of(workspace, Mailbox::Outbox, &reply)?;
    Ok((!found.is_empty()).then(|| vec![reply.to_string()]))
}

/// Runs the command, and publishes the answer.
fn answer(workspace: &Workspace, event: &Event) -> Result<Vec<String>> {
    expired(workspace, event)?;
    if !slash::is_command(event) {
        return Err(Fault::data("this event is not a command, but it is in a lane of commands"));
    }
    let about = About::of(workspace, event)?;
    let owners = workspace.owners_of(event)?;
    let result = match slash::parse_event(event) {
        Ok(command) if !slash::allowed(&command, &event.from, &owners) => {
            Err(Fault::data("only the owner of this workspace may use this command"))
        }
        Ok(command) => commands::run(&about, &command, &owners),
        Err(fault) => Err(fault),
    };
    let (text, is_refused) = match result {
        // A refusal is an answer too.
        Err(fault) if !fault.is_temporary() => (fault.to_string(), true),
        other => (other?, false),
    };
    let from = Address::parse(FROM)?;
    let mut reply = event.child(Derived::Reply, 1, &from, text.trim_end().to_owned(), workspace.world.now());
    reply.session = Some(about.session);
    reply.meta.extend(is_refused.then(|| (REFUSED.to_owned(), true.into())));
    publish::check_size(&reply)?;
    publish_all(workspace, &[reply])
}
