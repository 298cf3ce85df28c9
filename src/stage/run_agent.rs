//! `run-agent`: one turn for every event of a session's lane. The `done` line in the session's log
//! is the commit point; it holds what goes out, whole, so that a kill behind it loses and doubles
//! nothing.

use crate::core::address::Address;
use crate::core::config::{Chosen, OFFLINE};
use crate::core::event::{Event, EventKind};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::id::{Derived, Id};
use crate::core::model::{Message, Reply, Request, Role};
use crate::core::prompt::{self, Layers};
use crate::core::session;
use crate::core::turn::{self, Record, Replay, Step};
use crate::provider::{self, Question};
use crate::stage::work::Work;
use crate::stage::{Outcome, Patience, Standing, crashed, settle};
use crate::store::boxes::Side;
use crate::store::journal::{self, Line};
use crate::store::lock::Lane;
use crate::store::session_log::SessionLog;
use crate::store::spool::Job;
use crate::store::workspace::Workspace;
use crate::store::{definitions, publish};
use crate::world;
use std::time::Instant;

/// Turns, for all sessions or for some.
pub struct RunAgent<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// Only this agent's sessions.
    pub agent: Option<&'a str>,
    /// Only this session.
    pub session: Option<&'a str>,
    /// The one event that somebody waits for at a terminal.
    pub asked: Option<Asked<'a>>,
}

/// An event that somebody waits for at a terminal.
pub struct Asked<'a> {
    /// Which.
    pub id: &'a Id,
    /// The model to be used instead of the agent's.
    pub model: Option<&'a str>,
    /// Hears the text of the answer as it comes.
    pub heard: Option<&'a (dyn Fn(&str) + Sync)>,
}

impl<'a> RunAgent<'a> {
    /// Turns for every session.
    #[must_use]
    pub fn all(workspace: &'a Workspace) -> Self {
        Self { workspace, agent: None, session: None, asked: None }
    }
}

impl Work for RunAgent<'_> {
    fn side(&self) -> Side {
        Side::Inbox
    }

    fn wants(&self, lane: &str) -> bool {
        lane != session::MEMORIES
            && self.agent.is_none_or(|agent| session::agent(lane) == agent)
            && self.session.is_none_or(|session| lane == session)
    }

    fn key<'k>(&self, lane: &'k str) -> &'k str {
        session::agent(lane)
    }

    fn slots(&self, key: &str) -> Result<Vec<(String, u32)>> {
        let config = self.workspace.config()?;
        // The narrow ones first: whoever only tries must not make others believe that all are taken.
        let mut groups = Vec::new();
        // A bad agent file is the event's trouble, told when it is claimed.
        if let Ok(agent) = definitions::agent(self.workspace, key) {
            groups.push((format!("agent-{key}"), agent.max_concurrency));
            if let Ok(chosen) = config.choose(&agent, self.asked.as_ref().and_then(|asked| asked.model))
                && let Some(limit) = chosen.model.max_concurrency
            {
                groups.push((format!("model-{}", crate::core::address::safe_name(&chosen.name, 40)), limit.max(1)));
            }
        }
        groups.push(("all".to_owned(), config.max_concurrency));
        Ok(groups)
    }

    fn run(&self, job: Job, lane: &Lane) -> Outcome {
        let asked = self.asked.as_ref().filter(|asked| *asked.id == job.entry.id);
        let patience = if asked.is_some() { Patience::Asks } else { Patience::Waits };
        let event = match job.read() {
            Ok(event) => event,
            Err(fault) => return settle(self.workspace, Side::Inbox, job, fault, None, patience),
        };
        match self.turn(&event, &job, lane, asked) {
            Ok(out) => {
                let id = job.entry.id.clone();
                let state = match job.done() {
                    Ok(()) => Standing::Done(out),
                    Err(fault) => Standing::Untouched(fault),
                };
                Outcome { id, state }
            }
            Err(fault) => settle(self.workspace, Side::Inbox, job, fault, Some(&event), patience),
        }
    }
}

impl RunAgent<'_> {
    /// Drives the turn from wherever its log says it is, and returns the ids of what went out.
    fn turn(&self, event: &Event, job: &Job, lane: &Lane, asked: Option<&Asked>) -> Result<Vec<String>> {
        if matches!(event.kind, EventKind::Approval | EventKind::Control | EventKind::Remember) {
            return Err(Fault::data(
                format!("a session has no use for an event of kind {:?}", event.kind).to_lowercase(),
            ));
        }
        let workspace = self.workspace;
        let (mut log, records) = SessionLog::open(workspace, &lane.name)?;
        let mut state = turn::replay(records, &event.id);
        let is_resumed = state.done.is_some() || state.reply.is_some();
        if is_resumed {
            log.inherit()?;
        }
        let now = || workspace.world.now().timestamp();
        // What killed its workers may not do so again, unless it is past that.
        if let Some(fault) = crashed(job).filter(|_| !is_resumed) {
            return Err(fault);
        }
        loop {
            match turn::next(&state) {
                Step::Read => {
                    expired(workspace, event)?;
                    log.append(&[Record::In { at: now(), event: Box::new(event.clone()) }])?;
                    state.is_read = true;
                }
                Step::Ask => {
                    expired(workspace, event)?;
                    let began = Instant::now();
                    let (model, reply) = self.ask(event, lane, &state, asked)?;
                    // What could not go out must not become the logged answer.
                    outgoing(workspace, event, &lane.name, &reply)?;
                    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                    let answered = Line {
                        ms: Some(ms),
                        why: model.clone(),
                        lane: lane.name.clone(),
                        tokens: Some([reply.usage.input, reply.usage.output]),
                        ..Line::about(Side::Inbox, "turn", &event.id)
                    };
                    log.append(&[Record::Model { at: now(), id: event.id.clone(), model, ms, reply: reply.clone() }])?;
                    journal::write(workspace, answered);
                    state.reply = Some(reply);
                }
                Step::Close(reply) => {
                    let out = outgoing(workspace, event, &lane.name, &reply)?;
                    log.append(&[Record::Done { at: now(), ids: vec![event.id.clone()], out: out.clone() }])?;
                    // The answer and the end of the turn are one write ahead of one sync.
                    log.commit()?;
                    state.done = Some(out);
                }
                Step::Publish(out) => {
                    // From here on it is answered: what stands in the way is never its failure.
                    let machine = |fault| Fault { kind: Kind::Machine, ..fault };
                    for event in &out {
                        match event.kind {
                            EventKind::Remember => publish::inbox(workspace, event).map_err(machine)?,
                            _ => publish::outbox(workspace, event).map_err(machine)?,
                        };
                    }
                    return Ok(out.into_iter().map(|event| event.id.to_string()).collect());
                }
            }
        }
    }

    fn ask(&self, event: &Event, lane: &Lane, state: &Replay, asked: Option<&Asked>) -> Result<(String, Reply)> {
        let workspace = self.workspace;
        let agent = definitions::agent(workspace, session::agent(&lane.name))?;
        let config = workspace.config()?;
        let wanted = event.meta.get("model").and_then(|m| m.as_str());
        let mut chosen = config.choose(&agent, asked.and_then(|asked| asked.model).or(wanted))?;
        if !workspace.is_trusted && chosen.model.provider.as_deref() != Some(OFFLINE) {
            let what =
                format!("{} is not trusted, so its model `{}` is not used", workspace.root.display(), chosen.name);
            if asked.is_none() {
                // Nobody is there to see who answers instead.
                return Err(Fault::config(what).hint("say `claw trust` in it"));
            }
            workspace.world.say(&format!("{what} and the offline one answers; say `claw trust` in it"));
            chosen = Chosen::offline();
        }
        let mut messages = state.history.clone();
        messages.push(Message { role: Role::User, content: event.content.clone() });
        let system = prompt::build(&Layers {
            agent: &agent,
            guide: &definitions::guide(workspace),
            now: &workspace.world.now().timestamp().to_zoned(world::zone()),
            session: &lane.name,
            kind: event.kind,
            reply_to: &event.reply_to,
        });
        let request = Request {
            model: chosen.model.model.clone(),
            system,
            messages,
            temperature: chosen.model.temperature,
            max_tokens: chosen.model.max_tokens,
        };
        let reply = provider::ask(&mut Question {
            workspace,
            chosen: &chosen,
            request: &request,
            at: event.id.stamp(),
            lane,
            heard: &mut |text| {
                if let Some(heard) = asked.and_then(|asked| asked.heard) {
                    heard(text);
                }
            },
        })?;
        Ok((chosen.name, reply))
    }
}

fn expired(workspace: &Workspace, event: &Event) -> Result<()> {
    match event.expires() {
        Some(end) if end < workspace.world.now() => {
            Err(Fault::new(Kind::Failed, format!("it has expired at {}", end.timestamp())))
        }
        _ => Ok(()),
    }
}

/// Everything that goes out for an event that was answered so.
fn outgoing(workspace: &Workspace, event: &Event, session: &str, reply: &Reply) -> Result<Vec<Event>> {
    let now = workspace.world.now();
    let from = Address::parse(&format!("agent:{}", session::agent(session)))?;
    let mut out = Vec::new();
    for (number, note) in (1..).zip(&reply.remember) {
        let mut memory = event.child(Derived::Memory, number, &from, note.clone(), now);
        memory.session = Some(session.to_owned());
        out.push(memory);
    }
    let is_silent = matches!(event.kind, EventKind::Cron | EventKind::Heartbeat);
    if !is_silent && !reply.content.trim().is_empty() {
        let mut answer = event.child(Derived::Reply, 1, &from, reply.content.trim_end().to_owned(), now);
        answer.session = Some(session.to_owned());
        out.push(answer);
    }
    let too_long = |fault| Fault { kind: Kind::Failed, ..fault };
    out.iter().try_for_each(publish::check_size).map_err(too_long)?;
    Ok(out)
}
