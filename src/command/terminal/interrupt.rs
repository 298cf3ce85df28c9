//! Ctrl-C while a turn runs: in `chat` it ends the turn, as /stop does, and not the program; in `ask` it ends the
//! program, which says what becomes of the question.

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

/// WatchKind of it.
#[derive(Debug)]
pub(crate) struct Interrupt {
    /// Readable when it was pressed.
    stop_fd: OwnedFd,
}

impl Interrupt {
    /// Listens from here on, to the end of the process.
    ///
    /// # Errors
    /// Where the process is out of descriptors.
    pub(crate) fn listen() -> Result<Self> {
        let (stop_fd, ring) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(|e| bad(&e))?;
        signal_hook::low_level::pipe::register(SIGINT, ring).map_err(|e| bad(&e))?;
        Ok(Self { stop_fd })
    }

    /// Readable when it was pressed.
    pub(crate) fn stop_fd(&self) -> BorrowedFd<'_> {
        self.stop_fd.as_fd()
    }

    /// What was pressed before does not count.
    pub(crate) fn clear(&self) {
        let mut rings = [0u8; 64];
        while rustix::io::read(&self.stop_fd, &mut rings).is_ok_and(|n| n > 0) {}
    }

    /// Does a piece of work on the turn of event `turn`, and stops that turn when it is pressed meanwhile.
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

/// Whoever ends `ask` while its question is being answered is told what becomes of the question.
#[derive(Debug, Default)]
pub(crate) struct AskGuard {
    is_over: Arc<AtomicBool>,
}

impl AskGuard {
    /// Listens from here on, to the end of the process, which the signal ends as if nobody had listened.
    pub(crate) fn begin(&self, id: &Id) {
        let heeded = [SIGINT, SIGTERM].into_iter().filter(|signal| !is_ignored(*signal));
        let Ok(mut signals) = Signals::new(heeded) else { return };
        let (id, is_over) = (id.short().to_owned(), self.is_over.clone());
        std::thread::spawn(move || {
            for signal in signals.forever() {
                if !is_over.load(Ordering::Relaxed) {
                    out::aside("");
                    out::tell("the question is kept: claw tick answers it, and claw deliver shows the answer");
                    out::aside(&format!("      claw discard {id} ends it"));
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

/// Whoever has started us wants us not to hear it: a shell, say, of what runs beside it.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 << (signal - 1) != 0)
}

fn bad(error: &dyn Display) -> Fault {
    Fault::new(Kind::Machine, format!("cannot listen for Ctrl-C: {error}"))
}
