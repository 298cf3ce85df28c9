//! A working pool: listing, trying, claiming, and its workers.

use super::queue::{At, BLANK, EMPTY, Job, Place, Pool, Stage, UNSURE, View, WIDTH};
use super::{EVENTS, Hearing, LANES, Mutant, News, Spot, Spots, State, events_of, is_live, lane_of};
use crate::model::Steps;

const FOLDERS: [Spot; 3] = [Spot::Ready, Spot::Wait, Spot::Run];

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
            // Beside a supervisor the other process begins no more events.
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

    fn idle(&self, state: &State, who: usize, steps: &mut Steps<State>) {
        let pool = state.pools[who];
        let mut to = *state;
        if pool.is_told
            && let Some(news) = to.take_news()
        {
            self.hear(&mut to.pools[0], news);
            steps.push(who, "hear", to);
        }
        // It knows only the first one; listing finds the others.
        if (0..EVENTS).any(|event| pool.dues[event] && state.due[event]) {
            let mut to = *state;
            to.pools[who].dues = [false; EVENTS];
            to.pools[who].is_stale = true;
            steps.push(who, "wake for what is due", to);
        }
        let width = if who == 0 { self.width } else { 1 };
        if pool.busy() == width {
            return;
        }
        // With queued lanes, listing waits for its turn, or not.
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
            // It has ended, or a person has moved it by hand.
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

    /// Both listings, folder by folder; the versions are read between them. A coarse listing reads all folders at
    /// once.
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
                // Of two names of one event the later state counts.
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
