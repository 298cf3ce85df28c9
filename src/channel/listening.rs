//! The surroundings of a channel's listener: it accepts messages through [`Listening::accept`], reports its state, and
//! gets the deliveries that need its connection.

use crate::channel::accept::{Accepted, accept};
use crate::channel::outgoing::Outgoing;
use crate::core::channel::inbound::Inbound;
use crate::core::channel::settings::ChannelSettings;
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::channel::listener_state::{self, ListenerCondition, ListenerState};
use crate::store::fs::watch::{Watch, Woken};
use crate::store::workspace::Workspace;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The longest time, in seconds, that a poll may neither end nor fail.
const MAX_POLL: i64 = 90;

/// One run of a channel's listener, under one version of its settings.
pub struct Listening<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// The channel's name.
    pub name: &'a str,
    /// Its settings. When they change, the listener is stopped and runs again.
    pub settings: &'a ChannelSettings,
    /// Readable when the listener must end: it finishes what it has begun, and returns.
    pub stop: BorrowedFd<'a>,
    /// Poll once, and return.
    pub once: bool,
    /// The deliveries, for channels whose listener delivers.
    pub outgoing: &'a Outgoing,
    /// Descriptors of the listener's lock, for the watcher of a program: no second listener begins before the program
    /// is dead.
    pub locks: &'a (dyn Fn() -> Result<Vec<OwnedFd>> + Sync),
    /// Called when the listener is connected.
    on_connected: &'a (dyn Fn() + Sync),
    state: Mutex<ListenerState>,
    /// When the present poll has taken too long.
    deadline: Mutex<Option<Stamp>>,
}

impl<'a> Listening<'a> {
    /// The surroundings of a listener that has not begun.
    #[must_use]
    pub fn new(
        workspace: &'a Workspace,
        (name, settings): (&'a str, &'a ChannelSettings),
        stop: BorrowedFd<'a>,
        once: bool,
        outgoing: &'a Outgoing,
        locks: &'a (dyn Fn() -> Result<Vec<OwnedFd>> + Sync),
        on_connected: &'a (dyn Fn() + Sync),
    ) -> Self {
        let state = Mutex::new(listener_state::read(workspace, name));
        Self { workspace, name, settings, stop, once, outgoing, locks, on_connected, state, deadline: Mutex::default() }
    }

    /// Accepts a message, durable on return, and counts it.
    ///
    /// # Errors
    /// As [`accept`]: the message must not be acknowledged.
    pub fn accept(&self, inbound: Inbound) -> Result<Accepted> {
        let length = inbound.text.len();
        let accepted = accept(self.workspace, self.name, inbound)?;
        match &accepted {
            Accepted::Refused(_) => self.skip(length),
            Accepted::Published(_) => self.change(|state, now| {
                state.accepted += 1;
                state.last_in = Some(now.timestamp());
            }),
            Accepted::Repeated(_) | Accepted::Paired(_) => {}
        }
        Ok(accepted)
    }

    /// Counts input of this length that the listener skips, because it is no message.
    pub fn skip(&self, bytes: usize) {
        self.change(|state, _| {
            state.refused += 1;
            state.refused_bytes += bytes as u64;
        });
    }

    /// A poll begins: if neither [`Listening::ended_poll`] nor the next one comes within 90 s, the listener's process
    /// ends with 75.
    pub fn began_poll(&self) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(self.workspace.world.now().plus_seconds(MAX_POLL));
    }

    /// The poll has ended or failed.
    pub fn ended_poll(&self) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// When the present poll has taken too long.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Stamp> {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The listener is connected.
    pub fn connected(&self) {
        self.enter(ListenerCondition::Listening, "", None);
        self.outgoing.open();
        (self.on_connected)();
    }

    /// The other side cannot be reached; the listener tries again at `next_try`.
    pub fn unreachable(&self, fault: &Fault, next_try: Stamp) {
        self.outgoing.close();
        self.enter(ListenerCondition::Unreachable, &fault.message, Some(next_try));
    }

    /// The listener has ended with this fault.
    pub fn failed(&self, fault: &Fault) {
        let is_settings = fault.kind == Kind::Config;
        let condition = if is_settings { ListenerCondition::Misconfigured } else { ListenerCondition::Failed };
        self.enter(condition, &fault.to_string(), None);
    }

    /// Waits until `at`, or until the listener must end: then it returns true.
    ///
    /// # Errors
    /// If the kernel refuses to wait.
    pub fn wait_until(&self, at: Stamp) -> Result<bool> {
        let watch = Watch::new(&[])?;
        while self.workspace.world.now() < at {
            if watch.wait(&self.workspace.world, Some(at), Some(self.stop))? == Woken::Other {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A message was sent.
    pub fn sent(&self) {
        self.change(|state, now| state.last_out = Some(now.timestamp()));
    }

    /// Enters a condition. Its beginning stays while the condition does.
    pub fn enter(&self, condition: ListenerCondition, why: &str, next_try: Option<Stamp>) {
        self.change(|state, now| {
            if state.condition != condition || state.since.is_none() {
                state.since = Some(now.timestamp());
            }
            state.condition = condition;
            why.clone_into(&mut state.why);
            state.next_try = next_try.map(Stamp::timestamp);
        });
    }

    fn change(&self, change: impl FnOnce(&mut ListenerState, Stamp)) {
        let mut state = self.lock();
        change(&mut state, self.workspace.world.now());
        if let Err(fault) = listener_state::write(self.workspace, self.name, &state) {
            self.workspace.world.say(&fault.to_string());
        }
    }

    fn lock(&self) -> MutexGuard<'_, ListenerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
