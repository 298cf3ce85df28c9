//! A session's log as a conversation for people: messages, answers and tool calls in order.

use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::model::Call;
use crate::core::session::record::{Record, ToolResult};
use crate::core::text::secret;
use jiff::Timestamp;
use std::collections::HashMap;

/// One item of a transcript.
#[derive(Clone, Debug, PartialEq)]
pub enum TranscriptItem {
    /// A message that came in.
    Message {
        /// The time.
        at: Timestamp,
        /// The sender.
        from: Address,
        /// The text.
        text: String,
    },
    /// Text of the agent.
    Answer {
        /// The time.
        at: Timestamp,
        /// The model that wrote it; `None` where the program itself ended the turn.
        model: Option<String>,
        /// The text.
        text: String,
    },
    /// A tool call of the agent.
    ToolCall {
        /// The call.
        call: Call,
        /// The result and the duration in milliseconds; `None` where the call was interrupted.
        result: Option<(ToolResult, u64)>,
    },
    /// An event without an answer yet.
    Unanswered {
        /// The event.
        id: Id,
    },
}

/// Turns the records of a session into transcript items, record by record.
#[derive(Debug, Default)]
pub struct Transcript {
    /// The unanswered events, in order of arrival.
    open: Vec<Id>,
    /// The calls without a result by event, in call order.
    calls: HashMap<Id, Vec<Call>>,
}

impl Transcript {
    /// The items that the next record adds.
    pub fn take(&mut self, record: Record) -> Vec<TranscriptItem> {
        match record.shown() {
            Record::In { at, event } | Record::Also { at, event, .. } => {
                // A turn that was restarted after a kill logs its event again.
                if self.open.contains(&event.id) {
                    return Vec::new();
                }
                self.open.push(event.id.clone());
                vec![TranscriptItem::Message { at, from: event.from, text: event.content }]
            }
            Record::Model { at, id, model, reply, .. } => {
                let mut items = self.take_unfinished_calls(&id);
                if !reply.content.trim().is_empty() {
                    items.push(TranscriptItem::Answer { at, model: Some(model), text: reply.content });
                }
                self.calls.insert(id, reply.calls);
                items
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
                let mut items: Vec<TranscriptItem> = ids.iter().flat_map(|id| self.take_unfinished_calls(id)).collect();
                let text = said.filter(|text| !text.trim().is_empty());
                items.extend(text.map(|text| TranscriptItem::Answer { at, model: None, text }));
                items
            }
            Record::Begun { .. } | Record::Compact(_) | Record::Unknown => Vec::new(),
        }
    }

    /// The items that remain at the end of the log: interrupted calls and unanswered events.
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

    /// The calls of an event that will have no result any more.
    fn take_unfinished_calls(&mut self, id: &Id) -> Vec<TranscriptItem> {
        let calls = self.calls.remove(id).unwrap_or_default();
        calls.into_iter().map(|call| TranscriptItem::ToolCall { call, result: None }).collect()
    }
}

/// A call in one line of at most `most` bytes: the tool's name and its arguments.
#[must_use]
pub fn call_line(call: &Call, most: usize) -> String {
    let shown = secret::shown_arguments(&call.name, &call.arguments);
    let arguments = match &*shown {
        serde_json::Value::Object(map) if map.is_empty() => String::new(),
        // A single argument is shown without its name.
        serde_json::Value::Object(map) if map.len() == 1 => map
            .values()
            .next()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))
            .unwrap_or_default(),
        other => other.to_string(),
    };
    one_line(&format!("{} {arguments}", call.name), most)
}

/// The first non-empty line of a text, cut to `most` bytes; ` …` follows where text is left out.
#[must_use]
pub fn one_line(text: &str, most: usize) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.next().unwrap_or_default();
    let shown = crate::core::text::cut::cut(line, most);
    if shown.len() < line.len() || lines.next().is_some() { format!("{shown} …") } else { shown.to_owned() }
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

    fn found() -> ToolResult {
        ToolResult { result: "found".into(), ..ToolResult::default() }
    }

    fn transcript(records: Vec<Record>) -> Vec<TranscriptItem> {
        let mut transcript = Transcript::default();
        let mut items: Vec<TranscriptItem> = records.into_iter().flat_map(|record| transcript.take(record)).collect();
        items.extend(transcript.end());
        items
    }

    #[test]
    fn items_of_a_turn_come_in_log_order() {
        let tool = Record::Tool { at: AT, id: id(1), call: "b".into(), ms: 7, outcome: found() };
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
                TranscriptItem::ToolCall { call: call("b"), result: Some((found(), 7)) },
                TranscriptItem::ToolCall { call: call("a"), result: None },
                answer(None, "I was stopped."),
                TranscriptItem::Message { at: AT, from: place(), text: "q2".into() },
                TranscriptItem::Unanswered { id: id(2) },
            ]
        );
    }

    #[test]
    fn a_call_and_its_result_are_one_line_each() {
        assert_eq!(call_line(&call("a"), 80), "recall x");
        let two = Call { arguments: json!({"a": 1, "b": "two\nlines"}), ..call("a") };
        assert_eq!(call_line(&two, 80), r#"recall {"a":1,"b":"two\nlines"}"#);
        assert_eq!(call_line(&Call { arguments: json!({}), ..call("a") }, 80), "recall");
        assert_eq!(call_line(&Call { arguments: json!({"command": "a\nb"}), ..call("a") }, 80), "recall a …");
        assert_eq!(one_line("\n  äöü  \n", 3), "ä …");
        assert_eq!((one_line("a\n\n", 9), one_line("", 9)), ("a".to_owned(), String::new()));
    }
}
