//! Models. A provider turns a neutral request into a neutral reply, and reports every piece of text as it arrives. It
//! is one file or folder and one row in a table; the providers over HTTP are protocols of one exchange (`wire`).

mod anthropic;
mod attachment;
mod client;
mod command;
#[cfg(test)]
mod fixtures;
mod offline;
mod ollama;
mod openai;
mod probe;
pub mod reading;
mod refusal;
mod replay;
mod response;
mod responses;
mod source;
mod tape;
mod wire;

pub use attachment::check as check_media;
pub use offline::keys_in_environment;
pub use ollama::find as local_ollama;
pub use openai::dialects;
pub use probe::{Key, ModelStatus, available, base, key, statuses};
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
use jiff::SignedDuration;
use std::time::Duration;

/// The longest answer, in bytes.
pub const MAX_ANSWER: u64 = 2 << 20;

/// A call to a model.
pub struct ModelCall<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// The model.
    pub chosen: &'a ResolvedModel,
    /// The request.
    pub request: &'a Request,
    /// The time of the event that is answered.
    pub at: Stamp,
    /// Whether the built-in model may search the notes for this sender.
    pub may_recall: bool,
    /// The session's lane; programs inherit its lock.
    pub lane: &'a Lane,
    /// Cancels the call.
    pub cancel: Option<&'a CancelToken<'a>>,
    /// Called with every piece of text as it arrives.
    pub on_text: &'a mut dyn FnMut(&str),
    /// The usage so far; also set if the call fails.
    pub charge: Charge,
    /// Records the call, or answers it from a cassette.
    pub tape: Tape,
}

/// The usage of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charge {
    /// The request was not sent.
    #[default]
    Nothing,
    /// The request was sent, or may have been; its tokens were not counted.
    Unknown,
    /// The request was sent, and these tokens were counted.
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

/// Sends a call to its model. The reply may be empty; the caller decides whether that is an error.
///
/// # Errors
/// `Config` if the settings of the model are wrong, `Unavailable` and `Later` if a retry can help, `Failed` if this
/// request will never be answered.
pub fn ask(call: &mut ModelCall) -> Result<Reply> {
    let ask = named(call.chosen)?;
    if call.workspace.record.is_some() && !call.chosen.is_free() {
        call.tape = Tape::recording();
    }
    let answer = ask(call);
    let saved = tape::save(call);
    let reply = answer?;
    saved?;
    if reply.usage != Usage::default() {
        call.charge = Charge::Counted(reply.usage);
    }
    Ok(reply)
}

/// The meaning of a body that a provider's server sends in chunks of `size` bytes, as text. For tests and fuzzers, which
/// have no model.
#[must_use]
pub fn dissect(provider: &str, body: &[u8], size: usize) -> String {
    let wire = match provider {
        "openai" => &openai::WIRE,
        "responses" => &responses::WIRE,
        "anthropic" => &anthropic::WIRE,
        _ => &ollama::WIRE,
    };
    response::dissect(wire.take, body, size)
}

/// The provider of a model.
///
/// # Errors
/// `Config` if the name is unknown, with the nearest name.
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

/// The names of all providers.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROVIDERS.iter().map(|(name, _)| *name)
}

/// A configured duration, or the default in seconds.
fn limit(set: Option<SignedDuration>, default: u64) -> Duration {
    set.and_then(|d| Duration::try_from(d).ok()).unwrap_or(Duration::from_secs(default))
}
