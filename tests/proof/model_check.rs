//! The event protocol, checked as a model: every order of system calls of a few processes, with a kill
//! before any of them. Each rule of the protocol has a mutant without it, for which the checker must find
//! a counterexample; without that a model proves nothing.
//!
//! `CLAW_PROOF=full` exhausts larger models.

use crate::common::proof::{Proof, is_full};
use crate::model::deliver::{self, Deliver};
use crate::model::dispatch::{self, Dispatch, Shape};
use crate::model::hearing::{self, Hearing, Person};
use crate::model::lane::{self, Lane};
use crate::model::lock::{self, Locks};
use crate::model::route::{self, Route};
use crate::model::schedule::{self, Schedule};
use crate::model::slots::{self, Slots};
use crate::model::{ALIVE, Protocol, exhaust};
use std::slice;

/// Exhausts models that must have no counterexample, and prints their row.
#[track_caller]
fn holds<P: Protocol + std::fmt::Debug>(name: &'static str, models: &[P], must_happen: &[&str]) {
    let mut proof = Proof::begin(name);
    for model in models {
        match exhaust(model) {
            Ok(seen) => {
                proof.states += seen.states;
                let missing: Vec<_> = must_happen.iter().filter(|step| !seen.steps.contains(**step)).collect();
                assert!(missing.is_empty(), "{model:?} never does {missing:?}, only {:?}", seen.steps);
            }
            Err(found) => panic!("{model:?}: not true: {}\n{:#?}", found.rule, found.way),
        }
    }
    proof.end(0);
}

/// Every mutant must break the rule beside it.
#[track_caller]
fn caught<P: Protocol + std::fmt::Debug>(name: &'static str, mutants: &[(P, &str)]) {
    let mut proof = Proof::begin(name);
    for (model, rule) in mutants {
        match exhaust(model) {
            Ok(seen) => panic!("{model:?}: none of {} states is wrong", seen.states),
            Err(found) => assert_eq!(found.rule, *rule, "{model:?}\n{:#?}", found.way),
        }
        proof.points += 1;
    }
    proof.end(0);
}

#[test]
fn a_lock_file_has_one_holder() {
    let model = Locks { rounds: if is_full() { 3 } else { 2 }, kills: if is_full() { 2 } else { 1 }, mutant: None };
    holds("model: a lock file's life", slice::from_ref(&model), &["it is not linked", "unlink", "killed"]);
    let mutant = |mutant| Locks { mutant: Some(mutant), ..model.clone() };
    let rule = "one holder at a time";
    caught(
        "model: mutants of a lock file's life, each caught",
        &[(mutant(lock::Mutant::NoSecondLook), rule), (mutant(lock::Mutant::UnlinkOutside), rule)],
    );
}

#[test]
fn routing_keeps_order_and_conversations() {
    use route::Mutant::{ForgetLearned, ListOnce, LoadBeforeLock, MoveBeforeLearned, NoLink, NoLock};
    let model = Route { events: if is_full() { 4 } else { 3 }, kills: if is_full() { 2 } else { 1 }, mutant: None };
    holds("model: publish and route", slice::from_ref(&model), &["killed", "decide by what was learned", "learn"]);
    let mutant = |mutant| Route { mutant: Some(mutant), ..model.clone() };
    let (split, order) = ("a conversation has one session", "events are routed in their order");
    caught(
        "model: mutants of publish and route, each caught",
        &[
            (mutant(NoLock), split),
            (mutant(LoadBeforeLock), split),
            (mutant(MoveBeforeLearned), split),
            (mutant(ForgetLearned), split),
            (mutant(ListOnce), order),
            (mutant(NoLink), "what is routed is whole"),
        ],
    );
}

#[test]
fn lane_loses_nothing_and_repeats_nothing() {
    use lane::Mutant::{
        AskWithoutLook, FreshNames, MoveBeforeCommit, MoveBeforePublish, NoVersionCheck, OvertakeWaiting,
        RenameBeforeLock,
    };
    let (kills, troubles) = if is_full() { (2, 2) } else { (1, 1) };
    let is_fine = is_full();
    let two = Lane { events: 2, workers: 2, kills, troubles, repeats: 0, poison: None, is_fine, mutant: None };
    let again = Lane { events: 1, kills, repeats: 1, ..two.clone() };
    let steps = ["adopt", "claim", "let it wait", "give it back", "it is done", "it is answered", "the listing is old"];
    holds("model: one lane", &[two.clone(), again.clone()], &steps);
    let mutant = |mutant| Lane { mutant: Some(mutant), ..two.clone() };
    let order = "events are worked on in their order";
    caught(
        "model: mutants of one lane, each caught",
        &[
            (mutant(RenameBeforeLock), "a kill is counted where there was one"),
            (mutant(NoVersionCheck), order),
            (mutant(OvertakeWaiting), order),
            (mutant(MoveBeforeCommit), "what is done was answered"),
            (mutant(MoveBeforePublish), "what is done went out"),
            (mutant(AskWithoutLook), "a logged answer is not asked for again"),
            (mutant(FreshNames), "one answer goes out"),
        ],
    );
}

#[test]
fn event_that_kills_its_workers_ends() {
    use lane::Mutant::{
        BlameForAll, CountAfterWork, CountBeforeLook, CountNowhere, NeverApart, NoLookAtTheEnd, ReasonLate,
    };
    let (events, kills) = if is_full() { (2, 1) } else { (1, 0) };
    let model =
        Lane { events, workers: 2, kills, troubles: 0, repeats: 1, poison: Some(0), is_fine: is_full(), mutant: None };
    let steps =
        ["killed by it", "put off", "its own process is killed by it", "blame it", "give it up", "it kills", "adopt"];
    holds("model: an event that kills its workers", slice::from_ref(&model), &steps);
    let mutant = |mutant| Lane { events: 1, kills: 0, mutant: Some(mutant), ..model.clone() };
    // As many kills from outside as blame an event, and as many as give it up.
    let innocent = |kills, mutant| Lane { events: 1, kills, repeats: 0, poison: None, mutant, ..model.clone() };
    holds("model: an event whose supervisor is killed", &[innocent(lane::MAX_CRASHES - 1, None)], &["put off"]);
    let rule = "an event kills four workers at most";
    caught(
        "model: mutants of the count of kills, each caught",
        &[
            (mutant(CountAfterWork), rule),
            (mutant(CountNowhere), rule),
            (mutant(NeverApart), rule),
            (innocent(lane::MAX_BLAMED, Some(BlameForAll)), "what kills nobody does not fail"),
            (innocent(lane::MAX_CRASHES, Some(CountBeforeLook)), "what was answered does not fail"),
            (mutant(NoLookAtTheEnd), rule),
            (mutant(ReasonLate), "what has failed has a reason and a notice"),
        ],
    );
}

#[test]
fn slots_limit_without_deadlock() {
    use slots::Mutant::{
        CountInstead, HoldAndWait, KeptPromise, NoSecondTry, NoSlowLook, OwnPromise, Silent, SilentBack, WideFirst,
    };
    let kills = if is_full() { 3 } else { 1 };
    let mut models = Vec::new();
    for limit in [1, 2] {
        for is_one_agent in [true, false] {
            for pools in [[false; 3], [true; 3], [true, false, false], [false, true, true]] {
                // Without a kill no process needs the slow interval; with one, it is the only way.
                for lanes in [[0, 0, 1], [0, 2, 1]] {
                    let calm = Slots { limit, is_one_agent, lanes, pools, kills: 0, mutant: Some(NoSlowLook) };
                    models.push(calm.clone());
                    // The larger ones of both take as long again.
                    if lanes[1] == 0 || is_full() {
                        models.push(Slots { kills, mutant: None, ..calm });
                    }
                }
            }
        }
    }
    holds("model: slots", &models, &["full", "woken"]);
    let model = Slots { limit: 1, is_one_agent: false, lanes: [0, 0, 1], pools: [false; 3], kills: 0, mutant: None };
    let mutant = |mutant| Slots { mutant: Some(mutant), ..model.clone() };
    let idle = "nobody sleeps beside free slots";
    caught(
        "model: mutants of slots, each caught",
        &[
            (Slots { is_one_agent: true, ..mutant(HoldAndWait) }, ALIVE),
            (mutant(NoSecondTry), idle),
            (mutant(Silent), idle),
            (mutant(CountInstead), "never more than the limit at once"),
            (Slots { kills: 1, ..mutant(NoSlowLook) }, ALIVE),
            (Slots { limit: 2, lanes: [0, 2, 1], pools: [true; 3], ..mutant(WideFirst) }, idle),
            (Slots { lanes: [0, 2, 1], ..mutant(SilentBack) }, idle),
            (mutant(OwnPromise), idle),
            (mutant(KeptPromise), ALIVE),
        ],
    );
}

#[test]
fn dispatching_agent_is_answered() {
    use dispatch::Mutant::{
        AncestorsSession, BelieveEarly, BlameParent, FreshChild, KeepSlots, NoBound, NoRoute, OnlyWait,
    };
    let kills = if is_full() { 2 } else { 1 };
    let chain = Dispatch { shape: Shape::Chain, processes: 2, limit: 1, kills, poison: None, mutant: None };
    let models = [
        chain.clone(),
        Dispatch { limit: 2, ..chain.clone() },
        Dispatch { processes: 1, ..chain.clone() },
        Dispatch { shape: Shape::Pair, ..chain.clone() },
        Dispatch { shape: Shape::Pair, limit: 2, ..chain.clone() },
    ];
    let steps = ["lock the child's lane", "route the child", "hear of the child", "killed"];
    holds("model: dispatch", &models, &steps);
    let poisons = [1, 2].map(|event| Dispatch { poison: Some(event), kills: kills - 1, ..chain.clone() });
    holds("model: dispatch to what kills its workers", &poisons, &["killed by it", "move to failed"]);
    let mutant = |mutant| Dispatch { mutant: Some(mutant), ..chain.clone() };
    let poisoned = |mutant| Dispatch { mutant: Some(mutant), ..poisons[0].clone() };
    caught(
        "model: mutants of dispatch, each caught",
        &[
            (Dispatch { limit: 2, ..mutant(KeepSlots) }, ALIVE),
            (Dispatch { processes: 1, ..mutant(OnlyWait) }, ALIVE),
            (mutant(NoRoute), ALIVE),
            (Dispatch { processes: 1, ..mutant(AncestorsSession) }, ALIVE),
            (mutant(NoBound), "dispatch has a bound"),
            (mutant(FreshChild), "one call makes one child"),
            (poisoned(BlameParent), "what kills nobody does not fail"),
            (mutant(BelieveEarly), "a result is there before it is believed"),
        ],
    );
}

#[test]
fn repeated_delivery_is_marked() {
    use deliver::Mutant::{AdoptWithoutLock, MoveBeforeReceipt, NoBegun, SendWithoutLook};
    let program = Deliver { is_program: true, kills: if is_full() { 8 } else { 3 }, mutant: None };
    let folder = Deliver { is_program: false, ..program.clone() };
    holds("model: deliver", &[program.clone(), folder], &["killed", "there is a receipt"]);
    let mutant = |mutant| Deliver { kills: 3, mutant: Some(mutant), ..program.clone() };
    caught(
        "model: mutants of deliver, each caught",
        &[
            (mutant(NoBegun), "a repeat is told"),
            (mutant(AdoptWithoutLock), "what has a receipt is not sent again"),
            (mutant(MoveBeforeReceipt), "what is delivered has a receipt"),
            (mutant(SendWithoutLook), "what has a receipt is not sent again"),
        ],
    );
}

/// A supervisor's pool without disturbance.
fn told() -> Hearing {
    Hearing {
        events: &[0, 2],
        is_told: true,
        width: 1,
        runs: 0,
        troubles: 0,
        kills: 0,
        overflows: 0,
        person: Person::Absent,
        has_slot: false,
        is_fine: false,
        mutant: None,
    }
}

#[test]
fn pool_is_notified_of_all_work() {
    use hearing::Mutant::{
        ForgetNews, FreedUnheard, HeldUpFreed, KeepViews, LateArm, NoVersion, SameId, SilentTry, UnknownCame,
        UnknownFreed, UnprovedDue, WaitForgets,
    };
    let told = told();
    let beside = Hearing { runs: 1, ..told.clone() };
    let waits = Hearing { troubles: 1, ..told.clone() };
    let lost = Hearing { events: &[0, 2, 3], overflows: 1, ..told.clone() };
    let killed = Hearing { kills: 1, ..beside.clone() };
    let narrow = Hearing { events: &[0, 1], width: 2, has_slot: true, ..beside.clone() };
    let both_wait = Hearing { troubles: 1, is_fine: true, ..beside.clone() };
    let by = |person| Hearing { person, ..waits.clone() };
    let mut models = vec![
        Hearing { events: &[0, 1, 2], ..beside.clone() },
        Hearing { person: Person::Out, overflows: 1, ..told.clone() },
        lost.clone(),
        killed.clone(),
        narrow.clone(),
        both_wait.clone(),
    ];
    models.extend([Person::Hand, Person::Retry, Person::Discard].map(by));
    if is_full() {
        models.extend(models.clone().into_iter().map(|model| Hearing { events: &[0, 1, 2], ..model }));
        models.push(Hearing { width: 2, ..killed.clone() });
        models.push(Hearing { runs: 2, ..killed.clone() });
        models.push(Hearing { overflows: 1, ..both_wait.clone() });
    }
    holds("model: what a pool hears", &models, &["listen", "hear", "hear that it ended"]);
    let (asleep, order) = ("nobody sleeps beside what can be done", "events are worked on in their order");
    let mutant = |model: &Hearing, mutant| Hearing { mutant: Some(mutant), ..model.clone() };
    caught(
        "model: mutants of what a pool hears, each caught",
        &[
            (mutant(&both_wait, NoVersion), order),
            (mutant(&lost, KeepViews), order),
            (mutant(&told, ForgetNews), asleep),
            (mutant(&beside, FreedUnheard), asleep),
            (mutant(&told, UnknownCame), asleep),
            (mutant(&by(Person::Hand), SameId), asleep),
            (mutant(&by(Person::Hand), UnprovedDue), asleep),
            (mutant(&by(Person::Discard), HeldUpFreed), asleep),
            (mutant(&both_wait, UnknownFreed), asleep),
            (mutant(&by(Person::Retry), WaitForgets), asleep),
            (mutant(&narrow, SilentTry), asleep),
        ],
    );
    // The program has this one: a sleeping process checks again after the slow interval.
    caught("model: a kill between two calls, which wakes nobody", &[(mutant(&killed, LateArm), asleep)]);
}

#[test]
fn draining_processes_leave_no_work() {
    use hearing::Mutant::{NoLastLook, NoLookAfterNothing};
    let events: &[usize] = if is_full() { &[0, 1, 2, 3] } else { &[0, 2, 3] };
    let drains = Hearing { events, is_told: false, ..told() };
    holds("model: two that drain", slice::from_ref(&drains), &["publish and drain", "it is held", "leave"]);
    let mutant = |mutant| Hearing { mutant: Some(mutant), ..drains.clone() };
    let rule = "whoever was refused leaves it to one who does it";
    caught(
        "model: mutants of draining, each caught",
        &[(mutant(NoLastLook), rule), (mutant(NoLookAfterNothing), rule)],
    );
}

#[test]
fn every_due_instant_runs_once() {
    use schedule::Mutant::{LineFirst, NoLock, NoLook, OpensAgain};
    let model = Schedule { kills: if is_full() { 4 } else { 2 }, mutant: None };
    let must_happen = ["killed", "the event is known already", "record the end of an earlier run", "adopt"];
    holds("model: a scheduled job", slice::from_ref(&model), &must_happen);
    let mutant = |mutant| Schedule { mutant: Some(mutant), ..model.clone() };
    caught(
        "model: mutants of a scheduled job, each caught",
        &[
            (mutant(NoLock), "an instant has one line"),
            (mutant(NoLook), "an instant runs once"),
            (mutant(LineFirst), "a recorded run has its event"),
            (mutant(OpensAgain), "a run has one end in the ledger"),
        ],
    );
}
