//! The threads of a pool: as many as there has been work for at once, and none where there has been
//! none for a while.

use crate::core::event::entry::Entry;
use crate::stage::outcome::Outcome;
use crate::stage::worker::handler::Handler;
use crate::stage::worker::queue::View;
use crate::store::lock::Lane;
use crate::store::queue::spool::Job;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;
use std::time::Duration;

/// How long idle threads are kept.
const PATIENCE: Duration = Duration::from_secs(1);

/// A notification for a pool.
#[derive(Debug)]
pub enum PoolMessage {
    /// A worker has finished.
    Ended(Box<View>, Option<Outcome>),
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

/// What a worker needs: the lane that it lets go of, the event, and what is left behind it.
pub(crate) type Assignment<'w> = (Lane, Job<'w>, View);

/// The place where workers find what they are to do.
type Assignments<'w> = Arc<Mutex<Receiver<Assignment<'w>>>>;

/// Workers, and how many of them are at work.
pub(crate) struct Crew<'s, 'e, 'w> {
    scope: &'s Scope<'s, 'e>,
    work: &'w dyn Handler,
    tell: Sender<PoolMessage>,
    give: Sender<Assignment<'w>>,
    desk: Assignments<'w>,
    hired: usize,
    /// How many events are being worked on.
    pub(crate) busy: usize,
}

impl<'s, 'w: 's> Crew<'s, '_, 'w> {
    pub(crate) fn new<'e>(
        scope: &'s Scope<'s, 'e>,
        work: &'w dyn Handler,
        tell: &Sender<PoolMessage>,
    ) -> Crew<'s, 'e, 'w> {
        let (give, take) = mpsc::channel();
        Crew { scope, work, tell: tell.clone(), give, desk: Arc::new(Mutex::new(take)), hired: 0, busy: 0 }
    }

    /// Has somebody work on an event. Where no thread can be made, it is done here.
    pub(crate) fn give(&mut self, begun: Assignment<'w>) {
        if self.busy == self.hired {
            let (work, tell, desk) = (self.work, self.tell.clone(), Arc::clone(&self.desk));
            let hired = std::thread::Builder::new().spawn_scoped(self.scope, move || {
                while let Some(begun) = next(&desk) {
                    serve(work, &tell, begun);
                }
            });
            self.hired += usize::from(hired.is_ok());
        }
        self.busy += 1;
        if self.hired == 0 {
            return serve(self.work, &self.tell, begun);
        }
        let _ = self.give.send(begun);
    }

    /// After how long idle threads may go home.
    pub(crate) fn retry_policy(&self) -> Option<Duration> {
        (self.busy == 0 && self.hired > 0).then_some(PATIENCE)
    }

    /// There has been no word for a while.
    pub(crate) fn rest(&mut self) {
        if self.busy == 0 && self.hired > 0 {
            let (give, take) = mpsc::channel();
            (self.give, self.desk, self.hired) = (give, Arc::new(Mutex::new(take)), 0);
        }
    }
}

fn next<'w>(desk: &Assignments<'w>) -> Option<Assignment<'w>> {
    desk.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// One event, then its lane is let go of. A panic costs that event one of its lives, and nobody else
/// anything.
fn serve(work: &dyn Handler, tell: &Sender<PoolMessage>, (lane, job, mut view): Assignment) {
    let id = job.entry.id.clone();
    let outcome = catch_unwind(AssertUnwindSafe(|| work.run(job, &lane))).ok();
    view.entries.retain(|(_, entry)| entry.id != id);
    view.version = lane.release();
    let _ = tell.send(PoolMessage::Ended(Box::new(view), outcome));
}
