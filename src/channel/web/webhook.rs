//! Webhooks: `POST /hook/NAME`. The body is authenticated, its text is data from outside, and a repeated delivery is the
//! same event.

use crate::channel::accept::Accepted;
use crate::channel::listening::Listening;
use crate::core::channel::inbound::Inbound;
use crate::core::channel::web::hook;
use crate::core::event::origin::SenderClass;
use crate::core::event::stamp::SECOND;
use crate::core::fault::Kind;
use crate::http::server::StatusCode;
use crate::store::agent::secrets;
use crate::store::channel::tokens;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The longest body, in bytes.
pub(super) const MAX_BODY: usize = 1 << 20;

/// Accepts a delivery. Durable on return.
pub(super) fn accept(
    listening: &Listening,
    name: &str,
    headers: &BTreeMap<String, String>,
    body: &[u8],
) -> (StatusCode, Value) {
    let error = |status, message: String| (status, json!({"error": message}));
    let Some(settings) = listening.settings.hooks.get(name) else {
        return error(StatusCode::NOT_FOUND, "there is no such webhook".to_owned());
    };
    let workspace = listening.workspace;
    let secret = match secrets::hook_secret(workspace, name, settings) {
        Ok(secret) => secret,
        Err(fault) => {
            workspace.world.say(&fault.to_string());
            return error(StatusCode::SERVICE_UNAVAILABLE, "the webhook's secret is not set".to_owned());
        }
    };
    let now = workspace.world.now().0 / SECOND;
    let id = match hook::verify(settings, &secret, &|name| headers.get(name).cloned(), body, now) {
        Ok(id) => id,
        Err(why) => {
            listening.skip(body.len());
            return error(StatusCode::UNAUTHORIZED, why);
        }
    };
    let text = match hook::text(settings.text.as_deref(), body) {
        Ok(text) => text,
        Err(why) => return error(StatusCode::UNPROCESSABLE_ENTITY, why),
    };
    let Some(platform_id) = id.or_else(|| tokens::secret(workspace).ok()) else {
        return error(StatusCode::SERVICE_UNAVAILABLE, "the kernel has no random bits".to_owned());
    };
    let address = format!("hook/{name}");
    let inbound = Inbound {
        platform_id,
        sender: address.clone(),
        reply_to: address,
        text,
        forwarded_from: Some(format!("webhook {name}")),
        authenticated: Some(SenderClass::Known),
        agent: settings.agent.clone(),
        ..Inbound::default()
    };
    match listening.accept(inbound) {
        Ok(Accepted::Published(event)) => (StatusCode::ACCEPTED, json!({"event": event})),
        Ok(Accepted::Repeated(event)) => (StatusCode::ACCEPTED, json!({"event": event, "repeated": true})),
        Ok(Accepted::Paired(_)) => error(StatusCode::CONFLICT, "a code is no message here".to_owned()),
        Ok(Accepted::Refused(why)) => error(StatusCode::CONFLICT, why.to_string()),
        Err(fault) => {
            workspace.world.say(&fault.to_string());
            let status = if fault.kind == Kind::Data {
                StatusCode::UNPROCESSABLE_ENTITY
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            error(status, "the message could not be stored; send it again".to_owned())
        }
    }
}
