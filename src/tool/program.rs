//! Tools that are programs: an executable `tools/weather` (or `weather.py`) with a manifest `tools/weather.json`
//! beside it, which holds the description for models.
//!
//! The program gets the arguments as JSON on stdin and prints the result on stdout. Any exit code other than 0 is a
//! failure, reported with the program's stderr, or its stdout where stderr is empty.

use crate::core::definition::Agent;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::ToolSpec;
use crate::core::tool::{self, Approve, Class};
use crate::store::fs::unreadable;
use crate::store::workspace::Workspace;
use crate::tool::{Tool, ToolContext, sandboxed};
use jiff::SignedDuration;
use rustix::fs::Access;
use serde::Deserialize;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the programs, in the workspace.
pub const FOLDER: &str = "tools";
/// The largest manifest, in bytes.
const MAX_MANIFEST: u64 = 64 << 10;

/// `tools/<name>.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    description: String,
    parameters: Value,
    /// Whether a call that was begun and has no result may be run again.
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

/// A program in `tools/` with its manifest.
#[derive(Clone, Debug)]
pub struct ToolProgram {
    /// Name, description and parameters, as sent to the model.
    pub spec: ToolSpec,
    /// Whether a call that was begun and has no result may be run again.
    pub class: Class,
    /// The calls that need the owner's approval. A rule in the agent's file replaces this one, but `approve: false`
    /// there does not.
    pub approve: Approve,
    path: PathBuf,
    timeout: Option<SignedDuration>,
    network: Option<bool>,
}

/// The programs that `agent` may use, by name. Problems of manifests are printed.
pub(super) fn offer(workspace: &Workspace, agent: &Agent) -> Result<Vec<Tool>> {
    let (programs, faults) = all(workspace)?;
    for fault in faults {
        workspace.world.say(&fault.to_string());
    }
    let granted = programs.into_iter().filter_map(|program| {
        let approve = agent.tools.approve(&program.spec.name)?;
        let approve = if approve == Approve::default() { program.approve.clone() } else { approve };
        Some(Tool {
            spec: program.spec.clone(),
            class: program.class,
            approve,
            run: Box::new(move |context, arguments| run(&program, context, arguments)),
        })
    });
    Ok(granted.collect())
}

/// The programs in `tools/` that have a valid manifest, by name, and the problems of the other manifests.
///
/// # Errors
/// `Machine` where the folder or a file in it cannot be read.
pub fn all(workspace: &Workspace) -> Result<(Vec<ToolProgram>, Vec<Fault>)> {
    let dir = workspace.path(FOLDER);
    let paths: Vec<PathBuf> = workspace.names(FOLDER)?.iter().map(|name| dir.join(name)).collect();
    let mut programs = Vec::new();
    let mut faults = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|e| e == "json")) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let is_beside = |other: &&PathBuf| other.file_stem() == path.file_stem() && *other != path && other.is_file();
        let is_executable = |other: &&PathBuf| rustix::fs::access(*other, Access::EXEC_OK).is_ok();
        match paths.iter().filter(is_beside).find(is_executable) {
            None => {
                let message = format!("{FOLDER}/{name}.json: there is no executable `{name}` beside it");
                faults.push(Fault::config(message));
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

fn read(name: &str, manifest: &Path, program: &Path) -> Result<ToolProgram> {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if name.len() > 64 || !name.bytes().all(is_allowed) {
        return Err(Fault::config("a tool's name is at most 64 of A-Z a-z 0-9 _ -"));
    }
    let size = fs::metadata(manifest).map_or(0, |meta| meta.len());
    if size > MAX_MANIFEST {
        return Err(Fault::config(format!("it has {size} bytes; at most {MAX_MANIFEST} are allowed")));
    }
    let text = fs::read(manifest).map_err(|e| unreadable("it", manifest, &e))?;
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let read: Manifest = serde_json::from_slice(text).map_err(|e| Fault::config(e.to_string()))?;
    if read.parameters.get("type").and_then(Value::as_str) != Some("object") {
        return Err(Fault::config("`parameters` is not a JSON Schema of type object"));
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

fn run(program: &ToolProgram, context: &ToolContext, arguments: &Value) -> Result<String> {
    tool::arguments::<serde_json::Map<String, Value>>(arguments)?;
    let command = [program.path.display().to_string()];
    let input = arguments.to_string().into_bytes();
    let job = sandboxed::SandboxedRun { command: &command, input, timeout: program.timeout, network: program.network };
    let ended = sandboxed::run(context, job)?.completed()?;
    // A program with network access may return text of strangers, in its errors too.
    let has_network = program.network.map_or_else(|| sandboxed::network(context), Ok)?;
    if has_network {
        context.add_taint("tool", &program.spec.name);
    }
    let output = String::from_utf8_lossy(&ended.stdout).trim_end().to_owned();
    if ended.code != 0 {
        let complaint = if ended.last_error_line().is_empty() { &output } else { ended.last_error_line() };
        return Err(Fault::new(Kind::Failed, format!("exit {}: {complaint}", ended.code)));
    }
    Ok(match output.as_str() {
        "" => "(success, no output)".to_owned(),
        _ if has_network => context.mark_outside("tool", &program.spec.name, &output),
        _ => context.mark_noted(output),
    })
}
