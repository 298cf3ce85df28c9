//! The threads of a pool: as many as events were handled at once. Idle threads end after a while.

use crate::core::event::entry::Entry;
use crate::stage::outcome::Outcome;
use crate::stage::worker::attempt;
use crate::stage::worker::handler::Handler;
use crate::stage::worker::queue::LaneView;
use crate::store::lock::Lane;
use crate::store::queue::spool::Job;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;
use std::time::Duration;

/// How long idle threads are kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// A notification for a pool.
#[derive(Debug)]
pub enum PoolMessage {
    /// A worker has finished an event; without an outcome it was killed, and the event is still there.
    Finished(Box<LaneView>, Option<Outcome>),
    /// A file has arrived in `ready`.
    Arrived(Entry),
    /// A lane was released.
    LaneReleased(String),
    /// Slots were released.
    SlotsReleased,
    /// An event is due.
    Due,
    /// Notifications may have been lost: list the mailbox.
    Rescan,
    /// Begin no further event.
    Stop,
}

/// The input of a worker: the lane, which it releases; the event; and the rest of the lane.
pub(crate) type Assignment<'w> = (Lane, Job<'w>, LaneView);

/// The queue that all threads of a pool take their work from.
type Assignments<'w> = Arc<Mutex<Receiver<Assignment<'w>>>>;

/// The threads of a pool.
pub(crate) struct Workers<'s, 'e, 'w> {
    scope: &'s Scope<'s, 'e>,
    handler: &'w dyn Handler,
    /// To the pool.
    messages: Sender<PoolMessage>,
    /// To the threads.
    sender: Sender<Assignment<'w>>,
    assignments: Assignments<'w>,
    threads: usize,
    /// Events in progress.
    pub(crate) busy: usize,
}

impl<'s, 'w: 's> Workers<'s, '_, 'w> {
    pub(crate) fn new<'e>(
        scope: &'s Scope<'s, 'e>,
        handler: &'w dyn Handler,
        messages: &Sender<PoolMessage>,
    ) -> Workers<'s, 'e, 'w> {
        let (sender, receiver) = mpsc::channel();
        let assignments = Arc::new(Mutex::new(receiver));
        Workers { scope, handler, messages: messages.clone(), sender, assignments, threads: 0, busy: 0 }
    }

    /// Has a thread handle the event. If no thread can be created, the calling one handles it.
    pub(crate) fn assign(&mut self, assignment: Assignment<'w>) {
        if self.busy == self.threads {
            let (handler, messages, assignments) = (self.handler, self.messages.clone(), Arc::clone(&self.assignments));
            let thread = std::thread::Builder::new().spawn_scoped(self.scope, move || {
                while let Some(assignment) = next(&assignments) {
                    handle(handler, &messages, assignment);
                }
            });
            self.threads += usize::from(thread.is_ok());
        }
        self.busy += 1;
        if self.threads == 0 {
            return handle(self.handler, &self.messages, assignment);
        }
        let _ = self.sender.send(assignment);
    }

    /// When to call [`Self::dismiss_idle`] if no message arrives; `None` if no thread is idle, or some are busy.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        (self.busy == 0 && self.threads > 0).then_some(IDLE_TIMEOUT)
    }

    /// Ends the threads if all are idle, by closing their queue.
    pub(crate) fn dismiss_idle(&mut self) {
        if self.busy == 0 && self.threads > 0 {
            let (sender, receiver) = mpsc::channel();
            (self.sender, self.assignments, self.threads) = (sender, Arc::new(Mutex::new(receiver)), 0);
        }
    }
}

fn next<'w>(assignments: &Assignments<'w>) -> Option<Assignment<'w>> {
    assignments.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Handles one event, then releases its lane. A panic counts as a crash of this event and affects no other.
fn handle(handler: &dyn Handler, messages: &Sender<PoolMessage>, (lane, job, mut view): Assignment) {
    let id = job.entry.id.clone();
    let outcome = catch_unwind(AssertUnwindSafe(|| attempt::run(handler, job, &lane))).ok().flatten();
    view.entries.retain(|(_, entry)| entry.id != id);
    view.version = lane.release();
    let _ = messages.send(PoolMessage::Finished(Box::new(view), outcome));
}
