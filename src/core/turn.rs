//! A turn: one event answered in one session. The state is what the session's log says, so a turn
//! that was killed goes on at the step it had reached; [`next`] is the whole machine.

use crate::core::context::compact::Conversation;
use crate::core::event::Event;
use crate::core::event::id::Id;
use crate::core::model::tokens::Count;
use crate::core::model::{Call, Message, Reply};
use crate::core::session::compaction::{CompactRecord, Compacted, CompactedTurn, LearnedWindow};
use crate::core::session::record::{Record, ToolResult};
use crate::core::text::base32::hash32;
use serde_json::Value;

/// How often the same call may give the same result before the model is told.
const REPEATS_TOLD: usize = 3;
/// How often before the turn ends.
const REPEATS_END: usize = 5;

/// A model's answer within a turn, and what came of its calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AssistantStep {
    /// What the model said.
    pub reply: Reply,
    /// For each of its calls: whether it was begun, and what came of it.
    pub calls: Vec<(bool, Option<ToolResult>)>,
}

impl AssistantStep {
    fn new(reply: Reply) -> Self {
        Self { calls: vec![(false, None); reply.calls.len()], reply }
    }

    fn find(&mut self, call: &str) -> Option<&mut (bool, Option<ToolResult>)> {
        let at = self.reply.calls.iter().position(|known| known.id == call)?;
        self.calls.get_mut(at)
    }

    fn results(&self) -> impl Iterator<Item = (&Call, Option<&ToolResult>)> {
        self.reply.calls.iter().zip(self.calls.iter().map(|(_, told)| told.as_ref()))
    }

    /// Whether one of its calls waits for the owner's word.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.calls.iter().any(|(_, told)| told.as_ref().is_some_and(|told| told.asks.is_some()))
    }

    /// The answer and its results, as a model is sent them: every call has its result.
    fn messages(&self, into: &mut Vec<Message>) {
        let is_nothing = self.reply.content.trim().is_empty() && self.reply.calls.is_empty();
        // Most servers refuse an empty message.
        let content = if is_nothing { "(nothing was said)" } else { &self.reply.content };
        let (calls, thinking) = (self.reply.calls.clone(), self.reply.thinking.clone());
        into.push(Message::Assistant { content: content.to_owned(), calls, thinking });
        for (call, told) in self.results() {
            let content = told.map_or_else(|| "It was not run: the turn ended.".to_owned(), |told| told.result.clone());
            into.push(Message::Tool { call: call.id.clone(), name: call.name.clone(), content });
        }
    }
}

/// What the log says about one event, and the conversation before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replay {
    /// The last time that the conversation was compacted.
    pub compact: Option<CompactRecord>,
    /// Finished exchanges since then and those that were kept, oldest first.
    pub history: Vec<Message>,
    /// How far this turn had come when the conversation was compacted in it.
    pub begun: Option<CompactedTurn>,
    /// What the model has counted last.
    pub count: Option<Count>,
    /// The event has its `in` line.
    pub is_read: bool,
    /// The events that are answered in its turn, too.
    pub also: Vec<Event>,
    /// What the model has answered so far.
    pub steps: Vec<AssistantStep>,
    /// The event has its `done` line, which says that this goes out.
    pub done: Option<Vec<Event>>,
}

/// A call that has no result yet.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingCall {
    /// The call.
    pub call: Call,
    /// Its number within the turn, from 1.
    pub number: u32,
    /// It was begun by a worker that is gone.
    pub is_begun: bool,
}

/// What is to be done next for an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write the event into the log.
    Read,
    /// Ask the model; for its answer, if no more tools may be called.
    Ask {
        /// It may not call any more tools.
        is_last: bool,
    },
    /// Run these calls, in this order.
    Call(Vec<PendingCall>),
    /// Write down what goes out: this is the answer.
    Close(String),
    /// Publish this, then the event is done.
    Publish(Vec<Event>),
}

/// An event that was begun, while its `done` line has not been seen.
struct OpenTurn {
    id: Id,
    /// What is answered with it.
    also: Vec<Id>,
    content: String,
    /// What was answered before the conversation was compacted, as far as it is sent still.
    before: Vec<Message>,
    steps: Vec<AssistantStep>,
}

impl OpenTurn {
    /// The finished exchange; nothing where no model ever answered.
    fn close(mut self, said: Option<String>) -> Vec<Message> {
        let mut messages = vec![Message::user(self.content)];
        let is_answered = !self.before.is_empty();
        messages.extend(self.before);
        if let Some(said) = said {
            self.steps.push(AssistantStep::new(Reply { content: said, ..Reply::default() }));
        }
        // Signatures count for as long as the turn lasts.
        let thoughts = self.steps.iter_mut().flat_map(|step| &mut step.reply.thinking);
        thoughts.for_each(|thought| thought.payload = Value::Null);
        self.steps.iter().for_each(|step| step.messages(&mut messages));
        if self.steps.is_empty() && !is_answered { Vec::new() } else { messages }
    }
}

/// Replays a session's records, looking for what became of event `id`. An event that was begun and
/// never answered is no part of the conversation. What was said before the conversation was compacted last
/// is in the line that says so.
#[must_use]
pub fn replay(records: impl IntoIterator<Item = Record>, id: &Id) -> Replay {
    let mut state = Replay::default();
    let mut open: Vec<OpenTurn> = Vec::new();
    let mut past: Vec<Vec<Message>> = Vec::new();
    for record in records {
        match record {
            Record::In { event, .. } => {
                if event.id == *id {
                    state.is_read = true;
                } else if !open.iter().any(|other| other.id == event.id) {
                    let also = Vec::new();
                    open.push(OpenTurn {
                        id: event.id,
                        also,
                        content: event.content,
                        before: Vec::new(),
                        steps: Vec::new(),
                    });
                }
            }
            Record::Also { id: of, event, .. } if of == *id => {
                if !state.also.iter().any(|other| other.id == event.id) {
                    state.also.push(*event);
                }
            }
            Record::Also { id: of, event, .. } => {
                let known = open.iter_mut().find(|open| open.id == of);
                if let Some(open) = known.filter(|open| !open.also.contains(&event.id)) {
                    open.also.push(event.id.clone());
                    open.content = together([open.content.as_str(), &event.content]);
                }
            }
            Record::Model { id: answered, reply, model, estimated, .. } => {
                if reply.usage.input > 0 {
                    state.count = Some(Count { model, counted: reply.usage.input, estimated });
                }
                if let Some(steps) = steps(&mut state, &mut open, id, &answered) {
                    steps.push(AssistantStep::new(reply));
                }
            }
            Record::Begun { id: of, call, .. } => {
                let last = steps(&mut state, &mut open, id, &of).and_then(|steps| steps.last_mut());
                if let Some(entry) = last.and_then(|step| step.find(&call)) {
                    entry.0 = true;
                }
            }
            Record::Tool { id: of, call, outcome, .. } => {
                let last = steps(&mut state, &mut open, id, &of).and_then(|steps| steps.last_mut());
                if let Some(entry) = last.and_then(|step| step.find(&call)) {
                    entry.1 = Some(outcome);
                }
            }
            Record::Done { ids, out, said, .. } => {
                if ids.contains(id) {
                    state.done = Some(out);
                } else {
                    // A turn that failed was not the last word: its messages had turns of their own.
                    state.also.retain(|event| !ids.contains(&event.id));
                }
                past.extend(open.extract_if(.., |o| ids.contains(&o.id)).map(|o| o.close(said.clone())));
            }
            Record::Compact(compact) => {
                (past, open) = (vec![compact.recent.clone()], Vec::new());
                state.count = compact.count.clone().or(state.count);
                state.begun = None;
                match compact.turn.clone() {
                    Some(begun) if compact.id == *id => state.begun = Some(begun),
                    Some(CompactedTurn { question: content, messages: before, .. }) => {
                        open.push(OpenTurn {
                            id: compact.id.clone(),
                            also: Vec::new(),
                            content,
                            before,
                            steps: Vec::new(),
                        });
                    }
                    None => {}
                }
                // Whoever reads on from here must find the question behind it.
                state.is_read &= compact.id == *id;
                state.compact = Some(*compact);
            }
            Record::Unknown => {}
        }
    }
    state.history = past.into_iter().flatten().collect();
    state
}

/// What was said one after the other, as one message: models want to be spoken to in turns.
fn together<'a>(said: impl IntoIterator<Item = &'a str>) -> String {
    said.into_iter().collect::<Vec<_>>().join("\n\n")
}

fn steps<'a>(state: &'a mut Replay, open: &'a mut [OpenTurn], id: &Id, of: &Id) -> Option<&'a mut Vec<AssistantStep>> {
    if of == id {
        return Some(&mut state.steps);
    }
    open.iter_mut().find(|open| open.id == *of).map(|open| &mut open.steps)
}

impl Replay {
    /// Takes a model's answer in, and gives its calls their ids.
    pub fn answered(&mut self, event: &Id, mut reply: Reply) -> &Reply {
        let step = self.steps.len();
        for (number, call) in reply.calls.iter_mut().enumerate() {
            call.id = hash32(&format!("{event} {step} {number}"), 9);
        }
        self.steps.push(AssistantStep::new(reply));
        &self.steps[step].reply
    }

    /// Takes the result of a call in.
    pub fn told(&mut self, call: &str, told: ToolResult) {
        if let Some(entry) = self.steps.last_mut().and_then(|step| step.find(call)) {
            entry.1 = Some(told);
        }
    }

    /// Takes in that the conversation was compacted.
    pub fn compacted(&mut self, compact: CompactRecord) {
        self.history.clone_from(&compact.recent);
        self.begun.clone_from(&compact.turn);
        self.compact = Some(compact);
    }

    /// What stands for the conversation's older part.
    #[must_use]
    pub fn past(&self) -> Option<&Compacted> {
        self.compact.as_ref().map(|compact| &compact.compacted)
    }

    /// How much this model can read, where its server has told.
    #[must_use]
    pub fn learned(&self, model: &str) -> Option<u64> {
        let learned: Option<&LearnedWindow> = self.compact.as_ref().and_then(|compact| compact.window.as_ref());
        learned.filter(|learned| learned.model == model).map(|learned| learned.tokens)
    }

    /// The model's answers to this question, with their results, as far as they are sent.
    #[must_use]
    pub fn turn(&self) -> Vec<Message> {
        let (mut messages, steps) = match &self.begun {
            Some(begun) => (begun.messages.clone(), begun.steps),
            None => (Vec::new(), 0),
        };
        self.steps.iter().skip(steps).for_each(|step| step.messages(&mut messages));
        messages
    }

    /// What the user says now, as it is sent: everything that is answered in this turn.
    #[must_use]
    pub fn question(&self, content: &str) -> String {
        match &self.begun {
            Some(begun) => begun.question.clone(),
            None => together([content].into_iter().chain(self.also.iter().map(|event| event.content.as_str()))),
        }
    }

    /// The conversation as it would be sent: with [`Self::question`] and [`Self::turn`], and between turns without.
    #[must_use]
    pub fn talk<'a>(&'a self, question: Option<&'a str>, turn: &'a [Message]) -> Conversation<'a> {
        Conversation { compacted: self.past(), history: &self.history, question, turn, steps: self.steps.len() }
    }

    /// How many tools were called.
    #[must_use]
    pub fn calls(&self) -> u32 {
        u32::try_from(self.steps.iter().map(|step| step.calls.len()).sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// What the model is to be sent: the conversation, what the user says now, and what was done for it
    /// so far.
    #[must_use]
    pub fn messages(&self, content: &str, is_last: bool) -> Vec<Message> {
        let mut messages: Vec<Message> = self.past().map(Compacted::messages).into_iter().flatten().collect();
        messages.extend_from_slice(&self.history);
        messages.push(Message::user(self.question(content)));
        let begin = messages.len();
        messages.extend(self.turn());
        let repeats = self.repeats();
        let mut notes = Vec::new();
        if repeats >= REPEATS_TOLD {
            notes.push(format!("[The same call has now given the same result {repeats} times. Do something else.]"));
        }
        if is_last {
            notes.push("[No more tools can be called in this turn. Answer now with what you have.]".to_owned());
        }
        if let (Some(Message::Tool { content, .. }), true) = (messages[begin..].last_mut(), !notes.is_empty()) {
            *content = format!("{content}\n\n{}", notes.join("\n"));
        }
        messages
    }

    /// How often the last results have come from the same calls before, the last time included.
    fn repeats(&self) -> usize {
        let results = || self.steps.iter().flat_map(AssistantStep::results);
        let is_same = |a: &(&Call, Option<&ToolResult>), b: &(&Call, Option<&ToolResult>)| {
            (&a.0.name, &a.0.arguments, a.1) == (&b.0.name, &b.0.arguments, b.1)
        };
        let last = self.steps.last().into_iter().flat_map(AssistantStep::results);
        last.map(|last| results().filter(|other| is_same(&last, other)).count()).max().unwrap_or(0)
    }
}

/// The next step of a turn in this state; a model may be asked `limit` times before it must answer.
#[must_use]
pub fn next(state: &Replay, limit: u32) -> Step {
    if let Some(out) = &state.done {
        return Step::Publish(out.clone());
    }
    if !state.is_read {
        return Step::Read;
    }
    let Some(last) = state.steps.last() else { return Step::Ask { is_last: limit <= 1 } };
    let before = state.calls() - u32::try_from(last.calls.len()).unwrap_or(0);
    let calls = (before + 1..).zip(last.reply.calls.iter().zip(&last.calls));
    let pending: Vec<PendingCall> = calls
        .filter(|(_, (_, (_, told)))| told.is_none())
        .map(|(number, (call, (is_begun, _)))| PendingCall { call: call.clone(), number, is_begun: *is_begun })
        .collect();
    if !pending.is_empty() {
        return Step::Call(pending);
    }
    if last.calls.is_empty() {
        return Step::Close(last.reply.content.clone());
    }
    let asks: Vec<&str> = last.results().filter_map(|(_, told)| told?.asks.as_deref()).collect();
    if !asks.is_empty() {
        let said = Some(last.reply.content.trim()).filter(|said| !said.is_empty());
        return Step::Close(said.into_iter().chain(asks).collect::<Vec<_>>().join("\n\n"));
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
    fn every_prefix_of_a_turn_goes_on_at_the_step_it_had_reached() {
        let records = whole_turn(1);
        let step = |n: usize| next(&replay(records[..n].iter().cloned(), &id(1)), 9);
        assert_eq!(step(0), Step::Read);
        assert_eq!(step(1), Step::Ask { is_last: false });
        assert!(matches!(step(2), Step::Close(said) if said == "a1"));
        assert!(matches!(step(3), Step::Publish(out) if out.len() == 1));
    }

    #[test]
    fn the_conversation_is_what_was_finished_in_order() {
        let mut records: Vec<Record> = whole_turn(1).into();
        // Begun, never answered, and begun again after a kill.
        let begun = Record::In { at: Timestamp::UNIX_EPOCH, event: Box::new(event(2, "lost")) };
        records.extend([begun.clone(), begun]);
        records.extend(whole_turn(3));
        records.push(Record::Unknown);
        let state = replay(records, &id(4));
        let said: Vec<&str> = state.history.iter().map(Message::content).collect();
        assert_eq!(said, ["q1", "a1", "q3", "a3"]);
        assert_eq!(next(&state, 9), Step::Read);
    }

    #[test]
    fn what_was_collected_is_one_message_and_one_answer_answers_it() {
        let at = Timestamp::UNIX_EPOCH;
        let [first, .., done] = whole_turn(1);
        let also = |n: i64| Record::Also { at, id: id(1), event: Box::new(event(n, &format!("q{n}"))) };
        let mut records = vec![first, also(2), also(3), also(2)];
        let begun = replay(records.clone(), &id(1));
        assert_eq!(begun.messages("q1", false).last().unwrap().content(), "q1\n\nq2\n\nq3");
        // One of them alone has not begun; and where its own turn came first, it is not answered again.
        assert_eq!(next(&replay(records.clone(), &id(2)), 9), Step::Read);
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

    /// What a model may send: every result has its call and the reverse, in order, and nothing is said twice in
    /// a row.
    fn check(messages: &[Message]) {
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
                    assert!(open.iter().all(|id| known.insert(*id)), "an id twice: {messages:#?}");
                    before = if calls.is_empty() { "agent" } else { "tool" };
                }
                Message::Tool { call, .. } => assert_eq!(open.remove(0), call),
            }
        }
        assert!(open.is_empty() && before != "agent", "{messages:#?}");
    }

    /// Drives a turn by the machine alone: `calls` says how many tools each answer calls.
    fn drive(of: i64, calls: &[usize], is_cut: bool) -> Vec<Record> {
        let at = Timestamp::UNIX_EPOCH;
        let id = id(of);
        let mut records = Vec::new();
        loop {
            let mut state = replay(records.clone(), &id);
            match next(&state, 6) {
                Step::Read => records.push(Record::In { at, event: Box::new(event(of, &format!("q{of}"))) }),
                Step::Ask { is_last } => {
                    check(&state.messages("now", is_last));
                    let wanted = calls.get(state.steps.len()).copied().unwrap_or_default();
                    let wanted = if is_last { 0 } else { wanted };
                    let call = |n: usize| Call { id: "same".into(), name: "t".into(), arguments: n.into() };
                    let reply = Reply { calls: (0..wanted).map(call).collect(), ..Reply::default() };
                    let reply = state.answered(&id, reply).clone();
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
        /// Cut off anywhere, and with anything before it, a log makes a conversation that breaks no rule, and
        /// the turn goes on to the same end.
        #[test]
        fn a_log_cut_off_anywhere_is_a_valid_conversation(
            turns in proptest::collection::vec((proptest::collection::vec(0usize..4, 0..8), proptest::bool::ANY), 1..4),
            cut in 0usize..60,
        ) {
            let mut records = Vec::new();
            for (n, (calls, is_cut)) in (1..).zip(&turns) {
                let turn = drive(n, calls, *is_cut);
                // An earlier turn may have been given up half-way.
                let kept = if usize::try_from(n).unwrap() == turns.len() { turn.len() } else { turn.len().min(cut + 2) };
                records.extend(turn.into_iter().take(kept));
            }
            let at = records.len().min(cut);
            let (before, after) = records.split_at(at);
            let last = id(i64::try_from(turns.len()).unwrap());
            let state = replay(before.iter().cloned(), &last);
            check(&state.history.iter().cloned().chain([Message::user("now")]).collect::<Vec<_>>());
            if let Step::Ask { is_last } = next(&state, 6) {
                check(&state.messages("now", is_last));
            }
            let whole = replay(before.iter().chain(after).cloned(), &last);
            proptest::prop_assert!(matches!(next(&whole, 6), Step::Publish(_)));
        }
    }
}
