//! A session's log as people read it: who said what, and what was done for it.

use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::model::Call;
use crate::core::session::record::{Record, ToolResult};
use jiff::Timestamp;
use std::collections::HashMap;

/// A piece of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub enum TranscriptItem {
    /// Somebody said something.
    Message {
        /// When.
        at: Timestamp,
        /// Who.
        from: Address,
        /// What.
        text: String,
    },
    /// The agent said something.
    Answer {
        /// When.
        at: Timestamp,
        /// The model that said it; none where the turn ended without one.
        model: Option<String>,
        /// What.
        text: String,
    },
    /// The agent called a tool.
    ToolCall {
        /// How.
        call: Call,
        /// What came of it and after how many milliseconds; nothing where nobody knows.
        result: Option<(ToolResult, u64)>,
    },
    /// Nobody has answered it yet.
    Unanswered {
        /// Which event.
        id: Id,
    },
}

/// Tells a session's records piece by piece.
#[derive(Debug, Default)]
pub struct Transcript {
    /// The events that are not answered, in the order in which they came.
    open: Vec<Id>,
    /// The calls without a result, of each event in their order.
    calls: HashMap<Id, Vec<Call>>,
}

impl Transcript {
    /// The pieces that the next record adds.
    pub fn take(&mut self, record: Record) -> Vec<TranscriptItem> {
        match record {
            Record::In { at, event } | Record::Also { at, event, .. } => {
                // One that was begun again after a kill was said once.
                if self.open.contains(&event.id) {
                    return Vec::new();
                }
                self.open.push(event.id.clone());
                vec![TranscriptItem::Message { at, from: event.from, text: event.content }]
            }
            Record::Model { at, id, model, reply, .. } => {
                let mut pieces = self.take_unfinished_calls(&id);
                if !reply.content.trim().is_empty() {
                    pieces.push(TranscriptItem::Answer { at, model: Some(model), text: reply.content });
                }
                self.calls.insert(id, reply.calls);
                pieces
            }
            Record::Tool { id, call, ms, outcome, .. } => {
                let calls = self.calls.entry(id).or_default();
                let at = calls.iter().position(|known| known.id == call);
                at.map(|at| TranscriptItem::ToolCall { call: calls.remove(at), result: Some((outcome, ms)) })
                    .into_iter()
                    .collect()
            }
            Record::Done { at, ids, said, .. } => {
                self.open.retain(|id| !ids.contains(id));
                let mut pieces: Vec<TranscriptItem> =
                    ids.iter().flat_map(|id| self.take_unfinished_calls(id)).collect();
                let text = said.filter(|text| !text.trim().is_empty());
                pieces.extend(text.map(|text| TranscriptItem::Answer { at, model: None, text }));
                pieces
            }
            Record::Begun { .. } | Record::Compact(_) | Record::Unknown => Vec::new(),
        }
    }

    /// What is left when there are no more records.
    #[must_use]
    pub fn end(mut self) -> Vec<TranscriptItem> {
        let open = std::mem::take(&mut self.open);
        open.into_iter()
            .flat_map(|id| {
                self.take_unfinished_calls(&id)
                    .into_iter()
                    .chain([TranscriptItem::Unanswered { id }])
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// The calls of an event that have no result, and will have none.
    fn take_unfinished_calls(&mut self, id: &Id) -> Vec<TranscriptItem> {
        let calls = self.calls.remove(id).unwrap_or_default();
        calls.into_iter().map(|call| TranscriptItem::ToolCall { call, result: None }).collect()
    }
}

/// A call in one line: the tool, and what it was called with, at most `most` bytes of it.
#[must_use]
pub fn call_line(call: &Call, most: usize) -> String {
    let arguments = match &call.arguments {
        serde_json::Value::Object(map) if map.is_empty() => String::new(),
        // What has one argument need not be told its name.
        serde_json::Value::Object(map) if map.len() == 1 => map
            .values()
            .next()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))
            .unwrap_or_default(),
        other => other.to_string(),
    };
    one_line(&format!("{} {arguments}", call.name), most)
}

/// The first line of a text that says something, at most `most` bytes of it, and whether there is more.
#[must_use]
pub fn one_line(text: &str, most: usize) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.next().unwrap_or_default();
    let kept = crate::core::text::cut::cut(line, most);
    if kept.len() < line.len() || lines.next().is_some() { format!("{kept} …") } else { kept.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Draft;
    use crate::core::event::stamp::Stamp;
    use crate::core::model::Reply;
    use serde_json::json;

    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    fn id(n: i64) -> Id {
        Id::new(Stamp(n), 0)
    }

    fn place() -> Address {
        Address::parse("cli:ann").unwrap()
    }

    fn said(n: i64) -> Record {
        let event = Draft::message(format!("q{n}")).complete(id(n), Stamp(n), &place(), &place());
        Record::In { at: AT, event: Box::new(event) }
    }

    fn call(id: &str) -> Call {
        Call { id: id.into(), name: "recall".into(), arguments: json!({"query": "x"}) }
    }

    fn model(n: i64, text: &str, calls: Vec<Call>) -> Record {
        let reply = Reply { content: text.into(), calls, ..Reply::default() };
        Record::Model { at: AT, id: id(n), model: "m".into(), ms: 1, reply, estimated: 0 }
    }

    fn told() -> ToolResult {
        ToolResult { result: "found".into(), ..ToolResult::default() }
    }

    fn transcript(records: Vec<Record>) -> Vec<TranscriptItem> {
        let mut transcript = Transcript::default();
        let mut pieces: Vec<TranscriptItem> = records.into_iter().flat_map(|record| transcript.take(record)).collect();
        pieces.extend(transcript.end());
        pieces
    }

    #[test]
    fn a_turn_is_told_in_the_order_in_which_it_was() {
        let tool = Record::Tool { at: AT, id: id(1), call: "b".into(), ms: 7, outcome: told() };
        let done = Record::Done { at: AT, ids: vec![id(1)], out: vec![], said: Some("I was stopped.".into()) };
        let records = vec![said(1), said(1), model(1, "Let me see.", vec![call("a"), call("b")]), tool, done, said(2)];
        let answer = |model: Option<&str>, text: &str| TranscriptItem::Answer {
            at: AT,
            model: model.map(ToOwned::to_owned),
            text: text.into(),
        };
        assert_eq!(
            transcript(records),
            [
                TranscriptItem::Message { at: AT, from: place(), text: "q1".into() },
                answer(Some("m"), "Let me see."),
                TranscriptItem::ToolCall { call: call("b"), result: Some((told(), 7)) },
                TranscriptItem::ToolCall { call: call("a"), result: None },
                answer(None, "I was stopped."),
                TranscriptItem::Message { at: AT, from: place(), text: "q2".into() },
                TranscriptItem::Unanswered { id: id(2) },
            ]
        );
    }

    #[test]
    fn a_call_and_its_result_are_a_line_each() {
        assert_eq!(call_line(&call("a"), 80), "recall x");
        let two = Call { arguments: json!({"a": 1, "b": "two\nlines"}), ..call("a") };
        assert_eq!(call_line(&two, 80), r#"recall {"a":1,"b":"two\nlines"}"#);
        assert_eq!(call_line(&Call { arguments: json!({}), ..call("a") }, 80), "recall");
        assert_eq!(call_line(&Call { arguments: json!({"command": "a\nb"}), ..call("a") }, 80), "recall a …");
        assert_eq!(one_line("\n  äöü  \n", 3), "ä …");
        assert_eq!((one_line("a\n\n", 9), one_line("", 9)), ("a".to_owned(), String::new()));
    }
}
