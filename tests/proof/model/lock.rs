//! The life of a lock file: opened, locked, checked, unlinked when its lane is idle, and created again.

use super::{Protocol, Steps};

const PROCESSES: usize = 3;
const FILES: usize = 10;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A lock on a file without links is trusted.
    NoSecondLook,
    /// The file is unlinked after its lock was released.
    UnlinkOutside,
}

/// Processes that enter by one lock `rounds` times each and may remove its file afterwards.
#[derive(Clone, Debug)]
pub struct Locks {
    pub rounds: usize,
    pub kills: usize,
    pub mutant: Option<Mutant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Out,
    Opened(usize),
    Locked(usize),
    In(usize),
    Unlinked(usize),
    Late,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The file behind the name, if there is one.
    file: Option<usize>,
    made: usize,
    holder: [Option<usize>; FILES],
    at: [At; PROCESSES],
    rounds: [usize; PROCESSES],
    kills: usize,
}

impl Protocol for Locks {
    type State = State;

    fn start(&self) -> State {
        State {
            file: None,
            made: 0,
            holder: [None; FILES],
            at: [At::Out; PROCESSES],
            rounds: [self.rounds; PROCESSES],
            kills: self.kills,
        }
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        for who in 0..PROCESSES {
            let mut to = *state;
            match state.at[who] {
                At::Out if state.rounds[who] > 0 => {
                    let file = state.file.unwrap_or(state.made);
                    to.made = state.made.max(file + 1);
                    to.file = Some(file);
                    to.at[who] = At::Opened(file);
                    steps.push(who, "open", to);
                }
                At::Out => {}
                At::Opened(file) => {
                    if state.holder[file].is_none() {
                        to.holder[file] = Some(who);
                        to.at[who] =
                            if self.mutant == Some(Mutant::NoSecondLook) { At::In(file) } else { At::Locked(file) };
                        steps.push(who, "flock", to);
                    }
                }
                At::Locked(file) => {
                    if state.file == Some(file) {
                        to.at[who] = At::In(file);
                        steps.push(who, "it is linked", to);
                    } else {
                        to.holder[file] = None;
                        to.at[who] = At::Out;
                        steps.push(who, "it is not linked", to);
                    }
                }
                At::In(file) => {
                    to.rounds[who] -= 1;
                    let mut kept = to;
                    kept.holder[file] = None;
                    kept.at[who] = At::Out;
                    steps.push(who, "unlock", kept);
                    if self.mutant == Some(Mutant::UnlinkOutside) {
                        kept.at[who] = At::Late;
                        steps.push(who, "unlock first", kept);
                    } else {
                        to.file = None;
                        to.at[who] = At::Unlinked(file);
                        steps.push(who, "unlink", to);
                    }
                }
                At::Unlinked(file) => {
                    to.holder[file] = None;
                    to.at[who] = At::Out;
                    steps.push(who, "unlock", to);
                }
                At::Late => {
                    to.file = None;
                    to.at[who] = At::Out;
                    steps.push(who, "unlink late", to);
                }
            }
        }
    }

    fn kills(&self, state: &State, steps: &mut Steps<State>) {
        for who in (0..PROCESSES).filter(|who| state.kills > 0 && state.at[*who] != At::Out) {
            let mut to = *state;
            to.kills -= 1;
            to.at[who] = At::Out;
            for holder in to.holder.iter_mut().filter(|holder| **holder == Some(who)) {
                *holder = None;
            }
            steps.push(who, "killed", to);
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        let inside = state.at.iter().filter(|at| matches!(at, At::In(_))).count();
        (inside > 1).then_some("one holder at a time")
    }

    fn is_over(&self, state: &State) -> bool {
        state.rounds == [0; PROCESSES] && state.at == [At::Out; PROCESSES]
    }
}
