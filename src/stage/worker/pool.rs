//! Working off a box with several threads: different lanes in parallel, each lane in its order, the
//! lane that was served longest ago first. A round serves every lane once before any is served
//! again; the folders are listed once for many events, not once for each.

use crate::core::event::stamp::{SECOND, Stamp};
use crate::core::fault::{Fault, Result};
use crate::stage::outcome::{EventOutcome, Outcome};
use crate::stage::worker::handler::Handler;
use crate::stage::worker::queue::{LaneQueue, View};
use crate::stage::worker::threads::{Assignment, Crew, PoolMessage};
use crate::store::lock::slots::{Reservations, Slots, SlotsTaken};
use crate::store::lock::{self, Lane};
use crate::store::queue::listing;
use crate::store::queue::spool::{self, LaneHead};
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::State;
use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, RecvError, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// How long a box pauses when the machine is in trouble.
const PAUSE: i64 = 5 * SECOND;
/// Listing may take one part in this many of the time while there is other work.
const SHARE: u32 = 20;
/// The shortest wait for the next listing.
const TICK: Duration = Duration::from_millis(5);

/// Whether a pool ends when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    /// It does.
    Drain,
    /// It sleeps until it hears something.
    Forever,
}

enum Claim<'w> {
    Begun(Box<Assignment<'w>>),
    /// Somebody else does it.
    Elsewhere,
    /// Nothing can be done in it now.
    Rests(View),
    NoSlot(View),
}

/// Handles all pending and free events of a handler with at most `width` threads, and returns.
///
/// # Errors
/// The machine's trouble.
pub fn drain(
    workspace: &Workspace,
    handler: &dyn Handler,
    width: usize,
    report: &mut dyn FnMut(Outcome),
) -> Result<()> {
    let (tell, hear) = mpsc::channel();
    run(workspace, handler, &|| width, PoolMode::Drain, (&tell, &hear), report, &|_| {}).map(drop)
}

/// Works until there is nothing left (or for ever), and tells every outcome. `width` says how many events may
/// be worked on at once, and is asked again whenever something has happened. `sleeping` is told,
/// before each sleep, when the next event is due; the answer of the last call is returned.
///
/// # Errors
/// The machine's trouble, in [`PoolMode::Drain`]; else the box pauses.
pub fn run(
    workspace: &Workspace,
    work: &dyn Handler,
    width: &dyn Fn() -> usize,
    mode: PoolMode,
    (tell, hear): (&Sender<PoolMessage>, &Receiver<PoolMessage>),
    report: &mut dyn FnMut(Outcome),
    sleeping: &dyn Fn(Option<Stamp>),
) -> Result<Option<Stamp>> {
    std::thread::scope(|scope| {
        let mut pool = Pool::new(workspace, work, mode);
        let mut threads = Crew::new(scope, work, tell);
        let mut io_fault = None;
        let mut stopping = false;
        loop {
            let width = width();
            let fill = if stopping || io_fault.is_some() { Ok(()) } else { pool.fill(&mut threads, width) };
            if let Err(fault) = fill {
                if mode == PoolMode::Forever {
                    workspace.world.say(&format!("{fault}; {} pauses", work.mailbox().name()));
                    pool.pause();
                }
                io_fault = (mode == PoolMode::Drain).then_some(fault);
            }
            let is_idle = threads.busy == 0 && (stopping || mode == PoolMode::Drain);
            if is_idle {
                return io_fault.map_or(Ok(pool.due), Err);
            }
            sleeping(pool.due);
            // A pool's own sender lives as long as it does, so there is always a word to come.
            // With every worker busy, or none to be started, only a word can change anything.
            let can_start = threads.busy < width && !stopping && io_fault.is_none();
            let heard = match pool.waits().filter(|_| can_start).or(threads.retry_policy()) {
                Some(rest) => match hear.recv_timeout(rest) {
                    Err(RecvTimeoutError::Timeout) => {
                        threads.rest();
                        continue;
                    }
                    other => other.map_err(|_| RecvError),
                },
                None => hear.recv(),
            };
            // Everything that was said is heard before anything is begun.
            let Ok(first) = heard else {
                stopping = true;
                continue;
            };
            for word in std::iter::once(first).chain(hear.try_iter()) {
                match word {
                    PoolMessage::Ended(view, outcome) => {
                        threads.busy -= 1;
                        if let Some(fault) = pool.ended(*view, outcome.as_ref()) {
                            if mode == PoolMode::Forever { pool.pause() } else { io_fault = Some(fault) }
                        }
                        outcome.into_iter().for_each(&mut *report);
                    }
                    PoolMessage::Stop => stopping = true,
                    other => pool.hear(other),
                }
            }
        }
    })
}

struct Pool<'w> {
    workspace: &'w Workspace,
    work: &'w dyn Handler,
    mode: PoolMode,
    queue: LaneQueue<'w>,
    /// There may be something that the queue does not know.
    is_stale: bool,
    listed: Instant,
    cost: Duration,
    due: Option<Stamp>,
    /// Nothing is begun before this instant.
    paused: Option<Stamp>,
}

impl<'w> Pool<'w> {
    fn new(workspace: &'w Workspace, work: &'w dyn Handler, mode: PoolMode) -> Self {
        Self {
            workspace,
            work,
            mode,
            queue: LaneQueue::new(work),
            is_stale: true,
            listed: Instant::now(),
            cost: Duration::ZERO,
            due: None,
            paused: None,
        }
    }

    /// Starts workers until the pool is full or there is nothing to start.
    fn fill<'s>(&mut self, threads: &mut Crew<'s, '_, 'w>, width: usize) -> Result<()>
    where
        'w: 's,
    {
        let now = self.workspace.world.now();
        // A pause that is longer than one is began before the clock was set back.
        let is_over = |until: &mut Stamp| *until <= now || *until > Stamp(now.0 + PAUSE);
        // What is due is found by listing. Until then it stays untold, or it would be due at once, again and again.
        let is_due = self.due.take_if(|due| *due <= now).is_some();
        self.is_stale |= self.paused.take_if(is_over).is_some() || is_due;
        if self.paused.is_some() {
            self.due = self.paused;
            return Ok(());
        }
        while threads.busy < width {
            let is_full = threads.busy == 0 && self.queue.is_full();
            if self.is_stale && (self.queue.is_empty() || is_full || self.rest().is_zero()) {
                self.list()?;
            }
            let Some(view) = self.queue.next() else { return Ok(()) };
            let lane = view.lane.clone();
            match self.start(view) {
                Ok(Claim::Begun(begun)) => threads.give(*begun),
                Ok(Claim::Elsewhere) => self.queue.is_elsewhere(lane),
                Ok(Claim::Rests(view)) => self.queue.rests(view),
                Ok(Claim::NoSlot(view)) => self.queue.has_no_slot(view),
                Err(fault) => {
                    self.queue.forget(&lane);
                    return Err(fault);
                }
            }
        }
        Ok(())
    }

    /// How long listing has to wait, so that it takes no more than its share of the time.
    fn rest(&self) -> Duration {
        (self.cost * SHARE).saturating_sub(self.listed.elapsed())
    }

    /// How long to wait for a word at most: there may be something new that is not listed yet.
    fn waits(&self) -> Option<Duration> {
        (self.is_stale && self.paused.is_none() && !self.queue.is_empty()).then(|| self.rest().max(TICK))
    }

    /// Lists the box. The versions are read before the listing that they vouch for.
    fn list(&mut self) -> Result<()> {
        let began = Instant::now();
        let mailbox = self.work.mailbox();
        let handles = |lane: &str| self.work.handles(lane);
        let mut seen = BTreeMap::new();
        let mut lanes = listing::lanes_with(self.workspace, mailbox, &handles, &mut |lane| {
            seen.insert(lane.to_owned(), lock::lane_state(self.workspace, mailbox, lane)?);
            Ok(())
        })?;
        let mut order: Vec<_> = seen.into_iter().map(|(lane, seen)| (seen.served, lane, seen.version)).collect();
        order.sort();
        let known = |(_, lane, version): (_, String, _)| {
            let entries = lanes.remove(&lane)?;
            Some(View { lane, version, entries })
        };
        self.queue.listed(order.into_iter().filter_map(known));
        self.due = None;
        self.is_stale = false;
        self.listed = Instant::now();
        self.cost = began.elapsed();
        Ok(())
    }

    fn start(&mut self, mut view: View) -> Result<Claim<'w>> {
        let mailbox = self.work.mailbox();
        let groups = self.work.slots(self.work.limit_key(&view.lane))?;
        if Slots::all_held_here(self.workspace, &groups) {
            return Ok(Claim::NoSlot(view));
        }
        let Some(mut tried) = Lane::probe(self.workspace, mailbox, &view.lane)? else { return Ok(Claim::Elsewhere) };
        let is_true = tried.version().is_some() && tried.version() == view.version;
        if let (true, Some((State::Wait, entry))) = (is_true, view.entries.first())
            && let Some(due) = entry.waits(self.workspace.world.now())
        {
            // Nobody is woken by this: nothing has changed.
            self.is_due(due);
            return Ok(Claim::Rests(view));
        }
        tried.arm()?;
        let SlotsTaken::All(slots) = Slots::attempt(self.workspace, &groups, &Reservations::default())? else {
            return Ok(Claim::NoSlot(view));
        };
        let lane = tried.take()?;
        lane.occupy(slots);
        if !is_true {
            view.entries = listing::lane(self.workspace, mailbox, &view.lane)?;
        }
        match spool::claim(self.workspace, mailbox, &lane, &mut view.entries)? {
            LaneHead::Job(job) => return Ok(Claim::Begun(Box::new((lane, job, view)))),
            LaneHead::NotDue(due) => self.is_due(due),
            // Who brought something meanwhile has found the lane held; a pool that drains is not told.
            LaneHead::Nothing => self.is_stale |= self.mode == PoolMode::Drain,
        }
        view.version = lane.release();
        Ok(Claim::Rests(view))
    }

    /// A worker is through. Returns the machine's trouble.
    fn ended(&mut self, view: View, outcome: Option<&Outcome>) -> Option<Fault> {
        self.queue.has_slots();
        // One that drains is not told when they are let go of, and would serve the others again and again.
        self.queue.again();
        match outcome {
            Some(Outcome { id, state: EventOutcome::Done(_) | EventOutcome::Failed(_) }) => {
                // Nobody tells a pool that drains what came while it held the lane, and whoever put it there
                // may have found the lane held.
                let is_told = self.mode == PoolMode::Forever || !view.entries.is_empty();
                self.is_stale |= !self.queue.ended(view, id) || !is_told;
                return None;
            }
            Some(Outcome { id, state: EventOutcome::Waiting(due, _) }) => {
                self.queue.waits(view, id, *due);
                self.is_due(*due);
                return None;
            }
            Some(Outcome { state: EventOutcome::Untouched(fault), .. }) => {
                self.queue.forget(&view.lane);
                return Some(fault.clone());
            }
            None => self.is_stale = true,
        }
        self.queue.forget(&view.lane);
        None
    }

    fn hear(&mut self, word: PoolMessage) {
        match word {
            PoolMessage::Arrived(entry) if self.work.handles(&entry.lane) => self.is_stale |= !self.queue.came(entry),
            PoolMessage::LaneReleased(lane) if self.work.handles(&lane) => self.is_stale |= self.queue.freed(&lane),
            PoolMessage::SlotsReleased => self.queue.has_slots(),
            PoolMessage::Due => self.is_stale = true,
            PoolMessage::Rescan => {
                self.queue.missed();
                self.is_stale = true;
            }
            PoolMessage::Arrived(_) | PoolMessage::LaneReleased(_) | PoolMessage::Ended(..) | PoolMessage::Stop => {}
        }
    }

    fn pause(&mut self) {
        self.queue.clear();
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

    /// How a pool with nothing in its box stands when it has been filled: whether it pauses, whether something is
    /// due, whether it has to list. The times are seconds from now.
    fn filled(paused: Option<i64>, due: Option<i64>, width: usize) -> (bool, bool, bool) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("claw.yaml"), "sync: none\n").unwrap();
        let workspace = Workspace::open(World::real().unwrap(), dir.path().to_owned(), true).unwrap();
        workspace.make_layout().unwrap();
        let work = Remember { workspace: &workspace };
        let (tell, _hear) = mpsc::channel();
        std::thread::scope(|scope| {
            let mut threads = Crew::new(scope, &work, &tell);
            let mut pool = Pool::new(&workspace, &work, PoolMode::Forever);
            let from_now = |seconds| workspace.world.now().plus_seconds(seconds);
            (pool.paused, pool.due, pool.is_stale) = (paused.map(from_now), due.map(from_now), false);
            pool.fill(&mut threads, width).unwrap();
            (pool.paused.is_some(), pool.due.is_some(), pool.is_stale)
        })
    }

    #[test]
    fn a_pause_ends_when_it_is_over_and_where_the_clock_was_set_back() {
        assert_eq!(filled(Some(4), None, 1), (true, true, false));
        assert_eq!(filled(Some(0), Some(0), 1), (false, false, false));
        assert_eq!(filled(Some(3600), Some(3600), 1), (false, false, false), "it has listed");
    }

    #[test]
    fn what_is_due_while_nothing_can_be_begun_wakes_once() {
        assert_eq!(filled(None, Some(60), 0), (false, true, false));
        assert_eq!(filled(None, Some(0), 0), (false, false, true), "it is listed when a worker is free");
        assert_eq!(filled(None, Some(0), 1), (false, false, false), "it has listed");
    }
}
