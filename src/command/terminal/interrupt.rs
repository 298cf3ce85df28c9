//! Ctrl-C during a turn: it stops the turn, as /stop does. In `chat` the program continues; `ask` ends with exit code
//! 130, and at once after a second Ctrl-C.

use crate::command::terminal::exchange;
use crate::command::terminal::out;
use crate::core::event::id::Id;
use crate::core::fault::{Fault, Kind, Result};
use crate::stage::turn;
use crate::store::workspace::Workspace;
use crate::store::workspace::clock;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::pipe::PipeFlags;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::fmt::Display;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Stops a turn after Ctrl-C.
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
        let (interrupt, signal_fd) = Self::pipe()?;
        signal_hook::low_level::pipe::register(SIGINT, signal_fd).map_err(|e| fault(&e))?;
        Ok(interrupt)
    }

    /// The handler, and the descriptor that a Ctrl-C writes to.
    fn pipe() -> Result<(Self, OwnedFd)> {
        let pipe = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK);
        let (stop_fd, signal_fd) = pipe.map_err(|e| fault(&e))?;
        Ok((Self { stop_fd }, signal_fd))
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

    /// Runs `work`, which is the turn of this event; Ctrl-C stops that turn, and those that it waits for.
    pub(crate) fn around(&self, workspace: &Workspace, event: &Id, work: &mut dyn FnMut()) {
        let Ok(done) = eventfd(0, EventfdFlags::CLOEXEC) else { return work() };
        std::thread::scope(|scope| {
            scope.spawn(|| self.watch(workspace, event, &done));
            work();
            let _ = rustix::io::write(&done, &1u64.to_ne_bytes());
        });
    }

    fn watch(&self, workspace: &Workspace, event: &Id, done: &OwnedFd) {
        loop {
            let mut fds = [PollFd::new(done, PollFlags::IN), PollFd::new(&self.stop_fd, PollFlags::IN)];
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return,
                Ok(_) if !fds[0].revents().is_empty() => return,
                Ok(_) => self.clear(),
            }
            let stopped = clock::next_id(workspace).and_then(|id| turn::stop_tree(workspace, event, &id));
            if let Err(fault) = stopped {
                workspace.world.say(&format!("the turn cannot be stopped: {fault}"));
            }
        }
    }
}

/// The exit code after Ctrl-C, as of a shell: 128 and the number of SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// The state of a question that may be interrupted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum QuestionState {
    /// It is not published yet.
    Unsent,
    /// It is published, and its answer is waited for.
    Sent(Id),
    /// Its turn was stopped by Ctrl-C.
    Stopped(Id),
    /// There is none, or it is answered.
    Over,
}

/// The handler of SIGINT, SIGTERM and SIGHUP in `ask`. The first Ctrl-C stops the turn, the second one ends the process.
/// The other signals end the process, and the question is kept.
#[derive(Debug)]
pub(crate) struct AskGuard {
    interrupt: Interrupt,
    state: Arc<Mutex<QuestionState>>,
}

impl AskGuard {
    /// Installs the handler, until the end of the process.
    ///
    /// # Errors
    /// If the process has no free descriptors.
    pub(crate) fn listen(state: QuestionState) -> Result<Self> {
        let (interrupt, stop_fd) = Interrupt::pipe()?;
        let state = Arc::new(Mutex::new(state));
        let handled = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal));
        let mut signals = Signals::new(handled).map_err(|e| fault(&e))?;
        let seen = Arc::clone(&state);
        std::thread::spawn(move || {
            for signal in signals.forever() {
                received(signal, &mut lock(&seen), &stop_fd);
            }
        });
        Ok(Self { interrupt, state })
    }

    /// The question is about to be published.
    pub(crate) fn sends(&self, id: &Id) {
        *lock(&self.state) = QuestionState::Sent(id.clone());
    }

    /// Runs `work`, which answers the question `id`; Ctrl-C stops its turn.
    pub(crate) fn around(&self, workspace: &Workspace, id: &Id, work: &mut dyn FnMut()) {
        self.interrupt.around(workspace, id, work);
    }

    /// The question is answered. Returns whether its turn was stopped by Ctrl-C.
    pub(crate) fn end(&self) -> bool {
        matches!(std::mem::replace(&mut *lock(&self.state), QuestionState::Over), QuestionState::Stopped(_))
    }
}

/// The effect of a signal.
fn received(signal: i32, state: &mut QuestionState, stop_fd: &OwnedFd) {
    let leave = |message: &str| {
        out::stderr_line("");
        out::message(message);
        std::process::exit(INTERRUPTED.into())
    };
    match (signal, state.clone()) {
        (SIGINT, QuestionState::Unsent) => leave("the question was not sent"),
        (SIGINT, QuestionState::Sent(id)) => {
            *state = QuestionState::Stopped(id);
            out::stderr_line("");
            out::message("stopping; Ctrl-C again leaves at once");
            let _ = rustix::io::write(stop_fd, b"!");
        }
        (SIGINT, QuestionState::Stopped(id)) => {
            leave(&format!("{id} goes on until it is stopped: claw why {}", id.short()));
        }
        (_, QuestionState::Sent(id)) => {
            out::stderr_line("");
            out::message(&format!("the question is kept: {}", exchange::KEPT));
            out::stderr_line(&format!("      claw discard {} ends it", id.short()));
            let _ = emulate_default_handler(signal);
        }
        _ => {
            let _ = emulate_default_handler(signal);
        }
    }
}

fn lock(state: &Mutex<QuestionState>) -> MutexGuard<'_, QuestionState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
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
