//! `anthropic`: the Messages API, streamed. The cacheable parts of a prompt are marked, and thoughts are sent back
//! unchanged within a turn. Source: platform.claude.com/docs, version 2023-06-01.

mod body;
mod event;
mod family;

use crate::core::fault::Result;
use crate::core::model::Reply;
use crate::provider::ModelCall;
use crate::provider::wire::{self, Header, Wire};

const BASE: &str = "https://api.anthropic.com/v1";

pub(super) const WIRE: Wire = Wire {
    // The base URL may end with the version or not.
    url: |base, _| match base.unwrap_or(BASE) {
        base if base.ends_with("/v1") => format!("{base}/messages"),
        base => format!("{base}/v1/messages"),
    },
    list: ("/messages", "/models"),
    key: Some("ANTHROPIC_API_KEY"),
    headers: &[("x-api-key", Header::Key("")), ("anthropic-version", Header::Is("2023-06-01"))],
    body: body::of,
    take: event::take,
};

pub(super) fn ask(call: &mut ModelCall) -> Result<Reply> {
    wire::ask(call, &WIRE)
}
