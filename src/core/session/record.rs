//! The lines of a session's log. Unknown record types are skipped, so that an older program reads the log of a newer
//! one.

use crate::core::event::Event;
use crate::core::event::id::Id;
use crate::core::model::Reply;
use crate::core::session::compaction::CompactRecord;
use crate::core::text::secret;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One line of `sessions/<session>/log.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "lowercase")]
pub enum Record {
    /// An event to answer; the beginning of its turn.
    In {
        /// The time of writing.
        at: Timestamp,
        /// The whole event.
        event: Box<Event>,
    },
    /// An event that is answered in the turn of another event.
    Also {
        /// The time of writing.
        at: Timestamp,
        /// The event whose turn answers it.
        id: Id,
        /// The whole event.
        event: Box<Event>,
    },
    /// A model's answer. It is recorded, so that a restarted turn does not request it again.
    Model {
        /// The time of writing.
        at: Timestamp,
        /// The event that is answered.
        id: Id,
        /// The model that answered.
        model: String,
        /// The duration in milliseconds.
        ms: u64,
        /// The answer.
        reply: Reply,
        /// The size of the request in tokens by our own estimate; 0 if it was not estimated.
        #[serde(default, skip_serializing_if = "is_zero")]
        estimated: u64,
    },
    /// A tool call with side effects is about to run. Without a `Tool` record it is never run again.
    Begun {
        /// The time of writing.
        at: Timestamp,
        /// The event that is answered.
        id: Id,
        /// The call's id.
        call: String,
    },
    /// The result of a tool call.
    Tool {
        /// The time of writing.
        at: Timestamp,
        /// The event that is answered.
        id: Id,
        /// The call's id.
        call: String,
        /// The duration in milliseconds.
        ms: u64,
        /// The result.
        #[serde(flatten)]
        outcome: ToolResult,
    },
    /// The commit point: these events are answered, and `out` is everything that is sent for them.
    Done {
        /// The time of writing.
        at: Timestamp,
        /// The events.
        ids: Vec<Id>,
        /// The outgoing events, whole.
        out: Vec<Event>,
        /// The answer, where it differs from the model's last text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        said: Option<String>,
    },
    /// A compaction: requests after it send this in place of every record before it.
    Compact(Box<CompactRecord>),
    /// A record of a newer program.
    #[serde(other)]
    Unknown,
}

impl Record {
    /// The record as people see it: calls are without the secrets that they would have noted.
    #[must_use]
    pub fn shown(mut self) -> Self {
        if let Self::Model { reply, .. } = &mut self {
            for call in &mut reply.calls {
                call.arguments = secret::shown_arguments(&call.name, &call.arguments).into_owned();
            }
        }
        self
    }

    /// Whether this record belongs to event `id`.
    #[must_use]
    pub fn is_about(&self, id: &Id) -> bool {
        match self {
            Self::In { event, .. } => event.id == *id,
            Self::Also { id: of, event, .. } => of == id || event.id == *id,
            Self::Model { id: of, .. } | Self::Begun { id: of, .. } | Self::Tool { id: of, .. } => of == id,
            Self::Done { ids, .. } => ids.contains(id),
            // A compaction concerns the whole conversation.
            Self::Compact(_) | Self::Unknown => false,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

/// The result of a tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The text that the model receives.
    pub result: String,
    /// The call failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// The call needs the owner's approval; the turn ends with this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
    /// The hash of the approval that was requested: the decision is about exactly that call, whose arguments may have
    /// been corrected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// The source of text from outside in the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taint: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::Record;

    #[test]
    fn record_of_a_newer_program_is_read_as_unknown() {
        let record: Record = serde_json::from_str(r#"{"t":"thought","what":1}"#).unwrap();
        assert_eq!(record, Record::Unknown);
    }
}
