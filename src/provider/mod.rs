//! Models: each turns a neutral request into a neutral reply, telling every piece of text as it
//! comes. A provider is one file or folder and one line in the table; those that are asked over HTTP are dialects
//! of one exchange (`wire`).

mod answer;
mod anthropic;
mod command;
pub mod frames;
mod http;
mod offline;
mod ollama;
mod openai;
mod probe;
mod replay;
mod source;
mod tape;
mod wire;

pub use ollama::find as local_ollama;
pub use openai::dialects;
pub use probe::{Key, ModelStatus, base, key, look};
pub use tape::Tape;

use crate::core::config::OFFLINE;
use crate::core::config::resolved_model::ResolvedModel;
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Result};
use crate::core::model::settings::REPLAY;
use crate::core::model::{Reply, Request, Usage};
use crate::core::text::problem::nearest;
use crate::store::lock::Lane;
use crate::store::session::stop::CancelToken;
use crate::store::workspace::Workspace;
use frames::Framing;
use jiff::SignedDuration;
use std::time::Duration;

/// The most text that an answer may have, in bytes.
pub const MAX_ANSWER: u64 = 2 << 20;

/// One question to one model.
pub struct ModelCall<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// The model.
    pub chosen: &'a ResolvedModel,
    /// What is asked.
    pub request: &'a Request,
    /// The instant of the event that is answered.
    pub at: Stamp,
    /// The session's lane, for programs that are run.
    pub lane: &'a Lane,
    /// WatchKind of it as soon as nobody wants the answer any more.
    pub cancel: Option<&'a CancelToken<'a>>,
    /// WatchKind every piece of text as it comes.
    pub heard: &'a mut dyn FnMut(&str),
    /// What the question has taken, as far as it is known; also where there was no answer.
    pub charge: Charge,
    /// Whether it is written down, or answered by what was.
    pub tape: Tape,
}

/// What a question has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charge {
    /// It never left this machine.
    #[default]
    Nothing,
    /// It left, or may have; nobody has counted its tokens.
    Unknown,
    /// It left, and this was counted.
    Counted(Usage),
}

type Ask = fn(&mut ModelCall) -> Result<Reply>;

const PROVIDERS: &[(&str, Ask)] = &[
    (OFFLINE, offline::ask),
    ("openai", openai::ask),
    ("anthropic", anthropic::ask),
    ("ollama", ollama::ask),
    ("command", command::ask),
    (REPLAY, replay::ask),
];

/// Asks the model. Some end properly without a word: what that means is for whoever asks.
///
/// # Errors
/// `Config` where the model cannot be used as it is set up, `Unavailable` and `Later` where it may
/// be there later, `Failed` where this request will never be answered.
pub fn ask(question: &mut ModelCall) -> Result<Reply> {
    let ask = named(question.chosen)?;
    if question.workspace.record.is_some() && !question.chosen.is_free() {
        question.tape = Tape::recording();
    }
    let answer = ask(question);
    let kept = tape::save(question);
    let reply = answer?;
    kept?;
    if reply.usage != Usage::default() {
        question.charge = Charge::Counted(reply.usage);
    }
    Ok(reply)
}

/// What a stream of this provider's means, whose bytes come in pieces of this size: see `wire::dissect`. For the
/// fuzzers, which know no model.
#[must_use]
pub fn dissect(provider: &str, stream: &[u8], size: usize) -> Option<String> {
    match provider {
        "openai" => wire::dissect(&openai::WIRE, Framing::Events, stream, size),
        "anthropic" => wire::dissect(&anthropic::WIRE, Framing::Events, stream, size),
        _ => wire::dissect(&ollama::WIRE, Framing::Lines, stream, size),
    }
}

/// The provider of a model.
///
/// # Errors
/// `Config` where there is none of its name, with a guess.
fn named(chosen: &ResolvedModel) -> Result<Ask> {
    let name = chosen.model.provider.as_deref().unwrap_or_default();
    if let Some((_, ask)) = PROVIDERS.iter().find(|(known, _)| *known == name) {
        return Ok(*ask);
    }
    let fault = Fault::config(format!("model {}: there is no provider `{name}`", chosen.name));
    Err(match nearest(name, names()) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint(format!("there are: {}", names().collect::<Vec<_>>().join(", "))),
    })
}

/// The providers there are.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROVIDERS.iter().map(|(name, _)| *name)
}

/// A configured duration, else its default in seconds.
fn limit(set: Option<SignedDuration>, default: u64) -> Duration {
    set.and_then(|d| Duration::try_from(d).ok()).unwrap_or(Duration::from_secs(default))
}
