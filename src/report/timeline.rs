//! The timeline of an event: what happened when, how long it took, and what it used.

use crate::core::event::Event;
use crate::core::event::id::Id;
use crate::core::session::record::Record;
use crate::core::session::transcript::call_line;
use crate::store::workspace::journal::JournalLine;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::HashMap;

/// The length of a call in a row, in bytes.
const CALL: usize = 100;

/// A row of a timeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimelineRow {
    /// When it ended.
    pub at: Timestamp,
    /// The kind: `created`, `model`, `tool`, `done`, or a kind of the journal.
    pub kind: String,
    /// Details, in one line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Its duration in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Input and output tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<[u64; 2]>,
    /// Whether a tool has failed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}

/// Kinds of journal lines that the session's log has in more detail.
const IN_LOG: [&str; 2] = ["turn", "call"];

/// The timeline of an event, from its journal lines and the records of its turn, in the order of time.
#[must_use]
pub fn of(event: &Event, lines: &[JournalLine], records: &[Record]) -> Vec<TimelineRow> {
    let id = &event.id;
    let mut rows = vec![row(event.created_at, "created", format!("from {}", event.from))];
    let has_log = records.iter().any(|record| matches!(record, Record::Model { id: of, .. } if of == id));
    let shown = lines.iter().filter(|line| !has_log || !IN_LOG.contains(&line.kind.as_str()));
    rows.extend(shown.map(|line| TimelineRow {
        duration_ms: line.ms,
        tokens: line.tokens,
        ..row(
            line.at,
            &line.kind,
            [&line.why[..], &line.lane].into_iter().find(|t| !t.is_empty()).unwrap_or("").to_owned(),
        )
    }));
    rows.extend(turn(id, records));
    // Rows of one instant keep their order: the cause is before its effect.
    rows.sort_by_key(|row| row.at);
    rows
}

fn row(at: Timestamp, kind: &str, text: String) -> TimelineRow {
    TimelineRow { at, kind: kind.to_owned(), text, duration_ms: None, tokens: None, failed: false }
}

fn turn(id: &Id, records: &[Record]) -> Vec<TimelineRow> {
    let mut calls = HashMap::new();
    let mut rows = Vec::new();
    for record in records {
        match record {
            Record::Model { at, id: of, model, ms, reply, .. } if of == id => {
                calls.extend(reply.calls.iter().map(|call| (call.id.clone(), call_line(call, CALL))));
                let usage = &reply.usage;
                rows.push(TimelineRow {
                    duration_ms: Some(*ms),
                    tokens: Some([usage.input, usage.output]),
                    ..row(*at, "model", model.clone())
                });
            }
            Record::Tool { at, id: of, call, ms, outcome } if of == id => rows.push(TimelineRow {
                duration_ms: Some(*ms),
                failed: outcome.failed,
                ..row(*at, "tool", calls.remove(call).unwrap_or_default())
            }),
            Record::Done { at, ids, .. } if ids.contains(id) => rows.push(row(*at, "done", String::new())),
            _ => {}
        }
    }
    rows
}
