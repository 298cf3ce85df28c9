//! Delivery: the last hop to a destination that may accept a message twice, and its receipt.

use super::{Protocol, Steps};

const WORKERS: usize = 2;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// No line is written before the program runs.
    NoBegun,
    /// The event leaves `run` before its receipt is written.
    MoveBeforeReceipt,
    /// The receipt is not read before the program is run.
    SendWithoutLook,
    /// The event in `run` is taken without the lane's lock.
    AdoptWithoutLock,
}

/// One event for a destination: a folder, in which the same name is the same message, or a program.
#[derive(Clone, Debug)]
pub struct Deliver {
    pub is_program: bool,
    pub kills: usize,
    pub mutant: Option<Mutant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum At {
    Idle,
    Claim,
    Read,
    Begin,
    Send,
    Write,
    Move,
    Unlock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Worker {
    at: At,
    /// The program receives `CLAW_MAYBE_REPEATED=1`.
    tells: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Ready,
    Run,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    place: Place,
    holder: Option<usize>,
    begun: bool,
    receipt: bool,
    sent: usize,
    workers: [Worker; WORKERS],
    kills: usize,
    broken: Option<&'static str>,
}

const FRESH: Worker = Worker { at: At::Idle, tells: false };

impl Deliver {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn work(&self, state: &State, who: usize, steps: &mut Steps<State>) {
        let mut to = *state;
        let then = |mut to: State, at, what, steps: &mut Steps<State>| {
            to.workers[who].at = at;
            steps.push(who, what, to);
        };
        match state.workers[who].at {
            At::Idle => {
                let is_free = state.holder.is_none() || self.is(Mutant::AdoptWithoutLock);
                if is_free && state.place != Place::Done {
                    to.holder = Some(who);
                    then(to, At::Claim, "lock", steps);
                }
            }
            At::Claim => {
                let is_there = state.place != Place::Done;
                to.place = if is_there { Place::Run } else { Place::Done };
                then(to, if is_there { At::Read } else { At::Unlock }, "rename to run", steps);
            }
            At::Read => {
                to.workers[who].tells = state.begun;
                let is_sent = state.receipt && !self.is(Mutant::SendWithoutLook);
                let begins = self.is_program && !self.is(Mutant::NoBegun);
                match (is_sent, begins) {
                    (true, _) => then(to, At::Move, "there is a receipt", steps),
                    (_, true) => then(to, At::Begin, "read the receipt", steps),
                    _ => then(to, At::Send, "read the receipt", steps),
                }
            }
            At::Begin => {
                to.begun = true;
                then(to, At::Send, "write that it begins", steps);
            }
            At::Send => {
                if state.receipt {
                    to.broken.get_or_insert("what has a receipt is not sent again");
                }
                if self.is_program && state.sent > 0 && !state.workers[who].tells {
                    to.broken.get_or_insert("a repeat is told");
                }
                // A file of the same name is the same message.
                to.sent = if self.is_program { (state.sent + 1).min(2) } else { 1 };
                let late = self.is(Mutant::MoveBeforeReceipt);
                then(to, if late { At::Move } else { At::Write }, "send", steps);
            }
            At::Write => {
                to.receipt = true;
                let late = self.is(Mutant::MoveBeforeReceipt);
                then(to, if late { At::Unlock } else { At::Move }, "write the receipt", steps);
            }
            At::Move => {
                to.place = Place::Done;
                let late = self.is(Mutant::MoveBeforeReceipt) && !state.receipt;
                then(to, if late { At::Write } else { At::Unlock }, "move to done", steps);
            }
            At::Unlock => {
                to.holder = state.holder.filter(|holder| *holder != who);
                to.workers[who] = FRESH;
                steps.push(who, "unlock", to);
            }
        }
    }
}

impl Protocol for Deliver {
    type State = State;

    fn start(&self) -> State {
        State {
            place: Place::Ready,
            holder: None,
            begun: false,
            receipt: false,
            sent: 0,
            workers: [FRESH; WORKERS],
            kills: self.kills,
            broken: None,
        }
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        (0..WORKERS).for_each(|who| self.work(state, who, steps));
    }

    fn kills(&self, state: &State, steps: &mut Steps<State>) {
        for who in (0..WORKERS).filter(|who| state.kills > 0 && state.workers[*who] != FRESH) {
            let mut to = State { kills: state.kills - 1, ..*state };
            to.holder = state.holder.filter(|holder| *holder != who);
            to.workers[who] = FRESH;
            steps.push(who, "killed", to);
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        let rules = [
            ("what is delivered has a receipt", state.place != Place::Done || state.receipt),
            ("what has a receipt was sent", !state.receipt || state.sent > 0),
        ];
        state.broken.or_else(|| rules.iter().find(|(_, holds)| !holds).map(|(rule, _)| *rule))
    }

    fn is_over(&self, state: &State) -> bool {
        state.place == Place::Done && state.workers == [FRESH; WORKERS]
    }
}
