//! `move`: renames files within the folders that the agent may write. Nothing is replaced, and nothing is deleted:
//! removing a file is moving it to `files/trash/`.

use crate::core::fault::{Fault, Result};
use crate::core::tool::{self, Class};
use crate::store::agent::files::AgentFiles;
use crate::tool::ToolContext;
use crate::tool::builtin::{self, Builtin};
use crate::tool::files::{job_note, note_maker, recorded};
use crate::tool::memory::guard;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

/// The folder of removed files.
const TRASH: &str = "files/trash";

pub(in crate::tool) const MOVE: Builtin = Builtin {
    name: "move",
    class: Class::Acts,
    description: "Move or rename a file or a folder; missing parent folders are created, and nothing is replaced. To \
                  remove a file, leave out `to`: it goes to files/trash/, from where it can be moved back.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "from": {"type": "string", "description": "The file or folder, relative to the workspace."},
                "to": {"type": "string", "description": "Its new path. Default: a new name in files/trash/."},
            },
            "required": ["from"],
            "additionalProperties": false,
        })
    },
    run,
    offer: builtin::if_granted,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveArguments {
    from: String,
    to: Option<String>,
}

fn run(context: &ToolContext, arguments: &Value) -> Result<String> {
    let MoveArguments { from, to } = tool::arguments(arguments)?;
    let from = from.trim_end_matches('/').to_owned();
    let name = Path::new(&from).file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Fault::data(format!("{from:?} names no file")))?;
    let to = to.unwrap_or_else(|| format!("{TRASH}/{}-{:02}-{name}", context.event.id.short(), context.number));
    // A path with a slash at the end is a folder to move into.
    let to = if to.ends_with('/') { format!("{to}{name}") } else { to };
    let files = AgentFiles::of(context.workspace, context.agent)?;
    let targets = [files.target(&from)?, files.target(&to)?];
    let job = note_maker(context, &files, &to)?;
    recorded(context, "move", &targets, || {
        guard::for_move(context, &files, &from, &targets[1])?;
        files.rename(&from, &to)
    })?;
    Ok(format!("moved {from} to {to}{}", job_note(context, job)?))
}
