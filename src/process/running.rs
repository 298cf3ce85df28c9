//! A program that this process talks to while it runs. It is killed, with all its descendants, when this value is dropped
//! or this process ends.

use super::run::spawn;
use super::{CANNOT_RUN, Launch, NOT_FOUND};
use crate::core::fault::{Fault, Kind, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Such a program has no time limit: ten years.
const FOREVER: Duration = Duration::from_hours(87600);
/// The longest line of stderr that is passed on, in bytes.
const MAX_LINE: u64 = 4096;

/// Where the program's output goes.
pub enum OutputTo {
    /// To stdout and stderr of this process.
    Inherit,
    /// Stdout to [`RunningProgram::stdout`], stderr line by line to a function, on a thread of its own.
    Here(Box<dyn Fn(&str) + Send>),
}

/// The running program.
#[derive(Debug)]
pub struct RunningProgram {
    name: String,
    child: Child,
    /// Its stdin; it reads the end of its input once this is dropped.
    pub stdin: Option<ChildStdin>,
    /// Its stdout, if it is not that of this process.
    pub stdout: Option<ChildStdout>,
    /// The watcher kills the program when this is closed.
    hold: Option<OwnedFd>,
    pidfd: OwnedFd,
    errors: Option<JoinHandle<String>>,
}

/// Starts a program.
///
/// # Errors
/// As [`super::run`], except that a program that cannot be run is reported by [`RunningProgram::wait`].
pub fn start(program: Launch, output: OutputTo) -> Result<RunningProgram> {
    let name = program.command.first().cloned().unwrap_or_default();
    let stream = || if matches!(output, OutputTo::Inherit) { Stdio::inherit() } else { Stdio::piped() };
    let (mut child, hold) = spawn(program, FOREVER, [Stdio::piped(), stream(), stream()])?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH);
    let opened = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    let thread = match (output, child.stderr.take()) {
        (OutputTo::Here(each), Some(pipe)) => {
            let thread = std::thread::Builder::new().stack_size(128 << 10);
            Some(thread.spawn(move || read_lines(pipe, &*each))).transpose()
        }
        _ => Ok(None),
    };
    let (pidfd, errors) = match (opened, thread) {
        (Ok(pidfd), Ok(errors)) => (pidfd, errors),
        (opened, _) => {
            drop(hold);
            let _ = child.wait();
            let why = opened.err().map_or_else(|| "no thread can be made".to_owned(), |e| e.to_string());
            return Err(Fault::new(Kind::Machine, format!("cannot start `{name}`: {why}")));
        }
    };
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    Ok(RunningProgram { name, child, stdin, stdout, hold: Some(hold), pidfd, errors })
}

impl RunningProgram {
    /// Readable once the program and all its descendants have ended.
    #[must_use]
    pub fn end_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits until the program has ended, at most this long; false if it runs on.
    #[must_use]
    pub fn ends_within(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&left)) {
                Err(rustix::io::Errno::INTR) => {}
                ready => return ready.is_ok_and(|count| count > 0),
            }
        }
    }

    /// Kills the program and all its descendants.
    pub fn kill(&mut self) {
        self.hold.take();
    }

    /// Waits for the end, and returns the exit code (128 and the signal's number, if one has killed it) and the last
    /// line of stderr, if that was read.
    ///
    /// # Errors
    /// `Config` if the program could not be run.
    pub fn wait(mut self) -> Result<(i32, String)> {
        self.stdin.take();
        let status = self
            .child
            .wait()
            .map_err(|e| Fault::new(Kind::Machine, format!("cannot wait for `{}`: {e}", self.name)))?;
        let last = self.errors.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        match last.strip_prefix(CANNOT_RUN) {
            Some(why) if code == NOT_FOUND => Err(Fault::config(format!("cannot run `{}`: {why}", self.name))),
            _ => Ok((code, last)),
        }
    }
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

/// Passes on the lines of a pipe to its end; returns the last one.
fn read_lines(pipe: impl Read, each: &dyn Fn(&str)) -> String {
    let (mut reader, mut last) = (BufReader::new(pipe), String::new());
    loop {
        let mut line = Vec::new();
        match reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(1..) => {}
            Ok(0) | Err(_) => return last,
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if !line.is_empty() {
            each(line);
            line.clone_into(&mut last);
        }
    }
}
