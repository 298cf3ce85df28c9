//! Texts that may become notes. Secrets are refused, and so are texts that are no facts.

use crate::core::event::Event;
use crate::core::event::origin::SenderClass;
use crate::core::fault::{Fault, Result};
use crate::core::memory::refusal;
use crate::core::model::settings::Model;
use crate::core::text::secret;
use crate::store::agent::secrets::Secrets;
use crate::store::workspace::Workspace;

/// The key in an event's `meta` by which the owner notes a secret all the same.
pub const ANYWAY: &str = "anyway";

/// Refuses a text that may not be noted. `is_forced` if the owner notes a secret on purpose.
///
/// # Errors
/// `Data` with the reason, which does not contain the secret.
pub fn check(workspace: &Workspace, text: &str, is_forced: bool) -> Result<()> {
    if let Some(reason) = refusal::reason(text) {
        return Err(Fault::data(reason));
    }
    if is_forced { Ok(()) } else { check_secrets(workspace, text, "") }
}

/// Refuses a text with a secret that `known` does not have.
///
/// # Errors
/// `Data` with the kind of the secret; `Machine` if the known keys cannot be read.
pub fn check_secrets(workspace: &Workspace, text: &str, known: &str) -> Result<()> {
    let found = secret::all(text).into_iter().find(|found| !known.contains(&text[found.range.clone()]));
    let kind = match found {
        Some(found) => found.kind,
        None if Secrets::with(workspace, &Model::default())?.are_absent_from(text) => return Ok(()),
        None => "a key of this workspace",
    };
    Err(Fault::data(format!("it has a secret ({kind}), and notes are plain text that models read; nothing was saved"))
        .hint("note where the secret is kept; only the owner can save it, with `claw remember --anyway`"))
}

/// Whether the owner has asked to note a secret. An agent cannot: its events have its own address.
///
/// # Errors
/// If `claw.yaml` is invalid.
pub fn is_forced(workspace: &Workspace, event: &Event) -> Result<bool> {
    let is_asked = event.meta.get(ANYWAY).and_then(serde_json::Value::as_bool) == Some(true);
    Ok(is_asked && event.from.channel() != "agent" && workspace.class_of(&event.from)? == SenderClass::Owner)
}
