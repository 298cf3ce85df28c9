//! What a program of an agent is run in: its walls, a clean environment, a temporary folder of its own.

use crate::core::config::SandboxMode;
use crate::core::fault::Result;
use crate::process::sandbox::Sandbox;
use crate::process::{self, ProgramOutput};
use crate::store::agent::access::Access;
use crate::store::agent::scratch;
use crate::tool::ToolContext;
use jiff::SignedDuration;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a program may run where nobody says.
const TIMEOUT: Duration = Duration::from_mins(2);
/// How much a program may write, in bytes.
const MAX_OUTPUT: u64 = 4 << 20;
/// What of our own environment a program is told: nothing in it is a secret.
const KEPT: [&str; 8] = ["LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LOGNAME", "TZ", "USER"];
/// Where programs are looked for where the environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where every program may look.
const SYSTEM: [&str; 5] = ["/usr", "/bin", "/sbin", "/opt", "/nix/store"];

/// A program that an agent runs.
pub(super) struct SandboxedRun<'a> {
    /// The program and its arguments.
    pub(super) command: &'a [String],
    /// What it reads.
    pub(super) input: Vec<u8>,
    /// How long it may run; never longer than the turn.
    pub(super) timeout: Option<SignedDuration>,
    /// Whether it reaches the network, where the tool itself says so.
    pub(super) network: Option<bool>,
}

/// Whether programs of this scene reach the network, where the tool does not say.
pub(super) fn network(context: &ToolContext) -> Result<bool> {
    Ok(match context.agent.network {
        Some(network) => network,
        None => context.workspace.config()?.sandbox.network,
    })
}

/// Runs it, and leaves nothing of it but what it was asked for.
pub(super) fn run(context: &ToolContext, job: SandboxedRun) -> Result<ProgramOutput> {
    let workspace = context.workspace;
    let mode = workspace.config()?.sandbox.mode;
    let mut reach = Access::of(workspace, context.agent)?;
    let scratch = scratch::make(workspace, &context.lane.name, context.number)?;
    let scratch = std::fs::canonicalize(&scratch).unwrap_or(scratch);
    let env = environment(context, &reach, &scratch);
    reach.write.push(scratch.clone());
    let sandbox = Sandbox {
        read: reach.read,
        write: reach.write,
        list: vec![reach.root],
        private: reach.private,
        network: job.network.map_or_else(|| network(context), Ok)?,
        is_required: mode == SandboxMode::Require,
    };
    let timeout = job.timeout.and_then(|t| Duration::try_from(t).ok()).unwrap_or(TIMEOUT);
    process::run(process::Invocation {
        command: job.command,
        dir: &workspace.root,
        env: &env,
        inherits: false,
        sandbox: (mode != SandboxMode::Off).then_some(&sandbox),
        input: job.input,
        timeout: timeout.min(context.until.saturating_duration_since(Instant::now())),
        max_output: MAX_OUTPUT,
        locks: context.lane.share()?,
        stop: context.stop,
    })
}

/// Without keys, and without what leads to services of the owner's.
fn environment(context: &ToolContext, reach: &Access, scratch: &Path) -> Vec<(&'static str, String)> {
    let world = &context.workspace.world;
    let is_open = |dir: &&str| {
        let dir = Path::new(dir);
        SYSTEM.iter().any(|system| dir.starts_with(system)) || reach.readable_root(dir).is_some()
    };
    let path: Vec<&str> = world.var("PATH").unwrap_or(PATH).split(':').filter(is_open).collect();
    let scratch = scratch.display().to_string();
    let mut env: Vec<(&str, String)> =
        KEPT.into_iter().filter_map(|name| Some((name, world.var(name)?.to_owned()))).collect();
    env.extend([
        ("CLAW_WORKSPACE", context.workspace.root.display().to_string()),
        ("HOME", scratch.clone()),
        ("PATH", if path.is_empty() { PATH.to_owned() } else { path.join(":") }),
        ("TERM", "dumb".to_owned()),
        ("TMPDIR", scratch),
    ]);
    env
}
