//! Dispatch: a turn publishes an event for another agent and waits for its result.
//!
//! The waiting parent keeps its lane and gives its slots back; its process routes the child, and works on it itself
//! unless another process holds it. So one process is enough, and no number of slots is too small. The model of slots
//! covers waking: here a sleeping process continues as soon as it can.

use super::{Protocol, Steps};

const EVENTS: usize = 4;
const PROCESSES: usize = 2;
/// An event that killed this many workers ends in `failed/`.
const MAX_KILLS: usize = 3;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A waiting parent keeps its slots.
    KeepSlots,
    /// A waiting parent leaves the child to others.
    OnlyWait,
    /// A waiting parent does not route.
    NoRoute,
    /// The child continues in the session of its parent's parent.
    AncestorsSession,
    /// A dispatched agent may dispatch again, without end.
    NoBound,
    /// The child has a new id each time it is published.
    FreshChild,
    /// A kill while the parent waited counts against the parent too.
    BlameParent,
    /// The child's answer is used before the child's log has its end.
    BelieveEarly,
}

/// The dispatch graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A dispatches to B, B to A, and that A would dispatch to B but is too deep.
    Chain,
    /// Two conversations in which A dispatches to B.
    Pair,
}

/// Conversations of two agents with one slot each, and `limit` slots in total.
#[derive(Clone, Debug)]
pub struct Dispatch {
    pub shape: Shape,
    pub processes: usize,
    pub limit: usize,
    pub kills: usize,
    /// An event that kills its workers.
    pub poison: Option<usize>,
    pub mutant: Option<Mutant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Place {
    Nowhere,
    New,
    /// With the number of kills in its name.
    Ready(usize),
    Run(usize),
    Done,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum At {
    Idle,
    /// Holds the lane; the slots are available.
    Slots,
    Claim,
    Read,
    Ask,
    Publish,
    Yield,
    Await,
    Again,
    Result,
    Close,
    Leave,
    Fail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Process {
    at: At,
    /// Its events; all but the last wait for the next one.
    stack: [Option<usize>; EVENTS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    place: [Place; EVENTS],
    published: [usize; EVENTS],
    /// The log: the model's calls, their results, the end.
    called: [bool; EVENTS],
    result: [bool; EVENTS],
    closed: [usize; EVENTS],
    lanes: [Option<usize>; EVENTS],
    /// The holders of slots, and their events.
    slots: [Option<(usize, usize)>; EVENTS],
    processes: [Process; PROCESSES],
    deaths: usize,
    kills: usize,
    broken: Option<&'static str>,
}

const FRESH: Process = Process { at: At::Idle, stack: [None; EVENTS] };

impl Process {
    fn depth(&self) -> usize {
        self.stack.iter().flatten().count()
    }

    fn top(&self) -> usize {
        self.stack.iter().flatten().last().copied().expect("it works on something")
    }
}

impl Dispatch {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn child(&self, event: usize) -> Option<usize> {
        match self.shape {
            Shape::Chain => Some(event + 1).filter(|child| *child < EVENTS),
            Shape::Pair => Some(event + 1).filter(|_| event.is_multiple_of(2)),
        }
    }

    fn is_root(&self, event: usize) -> bool {
        event == 0 || (self.shape == Shape::Pair && event == 2)
    }

    /// The model is bounded to two hops.
    fn is_too_deep(&self, event: usize) -> bool {
        self.shape == Shape::Chain && event == 2 && !self.is(Mutant::NoBound)
    }

    fn lane(&self, event: usize) -> usize {
        if self.is(Mutant::AncestorsSession) && event == 2 { 0 } else { event }
    }

    /// The slots are free: the agents take turns along a chain.
    fn has_room(&self, state: &State, event: usize) -> bool {
        let of = |agent: usize| state.slots.iter().flatten().filter(|(_, other)| other % 2 == agent).count();
        of(event % 2) == 0 && of(0) + of(1) < self.limit
    }

    /// Claims an event that an idle process, or a waiting parent, may claim.
    fn lock(&self, state: &State, who: usize, event: usize, steps: &mut Steps<State>) {
        let is_to_do = matches!(state.place[event], Place::Ready(_) | Place::Run(_));
        if !is_to_do || state.lanes[self.lane(event)].is_some() {
            return;
        }
        let mut to = *state;
        to.lanes[self.lane(event)] = Some(who);
        let process = &mut to.processes[who];
        process.stack[process.depth()] = Some(event);
        process.at = At::Slots;
        steps.push(who, if state.processes[who].depth() == 0 { "lock a lane" } else { "lock the child's lane" }, to);
    }

    fn work(&self, state: &State, who: usize, steps: &mut Steps<State>) {
        let process = state.processes[who];
        if process.at == At::Idle {
            (0..EVENTS).for_each(|event| self.lock(state, who, event, steps));
            return;
        }
        let event = process.top();
        let mut to = *state;
        let next = |mut to: State, at, what, steps: &mut Steps<State>| {
            to.processes[who].at = at;
            steps.push(who, what, to);
        };
        match process.at {
            At::Idle => {}
            At::Slots | At::Again => {
                if self.has_room(state, event) {
                    let free = to.slots.iter_mut().find(|slot| slot.is_none()).expect("there is room");
                    *free = Some((who, event));
                    to.slots.sort_unstable();
                    let then = if process.at == At::Slots { At::Claim } else { At::Result };
                    next(to, then, "take slots", steps);
                } else if process.at == At::Slots && process.depth() == 1 {
                    // A pool releases the lane; a process that follows one event waits. Both are possible.
                    to.lanes[self.lane(event)] = None;
                    to.processes[who] = FRESH;
                    steps.push(who, "no slot", to);
                }
            }
            At::Claim => {
                // Its dispatch has not ended.
                let is_live = |child| !matches!(state.place[child], Place::Nowhere | Place::Done | Place::Failed);
                let asks = state.called[event] && !state.result[event] && self.child(event).is_some_and(is_live);
                let waits = asks && !self.is(Mutant::BlameParent);
                match state.place[event] {
                    Place::Ready(kills) => to.place[event] = Place::Run(kills),
                    Place::Run(kills) => to.place[event] = Place::Run(kills + usize::from(!waits)),
                    // It has ended between the look and the lock.
                    _ => return next(to, At::Leave, "it has ended", steps),
                }
                next(to, At::Read, "rename to run", steps);
            }
            At::Read => {
                let is_done = state.closed[event] > 0;
                let then = match state.place[event] {
                    _ if is_done => At::Leave,
                    Place::Run(MAX_KILLS..) => At::Fail,
                    _ if state.result[event] || self.child(event).is_none() => At::Close,
                    _ if state.called[event] => At::Publish,
                    _ => At::Ask,
                };
                if self.poison == Some(event) && !matches!(then, At::Fail | At::Leave) {
                    return steps.push(who, "killed by it", killed(state, who));
                }
                next(to, then, "read the log", steps);
            }
            At::Ask => {
                if std::mem::replace(&mut to.called[event], true) {
                    to.broken.get_or_insert("a logged answer is not asked for again");
                }
                next(to, At::Publish, "log the call", steps);
            }
            At::Publish => match self.child(event).filter(|_| !self.is_too_deep(event)) {
                None => next(to, At::Result, "refuse the call", steps),
                Some(child) => {
                    if state.place[child] == Place::Nowhere {
                        to.place[child] = Place::New;
                        to.published[child] += 1;
                    } else if self.is(Mutant::FreshChild) {
                        to.published[child] += 1;
                    }
                    next(to, At::Yield, "publish the child", steps);
                }
            },
            At::Yield => {
                if !self.is(Mutant::KeepSlots) {
                    free_slots(&mut to, who, event);
                }
                next(to, At::Await, "give the slots back", steps);
            }
            At::Await => self.wait(state, who, event, steps),
            At::Result => {
                to.result[event] = true;
                next(to, At::Close, "log the result", steps);
            }
            At::Close => {
                to.closed[event] += 1;
                next(to, At::Leave, "log the end", steps);
            }
            At::Leave | At::Fail => {
                let end = if process.at == At::Fail { Place::Failed } else { Place::Done };
                if matches!(state.place[event], Place::Run(_)) {
                    to.place[event] = end;
                }
                free_slots(&mut to, who, event);
                to.lanes[self.lane(event)] = None;
                let depth = process.depth() - 1;
                to.processes[who].stack[depth] = None;
                let then = if depth == 0 { At::Idle } else { At::Await };
                next(to, then, if end == Place::Done { "move to done" } else { "move to failed" }, steps);
            }
        }
    }

    /// A parent waits: the child is routed, worked on here, worked on elsewhere, or has ended.
    fn wait(&self, state: &State, who: usize, event: usize, steps: &mut Steps<State>) {
        let child = self.child(event).expect("it has one");
        let mut to = *state;
        match state.place[child] {
            Place::New if !self.is(Mutant::NoRoute) => {
                to.place[child] = Place::Ready(0);
                steps.push(who, "route the child", to);
            }
            Place::Ready(_) | Place::Run(_) if !self.is(Mutant::OnlyWait) => self.lock(state, who, child, steps),
            _ => {}
        }
        let is_here = matches!(state.place[child], Place::Done | Place::Failed);
        if is_here || (self.is(Mutant::BelieveEarly) && state.called[child]) {
            if state.closed[child] == 0 && state.place[child] != Place::Failed {
                to.broken.get_or_insert("a result is there before it is believed");
            }
            let keeps = state.slots.contains(&Some((who, event)));
            to.processes[who].at = if keeps { At::Result } else { At::Again };
            steps.push(who, "hear of the child", to);
        }
    }
}

fn free_slots(to: &mut State, who: usize, event: usize) {
    to.slots.iter_mut().filter(|slot| **slot == Some((who, event))).for_each(|slot| *slot = None);
    to.slots.sort_unstable();
}

/// Process `who` dies: its locks are free, and another process begins.
fn killed(state: &State, who: usize) -> State {
    let mut to = *state;
    to.processes[who] = FRESH;
    to.deaths += 1;
    to.lanes.iter_mut().filter(|holder| **holder == Some(who)).for_each(|holder| *holder = None);
    to.slots.iter_mut().filter(|slot| slot.is_some_and(|(other, _)| other == who)).for_each(|slot| *slot = None);
    to.slots.sort_unstable();
    to
}

impl Protocol for Dispatch {
    type State = State;

    fn start(&self) -> State {
        State {
            place: std::array::from_fn(|event| if self.is_root(event) { Place::Ready(0) } else { Place::Nowhere }),
            published: [0; EVENTS],
            called: [false; EVENTS],
            result: [false; EVENTS],
            closed: [0; EVENTS],
            lanes: [None; EVENTS],
            slots: [None; EVENTS],
            processes: [FRESH; PROCESSES],
            deaths: 0,
            kills: self.kills,
            broken: None,
        }
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        (0..self.processes).for_each(|who| self.work(state, who, steps));
    }

    fn kills(&self, state: &State, steps: &mut Steps<State>) {
        for who in (0..self.processes).filter(|who| state.kills > 0 && state.processes[*who] != FRESH) {
            steps.push(who, "killed", State { kills: state.kills - 1, ..killed(state, who) });
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        let of = |agent: usize| state.slots.iter().flatten().filter(|(_, event)| event % 2 == agent).count();
        let every = 0..EVENTS;
        let is_poison = |event: usize| self.poison == Some(event);
        let rules = [
            ("never more than the limit at once", of(0) <= 1 && of(1) <= 1 && of(0) + of(1) <= self.limit),
            ("an event is done once", every.clone().all(|e| state.closed[e] <= 1)),
            ("what is done was answered", every.clone().all(|e| state.place[e] != Place::Done || state.closed[e] > 0)),
            ("one call makes one child", every.clone().all(|e| state.published[e] <= 1)),
            ("dispatch has a bound", self.shape == Shape::Pair || state.place[3] == Place::Nowhere),
            (
                "what kills nobody does not fail",
                every.clone().all(|e| state.place[e] != Place::Failed || is_poison(e) || self.kills >= MAX_KILLS),
            ),
            ("an event kills three workers at most", state.deaths <= MAX_KILLS + self.kills - state.kills),
        ];
        state.broken.or_else(|| rules.iter().find(|(_, holds)| !holds).map(|(rule, _)| *rule))
    }

    /// The processes are interchangeable.
    fn canonical(&self, mut state: State) -> State {
        if self.processes == PROCESSES && state.processes[0] > state.processes[1] {
            state.processes.reverse();
            let other = |who: usize| PROCESSES - 1 - who;
            state.lanes = state.lanes.map(|holder| holder.map(other));
            state.slots = state.slots.map(|slot| slot.map(|(who, event)| (other(who), event)));
            state.slots.sort_unstable();
        }
        state
    }

    fn is_over(&self, state: &State) -> bool {
        let has_ended = |place: &Place| matches!(place, Place::Nowhere | Place::Done | Place::Failed);
        state.place.iter().all(has_ended) && state.processes == [FRESH; PROCESSES]
    }
}
