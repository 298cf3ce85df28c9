//! The size and the characters of the terminal.

use crate::command::terminal::out;
use crate::world::World;

/// The columns of a terminal that does not say them.
const COLUMNS: usize = 80;

/// The columns of stdout: `COLUMNS`, else those of the terminal, else 80.
#[must_use]
pub(crate) fn columns(world: &World) -> usize {
    let named = world.var("COLUMNS").and_then(|text| text.parse().ok());
    named.or_else(out::columns).filter(|columns| *columns > 0).unwrap_or(COLUMNS)
}

/// Whether the locale is UTF-8, by the variables in their order of precedence (POSIX, 8.2).
#[must_use]
pub(crate) fn is_utf8(world: &World) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| world.var(name)).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}
