//! Changing `claw.yaml` on the owner's command: the difference is shown, and then written.

use crate::command::terminal::{dialog, out};
use crate::core::config::FILE;
use crate::core::fault::Result;
use crate::core::text::line_diff;
use crate::store::workspace::{Workspace, settings_file};

/// The most lines of a difference.
const MAX_LINES: usize = 200;

/// Prints the difference of two versions of the file on stderr; values of keys are not shown.
pub(crate) fn show(old: &str, new: &str) {
    out::stderr_line(&format!("{FILE}:"));
    for line in line_diff::lines(old, new, MAX_LINES) {
        out::stderr_line(&format!("  {}", hidden(&line)));
    }
}

/// Shows the difference and writes the new text.
///
/// # Errors
/// `Config` if the new text is invalid; as [`settings_file::replace`].
pub(crate) fn write(workspace: &Workspace, old: &str, new: &str) -> Result<()> {
    if confirm(old, new, false)? { settings_file::replace(workspace, old, new) } else { Ok(()) }
}

/// Shows the difference, and asks whether it is wanted if `asks`. False if nothing is to be written: the texts are the
/// same, or the user does not want it.
///
/// # Errors
/// `Config` if the new text is invalid; if the terminal cannot be read.
pub(crate) fn confirm(old: &str, new: &str, asks: bool) -> Result<bool> {
    if old == new {
        out::message(&format!("{FILE} needs no change"));
        return Ok(false);
    }
    settings_file::check(new)?;
    show(old, new);
    Ok(!asks || dialog::yes(&format!("Write this to {FILE}?"), true)?)
}

/// The line without the value of `api_key`.
fn hidden(line: &str) -> String {
    match line.split_once("api_key:") {
        Some((before, _)) => format!("{before}api_key: [hidden]"),
        None => line.to_owned(),
    }
}
