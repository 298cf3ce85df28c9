//! `POST /responses`: the newer interface of `OpenAI`, streamed. Its current models accept tools together with thinking
//! only here. Nothing is stored at the service: encrypted thoughts are carried from step to step within a turn. Source:
//! developers.openai.com/api/docs/guides (migrate-to-responses, streaming-responses, reasoning), read 2026-12-01.

mod body;
mod event;

use crate::provider::wire::{Header, Wire};

const BASE: &str = "https://api.openai.com/v1";

pub(super) const WIRE: Wire = Wire {
    url: |base, _| format!("{}/responses", base.unwrap_or(BASE)),
    list: ("/responses", "/models"),
    key: Some("OPENAI_API_KEY"),
    headers: &[("authorization", Header::Key("Bearer "))],
    body: body::of,
    take: event::take,
};
