//! A turn: one event answered in one session. The state is what the session's log says, so a turn
//! that was killed goes on at the step it had reached; [`next`] is the whole machine.

use crate::core::event::Event;
use crate::core::id::Id;
use crate::core::model::{Message, Reply, Role};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
    /// The commit point: these events are answered, and this is all that goes out for them.
    Done {
        /// When.
        at: Timestamp,
        /// The events.
        ids: Vec<Id>,
        /// The outgoing events, whole.
        out: Vec<Event>,
    },
    /// A line of a newer program.
    #[serde(other)]
    Unknown,
}

/// What the log says about one event, and the conversation before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replay {
    /// Finished exchanges, oldest first.
    pub history: Vec<Message>,
    /// The event has its `in` line.
    pub is_read: bool,
    /// The model has answered it.
    pub reply: Option<Reply>,
    /// The event has its `done` line, which says that this goes out.
    pub done: Option<Vec<Event>>,
}

/// What is to be done next for an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write the event into the log.
    Read,
    /// Ask the model.
    Ask,
    /// Write down what goes out.
    Close(Reply),
    /// Publish this, then the event is done.
    Publish(Vec<Event>),
}

/// Replays a session's records, looking for what became of event `id`. An event that was begun and
/// never answered is no part of the conversation.
#[must_use]
pub fn replay(records: impl IntoIterator<Item = Record>, id: &Id) -> Replay {
    let mut state = Replay::default();
    let mut open: Vec<(Id, String, Option<Reply>)> = Vec::new();
    for record in records {
        match record {
            Record::In { event, .. } => {
                if event.id == *id {
                    state.is_read = true;
                } else if !open.iter().any(|(other, ..)| *other == event.id) {
                    open.push((event.id, event.content, None));
                }
            }
            Record::Model { id: answered, reply, .. } => {
                if answered == *id {
                    state.reply = Some(reply);
                } else if let Some(entry) = open.iter_mut().find(|(other, ..)| *other == answered) {
                    entry.2 = Some(reply);
                }
            }
            Record::Done { ids, out, .. } => {
                if ids.contains(id) {
                    state.done = Some(out);
                }
                for (_, content, reply) in open.extract_if(.., |(other, ..)| ids.contains(other)) {
                    let Some(reply) = reply else { continue };
                    state.history.push(Message { role: Role::User, content });
                    state.history.push(Message { role: Role::Assistant, content: reply.content });
                }
            }
            Record::Unknown => {}
        }
    }
    state
}

/// The next step of a turn in this state.
#[must_use]
pub fn next(state: &Replay) -> Step {
    match (&state.done, &state.reply) {
        (Some(out), _) => Step::Publish(out.clone()),
        (None, Some(reply)) => Step::Close(reply.clone()),
        (None, None) if state.is_read => Step::Ask,
        (None, None) => Step::Read,
    }
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
            Record::Done { at, ids: vec![id(n)], out: vec![event(n + 100, "out")] },
        ]
    }

    #[test]
    fn every_prefix_of_a_turn_goes_on_at_the_step_it_had_reached() {
        let records = whole_turn(1);
        let step = |n: usize| next(&replay(records[..n].iter().cloned(), &id(1)));
        assert_eq!(step(0), Step::Read);
        assert_eq!(step(1), Step::Ask);
        assert!(matches!(step(2), Step::Close(reply) if reply.content == "a1"));
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
        let said: Vec<&str> = state.history.iter().map(|m| m.content.as_str()).collect();
        assert_eq!(said, ["q1", "a1", "q3", "a3"]);
        assert_eq!(next(&state), Step::Read);
    }

    #[test]
    fn a_line_of_a_newer_program_is_passed_over() {
        let record: Record = serde_json::from_str(r#"{"t":"thought","what":1}"#).unwrap();
        assert_eq!(record, Record::Unknown);
    }
}
