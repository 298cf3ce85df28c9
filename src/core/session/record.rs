//! The lines of a session's log. What is not known here is passed over, so that an older program reads the
//! log of a newer one.

use crate::core::event::Event;
use crate::core::event::id::Id;
use crate::core::model::Reply;
use crate::core::session::compaction::CompactRecord;
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
    /// An event that is answered in the turn of another one.
    Also {
        /// When.
        at: Timestamp,
        /// The event whose turn it is.
        id: Id,
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
        /// What the request was by our own estimate, in tokens; 0 where nobody has looked.
        #[serde(default, skip_serializing_if = "is_zero")]
        estimated: u64,
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
        outcome: ToolResult,
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
    /// From here on this is sent in place of everything before it.
    Compact(Box<CompactRecord>),
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
            Self::Also { id: of, event, .. } => of == id || event.id == *id,
            Self::Model { id: of, .. } | Self::Begun { id: of, .. } | Self::Tool { id: of, .. } => of == id,
            Self::Done { ids, .. } => ids.contains(id),
            // It is about all of the conversation.
            Self::Compact(_) | Self::Unknown => false,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

/// What came of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// What the model is told.
    pub result: String,
    /// It did not do what was asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// It waits for the owner's word, and the turn ends with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::Record;

    #[test]
    fn a_line_of_a_newer_program_is_passed_over() {
        let record: Record = serde_json::from_str(r#"{"t":"thought","what":1}"#).unwrap();
        assert_eq!(record, Record::Unknown);
    }
}
