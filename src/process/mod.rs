//! Running a program with limits on its time and output. No program outlives the process that started it.
//!
//! Between this process and the program runs a watcher, which is this same binary. It adopts every descendant of the
//! program (`PR_SET_CHILD_SUBREAPER`) and inherits the lane's lock. When the program ends, its time is up, or this
//! process is gone, the watcher kills all descendants and then releases the lock. So whichever process resumes the
//! work of a killed worker, nothing that the killed worker started still runs beside it.

pub mod interactive;
mod output;
pub mod own;
mod run;
mod running;
pub mod sandbox;
mod watcher;

use crate::core::fault::Result;
pub use output::ProgramOutput;
pub use run::{exec, run_streaming};
pub use running::{OutputTo, RunningProgram, start};
use rustix::process::WaitStatus;
use sandbox::Sandbox;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
pub use watcher::watch;

/// The hidden argument that makes this binary a watcher.
pub const WATCH: &str = "__watch";
/// Set in the environment of every program: an `ask` inside of one would wait for itself.
pub const INSIDE: &str = "CLAW_INSIDE";
/// The exit code of a watcher whose program ran out of time (as of `timeout(1)`).
const TIMED_OUT: i32 = 124;
/// The exit code of a watcher that cannot run the program (as of the shell).
const NOT_FOUND: i32 = 127;
/// The start of a watcher's stderr when it cannot run the program.
const CANNOT_RUN: &str = "claw: cannot run it: ";
/// The watcher's end of the control pipe; the locks have the numbers after it.
const CONTROL_FD: i32 = 3;

/// A program to run.
#[derive(Debug)]
pub struct Invocation<'a> {
    /// The program and its arguments, without a shell.
    pub command: &'a [String],
    /// The working directory.
    pub dir: &'a Path,
    /// Environment variables to set.
    pub env: &'a [(&'a str, String)],
    /// Whether the program also gets this process's environment.
    pub inherits: bool,
    /// The sandbox to run it in.
    pub sandbox: Option<&'a Sandbox>,
    /// Its stdin.
    pub input: Vec<u8>,
    /// The longest time it may run.
    pub timeout: Duration,
    /// The most bytes that it may write to stdout.
    pub max_output: u64,
    /// The locks of the lane and its slots, which the watcher holds until the program is dead.
    pub locks: Vec<OwnedFd>,
    /// Readable once the program is to be cancelled.
    pub stop: Option<BorrowedFd<'a>>,
}

/// A program that runs until it ends or is killed.
#[derive(Debug)]
pub struct Launch<'a> {
    /// See [`Invocation::command`].
    pub command: &'a [String],
    /// See [`Invocation::dir`].
    pub dir: &'a Path,
    /// See [`Invocation::env`].
    pub env: &'a [(&'a str, String)],
    /// See [`Invocation::inherits`].
    pub inherits: bool,
    /// See [`Invocation::sandbox`].
    pub sandbox: Option<&'a Sandbox>,
    /// See [`Invocation::locks`].
    pub locks: Vec<OwnedFd>,
}

/// The exit code of an ended process, as a shell gives it: 128 and the number of the signal that killed it.
fn exit_code(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(1)
}

/// Runs a program to its end.
///
/// # Errors
/// `Config` if the program cannot be run, `Machine` if no process can be made. In both cases it was not started.
pub fn run(program: Invocation) -> Result<ProgramOutput> {
    run_streaming(program, &mut |_| {})
}
