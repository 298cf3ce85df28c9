//! `anthropic`: the Messages API, streamed. What its service keeps of a prompt is marked, and thoughts go back as
//! they came for as long as a turn lasts. Source: platform.claude.com/docs, version 2023-06-01.

mod body;
mod event;
mod generation;

use crate::core::fault::Result;
use crate::core::model::Reply;
use crate::provider::ModelCall;
use crate::provider::wire::{self, Header, Wire};

const BASE: &str = "https://api.anthropic.com/v1";

pub(super) const WIRE: Wire = Wire {
    // Some write the base URL with the version, some without.
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
