//! Slots: a limited number of workers at once, over all processes; and who is woken when one is free.
//!
//! Three events in two or three lanes; two agents of which each has one slot, and a number for all. A
//! process that sees one event through keeps its lane and waits for the slots; a pool lets go of the lane.
//! A lock that is let go of before its holder has begun wakes nobody: so the slots that fewer want are
//! taken first, and whoever finds no more has taken nothing that somebody else could have worked with.

use super::{Protocol, Steps};

const PROCESSES: usize = 3;
const SLOTS: usize = 4;
/// The slots behind each group: those for all, those of one agent, those of the other.
const GROUPS: [&[usize]; 3] = [&[0, 1], &[2], &[3]];

/// A way to do it wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Whoever finds one group full keeps what it has of the others, and each begins elsewhere.
    HoldAndWait,
    /// Sleeps without another try when it has begun to listen.
    NoSecondTry,
    /// Locks are let go of silently.
    Silent,
    /// The free slots are counted, and taken without a lock.
    CountInstead,
    /// Nobody looks again at a slow interval.
    NoSlowLook,
    /// The slots for all are taken before those of the agent, and the others cannot have them meanwhile.
    WideFirst,
}

/// How many slots there are for all, and whether both lanes are of one agent.
#[derive(Clone, Debug)]
pub struct Slots {
    pub limit: usize,
    pub is_one_agent: bool,
    /// Which lane each process serves; the odd one is of another agent.
    pub lanes: [usize; PROCESSES],
    /// Which processes are pools.
    pub pools: [bool; PROCESSES],
    pub kills: usize,
    pub mutant: Option<Mutant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Out,
    Lane,
    /// Trying slot `.1` of group number `.0`.
    Slot(usize, usize),
    Arm,
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
    processes: [Process; PROCESSES],
    kills: usize,
}

impl Slots {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// The groups that a process needs, in the order in which it takes them.
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
                if state.slots[slot].is_none() {
                    to.slots[slot] = Some(who);
                    to.processes[who].at = if number == 0 { At::Slot(1, 0) } else { At::Arm };
                    steps.push(who, "lock a slot", to);
                } else if place + 1 < self.group(group).len() {
                    mine.at = At::Slot(number, place + 1);
                    steps.push(who, "try the next", to);
                } else if self.is(Mutant::HoldAndWait) {
                    // Waits where it stands, as a lock that blocks would.
                } else {
                    // All or nothing.
                    let is_pool = self.pools[who];
                    free(&mut to.slots, who);
                    if is_pool {
                        free(&mut to.lanes, who);
                        to.processes[who].has_lane = false;
                    }
                    give_up(to, who, steps);
                }
            }
            At::Arm => {
                mine.at = At::Work;
                steps.push(who, "begin to work", to);
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

    fn wake(&self, to: &mut State) {
        if !self.is(Mutant::Silent) {
            wake(to);
        }
    }

    /// Everything that a process needs is free.
    fn could_begin(&self, state: &State, who: usize) -> bool {
        let is_free = |group: &usize| self.group(*group).iter().any(|slot| state.slots[*slot].is_none());
        let has_lane = state.processes[who].has_lane || state.lanes[self.lanes[who]].is_none();
        has_lane && self.groups(who).iter().all(is_free)
    }

    /// Nothing has happened for long: the slow look.
    fn is_still(&self, state: &State) -> bool {
        !state.processes.iter().any(|p| p.is_about_to() || p.at == At::Work) && state.kills < self.kills
    }
}

const FRESH: Process = Process { at: At::Out, has_lane: false, listens: false, woken: false, left: 1 };

impl Process {
    /// It will do something soon, and does not only work or sleep.
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

/// Sleeps only if it has tried since it listens.
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
        State { lanes: [None; PROCESSES], slots: [None; SLOTS], processes: [FRESH; PROCESSES], kills: self.kills }
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
            free(&mut to.lanes, who);
            // Nobody comes in its place, so that whoever sleeps has only itself.
            to.processes[who] = Process { left: 0, ..FRESH };
            // The kernel closes what was opened for writing, and that alone is heard.
            if matches!(state.processes[who].at, At::Work | At::Left) {
                wake(&mut to);
            }
            steps.push(who, "killed", to);
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        let working = |agent: Option<usize>| {
            let of = |who: &usize| agent.is_none_or(|agent| self.groups(*who).contains(&agent));
            (0..PROCESSES).filter(|who| state.processes[*who].at == At::Work).filter(of).count()
        };
        let is_over = working(None) > self.limit || working(Some(1)) > 1 || working(Some(2)) > 1;
        if is_over {
            return Some("never more than the limit at once");
        }
        // After a kill nobody may have heard of what is free, until the slow look.
        let is_rule = self.kills == 0 && !(0..PROCESSES).any(|who| state.processes[who].is_about_to());
        let idles = (0..PROCESSES).any(|who| state.processes[who].at == At::Sleep && self.could_begin(state, who));
        (is_rule && idles).then_some("nobody sleeps beside free slots")
    }

    fn is_over(&self, state: &State) -> bool {
        state.processes.iter().all(|process| process.left == 0)
    }
}
