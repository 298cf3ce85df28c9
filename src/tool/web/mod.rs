//! The web: `websearch` asks the service that the owner has set up, `webread` fetches a page that an agent has
//! chosen. Whatever an agent can aim goes through the one guarded client; each tool is there only where it is
//! set up.

mod client;
mod names;
mod read;
mod search;

use crate::core::web_settings::Web;
use crate::tool::Built;

pub(super) use read::PAGE;

/// The tools, and whether they are set up.
pub(super) const TOOLS: &[(&Built, fn(&Web) -> bool)] =
    &[(&search::WEBSEARCH, |web| web.search.is_some()), (&read::WEBREAD, |web| web.read)];
