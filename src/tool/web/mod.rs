//! The web: `websearch` asks the service that the owner has set up, `webread` fetches a page that an agent has
//! chosen. Whatever an agent can aim goes through the one guarded client; each tool is there only where it is
//! set up.

mod client;
mod names;
mod read;
mod search;

use crate::core::web::settings::Web;
use crate::tool::Builtin;

pub(super) use read::PAGE;

/// A tool, and whether it is set up.
pub(super) struct Offer {
    pub(super) built: &'static Builtin,
    pub(super) is_set_up: fn(&Web) -> bool,
}

pub(super) const OFFERS: &[Offer] = &[
    Offer { built: &search::WEBSEARCH, is_set_up: |web| web.search.is_some() },
    Offer { built: &read::WEBREAD, is_set_up: |web| web.read },
];
