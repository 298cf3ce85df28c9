//! Shared by `list` and `search`: the time limit of a walk, and paths in results.

use crate::core::fault::{Fault, Kind};
use crate::tool::ToolContext;
use std::path::Path;
use std::time::{Duration, Instant};

/// Time limit of a walk; the turn's deadline limits it further.
const MAX_TIME: Duration = Duration::from_secs(10);

pub(super) fn deadline(context: &ToolContext) -> Instant {
    context.until.min(Instant::now() + MAX_TIME)
}

/// A path on one line: control characters are escaped.
pub(super) fn plain(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.chars().any(char::is_control) { text.escape_debug().to_string() } else { text.into_owned() }
}

pub(super) fn failed(shown: &str, error: &std::io::Error) -> Fault {
    Fault::new(Kind::Failed, format!("cannot read {shown}: {error}"))
}
