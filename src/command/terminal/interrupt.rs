//! Ctrl-C during a turn. In `chat` it stops the turn, as /stop does, and the program continues; in `ask` it ends the
//! program, with a message about the question.

use crate::command::terminal::out;
use crate::core::event::id::Id;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::session::stop;
use crate::store::workspace::Workspace;
use crate::store::workspace::clock;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::pipe::PipeFlags;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::fmt::Display;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The handler of Ctrl-C in `chat`.
#[derive(Debug)]
pub(crate) struct Interrupt {
    /// Readable after Ctrl-C.
    stop_fd: OwnedFd,
}

impl Interrupt {
    /// Installs the handler, until the end of the process.
    ///
    /// # Errors
    /// If the process has no free descriptors.
    pub(crate) fn listen() -> Result<Self> {
        let (stop_fd, signal_fd) =
            rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(|e| fault(&e))?;
        signal_hook::low_level::pipe::register(SIGINT, signal_fd).map_err(|e| fault(&e))?;
        Ok(Self { stop_fd })
    }

    /// Readable after Ctrl-C.
    pub(crate) fn stop_fd(&self) -> BorrowedFd<'_> {
        self.stop_fd.as_fd()
    }

    /// Discards earlier presses.
    pub(crate) fn clear(&self) {
        let mut bytes = [0u8; 64];
        while rustix::io::read(&self.stop_fd, &mut bytes).is_ok_and(|n| n > 0) {}
    }

    /// Runs `work`, which is the turn of event `turn`; Ctrl-C stops that turn.
    pub(crate) fn around(&self, workspace: &Workspace, turn: &Id, work: &mut dyn FnMut()) {
        let Ok(done) = eventfd(0, EventfdFlags::CLOEXEC) else { return work() };
        std::thread::scope(|scope| {
            scope.spawn(|| self.watch(workspace, turn, &done));
            work();
            let _ = rustix::io::write(&done, &1u64.to_ne_bytes());
        });
    }

    fn watch(&self, workspace: &Workspace, turn: &Id, done: &OwnedFd) {
        loop {
            let mut fds = [PollFd::new(done, PollFlags::IN), PollFd::new(&self.stop_fd, PollFlags::IN)];
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return,
                Ok(_) if !fds[0].revents().is_empty() => return,
                Ok(_) => self.clear(),
            }
            let stopped = clock::next_id(workspace).and_then(|id| stop::stop(workspace, turn, &id));
            if let Err(fault) = stopped {
                workspace.world.say(&format!("the turn cannot be stopped: {fault}"));
            }
        }
    }
}

/// The handler of SIGINT and SIGTERM in `ask`: prints that the question is kept, then ends the process.
#[derive(Debug, Default)]
pub(crate) struct AskGuard {
    is_over: Arc<AtomicBool>,
}

impl AskGuard {
    /// Installs the handler, until the end of the process. After the message the signal has its default effect.
    pub(crate) fn begin(&self, id: &Id) {
        let handled = [SIGINT, SIGTERM].into_iter().filter(|signal| !is_ignored(*signal));
        let Ok(mut signals) = Signals::new(handled) else { return };
        let (id, is_over) = (id.short().to_owned(), self.is_over.clone());
        std::thread::spawn(move || {
            for signal in signals.forever() {
                if !is_over.load(Ordering::Relaxed) {
                    out::stderr_line("");
                    out::message("the question is kept: claw tick answers it, and claw deliver shows the answer");
                    out::stderr_line(&format!("      claw discard {id} ends it"));
                }
                let _ = emulate_default_handler(signal);
            }
        });
    }

    /// The question is answered.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Whether this process was started with the signal ignored, as shells do for background jobs.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 << (signal - 1) != 0)
}

fn fault(error: &dyn Display) -> Fault {
    Fault::new(Kind::Machine, format!("cannot handle Ctrl-C: {error}"))
}
