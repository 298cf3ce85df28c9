//! An answer, assembled from its pieces; the same for every protocol.

use crate::core::fault::{Cause, Fault, Kind, Result};
use crate::core::model::{Call, Reply, Thought, Usage};
use crate::http::Credentials;
use crate::provider::refusal::shortened;
use crate::provider::{MAX_ANSWER, ModelCall};
use serde_json::Value;

/// The most calls, and the most thoughts, of one answer.
const MAX_CALLS: usize = 128;

/// The reason why an answer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// It is complete.
    Whole,
    /// It reached `max_tokens`.
    Length,
    /// The context window is full.
    Window,
    /// The model or a content filter declined to answer.
    Declined,
}

/// An error in a frame, which ends the answer.
#[derive(Debug)]
pub(super) enum AnswerError {
    /// The frame does not follow the protocol.
    Invalid,
    /// The server reports this error.
    Reported(Value),
    /// The answer is over its limits.
    TooLong,
}

/// A tool call that may be incomplete.
#[derive(Default)]
pub(super) struct PartialCall {
    pub(super) index: Option<usize>,
    pub(super) id: String,
    pub(super) name: String,
    /// JSON.
    pub(super) arguments: String,
}

/// A thought that may be incomplete.
#[derive(Default)]
pub(super) struct PartialThought {
    pub(super) index: Option<usize>,
    pub(super) text: String,
    pub(super) payload: Value,
}

#[derive(Default)]
pub(super) struct Answer {
    pub(super) content: String,
    pub(super) calls: Vec<PartialCall>,
    pub(super) thoughts: Vec<PartialThought>,
    /// The size of all payloads, in bytes.
    pub(super) payload_bytes: usize,
    pub(super) usage: Usage,
    /// None until the server reports the end.
    pub(super) end: Option<StopReason>,
}

impl Answer {
    /// Whether any text or call has arrived.
    pub(super) fn has_begun(&self) -> bool {
        !self.content.is_empty() || !self.calls.is_empty()
    }

    /// Appends a piece of text and reports it.
    pub(super) fn push_text(&mut self, text: &str, on_text: &mut dyn FnMut(&str)) {
        if !text.is_empty() {
            on_text(text);
            self.content += text;
        }
    }

    /// The thought with this index; created if there is none.
    pub(super) fn thought(&mut self, index: Option<usize>) -> &mut PartialThought {
        let known = self.thoughts.iter().position(|thought| thought.index == index);
        let at = known.unwrap_or_else(|| {
            self.thoughts.push(PartialThought { index, ..PartialThought::default() });
            self.thoughts.len() - 1
        });
        &mut self.thoughts[at]
    }

    /// Checks the limits of size and number.
    pub(super) fn check(&self) -> std::result::Result<(), AnswerError> {
        let calls = self.calls.iter().map(|call| call.id.len() + call.name.len() + call.arguments.len());
        let calls: usize = calls.sum();
        let thoughts: usize = self.thoughts.iter().map(|thought| thought.text.len()).sum();
        let length = self.content.len() + self.payload_bytes + calls + thoughts;
        let is_too_long = length as u64 > MAX_ANSWER || self.calls.len() > MAX_CALLS || self.thoughts.len() > MAX_CALLS;
        if is_too_long { Err(AnswerError::TooLong) } else { Ok(()) }
    }

    /// The reply, if the answer is complete or usable as far as it goes.
    pub(super) fn finish(self, call: &ModelCall, credentials: &Credentials) -> Result<Reply> {
        let name = &call.chosen.name;
        let is_empty = self.content.trim().is_empty() && self.calls.is_empty();
        match self.end {
            None => {
                let length = self.content.chars().count();
                let message = format!("model {name}: the answer was cut off after {length} characters");
                return Err(Fault::new(Kind::Unavailable, message));
            }
            Some(StopReason::Declined) => {
                let text = shortened(self.content.trim(), credentials);
                let text = if text.is_empty() { text } else { format!(": {text}") };
                return Err(Fault::new(Kind::Failed, format!("model {name}: it declined to answer{text}")));
            }
            Some(StopReason::Window) if is_empty => {
                let message = format!("model {name}: the context window was full before any text was written");
                return Err(Fault::new(Kind::Failed, message).cause(Cause::Overflow));
            }
            Some(StopReason::Length) if is_empty => {
                let message = format!("model {name}: reached max_tokens before writing any text");
                return Err(Fault::new(Kind::Failed, message).hint("raise the model's max_tokens, or lower `thinking`"));
            }
            Some(StopReason::Length | StopReason::Window) => {
                let warning = "the answer is incomplete: it reached max_tokens or the end of the context window";
                call.workspace.world.say(&format!("model {name}: {warning}"));
            }
            Some(StopReason::Whole) => {}
        }
        let by = call.chosen.identity();
        let thinking = self.thoughts.into_iter().map(|thought| Thought {
            by: by.clone(),
            text: thought.text,
            payload: thought.payload,
        });
        let is_cut = matches!(self.end, Some(StopReason::Length | StopReason::Window));
        let last = self.calls.len();
        let calls = (1..).zip(self.calls).map(|(number, call)| Call {
            id: call.id,
            name: call.name,
            // Cut off before its arguments, which is not a call without arguments: the text is no JSON object.
            arguments: if is_cut && number == last && call.arguments.trim().is_empty() {
                Value::String(call.arguments)
            } else {
                Call::parse_arguments(&call.arguments)
            },
        });
        Ok(Reply {
            thinking: thinking.collect(),
            content: self.content,
            calls: calls.collect(),
            remember: Vec::new(),
            usage: self.usage,
        })
    }
}
