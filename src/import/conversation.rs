//! A foreign conversation as the records of a session's log. Every call has a result and every result a call, because
//! servers refuse a conversation in which one is missing.

use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Draft, Event};
use crate::core::fault::Result;
use crate::core::model::{Call, Reply, Thought};
use crate::core::session::record::{Record, ToolResult};
use crate::core::text::base32::hash32;
use serde_json::Value;
use std::collections::HashMap;

/// The channel of the senders of imported messages; nothing is delivered to it.
const CHANNEL: &str = "import";
/// The deepest nesting of a call's arguments; deeper ones are kept as text, because the log's parser has a limit.
const DEPTH: usize = 64;
/// The text of a call whose result the source does not have.
const NO_RESULT: &str = "The imported conversation has no result of this call.";
/// The answer to a message that the source has not answered; without it the message would not be sent to a model.
const NO_ANSWER: &str = "(The imported conversation has no answer to this message.)";
/// The message before an answer that no message precedes.
const NO_QUESTION: &str = "(The imported conversation begins with the agent.)";

/// A message of the source.
#[derive(Clone, Debug, PartialEq)]
pub struct Utterance {
    /// The instant; `None` if the source does not name it.
    pub at: Option<Stamp>,
    /// The kind and content.
    pub said: Said,
}

/// The kind and content of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// By a user, a program or the system.
    User(String),
    /// By the agent.
    Agent {
        /// The text.
        text: String,
        /// Calls: the id in the source, the tool and its arguments.
        calls: Vec<(String, String, Value)>,
        /// The thoughts before the text; they are shown, and not sent to a model again.
        thinking: String,
        /// The model, if the source names it.
        model: Option<String>,
    },
    /// The result of a call.
    Result {
        /// The id of the call in the source.
        call: String,
        /// The tool, if the source names it.
        tool: Option<String>,
        /// The text.
        text: String,
        /// The call failed.
        failed: bool,
    },
}

/// A turn: messages, and the answers to them.
#[derive(Default)]
struct ImportedTurn {
    questions: Vec<(Stamp, String)>,
    steps: Vec<ImportedStep>,
}

struct ImportedStep {
    at: Stamp,
    text: String,
    thinking: String,
    model: String,
    calls: Vec<ImportedCall>,
}

struct ImportedCall {
    id: String,
    tool: String,
    arguments: Value,
    result: Option<(Stamp, ToolResult)>,
}

/// The records of a conversation. `session` and the position of a message determine its id, so that the same source
/// gives the same log; `from` is the sender in the source; `start` stands for times that are missing.
///
/// # Errors
/// None in practice: the sender always is an address.
pub fn records(utterances: Vec<Utterance>, session: &str, from: &str, start: Stamp) -> Result<Vec<Record>> {
    let from = sender(from)?;
    let mut records = Vec::new();
    let mut number = 0;
    for turn in turns(utterances, session, start) {
        let mut events: Vec<Event> = Vec::new();
        for (at, text) in turn.questions {
            number += 1;
            let id = id(session, number, at);
            events.push(Draft::message(text).complete(id, at, &from, &from));
        }
        let ids: Vec<Id> = events.iter().map(|event| event.id.clone()).collect();
        let Some(first) = ids.first().cloned() else { continue };
        let mut last = first.stamp();
        for event in events {
            last = last.max(event.id.stamp());
            let (at, event) = (event.created_at, Box::new(event));
            let is_first = event.id == first;
            records.push(if is_first {
                Record::In { at, event }
            } else {
                Record::Also { at, id: first.clone(), event }
            });
        }
        let said = turn.steps.is_empty().then(|| NO_ANSWER.to_owned());
        for step in turn.steps {
            last = last.max(step.at);
            let calls = step.calls.iter().map(|call| Call {
                id: call.id.clone(),
                name: Call::plain_name(&call.tool),
                arguments: call.arguments.clone(),
            });
            let thought = Thought { by: String::new(), text: step.thinking, payload: Value::Null };
            let thinking = if thought.text.is_empty() { Vec::new() } else { vec![thought] };
            let reply = Reply { content: step.text, calls: calls.collect(), thinking, ..Reply::default() };
            let id = first.clone();
            records.push(Record::Model { at: step.at.timestamp(), id, model: step.model, ms: 0, reply, estimated: 0 });
            for call in step.calls {
                let missing =
                    || (step.at, ToolResult { result: NO_RESULT.into(), failed: true, ..ToolResult::default() });
                let (at, outcome) = call.result.unwrap_or_else(missing);
                last = last.max(at);
                let (at, id) = (at.timestamp(), first.clone());
                records.push(Record::Tool { at, id, call: call.id, ms: 0, outcome });
            }
        }
        records.push(Record::Done { at: last.timestamp(), ids, out: Vec::new(), said });
    }
    Ok(records)
}

/// The conversation in turns; each message of the user begins one, unless the one before has no answer yet.
fn turns(utterances: Vec<Utterance>, session: &str, start: Stamp) -> Vec<ImportedTurn> {
    let mut turns: Vec<ImportedTurn> = Vec::new();
    // The place of the last call with an id of the source that has no result yet.
    let mut open: HashMap<String, (usize, usize, usize)> = HashMap::new();
    let (mut now, mut calls) = (start, 0);
    for Utterance { at, said } in utterances {
        now = at.unwrap_or(Stamp(now.0.saturating_add(1)));
        if let Said::User(text) = said {
            if turns.last().is_none_or(|turn| !turn.steps.is_empty()) {
                turns.push(ImportedTurn::default());
            }
            turns.last_mut().into_iter().for_each(|turn| turn.questions.push((now, text.clone())));
            continue;
        }
        if turns.is_empty() {
            turns.push(ImportedTurn { questions: vec![(now, NO_QUESTION.to_owned())], steps: Vec::new() });
        }
        let mut own_id = || {
            calls += 1;
            hash32(&format!("{session} {calls}"), 9)
        };
        match said {
            Said::User(_) => {}
            Said::Agent { text, calls, thinking, model } => {
                let turn = turns.len() - 1;
                let step = turns[turn].steps.len();
                for (number, (id, ..)) in calls.iter().enumerate() {
                    open.insert(id.clone(), (turn, step, number));
                }
                let calls = calls.into_iter().map(|(_, tool, arguments)| ImportedCall {
                    id: own_id(),
                    tool,
                    arguments: bounded(arguments),
                    result: None,
                });
                let (calls, model) = (calls.collect(), model.unwrap_or_else(|| "imported".to_owned()));
                turns[turn].steps.push(ImportedStep { at: now, text, thinking, model, calls });
            }
            Said::Result { call, tool, text, failed } => {
                // The source cannot say which text came from outside, so that all of it counts.
                let outcome =
                    ToolResult { result: text, failed, taint: Some(CHANNEL.to_owned()), ..ToolResult::default() };
                let place = open.remove(&call);
                let known = place
                    .and_then(|(turn, step, number)| turns.get_mut(turn)?.steps.get_mut(step)?.calls.get_mut(number));
                if let Some(known) = known {
                    known.result = Some((now, outcome));
                    continue;
                }
                let (id, tool) = (own_id(), tool.unwrap_or_else(|| "unknown".to_owned()));
                let orphan = ImportedCall {
                    id,
                    tool,
                    arguments: Value::Object(serde_json::Map::new()),
                    result: Some((now, outcome)),
                };
                let steps = turns.last_mut().map(|turn| &mut turn.steps);
                if let Some(steps) = steps {
                    match steps.last_mut() {
                        Some(step) => step.calls.push(orphan),
                        None => steps.push(ImportedStep {
                            at: now,
                            text: String::new(),
                            thinking: String::new(),
                            model: "imported".to_owned(),
                            calls: vec![orphan],
                        }),
                    }
                }
            }
        }
    }
    turns
}

fn id(session: &str, number: u32, at: Stamp) -> Id {
    let tail = hash32(&format!("{session} {number}"), 8);
    Id::parse(&format!("{at}-{tail}")).unwrap_or_else(|_| Id::new(at, number.into()))
}

/// The address of a sender: it is not the one of the source, which this workspace may believe more.
fn sender(from: &str) -> Result<Address> {
    let plain: String = from.chars().filter(|c| !c.is_control()).take(200).collect();
    let text = format!("{CHANNEL}:{}", if plain.trim().is_empty() { "user" } else { plain.trim() });
    Address::parse(&text).or_else(|_| Address::parse("import:user"))
}

/// Arguments that the log can hold.
fn bounded(arguments: Value) -> Value {
    fn is_within(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(values) => left > 0 && values.iter().all(|value| is_within(value, left - 1)),
            Value::Object(values) => left > 0 && values.values().all(|value| is_within(value, left - 1)),
            _ => true,
        }
    }
    if is_within(&arguments, DEPTH) { arguments } else { Value::String(arguments.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::Message;
    use crate::core::turn;
    use proptest::prelude::*;
    use serde_json::json;

    fn said(at: i64, said: Said) -> Utterance {
        Utterance { at: Some(Stamp(at)), said }
    }

    fn agent(text: &str, calls: &[(&str, &str)]) -> Said {
        let calls = calls.iter().map(|(id, tool)| ((*id).to_owned(), (*tool).to_owned(), json!({"a": 1}))).collect();
        Said::Agent { text: text.into(), calls, thinking: String::new(), model: None }
    }

    fn result(call: &str, text: &str) -> Said {
        Said::Result { call: call.into(), tool: None, text: text.into(), failed: false }
    }

    /// The messages that a later turn sends.
    fn sent(utterances: Vec<Utterance>) -> Vec<Message> {
        let records = records(utterances, "pickle.x", "cli:ann", Stamp(0)).unwrap();
        let lines: Vec<Record> = records
            .iter()
            .map(|record| serde_json::from_str(&serde_json::to_string(record).unwrap()).unwrap())
            .collect();
        assert_eq!(lines, records);
        turn::replay(records, &Id::new(Stamp(9), 9)).history
    }

    fn shape(messages: &[Message]) -> Vec<String> {
        messages
            .iter()
            .map(|message| match message {
                Message::User { content, .. } => format!("u {content}"),
                Message::Assistant { content, calls, .. } => format!("a {content} {}", calls.len()),
                Message::Tool { name, content, .. } => format!("t {name} {content}"),
            })
            .collect()
    }

    #[test]
    fn calls_and_results_are_paired_whatever_the_source_lacks() {
        let messages = sent(vec![
            said(1, agent("hello", &[])),
            said(2, Said::User("one".into())),
            said(3, Said::User("two".into())),
            said(4, agent("", &[("c1", "read"), ("c2", "bash x")])),
            said(5, result("c2", "second")),
            said(6, result("c9", "orphan")),
            said(7, agent("done", &[])),
            said(8, Said::User("unanswered".into())),
        ]);
        let expected = [
            format!("u {NO_QUESTION}"),
            "a hello 0".into(),
            "u one\n\ntwo".into(),
            "a  3".into(),
            format!("t read {NO_RESULT}"),
            "t bash_x second".into(),
            "t unknown orphan".into(),
            "a done 0".into(),
            "u unanswered".into(),
            format!("a {NO_ANSWER} 0"),
        ];
        assert_eq!(shape(&messages), expected);
    }

    #[test]
    fn sender_of_the_source_is_not_believed_and_ids_do_not_change() {
        let made = || records(vec![said(1, Said::User("x".into()))], "pickle.x", "cli:ann", Stamp(0)).unwrap();
        assert_eq!(made(), made());
        let Record::In { event, .. } = &made()[0] else { panic!() };
        assert_eq!(event.from.as_str(), "import:cli:ann");
        assert_eq!([sender("\u{7}"), sender("")].map(|s| s.unwrap().to_string()), ["import:user", "import:user"]);
    }

    #[test]
    fn deep_arguments_are_kept_as_text() {
        let deep = (0..100).fold(json!(1), |value, _| json!([value]));
        assert!(bounded(deep).is_string() && bounded(json!({"a": [1]})).is_object());
    }

    proptest! {
        #[test]
        fn every_conversation_is_valid_for_a_server(kinds in proptest::collection::vec((0..4u8, 0..4u8), 0..30)) {
            let utterances = kinds.iter().enumerate().map(|(n, (kind, call))| {
                let id = format!("c{call}");
                said(i64::try_from(n).unwrap(), match kind {
                    0 => Said::User(format!("q{n}")),
                    1 => agent("text", &[]),
                    2 => agent("", &[(&id, "read"), ("c0", "bash")]),
                    _ => result(&id, "r"),
                })
            });
            let messages = sent(utterances.collect());
            let mut waits: Vec<String> = Vec::new();
            let mut last_user = false;
            for message in &messages {
                match message {
                    Message::User { .. } => {
                        prop_assert!(waits.is_empty() && !last_user);
                        last_user = true;
                    }
                    Message::Assistant { calls, .. } => {
                        prop_assert!(waits.is_empty());
                        last_user = false;
                        waits = calls.iter().map(|call| call.id.clone()).collect();
                    }
                    Message::Tool { call, .. } => {
                        prop_assert_eq!(waits.remove(0), call.clone());
                    }
                }
            }
            prop_assert!(waits.is_empty());
            let questions = kinds.iter().filter(|(kind, _)| *kind == 0).count();
            let text: String = messages.iter().map(|m| m.content().to_owned() + "\n\n").collect();
            prop_assert_eq!(text.split("\n\n").filter(|part| part.starts_with('q')).count(), questions);
        }
    }
}
