//! The owner's editor and pager, on the owner's terminal. They are no programs of an agent: they have neither sandbox nor
//! watcher.

use crate::core::fault::{Fault, Kind, Result};
use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGQUIT};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Ctrl-C belongs to the program on the terminal while this exists; in that program its effect is the usual one.
struct IgnoredSignals(Vec<SigId>);

impl IgnoredSignals {
    fn begin() -> Self {
        let received = Arc::new(AtomicBool::new(false));
        let register = |signal: &i32| signal_hook::flag::register(*signal, Arc::clone(&received)).ok();
        Self([SIGINT, SIGQUIT].iter().filter_map(register).collect())
    }
}

impl Drop for IgnoredSignals {
    fn drop(&mut self) {
        for handler in self.0.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}

/// Opens `path` in `editor`, a command line for the shell as in `$EDITOR`, and waits until it ends.
///
/// # Errors
/// `Failed` if it cannot be run, or ends with a code other than 0.
pub fn edit(editor: &str, path: &Path) -> Result<()> {
    let failed = |why: String| Fault::new(Kind::Failed, format!("the editor `{editor}` {why}"));
    let _signals = IgnoredSignals::begin();
    match Command::new("sh").arg("-c").arg(format!("{editor} \"$@\"")).arg(editor).arg(path).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            Err(failed(format!("ended with {status}"))
                .hint("nothing was saved; $VISUAL or $EDITOR names another editor"))
        }
        Err(e) => Err(failed(format!("cannot be run: {e}"))),
    }
}

/// Shows a text in `pager`, a command line for the shell as in `$PAGER`, and waits until it ends. Returns whether it could
/// be run.
#[must_use]
pub fn page(pager: &str, text: &str) -> bool {
    let _signals = IgnoredSignals::begin();
    let child = Command::new("sh").arg("-c").arg(pager).env("LESS", "FRX").stdin(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return false };
    // A pager that was left early reads no more.
    drop(child.stdin.take().map(|mut input| input.write_all(text.as_bytes())));
    // 126 and 127: the shell found no such program.
    child.wait().is_ok_and(|status| !matches!(status.code(), Some(126 | 127)))
}
