//! A workspace in a temporary folder, and the real binary in it.
#![allow(dead_code, reason = "every test binary uses its own part of this")]

pub mod checker;
pub mod conformance;
pub mod findings;
pub mod hanging;
pub mod image;
pub mod peer;
pub mod proof;
pub mod recorder;
pub mod scenes;
pub mod servers;
pub mod strict;
pub mod sweep;
pub mod telegram;
pub mod template;
pub mod terminal;
pub mod tracer;
pub mod window;

use assert_cmd::cargo::CommandCargoExt;
use claw::core::event::id::Id;
use claw::core::event::stamp::Stamp;
use claw::store::workspace::Workspace;
use claw::world::World;
use notify::Watcher;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT};
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Once, OnceLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use template::Template;

/// A fresh workspace, as `claw init` makes it, with a home of its own. `sync: none`, because these tests kill
/// programs, not the machine.
pub struct Fixture {
    pub dir: TempDir,
    pub root: PathBuf,
}

/// The state of a lock.
#[derive(Clone, Copy)]
pub enum Locked {
    Held,
    WaitedFor,
}

/// Exit code and output of a run.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Fixture {
    pub fn new() -> Self {
        static TEMPLATE: OnceLock<Template> = OnceLock::new();
        let fixture = Self::empty();
        TEMPLATE.get_or_init(|| Template::of(&Self::made())).write(&fixture);
        fixture
    }

    /// The same, made anew.
    fn made() -> Self {
        let fixture = Self::empty();
        fixture.claw(&["init", "."]).ok();
        fixture.config("sync: none\n");
        // Tests set jobs and `tools` themselves.
        fs::remove_dir_all(fixture.path("crons/tidy")).unwrap();
        for agent in ["pickle", "cookie"] {
            let file = format!("agents/{agent}/AGENT.md");
            let text = fixture.read(&file);
            let (before, rest) = text.split_once("tools: ").unwrap();
            fixture.write(&file, &format!("{before}{}", rest.split_once('\n').unwrap().1));
        }
        fixture
    }

    /// A folder that is not a workspace.
    pub fn empty() -> Self {
        let dir = TempDir::new().unwrap();
        let root = dir.path().join("ws");
        fs::create_dir(&root).unwrap();
        Self { root: root.canonicalize().unwrap(), dir }
    }

    /// Appends lines to `claw.yaml`.
    pub fn config(&self, lines: &str) {
        let text = fs::read_to_string(self.root.join("claw.yaml")).unwrap();
        fs::write(self.root.join("claw.yaml"), format!("{text}\n{lines}")).unwrap();
    }

    /// Makes `model: NAME` the model, with these lines below `models:`.
    pub fn model(&self, name: &str, fields: &str) {
        let text = fs::read_to_string(self.root.join("claw.yaml")).unwrap();
        let text = text.replace("model: offline\n", &format!("model: {name}\nmodels:\n  {name}: {{{fields}}}\n"));
        fs::write(self.root.join("claw.yaml"), text).unwrap();
    }

    /// Replaces a program of the settings, and trusts it like the first one.
    pub fn replace_program(&self, file: &str, text: &str) {
        self.write(file, text);
        self.claw(&["trust"]).ok();
    }

    /// The binary, in the workspace, with an environment of its own.
    pub fn command(&self, arguments: &[&str]) -> Command {
        static ONCE: Once = Once::new();
        ONCE.call_once(unignore_signals);
        let mut command = Command::cargo_bin("claw").unwrap();
        command.args(arguments).current_dir(&self.root).env_clear();
        command.env("HOME", self.dir.path()).env("USER", "ann").env("TZ", "UTC");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("OLLAMA_HOST", "127.0.0.1:1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn claw(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs with this on stdin.
    pub fn piped(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap().into()
    }

    /// Runs a line of shell in the workspace, with `claw` on the path.
    pub fn shell(&self, line: &str) -> Ran {
        self.shell_command(line).output().unwrap().into()
    }

    pub fn shell_command(&self, line: &str) -> Command {
        let command = self.command(&[]);
        let program = command.get_program().to_owned();
        let bin = Path::new(&program).parent().unwrap().to_path_buf();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut paths = vec![bin];
        paths.extend(std::env::split_paths(&path));
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(&self.root).env_clear();
        for (key, value) in command.get_envs() {
            if let Some(value) = value {
                shell.env(key, value);
            }
        }
        shell.env("PATH", std::env::join_paths(paths).unwrap());
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        shell
    }

    /// Runs a script as root of a namespace of its own, after `mount`; `None` if that is not permitted.
    pub fn mounted(&self, mount: &str, script: &str) -> Option<Ran> {
        let inner = format!("{{ {mount}; }} || exit 99\ncd \"$PWD\"\n{script}");
        self.write("../script", &inner);
        let ran = self.shell("unshare -rm sh ../script");
        if ran.code == 99 || ran.err.contains("unshare") {
            skipped("this system lets nobody mount in a namespace of one's own");
            return None;
        }
        Some(ran)
    }

    /// Starts `claw supervise` and returns after its first message.
    pub fn supervise(&self, stages: &[&str]) -> Supervisor {
        let mut arguments = vec!["supervise"];
        arguments.extend(stages);
        Supervisor::started(self.command(&arguments))
    }

    /// Writes the file of `CLAW_CLOCK`, which shifts the clock by this number of seconds; returns its path.
    pub fn set_clock(&self, seconds: i64) -> PathBuf {
        let path = self.dir.path().join("clock");
        fs::write(path.with_extension("tmp"), format!("{seconds:+}s\n")).unwrap();
        fs::rename(path.with_extension("tmp"), &path).unwrap();
        path
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    pub fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap()
    }

    /// The names in a folder, sorted; empty if the folder does not exist.
    pub fn list(&self, relative: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(relative)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|e| e.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The file names of all events that are done in a mailbox, over all days.
    pub fn done(&self, mailbox: &str) -> Vec<String> {
        let base = format!("{mailbox}/done");
        let days = self.list(&base);
        let names = days.iter().flat_map(|day| self.list(&format!("{base}/{day}")));
        names.filter(|name| name.ends_with(".json")).collect()
    }

    /// Names in every state folder of both mailboxes that still have work to do. A file that moves between two
    /// folders during the listing may be missed, so an empty result is verified by a second listing.
    pub fn pending(&self) -> Vec<String> {
        let states =
            ["inbox/new", "inbox/ready", "inbox/run", "inbox/wait", "outbox/ready", "outbox/run", "outbox/wait"];
        let look = || states.iter().flat_map(|s| self.list(s).into_iter().map(move |n| format!("{s}/{n}"))).collect();
        let first: Vec<String> = look();
        if first.is_empty() { look() } else { first }
    }

    /// `mv wait/DUE~NAME ready/NAME` for every waiting event, as a person who does not want to wait.
    pub fn hurry(&self) {
        for mailbox in ["inbox", "outbox"] {
            for name in self.list(&format!("{mailbox}/wait")) {
                let to = self.path(&format!("{mailbox}/ready/{}", name.split_once('~').unwrap().1));
                fs::rename(self.path(&format!("{mailbox}/wait/{name}")), to).unwrap();
            }
        }
    }

    /// The workspace as the library opens it, with all folders.
    pub fn opened(&self) -> Workspace {
        let workspace = Workspace::open(World::real().unwrap(), self.root.clone(), true).unwrap();
        workspace.make_layout().unwrap();
        workspace
    }

    /// Publishes an event with these fields, as a stage does; returns its id. A dropped file could set only some of them.
    pub fn publish(&self, fields: &serde_json::Value) -> String {
        let now = jiff::Timestamp::now();
        let id = Id::new(Stamp::from(now), u64::from(std::process::id())).to_string();
        let mut event = serde_json::json!({"v": 1, "id": id, "reply_to": fields["from"], "created_at": now});
        let fields = fields.as_object().unwrap().clone();
        event.as_object_mut().unwrap().extend(fields);
        self.write(&format!("inbox/tmp/{id}.tmp"), &event.to_string());
        fs::rename(self.path(&format!("inbox/tmp/{id}.tmp")), self.path(&format!("inbox/new/{id}.json"))).unwrap();
        id
    }

    /// Returns when the kernel reports this state of a file's lock. Reading /proc/locks disturbs no process.
    #[track_caller]
    pub fn until_locked(&self, name: &str, how: Locked) {
        let end = Instant::now() + Duration::from_secs(30);
        let is_so = || {
            let inode = fs::metadata(self.path(name)).map(|meta| format!(":{} ", meta.ino()));
            let locks = fs::read_to_string("/proc/locks").unwrap();
            let is_it = |line: &str| line.contains("-> ") == matches!(how, Locked::WaitedFor);
            inode.is_ok_and(|inode| locks.lines().any(|line| line.contains(&inode) && is_it(line)))
        };
        while !is_so() {
            assert!(Instant::now() < end, "the lock of {name} is not as it should be");
            std::thread::yield_now();
        }
    }

    /// Evaluates `is_so` whenever a file in the workspace has changed, for one minute at most, in the long proofs
    /// longer.
    pub fn eventually(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let (tell, hear) = std::sync::mpsc::channel();
        let mut watcher = notify::recommended_watcher(move |_| {
            let _ = tell.send(());
        })
        .unwrap();
        watcher.watch(&self.root, notify::RecursiveMode::Recursive).unwrap();
        let minutes = if proof::is_full() { 20 } else { 1 };
        let end = Instant::now() + Duration::from_mins(minutes);
        while !is_so(self) {
            assert!(Instant::now() < end, "not within {minutes} min: {what}\npending: {:#?}", self.pending());
            // Conditions that are not files (a process, for example) are evaluated every second.
            let _ = hear.recv_timeout(Duration::from_secs(1));
            while hear.try_recv().is_ok() {}
        }
    }
}

impl Ran {
    /// The run must have succeeded; returns stdout.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.out
    }

    /// The turn must wait for an approval; returns stdout.
    #[track_caller]
    pub fn waits(self) -> String {
        assert_eq!(self.code, 75, "{self:#?}");
        self.out
    }

    /// The run must have ended with this code; returns stderr.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:#?}");
        self.err
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let code = output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or(0));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code, out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A running supervisor; killed when dropped.
pub struct Supervisor {
    pub child: Child,
    err: Option<std::io::BufReader<std::process::ChildStderr>>,
}

impl Supervisor {
    /// Starts it, and returns after its first message.
    pub fn started(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut err = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut err, &mut line).unwrap();
        assert!(line.contains("supervising"), "{line}");
        Self { child, err: Some(err) }
    }

    /// Sends SIGTERM, and returns exit code and output.
    pub fn stop(self) -> Ran {
        self.signal("TERM");
        self.ended()
    }

    /// The rest of its output, and its exit code.
    pub fn ended(mut self) -> Ran {
        let mut err = String::new();
        if let Some(mut pipe) = self.err.take() {
            let _ = std::io::Read::read_to_string(&mut pipe, &mut err);
        }
        let status = self.child.wait().unwrap();
        Ran { code: status.code().unwrap_or(-1), out: String::new(), err }
    }

    /// Reads its messages up to the one with this text.
    pub fn until_said(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            let length = std::io::BufRead::read_line(self.err.as_mut().unwrap(), &mut line).unwrap();
            assert!(length > 0, "it has ended without saying {text}");
        }
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A shell without a terminal starts `cargo test &` with SIGINT and SIGQUIT ignored, `nohup` does so with SIGHUP, and
/// programs inherit that, so that a test which sends one would hang. A signal with a handler has its default disposition
/// in a new program. The handler does nothing, as the ignored signal did.
fn unignore_signals() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    for signal in [SIGHUP, SIGINT, SIGQUIT].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 1) {
        signal_hook::flag::register(signal, Arc::default()).unwrap();
    }
}

/// Prints the reason why a test is skipped; a skip is never silent.
pub fn skipped(why: &str) {
    // Not eprintln!, because the harness captures it for a passing test.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Seconds since 1970, by the system's clock.
pub fn now_seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}
