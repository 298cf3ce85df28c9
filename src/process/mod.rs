//! Running a program: bounded in time and output, and never longer than we live.
//!
//! Between us and the program stands a watcher, this same binary: it adopts every descendant
//! (`PR_SET_CHILD_SUBREAPER`), inherits the lane's lock, and when the program ends, its time is up,
//! or we are gone, it kills them all before it lets go. So nothing that a killed worker had started
//! goes on beside whoever resumes its work.

mod output;
pub mod sandbox;
mod watcher;

use crate::core::fault::{Fault, Kind, Result};
use command_fds::{CommandFdExt, FdMapping};
use output::OutputEnd;
use sandbox::Sandbox;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
pub use watcher::watch;

/// The hidden argument that makes this binary a watcher.
pub const WATCH: &str = "__watch";
/// The exit code of a watcher whose program ran out of time (as `timeout(1)`).
const TIMED_OUT: i32 = 124;
/// The exit code of a watcher whose program cannot be run (as the shell's).
const NOT_FOUND: i32 = 127;
/// What a watcher complains with when it cannot run the program at all.
const CANNOT: &str = "claw: cannot run it: ";
/// Set in the environment of every program that is run: `ask` inside of one would wait for itself.
pub const INSIDE: &str = "CLAW_INSIDE";
const CONTROL_FD: i32 = 3;
/// How much of what it complains with is kept, in bytes: the end.
const MAX_COMPLAINT: usize = 64 << 10;

/// What shall be run.
#[derive(Debug)]
pub struct Invocation<'a> {
    /// The program and its arguments; no shell is between.
    pub command: &'a [String],
    /// Where.
    pub dir: &'a Path,
    /// Environment.
    pub env: &'a [(&'a str, String)],
    /// Our own environment beside it.
    pub inherits: bool,
    /// What it is kept within.
    pub sandbox: Option<&'a Sandbox>,
    /// What it reads.
    pub input: Vec<u8>,
    /// How long it may run.
    pub timeout: Duration,
    /// How much it may write, in bytes.
    pub max_output: u64,
    /// The locks of the lane and its slots, which the watcher holds on to.
    pub locks: Vec<OwnedFd>,
    /// Readable as soon as it is to be ended before its end.
    pub stop: Option<BorrowedFd<'a>>,
}

/// How it ended.
#[derive(Debug)]
pub struct ProgramOutput {
    /// Its exit code; 128 and the signal where one ended it.
    pub code: i32,
    /// What it wrote, as far as it may.
    pub stdout: Vec<u8>,
    /// The end of what it complained with.
    pub stderr: String,
    /// It was ended before its end: `Unavailable` where its time was up, `Failed` where it wrote too much
    /// or was stopped.
    pub aborted: Option<Fault>,
}

impl ProgramOutput {
    /// Itself, where it came to its own end.
    ///
    /// # Errors
    /// Why it was ended before.
    pub fn completed(self) -> Result<Self> {
        self.aborted.clone().map_or(Ok(self), Err)
    }

    /// The last line that it complained with.
    #[must_use]
    pub fn last_error_line(&self) -> &str {
        let line = self.stderr.lines().rev().map(str::trim_end).find(|line| !line.is_empty());
        crate::core::text::cut::cut(line.unwrap_or_default(), 1024)
    }
}

/// Runs a program to its end.
///
/// # Errors
/// `Config` where it cannot be run, `Machine` where no process can be made.
pub fn run(program: Invocation) -> Result<ProgramOutput> {
    run_streaming(program, &mut |_| {})
}

/// Runs a program to its end, and tells `heard` what it writes as it comes.
///
/// # Errors
/// As [`run`].
pub fn run_streaming(program: Invocation, heard: &mut dyn FnMut(&[u8])) -> Result<ProgramOutput> {
    let name = program.command.first().cloned().unwrap_or_default();
    let no_process = |e: &dyn std::fmt::Display| Fault::new(Kind::Machine, format!("cannot start `{name}`: {e}"));
    let (control, hold) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| no_process(&e))?;
    let mut command = Command::new("/proc/self/exe");
    let (milliseconds, locks) = (program.timeout.as_millis().to_string(), program.locks.len().to_string());
    // They are as long as there are names in the workspace, so that they go ahead of what the program reads.
    let sandbox = program.sandbox.map(Sandbox::to_bytes).unwrap_or_default();
    let length = sandbox.len().to_string();
    command.args([WATCH, &milliseconds, &locks, &length]).args(program.command).current_dir(program.dir);
    if !program.inherits {
        command.env_clear();
    }
    command.envs(program.env.iter().map(|(k, v)| (k, v))).env(INSIDE, "1");
    // What the terminal says to us is not said to the watcher, which ends when we do.
    command.process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let handed = std::iter::once(control).chain(program.locks).zip(CONTROL_FD..);
    let mappings = handed.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd }).collect();
    command.fd_mappings(mappings).map_err(|e| no_process(&e))?;
    let mut hold = Some(hold);
    let begun = Instant::now();
    let mut child = command.spawn().map_err(|e| match e.raw_os_error() {
        Some(libc::E2BIG) => Fault::config(format!("cannot run `{name}`: its arguments and environment are too long")),
        _ => no_process(&e),
    })?;
    // The command holds our copies of what was mapped.
    drop(command);
    let (input, mut output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let thread = || std::thread::Builder::new().stack_size(128 << 10);
    let writer = thread().spawn(move || {
        let Some(mut pipe) = input else { return Ok(()) };
        pipe.write_all(&sandbox)?;
        // Whether a program reads all of it is its own affair.
        let _ = pipe.write_all(&program.input);
        Ok(())
    });
    let reader = thread().spawn(move || last_words(errors));
    let (Ok(writer), Ok(reader)) = (writer, reader) else {
        drop(hold.take());
        let _ = child.wait();
        return Err(no_process(&"no thread can be made"));
    };
    let (limit, stop) = (program.max_output, program.stop);
    let (mut stdout, end) =
        output.as_mut().map_or_else(Default::default, |pipe| output::read(pipe, limit, stop, heard));
    let mut aborted = match end {
        OutputEnd::TooMuch => Some(format!("`{name}` wrote more than {limit} bytes")),
        OutputEnd::Closed if !output::is_stopped_first(&child, stop) => None,
        OutputEnd::Closed | OutputEnd::Stopped => Some(format!("`{name}` was stopped")),
    }
    .map(|why| Fault::new(Kind::Failed, why));
    stdout.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    if aborted.is_some() {
        // Our end of the control pipe closes: the watcher ends everything.
        hold.take();
    }
    drop(output);
    let status = child.wait().map_err(|e| no_process(&e))?;
    drop(hold);
    let handed: std::io::Result<()> = writer.join().unwrap_or(Ok(()));
    let stderr = reader.join().unwrap_or_default();
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    // A watcher that has not waited for them says why.
    if let Some(error) = handed.err().filter(|error| error.kind() != ErrorKind::BrokenPipe) {
        return Err(no_process(&error));
    }
    if let (NOT_FOUND, Some(why)) = (code, stderr.strip_prefix(CANNOT)) {
        return Err(Fault::config(format!("cannot run `{name}`: {}", why.trim_end())));
    }
    if code == TIMED_OUT && begun.elapsed() >= program.timeout {
        aborted = aborted
            .or(Some(Fault::new(Kind::Unavailable, format!("`{name}` did not end within {:?}", program.timeout))));
    }
    Ok(ProgramOutput { code, stdout, stderr, aborted })
}

/// Becomes a program, in this folder and with this terminal, as `exec` in a shell. It returns only with the reason
/// why not.
#[must_use]
pub fn exec(command: &[String], env: &[(&str, &str)]) -> Fault {
    let [program, arguments @ ..] = command else { return Fault::new(Kind::Usage, "there is no command") };
    let error = Command::new(program).args(arguments).envs(env.iter().copied()).exec();
    Fault::new(Kind::Failed, format!("cannot run `{program}`: {error}"))
}

/// The end of what comes out of a pipe, which is read to its end.
fn last_words(pipe: Option<impl Read>) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0u8; 4096];
    if let Some(mut pipe) = pipe {
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            kept.extend_from_slice(&buffer[..n]);
            let excess = kept.len().saturating_sub(MAX_COMPLAINT);
            kept.drain(..excess);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}
