//! Slots: a limited number of workers at once, over all processes, and the waking of processes that wait for one.
//!
//! Three events in two or three lanes; two agents with one slot each, and a number in total. A process that follows
//! one event keeps its lane and waits for the slots; a pool releases the lane.
//! A lock released before its holder has begun wakes no process: so the slots with fewer candidates are taken first,
//! and a process that finds the next group full has taken no slot that another could have used. A waiting process
//! is promised one slot in each group, up to the full one; the others leave those alone.

use super::{Protocol, Steps};

const PROCESSES: usize = 3;
const SLOTS: usize = 4;
/// The slots of each group: in total, of one agent, of the other.
const GROUPS: [&[usize]; 3] = [&[0, 1], &[2], &[3]];

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A process that finds one group full keeps its slots of the others, and each begins elsewhere.
    HoldAndWait,
    /// A process sleeps without another try after it has begun to listen.
    NoSecondTry,
    /// Locks are released silently.
    Silent,
    /// The free slots are counted, and taken without a lock.
    CountInstead,
    /// No process checks again at a slow interval.
    NoSlowLook,
    /// The slots in total are taken before those of the agent, so other agents cannot use them meanwhile.
    WideFirst,
    /// The owner of a promise leaves the slot alone too.
    OwnPromise,
    /// A promise is kept while its holder works.
    KeptPromise,
    /// A slot promised to another process meanwhile is given back silently.
    SilentBack,
}

/// The number of slots in total, and whether both lanes belong to one agent.
#[derive(Clone, Debug)]
pub struct Slots {
    pub limit: usize,
    pub is_one_agent: bool,
    /// The lane of each process; the odd one belongs to another agent.
    pub lanes: [usize; PROCESSES],
    /// The processes that are pools.
    pub pools: [bool; PROCESSES],
    pub kills: usize,
    pub mutant: Option<Mutant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Out,
    Lane,
    /// Checking whether slot `.1` of group number `.0` is promised.
    Slot(usize, usize),
    /// Trying it.
    Try(usize, usize),
    /// Group `.0` is full; giving its slots back.
    Back(usize),
    /// Checking whether the slot given back was promised to another process.
    Tell(usize, Option<usize>),
    /// Group `.1` is full; asking for a promise of a slot of group number `.0`, and of those after it up to that.
    Ask(usize, usize, bool),
    Arm,
    /// It has its slots, and its promises besides.
    Forget,
    Work,
    /// The slots are free; the lane is not.
    Left,
    Listen,
    Sleep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Process {
    at: At,
    has_lane: bool,
    listens: bool,
    woken: bool,
    left: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    lanes: [Option<usize>; PROCESSES],
    slots: [Option<usize>; SLOTS],
    /// The next one in line.
    next: [Option<usize>; SLOTS],
    processes: [Process; PROCESSES],
    kills: usize,
}

impl Slots {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// The groups that a process needs, in the order of taking.
    fn groups(&self, who: usize) -> [usize; 2] {
        let agent = if self.is_one_agent { 1 } else { 1 + self.lanes[who] % 2 };
        if self.is(Mutant::WideFirst) || (self.is(Mutant::HoldAndWait) && who > 0) { [0, agent] } else { [agent, 0] }
    }

    fn group(&self, number: usize) -> &'static [usize] {
        if number == 0 { &GROUPS[0][..self.limit] } else { GROUPS[number] }
    }

    fn process(&self, state: &State, who: usize, steps: &mut Steps<State>) {
        let mut to = *state;
        let process = state.processes[who];
        let mine = &mut to.processes[who];
        match process.at {
            At::Out => {
                mine.at = if process.has_lane { At::Slot(0, 0) } else { At::Lane };
                if process.left > 0 {
                    steps.push(who, "begin", to);
                }
            }
            At::Lane => {
                let lane = self.lanes[who];
                if state.lanes[lane].is_none() {
                    to.lanes[lane] = Some(who);
                    to.processes[who].has_lane = true;
                    to.processes[who].at = At::Slot(0, 0);
                    steps.push(who, "lock the lane", to);
                } else {
                    give_up(to, who, steps);
                }
            }
            At::Slot(number, place) => {
                let group = self.groups(who)[number];
                let slot = self.group(group)[place];
                if self.is(Mutant::CountInstead) {
                    let busy = state.processes.iter().filter(|p| p.at == At::Work).count();
                    mine.at = if busy < self.limit { At::Arm } else { At::Slot(0, 0) };
                    return steps.push(who, "count", to);
                }
                let is_promised = state.next[slot].is_some_and(|by| by != who || self.is(Mutant::OwnPromise));
                if is_promised {
                    self.no_slot(to, who, (number, place), steps);
                } else {
                    mine.at = At::Try(number, place);
                    steps.push(who, "nobody was promised it", to);
                }
            }
            At::Try(number, place) => {
                let slot = self.group(self.groups(who)[number])[place];
                if state.slots[slot].is_none() {
                    to.slots[slot] = Some(who);
                    to.processes[who].at = if number == 0 { At::Slot(1, 0) } else { At::Arm };
                    steps.push(who, "lock a slot", to);
                } else {
                    self.no_slot(to, who, (number, place), steps);
                }
            }
            At::Back(_) | At::Tell(..) | At::Ask(..) => self.gives_way(state, who, steps),
            At::Arm => {
                mine.at = if state.next.contains(&Some(who)) { At::Forget } else { At::Work };
                steps.push(who, "begin to work", to);
            }
            At::Forget => {
                mine.at = At::Work;
                if !self.is(Mutant::KeptPromise) {
                    free(&mut to.next, who);
                }
                self.wake(&mut to);
                steps.push(who, "let go of what was promised", to);
            }
            At::Work => {
                free(&mut to.slots, who);
                to.processes[who].at = At::Left;
                self.wake(&mut to);
                steps.push(who, "let go of the slots", to);
            }
            At::Left => {
                free(&mut to.lanes, who);
                to.processes[who] = Process { left: process.left - 1, ..FRESH };
                self.wake(&mut to);
                steps.push(who, "let go of the lane", to);
            }
            At::Listen => {
                mine.listens = true;
                mine.at = if self.is(Mutant::NoSecondTry) { At::Sleep } else { At::Out };
                steps.push(who, "listen", to);
            }
            At::Sleep => {
                mine.at = At::Out;
                mine.woken = false;
                if process.woken {
                    steps.push(who, "woken", to);
                } else if !self.is(Mutant::NoSlowLook) && self.is_still(state) {
                    steps.push(who, "look again", to);
                }
            }
        }
    }

    /// The steps of a process that found a group full.
    fn gives_way(&self, state: &State, who: usize, steps: &mut Steps<State>) {
        let mut to = *state;
        match state.processes[who].at {
            At::Back(full) => {
                let had = state.slots.iter().position(|holder| *holder == Some(who));
                free(&mut to.slots, who);
                to.processes[who].at = At::Tell(full, had);
                steps.push(who, "give back", to);
            }
            At::Tell(full, had) => {
                // Another process may wait for exactly this slot.
                let is_others = had.and_then(|slot| state.next[slot]).is_some_and(|by| by != who);
                if is_others && !self.is(Mutant::SilentBack) {
                    self.wake(&mut to);
                }
                if self.pools[who] {
                    free(&mut to.lanes, who);
                    to.processes[who].has_lane = false;
                    give_up(to, who, steps);
                } else {
                    // Groups after the full one are left to others.
                    let groups = self.groups(who);
                    let behind = groups[full + 1..].iter().flat_map(|group| self.group(*group));
                    let given: Vec<&usize> = behind.filter(|slot| state.next[**slot] == Some(who)).collect();
                    for slot in given {
                        to.next[*slot] = None;
                        self.wake(&mut to);
                    }
                    to.processes[who].at = At::Ask(0, full, false);
                    steps.push(who, "full", to);
                }
            }
            At::Ask(number, full, is_new) => {
                let group = self.group(self.groups(who)[number]);
                let has_one = group.iter().any(|slot| state.next[*slot] == Some(who));
                let one = group.iter().find(|slot| state.next[**slot].is_none()).filter(|_| !has_one);
                if let Some(slot) = one {
                    to.next[*slot] = Some(who);
                }
                let is_new = is_new || one.is_some();
                if number < full && (has_one || one.is_some()) {
                    to.processes[who].at = At::Ask(number + 1, full, is_new);
                    steps.push(who, "is promised a slot", to);
                } else if is_new {
                    // The holder may have given it back before the promise was visible.
                    to.processes[who].at = At::Slot(0, 0);
                    steps.push(who, "try what is promised", to);
                } else {
                    give_up(to, who, steps);
                }
            }
            _ => {}
        }
    }

    /// This slot is not available: the next one of its group is tried, or the group is full.
    fn no_slot(&self, mut to: State, who: usize, (number, place): (usize, usize), steps: &mut Steps<State>) {
        if place + 1 < self.group(self.groups(who)[number]).len() {
            to.processes[who].at = At::Slot(number, place + 1);
            steps.push(who, "try the next", to);
        } else if self.is(Mutant::HoldAndWait) {
            // Waits in place, as a blocking lock does.
        } else {
            // All or nothing.
            to.processes[who].at = At::Back(number);
            steps.push(who, "all of them are taken", to);
        }
    }

    fn wake(&self, to: &mut State) {
        if !self.is(Mutant::Silent) {
            wake(to);
        }
    }

    /// All slots that a process needs are free.
    fn could_begin(&self, state: &State, who: usize) -> bool {
        let is_mine = |slot: usize| state.next[slot].is_none_or(|by| by == who);
        let is_free =
            |group: &usize| self.group(*group).iter().any(|slot| state.slots[*slot].is_none() && is_mine(*slot));
        let has_lane = state.processes[who].has_lane || state.lanes[self.lanes[who]].is_none();
        has_lane && self.groups(who).iter().all(is_free)
    }

    /// The slow interval has passed.
    fn is_still(&self, state: &State) -> bool {
        !state.processes.iter().any(|p| p.is_about_to() || p.at == At::Work) && state.kills < self.kills
    }
}

const FRESH: Process = Process { at: At::Out, has_lane: false, listens: false, woken: false, left: 1 };

impl Process {
    /// It will act soon, and neither works nor sleeps.
    fn is_about_to(&self) -> bool {
        match self.at {
            At::Sleep => self.woken,
            At::Out => self.left > 0,
            At::Work => false,
            _ => true,
        }
    }
}

fn free(locks: &mut [Option<usize>], who: usize) {
    locks.iter_mut().filter(|holder| **holder == Some(who)).for_each(|holder| *holder = None);
}

/// Sleeps only after a try since it listens.
fn give_up(mut to: State, who: usize, steps: &mut Steps<State>) {
    let mine = &mut to.processes[who];
    mine.at = if mine.listens { At::Sleep } else { At::Listen };
    steps.push(who, "full", to);
}

fn wake(to: &mut State) {
    to.processes.iter_mut().filter(|p| p.listens).for_each(|p| p.woken = true);
}

impl Protocol for Slots {
    type State = State;

    fn start(&self) -> State {
        State {
            lanes: [None; PROCESSES],
            slots: [None; SLOTS],
            next: [None; SLOTS],
            processes: [FRESH; PROCESSES],
            kills: self.kills,
        }
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        for who in 0..PROCESSES {
            self.process(state, who, steps);
        }
    }

    fn kills(&self, state: &State, steps: &mut Steps<State>) {
        for who in (0..PROCESSES).filter(|who| state.kills > 0 && state.processes[*who].at != At::Out) {
            let mut to = State { kills: state.kills - 1, ..*state };
            free(&mut to.slots, who);
            free(&mut to.next, who);
            free(&mut to.lanes, who);
            // No process comes in its place, so a sleeping process has only itself.
            to.processes[who] = Process { left: 0, ..FRESH };
            // The kernel closes files opened for writing, and only that is announced.
            if matches!(state.processes[who].at, At::Work | At::Left) {
                wake(&mut to);
            }
            steps.push(who, "killed", to);
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        let working = |agent: Option<usize>| {
            let of = |who: &usize| agent.is_none_or(|agent| self.groups(*who).contains(&agent));
            let works = |who: &usize| matches!(state.processes[*who].at, At::Work | At::Forget);
            (0..PROCESSES).filter(works).filter(of).count()
        };
        let is_over = working(None) > self.limit || working(Some(1)) > 1 || working(Some(2)) > 1;
        if is_over {
            return Some("never more than the limit at once");
        }
        // After a kill the free slots may be unannounced until the slow interval.
        let is_rule = self.kills == 0 && !(0..PROCESSES).any(|who| state.processes[who].is_about_to());
        let idles = (0..PROCESSES).any(|who| state.processes[who].at == At::Sleep && self.could_begin(state, who));
        (is_rule && idles).then_some("nobody sleeps beside free slots")
    }

    fn is_over(&self, state: &State) -> bool {
        state.processes.iter().all(|process| process.left == 0)
    }
}
