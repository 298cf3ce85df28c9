//! One lane: routed into, listed, claimed, worked on, committed, given back, adopted, put off, blamed, failed.
//!
//! The workers list folder by folder, without the lock; a listing counts only if the lane's version has not
//! changed since.

mod worker;

use super::{Protocol, Steps};

pub const EVENTS: usize = 2;
pub const WORKERS: usize = 2;
/// After this many kills an event is put off, and handled by a process of its own.
pub const SUSPECT: usize = 2;
/// An event that has killed this many processes of its own ends in `failed/` (in the program three).
pub const MAX_BLAMED: usize = 2;
/// An event whose worker was killed this often, for any reason, ends in `failed/` (in the program ten).
pub const MAX_CRASHES: usize = 5;
/// The router and the clock.
const OTHERS: usize = 9;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Moved to `run` first, locked second.
    RenameBeforeLock,
    /// A listing without the lock is trusted.
    NoVersionCheck,
    /// A kill is counted after the adopting worker has finished.
    CountAfterWork,
    /// A kill is not counted.
    CountNowhere,
    /// Every kill is blamed on the event.
    BlameForAll,
    /// The count is looked at before the log.
    CountBeforeLook,
    /// An event that kills is never handled by a process of its own.
    NeverApart,
    /// The event leaves `run` before the log says that it is done.
    MoveBeforeCommit,
    /// Outgoing events are published after the event has left `run`.
    MoveBeforePublish,
    /// The log is not read before the model is called.
    AskWithoutLook,
    /// Outgoing events have a new name each time.
    FreshNames,
    /// The end of an event is not checked.
    NoLookAtTheEnd,
    /// A waiting event does not hold up the events behind it.
    OvertakeWaiting,
    /// The reason is written after the move to `failed`.
    ReasonLate,
}

/// The disturbances of a lane.
#[derive(Clone, Debug)]
pub struct Lane {
    pub events: usize,
    pub workers: usize,
    /// Kills from outside.
    pub kills: usize,
    /// How often a request may fail temporarily.
    pub troubles: usize,
    /// How often the sender repeats the first event after it has been routed.
    pub repeats: usize,
    /// An event that kills its workers.
    pub poison: Option<usize>,
    /// The first of the two listings, too, is made folder by folder.
    pub is_fine: bool,
    pub mutant: Option<Mutant>,
}

/// The folder in the mailbox. If one id is in several, the later state wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Folder {
    Ready,
    Wait,
    Run,
}

pub const FOLDERS: [Folder; 3] = [Folder::Ready, Folder::Wait, Folder::Run];

/// The kills in a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Count {
    pub crashes: usize,
    /// The deaths of processes of its own, which their living parents saw.
    pub blamed: usize,
}

impl Count {
    pub fn killed(self, is_blamed: bool) -> Self {
        Self { crashes: self.crashes + 1, blamed: self.blamed + usize::from(is_blamed) }
    }

    pub fn is_given_up(self) -> bool {
        self.blamed >= MAX_BLAMED || self.crashes >= MAX_CRASHES
    }
}

/// The changing parts of the names in `ready`, `wait` and `run`: the kills.
pub type Names = [Option<Count>; 3];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub new: [bool; EVENTS],
    pub names: [Names; EVENTS],
    /// Events in `wait` are due.
    pub due: bool,
    pub done: [bool; EVENTS],
    pub failed: [bool; EVENTS],
    pub reason: [bool; EVENTS],
    /// The notice about a failure is published.
    pub notice: [bool; EVENTS],
    /// The session's log.
    pub answered: [bool; EVENTS],
    pub closed: [usize; EVENTS],
    /// How many different events were sent.
    pub out: [usize; EVENTS],
    /// The lock file: its holder, and the version in it, odd while it is held.
    pub holder: Option<usize>,
    pub version: Option<usize>,
    pub workers: [worker::Worker; WORKERS],
    pub deaths: usize,
    pub kills: usize,
    pub troubles: usize,
    pub repeats: usize,
    /// The first rule broken by a step that no state shows.
    pub broken: Option<&'static str>,
}

impl Lane {
    pub fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Steps other than workers and kills: the router, the sender's second copy, time.
    fn others(&self, state: &State, steps: &mut Steps<State>) {
        if let Some(event) = (0..self.events).find(|event| state.new[*event]) {
            let mut to = *state;
            to.new[event] = false;
            // An existing name is the same event.
            to.names[event][Folder::Ready as usize].get_or_insert_default();
            steps.push(OTHERS, "route", to);
        }
        if state.repeats > 0 && !state.new[0] {
            let mut to = State { repeats: state.repeats - 1, ..*state };
            to.new[0] = true;
            steps.push(OTHERS, "publish again", to);
        }
        let waits = |names: &Names| names[Folder::Wait as usize].is_some();
        if !state.due && state.names.iter().any(waits) {
            steps.push(OTHERS, "it is due", State { due: true, ..*state });
        }
    }

    /// Process `who` dies, and another one begins in its place.
    pub fn killed(state: &State, who: usize) -> State {
        let mut to = *state;
        to.workers[who] = worker::FRESH;
        to.deaths += 1;
        if to.holder == Some(who) {
            to.holder = None;
        }
        to
    }
}

impl State {
    pub fn ended(&self, event: usize) -> bool {
        self.done[event] || self.failed[event]
    }

    fn is_live(&self, event: usize) -> bool {
        self.new[event] || self.names[event] != [None; 3]
    }
}

impl Protocol for Lane {
    type State = State;

    fn start(&self) -> State {
        State {
            new: std::array::from_fn(|event| event < self.events),
            names: [[None; 3]; EVENTS],
            due: false,
            done: [false; EVENTS],
            failed: [false; EVENTS],
            reason: [false; EVENTS],
            notice: [false; EVENTS],
            answered: [false; EVENTS],
            closed: [0; EVENTS],
            out: [0; EVENTS],
            holder: None,
            version: None,
            workers: [worker::FRESH; WORKERS],
            deaths: 0,
            kills: self.kills,
            troubles: self.troubles,
            repeats: self.repeats,
            broken: None,
        }
    }

    /// The workers are interchangeable.
    fn canonical(&self, mut state: State) -> State {
        if state.workers[0] > state.workers[1] {
            state.workers.reverse();
            state.holder = state.holder.map(|who| WORKERS - 1 - who);
        }
        state
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        self.others(state, steps);
        for who in 0..self.workers {
            self.work(state, who, steps);
        }
    }

    fn kills(&self, state: &State, steps: &mut Steps<State>) {
        for who in (0..self.workers).filter(|who| state.kills > 0 && state.workers[*who] != worker::FRESH) {
            steps.push(who, "killed", State { kills: state.kills - 1, ..Self::killed(state, who) });
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        let every = 0..self.events;
        let counted = |event: usize| state.names[event].iter().flatten().map(|count| count.crashes).max().unwrap_or(0);
        let is_poison = |event: usize| self.poison == Some(event);
        let rules = [
            ("an accepted event is somewhere", every.clone().all(|e| state.is_live(e) || state.ended(e))),
            ("what is done was answered", every.clone().all(|e| !state.done[e] || state.closed[e] > 0)),
            ("an event is done once", every.clone().all(|e| state.closed[e] <= 1)),
            ("one answer goes out", every.clone().all(|e| state.out[e] <= 1)),
            ("what is done went out", every.clone().all(|e| !state.done[e] || state.out[e] > 0)),
            (
                "what has failed has a reason and a notice",
                every.clone().all(|e| !state.failed[e] || (state.reason[e] && state.notice[e])),
            ),
            ("a kill is counted where there was one", every.clone().all(|e| counted(e) <= state.deaths)),
            (
                "what kills nobody does not fail",
                every.clone().all(|e| !state.failed[e] || is_poison(e) || self.kills >= MAX_CRASHES),
            ),
            ("what was answered does not fail", every.clone().all(|e| !state.failed[e] || state.closed[e] == 0)),
            (
                "an event kills four workers at most",
                // A kill from outside may hide one by the event.
                self.poison.is_none() || state.deaths <= SUSPECT + MAX_BLAMED + 2 * (self.kills - state.kills),
            ),
        ];
        state.broken.or_else(|| rules.iter().find(|(_, holds)| !holds).map(|(rule, _)| *rule))
    }

    fn is_over(&self, state: &State) -> bool {
        let is_quiet = state.workers.iter().all(|worker| *worker == worker::FRESH);
        is_quiet && state.repeats == 0 && (0..self.events).all(|e| state.ended(e) && !state.is_live(e))
    }
}
