//! A worker of the lane: one system call at a time.

use super::{Count, EVENTS, FOLDERS, Folder, Lane, Mutant, Names, SUSPECT, State};
use crate::model::Steps;

const ODD: usize = 1;
const EVEN: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    Idle,
    Look,
    /// Reading folder `.0` for the first listing, or for the second.
    List(usize, bool),
    Lock,
    Compare,
    Take,
    Claim,
    /// Removing the copies of event `.0`.
    Clear(usize),
    Locked(usize),
    Read(usize),
    Ask(usize),
    /// The event's own process has died.
    Blame(usize),
    Answered(usize),
    Close(usize),
    Publish(usize),
    Leave(usize),
    Notice(usize),
    Reason(usize),
    Fail(usize),
    Release,
    Unlock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Worker {
    pub at: At,
    /// The version before the listing.
    seen: Option<usize>,
    /// The first listing; of the second one only names up to its last name count.
    first: [bool; EVENTS],
    listing: [Names; EVENTS],
    holds: bool,
    /// A kill is to be counted later: only in a mutant.
    later: bool,
}

pub const FRESH: Worker = Worker {
    at: At::Idle,
    seen: None,
    first: [false; EVENTS],
    listing: [[None; 3]; EVENTS],
    holds: false,
    later: false,
};

impl Lane {
    pub fn work(&self, state: &State, who: usize, steps: &mut Steps<State>) {
        let mut to = *state;
        let worker = state.workers[who];
        let mine = &mut to.workers[who];
        match worker.at {
            At::Idle => {
                mine.at = At::Look;
                if state.names.iter().any(|names| is_something(state, names)) {
                    steps.push(who, "look around", to);
                }
            }
            At::Look => {
                // The lock file does not exist yet: locked, numbered, released.
                let is_to_be_made = state.version.is_none() && state.holder.is_none();
                if is_to_be_made {
                    to.version = Some(EVEN);
                }
                let seen = to.version.filter(|version| version % 2 == 0);
                let mine = &mut to.workers[who];
                mine.seen = seen;
                mine.at = At::List(0, false);
                steps.push(who, "read the version", to);
            }
            At::List(0, false) if !self.is_fine => {
                mine.first = std::array::from_fn(|event| state.names[event] != [None; 3]);
                mine.at = At::List(0, true);
                steps.push(who, "list", to);
            }
            At::List(folder, is_second) => {
                let name = |event: usize| state.names[event][folder];
                for event in 0..EVENTS {
                    if is_second {
                        mine.listing[event][folder] = name(event).filter(|_| worker.first[event..].contains(&true));
                    } else {
                        mine.first[event] |= name(event).is_some();
                    }
                }
                if folder + 1 == FOLDERS.len() && is_second {
                    mine.first = [false; EVENTS];
                }
                mine.at = match (folder + 1 < FOLDERS.len(), is_second) {
                    (true, _) => At::List(folder + 1, is_second),
                    (false, false) => At::List(0, true),
                    (false, true) if worker.holds || self.is(Mutant::RenameBeforeLock) => At::Claim,
                    (false, true) => At::Lock,
                };
                steps.push(who, "list a folder", to);
            }
            At::Lock => {
                let head = worker.listing.iter().find(|names| **names != [None; 3]);
                if head.is_none_or(|names| !is_something(state, names)) {
                    to.workers[who] = FRESH;
                    steps.push(who, "nothing is due", to);
                } else if state.holder.is_none() {
                    to.holder = Some(who);
                    to.workers[who].holds = true;
                    to.workers[who].at = At::Compare;
                    steps.push(who, "lock", to);
                } else {
                    to.workers[who] = FRESH;
                    steps.push(who, "somebody has it", to);
                }
            }
            At::Compare => {
                let is_true = worker.seen.is_some() && worker.seen == state.version;
                mine.seen = None;
                if is_true || self.is(Mutant::NoVersionCheck) {
                    mine.at = At::Take;
                    steps.push(who, "the listing is true", to);
                } else {
                    mine.listing = [[None; 3]; EVENTS];
                    mine.at = At::Take;
                    steps.push(who, "the listing is old", to);
                }
            }
            At::Take => {
                Self::write(&mut to, state.version.map_or(ODD, |version| version + 1 + version % 2));
                let is_old = worker.listing == [[None; 3]; EVENTS];
                to.workers[who].at = if is_old { At::List(0, false) } else { At::Claim };
                steps.push(who, "write odd", to);
            }
            At::Release => {
                let is_idle = !worker.listing.iter().flatten().any(Option::is_some);
                mine.at = At::Unlock;
                if is_idle {
                    to.version = None;
                    to.workers.iter_mut().for_each(|worker| worker.seen = None);
                    steps.push(who, "unlink the lock file", to);
                } else {
                    Self::write(&mut to, state.version.map_or(EVEN, |version| version + 1));
                    steps.push(who, "write even", to);
                }
            }
            At::Unlock => {
                to.holder = None;
                to.workers[who] = FRESH;
                steps.push(who, "unlock", to);
            }
            At::Claim => self.claim(state, who, steps),
            _ => self.turn(state, who, steps),
        }
    }

    /// Writes another version. Numbers never repeat, so it is enough to store whether the number is odd, and which
    /// processes have seen the current one.
    fn write(to: &mut State, version: usize) {
        to.version = Some(EVEN - version % 2);
        to.workers.iter_mut().for_each(|worker| worker.seen = None);
    }

    /// The lowest event of the listing, in the winning folder.
    fn claim(&self, state: &State, who: usize, steps: &mut Steps<State>) {
        let mut to = *state;
        let worker = state.workers[who];
        let mine = &mut to.workers[who];
        let is_held_up = |event: usize| {
            let [_, waits, runs] = worker.listing[event];
            self.is(Mutant::OvertakeWaiting) && waits.is_some() && runs.is_none() && !state.due
        };
        let Some(event) = (0..EVENTS).find(|e| worker.listing[*e] != [None; 3] && !is_held_up(*e)) else {
            *mine = if worker.holds { Worker { at: At::Release, ..*mine } } else { FRESH };
            return steps.push(who, "nothing is left", to);
        };
        let has_ended = state.done[event] || state.reason[event];
        if has_ended && !self.is(Mutant::NoLookAtTheEnd) {
            mine.at = if state.done[event] { At::Clear(event) } else { At::Fail(event) };
            return steps.push(who, "it has ended", to);
        }
        let folder = FOLDERS.into_iter().rfind(|f| worker.listing[event][*f as usize].is_some());
        let from = folder.unwrap_or(Folder::Ready);
        if from == Folder::Wait && !state.due {
            // Not before its time; neither is any event behind it.
            mine.at = At::Release;
            return steps.push(who, "not due", to);
        }
        let before = worker.listing[event][from as usize];
        let kills = before.unwrap_or_default();
        let is_adopted = from == Folder::Run;
        let counted = match self.mutant {
            Some(Mutant::CountNowhere) => Count::default(),
            Some(Mutant::CountAfterWork) => {
                mine.later = is_adopted;
                kills
            }
            _ if is_adopted => kills.killed(self.is(Mutant::BlameForAll)),
            _ => kills,
        };
        let run = Folder::Run as usize;
        let is_there = state.names[event][from as usize] == before;
        let is_taken = from != Folder::Run && state.names[event][run].is_some();
        if !is_there || is_taken {
            // Moved by another process.
            mine.listing[event] = [None; 3];
            return steps.push(who, "gone", to);
        }
        mine.at = if worker.holds { At::Read(event) } else { At::Locked(event) };
        // Listed copies are removed first; here in one step with the rename.
        unlink(&mut to, who, event);
        to.names[event][from as usize] = None;
        if is_adopted && worker.holds && counted.crashes >= SUSPECT && !counted.is_given_up() {
            to.names[event][Folder::Wait as usize] = Some(counted);
            to.workers[who].listing[event][Folder::Wait as usize] = Some(counted);
            to.due = false;
            to.workers[who].at = At::Release;
            return steps.push(who, "put off", to);
        }
        to.names[event][run] = Some(counted);
        steps.push(who, if from == Folder::Run { "adopt" } else { "claim" }, to);
    }

    /// From the log to the end.
    fn turn(&self, state: &State, who: usize, steps: &mut Steps<State>) {
        let mut to = *state;
        let at = state.workers[who].at;
        let run = Folder::Run as usize;
        // The step at which the turn continues.
        let then = |mut to: State, next: At, what, steps: &mut Steps<State>| {
            to.workers[who].at = next;
            steps.push(who, what, to);
        };
        match at {
            At::Locked(event) => {
                if state.holder.is_none() {
                    to.holder = Some(who);
                    to.workers[who].holds = true;
                    then(to, At::Read(event), "lock late", steps);
                } else {
                    to.workers[who] = FRESH;
                    steps.push(who, "somebody has it", to);
                }
            }
            At::Clear(event) => {
                unlink(&mut to, who, event);
                then(to, At::Claim, "unlink a copy", steps);
            }
            At::Read(event) => {
                let is_blind = self.is(Mutant::AskWithoutLook);
                let kills = state.names[event][run].unwrap_or_default();
                if self.is(Mutant::CountBeforeLook) && kills.is_given_up() {
                    return then(to, At::Notice(event), "it kills", steps);
                }
                match (state.closed[event] > 0, state.answered[event]) {
                    (true, _) if !is_blind => then(to, At::Publish(event), "it is done", steps),
                    (_, true) if !is_blind => then(to, At::Close(event), "it is answered", steps),
                    _ if kills.is_given_up() => then(to, At::Notice(event), "it kills", steps),
                    _ => then(to, At::Ask(event), "it is to be asked", steps),
                }
            }
            At::Ask(event) => self.ask(state, who, event, steps),
            At::Blame(event) => {
                let kills = state.names[event][run].unwrap_or_default().killed(true);
                let (to_folder, next) =
                    if kills.is_given_up() { (Folder::Ready, "give it up") } else { (Folder::Wait, "blame it") };
                to.due &= kills.is_given_up();
                to.names[event][run] = None;
                to.names[event][to_folder as usize] = Some(kills);
                to.workers[who].listing[event][to_folder as usize] = Some(kills);
                then(to, At::Release, next, steps);
            }
            At::Answered(event) => {
                to.answered[event] = true;
                then(to, At::Close(event), "log the answer", steps);
            }
            At::Close(event) => {
                let early = self.is(Mutant::MoveBeforeCommit);
                if early && to.names[event][run].is_some() {
                    to.names[event][run] = None;
                    to.done[event] = true;
                    return then(to, At::Close(event), "move too early", steps);
                }
                to.closed[event] += 1;
                then(to, At::Publish(event), "log the end", steps);
            }
            At::Publish(event) => {
                if self.is(Mutant::MoveBeforePublish) && to.names[event][run].is_some() {
                    to.names[event][run] = None;
                    to.done[event] = true;
                    return then(to, At::Publish(event), "move too early", steps);
                }
                to.out[event] = if self.is(Mutant::FreshNames) { to.out[event] + 1 } else { 1 };
                then(to, At::Leave(event), "publish", steps);
            }
            At::Leave(event) => {
                to.done[event] = true;
                to.names[event][run] = None;
                then(to, At::Claim, "move to done", steps);
            }
            At::Notice(event) => {
                to.notice[event] = true;
                then(to, if self.is(Mutant::ReasonLate) { At::Fail(event) } else { At::Reason(event) }, "tell", steps);
            }
            At::Reason(event) => {
                to.reason[event] = true;
                then(to, At::Fail(event), "write the reason", steps);
            }
            At::Fail(event) => {
                unlink(&mut to, who, event);
                to.names[event][run] = None;
                to.failed[event] = true;
                then(to, At::Claim, "move to failed", steps);
            }
            _ => unreachable!("{at:?}"),
        }
    }

    fn ask(&self, state: &State, who: usize, event: usize, steps: &mut Steps<State>) {
        let run = Folder::Run as usize;
        let kills = state.names[event][run].unwrap_or_default();
        if self.poison == Some(event) && kills.crashes >= SUSPECT && !self.is(Mutant::NeverApart) {
            let mut to = State { deaths: state.deaths + 1, ..*state };
            to.workers[who].at = At::Blame(event);
            return steps.push(who, "its own process is killed by it", to);
        }
        if self.poison == Some(event) {
            return steps.push(who, "killed by it", Self::killed(state, who));
        }
        let mut to = *state;
        if (0..event).any(|lower| !state.ended(lower)) {
            to.broken.get_or_insert("events are worked on in their order");
        }
        if state.answered[event] {
            to.broken.get_or_insert("a logged answer is not asked for again");
        }
        to.workers[who].at = At::Answered(event);
        steps.push(who, "ask", to);
        if state.troubles > 0 {
            let mut to = State { troubles: state.troubles - 1, due: false, ..*state };
            to.names[event][Folder::Wait as usize] = Some(Count::default());
            to.names[event][run] = None;
            // It is still there, and holds up the events behind it.
            to.workers[who].listing[event][Folder::Wait as usize] = Some(Count::default());
            to.workers[who].at = At::Release;
            steps.push(who, "let it wait", to);
            let mut to = State { troubles: state.troubles - 1, ..*state };
            let later = state.workers[who].later;
            let counted = |kills: Count| if later { kills.killed(false) } else { kills };
            to.names[event][Folder::Ready as usize] = state.names[event][run].map(counted);
            to.names[event][run] = None;
            to.workers[who].listing[event][Folder::Ready as usize] = Some(Count::default());
            to.workers[who].at = At::Release;
            steps.push(who, "give it back", to);
        }
    }
}

/// Removes the listed copies, if they still exist.
fn unlink(to: &mut State, who: usize, event: usize) {
    let listed = std::mem::take(&mut to.workers[who].listing[event]);
    for (name, listed) in to.names[event].iter_mut().zip(listed) {
        *name = name.filter(|_| *name != listed);
    }
}

/// An event that could be claimed, as seen without a lock.
fn is_something(state: &State, names: &Names) -> bool {
    let [ready, waits, runs] = names;
    ready.is_some() || runs.is_some() || (waits.is_some() && state.due)
}
