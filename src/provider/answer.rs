//! An answer, put together from its pieces, in whatever dialect they come.

use crate::core::fault::{Fault, Kind, Mark, Result};
use crate::core::model::{Call, Reply, Thought, Usage};
use crate::provider::{MAX_ANSWER, ModelCall};
use serde_json::Value;

/// The most calls of one answer.
const MAX_CALLS: usize = 128;

/// Why an answer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// All is said.
    Whole,
    /// It was as long as it may be.
    Length,
    /// The model's window is full.
    Window,
    /// The model, or who watches it, does not want to answer.
    Declined,
}

/// Why a frame ends an answer before its end.
#[derive(Debug)]
pub(super) enum Broken {
    /// It is not what the protocol has.
    Nonsense,
    /// The server says what is wrong.
    Said(Value),
    /// The answer is longer than anybody wants it.
    TooLong,
}

/// A call that is not whole yet.
#[derive(Default)]
pub(super) struct PartialCall {
    pub(super) index: Option<usize>,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

/// A thought that is not whole yet.
#[derive(Default)]
pub(super) struct Musing {
    pub(super) index: Option<usize>,
    pub(super) text: String,
    pub(super) payload: Value,
}

#[derive(Default)]
pub(super) struct Answer {
    pub(super) content: String,
    pub(super) parts: Vec<PartialCall>,
    pub(super) musings: Vec<Musing>,
    /// How much is kept beside the text, as it came, in bytes.
    pub(super) kept: usize,
    pub(super) usage: Usage,
    pub(super) end: Option<Stop>,
}

impl Answer {
    /// Whether anything of the answer is there.
    pub(super) fn has_begun(&self) -> bool {
        !self.content.is_empty() || !self.parts.is_empty()
    }

    /// Takes a piece of text in.
    pub(super) fn say(&mut self, text: &str, heard: &mut dyn FnMut(&str)) {
        if !text.is_empty() {
            heard(text);
            self.content += text;
        }
    }

    /// The thought with this number; a new one, where it has none yet.
    pub(super) fn musing(&mut self, index: Option<usize>) -> &mut Musing {
        let known = self.musings.iter().position(|musing| musing.index == index);
        let at = known.unwrap_or_else(|| {
            self.musings.push(Musing { index, ..Musing::default() });
            self.musings.len() - 1
        });
        &mut self.musings[at]
    }

    /// Whether it is still of a size that somebody wants.
    pub(super) fn check(&self) -> std::result::Result<(), Broken> {
        let calls = self.parts.iter().map(|part| part.id.len() + part.name.len() + part.arguments.len());
        let calls: usize = calls.sum();
        let thoughts: usize = self.musings.iter().map(|musing| musing.text.len()).sum();
        let length = self.content.len() + self.kept + calls + thoughts;
        let is_too_long = length as u64 > MAX_ANSWER || self.parts.len() > MAX_CALLS || self.musings.len() > MAX_CALLS;
        if is_too_long { Err(Broken::TooLong) } else { Ok(()) }
    }

    /// The answer, where it is whole.
    pub(super) fn finish(self, question: &ModelCall) -> Result<Reply> {
        let name = &question.chosen.name;
        let is_empty = self.content.trim().is_empty() && self.parts.is_empty();
        match self.end {
            None => {
                let length = self.content.chars().count();
                let why = format!("model {name}: the answer was cut off after {length} characters");
                return Err(Fault::new(Kind::Unavailable, why));
            }
            Some(Stop::Declined) => {
                let words: String = self.content.trim().chars().take(300).collect();
                let words = if words.is_empty() { words } else { format!(": {words}") };
                return Err(Fault::new(Kind::Failed, format!("model {name}: it declines to answer{words}")));
            }
            Some(Stop::Window) if is_empty => {
                let why = format!("model {name}: its window was full before it said a word");
                return Err(Fault::new(Kind::Failed, why).mark(Mark::Overflow));
            }
            Some(Stop::Length) if is_empty => {
                let why = format!("model {name}: it has used all tokens that an answer may have without a word");
                return Err(Fault::new(Kind::Failed, why).hint("raise the model's max_tokens, or let it think less"));
            }
            Some(Stop::Length | Stop::Window) => {
                let say = "its answer ends where it may not be longer (max_tokens, or the model's window)";
                question.workspace.world.say(&format!("model {name}: {say}"));
            }
            Some(Stop::Whole) => {}
        }
        let by = question.chosen.identity();
        let thinking = self.musings.into_iter().map(|musing| Thought {
            by: by.clone(),
            text: musing.text,
            payload: musing.payload,
        });
        let is_cut = matches!(self.end, Some(Stop::Length | Stop::Window));
        let last = self.parts.len();
        let calls = (1..).zip(self.parts).map(|(number, part)| Call {
            id: part.id,
            name: part.name,
            // None were written yet, which is not the same as that there are none.
            arguments: if is_cut && number == last && part.arguments.trim().is_empty() {
                Value::String(part.arguments)
            } else {
                Call::parse_arguments(&part.arguments)
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
