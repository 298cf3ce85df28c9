//! `openai`: any server with `POST /chat/completions`, streamed as server-sent events or answered in one document; at
//! the service of `OpenAI` itself the newer interface (`responses`).

mod body;
mod call_piece;
mod chunk;
mod dialect;

pub use dialect::names as dialects;

use crate::core::config::resolved_model::ResolvedModel;
use crate::core::fault::Result;
use crate::core::model::Reply;
use crate::core::model::settings::{Interface, Model};
use crate::provider::ModelCall;
use crate::provider::responses;
use crate::provider::wire::{self, Header, Wire};
use url::Url;

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
    wire::ask(call, wire_of(&call.chosen.model))
}

/// The protocol of a model: the newer interface at the service of `OpenAI`, this one everywhere else, unless the settings
/// name one or `api_base` is the whole URL of one.
pub(super) fn wire_of(model: &Model) -> &'static Wire {
    let base = wire::base_and_query(model).0;
    let named = model.wire.or(match base {
        Some(base) if base.ends_with(WIRE.list.0) => Some(Interface::Chat),
        Some(base) if base.ends_with(responses::WIRE.list.0) => Some(Interface::Responses),
        _ => None,
    });
    let is_own = || base.is_none_or(|base| Url::parse(base).is_ok_and(|url| url.host_str() == Some("api.openai.com")));
    match named {
        Some(Interface::Responses) => &responses::WIRE,
        None if is_own() => &responses::WIRE,
        Some(Interface::Chat) | None => &WIRE,
    }
}

/// Whether the interface of a model has documents.
///
/// # Errors
/// `Config` if its dialect is unknown.
pub(super) fn has_documents(chosen: &ResolvedModel) -> Result<bool> {
    let settings = &chosen.model;
    if wire_of(settings).list == responses::WIRE.list {
        return Ok(true);
    }
    Ok(dialect::of(&chosen.name, settings, settings.api_base.as_deref().unwrap_or(BASE))?.has_documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_interface_is_that_of_the_makers_own_service() {
        let path = |base: Option<&str>, wire: Option<Interface>| {
            wire_of(&Model { api_base: base.map(Into::into), wire, ..Model::default() }).list.0
        };
        let (chat, responses) = ("/chat/completions", "/responses");
        assert_eq!(path(None, None), responses);
        assert_eq!(path(Some("https://api.openai.com/v1/"), None), responses);
        assert_eq!(path(Some("https://api.openai.com/v1/chat/completions"), None), chat);
        assert_eq!(path(Some("http://127.0.0.1:1/v1"), None), chat);
        assert_eq!(path(Some("http://127.0.0.1:1/v1/responses"), None), responses);
        assert_eq!(path(Some("http://127.0.0.1:1/v1"), Some(Interface::Responses)), responses);
        assert_eq!(path(None, Some(Interface::Chat)), chat);
    }
}
