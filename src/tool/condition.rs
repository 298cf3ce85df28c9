//! The `if` of a scheduled job: a command in the agent's sandbox that decides whether the agent is asked.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::memory::note_mark;
use crate::core::text::data_mark;
use crate::tool::{ToolContext, sandboxed};

/// The longest output that the agent gets, in bytes.
const MAX_OUTPUT: usize = 64 << 10;

/// Runs the command. Returns its output between marks, or `None` if there is nothing to do.
///
/// # Errors
/// `Failed` if it ends in another way than with exit code 0 or 1.
pub fn run(context: &ToolContext, command: &str) -> Result<Option<String>> {
    let command = ["bash".to_owned(), "-c".to_owned(), command.to_owned()];
    let job = sandboxed::SandboxedRun { command: &command, input: Vec::new(), timeout: None, network: None };
    let ended = sandboxed::run(context, job)?;
    let failed = |why: String| Fault::new(Kind::Failed, format!("the command in `if` {why}"));
    if let Some(fault) = ended.aborted {
        return Err(failed(format!("did not end by itself: {}", fault.message)));
    }
    let output = String::from_utf8_lossy(&ended.stdout);
    context.inherit_taint(note_mark::source_in(&output).as_ref());
    match ended.code {
        0 if output.trim().is_empty() => Ok(Some(String::new())),
        0 if sandboxed::network(context)? => Ok(Some(shorten(&context.mark_outside("tool", "if", output.trim_end())))),
        0 => Ok(Some(shorten(&data_mark::mark("if", output.trim_end(), context.workspace.world.random())))),
        1 => Ok(None),
        code => {
            let line = ended.stderr.trim().lines().last().unwrap_or_default().to_owned();
            Err(failed(format!("ended with exit code {code}{}{line}", if line.is_empty() { "" } else { ": " })))
        }
    }
}

fn shorten(text: &str) -> String {
    data_mark::shorten(text, MAX_OUTPUT)
}
