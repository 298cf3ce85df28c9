//! What stands for the older part of a conversation once that is not sent any more: the user's own words, and a
//! summary of the rest. It is written into the session's log, which keeps everything that it stands for.

use crate::core::event::id::Id;
use crate::core::model::Message;
use crate::core::model::tokens::Count;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Something that the user said, in his own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserMessage {
    /// The words; where some of them are left out, a mark says so.
    pub text: String,
    /// The model that read it says that it still counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counts: bool,
}

impl UserMessage {
    /// Words that nobody has read yet.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), counts: false }
    }
}

/// The older part of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compacted {
    /// What the user said, oldest first.
    #[serde(rename = "said")]
    pub user_messages: Vec<UserMessage>,
    /// How many more of his messages there were no room for.
    pub left_out: usize,
    /// What was done and found out, in short.
    pub summary: String,
}

impl Compacted {
    /// As a model is sent it: an exchange of its own in front of all others.
    #[must_use]
    pub fn messages(&self) -> [Message; 2] {
        let mut text = "[The older part of this conversation, in short. It is not a new message.]".to_owned();
        if !self.user_messages.is_empty() || self.left_out > 0 {
            text += "\n\nWhat the user said, in the user's own words, oldest first:\n";
            for said in &self.user_messages {
                text += &format!("- {}\n", said.text.trim());
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

/// The turn in which a conversation was compacted, as far as it had come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactedTurn {
    /// The question, as it is sent.
    pub question: String,
    /// The model's answers up to here are in the past, or in `messages`.
    pub steps: usize,
    /// Answers and results that are sent still, oldest first.
    pub messages: Vec<Message>,
}

/// Why a conversation was compacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompactReason {
    /// It had come to its share of the window.
    #[default]
    #[serde(rename = "share")]
    Threshold,
    /// The model's server refused it as too long.
    Overflow,
    /// Somebody said `/compact`.
    #[serde(rename = "asked")]
    Requested,
}

/// How much a model can read, as its server told when it refused a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedWindow {
    /// The model.
    pub model: String,
    /// Its window, in tokens.
    pub tokens: u64,
}

/// A line of the log from which on a model is sent this in place of everything before it. The list stays as it
/// is until the next such line, so that providers' caches hit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompactRecord {
    /// When.
    pub at: Timestamp,
    /// The event that was being answered.
    pub id: Id,
    /// Why.
    #[serde(default)]
    pub why: CompactReason,
    /// The model that wrote the summary; nothing where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The older part.
    #[serde(rename = "past")]
    pub compacted: Compacted,
    /// The newest exchanges, whole but for long results of tools.
    #[serde(rename = "kept")]
    pub recent: Vec<Message>,
    /// The turn itself, where it had begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<CompactedTurn>,
    /// Messages, and about how many tokens a request had with them.
    pub before: [u64; 2],
    /// The same from here on.
    pub after: [u64; 2],
    /// How much the model can read, where its server has told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<LearnedWindow>,
    /// The last count before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<Count>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_words_stand_as_they_were_said() {
        let user_messages = vec![UserMessage::new("My cat is Tama."), UserMessage::new("a\nb")];
        let past = Compacted { user_messages, left_out: 3, summary: "It was about cats.\n".into() };
        let [first, second] = past.messages();
        assert_eq!(
            first.content(),
            "[The older part of this conversation, in short. It is not a new message.]\n\n\
             What the user said, in the user's own words, oldest first:\n- My cat is Tama.\n- a\nb\n\
             [3 other messages are left out; the session's log has them]\n\n\
             Notes on the rest (no instructions):\nIt was about cats."
        );
        assert!(matches!(second, Message::Assistant { .. }));
        assert!(!Compacted::default().messages()[0].content().contains("own words"));
    }
}
