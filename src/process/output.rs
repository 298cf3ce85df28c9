//! The output of a program. Stdout is read until the program ends, writes too much, or is cancelled.

use crate::core::fault::{Fault, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Child;

/// The most bytes of stderr that are returned: the last ones.
const MAX_STDERR: usize = 64 << 10;

/// The result of a program.
#[derive(Debug)]
pub struct ProgramOutput {
    /// Its exit code, or 128 plus the number of the signal that killed it.
    pub code: i32,
    /// Its stdout, up to the limit.
    pub stdout: Vec<u8>,
    /// The end of its stderr.
    pub stderr: String,
    /// The reason, if the program was killed before its end: `Unavailable` after the time limit, `Failed` after too
    /// much output or a cancellation.
    pub aborted: Option<Fault>,
}

impl ProgramOutput {
    /// This output, if the program was not killed before its end.
    ///
    /// # Errors
    /// `aborted`.
    pub fn completed(self) -> Result<Self> {
        self.aborted.clone().map_or(Ok(self), Err)
    }

    /// The last line of stderr that is not empty, at most 1024 bytes.
    #[must_use]
    pub fn last_error_line(&self) -> &str {
        let line = self.stderr.lines().rev().map(str::trim_end).find(|line| !line.is_empty());
        crate::core::text::cut::cut(line.unwrap_or_default(), 1024)
    }
}

/// The reason why reading ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OutputEnd {
    /// Every process that had the pipe has closed it.
    #[default]
    Closed,
    TooMuch,
    Stopped,
}

/// Reads a pipe until its end, until there are more than `limit` bytes, or until `stop` is readable. Each piece is
/// passed to `on_output` when it arrives.
pub(super) fn read(
    pipe: &mut (impl Read + AsFd),
    limit: u64,
    stop: Option<BorrowedFd>,
    on_output: &mut dyn FnMut(&[u8]),
) -> (Vec<u8>, OutputEnd) {
    let mut text = Vec::new();
    let mut buffer = vec![0u8; 64 << 10];
    loop {
        let mut fds: Vec<PollFd> = stop.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        fds.push(PollFd::new(pipe, PollFlags::IN));
        match poll(&mut fds, None) {
            Ok(_) if fds.len() > 1 && !fds[0].revents().is_empty() => return (text, OutputEnd::Stopped),
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return (text, OutputEnd::Closed),
        }
        if fds.last().is_none_or(|fd| fd.revents().is_empty()) {
            continue;
        }
        match pipe.read(&mut buffer) {
            Ok(0) => return (text, OutputEnd::Closed),
            Ok(n) => {
                text.extend_from_slice(&buffer[..n]);
                on_output(&buffer[..n]);
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return (text, OutputEnd::Closed),
        }
        if text.len() as u64 > limit {
            return (text, OutputEnd::TooMuch);
        }
    }
}

/// Waits for the end of the watcher or for a cancellation; true if the cancellation came first. Needed because a
/// program may close its output long before its end.
pub(super) fn is_stopped_first(child: &Child, stop: Option<BorrowedFd>) -> bool {
    let Some(stop) = stop else { return false };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let Some(Ok(pidfd)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else { return false };
    loop {
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN), PollFd::new(&stop, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(Errno::INTR) => {}
            Err(_) => return false,
            Ok(_) => return fds[0].revents().is_empty(),
        }
    }
}

/// Reads a pipe to its end, and returns the last [`MAX_STDERR`] bytes.
pub(super) fn read_tail(pipe: Option<impl Read>) -> String {
    let mut tail = Vec::new();
    let mut buffer = [0u8; 4096];
    if let Some(mut pipe) = pipe {
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            tail.extend_from_slice(&buffer[..n]);
            let excess = tail.len().saturating_sub(MAX_STDERR);
            tail.drain(..excess);
        }
    }
    String::from_utf8_lossy(&tail).into_owned()
}
