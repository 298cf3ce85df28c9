//! A turn: one event answered in one session. The state is what the session's log says, so a turn
//! that was killed goes on at the step it had reached; [`next`] is the whole machine.

use crate::core::event::Event;
use crate::core::id::{Id, hash32};
use crate::core::model::{Call, Message, Reply};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How often the same call may give the same result before the model is told.
const REPEATS_TOLD: usize = 3;
/// How often before the turn ends.
const REPEATS_END: usize = 5;
/// How much of a conversation a model is sent, in bytes of text: the newest whole exchanges.
pub const HISTORY: usize = 256 << 10;

/// One line of `sessions/<session>/log.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "lowercase")]
pub enum Record {
    /// An event that is to be answered.
    In {
        /// When.
        at: Timestamp,
        /// The whole event.
        event: Box<Event>,
    },
    /// A model's answer; it is never asked for again.
    Model {
        /// When.
        at: Timestamp,
        /// The event that was being answered.
        id: Id,
        /// The model that answered.
        model: String,
        /// How long it took, in milliseconds.
        ms: u64,
        /// What it said.
        reply: Reply,
    },
    /// A call that acts is about to be run. Without a result it is never run again.
    Begun {
        /// When.
        at: Timestamp,
        /// The event that is being answered.
        id: Id,
        /// The call's id.
        call: String,
    },
    /// What came of a call.
    Tool {
        /// When.
        at: Timestamp,
        /// The event that is being answered.
        id: Id,
        /// The call's id.
        call: String,
        /// How long it took, in milliseconds.
        ms: u64,
        /// What it told.
        #[serde(flatten)]
        outcome: Told,
    },
    /// The commit point: these events are answered, and this is all that goes out for them.
    Done {
        /// When.
        at: Timestamp,
        /// The events.
        ids: Vec<Id>,
        /// The outgoing events, whole.
        out: Vec<Event>,
        /// The answer, where it is not what the model said last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        said: Option<String>,
    },
    /// A line of a newer program.
    #[serde(other)]
    Unknown,
}

impl Record {
    /// Whether it says what became of event `id`.
    #[must_use]
    pub fn is_about(&self, id: &Id) -> bool {
        match self {
            Self::In { event, .. } => event.id == *id,
            Self::Model { id: of, .. } | Self::Begun { id: of, .. } | Self::Tool { id: of, .. } => of == id,
            Self::Done { ids, .. } => ids.contains(id),
            Self::Unknown => false,
        }
    }
}

/// What came of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What the model is told.
    pub result: String,
    /// It did not do what was asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// It waits for the owner's word, and the turn ends with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
}

/// A model's answer within a turn, and what came of its calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    /// What the model said.
    pub reply: Reply,
    /// For each of its calls: whether it was begun, and what came of it.
    pub calls: Vec<(bool, Option<Told>)>,
}

impl Taken {
    fn new(reply: Reply) -> Self {
        Self { calls: vec![(false, None); reply.calls.len()], reply }
    }

    fn find(&mut self, call: &str) -> Option<&mut (bool, Option<Told>)> {
        let at = self.reply.calls.iter().position(|known| known.id == call)?;
        self.calls.get_mut(at)
    }

    fn results(&self) -> impl Iterator<Item = (&Call, Option<&Told>)> {
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
        into.push(Message::Assistant { content: content.to_owned(), calls: self.reply.calls.clone() });
        for (call, told) in self.results() {
            let content = told.map_or_else(|| "It was not run: the turn ended.".to_owned(), |told| told.result.clone());
            into.push(Message::Tool { call: call.id.clone(), name: call.name.clone(), content });
        }
    }
}

/// What the log says about one event, and the conversation before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replay {
    /// Finished exchanges, oldest first.
    pub history: Vec<Message>,
    /// The event has its `in` line.
    pub is_read: bool,
    /// What the model has answered so far.
    pub steps: Vec<Taken>,
    /// The event has its `done` line, which says that this goes out.
    pub done: Option<Vec<Event>>,
}

/// A call that has no result yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Todo {
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
    Call(Vec<Todo>),
    /// Write down what goes out: this is the answer.
    Close(String),
    /// Publish this, then the event is done.
    Publish(Vec<Event>),
}

/// An event that was begun, while its `done` line has not been seen.
struct Open {
    id: Id,
    content: String,
    steps: Vec<Taken>,
}

impl Open {
    /// The finished exchange; nothing where no model ever answered.
    fn close(mut self, said: Option<String>) -> Vec<Message> {
        let mut messages = vec![Message::user(self.content)];
        if let Some(said) = said {
            self.steps.push(Taken::new(Reply { content: said, ..Reply::default() }));
        }
        self.steps.iter().for_each(|step| step.messages(&mut messages));
        if self.steps.is_empty() { Vec::new() } else { messages }
    }
}

/// Replays a session's records, looking for what became of event `id`. An event that was begun and
/// never answered is no part of the conversation. Of the conversation at most the last [`HISTORY`] bytes
/// are kept, in whole exchanges.
#[must_use]
pub fn replay(records: impl IntoIterator<Item = Record>, id: &Id) -> Replay {
    let mut state = Replay::default();
    let mut open: Vec<Open> = Vec::new();
    let mut past: Vec<Vec<Message>> = Vec::new();
    for record in records {
        match record {
            Record::In { event, .. } => {
                if event.id == *id {
                    state.is_read = true;
                } else if !open.iter().any(|other| other.id == event.id) {
                    open.push(Open { id: event.id, content: event.content, steps: Vec::new() });
                }
            }
            Record::Model { id: answered, reply, .. } => {
                if let Some(steps) = steps(&mut state, &mut open, id, &answered) {
                    steps.push(Taken::new(reply));
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
                }
                past.extend(open.extract_if(.., |o| ids.contains(&o.id)).map(|o| o.close(said.clone())));
            }
            Record::Unknown => {}
        }
    }
    let mut room = HISTORY;
    let weight = |exchange: &&Vec<Message>| exchange.iter().map(Message::weight).sum::<usize>();
    let newest = past.iter().rev().take_while(|exchange| {
        let weight = weight(exchange);
        let fits = weight <= room;
        room = room.saturating_sub(weight);
        fits
    });
    let kept = newest.count();
    state.history = past.drain(past.len() - kept..).flatten().collect();
    state
}

fn steps<'a>(state: &'a mut Replay, open: &'a mut [Open], id: &Id, of: &Id) -> Option<&'a mut Vec<Taken>> {
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
        self.steps.push(Taken::new(reply));
        &self.steps[step].reply
    }

    /// Takes the result of a call in.
    pub fn told(&mut self, call: &str, told: Told) {
        if let Some(entry) = self.steps.last_mut().and_then(|step| step.find(call)) {
            entry.1 = Some(told);
        }
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
        let mut messages = self.history.clone();
        messages.push(Message::user(content));
        let begin = messages.len();
        self.steps.iter().for_each(|step| step.messages(&mut messages));
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
        let results = || self.steps.iter().flat_map(Taken::results);
        let is_same = |a: &(&Call, Option<&Told>), b: &(&Call, Option<&Told>)| {
            (&a.0.name, &a.0.arguments, a.1) == (&b.0.name, &b.0.arguments, b.1)
        };
        let last = self.steps.last().into_iter().flat_map(Taken::results);
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
    let todo: Vec<Todo> = calls
        .filter(|(_, (_, (_, told)))| told.is_none())
        .map(|(number, (call, (is_begun, _)))| Todo { call: call.clone(), number, is_begun: *is_begun })
        .collect();
    if !todo.is_empty() {
        return Step::Call(todo);
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
    use crate::core::address::Address;
    use crate::core::event::Draft;
    use crate::core::stamp::Stamp;

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
            Record::Model { at, id: id(n), model: "m".into(), ms: 1, reply },
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
    fn a_line_of_a_newer_program_is_passed_over() {
        let record: Record = serde_json::from_str(r#"{"t":"thought","what":1}"#).unwrap();
        assert_eq!(record, Record::Unknown);
    }
}
