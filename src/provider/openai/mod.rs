//! `openai`: any server with `POST /chat/completions`, streamed as server-sent events or answered in one document.
//! Parsing is lenient: fields may be missing or null.

mod body;
mod chunk;
mod dialect;

pub use dialect::names as dialects;

use crate::core::fault::Result;
use crate::core::model::Reply;
use crate::provider::ModelCall;
use crate::provider::wire::{self, Header, Wire};

const BASE: &str = "https://api.openai.com/v1";

pub(super) const WIRE: Wire = Wire {
    url: |base, _| format!("{}/chat/completions", base.unwrap_or(BASE)),
    list: ("/chat/completions", "/models"),
    key: Some("OPENAI_API_KEY"),
    headers: &[("authorization", Header::Key("Bearer "))],
    body: body::of,
    take: chunk::take,
};

pub(super) fn ask(call: &mut ModelCall) -> Result<Reply> {
    wire::ask(call, &WIRE)
}

#[cfg(test)]
mod fixtures;
