//! Ctrl-C while a turn runs: it ends the turn, as /stop does, and not the program.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::id::Id;
use crate::store::workspace::Workspace;
use crate::store::{clock, stop};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::pipe::PipeFlags;
use signal_hook::consts::SIGINT;
use std::fmt::Display;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Hears of it.
#[derive(Debug)]
pub(super) struct Interrupt {
    /// Readable when it was pressed.
    bell: OwnedFd,
}

impl Interrupt {
    /// Listens from here on, to the end of the process.
    ///
    /// # Errors
    /// Where the process is out of descriptors.
    pub(super) fn listen() -> Result<Self> {
        let (bell, ring) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(|e| bad(&e))?;
        signal_hook::low_level::pipe::register(SIGINT, ring).map_err(|e| bad(&e))?;
        Ok(Self { bell })
    }

    /// Readable when it was pressed.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// What was pressed before does not count.
    pub(super) fn clear(&self) {
        let mut rings = [0u8; 64];
        while rustix::io::read(&self.bell, &mut rings).is_ok_and(|n| n > 0) {}
    }

    /// Does a piece of work on the turn of event `turn`, and stops that turn when it is pressed meanwhile.
    pub(super) fn around(&self, workspace: &Workspace, turn: &Id, work: &mut dyn FnMut()) {
        let Ok(done) = eventfd(0, EventfdFlags::CLOEXEC) else { return work() };
        std::thread::scope(|scope| {
            scope.spawn(|| self.watch(workspace, turn, &done));
            work();
            let _ = rustix::io::write(&done, &1u64.to_ne_bytes());
        });
    }

    fn watch(&self, workspace: &Workspace, turn: &Id, done: &OwnedFd) {
        loop {
            let mut fds = [PollFd::new(done, PollFlags::IN), PollFd::new(&self.bell, PollFlags::IN)];
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

fn bad(error: &dyn Display) -> Fault {
    Fault::new(Kind::Machine, format!("cannot listen for Ctrl-C: {error}"))
}
