//! A turn: the answer to one event in one session, as a state machine without I/O. The state is a replay of the
//! session's log, so a killed turn resumes at the step that it had reached. [`next`] is the whole transition function.

use crate::core::context::compact::Conversation;
use crate::core::crons::heartbeat;
use crate::core::event::id::Id;
use crate::core::event::{Event, EventKind};
use crate::core::model::attachment::Attachment;
use crate::core::model::tokens::Count;
use crate::core::model::{Call, Message, Reply};
use crate::core::session::compaction::{CompactRecord, Compacted, CompactedTurn, LearnedWindow};
use crate::core::session::record::{Record, ToolResult};
use crate::core::text::base32::hash32;
use crate::core::text::secret;
use jiff::Timestamp;
use serde_json::Value;

/// From this number of identical calls with identical results on, a note to the model is added.
const REPEATS_NOTE: usize = 3;
/// From this number on, the next answer of the model is the last one.
const REPEATS_END: usize = 5;

/// A model's answer within a turn, and the progress of its calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AssistantStep {
    /// The answer.
    pub reply: Reply,
    /// The progress of each call of `reply`, in the same order.
    pub calls: Vec<CallProgress>,
}

/// The progress of a tool call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallProgress {
    /// The log has the beginning of the call.
    pub is_begun: bool,
    /// The result, once the call has ended.
    pub result: Option<ToolResult>,
}

impl AssistantStep {
    fn new(reply: Reply) -> Self {
        Self { calls: vec![CallProgress::default(); reply.calls.len()], reply }
    }

    fn find(&mut self, call: &str) -> Option<&mut CallProgress> {
        let at = self.reply.calls.iter().position(|known| known.id == call)?;
        self.calls.get_mut(at)
    }

    fn results(&self) -> impl Iterator<Item = (&Call, Option<&ToolResult>)> {
        self.reply.calls.iter().zip(self.calls.iter().map(|call| call.result.as_ref()))
    }

    /// Whether one of the calls waits for the owner's approval.
    #[must_use]
    pub fn needs_approval(&self) -> bool {
        self.results().any(|(_, result)| result.is_some_and(|result| result.asks.is_some()))
    }

    /// Appends the answer and its results as messages for a model: every call has a result.
    fn messages(&self, into: &mut Vec<Message>) {
        let is_empty = self.reply.content.trim().is_empty() && self.reply.calls.is_empty();
        // Most servers refuse an empty message.
        let content = if is_empty { "(empty answer)" } else { &self.reply.content };
        let (mut calls, thinking) = (self.reply.calls.clone(), self.reply.thinking.clone());
        // The log has the call as it was; a secret that was not noted is not sent again.
        for call in &mut calls {
            call.arguments = secret::shown_arguments(&call.name, &call.arguments).into_owned();
        }
        into.push(Message::Assistant { content: content.to_owned(), calls, thinking });
        for (call, result) in self.results() {
            let content = result.map_or("It was not run: the turn ended.", |result| &result.result).to_owned();
            into.push(Message::Tool { call: call.id.clone(), name: call.name.clone(), content });
        }
    }
}

/// The state of one event's turn and the conversation before it, replayed from the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replay {
    /// The last compaction of the conversation.
    pub compact: Option<CompactRecord>,
    /// The exchanges kept by the last compaction and the finished ones since, oldest first.
    pub history: Vec<Message>,
    /// The part of this turn that the last compaction has covered, if it happened in this turn.
    pub compacted_turn: Option<CompactedTurn>,
    /// The last token count by a model's provider.
    pub count: Option<Count>,
    /// The first source of text from outside in the conversation.
    pub taint: Option<String>,
    /// The log has the event's `in` line.
    pub is_logged: bool,
    /// The time of the first event in the records.
    pub began: Option<Timestamp>,
    /// Further events that are answered in the same turn.
    pub also: Vec<Event>,
    /// The number of answers in the log since the last compaction, those of turns that were given up too.
    pub answers: usize,
    /// The model's answers so far.
    pub steps: Vec<AssistantStep>,
    /// The outgoing events of the `done` line, if the log has it.
    pub done: Option<Vec<Event>>,
}

/// A call that has no result yet.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingCall {
    /// The call.
    pub call: Call,
    /// Its number within the turn, from 1.
    pub number: u32,
    /// A worker that has ended had begun it.
    pub is_begun: bool,
    /// The keys of its arguments that were left out, because its tool does not have them.
    pub ignored: Vec<String>,
}

/// The next action of a turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Log the event.
    LogEvent,
    /// Call the model.
    Ask {
        /// The model may not call tools any more: it must answer.
        is_last: bool,
    },
    /// Run these tool calls, in this order.
    Call(Vec<PendingCall>),
    /// Log the `done` line with this answer.
    Close(String),
    /// Publish these events; then the turn is done.
    Publish(Vec<Event>),
}

/// Another event of the log whose `done` line was not read yet.
struct OpenTurn {
    id: Id,
    /// Events that are answered with it.
    also: Vec<Id>,
    content: String,
    attachments: Vec<Attachment>,
    /// The heartbeat: an exchange without a finding is not sent again.
    is_beat: bool,
    /// Messages of the turn from before a compaction that are still sent.
    before: Vec<Message>,
    steps: Vec<AssistantStep>,
}

impl OpenTurn {
    /// The messages of the finished exchange; none where no model has answered. `text` is the answer where it differs
    /// from the model's last text.
    fn close(mut self, text: Option<String>) -> Vec<Message> {
        let last = text.as_deref().or_else(|| Some(self.steps.last()?.reply.content.as_str()));
        if self.is_beat && last.is_none_or(heartbeat::is_ok) {
            return Vec::new();
        }
        let mut messages = vec![Message::with_attachments(self.content, self.attachments)];
        let is_answered = !self.before.is_empty();
        messages.extend(self.before);
        if let Some(content) = text {
            self.steps.push(AssistantStep::new(Reply { content, ..Reply::default() }));
        }
        // The providers' signatures are valid only during the turn.
        let thoughts = self.steps.iter_mut().flat_map(|step| &mut step.reply.thinking);
        thoughts.for_each(|thought| thought.payload = Value::Null);
        self.steps.iter().for_each(|step| step.messages(&mut messages));
        if self.steps.is_empty() && !is_answered { Vec::new() } else { messages }
    }
}

/// Replays a session's records for event `id`. Events that were begun and never answered are not part of the
/// conversation. A `compact` record replaces everything before it.
#[must_use]
pub fn replay(records: impl IntoIterator<Item = Record>, id: &Id) -> Replay {
    let mut state = Replay::default();
    let mut open: Vec<OpenTurn> = Vec::new();
    let mut past: Vec<Vec<Message>> = Vec::new();
    for record in records {
        match record {
            Record::In { event, .. } => {
                state.add_taint(event.origin.taint.as_ref());
                state.began.get_or_insert(event.created_at);
                if event.id == *id {
                    state.is_logged = true;
                } else if !open.iter().any(|other| other.id == event.id) {
                    let also = Vec::new();
                    open.push(OpenTurn {
                        attachments: attached(&event).collect(),
                        is_beat: event.kind == EventKind::Heartbeat,
                        id: event.id,
                        also,
                        content: event.content,
                        before: Vec::new(),
                        steps: Vec::new(),
                    });
                }
            }
            Record::Also { id: of, event, .. } if of == *id => {
                state.add_taint(event.origin.taint.as_ref());
                if !state.also.iter().any(|other| other.id == event.id) {
                    state.also.push(*event);
                }
            }
            Record::Also { id: of, event, .. } => {
                state.add_taint(event.origin.taint.as_ref());
                let turn = open.iter_mut().find(|open| open.id == of);
                if let Some(open) = turn.filter(|open| !open.also.contains(&event.id)) {
                    open.also.push(event.id.clone());
                    open.content = joined([open.content.as_str(), &event.content]);
                    open.attachments.extend(attached(&event));
                }
            }
            Record::Model { id: answered, reply, model, estimated, .. } => {
                state.answers += 1;
                if reply.usage.input > 0 {
                    state.count = Some(Count { model, counted: reply.usage.input, estimated });
                }
                if let Some(steps) = steps(&mut state, &mut open, id, &answered) {
                    steps.push(AssistantStep::new(reply));
                }
            }
            Record::Begun { id: of, call, .. } => {
                let last = steps(&mut state, &mut open, id, &of).and_then(|steps| steps.last_mut());
                if let Some(progress) = last.and_then(|step| step.find(&call)) {
                    progress.is_begun = true;
                }
            }
            Record::Tool { id: of, call, outcome, .. } => {
                state.add_taint(outcome.taint.as_ref());
                let last = steps(&mut state, &mut open, id, &of).and_then(|steps| steps.last_mut());
                if let Some(progress) = last.and_then(|step| step.find(&call)) {
                    progress.result = Some(outcome);
                }
            }
            Record::Done { ids, out, said, .. } => {
                if ids.contains(id) {
                    state.done = Some(out);
                } else {
                    // These events had a turn of their own, after a turn that failed.
                    state.also.retain(|event| !ids.contains(&event.id));
                }
                past.extend(open.extract_if(.., |o| ids.contains(&o.id)).map(|o| o.close(said.clone())));
            }
            Record::Compact(compact) => {
                state.add_taint(compact.taint.as_ref());
                (past, open) = (vec![compact.recent.clone()], Vec::new());
                state.count = compact.count.clone().or(state.count);
                state.compacted_turn = None;
                match compact.turn.clone() {
                    Some(begun) if compact.id == *id => state.compacted_turn = Some(begun),
                    Some(CompactedTurn { question: content, messages: before, .. }) => {
                        open.push(OpenTurn {
                            is_beat: false,
                            id: compact.id.clone(),
                            also: Vec::new(),
                            content,
                            attachments: Vec::new(),
                            before,
                            steps: Vec::new(),
                        });
                    }
                    None => {}
                }
                // The `in` line of any other event must follow the compaction.
                state.is_logged &= compact.id == *id;
                state.compact = Some(*compact);
            }
            Record::Unknown => {}
        }
    }
    state.history = past.into_iter().flatten().collect();
    state
}

/// The files of an event, not read yet.
fn attached(event: &Event) -> impl Iterator<Item = Attachment> {
    event.attachments.iter().map(Attachment::at)
}

/// Consecutive texts of the user as one message: models require alternating roles.
fn joined<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().collect::<Vec<_>>().join("\n\n")
}

/// The steps of event `of`, which is `id` itself or an open turn.
fn steps<'a>(state: &'a mut Replay, open: &'a mut [OpenTurn], id: &Id, of: &Id) -> Option<&'a mut Vec<AssistantStep>> {
    if of == id {
        return Some(&mut state.steps);
    }
    open.iter_mut().find(|open| open.id == *of).map(|open| &mut open.steps)
}

impl Replay {
    /// Adds a model's answer, and assigns ids to its calls. An id is made of the call's place in the conversation, not of
    /// the event, so that a repeated conversation has the same ids.
    pub fn add_reply(&mut self, mut reply: Reply) -> &Reply {
        let place = format!("{} {} {}", self.history.len(), self.last_call(), self.answers);
        for (number, call) in reply.calls.iter_mut().enumerate() {
            call.id = hash32(&format!("{place} {number}"), 9);
        }
        self.answers += 1;
        let step = self.steps.len();
        self.steps.push(AssistantStep::new(reply));
        &self.steps[step].reply
    }

    /// The id of the last call before this turn.
    fn last_call(&self) -> &str {
        let calls = self.history.iter().rev().filter_map(|message| match message {
            Message::Assistant { calls, .. } => calls.last(),
            _ => None,
        });
        calls.map(|call| call.id.as_str()).next().unwrap_or_default()
    }

    /// Notes a source of text from outside; the first one is kept.
    pub fn add_taint(&mut self, source: Option<&String>) {
        if self.taint.is_none() {
            self.taint = source.cloned();
        }
    }

    /// Sets the result of a call of the last answer.
    pub fn set_result(&mut self, call: &str, result: ToolResult) {
        self.add_taint(result.taint.as_ref());
        if let Some(progress) = self.steps.last_mut().and_then(|step| step.find(call)) {
            progress.result = Some(result);
        }
    }

    /// Applies a compaction of the conversation.
    pub fn apply_compaction(&mut self, compact: CompactRecord) {
        self.history.clone_from(&compact.recent);
        self.compacted_turn.clone_from(&compact.turn);
        self.compact = Some(compact);
    }

    /// The compacted older part of the conversation.
    #[must_use]
    pub fn compaction(&self) -> Option<&Compacted> {
        self.compact.as_ref().map(|compact| &compact.compacted)
    }

    /// The context window of `model` in tokens, if its server has named it in a refusal.
    #[must_use]
    pub fn learned_window(&self, model: &str) -> Option<u64> {
        let learned: Option<&LearnedWindow> = self.compact.as_ref().and_then(|compact| compact.window.as_ref());
        learned.filter(|learned| learned.model == model).map(|learned| learned.tokens)
    }

    /// The messages of this turn so far, as far as they are sent: answers and results.
    #[must_use]
    pub fn turn_messages(&self) -> Vec<Message> {
        let (mut messages, steps) = match &self.compacted_turn {
            Some(begun) => (begun.messages.clone(), begun.steps),
            None => (Vec::new(), 0),
        };
        self.steps.iter().skip(steps).for_each(|step| step.messages(&mut messages));
        messages
    }

    /// The user message of this turn: the texts of all events that it answers.
    #[must_use]
    pub fn user_message(&self, content: &str) -> String {
        match &self.compacted_turn {
            Some(begun) => begun.question.clone(),
            None => joined([content].into_iter().chain(self.also.iter().map(|event| event.content.as_str()))),
        }
    }

    /// The files of all events that this turn answers; `event` is the first.
    #[must_use]
    pub fn attachments(&self, event: &Event) -> Vec<Attachment> {
        std::iter::once(event).chain(&self.also).flat_map(attached).collect()
    }

    /// The conversation as it would be sent. Within a turn, `question` is [`Self::user_message`] and `turn` is
    /// [`Self::turn_messages`]; between turns there are none.
    #[must_use]
    pub fn conversation<'a>(&'a self, question: Option<&'a str>, turn: &'a [Message]) -> Conversation<'a> {
        Conversation { compacted: self.compaction(), history: &self.history, question, turn, steps: self.steps.len() }
    }

    /// Whether a call of this tool has succeeded in this turn.
    #[must_use]
    pub fn has_called(&self, tool: &str) -> bool {
        let mut calls = self.steps.iter().flat_map(AssistantStep::results);
        calls.any(|(call, result)| call.name == tool && result.is_some_and(|result| !result.failed))
    }

    /// The number of tool calls in this turn.
    #[must_use]
    pub fn calls(&self) -> u32 {
        u32::try_from(self.steps.iter().map(|step| step.calls.len()).sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// The messages for the model: the conversation, the user message, and the messages of this turn so far.
    #[must_use]
    pub fn messages(&self, content: &str, is_last: bool) -> Vec<Message> {
        let mut messages: Vec<Message> = self.compaction().map(Compacted::messages).into_iter().flatten().collect();
        messages.extend_from_slice(&self.history);
        messages.push(Message::user(self.user_message(content)));
        let begin = messages.len();
        messages.extend(self.turn_messages());
        let repeats = self.repeats();
        let mut notes = Vec::new();
        if repeats >= REPEATS_NOTE {
            notes.push(format!("[The same call has now given the same result {repeats} times. Do something else.]"));
        }
        if is_last {
            notes.push("[No more tools can be called in this turn. Answer now with the results you have.]".to_owned());
        }
        if let (Some(Message::Tool { content, .. }), true) = (messages[begin..].last_mut(), !notes.is_empty()) {
            *content = format!("{content}\n\n{}", notes.join("\n"));
        }
        messages
    }

    /// The number of identical calls with identical results in this turn; of the last answer's calls the highest one.
    fn repeats(&self) -> usize {
        let results = || self.steps.iter().flat_map(AssistantStep::results);
        let is_same = |a: &(&Call, Option<&ToolResult>), b: &(&Call, Option<&ToolResult>)| {
            (&a.0.name, &a.0.arguments, a.1) == (&b.0.name, &b.0.arguments, b.1)
        };
        let last = self.steps.last().into_iter().flat_map(AssistantStep::results);
        last.map(|last| results().filter(|other| is_same(&last, other)).count()).max().unwrap_or(0)
    }
}

/// The next action in this state. The model is called at most `limit` times; the last time it must answer.
#[must_use]
pub fn next(state: &Replay, limit: u32) -> Step {
    if let Some(out) = &state.done {
        return Step::Publish(out.clone());
    }
    if !state.is_logged {
        return Step::LogEvent;
    }
    let Some(last) = state.steps.last() else { return Step::Ask { is_last: limit <= 1 } };
    let before = state.calls() - u32::try_from(last.calls.len()).unwrap_or(0);
    let calls = (before + 1..).zip(last.reply.calls.iter().zip(&last.calls));
    let pending: Vec<PendingCall> = calls
        .filter(|(_, (_, progress))| progress.result.is_none())
        .map(|(number, (call, progress))| {
            let ignored = Vec::new();
            PendingCall { call: call.clone(), number, is_begun: progress.is_begun, ignored }
        })
        .collect();
    if !pending.is_empty() {
        return Step::Call(pending);
    }
    if last.calls.is_empty() {
        return Step::Close(last.reply.content.clone());
    }
    let asks: Vec<&str> = last.results().filter_map(|(_, result)| result?.asks.as_deref()).collect();
    if !asks.is_empty() {
        let text = Some(last.reply.content.trim()).filter(|text| !text.is_empty());
        return Step::Close(text.into_iter().chain(asks).collect::<Vec<_>>().join("\n\n"));
    }
    let is_over = state.steps.len() + 1 >= usize::try_from(limit).unwrap_or(usize::MAX);
    Step::Ask { is_last: is_over || state.repeats() >= REPEATS_END }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Draft;
    use crate::core::event::address::Address;
    use crate::core::event::stamp::Stamp;
    use jiff::Timestamp;

    fn id(n: i64) -> Id {
        Id::new(Stamp(n), 0)
    }

    fn event(n: i64, text: &str) -> Event {
        let place = Address::parse("cli:ann").unwrap();
        Draft::message(text).complete(id(n), Stamp(n), &place, &place)
    }

    fn whole_turn(n: i64) -> [Record; 3] {
        let at = Timestamp::UNIX_EPOCH;
        let reply = Reply { content: format!("a{n}"), ..Reply::default() };
        [
            Record::In { at, event: Box::new(event(n, &format!("q{n}"))) },
            Record::Model { at, id: id(n), model: "m".into(), ms: 1, reply, estimated: 0 },
            Record::Done { at, ids: vec![id(n)], out: vec![event(n + 100, "out")], said: None },
        ]
    }

    #[test]
    fn turn_resumes_from_every_prefix_of_its_log() {
        let records = whole_turn(1);
        let step = |n: usize| next(&replay(records[..n].iter().cloned(), &id(1)), 9);
        assert_eq!(step(0), Step::LogEvent);
        assert_eq!(step(1), Step::Ask { is_last: false });
        assert!(matches!(step(2), Step::Close(text) if text == "a1"));
        assert!(matches!(step(3), Step::Publish(out) if out.len() == 1));
    }

    #[test]
    fn conversation_has_only_finished_turns_in_order() {
        let mut records: Vec<Record> = whole_turn(1).into();
        // An event that was begun, killed, begun again, and never answered.
        let begun = Record::In { at: Timestamp::UNIX_EPOCH, event: Box::new(event(2, "lost")) };
        records.extend([begun.clone(), begun]);
        records.extend(whole_turn(3));
        records.push(Record::Unknown);
        let state = replay(records, &id(4));
        let texts: Vec<&str> = state.history.iter().map(Message::content).collect();
        assert_eq!(texts, ["q1", "a1", "q3", "a3"]);
        assert_eq!(next(&state, 9), Step::LogEvent);
    }

    #[test]
    fn collected_events_are_one_message_with_one_answer() {
        let at = Timestamp::UNIX_EPOCH;
        let [first, .., done] = whole_turn(1);
        let also = |n: i64| Record::Also { at, id: id(1), event: Box::new(event(n, &format!("q{n}"))) };
        let mut records = vec![first, also(2), also(3), also(2)];
        let begun = replay(records.clone(), &id(1));
        assert_eq!(begun.messages("q1", false).last().unwrap().content(), "q1\n\nq2\n\nq3");
        // A collected event has no turn of its own yet; if its own turn came first, it is not answered again.
        assert_eq!(next(&replay(records.clone(), &id(2)), 9), Step::LogEvent);
        let own = records.iter().cloned().chain(whole_turn(2));
        assert_eq!(replay(own, &id(1)).also.iter().map(|e| e.id.clone()).collect::<Vec<_>>(), [id(3)]);
        let Record::Done { out, .. } = done else { unreachable!() };
        let reply = Reply { content: "all".into(), ..Reply::default() };
        records.push(Record::Model { at, id: id(1), model: "m".into(), ms: 1, reply, estimated: 0 });
        records.push(Record::Done { at, ids: vec![id(1), id(2), id(3)], out, said: None });
        for n in 1..=3 {
            assert!(matches!(next(&replay(records.clone(), &id(n)), 9), Step::Publish(_)), "{n}");
        }
        let later = replay(records, &id(4));
        assert_eq!(later.history.iter().map(Message::content).collect::<Vec<_>>(), ["q1\n\nq2\n\nq3", "all"]);
    }

    /// Asserts that messages are valid for a model: every call has its result and the reverse, in order, and roles
    /// alternate.
    fn assert_valid(messages: &[Message]) {
        let mut open: Vec<&str> = Vec::new();
        let mut known = std::collections::HashSet::new();
        let mut before = "";
        for message in messages {
            match message {
                Message::User { .. } => {
                    assert!(open.is_empty() && matches!(before, "" | "agent"), "{messages:#?}");
                    before = "user";
                }
                Message::Assistant { content, calls, .. } => {
                    assert!(open.is_empty() && matches!(before, "user" | "tool"), "{messages:#?}");
                    assert!(!calls.is_empty() || !content.is_empty());
                    open = calls.iter().map(|call| call.id.as_str()).collect();
                    assert!(open.iter().all(|id| known.insert(*id)), "a repeated id: {messages:#?}");
                    before = if calls.is_empty() { "agent" } else { "tool" };
                }
                Message::Tool { call, .. } => assert_eq!(open.remove(0), call),
            }
        }
        assert!(open.is_empty() && before != "agent", "{messages:#?}");
    }

    /// The records of a complete turn behind the records `before`, driven by [`next`]; answer n has `calls[n]` tool calls.
    fn drive(before: &[Record], of: i64, calls: &[usize], is_cut: bool) -> Vec<Record> {
        let at = Timestamp::UNIX_EPOCH;
        let id = id(of);
        let mut records: Vec<Record> = Vec::new();
        loop {
            let mut state = replay(before.iter().chain(&records).cloned(), &id);
            match next(&state, 6) {
                Step::LogEvent => records.push(Record::In { at, event: Box::new(event(of, &format!("q{of}"))) }),
                Step::Ask { is_last } => {
                    assert_valid(&state.messages("now", is_last));
                    let count = calls.get(state.steps.len()).copied().unwrap_or_default();
                    let count = if is_last { 0 } else { count };
                    let call = |n: usize| Call { id: "same".into(), name: "t".into(), arguments: n.into() };
                    let reply = Reply { calls: (0..count).map(call).collect(), ..Reply::default() };
                    let reply = state.add_reply(reply).clone();
                    records.push(Record::Model { at, id: id.clone(), model: "m".into(), ms: 1, reply, estimated: 0 });
                }
                Step::Call(pending) => {
                    if is_cut && state.steps.len() == 2 {
                        records.push(Record::Done { at, ids: vec![id], out: Vec::new(), said: Some("cut".into()) });
                        return records;
                    }
                    let call = pending[0].call.id.clone();
                    records.push(Record::Begun { at, id: id.clone(), call: call.clone() });
                    records.push(Record::Tool { at, id: id.clone(), call, ms: 1, outcome: ToolResult::default() });
                }
                Step::Close(_) => records.push(Record::Done { at, ids: vec![id.clone()], out: Vec::new(), said: None }),
                Step::Publish(_) => return records,
            }
        }
    }

    proptest::proptest! {
        /// A log that is cut at any record gives a valid conversation, and the turn still reaches its end.
        #[test]
        fn log_cut_anywhere_is_a_valid_conversation(
            turns in proptest::collection::vec((proptest::collection::vec(0usize..4, 0..8), proptest::bool::ANY), 1..4),
            cut in 0usize..60,
        ) {
            let mut records: Vec<Record> = Vec::new();
            for (n, (calls, is_cut)) in (1..).zip(&turns) {
                let turn = drive(&records, n, calls, *is_cut);
                // An earlier turn may have been abandoned half-way.
                let length = if usize::try_from(n).unwrap() == turns.len() { turn.len() } else { turn.len().min(cut + 2) };
                records.extend(turn.into_iter().take(length));
            }
            let at = records.len().min(cut);
            let (before, after) = records.split_at(at);
            let last = id(i64::try_from(turns.len()).unwrap());
            let state = replay(before.iter().cloned(), &last);
            assert_valid(&state.history.iter().cloned().chain([Message::user("now")]).collect::<Vec<_>>());
            if let Step::Ask { is_last } = next(&state, 6) {
                assert_valid(&state.messages("now", is_last));
            }
            let whole = replay(before.iter().chain(after).cloned(), &last);
            proptest::prop_assert!(matches!(next(&whole, 6), Step::Publish(_)));
        }
    }
}
