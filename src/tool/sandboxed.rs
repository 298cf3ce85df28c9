//! Runs a program of an agent: in the sandbox, with a clean environment and a temporary folder of its own.

use crate::core::config::SandboxMode;
use crate::core::definition::GUARDED;
use crate::core::fault::Result;
use crate::core::memory::change::ChangeAuthor;
use crate::process::sandbox::Sandbox;
use crate::process::{self, ProgramOutput};
use crate::store::agent::access::Access;
use crate::store::agent::{repositories, scratch};
use crate::store::memory::history;
use crate::tool::ToolContext;
use jiff::SignedDuration;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The default time limit.
const TIMEOUT: Duration = Duration::from_mins(2);
/// The longest search after a program for repositories that it has made dangerous; `claw check` searches everything.
const MAX_SEARCH: Duration = Duration::from_millis(50);
/// The most output, in bytes.
const MAX_OUTPUT: u64 = 4 << 20;
/// The variables of claw's own environment that a program gets; none of them holds a secret.
const INHERITED: [&str; 8] = ["LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LOGNAME", "TZ", "USER"];
/// The default `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// System folders, which every program may read; other folders stay in `PATH` only if the agent may read them.
const SYSTEM: [&str; 5] = ["/usr", "/bin", "/sbin", "/opt", "/nix/store"];

/// A program to run.
pub(super) struct SandboxedRun<'a> {
    /// The program and its arguments.
    pub(super) command: &'a [String],
    /// Its stdin.
    pub(super) input: Vec<u8>,
    /// Its time limit; the turn's deadline limits it further. `None`: 2 minutes.
    pub(super) timeout: Option<SignedDuration>,
    /// Whether it has network access; `None` leaves that to the agent's file and `claw.yaml`.
    pub(super) network: Option<bool>,
}

/// Whether the agent's programs have network access by default: its own setting, or that of `claw.yaml`.
pub(super) fn network(context: &ToolContext) -> Result<bool> {
    Ok(match context.agent.network {
        Some(network) => network,
        None => context.workspace.config()?.sandbox.network,
    })
}

/// Runs the program to its end. None of its child processes survives it.
pub(super) fn run(context: &ToolContext, job: SandboxedRun) -> Result<ProgramOutput> {
    let workspace = context.workspace;
    let mode = workspace.config()?.sandbox.mode;
    let mut access = Access::of(workspace, context.agent)?;
    let scratch = scratch::make(workspace, &context.lane.name, context.number)?;
    let scratch = std::fs::canonicalize(&scratch).unwrap_or(scratch);
    let begun =
        std::fs::symlink_metadata(&scratch).map(|meta| repositories::change_time(meta.ctime(), meta.ctime_nsec())).ok();
    let env = environment(context, &access, &scratch);
    // These folders are changed with the file tools, which record the author.
    let is_open = |name: &&str| context.agent.shell_write.iter().any(|open| open == name);
    let closed: Vec<PathBuf> =
        GUARDED.into_iter().filter(|name| !is_open(name)).map(|name| access.guarded(name)).collect();
    access.write.retain(|path| !closed.iter().any(|folder| path.starts_with(folder)));
    let (root, written) = (access.root.clone(), access.write.clone());
    access.write.push(scratch.clone());
    let sandbox = Sandbox {
        read: access.read,
        write: access.write,
        list: vec![access.root],
        private: access.private,
        network: job.network.map_or_else(|| network(context), Ok)?,
        is_required: mode == SandboxMode::Require,
    };
    let timeout = job.timeout.and_then(|t| Duration::try_from(t).ok()).unwrap_or(TIMEOUT);
    let timeout = timeout.min(context.until.saturating_duration_since(Instant::now()));
    let run = || {
        process::run(process::Invocation {
            command: job.command,
            dir: &workspace.root,
            env: &env,
            inherits: false,
            sandbox: (mode != SandboxMode::Off).then_some(&sandbox),
            input: job.input,
            timeout,
            max_output: MAX_OUTPUT,
            locks: context.lane.share()?,
            stop: context.stop,
        })
    };
    let writes_memories = mode == SandboxMode::Off || is_open(&GUARDED[0]);
    let mut output = if writes_memories { recorded(context, job.command, timeout, run)? } else { run()? };
    for problem in repositories::search(&root, &written, Instant::now() + MAX_SEARCH, begun).found {
        workspace.world.say(&format!("a program of {} wrote {problem}", context.agent.id));
        output.stderr.push_str(&format!("\nclaw: {problem}\n"));
    }
    Ok(output)
}

/// Runs a program that can write below `memories/`; its changes there are committed as the agent's.
fn recorded(
    context: &ToolContext,
    command: &[String],
    timeout: Duration,
    run: impl FnOnce() -> Result<ProgramOutput>,
) -> Result<ProgramOutput> {
    let author = ChangeAuthor { by_shell: true, ..context.author() };
    let subject = format!("shell: {}", command.last().map(String::as_str).unwrap_or_default());
    let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
    let until = context.workspace.world.now().plus_seconds(seconds.saturating_add(1)).timestamp();
    history::during(context.workspace, &author, &subject, until, run)
}

/// The program's environment: no keys, and no variable that leads to a service of the owner's.
fn environment(context: &ToolContext, access: &Access, scratch: &Path) -> Vec<(&'static str, String)> {
    let world = &context.workspace.world;
    let is_readable = |dir: &&str| {
        let dir = Path::new(dir);
        SYSTEM.iter().any(|system| dir.starts_with(system)) || access.readable_root(dir).is_some()
    };
    let path: Vec<&str> = world.var("PATH").unwrap_or(PATH).split(':').filter(is_readable).collect();
    let scratch = scratch.display().to_string();
    let mut env: Vec<(&str, String)> =
        INHERITED.into_iter().filter_map(|name| Some((name, world.var(name)?.to_owned()))).collect();
    env.extend([
        ("CLAW_WORKSPACE", context.workspace.root.display().to_string()),
        ("HOME", scratch.clone()),
        ("PATH", if path.is_empty() { PATH.to_owned() } else { path.join(":") }),
        ("TERM", "dumb".to_owned()),
        ("TMPDIR", scratch),
    ]);
    env
}
