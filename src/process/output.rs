//! What a program writes, as long as somebody wants it: until it ends, has written too much, or is to be
//! ended because its turn was stopped.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Child;

/// Why nothing more is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OutputEnd {
    /// The program, and whoever it gave the pipe to, has closed it.
    #[default]
    Closed,
    TooMuch,
    Stopped,
}

/// Reads a pipe to its end, until there is more than `limit`, or until `stop` is readable. `heard` is told what
/// comes as it comes.
pub(super) fn read(
    pipe: &mut (impl Read + AsFd),
    limit: u64,
    stop: Option<BorrowedFd>,
    heard: &mut dyn FnMut(&[u8]),
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
                heard(&buffer[..n]);
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return (text, OutputEnd::Closed),
        }
        if text.len() as u64 > limit {
            return (text, OutputEnd::TooMuch);
        }
    }
}

/// Waits for whichever comes first, the end of the watcher or that it is to be ended; true for the latter. A
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
