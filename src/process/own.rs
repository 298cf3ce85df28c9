//! A process of its own for one event: this same binary. An event that kills it kills no other worker, and its parent
//! sees it die.

use crate::core::fault::{Fault, Kind, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getppid, pidfd_open, pidfd_send_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::ffi::OsString;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The hidden argument that makes this binary handle one event.
pub const ATTEMPT: &str = "__attempt";
/// The most bytes of a report.
const MAX_REPORT: u64 = 1 << 20;

/// A handle that never names another process.
#[derive(Clone, Debug)]
pub struct OwnProcess(Arc<OwnedFd>);

impl OwnProcess {
    /// Kills the process, and waits until it is dead.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(&*self.0, Signal::KILL);
        while poll(&mut [PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)], None) == Err(rustix::io::Errno::INTR)
        {
        }
    }
}

/// A started process.
#[derive(Debug)]
pub struct StartedProcess {
    child: Child,
    /// Its handle.
    pub handle: OwnProcess,
}

/// The end of a process.
#[derive(Debug)]
pub struct ProcessEnd {
    /// Its stdout.
    pub report: Vec<u8>,
    /// How it ended: `exit status: 1`, `signal: 9 (SIGKILL)`.
    pub status: String,
}

/// Opens a file in the user's browser, which outlives this process: it is the user's program, not an agent's.
///
/// # Errors
/// `Unavailable` if `xdg-open` is missing or fails.
pub fn open_in_browser(file: &Path) -> Result<()> {
    let fault = |why: String| {
        Fault::new(Kind::Unavailable, format!("xdg-open {why}")).hint("without --open the link is printed")
    };
    let mut command = Command::new("xdg-open");
    let status = command.arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(fault(format!("has failed: {status}"))),
        Err(e) => Err(fault(format!("cannot be run: {e}"))),
    }
}

/// Starts this binary with [`ATTEMPT`] and these arguments. Its stdin is the lock of its lane, its stdout the report.
/// It dies with the thread that starts it.
///
/// # Errors
/// `Machine` if no process can be made.
pub fn start(arguments: &[OsString], env: Option<(&str, String)>, lock: OwnedFd) -> Result<StartedProcess> {
    let fault = |e: &dyn std::fmt::Display| {
        Fault::new(Kind::Machine, format!("cannot start a process for an event that killed its worker: {e}"))
    };
    let mut command = Command::new("/proc/self/exe");
    command.arg(ATTEMPT).arg(std::process::id().to_string()).args(arguments).envs(env);
    // Signals of the terminal are for the process that waits for this one.
    command.process_group(0).stdin(lock).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|e| fault(&e))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let handle = pid.ok_or(rustix::io::Errno::SRCH).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    match handle {
        Ok(handle) => Ok(StartedProcess { child, handle: OwnProcess(Arc::new(handle)) }),
        Err(e) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(fault(&e))
        }
    }
}

impl StartedProcess {
    /// Waits for its end.
    #[must_use]
    pub fn finish(mut self) -> ProcessEnd {
        let mut report = Vec::new();
        let _ = self.child.stdout.take().map(|pipe| pipe.take(MAX_REPORT).read_to_end(&mut report));
        let status = self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        ProcessEnd { report, status }
    }
}

#[cfg(test)]
impl OwnProcess {
    /// The handle of a child of a test.
    pub(crate) fn of(child: &Child) -> Self {
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        Self(Arc::new(pidfd_open(pid, PidfdFlags::empty()).unwrap()))
    }
}

/// Makes this process, started by [`start`] with `parent` as the first argument after [`ATTEMPT`], die with its parent.
/// Only the parent reacts to signals that ask to stop.
///
/// # Errors
/// `Machine` if the parent is dead already.
pub fn die_with_parent(parent: &str) -> Result<()> {
    let fault = |e: &dyn std::fmt::Display| Fault::new(Kind::Machine, format!("cannot follow the parent process: {e}"));
    let received = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&received)).map_err(|e| fault(&e))?;
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| fault(&e))?;
    let is_alive = getppid().is_some_and(|pid| pid.as_raw_nonzero().to_string() == parent);
    if is_alive { Ok(()) } else { Err(fault(&"it has ended")) }
}
