//! `bash`: a line of shell, in the workspace, within the walls that keep every program of an agent.

use crate::core::fault::{Fault, Result};
use crate::core::tool::{self, Class};
use crate::tool::{Built, Scene};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

/// The longest time that a call may ask for, in seconds.
const MAX_SECONDS: u32 = 600;

pub(super) const BASH: Built = Built {
    name: "bash",
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

fn bash(scene: &Scene, arguments: &Value) -> Result<String> {
    let args: Args = tool::arguments(arguments)?;
    if args.command.trim().is_empty() {
        return Err(Fault::data("there is nothing to run: command is empty"));
    }
    let timeout = args.timeout.map(|seconds| SignedDuration::from_secs(seconds.clamp(1, MAX_SECONDS).into()));
    let command = ["bash".to_owned(), "-c".to_owned(), args.command];
    let ended = scene.run(&command, Vec::new(), timeout, None)?;
    let mut told = String::from_utf8_lossy(&ended.stdout).trim_end().to_owned();
    let mut add = |line: &str| {
        if !told.is_empty() {
            told.push('\n');
        }
        told.push_str(line);
    };
    if !ended.complaint.is_empty() {
        add(&format!("[stderr] {}", ended.complaint));
    }
    match ended.code {
        0 => {}
        code => add(&format!("[exit code {code}]")),
    }
    if told.is_empty() { Ok("(no output)".to_owned()) } else { Ok(told) }
}
