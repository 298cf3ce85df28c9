//! The signals that ask a long-running command to stop.

use crate::command::terminal::out;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::queue::claimed;
use crate::store::workspace::Workspace;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::emulate_default_handler;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The signals that ask to stop.
pub struct StopSignals {
    signals: Signals,
    /// By signal: it has come twice, and the next one ends the process by its default action at once.
    twice: Vec<(i32, Arc<AtomicBool>)>,
}

impl StopSignals {
    /// Registers them.
    ///
    /// # Errors
    /// `Machine` if the kernel refuses.
    pub fn register() -> Result<Self> {
        let numbers = [SIGTERM, SIGINT, SIGHUP];
        let twice = numbers.map(|number| (number, Arc::new(AtomicBool::new(false)))).to_vec();
        for (number, twice) in &twice {
            flag::register_conditional_default(*number, Arc::clone(twice)).map_err(|e| signal_fault(&e))?;
        }
        Ok(Self { signals: Signals::new(numbers).map_err(|e| signal_fault(&e))?, twice })
    }

    /// Ends [`StopSignals::attend`] from another thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.signals.handle()
    }

    /// Waits for signals: makes `stop` readable at the first one, and ends the process when it comes again.
    pub fn attend(&mut self, workspace: &Workspace, stop: &OwnedFd) {
        let mut seen = Vec::new();
        for signal in self.signals.forever() {
            let _ = rustix::io::write(stop, &1u64.to_ne_bytes());
            if !seen.contains(&signal) {
                seen.push(signal);
                out::message("stopping: the events in progress are finished; the same signal again gives them back");
                continue;
            }
            self.twice.iter().filter(|(number, _)| *number == signal).for_each(|(_, twice)| {
                twice.store(true, Ordering::Relaxed);
            });
            claimed::give_back_all(workspace);
            let _ = emulate_default_handler(signal);
        }
    }
}

/// The fault that signals cannot be handled.
pub(in crate::command) fn signal_fault(error: &std::io::Error) -> Fault {
    Fault::new(Kind::Machine, format!("cannot handle signals: {error}"))
}
