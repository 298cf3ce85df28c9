//! A trial of the sandbox: a program of an agent attempts what it must not be able to do.

use crate::core::config::SandboxMode;
use crate::core::definition::Agent;
use crate::core::fault::Result;
use crate::process::sandbox::Sandbox;
use crate::process::{self, Invocation};
use crate::store::agent::access::Access;
use crate::store::workspace::Workspace;
use std::time::Duration;

/// The longest trial.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Each line that the script prints is a thing that the program could do, or `namespaces` if it has its own: then its
/// parent is process 1. It changes nothing, also where it may.
const SCRIPT: &str = r#"exec 2>/dev/null
( : <claw.yaml ) && echo "read claw.yaml"
( : >>claw.yaml ) && echo "write claw.yaml"
[ -n "$1" ] && ( : <"$1" ) && echo "read your home"
if [ $PPID = 1 ]; then echo namespaces; else kill -0 $PPID && echo "signal processes outside"; fi
( exec 3<>/dev/udp/127.0.0.1/9 ) && echo "use the network"
true
"#;
/// The line of the network, which is no leak where the network is allowed.
const NETWORK: &str = "use the network";
/// The line of namespaces, which are no leak.
const NAMESPACES: &str = "namespaces";

/// The result of a trial.
#[derive(Debug, PartialEq, Eq)]
pub struct Trial {
    /// Things that the program could do although the sandbox forbids them.
    pub leaks: Vec<String>,
    /// Whether the settings allow the network.
    pub network: bool,
    /// Whether other files and processes are absent for the program, not only closed.
    pub is_namespaced: bool,
}

/// Runs the trial for an agent with the settings in force; `None` where the sandbox is off.
///
/// # Errors
/// If the program cannot be run, because the kernel lacks the sandbox or there is no bash.
pub fn run(workspace: &Workspace, agent: &Agent) -> Result<Option<Trial>> {
    let settings = &workspace.config()?.sandbox;
    if settings.mode == SandboxMode::Off {
        return Ok(None);
    }
    let network = agent.network.unwrap_or(settings.network);
    let access = Access::of(workspace, agent)?;
    let sandbox = Sandbox {
        read: access.read,
        write: access.write,
        list: vec![access.root.clone()],
        private: access.private,
        network,
        is_required: settings.mode == SandboxMode::Require,
    };
    let home = workspace.world.var("HOME").map(std::path::PathBuf::from).and_then(|home| home.canonicalize().ok());
    // A home that is the workspace, or `/`, may be listed.
    let home = home.filter(|home| *home != access.root && home.parent().is_some());
    let home = home.map_or_else(String::new, |home| home.display().to_string());
    let command = ["bash", "-c", SCRIPT, "bash", &home].map(ToOwned::to_owned);
    let path = workspace.world.var("PATH").unwrap_or_default().to_owned();
    let ended = process::run(Invocation {
        command: &command,
        dir: &workspace.root,
        env: &[("PATH", path)],
        inherits: false,
        sandbox: Some(&sandbox),
        input: Vec::new(),
        timeout: TIMEOUT,
        max_output: 4 << 10,
        locks: Vec::new(),
        stop: None,
    })?
    .completed()?;
    let done = String::from_utf8_lossy(&ended.stdout);
    let is_allowed = |line: &str| line == NAMESPACES || (network && line == NETWORK);
    let leaks = done.lines().filter(|line| !is_allowed(line)).map(ToOwned::to_owned).collect();
    let is_namespaced = done.lines().any(|line| line == NAMESPACES);
    Ok(Some(Trial { leaks, network, is_namespaced }))
}
