//! A pool handles the events of one mailbox with several threads: different lanes in parallel, each lane in its order,
//! the lane that was served longest ago first. Every lane is served once before any is served again. One listing of the
//! folders serves many events.

use crate::core::event::stamp::{SECOND, Stamp};
use crate::core::fault::{Fault, Result};
use crate::stage::outcome::{EventOutcome, Outcome};
use crate::stage::worker::handler::Handler;
use crate::stage::worker::queue::{LaneQueue, LaneView};
use crate::stage::worker::threads::{Assignment, PoolMessage, Workers};
use crate::store::lock::slots::{Reservations, Slots, SlotsTaken};
use crate::store::lock::{self, Lane};
use crate::store::queue::listing;
use crate::store::queue::spool::{self, LaneHead};
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::State;
use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, RecvError, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// How long a mailbox pauses after a `Machine` fault, in microseconds.
const PAUSE: i64 = 5 * SECOND;
/// While there is other work, listing takes at most one part in this many of the time.
const SHARE: u32 = 20;
/// The shortest wait for the next listing.
const TICK: Duration = Duration::from_millis(5);

/// When a pool ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    /// When no event is ready. It receives no notifications of changes.
    Drain,
    /// When it is stopped.
    Forever,
}

/// The result of an attempt to begin the next event of a lane.
enum Claim<'w> {
    Begun(Box<Assignment<'w>>),
    /// Another worker or process holds the lane.
    Locked,
    /// The lane is empty, or its head is not due.
    Idle(LaneView),
    NoSlot(LaneView),
}

/// Handles all pending and free events of a handler with at most `width` threads, and returns.
///
/// # Errors
/// `Machine`.
pub fn drain(
    workspace: &Workspace,
    handler: &dyn Handler,
    width: usize,
    report: &mut dyn FnMut(Outcome),
) -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    run(workspace, handler, &|| width, PoolMode::Drain, (&sender, &receiver), report, &|_| {}).map(drop)
}

/// Handles events until none is ready (or until it is stopped), and calls `report` with every outcome. `width` is the
/// most events in progress at once; it is evaluated again after every message. `before_sleep` is called before each
/// sleep with the instant when the next event is due. Returns the last such instant.
///
/// # Errors
/// `Machine`, in [`PoolMode::Drain`]; in [`PoolMode::Forever`] the mailbox pauses instead.
pub fn run(
    workspace: &Workspace,
    handler: &dyn Handler,
    width: &dyn Fn() -> usize,
    mode: PoolMode,
    (sender, receiver): (&Sender<PoolMessage>, &Receiver<PoolMessage>),
    report: &mut dyn FnMut(Outcome),
    before_sleep: &dyn Fn(Option<Stamp>),
) -> Result<Option<Stamp>> {
    std::thread::scope(|scope| {
        let mut pool = Pool::new(workspace, handler, mode);
        let mut workers = Workers::new(scope, handler, sender);
        let mut io_fault = None;
        let mut stopping = false;
        loop {
            let width = width().min(pool.limit);
            let fill = if stopping || io_fault.is_some() { Ok(()) } else { pool.fill(&mut workers, width) };
            if let Err(fault) = fill {
                if mode == PoolMode::Forever {
                    workspace.world.say(&format!("{fault}; {} pauses", handler.mailbox().name()));
                    pool.pause();
                }
                io_fault = (mode == PoolMode::Drain).then_some(fault);
            }
            let is_idle = workers.busy == 0 && (stopping || mode == PoolMode::Drain);
            if is_idle {
                return io_fault.map_or(Ok(pool.due), Err);
            }
            before_sleep(pool.due);
            // The pool owns a sender too, so the channel is never closed. If all workers are busy, or none may be
            // started, only a message can change anything.
            let can_start = workers.busy < width && !stopping && io_fault.is_none();
            let message = match pool.message_timeout().filter(|_| can_start).or(workers.idle_timeout()) {
                Some(rest) => match receiver.recv_timeout(rest) {
                    Err(RecvTimeoutError::Timeout) => {
                        workers.dismiss_idle();
                        continue;
                    }
                    other => other.map_err(|_| RecvError),
                },
                None => receiver.recv(),
            };
            // All pending messages are handled before an event is begun.
            let Ok(first) = message else {
                stopping = true;
                continue;
            };
            for message in std::iter::once(first).chain(receiver.try_iter()) {
                match message {
                    PoolMessage::Finished(view, outcome) => {
                        workers.busy -= 1;
                        if let Some(fault) = pool.finished(*view, outcome.as_ref()) {
                            if mode == PoolMode::Forever { pool.pause() } else { io_fault = Some(fault) }
                        }
                        outcome.into_iter().for_each(&mut *report);
                    }
                    PoolMessage::Stop => stopping = true,
                    other => pool.handle(other),
                }
            }
        }
    })
}

struct Pool<'w> {
    workspace: &'w Workspace,
    handler: &'w dyn Handler,
    mode: PoolMode,
    queue: LaneQueue<'w>,
    /// The queue may be incomplete; the next listing completes it.
    is_stale: bool,
    /// The end of the last listing.
    listed: Instant,
    /// The duration of the last listing.
    cost: Duration,
    /// When the first waiting event is due.
    due: Option<Stamp>,
    /// No event is begun before this instant.
    paused: Option<Stamp>,
    /// The most events at once. After a `Machine` fault it is one, because the machine may be short of descriptors or
    /// processes, and each event that ends doubles it.
    limit: usize,
}

impl<'w> Pool<'w> {
    fn new(workspace: &'w Workspace, handler: &'w dyn Handler, mode: PoolMode) -> Self {
        Self {
            workspace,
            handler,
            mode,
            queue: LaneQueue::new(handler),
            is_stale: true,
            listed: Instant::now(),
            cost: Duration::ZERO,
            due: None,
            paused: None,
            limit: usize::MAX,
        }
    }

    /// Begins events until the pool is full or no lane can be served.
    fn fill<'s>(&mut self, workers: &mut Workers<'s, '_, 'w>, width: usize) -> Result<()>
    where
        'w: 's,
    {
        let now = self.workspace.world.now();
        // A pause of more than `PAUSE` began before the clock was set back.
        let is_over = |until: &mut Stamp| *until <= now || *until > Stamp(now.0 + PAUSE);
        // Listing finds the due events. Until then the instant is removed, or the pool would wake again and again.
        let is_due = self.due.take_if(|due| *due <= now).is_some();
        self.is_stale |= self.paused.take_if(is_over).is_some() || is_due;
        if self.paused.is_some() {
            self.due = self.paused;
            return Ok(());
        }
        while workers.busy < width {
            let is_full = workers.busy == 0 && self.queue.is_full();
            if self.is_stale && (self.queue.is_empty() || is_full || self.listing_delay().is_zero()) {
                self.list()?;
            }
            let Some(view) = self.queue.next() else { return Ok(()) };
            let lane = view.lane.clone();
            match self.start(view) {
                Ok(Claim::Begun(begun)) => workers.assign(*begun),
                Ok(Claim::Locked) => self.queue.locked_elsewhere(lane),
                Ok(Claim::Idle(view)) => self.queue.idle(view),
                Ok(Claim::NoSlot(view)) => self.queue.no_slot(view),
                Err(fault) => {
                    self.queue.forget(&lane);
                    return Err(fault);
                }
            }
        }
        Ok(())
    }

    /// How long the next listing must wait, so that listing takes no more than its share of the time.
    fn listing_delay(&self) -> Duration {
        (self.cost * SHARE).saturating_sub(self.listed.elapsed())
    }

    /// The longest wait for a message, if a listing is pending.
    fn message_timeout(&self) -> Option<Duration> {
        (self.is_stale && self.paused.is_none() && !self.queue.is_empty()).then(|| self.listing_delay().max(TICK))
    }

    /// Lists the mailbox. A lane's version is read before the lane is listed, so that it proves the listing.
    fn list(&mut self) -> Result<()> {
        let began = Instant::now();
        let mailbox = self.handler.mailbox();
        let handles = |lane: &str| self.handler.handles(lane);
        let mut seen = BTreeMap::new();
        let mut lanes = listing::lanes_with(self.workspace, mailbox, &handles, &mut |lane| {
            seen.insert(lane.to_owned(), lock::lane_state(self.workspace, mailbox, lane)?);
            Ok(())
        })?;
        let mut order: Vec<_> = seen.into_iter().map(|(lane, seen)| (seen.served, lane, seen.version)).collect();
        order.sort();
        let known = |(_, lane, version): (_, String, _)| {
            let entries = lanes.remove(&lane)?;
            Some(LaneView { lane, version, entries })
        };
        self.queue.listed(order.into_iter().filter_map(known));
        self.due = None;
        self.is_stale = false;
        self.listed = Instant::now();
        self.cost = began.elapsed();
        Ok(())
    }

    fn start(&mut self, mut view: LaneView) -> Result<Claim<'w>> {
        let mailbox = self.handler.mailbox();
        let groups = self.handler.slots(self.handler.limit_key(&view.lane))?;
        if Slots::all_held_here(self.workspace, &groups) {
            return Ok(Claim::NoSlot(view));
        }
        let Some(mut probe) = Lane::probe(self.workspace, mailbox, &view.lane)? else { return Ok(Claim::Locked) };
        let is_current = probe.version().is_some() && probe.version() == view.version;
        if let (true, Some((State::Wait, entry))) = (is_current, view.entries.first())
            && let Some(due) = spool::waits_until(self.workspace, entry)
        {
            // The probe is dropped unarmed and wakes no waiter, because nothing has changed.
            self.is_due(due);
            return Ok(Claim::Idle(view));
        }
        probe.arm()?;
        let SlotsTaken::All(slots) = Slots::attempt(self.workspace, &groups, &Reservations::default())? else {
            return Ok(Claim::NoSlot(view));
        };
        let lane = probe.take()?;
        lane.occupy(slots);
        if !is_current {
            view.entries = listing::lane(self.workspace, mailbox, &view.lane)?;
        }
        match spool::claim(self.workspace, mailbox, &lane, &mut view.entries)? {
            LaneHead::Job(job) => return Ok(Claim::Begun(Box::new((lane, job, view)))),
            LaneHead::NotDue(due) => self.is_due(due),
            // A process that added an event meanwhile found the lane locked, and a draining pool gets no notification.
            LaneHead::Nothing => self.is_stale |= self.mode == PoolMode::Drain,
        }
        view.version = lane.release();
        Ok(Claim::Idle(view))
    }

    /// Handles the end of an event. Returns a fault that stops or pauses the pool.
    fn finished(&mut self, view: LaneView, outcome: Option<&Outcome>) -> Option<Fault> {
        self.queue.slots_released();
        // A draining pool gets no notification of their release, and would serve the other lanes again and again.
        self.queue.retry_locked();
        if !matches!(outcome, None | Some(Outcome { state: EventOutcome::GivenBack(_), .. })) {
            self.limit = self.limit.saturating_mul(2);
        }
        match outcome {
            Some(Outcome { id, state: EventOutcome::Done(_) | EventOutcome::Failed(_) }) => {
                // A draining pool gets no notification of events that arrived while it held the lane, and the process
                // that added them may have found the lane locked.
                let is_notified = self.mode == PoolMode::Forever || !view.entries.is_empty();
                self.is_stale |= !self.queue.finished(view, id) || !is_notified;
                return None;
            }
            Some(Outcome { id, state: EventOutcome::Waiting(due, _) }) => {
                self.queue.retries_later(view, id, *due);
                self.is_due(*due);
                return None;
            }
            Some(Outcome { state: EventOutcome::GivenBack(fault), .. }) => {
                self.queue.forget(&view.lane);
                return Some(fault.clone());
            }
            None => self.is_stale = true,
        }
        self.queue.forget(&view.lane);
        None
    }

    fn handle(&mut self, message: PoolMessage) {
        match message {
            PoolMessage::Arrived(entry) if self.handler.handles(&entry.lane) => {
                self.is_stale |= !self.queue.arrived(entry);
            }
            PoolMessage::LaneReleased(lane) if self.handler.handles(&lane) => {
                self.is_stale |= self.queue.lane_released(&lane);
            }
            PoolMessage::SlotsReleased => self.queue.slots_released(),
            PoolMessage::Due => self.is_stale = true,
            PoolMessage::Rescan => {
                self.queue.invalidate();
                self.is_stale = true;
            }
            PoolMessage::Arrived(_) | PoolMessage::LaneReleased(_) | PoolMessage::Finished(..) | PoolMessage::Stop => {}
        }
    }

    fn pause(&mut self) {
        self.queue.clear();
        self.limit = 1;
        self.paused = Some(Stamp(self.workspace.world.now().0 + PAUSE));
        self.due = self.paused;
    }

    fn is_due(&mut self, due: Stamp) {
        self.due = Some(self.due.map_or(due, |other| other.min(due)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::remember::Remember;
    use crate::world::World;
    use std::sync::mpsc;

    /// The state of a pool with an empty mailbox after `fill`: whether it pauses, whether an event is due, whether a
    /// listing is pending. The times are seconds from now.
    fn filled(paused: Option<i64>, due: Option<i64>, width: usize) -> (bool, bool, bool) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("claw.yaml"), "sync: none\n").unwrap();
        let workspace = Workspace::open(World::real().unwrap(), dir.path().to_owned(), true).unwrap();
        workspace.make_layout().unwrap();
        let work = Remember { workspace: &workspace };
        let (sender, _receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            let mut workers = Workers::new(scope, &work, &sender);
            let mut pool = Pool::new(&workspace, &work, PoolMode::Forever);
            let from_now = |seconds| workspace.world.now().plus_seconds(seconds);
            (pool.paused, pool.due, pool.is_stale) = (paused.map(from_now), due.map(from_now), false);
            pool.fill(&mut workers, width).unwrap();
            (pool.paused.is_some(), pool.due.is_some(), pool.is_stale)
        })
    }

    #[test]
    fn pause_ends_in_time_and_when_the_clock_was_set_back() {
        assert_eq!(filled(Some(4), None, 1), (true, true, false));
        assert_eq!(filled(Some(0), Some(0), 1), (false, false, false));
        assert_eq!(filled(Some(3600), Some(3600), 1), (false, false, false), "the mailbox was listed");
    }

    #[test]
    fn event_due_while_no_worker_is_free_wakes_once() {
        assert_eq!(filled(None, Some(60), 0), (false, true, false));
        assert_eq!(filled(None, Some(0), 0), (false, false, true), "the listing waits for a free worker");
        assert_eq!(filled(None, Some(0), 1), (false, false, false), "the mailbox was listed");
    }
}
