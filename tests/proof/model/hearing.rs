//! Notifications of a pool: arrivals, releases, the pool's reaction, and its sleep.
//!
//! One or two pools, two lanes. A supervisor's pool receives names in order; another pool drains and receives nothing.
//! Publishers, a person, an overflow of the kernel's queue and kills disturb them.
//! A version matters only as equal or not equal to its lane's current one, so only that is stored.

mod pool;
mod queue;
mod world;

use super::{Protocol, Steps};
use queue::{At, Pool};

pub const EVENTS: usize = 4;
pub const LANES: usize = 2;
const POOLS: usize = 2;
/// More unread notifications than this are an overflow.
const QUEUE: usize = 6;
const PERSON: usize = 8;
const WORLD: usize = 9;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A view is trusted with any version of its lane.
    NoVersion,
    /// After an overflow the views are kept.
    KeepViews,
    /// Arrivals while a worker held the lane are forgotten.
    ForgetNews,
    /// The release of an awaited lane is missed.
    FreedUnheard,
    /// An arrival in an unknown lane does not make the pool list.
    UnknownCame,
    /// An empty lane is not checked again by a pool without notifications.
    NoLastLook,
    /// A second notification of an id that was elsewhere leaves the view trusted.
    SameId,
    /// A head that is not due is trusted without checking the lane's version.
    UnprovedDue,
    /// The release of a lane with a head that is not due is missed.
    HeldUpFreed,
    /// The release of an unknown lane is missed.
    UnknownFreed,
    /// Arrivals while a worker moved its event to `wait` are forgotten.
    WaitForgets,
    /// A lane found empty under its lock is not checked again by a pool without notifications.
    NoLookAfterNothing,
    /// A process that has tried a lane without finding a slot releases it silently.
    SilentTry,
    /// A kill is possible between locking a lane and opening the file for writing, which announces the release.
    LateArm,
}

/// One action of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Person {
    Absent,
    /// Moves a file out of `ready`, and later back.
    Out,
    /// Moves a waiting file into `ready`, by hand.
    Hand,
    /// `claw retry` of a waiting event.
    Retry,
    /// `claw discard` of a waiting event.
    Discard,
}

/// The processes, and the possible disturbances.
#[derive(Clone, Debug)]
pub struct Hearing {
    /// The events that are published; the second is in a lane of its own.
    pub events: &'static [usize],
    /// The first pool belongs to a supervisor; otherwise both drain, each after publishing an event.
    pub is_told: bool,
    /// Workers of the first pool.
    pub width: usize,
    /// How often the other process may come, and work on one event.
    pub runs: usize,
    /// How often work may fail temporarily.
    pub troubles: usize,
    pub kills: usize,
    pub overflows: usize,
    pub person: Person,
    /// There is one slot in total.
    pub has_slot: bool,
    /// Its folders are listed one after the other.
    pub is_fine: bool,
    pub mutant: Option<Mutant>,
}

/// The folder of an event's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spot {
    /// Absent; in a view, unknown.
    No,
    Ready,
    Wait,
    Run,
    /// In a person's hands.
    Out,
    Done,
}

pub type Spots = [Spot; EVENTS];

/// A notification of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum News {
    Nothing,
    Came(usize),
    Freed(usize),
    Slots,
    Missed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub spots: Spots,
    /// Events in `wait` are due.
    pub due: [bool; EVENTS],
    /// A person has put it back: events present then are not behind it.
    pub is_back: [bool; EVENTS],
    pub holders: [Option<usize>; LANES],
    /// The number in the lock file is odd although the lane is free.
    pub odd: [bool; LANES],
    pub slot: Option<usize>,
    pub pools: [Pool; POOLS],
    news: [News; QUEUE],
    /// The event whose lane is held by a person's command.
    person: Option<usize>,
    acts: usize,
    runs: usize,
    pub troubles: usize,
    kills: usize,
    overflows: usize,
    /// The first rule broken by a step that no state shows.
    pub broken: Option<&'static str>,
}

pub fn lane_of(event: usize) -> usize {
    usize::from(event == 1)
}

pub fn events_of(lane: usize) -> impl DoubleEndedIterator<Item = usize> {
    (0..EVENTS).filter(move |event| lane_of(*event) == lane)
}

pub fn is_live(spot: Spot) -> bool {
    matches!(spot, Spot::Ready | Spot::Wait | Spot::Run)
}

impl State {
    /// The kernel notifies the supervisor, if there is one.
    pub fn tell(&mut self, news: News) {
        if self.pools[0].at == At::Off || !self.pools[0].is_told {
            return;
        }
        let count = self.news.iter().take_while(|told| **told != News::Nothing).count();
        // The kernel merges two equal notifications in a row.
        if count > 0 && self.news[count - 1] == news {
        } else if count < QUEUE {
            self.news[count] = news;
        } else {
            self.news = NONE;
            self.news[0] = News::Missed;
        }
    }

    fn take_news(&mut self) -> Option<News> {
        let first = self.news[0];
        self.news.rotate_left(1);
        self.news[QUEUE - 1] = News::Nothing;
        (first != News::Nothing).then_some(first)
    }

    /// The number in the lane's lock file changes.
    pub fn take(&mut self, lane: usize) {
        self.odd[lane] = true;
        self.pools.iter_mut().for_each(|pool| pool.outdate(lane));
    }

    /// The holder of a lane releases it in good order.
    pub fn release(&mut self, lane: usize) {
        self.odd[lane] = false;
        self.holders[lane] = None;
        self.tell(News::Freed(lane));
    }

    pub fn free_slot(&mut self, who: usize) {
        if self.slot.take_if(|holder| *holder == who).is_some() {
            self.tell(News::Slots);
        }
    }

    fn arrive(&mut self, event: usize) {
        self.spots[event] = Spot::Ready;
        self.tell(News::Came(event));
    }

    /// The event that the next holder of a free lane would work on.
    fn head(&self, lane: usize) -> Option<(usize, Spot)> {
        let head = events_of(lane).find(|event| is_live(self.spots[*event]))?;
        let is_free = self.holders[lane].is_none();
        let is_held_up = self.spots[head] == Spot::Wait && !self.due[head];
        (is_free && !is_held_up).then_some((head, self.spots[head]))
    }
}

const NONE: [News; QUEUE] = [News::Nothing; QUEUE];

impl Protocol for Hearing {
    type State = State;

    fn start(&self) -> State {
        State {
            spots: [Spot::No; EVENTS],
            due: [false; EVENTS],
            is_back: [false; EVENTS],
            holders: [None; LANES],
            odd: [false; LANES],
            slot: None,
            pools: [Pool::off(self.is_told), Pool::off(false)],
            news: NONE,
            person: None,
            acts: usize::from(self.person != Person::Absent),
            runs: self.runs,
            troubles: self.troubles,
            kills: self.kills,
            overflows: self.overflows,
            broken: None,
        }
    }

    /// Beside a supervisor the other process works on one event and ends; the due time of a finished event no longer
    /// matters.
    fn canonical(&self, mut state: State) -> State {
        if self.is_told && state.pools[1].is_through() {
            state.pools[1] = Pool::off(false);
        }
        for event in (0..EVENTS).filter(|event| state.spots[*event] == Spot::Done) {
            state.is_back[event] = false;
        }
        state
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        self.world(state, steps);
        for who in 0..POOLS {
            self.work(state, who, steps);
        }
        // Each publishes, and drains.
        for who in (0..POOLS).filter(|who| !self.is_told && state.pools[*who].at == At::Off) {
            let mine = self.events.iter().copied().filter(|event| event / LANES % POOLS == who);
            for event in mine.filter(|event| self.publishes(state, *event)) {
                let mut to = *state;
                to.arrive(event);
                to.pools[who].begin();
                steps.push(who, "publish and drain", to);
            }
        }
        if self.is_told && state.pools[0].at == At::Off {
            let mut to = *state;
            to.pools[0].begin();
            steps.push(0, "listen", to);
        }
    }

    /// Possible disturbances besides kills, on which progress must not depend.
    fn kills(&self, state: &State, steps: &mut Steps<State>) {
        self.acts(state, steps);
        for lane in (0..LANES).filter(|lane| state.runs > 0 && state.holders[*lane].is_none()) {
            if state.pools[1].at == At::Off && state.head(lane).is_some() {
                let mut to = State { runs: state.runs - 1, ..*state };
                to.pools[1].try_one(lane);
                to.holders[lane] = Some(1);
                steps.push(1, "try a lane", to);
            }
        }
        if state.overflows > 0 && state.news[0] != News::Nothing {
            let mut to = State { overflows: state.overflows - 1, news: NONE, ..*state };
            to.tell(News::Missed);
            steps.push(WORLD, "overflow", to);
        }
        for who in (0..POOLS).filter(|who| state.kills > 0 && state.pools[*who].at != At::Off) {
            steps.push(who, "killed", self.kill(state, who));
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        let mut jobs: Vec<usize> = state.pools.iter().flat_map(Pool::events).collect();
        jobs.sort_unstable();
        if jobs.windows(2).any(|pair| pair[0] == pair[1]) {
            return Some("an event is done once");
        }
        let mut heads = (0..LANES).filter_map(|lane| state.head(lane));
        let is_free = !self.has_slot || state.slot.is_none();
        let is_alone = state.pools.iter().all(|pool| pool.at == At::Off);
        let is_deaf = self.is_told && state.news[0] == News::Nothing && state.pools[0].sleeps(self.width, state.due);
        if is_deaf && is_free && heads.next().is_some() {
            return Some("nobody sleeps beside what can be done");
        }
        if !self.is_told && is_alone && heads.any(|(_, spot)| spot == Spot::Ready) {
            return Some("whoever was refused leaves it to one who does it");
        }
        state.broken
    }

    fn is_over(&self, state: &State) -> bool {
        let is_quiet = state.pools.iter().all(|pool| pool.events().next().is_none());
        is_quiet && state.person.is_none() && self.events.iter().all(|event| state.spots[*event] == Spot::Done)
    }
}
