//! Publishing and routing: a sender, two routers with different settings, and one conversation.
//!
//! The sender publishes its events one after the other and repeats those without an acknowledgement. A folder is
//! read name by name while other processes link into it.

use super::{Protocol, Steps};

const EVENTS: usize = 4;
const ROUTERS: usize = 2;
const SPLIT: &str = "a conversation has one session";

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Routing takes no lock.
    NoLock,
    /// Learned routes are read before the lock is taken, and not again.
    LoadBeforeLock,
    /// The event moves before the learned route is written.
    MoveBeforeLearned,
    /// The folder is listed once.
    ListOnce,
    /// Earlier learned routes of the address are ignored.
    ForgetLearned,
    /// The new file exists before its content.
    NoLink,
}

/// `events` events of one address, and a budget of kills.
#[derive(Clone, Debug)]
pub struct Route {
    pub events: usize,
    pub kills: usize,
    pub mutant: Option<Mutant>,
}

/// The line that decides for an event: the router that wrote it, by the event it was written for.
type Lines = [Option<usize>; EVENTS];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Idle,
    Lock,
    Load,
    /// Reading name `.1` in listing number `.0`.
    List(usize, usize),
    /// At event `.0`.
    Decide(usize),
    Move(usize, usize),
    LearnLate(usize, usize),
    Unlock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Router {
    at: At,
    first: [bool; EVENTS],
    second: [bool; EVENTS],
    known: Lines,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    new: [bool; EVENTS],
    /// Torn: present without its content.
    torn: [bool; EVENTS],
    /// Its lane: the router whose settings decided it.
    ready: [Option<usize>; EVENTS],
    /// The first rule broken by a step that no state shows.
    broken: Option<&'static str>,
    learned: Lines,
    /// The number of events acknowledged to the sender.
    accepted: usize,
    is_linked: bool,
    lock: Option<usize>,
    routers: [Router; ROUTERS],
    kills: usize,
}

const FRESH: Router = Router { at: At::Idle, first: [false; EVENTS], second: [false; EVENTS], known: [None; EVENTS] };

impl Route {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// The sender links an event, and has its acknowledgement when the call returns.
    fn send(&self, state: &State, steps: &mut Steps<State>) {
        if state.accepted == self.events {
            return;
        }
        let (event, mut to) = (state.accepted, *state);
        if state.is_linked {
            to.accepted += 1;
            to.is_linked = false;
            to.torn[event] = false;
            return steps.push(9, "accepted", to);
        }
        to.is_linked = true;
        to.torn[event] = self.is(Mutant::NoLink) && !state.new[event];
        // If the name exists already, linking reports that, and it is a success.
        to.new[event] = true;
        steps.push(9, "link", to);
    }

    fn router(&self, state: &State, who: usize, steps: &mut Steps<State>) {
        let mut to = *state;
        let router = state.routers[who];
        let mine = &mut to.routers[who];
        match router.at {
            At::Idle => {
                if state.new.contains(&true) {
                    let early = self.is(Mutant::LoadBeforeLock);
                    mine.at = if early { At::Load } else { At::Lock };
                    steps.push(who, "look", to);
                }
            }
            At::Lock => {
                let is_free = self.is(Mutant::NoLock) || state.lock.is_none();
                mine.at = if self.is(Mutant::LoadBeforeLock) { At::List(0, 0) } else { At::Load };
                to.lock = Some(who);
                if is_free {
                    steps.push(who, "lock", to);
                }
            }
            At::Load => {
                mine.known = state.learned;
                mine.at = if self.is(Mutant::LoadBeforeLock) { At::Lock } else { At::List(0, 0) };
                steps.push(who, "load", to);
            }
            At::List(pass, event) => {
                let list = if pass == 0 { &mut mine.first } else { &mut mine.second };
                list[event] = state.new[event];
                mine.at = match (event + 1 < self.events, pass) {
                    (true, _) => At::List(pass, event + 1),
                    (false, 0) if !self.is(Mutant::ListOnce) => At::List(1, 0),
                    _ => {
                        if self.is(Mutant::ListOnce) {
                            mine.second = mine.first;
                        }
                        // Names after the last one of the first listing may have arrived without names before
                        // them.
                        let end = mine.first.iter().rposition(|there| *there).map_or(0, |last| last + 1);
                        mine.second[end..].fill(false);
                        At::Decide(0)
                    }
                };
                steps.push(who, "read a name", to);
            }
            At::Decide(event) => {
                if event == self.events {
                    mine.at = At::Unlock;
                    return steps.push(who, "listed all", to);
                }
                if !router.second[event] {
                    mine.at = At::Decide(event + 1);
                    return steps.push(who, "next", to);
                }
                let learned = router.known[..=event].iter().rev().find_map(|line| *line);
                match learned.filter(|_| !self.is(Mutant::ForgetLearned)) {
                    Some(lane) => {
                        mine.at = At::Move(event, lane);
                        steps.push(who, "decide by what was learned", to);
                    }
                    None if self.is(Mutant::MoveBeforeLearned) => {
                        mine.at = At::LearnLate(event, who);
                        Self::moved(&mut to, event, who);
                        steps.push(who, "rename early", to);
                    }
                    None => {
                        mine.known[event].get_or_insert(who);
                        mine.at = At::Move(event, who);
                        // The first line for an event stays.
                        to.learned[event].get_or_insert(who);
                        steps.push(who, "learn", to);
                    }
                }
            }
            At::LearnLate(event, lane) => {
                mine.known[event].get_or_insert(lane);
                mine.at = At::Decide(event + 1);
                to.learned[event].get_or_insert(lane);
                steps.push(who, "learn late", to);
            }
            At::Move(event, lane) => {
                mine.at = At::Decide(event + 1);
                Self::moved(&mut to, event, lane);
                steps.push(who, "rename", to);
            }
            At::Unlock => {
                to.routers[who] = FRESH;
                if to.lock == Some(who) {
                    to.lock = None;
                }
                steps.push(who, "unlock", to);
            }
        }
    }

    /// A rename; without its source, or with its target taken by a copy, nothing changes.
    fn moved(to: &mut State, event: usize, lane: usize) {
        if !std::mem::replace(&mut to.new[event], false) {
            return;
        }
        if to.torn[event] {
            to.broken.get_or_insert("what is routed is whole");
        }
        if to.ready[event].is_none() {
            if (0..event).any(|lower| to.ready[lower].is_none()) {
                to.broken.get_or_insert("events are routed in their order");
            }
            to.ready[event] = Some(lane);
        } else if to.ready[event] != Some(lane) {
            to.broken.get_or_insert(SPLIT);
        }
    }
}

impl Protocol for Route {
    type State = State;

    fn start(&self) -> State {
        State {
            new: [false; EVENTS],
            torn: [false; EVENTS],
            ready: [None; EVENTS],
            broken: None,
            learned: [None; EVENTS],
            accepted: 0,
            is_linked: false,
            lock: None,
            routers: [FRESH; ROUTERS],
            kills: self.kills,
        }
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        self.send(state, steps);
        for who in 0..ROUTERS {
            self.router(state, who, steps);
        }
    }

    fn kills(&self, state: &State, steps: &mut Steps<State>) {
        if state.kills == 0 {
            return;
        }
        let to = State { kills: state.kills - 1, ..*state };
        if state.is_linked {
            // The sender was killed before the acknowledgement, and repeats the event.
            steps.push(9, "killed", State { is_linked: false, ..to });
        }
        for who in (0..ROUTERS).filter(|who| state.routers[*who].at != At::Idle) {
            let mut to = to;
            to.routers[who] = FRESH;
            if to.lock == Some(who) {
                to.lock = None;
            }
            steps.push(who, "killed", to);
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        let is_there = |event: usize| state.new[event] || state.ready[event].is_some();
        let mut lanes = state.ready.iter().flatten();
        let lane = lanes.next();
        if !(0..state.accepted).all(is_there) {
            return Some("what is accepted is somewhere");
        }
        if lanes.any(|other| Some(other) != lane) {
            return Some(SPLIT);
        }
        state.broken
    }

    fn is_over(&self, state: &State) -> bool {
        let is_quiet = state.routers.iter().all(|router| router.at == At::Idle);
        state.accepted == self.events && !state.new.contains(&true) && is_quiet
    }
}
