//! A pool and its queue of lanes: listing, trying, claiming, hearing.

use super::{EVENTS, Hearing, LANES, Mutant, News, Spot, Spots, State, events_of, is_live, lane_of};
use crate::model::Steps;

const WIDTH: usize = 2;
const FOLDERS: [Spot; 3] = [Spot::Ready, Spot::Wait, Spot::Run];
const BLANK: Spots = [Spot::No; EVENTS];

/// What is known of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// Its version is the number in the lock file.
    is_true: bool,
    entries: Spots,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Unknown,
    Queued(View),
    Resting(View),
    /// A worker has it; what came meanwhile, and nothing of it contradicts itself.
    Here(View),
    Unsure,
    Elsewhere,
}

/// What the pool's own thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    Off,
    /// It hears, fills, or sleeps.
    Idle,
    /// Reading folder `.0` of the first listing.
    First(usize, [bool; EVENTS]),
    /// Reading folder `.0` of the second: what was in the first, whose version was seen, what is found.
    Second(usize, [bool; EVENTS], [bool; LANES], Spots),
    /// It has locked a lane.
    Tried(usize, View),
    /// It has taken it.
    Taken(usize, View),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Works,
    Through,
    /// The lane is free, and the pool has not heard of it.
    Free,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Job {
    event: usize,
    stage: Stage,
    waits: bool,
    view: View,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    pub at: At,
    pub is_told: bool,
    places: [Place; LANES],
    /// How often a lane stands in the queue.
    order: [usize; LANES],
    is_stale: bool,
    /// No slot is free.
    is_full: bool,
    /// The dues that it will wake for.
    dues: [bool; EVENTS],
    jobs: [Option<Job>; WIDTH],
}

const EMPTY: View = View { is_true: true, entries: BLANK };
const UNSURE: View = View { is_true: false, entries: BLANK };

impl View {
    fn first(&self) -> Option<usize> {
        (0..EVENTS).find(|event| self.entries[*event] != Spot::No)
    }

    fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    fn add(&mut self, event: usize, spot: Spot, keeps: bool) {
        match self.entries[event] {
            Spot::No => self.entries[event] = spot,
            known if known != spot && !keeps => self.is_true = false,
            _ => {}
        }
    }
}

impl Pool {
    pub fn off(is_told: bool) -> Self {
        Self {
            at: At::Off,
            is_told,
            places: [Place::Unknown; LANES],
            order: [0; LANES],
            is_stale: false,
            is_full: false,
            dues: [false; EVENTS],
            jobs: [None; WIDTH],
        }
    }

    pub fn begin(&mut self) {
        *self = Self { at: At::Idle, is_stale: true, ..Self::off(self.is_told) };
    }

    /// It works on the head of this lane, and knows nothing of it.
    pub fn try_one(&mut self, lane: usize) {
        *self = Self { at: At::Tried(lane, UNSURE), ..Self::off(false) };
    }

    /// Nothing is left of it but what it knows.
    pub fn is_through(&self) -> bool {
        self.at == At::Idle && self.jobs.iter().flatten().all(|job| job.stage == Stage::Free)
    }

    /// The events that its workers have.
    pub fn events(&self) -> impl Iterator<Item = usize> {
        self.jobs.iter().flatten().filter(|job| job.stage == Stage::Works).map(|job| job.event)
    }

    /// The lane that it has locked and not taken.
    pub fn tries(&self) -> Option<usize> {
        if let At::Tried(lane, _) = self.at { Some(lane) } else { None }
    }

    /// The lane's version is another one: no view is of it any more.
    pub fn outdate(&mut self, lane: usize) {
        if let Place::Queued(view) | Place::Resting(view) = &mut self.places[lane] {
            view.is_true = false;
        }
        for job in self.jobs.iter_mut().flatten().filter(|job| lane_of(job.event) == lane) {
            job.view.is_true = false;
        }
        if let At::Second(_, _, seen, _) = &mut self.at {
            seen[lane] = false;
        }
    }

    fn busy(&self) -> usize {
        self.jobs.iter().flatten().count()
    }

    fn is_queue_idle(&self) -> bool {
        self.order == [0; LANES] || self.is_full
    }

    /// It waits for a word, with a worker to spare, and nothing that it knows of will wake it by itself.
    pub fn sleeps(&self, width: usize, due: &[bool; EVENTS]) -> bool {
        let is_waiting = self.at == At::Idle && self.is_queue_idle() && !self.is_stale;
        let is_woken = (0..EVENTS).any(|event| self.dues[event] && due[event]);
        let has_ended = self.jobs.iter().flatten().any(|job| job.stage == Stage::Free);
        is_waiting && self.busy() < width && !is_woken && !has_ended
    }

    fn push(&mut self, lane: usize, view: View) {
        self.order[lane] = (self.order[lane] + 1).min(2);
        self.places[lane] = Place::Queued(view);
    }

    fn clear(&mut self) {
        self.order = [0; LANES];
        self.is_full = false;
        for place in &mut self.places {
            match place {
                Place::Resting(view) if view.is_empty() => {}
                Place::Here(_) | Place::Unsure => {}
                _ => *place = Place::Unknown,
            }
        }
    }

    fn listed(&mut self, first: [bool; EVENTS], seen: [bool; LANES], found: Spots) {
        self.clear();
        for lane in 0..LANES {
            let Some(last) = events_of(lane).rfind(|event| first[*event]) else { continue };
            let mut view = View { is_true: seen[lane], entries: BLANK };
            events_of(lane).filter(|event| *event <= last).for_each(|event| view.entries[event] = found[event]);
            if view.is_empty() {
                continue;
            }
            match &mut self.places[lane] {
                Place::Here(news) => *news = View { is_true: true, ..view },
                _ => self.push(lane, view),
            }
        }
        self.dues = [false; EVENTS];
        self.is_stale = false;
        self.at = At::Idle;
    }

    fn missed(&mut self) {
        self.clear();
        for place in &mut self.places {
            *place = if matches!(place, Place::Here(_) | Place::Unsure) { Place::Unsure } else { Place::Unknown };
        }
    }
}

impl Hearing {
    pub fn work(&self, state: &State, who: usize, steps: &mut Steps<State>) {
        let pool = state.pools[who];
        for number in 0..WIDTH {
            if let Some(job) = pool.jobs[number] {
                self.job(state, who, number, job, steps);
            }
        }
        match pool.at {
            At::Off => {}
            // Beside a supervisor the other process begins nothing more.
            At::Idle if self.is_told && who == 1 => {}
            At::Idle => self.idle(state, who, steps),
            At::First(..) | At::Second(..) => self.list(state, who, steps),
            At::Tried(lane, view) => self.tried(state, who, lane, view, steps),
            At::Taken(lane, view) => self.claim(*state, who, lane, view, steps),
        }
    }

    fn job(&self, state: &State, who: usize, number: usize, job: Job, steps: &mut Steps<State>) {
        let mut to = *state;
        let lane = lane_of(job.event);
        match job.stage {
            Stage::Works => {
                if state.spots[job.event] != Spot::Run {
                    to.broken = Some("an event is done once");
                }
                let through = Job { stage: Stage::Through, ..job };
                to.spots[job.event] = Spot::Done;
                to.pools[who].jobs[number] = Some(through);
                steps.push(who, "it is done", to);
                if state.troubles > 0 {
                    to.troubles -= 1;
                    to.spots[job.event] = Spot::Wait;
                    to.due[job.event] = false;
                    to.pools[who].jobs[number] = Some(Job { waits: true, ..through });
                    steps.push(who, "let it wait", to);
                }
            }
            Stage::Through => {
                to.free_slot(who);
                to.release(lane);
                let view = View { is_true: true, ..job.view };
                to.pools[who].jobs[number] = Some(Job { stage: Stage::Free, view, ..job });
                steps.push(who, "let go of the lane", to);
            }
            Stage::Free if state.pools[who].at == At::Idle => {
                self.ended(&mut to.pools[who], number, job);
                steps.push(who, "hear that it ended", to);
            }
            Stage::Free => {}
        }
    }

    fn ended(&self, pool: &mut Pool, number: usize, job: Job) {
        let lane = lane_of(job.event);
        pool.jobs[number] = None;
        pool.is_full = false;
        let place = std::mem::replace(&mut pool.places[lane], Place::Unknown);
        if job.waits {
            pool.dues[job.event] = true;
            return pool.is_stale |= !self.is(Mutant::WaitForgets);
        }
        let is_told = pool.is_told || !job.view.is_empty() || self.is(Mutant::NoLastLook);
        pool.is_stale |= !is_told;
        let Place::Here(news) = place else { return pool.is_stale = true };
        let mut view = job.view;
        view.is_true &= news.is_true;
        for event in events_of(lane).filter(|event| *event != job.event && news.entries[*event] != Spot::No) {
            view.add(event, news.entries[event], self.is(Mutant::SameId));
        }
        if view.is_empty() {
            pool.places[lane] = Place::Resting(view);
        } else {
            pool.push(lane, view);
        }
    }

    fn idle(&self, state: &State, who: usize, steps: &mut Steps<State>) {
        let pool = state.pools[who];
        let mut to = *state;
        if pool.is_told
            && let Some(news) = to.take_news()
        {
            self.hear(&mut to.pools[0], news);
            steps.push(who, "hear", to);
        }
        if (0..EVENTS).any(|event| pool.dues[event] && state.due[event]) && !pool.is_stale {
            let mut to = *state;
            to.pools[who].is_stale = true;
            steps.push(who, "wake for what is due", to);
        }
        let width = if who == 0 { self.width } else { 1 };
        if pool.busy() == width {
            return;
        }
        // With something in the queue, listing has to wait for its turn, or not.
        if pool.is_stale {
            let mut to = *state;
            to.pools[who].at = At::First(0, [false; EVENTS]);
            steps.push(who, "begin to list", to);
        }
        for lane in (0..LANES).filter(|lane| pool.order[*lane] > 0 && !pool.is_full) {
            self.start_lane(state, who, lane, steps);
        }
        if !pool.is_told && pool.busy() == 0 && pool.is_queue_idle() && !pool.is_stale {
            let mut to = *state;
            to.pools[who] = Pool::off(false);
            steps.push(who, "leave", to);
        }
    }

    fn start_lane(&self, state: &State, who: usize, lane: usize, steps: &mut Steps<State>) {
        let mut to = *state;
        let pool = &mut to.pools[who];
        pool.order[lane] -= 1;
        let view = if let Place::Queued(view) = pool.places[lane] { view } else { UNSURE };
        pool.places[lane] = Place::Here(EMPTY);
        let is_proved = self.is(Mutant::UnprovedDue) || (view.is_true && state.holders[lane].is_none());
        let waits = view.first().filter(|event| view.entries[*event] == Spot::Wait && !state.due[*event]);
        if let Some(event) = waits.filter(|_| is_proved) {
            pool.dues[event] = true;
            pool.places[lane] = Place::Resting(view);
            steps.push(who, "it is not due", to);
        } else if state.holders[lane].is_some() {
            pool.places[lane] = Place::Elsewhere;
            steps.push(who, "it is held", to);
        } else {
            pool.at = At::Tried(lane, view);
            to.holders[lane] = Some(who);
            steps.push(who, "lock the lane", to);
        }
    }

    fn tried(&self, state: &State, who: usize, lane: usize, mut view: View, steps: &mut Steps<State>) {
        let mut to = *state;
        if self.has_slot && state.slot.is_some() {
            to.holders[lane] = None;
            let pool = &mut to.pools[who];
            pool.at = At::Idle;
            pool.is_full = true;
            pool.push(lane, view);
            if !self.is(Mutant::SilentTry) {
                to.tell(News::Freed(lane));
            }
            return steps.push(who, "no slot", to);
        }
        to.slot = self.has_slot.then_some(who);
        let is_true = (view.is_true && !state.odd[lane]) || (self.is(Mutant::NoVersion) && who == 0);
        if !is_true {
            view.entries = found_in(state, lane);
        }
        to.take(lane);
        to.pools[who].at = At::Taken(lane, view);
        steps.push(who, if is_true { "trust the view" } else { "list the lane" }, to);
    }

    fn claim(&self, mut to: State, who: usize, lane: usize, mut view: View, steps: &mut Steps<State>) {
        let mut is_relisted = false;
        while let Some(event) = view.first() {
            let spot = view.entries[event];
            if spot == Spot::Wait && !to.due[event] {
                to.pools[who].dues[event] = true;
                break;
            }
            view.entries[event] = Spot::No;
            if to.spots[event] == spot {
                let is_late = |e: &usize| *e < event && is_live(to.spots[*e]) && !to.is_back[*e];
                if events_of(lane).any(|e| is_late(&e)) {
                    to.broken = Some("events are worked on in their order");
                }
                to.spots[event] = Spot::Run;
                let pool = &mut to.pools[who];
                let job = Job { event, stage: Stage::Works, waits: false, view };
                *pool.jobs.iter_mut().find(|job| job.is_none()).unwrap() = Some(job);
                pool.at = At::Idle;
                return steps.push(who, if spot == Spot::Run { "adopt" } else { "claim" }, to);
            }
            // It has ended, or somebody has moved it by hand.
            if to.spots[event] != Spot::Done && !is_relisted {
                is_relisted = true;
                view.entries = found_in(&to, lane);
            }
        }
        to.free_slot(who);
        to.release(lane);
        let pool = &mut to.pools[who];
        pool.at = At::Idle;
        pool.is_stale |= view.is_empty() && !pool.is_told && !self.is(Mutant::NoLookAfterNothing);
        pool.places[lane] = Place::Resting(View { is_true: true, ..view });
        steps.push(who, "nothing to do", to);
    }

    fn hear(&self, pool: &mut Pool, news: News) {
        match news {
            News::Nothing => {}
            News::Came(event) => self.came(pool, event),
            News::Freed(lane) => {
                let is_news = match pool.places[lane] {
                    Place::Elsewhere => !self.is(Mutant::FreedUnheard),
                    Place::Unknown => !self.is(Mutant::UnknownFreed),
                    Place::Resting(view) => !view.is_empty() && !self.is(Mutant::HeldUpFreed),
                    Place::Queued(_) | Place::Here(_) | Place::Unsure => false,
                };
                if is_news {
                    pool.places[lane] = Place::Unknown;
                    pool.is_stale = true;
                }
            }
            News::Slots => pool.is_full = false,
            News::Missed => {
                if !self.is(Mutant::KeepViews) {
                    pool.missed();
                }
                pool.is_stale = true;
            }
        }
    }

    fn came(&self, pool: &mut Pool, event: usize) {
        let lane = lane_of(event);
        let keeps = self.is(Mutant::SameId);
        match &mut pool.places[lane] {
            Place::Resting(view) => {
                let mut view = *view;
                view.add(event, Spot::Ready, keeps);
                pool.push(lane, view);
            }
            Place::Here(_) if self.is(Mutant::ForgetNews) => {}
            Place::Queued(view) | Place::Here(view) => view.add(event, Spot::Ready, keeps),
            Place::Unsure | Place::Elsewhere => {}
            Place::Unknown => pool.is_stale |= !self.is(Mutant::UnknownCame),
        }
    }

    /// Both listings, folder by folder; the versions are read between them. A coarse one reads all folders
    /// at once.
    fn list(&self, state: &State, who: usize, steps: &mut Steps<State>) {
        let is_fine = self.is_fine && who == 0;
        let mut to = *state;
        let is_in = |folder: usize, event: usize| match state.spots[event] {
            spot if is_fine => spot == FOLDERS[folder],
            spot => is_live(spot),
        };
        let is_last = |folder: usize| !is_fine || folder + 1 == FOLDERS.len();
        match state.pools[who].at {
            At::First(folder, mut first) => {
                (0..EVENTS).for_each(|event| first[event] |= is_in(folder, event));
                let seen = std::array::from_fn(|lane| state.holders[lane].is_none() && !state.odd[lane]);
                let next = At::Second(0, first, seen, BLANK);
                to.pools[who].at = if is_last(folder) { next } else { At::First(folder + 1, first) };
            }
            At::Second(folder, first, seen, mut found) => {
                // Of two names of one event the one that is further counts.
                (0..EVENTS).filter(|event| is_in(folder, *event)).for_each(|event| found[event] = state.spots[event]);
                if is_last(folder) {
                    to.pools[who].listed(first, seen, found);
                } else {
                    to.pools[who].at = At::Second(folder + 1, first, seen, found);
                }
            }
            _ => {}
        }
        steps.push(who, "read a folder", to);
    }
}

/// The listing of a lane whose lock is held: only arrivals can change it meanwhile.
fn found_in(state: &State, lane: usize) -> Spots {
    let is_there = |event: usize| lane_of(event) == lane && is_live(state.spots[event]);
    std::array::from_fn(|event| if is_there(event) { state.spots[event] } else { Spot::No })
}
