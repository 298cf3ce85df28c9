//! `run-agent`: one turn for every event of a session's lane. Each step of [`turn::next`] is carried out and written to
//! the log before a later step relies on it.

use crate::core::definition::Agent;
use crate::core::event::dispatch::{self as chain, Requester};
use crate::core::event::post;
use crate::core::event::scheduled::Scheduled;
use crate::core::event::session_name;
use crate::core::event::{Event, EventKind};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::Reply;
use crate::core::routing;
use crate::core::session::record::Record;
use crate::core::slash;
use crate::core::turn::{self, Step};
use crate::stage::outcome::{EventOutcome, Outcome, RetryPolicy, crashed, end_failed_attempt};
use crate::stage::schedule::pass;
use crate::stage::task_watch;
use crate::stage::turn::active_turn::Turn;
use crate::stage::turn::condition::{self, ConditionResult};
use crate::stage::turn::progress::Interactive;
use crate::stage::turn::{attached, calls, collect, dispatch};
use crate::stage::turn::{expired, publish_all};
use crate::stage::worker::handler::Handler;
use crate::store::agent::definitions;
use crate::store::agent::scratch;
use crate::store::agent::secrets::Secrets;
use crate::store::lock::Lane;
use crate::store::queue::spool::Job;
use crate::store::session::approvals;
use crate::store::session::log::SessionLog;
use crate::store::session::stop::CancelToken;
use crate::store::session::stream::DeltaStream;
use crate::store::tasks::claims;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::Mailbox;
use crate::{tool, world};
use jiff::{SignedDuration, Unit};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Turns, for all sessions or for some.
pub struct RunAgent<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// Only this agent's sessions.
    pub agent: Option<&'a str>,
    /// Only this session.
    pub session: Option<&'a str>,
    /// The one event that a user waits for at a terminal.
    pub interactive: Option<Interactive<'a>>,
}

impl<'a> RunAgent<'a> {
    /// Turns for every session.
    #[must_use]
    pub fn all(workspace: &'a Workspace) -> Self {
        Self { workspace, agent: None, session: None, interactive: None }
    }
}

impl Handler for RunAgent<'_> {
    fn mailbox(&self) -> Mailbox {
        Mailbox::Inbox
    }

    fn handles(&self, lane: &str) -> bool {
        lane != session_name::MEMORIES
            && !session_name::is_control(lane)
            && self.agent.is_none_or(|agent| session_name::agent(lane) == agent)
            && self.session.is_none_or(|session| lane == session)
    }

    fn limit_key<'k>(&self, lane: &'k str) -> &'k str {
        session_name::agent(lane)
    }

    fn slots(&self, key: &str) -> Result<Vec<(String, u32)>> {
        let config = self.workspace.config()?;
        // The narrow groups come first, so that an attempt that fails does not occupy a slot of the wide ones
        // meanwhile.
        let mut groups = Vec::new();
        match definitions::agent(self.workspace, key) {
            Ok(agent) => {
                groups.push((format!("agent-{key}"), agent.max_concurrency));
                let chosen =
                    config.resolve_model(&agent, self.interactive.as_ref().and_then(|interactive| interactive.model));
                groups.extend(chosen.ok().and_then(|chosen| chosen.slots()));
            }
            Err(fault) if fault.kind == Kind::Machine => return Err(fault),
            // An invalid agent file fails the event when it is claimed.
            Err(_) => {}
        }
        groups.push(("all".to_owned(), config.max_concurrency));
        Ok(groups)
    }

    fn may_run_apart(&self, job: &Job) -> bool {
        self.interactive.as_ref().is_none_or(|interactive| *interactive.id != job.entry.id)
    }

    fn run(&self, job: Job, lane: &Lane) -> Outcome {
        let outcome = self.turn(job, lane);
        // Tasks that this session has claimed and not finished become free, unless its lane has more events.
        if let Err(fault) = claims::release_of_session(self.workspace, &lane.name) {
            self.workspace.world.say(&fault.to_string());
        }
        outcome
    }
}

impl RunAgent<'_> {
    fn turn(&self, mut job: Job, lane: &Lane) -> Outcome {
        let is_interactive = self.interactive.as_ref().is_some_and(|interactive| *interactive.id == job.entry.id);
        let event = match job.read() {
            Ok(event) => {
                let agent = session_name::agent(&lane.name);
                attached::described(self.workspace, agent, routing::without_mention(agent, event))
            }
            Err(fault) => {
                return end_failed_attempt(self.workspace, Mailbox::Inbox, job, fault, None, RetryPolicy::UntilExpired);
            }
        };
        let retry_policy = match Requester::of(&event) {
            _ if is_interactive => RetryPolicy::Never,
            Some(by) if by.is_interactive => RetryPolicy::Never,
            Some(by) if by.waits => RetryPolicy::ExceptBudget,
            _ => RetryPolicy::UntilExpired,
        };
        let all_sessions = RunAgent::all(self.workspace);
        let outcome = match drive(&event, &mut job, lane, (self, &all_sessions)) {
            Ok(out) => {
                let id = job.entry.id.clone();
                let state = match job.done() {
                    Ok(()) => EventOutcome::Done(out),
                    Err(fault) => EventOutcome::GivenBack(fault),
                };
                Outcome { id, state }
            }
            Err(fault) => end_failed_attempt(self.workspace, Mailbox::Inbox, job, fault, Some(&event), retry_policy),
        };
        if matches!(outcome.state, EventOutcome::Done(_) | EventOutcome::Failed(_)) {
            pass::record_end(self.workspace, &event, &lane.name);
        }
        outcome
    }
}

/// Resumes the turn of an event where its log ends, and runs it to its end. Returns the ids of the published events.
fn drive<'a>(
    event: &'a Event,
    job: &mut Job,
    lane: &'a Lane,
    (handler, all_sessions): (&'a RunAgent<'a>, &'a RunAgent<'a>),
) -> Result<Vec<String>> {
    let workspace = handler.workspace;
    let focus = slash::compact_focus(event);
    if matches!(event.kind, EventKind::Control | EventKind::Remember) && focus.is_none() {
        return Err(Fault::data(format!("a session does not handle events of kind {:?}", event.kind).to_lowercase()));
    }
    let (mut log, records) = SessionLog::open(workspace, &lane.name, &event.id)?;
    let state = turn::replay(records, &event.id);
    let is_compacted = state.compact.as_ref().is_some_and(|compact| compact.id == event.id);
    if state.done.is_some() || !state.steps.is_empty() || is_compacted {
        log.inherit()?;
    }
    let next = turn::next(&state, 1);
    let is_answered = matches!(next, Step::Publish(_) | Step::Close(_));
    if job.entry.tries.crashes > 0 && dispatch::waits(workspace, event, &next)? {
        job.forgive_kills()?;
    }
    // An event whose workers were killed too often fails, unless its turn is past the step that may kill them.
    if let Some(fault) = crashed(job).filter(|_| !is_answered) {
        return Err(fault);
    }
    let agent = definitions::agent(workspace, session_name::agent(&lane.name));
    let agent = if is_answered { agent.unwrap_or_default() } else { agent? };
    let approved = match event.kind {
        EventKind::Approval if !is_answered => approvals::decided_call(workspace, &event.id)?,
        _ => None,
    };
    let requester = Requester::of(event);
    // A turn that another one waits for ends when the event expires.
    let end = event.expires().filter(|_| requester.as_ref().is_some_and(|requester| requester.waits));
    let left = end.map(|end| SignedDuration::from_micros(end.0.saturating_sub(workspace.world.now().0)));
    let run_limit = Scheduled::of(event).and_then(|scheduled| scheduled.timeout);
    let time_limit = [left, run_limit].into_iter().flatten().fold(agent.turn_timeout, SignedDuration::min);
    let class = workspace.class(event)?;
    let mut turn = Turn {
        workspace,
        event,
        lane,
        log,
        state,
        tools: tool::offered(workspace, &agent, class, event.kind)?,
        class,
        requesters: requesting_agents(workspace, event)?,
        interactive: handler.interactive.as_ref().filter(|interactive| *interactive.id == event.id),
        approved,
        secrets: Secrets::of(workspace, &agent)?,
        stream: DeltaStream::of(workspace, &event.id),
        prompt: None,
        has_shown_text: false,
        noted: Vec::new(),
        is_stopped: false,
        always: OnceLock::new(),
        cancel: CancelToken::open(workspace, &event.id, requester.iter().flat_map(Requester::waiting)),
        began_at: workspace.world.now().timestamp().to_zoned(world::zone()),
        deadline: Instant::now() + Duration::try_from(time_limit).unwrap_or_default(),
        time_limit: time_limit.round(Unit::Second).unwrap_or(time_limit),
        handler,
        all_sessions,
        agent,
    };
    turn.limit_tools()?;
    if let Some(focus) = focus {
        return compact_command(turn, focus.as_deref());
    }
    if event.kind == EventKind::Post {
        return posted(turn);
    }
    step_by_step(turn, job)
}

/// The agents that passed the event on. A file that cannot be read is `None`, unless the disk is at fault.
fn requesting_agents(workspace: &Workspace, event: &Event) -> Result<Vec<(String, Option<Arc<Agent>>)>> {
    let read = |id: String| match definitions::agent(workspace, &id) {
        Err(fault) if fault.kind == Kind::Machine => Err(fault),
        agent => Ok((id, agent.ok())),
    };
    chain::requesters(event).into_iter().map(read).collect()
}

/// Makes a text that another session has sent a part of this one. No model is asked, and nothing is sent.
fn posted(mut turn: Turn) -> Result<Vec<String>> {
    if turn.state.done.is_none() {
        let (at, ids) = (turn.now(), vec![turn.event.id.clone()]);
        let is_own = post::is_own(turn.event, &turn.lane.name);
        let event = Event { content: post::heading(turn.event), ..turn.event.clone() };
        let said = (!is_own).then(|| turn.event.content.clone());
        turn.log
            .append(&[Record::In { at, event: Box::new(event) }, Record::Done { at, ids, out: Vec::new(), said }])?;
        turn.log.commit()?;
    }
    Ok(Vec::new())
}

/// Runs `/compact`. This command waits for its turn in the session's lane, because it changes the next request. It is
/// not part of the conversation: the log has its effect and its end.
fn compact_command(mut turn: Turn, focus: Option<&str>) -> Result<Vec<String>> {
    if turn.state.done.is_none() {
        expired(turn.workspace, turn.event)?;
        let answer = match turn.compact_now(focus) {
            Err(_) if turn.cancel.is_cancelled() => {
                turn.is_stopped = true;
                "I was stopped.".to_owned()
            }
            other => other?,
        };
        turn.close(answer, true)?;
    }
    let ids = publish_all(turn.workspace, &turn.state.done.unwrap_or_default())?;
    Ok(turn.noted.into_iter().chain(ids).collect())
}

fn step_by_step(mut turn: Turn, job: &mut Job) -> Result<Vec<String>> {
    loop {
        match turn::next(&turn.state, turn.agent.max_steps) {
            Step::LogEvent => {
                // An event that was stopped ends as stopped, even if it has expired too.
                if !turn.cancel.is_cancelled() {
                    expired(turn.workspace, turn.event)?;
                }
                if turn.event.kind == EventKind::Message {
                    approvals::withdraw(turn.workspace, &turn.lane.name)?;
                }
                let (output, is_quiet) = match condition::decide(&turn)? {
                    ConditionResult::Ask(output) => (output, false),
                    ConditionResult::Quiet => (None, true),
                };
                let (at, id) = (turn.now(), turn.event.id.clone());
                let mut more = collect::waiting(&turn)?;
                more.extend(output.map(|output| *output));
                let received = turn.received(turn.event)?;
                turn.state.add_taint(received.origin.taint.as_ref());
                let mut records = vec![Record::In { at, event: Box::new(received) }];
                for event in &more {
                    let received = turn.received(event)?;
                    turn.state.add_taint(received.origin.taint.as_ref());
                    records.push(Record::Also { at, id: id.clone(), event: Box::new(received) });
                }
                turn.log.append(&records)?;
                (turn.state.is_logged, turn.state.also) = (true, more);
                turn.limit_tools()?;
                if is_quiet || task_watch::is_stale(turn.workspace, turn.event) {
                    turn.close(String::new(), false)?;
                }
            }
            Step::Ask { .. } | Step::Call(_) if turn.cancel.is_cancelled() => {
                let answer = match turn.state.steps.len() {
                    0 => "I was stopped.".to_owned(),
                    1 => "I was stopped after 1 step.".to_owned(),
                    steps => format!("I was stopped after {steps} steps."),
                };
                turn.is_stopped = true;
                turn.close(answer, true)?;
            }
            Step::Ask { .. } if turn.state.steps.is_empty() && turn.approved.is_some() => {
                let calls = turn.approved.iter().cloned().collect();
                turn.record_reply("approval", 0, Reply { calls, ..Reply::default() }, 0)?;
            }
            Step::Ask { .. } | Step::Call(_) if turn.deadline <= Instant::now() => {
                let (time_limit, steps) = (turn.time_limit, turn.state.steps.len());
                if Scheduled::of(turn.event).is_some() {
                    let late = format!("the run did not end within {time_limit:#}");
                    return Err(Fault::new(Kind::Failed, late).hint("set a longer `timeout` in the CRON.md"));
                }
                turn.close(format!("I stopped after {time_limit:#} and {steps} steps without an answer."), true)?;
            }
            Step::Ask { is_last } => {
                if turn.state.steps.is_empty() {
                    expired(turn.workspace, turn.event)?;
                } else {
                    turn.log.commit()?;
                }
                match turn.call_model(is_last) {
                    // The call was interrupted, which is no failure of the model.
                    Err(_) if turn.cancel.is_cancelled() || turn.deadline <= Instant::now() => continue,
                    Err(mut fault) => {
                        turn.close_failed(&fault)?;
                        if fault.kind == Kind::Config && Scheduled::of(turn.event).is_some() {
                            // The next run of the job may find a usable model; this one does not wait for it.
                            fault.kind = Kind::Failed;
                        }
                        return Err(fault);
                    }
                    Ok(()) => {}
                }
                job.record_progress()?;
            }
            Step::Call(pending) => {
                calls::run(&mut turn, &pending)?;
                job.record_progress()?;
            }
            Step::Close(answer) => {
                let is_new = turn.state.steps.last().is_some_and(|step| !step.calls.is_empty());
                turn.close(answer, is_new)?;
            }
            Step::Publish(out) => {
                let published = turn.published_by_calls();
                let ids = publish_all(turn.workspace, &out)?;
                collect::end(turn.workspace, &turn.lane.name, &turn.event.id, &turn.state.also)?;
                // The scratch folder is cleared after the answer is published, so that clearing does not delay it.
                if turn.state.calls() > 0 {
                    scratch::clear(turn.workspace, &turn.lane.name);
                }
                return Ok(turn.noted.into_iter().chain(published).chain(ids).collect());
            }
        }
    }
}
