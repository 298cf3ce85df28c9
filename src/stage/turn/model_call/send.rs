//! Builds the request of a step, sends it, and writes the reply to the log.

use crate::core::config::resolved_model::ResolvedModel;
use crate::core::context::prompt::{TIME, join};
use crate::core::event::dispatch::is_silent;
use crate::core::event::scheduled::Scheduled;
use crate::core::event::{ANSWER_SCHEMA, EventKind};
use crate::core::fault::{Cause, Fault, Kind, Result};
use crate::core::model::attachment;
use crate::core::model::tokens::{self, Count};
use crate::core::model::{Message, Reply, Request, ToolSpec};
use crate::core::session::record::Record;
use crate::core::tool::normal;
use crate::stage::turn::active_turn::Turn;
use crate::stage::turn::attached;
use crate::stage::turn::model_call::meter;
use crate::stage::turn::progress::Progress;
use crate::stage::turn::prompt::{self, PromptContext};
use crate::store::memory::admit;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::Mailbox;
use crate::tool;
use jiff::{SignedDuration, Timestamp};
use std::time::Instant;

/// A message that comes so long after the beginning of its conversation is sent with the present time.
const LATER: SignedDuration = SignedDuration::from_mins(5);

/// The answer if the model returned no text.
const NOTHING: &str = "(the model returned no text)";

impl Turn<'_> {
    /// The next request, compacted if it would not fit.
    pub(super) fn request(&mut self, chosen: &ResolvedModel, is_last: bool) -> Result<Request> {
        let (system, system_stable) = match &self.prompt {
            Some(prompt) => prompt.clone(),
            None => self.prompt.insert(self.system()?).clone(),
        };
        let has_tools = chosen.model.tools != Some(false);
        let tools: Vec<ToolSpec> = self.tools.iter().filter(|_| has_tools).map(|tool| tool.spec.clone()).collect();
        let files = self.state.attachments(self.event);
        self.make_room(chosen, tokens::fixed(&system, &tools) + files.len() * attachment::TOKENS)?;
        let mut messages = self.state.messages(&self.event.content, is_last);
        let by = chosen.identity();
        for message in &mut messages {
            if let Message::Assistant { thinking, .. } = message {
                thinking.retain(|thought| thought.by == by);
            }
        }
        let last = messages.iter_mut().rfind(|message| matches!(message, Message::User { .. }));
        let is_later = self.began_at.timestamp().duration_since(self.conversation_began()) >= LATER;
        if let Some(Message::User { attachments, now, .. }) = last {
            *attachments = files;
            *now = is_later.then(|| self.began_at.strftime(TIME).to_string());
        }
        attached::load(self.workspace, chosen, &mut messages)?;
        Ok(Request {
            model: chosen.model.model.clone(),
            system,
            system_stable,
            messages,
            tools,
            must_answer: is_last,
            temperature: chosen.model.temperature,
            max_tokens: chosen.model.max_tokens,
            schema: self.event.meta.get(ANSWER_SCHEMA).cloned(),
        })
    }

    /// The time at which the conversation began, the same at each of its turns.
    fn conversation_began(&self) -> Timestamp {
        self.state.began.unwrap_or(self.event.created_at)
    }

    /// The system prompt, and the length of its stable part in bytes.
    pub(crate) fn system(&self) -> Result<(String, usize)> {
        let delivers = Scheduled::of(self.event).is_some_and(|scheduled| scheduled.delivers);
        let context = PromptContext {
            now: &self.began_at,
            began: &self.conversation_began().to_zoned(self.began_at.time_zone().clone()),
            session: &self.lane.name,
            // The answer of a scheduled run with a destination is a message there.
            kind: if delivers { EventKind::Message } else { self.event.kind },
            reply_to: &self.event.reply_to,
            class: self.class,
        };
        prompt::layers(self.workspace, &self.agent, &self.tools, &context).map(|layers| join(&layers))
    }

    /// Sends a request, and records the reply.
    pub(super) fn send(&mut self, chosen: &ResolvedModel, instead_of: Option<&str>, request: &Request) -> Result<()> {
        let began = Instant::now();
        let interactive = self.interactive;
        let call = meter::MeteredCall {
            workspace: self.workspace,
            event: &self.event.id,
            step: self.state.steps.len() + 1,
            lane: self.lane,
            agent: &self.agent,
            chosen,
            request,
            may_recall: self.agent.senders.allow(self.class, tool::RECALL),
            is_interactive: interactive.is_some(),
        };
        let (stream, secrets) = (&mut self.stream, &self.secrets);
        stream.begin();
        let (answer, _) = call.send(&self.cancel, &mut |text| {
            stream.add(text, secrets);
            if let Some(on_progress) = interactive.and_then(|interactive| interactive.on_progress) {
                self.has_shown_text = true;
                on_progress(Progress::Text(text));
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
            // After tool calls a model may have nothing to add. An empty first reply is a failure of the model.
            if self.state.steps.is_empty() {
                let why = format!("model {}: its answer is empty", chosen.name);
                return Err(Fault::new(Kind::Failed, why).cause(Cause::Empty));
            }
            NOTHING.clone_into(&mut reply.content);
        }
        let names: Vec<&str> = self.tools.iter().map(|tool| tool.spec.name.as_str()).collect();
        for call in &mut reply.calls {
            if let Some(name) = normal::name(&call.name, &names) {
                name.clone_into(&mut call.name);
            }
        }
        reply.remember.retain(|note| {
            let refused = admit::check(self.workspace, note, false);
            refused.inspect_err(|fault| self.workspace.world.say(&format!("no note was made: {fault}"))).is_ok()
        });
        reply.content = self.secrets.hide(reply.content);
        // A signed thought must not be changed, so it is dropped if it contains a secret.
        reply.thinking.retain(|thought| self.secrets.are_absent_from(&thought.payload.to_string()));
        for thought in &mut reply.thinking {
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
        self.record_reply(&chosen.name, ms, reply, estimated as u64)?;
        journal::write(self.workspace, answered);
        Ok(())
    }

    /// Adds a reply to the state and the log. `estimated` is the size of its request in estimated tokens.
    pub(crate) fn record_reply(&mut self, model: &str, ms: u64, reply: Reply, estimated: u64) -> Result<()> {
        let (at, id) = (self.now(), self.event.id.clone());
        let reply = self.state.add_reply(reply).clone();
        // An answer that cannot be sent must not be logged.
        self.outgoing(&reply.content)?;
        if reply.usage.input > 0 {
            self.state.count = Some(Count { model: model.to_owned(), counted: reply.usage.input, estimated });
        }
        self.log.append(&[Record::Model { at, id, model: model.to_owned(), ms, reply, estimated }])
    }
}
