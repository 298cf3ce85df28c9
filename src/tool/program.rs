//! Executables in `tools/`: `tools/weather` (or `weather.py`) with `tools/weather.json` beside it, which
//! says what a model is told of it. Arguments come as JSON on stdin, the result goes out on stdout; any exit
//! code but 0 is told as a failure, with what it complained.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::ToolSpec;
use crate::core::text::data_mark;
use crate::core::tool::{self, Approve, Class};
use crate::store::fs::unreadable;
use crate::store::workspace::Workspace;
use crate::tool::{ToolContext, sandboxed};
use jiff::SignedDuration;
use rustix::fs::Access;
use serde::Deserialize;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// The folder's name in a workspace.
pub const FOLDER: &str = "tools";
/// The largest description of a tool, in bytes.
const MAX_MANIFEST: u64 = 64 << 10;

/// `tools/<name>.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    description: String,
    parameters: Value,
    /// What may be done about a call that was begun and has no result.
    #[serde(default = "acts")]
    class: Class,
    #[serde(default)]
    timeout: Option<SignedDuration>,
    #[serde(default)]
    approve: Approve,
    #[serde(default)]
    network: Option<bool>,
}

fn acts() -> Class {
    Class::Acts
}

/// An executable that is a tool.
#[derive(Clone, Debug)]
pub struct ToolProgram {
    /// What a model is told of it.
    pub spec: ToolSpec,
    /// What may be done about a call that was begun and has no result.
    pub class: Class,
    /// Whether the owner is asked, whatever the agent's file says.
    pub approve: Approve,
    pub(super) path: PathBuf,
    pub(super) timeout: Option<SignedDuration>,
    pub(super) network: Option<bool>,
}

/// The executables in `tools/`, by name, each with its description; and what is wrong with the others.
///
/// # Errors
/// Where the machine cannot read them.
pub fn all(workspace: &Workspace) -> Result<(Vec<ToolProgram>, Vec<Fault>)> {
    let dir = workspace.path(FOLDER);
    let paths: Vec<PathBuf> = workspace.names(FOLDER)?.iter().map(|name| dir.join(name)).collect();
    let mut programs = Vec::new();
    let mut faults = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|e| e == "json")) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let is_it = |other: &&PathBuf| other.file_stem() == path.file_stem() && *other != path && other.is_file();
        let is_executable = |other: &&PathBuf| rustix::fs::access(*other, Access::EXEC_OK).is_ok();
        match paths.iter().filter(is_it).find(is_executable) {
            None => {
                let what = format!("{FOLDER}/{name}.json: there is no executable `{name}` beside it");
                faults.push(Fault::config(what));
            }
            Some(program) => match read(&name, path, program) {
                Ok(program) => programs.push(program),
                Err(fault) if fault.kind == Kind::Machine => return Err(fault),
                Err(fault) => faults.push(Fault::config(format!("{FOLDER}/{name}.json: {}", fault.message))),
            },
        }
    }
    Ok((programs, faults))
}

fn read(name: &str, manifest: &std::path::Path, program: &std::path::Path) -> Result<ToolProgram> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if name.len() > 64 || !name.bytes().all(fits) {
        return Err(Fault::config("a tool's name is at most 64 of A-Z a-z 0-9 _ -"));
    }
    let size = fs::metadata(manifest).map_or(0, |meta| meta.len());
    if size > MAX_MANIFEST {
        return Err(Fault::config(format!("{size} bytes are more than the {MAX_MANIFEST} it may have")));
    }
    let text = fs::read(manifest).map_err(|e| unreadable("it", manifest, &e))?;
    let read: Manifest = serde_json::from_slice(&text).map_err(|e| Fault::config(e.to_string()))?;
    if read.parameters.get("type").and_then(Value::as_str) != Some("object") {
        return Err(Fault::config("`parameters` is no JSON Schema of type object"));
    }
    Ok(ToolProgram {
        spec: ToolSpec { name: name.to_owned(), description: read.description, parameters: read.parameters },
        class: read.class,
        approve: read.approve,
        path: program.to_path_buf(),
        timeout: read.timeout,
        network: read.network,
    })
}

/// Runs it with these arguments.
pub(super) fn run(program: &ToolProgram, context: &ToolContext, arguments: &Value) -> Result<String> {
    tool::arguments::<serde_json::Map<String, Value>>(arguments)?;
    let command = [program.path.display().to_string()];
    let input = arguments.to_string().into_bytes();
    let job = sandboxed::SandboxedRun { command: &command, input, timeout: program.timeout, network: program.network };
    let ended = sandboxed::run(context, job)?.completed()?;
    let told = String::from_utf8_lossy(&ended.stdout).trim_end().to_owned();
    if ended.code != 0 {
        let complaint = if ended.last_error_line().is_empty() { &told } else { ended.last_error_line() };
        return Err(Fault::new(Kind::Failed, format!("exit {}: {complaint}", ended.code)));
    }
    Ok(match told.as_str() {
        "" => "(it ended well and said nothing)".to_owned(),
        // It may tell what others have written.
        _ if program.network == Some(true) => {
            data_mark::mark(&program.spec.name, &told, context.workspace.world.random())
        }
        _ => told,
    })
}
