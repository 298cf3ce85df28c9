//! Deliveries that need the connection of a listener: a delivering thread hands a message over and waits for the result.

use crate::core::fault::{Fault, Kind, Result};
use rustix::event::{EventfdFlags, eventfd};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A message for the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// The event's id.
    pub id: String,
    /// The destination: an address without its channel.
    pub to: String,
    /// The text.
    pub text: String,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// An earlier attempt may have sent it.
    pub maybe_repeated: bool,
}

/// The result of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendResult {
    /// It was sent; the text is the platform's id or another receipt.
    Sent(String),
    /// The other side has refused it. `after`: seconds after which it may be tried again; `None` is permanent.
    Failed {
        /// The reason.
        why: String,
        /// The wait in seconds, if a retry makes sense.
        after: Option<u64>,
    },
    /// It has not left this process.
    Unsent,
    /// It has left this process, and nothing has answered: it may have been sent.
    Unknown,
}

/// A message that a listener has taken, and its return path.
#[derive(Debug)]
pub struct PendingSend {
    /// The message.
    pub message: OutgoingMessage,
    answer: Sender<SendResult>,
}

impl PendingSend {
    /// Reports the result.
    pub fn finish(self, result: SendResult) {
        // The delivering thread may have given up.
        let _ = self.answer.send(result);
    }
}

/// Messages on their way from delivering threads to a listener.
#[derive(Debug)]
pub struct Outgoing {
    queue: Mutex<VecDeque<PendingSend>>,
    /// Readable while the queue may have messages.
    wake: OwnedFd,
    is_open: AtomicBool,
}

impl Outgoing {
    /// An empty queue.
    ///
    /// # Errors
    /// `Machine` if the process is out of descriptors.
    pub fn new() -> Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| Fault::new(Kind::Machine, format!("cannot make an eventfd: {e}")))?;
        Ok(Self { queue: Mutex::default(), wake, is_open: AtomicBool::new(false) })
    }

    /// Whether the listener is connected. While it is not, no delivery is begun.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// The listener is connected.
    pub fn open(&self) {
        self.is_open.store(true, Ordering::Release);
    }

    /// The listener is not connected: waiting messages are unsent.
    pub fn close(&self) {
        self.is_open.store(false, Ordering::Release);
        self.take().into_iter().for_each(|pending| pending.finish(SendResult::Unsent));
    }

    /// Hands a message over, and waits for its result at most this long.
    #[must_use]
    pub fn exchange(&self, message: OutgoingMessage, timeout: Duration) -> SendResult {
        if !self.is_open() {
            return SendResult::Unsent;
        }
        let (answer, result) = mpsc::channel();
        let id = message.id.clone();
        self.lock().push_back(PendingSend { message, answer });
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        match result.recv_timeout(timeout) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                let mut queue = self.lock();
                let before = queue.len();
                queue.retain(|pending| pending.message.id != id);
                // A listener that has taken it may have sent it.
                if queue.len() < before { SendResult::Unsent } else { SendResult::Unknown }
            }
            // The listener has dropped it unseen.
            Err(RecvTimeoutError::Disconnected) => SendResult::Unknown,
        }
    }

    /// Readable while messages may be waiting.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// The waiting messages, oldest first.
    #[must_use]
    pub fn take(&self) -> Vec<PendingSend> {
        let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
        self.lock().drain(..).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<PendingSend>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str) -> OutgoingMessage {
        OutgoingMessage { id: id.into(), to: "ann".into(), text: "hi".into(), attempt: 1, maybe_repeated: false }
    }

    #[test]
    fn message_that_no_listener_took_is_unsent_and_a_taken_one_unknown() {
        let outgoing = Outgoing::new().unwrap();
        outgoing.open();
        assert_eq!(outgoing.exchange(message("a"), Duration::ZERO), SendResult::Unsent);
        assert!(outgoing.take().is_empty(), "it was withdrawn");
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| outgoing.exchange(message("b"), Duration::from_secs(30)));
            let mut taken = Vec::new();
            while taken.is_empty() {
                taken = outgoing.take();
            }
            assert_eq!(taken[0].message, message("b"));
            drop(taken);
            assert_eq!(sender.join().unwrap(), SendResult::Unknown);
        });
    }

    #[test]
    fn result_reaches_the_delivering_thread() {
        let outgoing = Outgoing::new().unwrap();
        outgoing.open();
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| outgoing.exchange(message("a"), Duration::from_secs(30)));
            let mut taken = Vec::new();
            while taken.is_empty() {
                taken = outgoing.take();
            }
            taken.remove(0).finish(SendResult::Sent("7".into()));
            assert_eq!(sender.join().unwrap(), SendResult::Sent("7".into()));
        });
        outgoing.close();
        assert_eq!(outgoing.exchange(message("b"), Duration::from_secs(30)), SendResult::Unsent, "without a wait");
    }
}
