//! The real store on a real folder, beside a reference in memory: random operations on both, and after each of them
//! every name in every folder must equal the reference, and every result too.
//! Holders are killed by dropping their locks without a transition.
//!
//! `CLAW_TEST_SEED` chooses the operations, `CLAW_PROOF=full` runs many.

mod reference;

use crate::common::proof::{Proof, is_full, seed};
use claw::core::event::address::Address;
use claw::core::event::id::Id;
use claw::core::event::stamp::Stamp;
use claw::core::event::{Draft, Event};
use claw::core::fault::Kind;
use claw::stage::route;
use claw::store::lock::Lane;
use claw::store::queue::spool::{self, Job, LaneHead};
use claw::store::queue::{listing, locate, publish, retry_discard};
use claw::store::retention;
use claw::store::workspace::Workspace;
use claw::store::workspace::mailbox::{Mailbox, State as Place};
use claw::store::workspace::scaffold;
use claw::world::World;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use reference::{Answer, EVENTS, FRESH, Folder, LANES, MISTAKES, Name, Operation, Reference, State, numbers};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;
use tempfile::TempDir;

/// 2026-11-21T00:00:00Z.
const BEGIN: i64 = 1_795_219_200;
static OPERATIONS: AtomicUsize = AtomicUsize::new(0);

/// The store, as its processes see it.
struct Store {
    dir: TempDir,
    now: i64,
    workspace: &'static Workspace,
    held: [Option<(Lane, Job<'static>)>; 2],
}

struct Beside<const WRONG: u8>;

fn at(second: i64) -> Stamp {
    Stamp((BEGIN + second) * 1_000_000)
}

fn id(event: usize) -> Id {
    Id::new(at(reference::stamp(event)), event as u64)
}

fn event(event: usize) -> Event {
    let place = Address::parse("cli:ann").unwrap();
    let draft = Draft {
        session: Some(LANES[reference::lane(event)].to_owned()),
        not_before: reference::not_before(event).map(|due| at(due).timestamp()),
        ..Draft::message(format!("message {event}"))
    };
    draft.complete(id(event), at(reference::stamp(event)), &place, &place)
}

impl Store {
    /// A job borrows its workspace, and time is part of that. So each instant has a workspace that stays.
    fn open(dir: &TempDir, now: i64) -> &'static Workspace {
        let world = World::real().unwrap().at(at(now));
        Box::leak(Box::new(Workspace::open(world, dir.path().to_path_buf(), true).unwrap()))
    }

    fn new(now: i64) -> Self {
        // In memory if possible: the disk does not matter here.
        let dir = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        scaffold::write(dir.path(), "model: offline\n", false).unwrap();
        let config = dir.path().join("claw.yaml");
        fs::write(&config, fs::read_to_string(&config).unwrap() + "\nsync: none\n").unwrap();
        let workspace = Self::open(&dir, now);
        workspace.make_layout().unwrap();
        Self { dir, now, workspace, held: [None, None] }
    }

    fn lane(&self, of: usize) -> Option<Lane> {
        Lane::attempt(self.workspace, Mailbox::Inbox, LANES[of]).unwrap()
    }

    fn claim(&mut self, of: usize) -> Answer {
        let Some(lane) = self.lane(of) else { return Answer::Busy };
        let mut entries = listing::lane(self.workspace, Mailbox::Inbox, LANES[of]).unwrap();
        match spool::claim(self.workspace, Mailbox::Inbox, &lane, &mut entries).unwrap() {
            LaneHead::Nothing => {
                lane.release_and_remove();
                Answer::Nothing
            }
            LaneHead::NotDue(due) => {
                lane.release();
                Answer::NotDue(due.0 / 1_000_000 - BEGIN)
            }
            LaneHead::Job(job) => {
                let event = job.read().unwrap();
                assert_eq!(event, self::event(number(&job.entry.id)));
                let tries = numbers(job.entry.tries);
                let answer = reference::Job { event: number(&job.entry.id), before: [0; 4], tries };
                self.held[of] = Some((lane, job));
                Answer::Claimed(answer)
            }
        }
    }

    fn leave(&mut self, of: usize, is_idle: bool, go: impl FnOnce(Job)) {
        let (lane, job) = self.held[of].take().unwrap();
        go(job);
        if is_idle {
            lane.release_and_remove();
        } else {
            lane.release();
        }
    }

    fn is_done(&self, event: usize) -> bool {
        Mailbox::Inbox.done(self.workspace, &id(event)).exists()
    }

    /// Days of `done/` age by the reference's clock, not the machine's.
    fn apply(&mut self, operation: Operation, expected: &State) -> Answer {
        let before: Vec<bool> = (0..EVENTS).map(|event| self.is_done(event)).collect();
        let answer = self.operate(operation, expected);
        for event in (0..EVENTS).filter(|event| self.is_done(*event) && !before[*event]) {
            let day = Mailbox::Inbox.done(self.workspace, &id(event)).parent().unwrap().to_owned();
            let now = SystemTime::from(at(self.now).timestamp());
            fs::File::open(day).unwrap().set_modified(now).unwrap();
        }
        answer
    }

    fn operate(&mut self, operation: Operation, expected: &State) -> Answer {
        let is_idle = |of: usize| expected.is_idle(of);
        let by_hand = |result: claw::core::fault::Result<bool>| match result {
            Ok(true) => Answer::Yes,
            Ok(false) => Answer::No,
            Err(fault) if fault.kind == Kind::Later => Answer::Busy,
            Err(fault) => panic!("{fault}"),
        };
        match operation {
            Operation::Publish(number) => {
                let is_new = publish::inbox(self.workspace, &event(number)).unwrap();
                return if is_new { Answer::Yes } else { Answer::No };
            }
            Operation::Route => assert!(route::all(self.workspace).unwrap().failed.is_empty()),
            Operation::Claim(of) => return self.claim(of),
            Operation::Done(of) => self.leave(of, is_idle(of), |job| job.done().unwrap()),
            Operation::Wait(of, seconds, counts) => {
                let due = at(self.now + seconds);
                self.leave(of, is_idle(of), |job| job.wait(due, counts).unwrap());
            }
            Operation::GiveBack(of) => self.leave(of, is_idle(of), |job| job.give_back().unwrap()),
            Operation::Blame(of) => self.leave(of, is_idle(of), |job| assert!(job.blame().unwrap().is_some())),
            Operation::Fail(of) => self.leave(of, is_idle(of), |job| job.fail("it cannot be").unwrap()),
            Operation::Crash(of) => self.held[of] = None,
            Operation::CrashFailing(of) => {
                let (_lane, job) = self.held[of].take().unwrap();
                spool::write_reason(self.workspace, Mailbox::Inbox, &job.entry.id, "it cannot be").unwrap();
            }
            Operation::Retry(event) => return by_hand(retry_discard::retry(self.workspace, &id(event))),
            Operation::Discard(event) => return by_hand(retry_discard::discard(self.workspace, &id(event))),
            Operation::Prune => drop(retention::run(self.workspace).unwrap()),
            Operation::Pass(seconds) => {
                self.now += seconds;
                self.workspace = Self::open(&self.dir, self.now);
            }
        }
        Answer::Nothing
    }

    /// Every name in every folder.
    fn names(&self) -> BTreeMap<usize, BTreeSet<Name>> {
        let folders = [
            (Place::New, Folder::New),
            (Place::Ready, Folder::Ready),
            (Place::Wait, Folder::Wait),
            (Place::Run, Folder::Run),
            (Place::Failed, Folder::Failed),
        ];
        let mut names: BTreeMap<usize, BTreeSet<Name>> = BTreeMap::new();
        for (place, folder) in folders {
            for entry in listing::list(self.workspace, Mailbox::Inbox, place).unwrap() {
                let event = number(&entry.id);
                let lane = if place == Place::New { "" } else { LANES[reference::lane(event)] };
                assert_eq!(entry.lane, lane);
                let due = entry.due.map(|due| due.0 / 1_000_000 - BEGIN);
                assert!(names.entry(event).or_default().insert((folder, due, numbers(entry.tries))));
            }
        }
        for event in (0..EVENTS).filter(|event| self.is_done(*event)) {
            names.entry(event).or_default().insert((Folder::Done, None, FRESH));
        }
        names
    }
}

fn number(id: &Id) -> usize {
    (0..EVENTS).find(|event| self::id(*event) == *id).unwrap_or_else(|| panic!("whose is {id}?"))
}

impl<const WRONG: u8> StateMachineTest for Beside<WRONG> {
    type SystemUnderTest = Store;
    type Reference = Reference<WRONG>;

    fn init_test(state: &State) -> Store {
        Store::new(state.now)
    }

    fn apply(mut store: Store, state: &State, operation: Operation) -> Store {
        OPERATIONS.fetch_add(usize::from(WRONG == 0), Ordering::Relaxed);
        let answer = store.apply(operation, state);
        // The state of a returned job shows when it is returned.
        let expected = match state.answer {
            Answer::Claimed(job) => Answer::Claimed(reference::Job { before: [0; 4], ..job }),
            other => other,
        };
        assert_eq!(answer, expected, "the answer to {operation:?}");
        store
    }

    fn check_invariants(store: &Store, state: &State) {
        let mut expected = state.names.clone();
        expected.retain(|_, names| !names.is_empty());
        assert_eq!(store.names(), expected, "what lies where");
        for event in 0..EVENTS {
            let has_reason = Mailbox::Inbox.reason(store.workspace, &id(event)).exists();
            assert_eq!(has_reason, state.reasons.contains(&event), "the reason of {event}");
            if !expected.contains_key(&event) {
                continue;
            }
            let found = locate::of(store.workspace, Mailbox::Inbox, &id(event)).unwrap().into_iter().next();
            let winner = state.names(event).next_back().map(|name| name.0);
            assert_eq!(found.map(|f| f.state_name()), winner.map(folder_name), "where {event} is found");
        }
        for (of, name) in LANES.iter().enumerate() {
            let free = store.lane(of).map(Lane::release);
            assert_eq!(free.is_none(), state.held[of].is_some(), "who holds {name}");
        }
        assert_eq!(fs::read_dir(Mailbox::Inbox.tmp(store.workspace)).unwrap().count(), 0);
    }
}

fn folder_name(folder: Folder) -> &'static str {
    match folder {
        Folder::New => "new",
        Folder::Ready => "ready",
        Folder::Wait => "wait",
        Folder::Run => "run",
        Folder::Failed => "failed",
        Folder::Done => "done",
    }
}

/// Runs so many random sequences of operations; the error is the shortest sequence that differs.
fn run<const WRONG: u8>(cases: u32, shrinks: u32) -> Result<(), String> {
    let config = Config {
        cases,
        max_shrink_iters: shrinks,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed()),
        ..Config::default()
    };
    let mut runner = TestRunner::new(config.clone());
    let strategy = Reference::<WRONG>::sequential_strategy(1..80);
    let ran = runner.run(&strategy, |(state, operations, seen)| {
        Beside::<WRONG>::test_sequential(config.clone(), state, operations, seen);
        Ok(())
    });
    ran.map_err(|error| match error {
        TestError::Fail(why, (_, operations, _)) => format!("{why}\nafter {operations:#?}\nseed {}", seed()),
        TestError::Abort(why) => panic!("not run: {why}"),
    })
}

#[test]
fn store_equals_the_reference() {
    let mut proof = Proof::begin("random operations on the store, beside a reference");
    proof.seed = Some(seed());
    if let Err(difference) = run::<0>(if is_full() { 2500 } else { 150 }, 5000) {
        panic!("{difference}");
    }
    proof.points = OPERATIONS.load(Ordering::Relaxed);
    proof.end(0);
}

#[test]
fn wrong_reference_is_noticed() {
    let mut proof = Proof::begin("the same beside references with a mistake, each noticed");
    proof.seed = Some(seed());
    let runs = [run::<1>, run::<2>, run::<3>, run::<4>, run::<5>, run::<6>, run::<7>, run::<8>];
    assert_eq!(runs.len(), usize::from(MISTAKES));
    let noticed = runs.iter().filter(|run| run(400, 1).is_err()).count();
    proof.points = runs.len();
    proof.end(runs.len() - noticed);
    assert_eq!(noticed, runs.len(), "a mistake goes unnoticed");
}
