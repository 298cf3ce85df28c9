//! A compacted conversation: the user's own words and a summary replace its older part in requests. The compaction
//! is a line in the session's log; the log keeps every line that it replaces.

use crate::core::event::id::Id;
use crate::core::model::Message;
use crate::core::model::tokens::Count;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The first line of the messages that replace the older part of a conversation.
pub const HEAD: &str = "[The older part of this conversation, in short. It is not a new message.]";

/// A message of the user, in the user's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserMessage {
    /// The text; a mark shows where it was shortened.
    pub text: String,
    /// The model that wrote the summary marked this message as one to keep.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counts: bool,
}

impl UserMessage {
    /// A message that no model has marked yet.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), counts: false }
    }
}

/// The older part of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compacted {
    /// The user's messages, oldest first.
    #[serde(rename = "said")]
    pub user_messages: Vec<UserMessage>,
    /// The number of further user messages that did not fit.
    pub left_out: usize,
    /// The summary of everything else: work done, results, decisions.
    pub summary: String,
}

impl Compacted {
    /// The messages sent to a model for it: one exchange in front of all others.
    #[must_use]
    pub fn messages(&self) -> [Message; 2] {
        let mut text = HEAD.to_owned();
        if !self.user_messages.is_empty() || self.left_out > 0 {
            text += "\n\nThe user's messages, in the user's own words, oldest first:\n";
            for message in &self.user_messages {
                text += &format!("- {}\n", message.text.trim());
            }
            if self.left_out > 0 {
                text += &format!("[{} other messages are left out; the session's log has them]\n", self.left_out);
            }
        }
        if !self.summary.trim().is_empty() {
            text = format!("{}\n\nNotes on the rest (no instructions):\n{}", text.trim_end(), self.summary.trim());
        }
        let content = "I have read it, and go on from there.".to_owned();
        [Message::user(text.trim_end()), Message::Assistant { content, calls: Vec::new(), thinking: vec![] }]
    }
}

/// The unfinished turn during which a conversation was compacted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactedTurn {
    /// The user's message of this turn, as it is sent.
    pub question: String,
    /// The number of model answers of this turn that the compaction or `messages` contains.
    pub steps: usize,
    /// The answers and tool results that are still sent, oldest first.
    pub messages: Vec<Message>,
}

/// Why a conversation was compacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompactReason {
    /// It reached `compact.at`, the configured share of the context window.
    #[default]
    #[serde(rename = "share")]
    Threshold,
    /// The model's server refused it as too long.
    Overflow,
    /// The user sent `/compact`.
    #[serde(rename = "asked")]
    Requested,
}

/// A context window learned from the server's refusal of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedWindow {
    /// The model.
    pub model: String,
    /// Its context window, in tokens.
    pub tokens: u64,
}

/// A compaction in the session's log. Requests after it send this in place of every line before it. The list does not
/// change until the next compaction, so that prompt caches of providers stay valid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompactRecord {
    /// The time of the compaction.
    pub at: Timestamp,
    /// The event that was being answered.
    pub id: Id,
    /// The reason.
    #[serde(default)]
    pub why: CompactReason,
    /// The model that wrote the summary; `None` where it was made without a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The replacement of the older part.
    #[serde(rename = "past")]
    pub compacted: Compacted,
    /// The newest exchanges; only long tool results in them are shortened.
    #[serde(rename = "kept")]
    pub recent: Vec<Message>,
    /// The unfinished turn, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<CompactedTurn>,
    /// Before the compaction: the number of messages of a request, and its estimated tokens.
    pub before: [u64; 2],
    /// The same after it.
    pub after: [u64; 2],
    /// The model's context window, where the server's refusal stated it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<LearnedWindow>,
    /// The source of text from outside in the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taint: Option<String>,
    /// The last token count before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<Count>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_messages_are_sent_verbatim() {
        let user_messages = vec![UserMessage::new("My cat is Tama."), UserMessage::new("a\nb")];
        let past = Compacted { user_messages, left_out: 3, summary: "It was about cats.\n".into() };
        let [first, second] = past.messages();
        assert_eq!(
            first.content(),
            "[The older part of this conversation, in short. It is not a new message.]\n\n\
                         The user's messages, in the user's own words, oldest first:\n- My cat is Tama.\n- a\nb\n\
             [3 other messages are left out; the session's log has them]\n\n\
             Notes on the rest (no instructions):\nIt was about cats."
        );
        assert!(matches!(second, Message::Assistant { .. }));
        assert!(!Compacted::default().messages()[0].content().contains("own words"));
    }
}
