//! The owner's editor, on the owner's terminal. It is no program of an agent: it has neither sandbox nor watcher.

use crate::core::fault::{Fault, Kind, Result};
use signal_hook::consts::{SIGINT, SIGQUIT};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Opens `path` in `editor`, a command line for the shell as in `$EDITOR`, and waits until it ends.
///
/// # Errors
/// `Failed` if it cannot be run, or ends with a code other than 0.
pub fn edit(editor: &str, path: &Path) -> Result<()> {
    let failed = |why: String| Fault::new(Kind::Failed, format!("the editor `{editor}` {why}"));
    // Ctrl-C belongs to the editor, as long as it runs; its own handlers are the default ones again.
    let received = Arc::new(AtomicBool::new(false));
    let handlers: Vec<_> = [SIGINT, SIGQUIT]
        .iter()
        .filter_map(|signal| signal_hook::flag::register(*signal, Arc::clone(&received)).ok())
        .collect();
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$@\"")).arg(editor).arg(path).status();
    for handler in handlers {
        signal_hook::low_level::unregister(handler);
    }
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(format!("ended with {status}")).hint("set EDITOR to another one")),
        Err(e) => Err(failed(format!("cannot be run: {e}"))),
    }
}
