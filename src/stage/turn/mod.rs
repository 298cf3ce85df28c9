//! One turn at work: asking the model, and closing with what goes out. The `done` line in the session's log
//! is the commit point; it holds what goes out, whole, so that a kill behind it loses and doubles nothing.

mod calls;
mod collect;
pub(in crate::stage) mod compact;
pub(in crate::stage) mod dispatch;
mod fallback;
pub mod meter;
pub mod prompt;
pub mod run_agent;

use crate::core::config::OFFLINE;
use crate::core::config::resolved_model::ResolvedModel;
use crate::core::context::prompt::join;
use crate::core::definition::Agent;
use crate::core::event::address::Address;
use crate::core::event::dispatch::{Requester, is_silent};
use crate::core::event::id::{Derived, Id};
use crate::core::event::session_name;
use crate::core::event::{Event, EventKind};
use crate::core::fault::{Cause, Fault, Kind, Result};
use crate::core::model::tokens::{self, Count};
use crate::core::model::{Call, Message, Reply, Request};
use crate::core::session::record::{Record, ToolResult};
use crate::core::tool::DISPATCH;
use crate::core::turn::{AssistantStep, Replay};
use crate::stage::turn::prompt::PromptContext;
use crate::stage::worker::handler::Handler;
use crate::store::agent::secrets::Secrets;
use crate::store::lock::Lane;
use crate::store::queue::publish;
use crate::store::session::log::SessionLog;
use crate::store::session::stop::CancelToken;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::Mailbox;
use crate::tool::{self, Tool};
use jiff::{SignedDuration, Timestamp, Zoned};
use std::sync::Arc;
use std::time::Instant;

/// How long a whole answer may take where the model's settings do not say.
const WHOLE: SignedDuration = SignedDuration::from_mins(10);

/// What the answer is where the model had no word for it.
const NOTHING: &str = "(the model said nothing)";

/// An event that somebody waits for at a terminal.
pub struct Interactive<'a> {
    /// Which.
    pub id: &'a Id,
    /// The model to be used instead of the agent's.
    pub model: Option<&'a str>,
    /// WatchKind of the turn as it goes on.
    pub heard: Option<&'a (dyn Fn(Progress) + Sync)>,
}

/// What is heard of a turn.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// A piece of what the model says.
    Text(&'a str),
    /// A tool is called.
    Call(&'a Call),
    /// This has come of it.
    Result(&'a ToolResult),
}

/// One turn, and how far it has come.
pub(crate) struct Turn<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) event: &'a Event,
    pub(crate) lane: &'a Lane,
    pub(crate) log: SessionLog,
    pub(crate) state: Replay,
    pub(crate) agent: Arc<Agent>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) asked: Option<&'a Interactive<'a>>,
    /// The call that the owner has approved, where the event says that he has.
    pub(crate) approved: Option<Call>,
    /// WatchKind when the turn is to end before its end.
    pub(crate) cancel: CancelToken<'a>,
    /// What is hidden in everything that is written down.
    pub(crate) secrets: Secrets,
    /// What the agent is told of the present: the same at every step, so that providers' caches hit.
    pub(crate) begun: Zoned,
    /// The system prompt and how much of it is stable, once it was made: the same at every step too, also
    /// where a step changes a file that it is made of.
    pub(crate) prompt: Option<(String, usize)>,
    /// Somebody has heard a part of an answer.
    pub(crate) has_spoken: bool,
    /// When it must be over.
    pub(crate) until: Instant,
    /// How long that is from its beginning, for people.
    pub(crate) lasts: SignedDuration,
    /// The work that it is a part of: by what its slots are named.
    pub(crate) own: &'a dyn Handler,
    /// The turns of every session, for those that it waits for.
    pub(crate) every: &'a dyn Handler,
}

impl Turn<'_> {
    /// Lets whoever waits for it hear of it.
    pub(crate) fn tell(&self, what: Progress) {
        if let Some(heard) = self.asked.and_then(|asked| asked.heard) {
            heard(what);
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.workspace.world.now().timestamp()
    }

    /// Writes down that this is the answer; the answer and the end of the turn are one write ahead of one
    /// sync. `is_new` where no model said it.
    pub(crate) fn close(&mut self, said: String, is_new: bool) -> Result<()> {
        let out = self.outgoing(&said)?;
        let also = self.state.also.iter().map(|event| event.id.clone());
        let ids = std::iter::once(self.event.id.clone()).chain(also).collect();
        self.log.append(&[Record::Done { at: self.now(), ids, out: out.clone(), said: is_new.then_some(said) }])?;
        self.log.commit()?;
        self.state.done = Some(out);
        Ok(())
    }

    /// Asks this model, and writes its answer down; `instead_of` the one that was to answer. What its server refuses
    /// as too long is made shorter, and sent once more; so is, as it is, what is answered without a word.
    pub(crate) fn ask_one(&mut self, chosen: &ResolvedModel, instead_of: Option<&str>, is_last: bool) -> Result<()> {
        let mut chosen = chosen.clone();
        // No answer is waited for when the turn is over.
        let left = self.until.saturating_duration_since(Instant::now());
        let left = SignedDuration::try_from(left).unwrap_or(SignedDuration::MAX);
        if left < chosen.model.timeout.unwrap_or(WHOLE) {
            chosen.model.timeout = Some(left);
        }
        let request = self.request(&chosen, is_last)?;
        let refused = match self.send(&chosen, instead_of, &request) {
            Err(fault) if fault.cause == Some(Cause::Empty) => return self.send(&chosen, instead_of, &request),
            Err(fault) => fault,
            done => return done,
        };
        if !self.overflowed(&chosen, &request, &refused)? {
            return Err(refused);
        }
        let request = self.request(&chosen, is_last)?;
        self.send(&chosen, instead_of, &request)
    }

    fn send(&mut self, chosen: &ResolvedModel, instead_of: Option<&str>, request: &Request) -> Result<()> {
        let began = Instant::now();
        let asked = self.asked;
        let call = meter::MeteredCall {
            workspace: self.workspace,
            event: &self.event.id,
            step: self.state.steps.len() + 1,
            lane: self.lane,
            agent: &self.agent,
            chosen,
            request,
            is_asked: asked.is_some(),
        };
        let (answer, _) = call.ask(&self.cancel, &mut |text| {
            if let Some(heard) = asked.and_then(|asked| asked.heard) {
                self.has_spoken = true;
                heard(Progress::Text(text));
            }
        })?;
        let mut reply = answer?;
        if request.must_answer && !reply.calls.is_empty() {
            reply.calls.clear();
            if reply.content.trim().is_empty() {
                reply.content = format!("I stopped after {} steps without an answer.", self.state.steps.len() + 1);
            }
        }
        if reply.is_empty() && !is_silent(self.event) {
            // After its work a model may have nothing to add; at once it has not heard the question.
            if self.state.steps.is_empty() {
                let why = format!("model {}: its answer is empty", chosen.name);
                return Err(Fault::new(Kind::Failed, why).cause(Cause::Empty));
            }
            NOTHING.clone_into(&mut reply.content);
        }
        reply.content = self.secrets.hide(reply.content);
        // What nobody may change is kept as it is or not at all.
        reply.thinking.retain(|thought| self.secrets.are_absent_from(&thought.payload.to_string()));
        for thought in &mut reply.thinking {
            thought.by = chosen.identity();
            thought.text = self.secrets.hide(std::mem::take(&mut thought.text));
        }
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let answered = JournalLine {
            ms: Some(ms),
            why: instead_of.map_or_else(|| chosen.name.clone(), |first| format!("{} instead of {first}", chosen.name)),
            lane: self.lane.name.clone(),
            tokens: Some([reply.usage.input, reply.usage.output]),
            ..JournalLine::about(Mailbox::Inbox, "turn", &self.event.id)
        };
        let estimated = tokens::fixed(&request.system, &request.tools) + tokens::messages(&request.messages);
        self.take(&chosen.name, ms, reply, estimated as u64)?;
        journal::write(self.workspace, answered);
        Ok(())
    }

    /// Takes an answer in, and writes it down, with what its request was by our own estimate.
    pub(crate) fn take(&mut self, model: &str, ms: u64, reply: Reply, estimated: u64) -> Result<()> {
        let (at, id) = (self.now(), self.event.id.clone());
        let reply = self.state.add_reply(&self.event.id, reply).clone();
        // What could not go out must not become the logged answer.
        self.outgoing(&reply.content)?;
        if reply.usage.input > 0 {
            self.state.count = Some(Count { model: model.to_owned(), counted: reply.usage.input, estimated });
        }
        self.log.append(&[Record::Model { at, id, model: model.to_owned(), ms, reply, estimated }])
    }

    /// The ids of what was published before the end, to be remembered or done by others.
    pub(crate) fn noted(&self) -> Vec<String> {
        let calls = self.state.steps.iter().flat_map(|step| step.reply.calls.iter().zip(&step.calls));
        let told = (1..).zip(calls).filter(|(_, (_, call))| call.result.as_ref().is_some_and(|result| !result.failed));
        let what = |name: &str| match name {
            tool::REMEMBER => Some(Derived::Memory),
            DISPATCH => Some(Derived::Dispatch),
            _ => None,
        };
        told.filter_map(|(number, (call, _))| Some(self.event.id.derive(what(&call.name)?, number).to_string()))
            .collect()
    }

    /// The model that is to be asked.
    pub(crate) fn choose(&self) -> Result<ResolvedModel> {
        let workspace = self.workspace;
        let wanted = self.event.meta.get("model").and_then(|m| m.as_str());
        let wanted = self.asked.and_then(|asked| asked.model).or(wanted);
        let chosen = workspace.config()?.resolve_model(&self.agent, wanted)?;
        if workspace.is_trusted || chosen.model.provider.as_deref() == Some(OFFLINE) {
            return Ok(chosen);
        }
        let what = format!("{} is not trusted, so its model `{}` is not used", workspace.root.display(), chosen.name);
        if self.asked.is_none() {
            // Nobody is there to see who answers instead.
            return Err(Fault::config(what).hint("say `claw trust` in it"));
        }
        workspace.world.say(&format!("{what} and the offline one answers; say `claw trust` in it"));
        Ok(ResolvedModel::offline())
    }

    fn request(&mut self, chosen: &ResolvedModel, is_last: bool) -> Result<Request> {
        let (system, system_stable) = match &self.prompt {
            Some(prompt) => prompt.clone(),
            None => self.prompt.insert(self.system()?).clone(),
        };
        self.make_room(chosen, tokens::fixed(&system, self.tools.iter().map(|tool| &tool.spec)))?;
        let mut messages = self.state.messages(&self.event.content, is_last);
        let by = chosen.identity();
        for message in &mut messages {
            if let Message::Assistant { thinking, .. } = message {
                thinking.retain(|thought| thought.by == by);
            }
        }
        Ok(Request {
            model: chosen.model.model.clone(),
            system,
            system_stable,
            messages,
            tools: self.tools.iter().map(|tool| tool.spec.clone()).collect(),
            must_answer: is_last,
            temperature: chosen.model.temperature,
            max_tokens: chosen.model.max_tokens,
        })
    }

    pub(crate) fn system(&self) -> Result<(String, usize)> {
        let moment = PromptContext {
            now: &self.begun,
            session: &self.lane.name,
            kind: self.event.kind,
            reply_to: &self.event.reply_to,
        };
        prompt::layers(self.workspace, &self.agent, &self.tools, &moment).map(|layers| join(&layers))
    }

    /// Everything that goes out for an event that was answered so.
    pub(crate) fn outgoing(&self, said: &str) -> Result<Vec<Event>> {
        let (event, session) = (self.event, &self.lane.name);
        let now = self.workspace.world.now();
        let from = Address::parse(&format!("agent:{}", session_name::agent(session)))?;
        let mut out = Vec::new();
        let notes = self.state.steps.iter().flat_map(|step| &step.reply.remember);
        for (number, note) in (self.state.calls() + 1..).zip(notes) {
            out.push(event.child(Derived::Memory, number, &from, note.clone(), now));
        }
        for event in &mut out {
            event.session = Some(session.clone());
        }
        let is_silent = is_silent(event);
        let asks = self.state.steps.last().is_some_and(AssistantStep::needs_approval);
        if let Some(requester) = Requester::of(event) {
            let answer = event.child(Derived::Reply, 1, &from, said.trim_end().to_owned(), now);
            out.push(report(&requester, answer, session)?);
        } else if (!is_silent || asks) && !said.trim().is_empty() {
            let mut answer = event.child(Derived::Reply, 1, &from, said.trim_end().to_owned(), now);
            if is_silent {
                // A question of what runs in the background is for the owner.
                answer.reply_to = self.workspace.default_destination()?;
            }
            answer.session = Some(session.clone());
            out.push(answer);
        }
        let too_long = |fault| Fault { kind: Kind::Failed, ..fault };
        out.iter().try_for_each(publish::check_size).map_err(too_long)?;
        Ok(out)
    }
}

/// What comes of a dispatch. Whoever waits for it reads it where it is logged; else it is an event of its requester's.
pub(crate) fn report(requester: &Requester, mut answer: Event, session: &str) -> Result<Event> {
    if requester.waits {
        (answer.kind, answer.session) = (EventKind::Result, Some(session.to_owned()));
        requester.write(&mut answer)?;
        return Ok(answer);
    }
    let head = format!("What came of it, from {} in session {session}:", session_name::agent(session));
    let said = if answer.content.trim().is_empty() { "(nothing was said)" } else { &answer.content };
    answer.content = format!("{head}\n\n{said}");
    requester.result_event(answer)
}

/// Publishes what an answered event sends out. From here on it is answered: what stands in the way is never
/// its failure.
pub(crate) fn publish_all(workspace: &Workspace, out: &[Event]) -> Result<Vec<String>> {
    let machine = |fault| Fault { kind: Kind::Machine, ..fault };
    // Whoever waits for an answer reads it in the log.
    let goes_out = |event: &&Event| Requester::of(event).is_none_or(|requester| !requester.waits);
    for event in out.iter().filter(goes_out) {
        match event.kind {
            EventKind::Remember | EventKind::Result => publish::inbox(workspace, event).map_err(machine)?,
            _ => publish::outbox(workspace, event).map_err(machine)?,
        };
    }
    Ok(out.iter().filter(goes_out).map(|event| event.id.to_string()).collect())
}

pub(crate) fn expired(workspace: &Workspace, event: &Event) -> Result<()> {
    match event.expires() {
        Some(end) if end < workspace.world.now() => {
            Err(Fault::new(Kind::Failed, format!("it has expired at {}", end.timestamp())))
        }
        _ => Ok(()),
    }
}
