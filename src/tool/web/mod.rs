//! Web tools: `websearch` queries the search service that the owner has set up; `webread` fetches a page that an
//! agent has chosen. Every URL that an agent can choose goes through the guarded client in `client.rs`. Each tool is
//! offered only where `claw.yaml` enables it.

mod client;
mod names;
mod read;
mod search;

use crate::tool::builtin::Builtin;

pub(super) use read::PAGE;

pub(super) const TOOLS: &[&Builtin] = &[&search::WEBSEARCH, &read::WEBREAD];
