//! `bash`: a line of shell, in the workspace, within the walls that keep every program of an agent.

use crate::core::fault::{Fault, Result};
use crate::core::text::data_mark;
use crate::core::tool::{self, Class};
use crate::tool::{Builtin, ToolContext, sandboxed};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

/// The longest time that a call may ask for, in seconds.
const MAX_SECONDS: u32 = 600;
/// The longest command, in bytes: the kernel takes no longer argument than 128 KiB.
const MAX_COMMAND: usize = 100 << 10;

pub(super) const BASH: Builtin = Builtin {
    name: tool::BASH,
    class: Class::Acts,
    description: "Run a command with bash in the workspace. It can write below files/, memories/, skills/ and crons/ \
                  and in $TMPDIR; it sees no other files of the owner, no keys, and usually no network. Nothing that \
                  it starts outlives it. Output beyond some kilobytes goes into a file.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "command": {"type": "string", "description": "What to run."},
                "timeout": {"type": "integer", "minimum": 1, "maximum": MAX_SECONDS, "description": "Seconds until it is ended, 120 if left out."},
            },
            "required": ["command"],
            "additionalProperties": false,
        })
    },
    run: bash,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    command: String,
    timeout: Option<u32>,
}

fn bash(context: &ToolContext, arguments: &Value) -> Result<String> {
    let args: Args = tool::arguments(arguments)?;
    if args.command.trim().is_empty() {
        return Err(Fault::data("there is nothing to run: command is empty"));
    }
    if args.command.len() > MAX_COMMAND {
        return Err(Fault::data(format!("the command has more than {MAX_COMMAND} bytes: write it into a file first")));
    }
    let timeout = args.timeout.map(|seconds| SignedDuration::from_secs(seconds.clamp(1, MAX_SECONDS).into()));
    let command = ["bash".to_owned(), "-c".to_owned(), args.command];
    let job = sandboxed::SandboxedRun { command: &command, input: Vec::new(), timeout, network: None };
    let ended = sandboxed::run(context, job)?;
    let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), ended.stderr.trim_end());
    let mut told = vec![stdout.trim_end().to_owned()];
    if !stderr.is_empty() {
        told.push(format!("[stderr]\n{stderr}"));
    }
    match &ended.aborted {
        Some(why) => told.push(format!("[ended: {}]", why.message)),
        None if ended.code != 0 => told.push(format!("[exit code {}]", ended.code)),
        None => {}
    }
    told.retain(|part| !part.is_empty());
    let told = if told.is_empty() { "(no output)".to_owned() } else { told.join("\n") };
    // What comes over a network is data, whatever it says.
    let is_outside = sandboxed::network(context)?;
    Ok(if is_outside { data_mark::mark("bash", &told, context.workspace.world.random()) } else { told })
}
