//! A scheduled job whose runs do not overlap: two ticks choose the due instants and publish their events, and a worker
//! runs them and records their ends in the ledger.

use super::{Protocol, Steps};

const TICKS: usize = 2;
const WORKER: usize = TICKS;
const CLOCK: usize = WORKER + 1;
const INSTANTS: usize = 2;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Instants are chosen without the lock of the ledgers.
    NoLock,
    /// The mailbox is not searched for the event before it is published.
    NoLook,
    /// The line of an instant is written before its event is published.
    LineFirst,
    /// A line that follows the end of its run opens the run again.
    OpensAgain,
}

/// A job with [`INSTANTS`] due instants.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub kills: usize,
    pub mutant: Option<Mutant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Idle,
    Read,
    Look,
    Publish,
    Line,
    Unlock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tick {
    at: At,
    instant: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Work {
    Idle,
    Run(usize),
    Lock(usize),
    End(usize),
    Unlock,
}

/// An instant in the mailbox and in the ledger. An event may be in two folders only if a rule is broken.
#[expect(clippy::struct_excessive_bools, reason = "each is a file or a line that is there or not")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Instant {
    is_new: bool,
    is_running: bool,
    is_done: bool,
    runs: u8,
    /// Lines that say that it runs, and that it has ended.
    lines: u8,
    ends: u8,
    /// The ledger's sum has it as a run without an end.
    is_open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    due: usize,
    instants: [Instant; INSTANTS],
    holder: Option<usize>,
    ticks: [Tick; TICKS],
    work: Work,
    kills: usize,
}

const FRESH: Tick = Tick { at: At::Idle, instant: 0 };

impl State {
    /// The first due instant without a line, unless a run is open.
    fn chosen(&self) -> Option<usize> {
        let is_busy = self.instants.iter().any(|instant| instant.is_open);
        (0..self.due).find(|n| self.instants[*n].lines == 0).filter(|_| !is_busy)
    }

    /// An open run whose event has ended.
    fn ended(&self) -> Option<usize> {
        self.instants.iter().position(|instant| instant.is_open && instant.is_done)
    }

    fn end(&mut self, n: usize) {
        self.instants[n].ends += 1;
        self.instants[n].is_open = false;
    }
}

impl Schedule {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn tick(&self, state: &State, who: usize, steps: &mut Steps<State>) {
        let Tick { at, instant: n } = state.ticks[who];
        let mut to = *state;
        let mut then = |mut to: State, at, what| {
            to.ticks[who].at = at;
            steps.push(who, what, to);
        };
        let is_late = self.is(Mutant::LineFirst);
        match at {
            At::Idle => {
                let is_free = state.holder.is_none() || self.is(Mutant::NoLock);
                if is_free && (state.chosen().is_some() || state.ended().is_some()) {
                    to.holder = Some(who);
                    then(to, At::Read, "lock");
                }
            }
            At::Read => match (state.ended(), state.chosen()) {
                (Some(ended), _) => {
                    to.end(ended);
                    then(to, At::Read, "record the end of an earlier run");
                }
                (None, Some(chosen)) => {
                    to.ticks[who].instant = chosen;
                    let next = match self.mutant {
                        Some(Mutant::LineFirst) => At::Line,
                        Some(Mutant::NoLook) => At::Publish,
                        _ => At::Look,
                    };
                    then(to, next, "choose");
                }
                (None, None) => then(to, At::Unlock, "nothing is due"),
            },
            At::Look => {
                let Instant { is_new, is_running, is_done, .. } = state.instants[n];
                let is_known = is_new || is_running || is_done;
                let what = if is_known { "the event is known already" } else { "the event is not known" };
                then(to, if is_known { At::Line } else { At::Publish }, what);
            }
            At::Publish => {
                // A name in use stays.
                to.instants[n].is_new = true;
                then(to, if is_late { At::Unlock } else { At::Line }, "publish");
            }
            At::Line => {
                to.instants[n].lines += 1;
                to.instants[n].is_open = to.instants[n].ends == 0 || self.is(Mutant::OpensAgain);
                then(to, if is_late { At::Publish } else { At::Unlock }, "write that it runs");
            }
            At::Unlock => {
                to.holder = state.holder.filter(|holder| *holder != who);
                to.ticks[who] = FRESH;
                steps.push(who, "unlock", to);
            }
        }
    }

    fn work(state: &State, steps: &mut Steps<State>) {
        let mut to = *state;
        let what = match state.work {
            Work::Idle => {
                let next = state.instants.iter().position(|instant| instant.is_running || instant.is_new);
                let Some(n) = next else { return };
                let adopts = state.instants[n].is_running;
                if !adopts {
                    to.instants[n].is_new = false;
                    to.instants[n].is_running = true;
                }
                to.work = Work::Run(n);
                if adopts { "adopt" } else { "claim" }
            }
            Work::Run(n) => {
                let instant = &mut to.instants[n];
                (instant.is_running, instant.is_done, instant.runs) = (false, true, instant.runs + 1);
                to.work = Work::Lock(n);
                "run, and move to done"
            }
            Work::Lock(n) => {
                if state.holder.is_some() {
                    return;
                }
                to.holder = Some(WORKER);
                to.work = Work::End(n);
                "lock"
            }
            Work::End(n) => {
                if state.instants[n].ends == 0 || state.instants[n].is_open {
                    to.end(n);
                }
                to.work = Work::Unlock;
                "record the end"
            }
            Work::Unlock => {
                to.holder = None;
                to.work = Work::Idle;
                "unlock"
            }
        };
        steps.push(WORKER, what, to);
    }
}

impl Protocol for Schedule {
    type State = State;

    fn start(&self) -> State {
        State {
            due: 0,
            instants: [Instant::default(); INSTANTS],
            holder: None,
            ticks: [FRESH; TICKS],
            work: Work::Idle,
            kills: self.kills,
        }
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        (0..TICKS).for_each(|who| self.tick(state, who, steps));
        Self::work(state, steps);
        if state.due < INSTANTS {
            steps.push(CLOCK, "an instant is due", State { due: state.due + 1, ..*state });
        }
    }

    fn kills(&self, state: &State, steps: &mut Steps<State>) {
        if state.kills == 0 {
            return;
        }
        let killed = |who: usize| State {
            kills: state.kills - 1,
            holder: state.holder.filter(|holder| *holder != who),
            ..*state
        };
        for who in (0..TICKS).filter(|who| state.ticks[*who] != FRESH) {
            let mut to = killed(who);
            to.ticks[who] = FRESH;
            steps.push(who, "killed", to);
        }
        if state.work != Work::Idle {
            steps.push(WORKER, "killed", State { work: Work::Idle, ..killed(WORKER) });
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        state.instants.iter().find_map(|instant| {
            let is_there = instant.is_new || instant.is_running || instant.is_done;
            let rules = [
                ("a recorded run has its event", instant.lines == 0 || is_there),
                ("an instant runs once", instant.runs <= 1 && !(instant.is_done && instant.is_new)),
                ("an instant has one line", instant.lines <= 1),
                ("a run has one end in the ledger", instant.ends <= 1),
            ];
            rules.iter().find(|(_, holds)| !holds).map(|(rule, _)| *rule)
        })
    }

    fn is_over(&self, state: &State) -> bool {
        let is_over = |instant: &Instant| instant.is_done && instant.lines == 1 && instant.ends == 1;
        state.instants.iter().all(is_over) && state.ticks == [FRESH; TICKS] && state.work == Work::Idle
    }
}
