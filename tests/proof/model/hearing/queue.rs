//! A pool's knowledge of its lanes, and its reaction to a notification.

use super::{EVENTS, Hearing, LANES, Mutant, News, Spot, Spots, events_of, lane_of};

pub const WIDTH: usize = 2;
pub const BLANK: Spots = [Spot::No; EVENTS];

/// The knowledge of one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// Its version is the number in the lock file.
    pub is_true: bool,
    pub entries: Spots,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Unknown,
    Queued(View),
    Resting(View),
    /// A worker has it; arrivals meanwhile, without contradiction.
    Here(View),
    Unsure,
    Elsewhere,
}

/// The step of the pool's own thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    Off,
    /// It reads notifications, fills the workers, or sleeps.
    Idle,
    /// Reading folder `.0` of the first listing.
    First(usize, [bool; EVENTS]),
    /// Reading folder `.0` of the second listing: names of the first one, versions seen, names found.
    Second(usize, [bool; EVENTS], [bool; LANES], Spots),
    /// It has locked a lane.
    Tried(usize, View),
    /// It has claimed the event.
    Taken(usize, View),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Works,
    Through,
    /// The lane is free, and the pool has no notification of it.
    Free,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Job {
    pub event: usize,
    pub stage: Stage,
    pub waits: bool,
    pub view: View,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    pub at: At,
    pub is_told: bool,
    pub places: [Place; LANES],
    /// How often a lane is in the queue.
    pub order: [usize; LANES],
    pub is_stale: bool,
    /// No slot is free.
    pub is_full: bool,
    /// The due times that will wake it.
    pub dues: [bool; EVENTS],
    pub jobs: [Option<Job>; WIDTH],
}

pub const EMPTY: View = View { is_true: true, entries: BLANK };
pub const UNSURE: View = View { is_true: false, entries: BLANK };

impl View {
    pub fn first(self) -> Option<usize> {
        (0..EVENTS).find(|event| self.entries[*event] != Spot::No)
    }

    pub fn is_empty(self) -> bool {
        self.first().is_none()
    }

    pub fn add(&mut self, event: usize, spot: Spot, keeps: bool) {
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

    /// It works on the head of this lane, without knowing it.
    pub fn try_one(&mut self, lane: usize) {
        *self = Self { at: At::Tried(lane, UNSURE), ..Self::off(false) };
    }

    /// It keeps only its knowledge.
    pub fn is_through(&self) -> bool {
        self.at == At::Idle && self.jobs.iter().flatten().all(|job| job.stage == Stage::Free)
    }

    /// The events that its workers have.
    pub fn events(&self) -> impl Iterator<Item = usize> {
        self.jobs.iter().flatten().filter(|job| job.stage == Stage::Works).map(|job| job.event)
    }

    /// The lane that it has locked without a claim.
    pub fn tries(&self) -> Option<usize> {
        if let At::Tried(lane, _) = self.at { Some(lane) } else { None }
    }

    /// The lane's version has changed: no view is valid any more.
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

    pub fn busy(&self) -> usize {
        self.jobs.iter().flatten().count()
    }

    pub fn is_queue_idle(&self) -> bool {
        self.order == [0; LANES] || self.is_full
    }

    /// It waits for a notification, with a free worker, and no known due time will wake it.
    pub fn sleeps(&self, width: usize, due: [bool; EVENTS]) -> bool {
        let is_waiting = self.at == At::Idle && self.is_queue_idle() && !self.is_stale;
        let is_woken = (0..EVENTS).any(|event| self.dues[event] && due[event]);
        let has_ended = self.jobs.iter().flatten().any(|job| job.stage == Stage::Free);
        is_waiting && self.busy() < width && !is_woken && !has_ended
    }

    pub fn push(&mut self, lane: usize, view: View) {
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

    pub fn listed(&mut self, first: [bool; EVENTS], seen: [bool; LANES], found: Spots) {
        self.clear();
        for (lane, is_true) in seen.into_iter().enumerate() {
            let Some(last) = events_of(lane).rfind(|event| first[*event]) else { continue };
            let mut view = View { is_true, entries: BLANK };
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
    pub fn ended(&self, pool: &mut Pool, number: usize, job: Job) {
        let lane = lane_of(job.event);
        pool.jobs[number] = None;
        pool.is_full = false;
        // Lanes held by other processes have another turn.
        for held in (0..LANES).filter(|held| pool.places[*held] == Place::Elsewhere).collect::<Vec<_>>() {
            pool.push(held, UNSURE);
        }
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

    pub fn hear(&self, pool: &mut Pool, news: News) {
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
}
