//! The reference of the store, in memory: the names of an event in its folders, and the holders of lanes.

use claw::core::event::entry::Tries;
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;
use std::collections::{BTreeMap, BTreeSet};

pub const EVENTS: usize = 6;
pub const LANES: [&str; 2] = ["pickle.a", "pickle.b"];
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// `keep.done_days` of a new workspace.
const DONE_DAYS: i64 = 7;

/// The reference; `WRONG` selects one of its mistakes. 0 is correct.
#[derive(Clone, Debug)]
pub struct Reference<const WRONG: u8>;

/// The number of mistakes.
pub const MISTAKES: u8 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Publish(usize),
    Route,
    Claim(usize),
    Done(usize),
    /// Waits so many seconds; the attempt counts or not.
    Wait(usize, i64, bool),
    GiveBack(usize),
    /// Its own process was killed, and its parent saw it.
    Blame(usize),
    Fail(usize),
    /// Killed at work.
    Crash(usize),
    /// Killed between the reason and the move to `failed/`.
    CrashFailing(usize),
    Retry(usize),
    Discard(usize),
    Prune,
    /// So many seconds pass.
    Pass(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Folder {
    New,
    Ready,
    Wait,
    Run,
    Failed,
    Done,
}

/// A file's name without its event: folder, due time, tries.
pub type Name = (Folder, Option<i64>, [u32; 4]);

pub const FRESH: [u32; 4] = [0; 4];

/// Attempts, crashes, crashes blamed on the event, rounds.
pub fn numbers(tries: Tries) -> [u32; 4] {
    [tries.attempts, tries.crashes, tries.blamed, tries.rounds]
}

/// When an event is handled again after so many kills, in seconds.
fn pause([_, crashes, blamed, _]: [u32; 4]) -> Option<i64> {
    match crashes {
        _ if blamed >= 3 => None,
        0 | 1 | 10.. => None,
        2 => Some(5),
        _ => Some(60),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    pub event: usize,
    pub before: [u32; 4],
    pub tries: [u32; 4],
}

/// The expected result of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    #[default]
    Nothing,
    Yes,
    No,
    /// The lane is locked.
    Busy,
    /// Not before this second.
    NotDue(i64),
    Claimed(Job),
}

#[derive(Clone, Debug, Default)]
pub struct State {
    /// Seconds since the first event's id.
    pub now: i64,
    pub names: BTreeMap<usize, BTreeSet<Name>>,
    /// Events with a reason beside `failed/`.
    pub reasons: BTreeSet<usize>,
    pub held: [Option<Job>; 2],
    /// The time of the last change in a day of `done/`.
    pub changed: BTreeMap<i64, i64>,
    /// The expected result of the last operation.
    pub answer: Answer,
}

/// The lane of an event.
pub fn lane(event: usize) -> usize {
    event % 2
}

/// The second of an event's id: three days, in the order of their numbers.
pub fn stamp(event: usize) -> i64 {
    let day = i64::try_from(event / 2).unwrap() * DAY;
    day + i64::try_from(event).unwrap()
}

/// One event is not routed at once.
pub fn not_before(event: usize) -> Option<i64> {
    (event == 3).then(|| stamp(event) + HOUR)
}

impl State {
    pub fn names(&self, event: usize) -> impl DoubleEndedIterator<Item = &Name> {
        self.names.get(&event).into_iter().flatten()
    }

    pub fn is_in(&self, event: usize, folder: Folder) -> bool {
        self.names(event).any(|name| name.0 == folder)
    }

    /// The events that have a name in these folders.
    fn live(&self, folders: std::ops::RangeInclusive<Folder>) -> Vec<usize> {
        (0..EVENTS).filter(|event| self.names(*event).any(|name| folders.contains(&name.0))).collect()
    }

    /// No event of the lane can be claimed.
    pub fn is_idle(&self, of: usize) -> bool {
        self.live(Folder::Ready..=Folder::Run).into_iter().all(|event| lane(event) != of)
    }

    fn add(&mut self, event: usize, name: Name) {
        let is_new = self.names.entry(event).or_default().insert(name);
        if is_new && name.0 == Folder::Done {
            self.changed.insert(stamp(event) / DAY, self.now);
        }
    }

    fn remove(&mut self, event: usize, is_it: impl Fn(&Name) -> bool) {
        if let Some(names) = self.names.get_mut(&event) {
            names.retain(|name| !is_it(name));
        }
    }

    fn claim<const WRONG: u8>(&mut self, of: usize) -> Answer {
        if self.held[of].is_some() {
            return Answer::Busy;
        }
        let is_live = |name: &Name| (Folder::Ready..=Folder::Run).contains(&name.0);
        let mut events = self.live(Folder::Ready..=Folder::Run);
        events.retain(|event| lane(*event) == of);
        if WRONG == 1 {
            events.reverse();
        }
        for event in events {
            let names: Vec<Name> = self.names(event).copied().filter(is_live).collect();
            let Some((folder, due, tries)) = names.last().copied() else { continue };
            if self.is_in(event, Folder::Done) || self.reasons.contains(&event) {
                self.remove(event, is_live);
                let has_failed = self.is_in(event, Folder::Failed) || self.is_in(event, Folder::Done);
                if !has_failed {
                    self.add(event, (Folder::Failed, None, tries));
                }
                continue;
            }
            if let Some(due) = due.filter(|due| *due > self.now) {
                if WRONG == 2 {
                    continue;
                }
                return Answer::NotDue(due);
            }
            let [attempts, crashes, blamed, rounds] = tries;
            let is_orphan = folder == Folder::Run && WRONG != 3;
            let before = [attempts, crashes + u32::from(is_orphan), blamed, rounds];
            self.remove(event, is_live);
            if let Some(pause) = pause(before).filter(|_| is_orphan && WRONG != 7) {
                self.add(event, (Folder::Wait, Some(self.now + pause), before));
                return Answer::NotDue(self.now + pause);
            }
            let job = Job { event, before, tries: [attempts + 1, before[1], blamed, rounds] };
            self.add(event, (Folder::Run, None, job.tries));
            self.held[of] = Some(job);
            return Answer::Claimed(job);
        }
        Answer::Nothing
    }

    /// The job of a lane leaves `run`.
    fn leave(&mut self, of: usize, to: impl Fn(&Job) -> Name) {
        let Some(job) = self.held[of].take() else { return };
        self.remove(job.event, |name| name.0 == Folder::Run);
        self.add(job.event, to(&job));
    }

    /// Whether a person would wait for the lane of an event, which is idle while another one of the lane is handled.
    fn waits_for_lane(&self, event: usize, is_retry: bool) -> bool {
        let folders = if is_retry { Folder::Wait..=Folder::Failed } else { Folder::New..=Folder::Failed };
        let is_found = |name: &&Name| folders.contains(&name.0) && !(is_retry && name.0 == Folder::Run);
        let found = self.names(event).rfind(is_found).map(|name| name.0);
        self.held[lane(event)].is_some() && matches!(found, Some(Folder::Wait | Folder::Failed))
    }

    /// By hand: the name in the last of these folders.
    fn by_hand(&mut self, event: usize, folders: &[Folder], act: impl Fn(&mut Self, Name)) -> Answer {
        let Some(name) = self.names(event).rfind(|name| folders.contains(&name.0)).copied() else { return Answer::No };
        if name.0 != Folder::New && self.held[lane(event)].is_some() {
            return Answer::Busy;
        }
        self.remove(event, |other| *other == name);
        self.reasons.remove(&event);
        act(self, name);
        Answer::Yes
    }

    fn prune<const WRONG: u8>(&mut self) {
        let live = self.live(Folder::New..=Folder::Failed);
        for event in 0..EVENTS {
            let day = stamp(event) / DAY;
            let is_fresh = self.changed.get(&day).is_some_and(|at| *at >= self.now - DONE_DAYS * DAY);
            let is_old = day < self.now.div_euclid(DAY) - DONE_DAYS && !is_fresh;
            let is_needed = WRONG != 4 && live.iter().any(|other| stamp(*other) / DAY == stamp(event) / DAY);
            if is_old && !is_needed {
                self.remove(event, |name| name.0 == Folder::Done);
            }
        }
    }
}

impl<const WRONG: u8> ReferenceStateMachine for Reference<WRONG> {
    type State = State;
    type Transition = Operation;

    fn init_state() -> BoxedStrategy<State> {
        Just(State { now: 4 * HOUR, ..State::default() }).boxed()
    }

    fn transitions(state: &State) -> BoxedStrategy<Operation> {
        use Operation::{
            Blame, Claim, Crash, CrashFailing, Discard, Done, Fail, GiveBack, Pass, Prune, Publish, Retry, Route,
        };
        let wait = Operation::Wait;
        let mut all = vec![Route, Route, Route, Prune, Pass(10), Pass(HOUR), Pass(5 * DAY)];
        for of in 0..LANES.len() {
            all.extend([Claim(of), Claim(of), Done(of), wait(of, 5, true), wait(of, HOUR, false), GiveBack(of)]);
            all.extend([Fail(of), Crash(of), Crash(of), CrashFailing(of), Blame(of)]);
        }
        for event in 0..EVENTS {
            all.extend([Publish(event), Retry(event), Discard(event)]);
        }
        all.retain(|operation| Self::preconditions(state, operation));
        prop::sample::select(all).boxed()
    }

    fn preconditions(state: &State, operation: &Operation) -> bool {
        use Operation::{Blame, Crash, CrashFailing, Discard, Done, Fail, GiveBack, Retry, Wait};
        if let Retry(event) | Discard(event) = *operation
            && state.waits_for_lane(event, matches!(operation, Retry(_)))
        {
            return false;
        }
        let (Done(of) | Wait(of, ..) | GiveBack(of) | Fail(of) | Crash(of) | CrashFailing(of) | Blame(of)) = *operation
        else {
            return is_plain(&Self::apply(state.clone(), operation));
        };
        state.held[of].is_some() && is_plain(&Self::apply(state.clone(), operation))
    }

    fn apply(mut state: State, operation: &Operation) -> State {
        use Folder::{Failed, New, Ready, Run};
        state.answer = Answer::Nothing;
        match *operation {
            Operation::Publish(event) => {
                let is_there = state.is_in(event, New);
                state.answer = if is_there { Answer::No } else { Answer::Yes };
                if !is_there {
                    state.add(event, (New, not_before(event), FRESH));
                }
            }
            Operation::Route => {
                for event in state.live(New..=New) {
                    if not_before(event).is_none_or(|due| due <= state.now || WRONG == 5) {
                        state.remove(event, |name| name.0 == New);
                        state.add(event, (Ready, None, FRESH));
                    }
                }
            }
            Operation::Claim(of) => state.answer = state.claim::<WRONG>(of),
            Operation::Done(of) => state.leave(of, |_| (Folder::Done, None, FRESH)),
            Operation::Wait(of, seconds, counts) => {
                let due = state.now + seconds;
                state.leave(of, |job| {
                    let [attempts, _, _, rounds] = if counts { job.tries } else { job.before };
                    (Folder::Wait, Some(due), [attempts, 0, 0, rounds])
                });
            }
            Operation::GiveBack(of) => state.leave(of, |job| (Ready, None, job.before)),
            Operation::Blame(of) => {
                let now = state.now;
                state.leave(of, |job| {
                    let [attempts, crashes, blamed, rounds] = job.tries;
                    let tries = [attempts, crashes + 1, blamed + 1 - u32::from(WRONG == 8), rounds];
                    // At the first kill it is due at once; a process of its own comes only after the second.
                    pause(tries).map_or((Ready, None, tries), |pause| (Folder::Wait, Some(now + pause), tries))
                });
            }
            Operation::Fail(of) => {
                state.reasons.extend(state.held[of].map(|job| job.event));
                state.leave(of, |job| (Failed, None, job.tries));
            }
            Operation::Crash(of) => state.held[of] = None,
            Operation::CrashFailing(of) => {
                state.reasons.extend(state.held[of].take().map(|job| job.event));
            }
            Operation::Retry(event) => {
                state.answer = state.by_hand(event, &[Folder::Wait, Failed], |state, (folder, _, [.., rounds])| {
                    let rounds = rounds + u32::from(folder == Failed && WRONG != 6);
                    state.add(event, (Ready, None, [0, 0, 0, rounds]));
                });
            }
            Operation::Discard(event) => {
                state.answer = state.by_hand(event, &[New, Ready, Folder::Wait, Run, Failed], |state, _| {
                    state.add(event, (Folder::Done, None, FRESH));
                });
            }
            Operation::Prune => state.prune::<WRONG>(),
            Operation::Pass(seconds) => state.now += seconds,
        }
        state
    }
}

/// No event has two names in one folder: the protocol does not define which one is claimed.
fn is_plain(state: &State) -> bool {
    let folders = |names: &BTreeSet<Name>| names.iter().map(|name| name.0).collect::<BTreeSet<_>>().len();
    state.names.values().all(|names| folders(names) == names.len())
}
