//! `bash`: runs a shell command in the workspace, in the sandbox of all agents' programs.

use crate::core::fault::{Fault, Result};
use crate::core::tool::{self, Class};
use crate::tool::builtin::{self, Builtin};
use crate::tool::{ToolContext, sandboxed};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

/// The longest timeout that a call may set, in seconds.
const MAX_SECONDS: u32 = 600;
/// The longest command, in bytes. The kernel limits one argument to 128 KiB.
const MAX_COMMAND: usize = 100 << 10;

pub(super) const BASH: Builtin = Builtin {
    name: tool::BASH,
    class: Class::Acts,
    description: "Run a command with bash in the workspace. It can write below files/ and in $TMPDIR; \
                  memories/, skills/ and crons/ are read-only, change them with write, edit and move; it sees no other files of the owner, no keys, and usually no network. All \
                  processes that it starts are killed when it ends. Long output is written to a file.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "command": {"type": "string", "description": "The command."},
                "timeout": {"type": "integer", "minimum": 1, "maximum": MAX_SECONDS, "description": "Time limit in seconds. Default: 120."},
            },
            "required": ["command"],
            "additionalProperties": false,
        })
    },
    run: bash,
    offer: builtin::if_granted,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BashArguments {
    command: String,
    timeout: Option<u32>,
}

fn bash(context: &ToolContext, arguments: &Value) -> Result<String> {
    let BashArguments { command, timeout } = tool::arguments(arguments)?;
    if command.trim().is_empty() {
        return Err(Fault::data("there is nothing to run: command is empty"));
    }
    if command.len() > MAX_COMMAND {
        return Err(Fault::data(format!("the command has more than {MAX_COMMAND} bytes: write it to a file first")));
    }
    let timeout = timeout.map(|seconds| SignedDuration::from_secs(seconds.clamp(1, MAX_SECONDS).into()));
    let command = ["bash".to_owned(), "-c".to_owned(), command];
    let job = sandboxed::SandboxedRun { command: &command, input: Vec::new(), timeout, network: None };
    let ended = sandboxed::run(context, job)?;
    let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), ended.stderr.trim_end());
    let mut parts = vec![stdout.trim_end().to_owned()];
    if !stderr.is_empty() {
        parts.push(format!("[stderr]\n{stderr}"));
    }
    match &ended.aborted {
        Some(fault) => parts.push(format!("[ended: {}]", fault.message)),
        None if ended.code != 0 => parts.push(format!("[exit code {}]", ended.code)),
        None => {}
    }
    parts.retain(|part| !part.is_empty());
    let output = if parts.is_empty() { "(no output)".to_owned() } else { parts.join("\n") };
    // Output of a command with network access may be text of strangers.
    let is_outside = sandboxed::network(context)?;
    Ok(if is_outside { context.mark_outside("tool", "bash", &output) } else { context.mark_noted(output) })
}
