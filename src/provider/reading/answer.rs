//! An answer, assembled from its pieces; the same for every protocol.

use crate::core::budget;
use crate::core::fault::{Cause, Fault, Kind, Result};
use crate::core::json::surrogates;
use crate::core::model::{Call, Reply, Thought, Usage};
use crate::http::Credentials;
use crate::provider::reading::fields::{self, Counted};
use crate::provider::reading::text::TextReader;
use crate::provider::{Charge, MAX_ANSWER, ModelCall};
use serde_json::Value;

/// The most calls, and the most thoughts, of one answer.
const MAX_CALLS: usize = 128;
/// The longest part of a server's words in a fault, in characters.
pub(in crate::provider) const MAX_WORDS: usize = 300;

/// The reason why an answer has ended. A later one outweighs an earlier one: what was broken off stays broken off,
/// whatever follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::provider) enum StopReason {
    /// It is complete.
    Whole,
    /// It reached `max_tokens`.
    Length,
    /// The context window is full.
    Window,
    /// The model or a content filter declined to answer.
    Declined,
    /// The server gave up, and may answer the same request another time.
    BrokenOff,
    /// The model's call could not be read by its server.
    MalformedCall,
}

/// The reasons that do not mean a complete answer, in lower case and up to a colon; every other one does.
const REASONS: &[(&str, StopReason)] = &[
    ("length", StopReason::Length),
    ("max_tokens", StopReason::Length),
    ("max_output_tokens", StopReason::Length),
    ("model_length", StopReason::Length),
    ("model_context_window_exceeded", StopReason::Window),
    ("content_filter", StopReason::Declined),
    ("refusal", StopReason::Declined),
    ("sensitive", StopReason::Declined),
    // Gemini's, which its compatible interface and routers pass on.
    ("safety", StopReason::Declined),
    ("recitation", StopReason::Declined),
    ("prohibited_content", StopReason::Declined),
    ("blocklist", StopReason::Declined),
    ("spii", StopReason::Declined),
    ("language", StopReason::Declined),
    ("malformed_function_call", StopReason::MalformedCall),
    ("unexpected_tool_call", StopReason::MalformedCall),
    // vLLM and SGLang; then DeepSeek, Zhipu, OpenRouter.
    ("abort", StopReason::BrokenOff),
    ("insufficient_system_resource", StopReason::BrokenOff),
    ("network_error", StopReason::BrokenOff),
    ("error", StopReason::BrokenOff),
    ("cancelled", StopReason::BrokenOff),
];

/// An error in a frame, which ends the answer.
#[derive(Debug)]
pub(in crate::provider) enum AnswerError {
    /// The frame does not follow the protocol.
    Invalid,
    /// The server reports this error.
    Reported(Value),
    /// The answer is over its limits.
    TooLong,
}

/// A tool call that may be incomplete.
#[derive(Debug, Default)]
pub(in crate::provider) struct PartialCall {
    pub(in crate::provider) index: Option<i64>,
    pub(in crate::provider) id: String,
    pub(in crate::provider) name: String,
    /// JSON.
    pub(in crate::provider) arguments: String,
    /// The arguments came whole with the name; a server may stream them again.
    pub(in crate::provider) is_given: bool,
}

/// A thought that may be incomplete.
#[derive(Debug, Default)]
pub(in crate::provider) struct PartialThought {
    pub(in crate::provider) index: Option<i64>,
    pub(in crate::provider) text: String,
    pub(in crate::provider) payload: Value,
}

#[derive(Debug, Default)]
pub(in crate::provider) struct Answer {
    pub(in crate::provider) content: String,
    pub(in crate::provider) calls: Vec<PartialCall>,
    pub(in crate::provider) thoughts: Vec<PartialThought>,
    /// The size of all payloads, in bytes.
    pub(in crate::provider) payload_bytes: usize,
    pub(in crate::provider) usage: Usage,
    /// None until the server reports the end.
    pub(in crate::provider) end: Option<StopReason>,
    /// The words of the server about an end that is not the usual one.
    pub(in crate::provider) why: String,
    reader: TextReader,
    /// A count that no request can have.
    absurd: Option<String>,
}

impl Answer {
    /// Whether any text or call has arrived.
    pub(in crate::provider) fn has_begun(&self) -> bool {
        !self.content.is_empty() || !self.calls.is_empty()
    }

    /// Appends a piece of text and reports it, as far as it is no thought.
    pub(in crate::provider) fn push_text(&mut self, piece: &str, on_text: &mut dyn FnMut(&str)) {
        if piece.is_empty() {
            return;
        }
        let text = self.reader.push(piece);
        self.show(&text, on_text);
    }

    /// Reports the text that was held back, because the answer has ended.
    pub(in crate::provider) fn end_text(&mut self, on_text: &mut dyn FnMut(&str)) {
        let text = self.reader.end();
        self.show(&text, on_text);
    }

    fn show(&mut self, text: &str, on_text: &mut dyn FnMut(&str)) {
        if !text.is_empty() {
            on_text(text);
            self.content += text;
        }
    }

    /// The last thought with this index; created if there is none.
    pub(in crate::provider) fn thought(&mut self, index: Option<i64>) -> &mut PartialThought {
        let known = self.thoughts.iter().rposition(|thought| thought.index == index);
        let at = known.unwrap_or_else(|| {
            self.thoughts.push(PartialThought { index, ..PartialThought::default() });
            self.thoughts.len() - 1
        });
        &mut self.thoughts[at]
    }

    /// Sets the end by the name that the server gives it. No name is no end.
    pub(in crate::provider) fn set_end(&mut self, reason: &str) {
        let name = reason.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
        if name.is_empty() {
            return;
        }
        let known = REASONS.iter().find(|(known, _)| *known == name).map_or(StopReason::Whole, |(_, end)| *end);
        if known != StopReason::Whole {
            reason.trim().clone_into(&mut self.why);
        }
        self.end = self.end.max(Some(known));
    }

    /// The count in a field; none if there is no usable one.
    pub(in crate::provider) fn count(&mut self, value: &Value) -> Option<u64> {
        match fields::count(value) {
            Counted::Tokens(tokens) => Some(tokens),
            Counted::Nothing => None,
            Counted::Absurd => {
                self.absurd = Some(fields::text(value));
                None
            }
        }
    }

    /// Checks the limits of size and number.
    pub(in crate::provider) fn check(&self) -> std::result::Result<(), AnswerError> {
        let calls = self.calls.iter().map(|call| call.id.len() + call.name.len() + call.arguments.len());
        let calls: usize = calls.sum();
        let thoughts: usize = self.thoughts.iter().map(|thought| thought.text.len()).sum();
        let length = self.content.len() + self.reader.thought.len() + self.payload_bytes + calls + thoughts;
        let is_too_long = length as u64 > MAX_ANSWER || self.calls.len() > MAX_CALLS || self.thoughts.len() > MAX_CALLS;
        if is_too_long { Err(AnswerError::TooLong) } else { Ok(()) }
    }

    /// The charge of the call so far: what the server has counted is paid, however the answer ends.
    pub(in crate::provider) fn charge(&self) -> Option<Charge> {
        if self.absurd.is_some() {
            return Some(Charge::Unknown);
        }
        // A count that came before the end is too low.
        let written = if self.end.is_none() { budget::tokens(self.content.len()) } else { 0 };
        let usage = Usage { output: self.usage.output.max(written), ..self.usage };
        (self.usage != Usage::default()).then_some(Charge::Counted(usage))
    }

    /// The reply, if the answer is complete or usable as far as it goes. `stray` is text of the server outside of all
    /// frames.
    pub(in crate::provider) fn finish(
        mut self,
        call: &ModelCall,
        credentials: &Credentials,
        stray: &str,
    ) -> Result<Reply> {
        let name = &call.chosen.name;
        if let Some(count) = &self.absurd {
            let world = &call.workspace.world;
            world.say(&format!("model {name}: its server counted {count} tokens, which is absurd; they are estimated"));
            self.usage = Usage::default();
        }
        self.calls.retain(|call| !call.name.trim().is_empty() || !call.arguments.trim().is_empty());
        self.check_end(call, credentials, stray)?;
        let by = call.chosen.identity();
        let resolved = |text: String| surrogates::resolve(&text).into_owned();
        let tagged = Some(self.reader.thought.trim()).filter(|thought| !thought.is_empty());
        // A thought in the text has no sender: no server takes it back as one.
        let tagged = tagged.map(|text| Thought { by: String::new(), text: text.to_owned(), payload: Value::Null });
        let thinking = self.thoughts.into_iter().map(|thought| Thought {
            by: by.clone(),
            text: resolved(thought.text),
            payload: thought.payload,
        });
        let is_cut = matches!(self.end, Some(StopReason::Length | StopReason::Window));
        let last = self.calls.len();
        let calls = (1..).zip(self.calls).map(|(number, call)| Call {
            id: call.id,
            name: call.name.trim().to_owned(),
            // Cut off before its arguments, which is not a call without arguments: the text is no JSON object.
            arguments: if is_cut && number == last && call.arguments.trim().is_empty() {
                Value::String(call.arguments)
            } else {
                Call::parse_arguments(&call.arguments)
            },
        });
        Ok(Reply {
            calls: calls.collect(),
            thinking: tagged.into_iter().chain(thinking).collect(),
            content: self.content,
            remember: Vec::new(),
            usage: self.usage,
        })
    }

    /// The fault of an answer that is not usable.
    fn check_end(&self, call: &ModelCall, credentials: &Credentials, stray: &str) -> Result<()> {
        let name = &call.chosen.name;
        let is_empty = self.content.trim().is_empty() && self.calls.is_empty();
        let length = self.content.chars().count();
        let words = |text: &str| match shortened(text.trim(), credentials) {
            text if text.is_empty() => text,
            text => format!(": {text}"),
        };
        match self.end {
            None => {
                let message = format!("model {name}: the answer was cut off after {length} characters{}", words(stray));
                Err(Fault::new(Kind::Unavailable, message))
            }
            Some(StopReason::BrokenOff) => {
                let message = format!("model {name}: the server broke the answer off after {length} characters");
                Err(Fault::new(Kind::Unavailable, message + &words(&self.why)))
            }
            Some(StopReason::MalformedCall) => {
                let message = format!("model {name}: the model called a tool in a form that its server cannot read");
                Err(Fault::new(Kind::Unavailable, message + &words(&self.why)).cause(Cause::Unreadable))
            }
            Some(StopReason::Declined) => {
                let text = if self.content.trim().is_empty() { &self.why } else { &self.content };
                Err(Fault::new(Kind::Failed, format!("model {name}: it declined to answer{}", words(text))))
            }
            Some(StopReason::Window) if is_empty => {
                let message = format!("model {name}: the context window was full before any text was written");
                Err(Fault::new(Kind::Failed, message).cause(Cause::Overflow))
            }
            Some(StopReason::Length) if is_empty => {
                let message = format!("model {name}: reached max_tokens before writing any text");
                Err(Fault::new(Kind::Failed, message).hint("raise the model's max_tokens, or lower `thinking`"))
            }
            Some(StopReason::Length | StopReason::Window) => {
                let warning = "the answer is incomplete: it reached max_tokens or the end of the context window";
                call.workspace.world.say(&format!("model {name}: {warning}"));
                Ok(())
            }
            Some(StopReason::Whole) => Ok(()),
        }
    }

    /// The thoughts as one text, for tests and fuzzers.
    pub(in crate::provider) fn thinking(&self) -> String {
        let thoughts: String = self.thoughts.iter().map(|thought| thought.text.as_str()).collect();
        self.reader.thought.trim().to_owned() + &thoughts
    }
}

/// A text of the service without credentials, on one line and cut to [`MAX_WORDS`].
pub(in crate::provider) fn shortened(text: &str, credentials: &Credentials) -> String {
    credentials.hide(text).chars().take(MAX_WORDS).collect()
}
