//! The user's text editor. It has the terminal, so it does not run under the watcher: it is the user's program, on the
//! user's file, and ends with the user.

use crate::core::fault::{Fault, Kind, Result};
use std::path::Path;
use std::process::Command;

/// Runs an editor on a file and waits for it. `editor` is a line of shell without the file, like `code --wait`.
///
/// # Errors
/// `Failed` if it cannot be run or ends with a failure.
pub fn edit(editor: &str, file: &Path) -> Result<()> {
    let line = format!("{editor} \"$1\"");
    let status = Command::new("sh").args(["-c", &line, editor]).arg(file).status();
    let status = status.map_err(|e| Fault::new(Kind::Failed, format!("cannot run the editor `{editor}`: {e}")))?;
    if status.success() {
        return Ok(());
    }
    let hint = "nothing was saved; set VISUAL or EDITOR to another editor";
    Err(Fault::new(Kind::Failed, format!("the editor `{editor}` has failed ({status})")).hint(hint))
}
