//! Working off a box with several threads: different lanes in parallel, each lane in its order, the
//! lane that was served longest ago first. A round serves every lane once before any is served
//! again; the folders are listed once for many events, not once for each.

use crate::core::entry::Entry;
use crate::core::fault::{Fault, Result};
use crate::core::stamp::{SECOND, Stamp};
use crate::stage::{Outcome, Standing};
use crate::store::boxes::{Side, State};
use crate::store::lock::{self, Lane, Slots};
use crate::store::spool::{self, Head, Job};
use crate::store::workspace::Workspace;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvError, RecvTimeoutError, Sender};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// How long a box pauses when the machine is in trouble.
const PAUSE: i64 = 5 * SECOND;
/// Listing may take one part in this many of the time while there is other work.
const SHARE: u32 = 20;
/// The shortest wait for the next listing.
const TICK: Duration = Duration::from_millis(5);

/// What is done with the events of one box.
pub trait Work: Sync {
    /// Which box.
    fn side(&self) -> Side;
    /// Whether this work is for that lane.
    fn wants(&self, lane: &str) -> bool;
    /// What limits this lane: slots are taken under this name. Lanes of one name share them.
    fn key<'a>(&self, lane: &'a str) -> &'a str;
    /// The groups of slots behind a key, with how many there are of each.
    ///
    /// # Errors
    /// Where the settings are bad.
    fn slots(&self, key: &str) -> Result<Vec<(String, u32)>>;
    /// Works on a claimed event, to its end.
    fn run(&self, job: Job, lane: &Lane) -> Outcome;
}

/// What a pool hears.
#[derive(Debug)]
pub enum Word {
    /// A worker is through.
    Ended(Box<View>, Option<Outcome>),
    /// Something may have changed.
    Look,
    /// Take on nothing more.
    Stop,
}

/// Whether a pool ends when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    Drain,
    /// It sleeps until it hears something.
    Forever,
}

/// One lane as it was listed.
#[derive(Debug)]
pub struct View {
    lane: String,
    version: Option<u64>,
    entries: Vec<(State, Entry)>,
}

/// What a worker needs.
type Begun<'w> = (Lane, Slots, Job<'w>, View);

enum Start<'w> {
    Begun(Box<Begun<'w>>),
    /// Nothing to do here, or somebody else does it.
    Passed,
    NotDue(Stamp),
    NoSlot(View),
}

/// Works until there is nothing left (or for ever), and tells every outcome. `sleeping` is told,
/// before each sleep, when the next event is due; the answer of the last call is returned.
///
/// # Errors
/// The machine's trouble, in [`Mode::Drain`]; else the box pauses.
pub fn run(
    workspace: &Workspace,
    work: &dyn Work,
    width: usize,
    mode: Mode,
    (tell, hear): (&Sender<Word>, &Receiver<Word>),
    report: &mut dyn FnMut(Outcome),
    sleeping: &dyn Fn(Option<Stamp>),
) -> Result<Option<Stamp>> {
    std::thread::scope(|scope| {
        let mut pool = Pool::new(workspace, work);
        let mut running = 0;
        let mut trouble = None;
        let mut stopping = false;
        loop {
            let fill = if stopping || trouble.is_some() { Ok(()) } else { pool.fill(scope, tell, width, &mut running) };
            if let Err(fault) = fill {
                if mode == Mode::Forever {
                    workspace.world.say(&format!("{fault}; {} pauses", work.side().name()));
                    pool.pause();
                }
                trouble = (mode == Mode::Drain).then_some(fault);
            }
            let is_idle = running == 0 && (stopping || mode == Mode::Drain);
            if is_idle {
                return trouble.map_or(Ok(pool.due), Err);
            }
            sleeping(pool.due);
            // A pool's own sender lives as long as it does, so there is always a word to come.
            // With every worker busy, or none to be started, only a word can change anything.
            let can_start = running < width && !stopping && trouble.is_none();
            let heard = match pool.waits().filter(|_| can_start) {
                Some(rest) => match hear.recv_timeout(rest) {
                    Err(RecvTimeoutError::Timeout) => continue,
                    other => other.map_err(|_| RecvError),
                },
                None => hear.recv(),
            };
            match heard {
                Ok(Word::Ended(view, outcome)) => {
                    running -= 1;
                    if let Some(fault) = pool.ended(*view, outcome.as_ref()) {
                        if mode == Mode::Forever { pool.pause() } else { trouble = Some(fault) }
                    }
                    outcome.into_iter().for_each(&mut *report);
                }
                Ok(Word::Look) => pool.look_again(),
                Ok(Word::Stop) | Err(_) => stopping = true,
            }
        }
    })
}

struct Pool<'w> {
    workspace: &'w Workspace,
    work: &'w dyn Work,
    /// Lanes to be served, by the key that limits them.
    queues: BTreeMap<String, VecDeque<View>>,
    /// The keys whose slots are all taken.
    full: HashSet<String>,
    turn: usize,
    is_stale: bool,
    listed: Instant,
    cost: Duration,
    due: Option<Stamp>,
    /// Nothing is begun before this instant.
    paused: Option<Stamp>,
}

impl<'w> Pool<'w> {
    fn new(workspace: &'w Workspace, work: &'w dyn Work) -> Self {
        Self {
            workspace,
            work,
            queues: BTreeMap::new(),
            full: HashSet::new(),
            turn: 0,
            is_stale: true,
            listed: Instant::now(),
            cost: Duration::ZERO,
            due: None,
            paused: None,
        }
    }

    /// Starts workers until the pool is full or there is nothing to start.
    fn fill<'s>(
        &mut self,
        scope: &'s Scope<'s, '_>,
        tell: &Sender<Word>,
        width: usize,
        running: &mut usize,
    ) -> Result<()>
    where
        'w: 's,
    {
        let now = self.workspace.world.now();
        if self.paused.take_if(|until| *until <= now).is_some() || self.due.is_some_and(|due| due <= now) {
            self.is_stale = true;
        }
        if self.paused.is_some() {
            self.due = self.paused;
            return Ok(());
        }
        while *running < width {
            let is_full = *running == 0 && self.queues.keys().all(|key| self.full.contains(key));
            if self.is_stale && (self.queues.is_empty() || is_full || self.rest().is_zero()) {
                self.list()?;
            }
            let Some(view) = self.next() else { return Ok(()) };
            match self.start(view)? {
                Start::Begun(begun) => {
                    *running += 1;
                    // The job is given to a thread that is there; where none can be made, it is done here.
                    let (work, tell) = (self.work, tell.clone());
                    let (give, take) = mpsc::channel::<Begun>();
                    let mine = tell.clone();
                    let thread = move || take.recv().map(|begun| serve(work, &tell, begun));
                    match std::thread::Builder::new().spawn_scoped(scope, thread) {
                        Ok(_) => drop(give.send(*begun)),
                        Err(_) => serve(work, &mine, *begun),
                    }
                }
                Start::Passed => {}
                Start::NotDue(due) => self.is_due(due),
                Start::NoSlot(view) => {
                    let key = self.work.key(&view.lane).to_owned();
                    self.full.insert(key.clone());
                    self.queues.entry(key).or_default().push_front(view);
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
        (self.is_stale && self.paused.is_none() && !self.queues.is_empty()).then(|| self.rest().max(TICK))
    }

    /// The next lane: the keys take turns, within a key the queue does.
    fn next(&mut self) -> Option<View> {
        let keys: Vec<&String> = self.queues.keys().filter(|key| !self.full.contains(*key)).collect();
        self.turn = self.turn.wrapping_add(1);
        let key = (*keys.get(self.turn.checked_rem(keys.len())?)?).clone();
        let queue = self.queues.get_mut(&key)?;
        let view = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&key);
        }
        view
    }

    /// Lists the box. The versions are read before the listing that they vouch for.
    fn list(&mut self) -> Result<()> {
        let began = Instant::now();
        let side = self.work.side();
        let mut seen = BTreeMap::new();
        let first = spool::listing(self.workspace, side)?;
        for lane in first.keys().filter(|lane| self.work.wants(lane)) {
            seen.insert(lane.clone(), lock::look(self.workspace, side, lane)?);
        }
        let mut lanes = spool::settled(&first, spool::listing(self.workspace, side)?);
        let mut order: Vec<_> = seen.into_iter().map(|(lane, seen)| (seen.served, lane, seen.version)).collect();
        order.sort();
        self.queues.clear();
        self.full.clear();
        self.due = None;
        for (_, lane, version) in order {
            if let Some(entries) = lanes.remove(&lane) {
                let key = self.work.key(&lane).to_owned();
                self.queues.entry(key).or_default().push_back(View { lane, version, entries });
            }
        }
        self.is_stale = false;
        self.listed = Instant::now();
        self.cost = began.elapsed();
        Ok(())
    }

    fn start(&self, mut view: View) -> Result<Start<'w>> {
        let side = self.work.side();
        if let Some((State::Wait, Entry { due: Some(due), .. })) = view.entries.first()
            && *due > self.workspace.world.now()
        {
            return Ok(Start::NotDue(*due));
        }
        let Some(tried) = Lane::probe(self.workspace, side, &view.lane)? else { return Ok(Start::Passed) };
        let Some(slots) = Slots::attempt(self.workspace, &self.work.slots(self.work.key(&view.lane))?)? else {
            return Ok(Start::NoSlot(view));
        };
        let is_true = tried.found().is_some() && tried.found() == view.version;
        let lane = tried.take()?;
        if !is_true {
            view.entries = spool::lanes(self.workspace, side)?.remove(&view.lane).unwrap_or_default();
        }
        match spool::claim(self.workspace, side, &lane, &mut view.entries)? {
            Head::Job(job) => Ok(Start::Begun(Box::new((lane, slots, job, view)))),
            Head::NotDue(due) => {
                lane.release(false);
                Ok(Start::NotDue(due))
            }
            Head::Nothing => {
                lane.release(true);
                Ok(Start::Passed)
            }
        }
    }

    /// A worker is through: its lane goes to the end of the queue. Returns the machine's trouble.
    fn ended(&mut self, view: View, outcome: Option<&Outcome>) -> Option<Fault> {
        self.full.clear();
        match outcome.map(|o| &o.state) {
            Some(Standing::Waiting(due, _)) => self.is_due(*due),
            Some(Standing::Untouched(fault)) => return Some(fault.clone()),
            None => self.is_stale = true,
            Some(_) if view.entries.is_empty() => self.is_stale = true,
            Some(_) => {
                let key = self.work.key(&view.lane).to_owned();
                self.queues.entry(key).or_default().push_back(view);
            }
        }
        None
    }

    fn look_again(&mut self) {
        self.full.clear();
        self.is_stale = true;
    }

    fn pause(&mut self) {
        self.queues.clear();
        self.paused = Some(Stamp(self.workspace.world.now().0 + PAUSE));
        self.due = self.paused;
    }

    fn is_due(&mut self, due: Stamp) {
        self.due = Some(self.due.map_or(due, |other| other.min(due)));
    }
}

/// One worker: one event, then it lets go of the lane. A panic costs that event one of its lives,
/// and nobody else anything.
fn serve(work: &dyn Work, tell: &Sender<Word>, (lane, slots, job, mut view): Begun) {
    let id = job.entry.id.clone();
    let outcome = catch_unwind(AssertUnwindSafe(|| work.run(job, &lane))).ok();
    drop(slots);
    let is_over = matches!(outcome, Some(Outcome { state: Standing::Done(_) | Standing::Failed(_), .. }));
    view.entries.retain(|(_, entry)| entry.id != id);
    view.version = lane.release(is_over && view.entries.is_empty());
    let _ = tell.send(Word::Ended(Box::new(view), outcome));
}
