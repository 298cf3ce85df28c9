//! `supervise`: all stages, or some, in one process that sleeps until a file or a due time wakes it.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::stamp::{DAY, Stamp};
use crate::stage::deliver::Deliver;
use crate::stage::pool::{self, Mode, Word, Work};
use crate::stage::remember::Remember;
use crate::stage::run_agent::RunAgent;
use crate::stage::{Outcome, failures, route, take_in, tick};
use crate::store::boxes::Side;
use crate::store::drops::Taken;
use crate::store::watch::{Watch, Woken};
use crate::store::workspace::Workspace;
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The stages, in the order of an event's way.
pub const STAGES: &[&str] = &["route", "run-agent", "remember", "deliver", "tick"];

/// The place of the sweeper among the stages.
const SWEEP: usize = 4;
/// The due time of the outbox's drop zone stands beside the stages'.
const DROPS: usize = 5;

/// The folders that wake somebody, and whom (places in [`STAGES`]).
const FOLDERS: &[(&str, &[usize])] = &[
    ("inbox", &[0]),
    ("inbox/new", &[0]),
    ("inbox/ready", &[1, 2]),
    (".claw/locks/inbox", &[1, 2]),
    (".claw/locks/slots", &[1]),
    ("outbox", &[3]),
    ("outbox/ready", &[3]),
    (".claw/locks/outbox", &[3]),
];

/// Runs the named stages until `stop` is readable, then finishes what was begun. `tell` hears every
/// outcome with its stage.
///
/// # Errors
/// Where the folders cannot be watched, or `claw.yaml` is bad at the start.
pub fn run(workspace: &Workspace, stages: &[&str], stop: BorrowedFd, tell: Tell) -> Result<()> {
    let paths: Vec<PathBuf> = FOLDERS.iter().map(|(name, _)| workspace.path(name)).collect();
    let watch = Watch::new(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
    let width = tick::width(workspace)?;
    let run_agent = RunAgent::all(workspace);
    let remember = Remember { workspace };
    let deliver = Deliver { workspace, channel: None, print: None };
    let works: [(usize, &dyn Work, usize); 3] =
        [(1, &run_agent, width), (2, &remember, 1), (3, &deliver, tick::DELIVERIES)];
    let desk = Desk { workspace, stages, watch, dues: Mutex::default(), tell };
    std::thread::scope(|scope| {
        let mut bells = BTreeMap::new();
        for (stage, work, width) in works.into_iter().filter(|(stage, ..)| desk.has(*stage)) {
            let (bell, hear) = mpsc::channel();
            bells.insert(stage, bell.clone());
            let desk = &desk;
            scope.spawn(move || {
                let mut report = |outcome| tell(STAGES[stage], outcome);
                let sleeping = |due: Option<Stamp>| {
                    desk.is_due(stage, due);
                    if due.is_some() {
                        desk.watch.nudge();
                    }
                };
                pool::run(workspace, work, width, Mode::Forever, (&bell, &hear), &mut report, &sleeping)
            });
        }
        let result = desk.attend(stop, &bells);
        for bell in bells.values() {
            let _ = bell.send(Word::Stop);
        }
        result
    })
}

/// Hears every outcome, with the name of its stage.
pub type Tell<'a> = &'a (dyn Fn(&str, Outcome) + Sync);

/// The supervisor's own thread: it routes, takes in drops, sweeps, and rings for the others.
struct Desk<'a> {
    workspace: &'a Workspace,
    stages: &'a [&'a str],
    watch: Watch,
    /// When each stage has to look again without being told to.
    dues: Mutex<BTreeMap<usize, Stamp>>,
    tell: Tell<'a>,
}

impl Desk<'_> {
    fn attend(&self, stop: BorrowedFd, bells: &BTreeMap<usize, Sender<Word>>) -> Result<()> {
        let workspace = self.workspace;
        // Sweeping can wait until what was interrupted has been taken up again.
        let mut touched: Vec<usize> = (0..SWEEP).collect();
        self.is_due(SWEEP, Some(workspace.world.now().plus_seconds(60)));
        loop {
            if touched.contains(&0) && self.has(0) {
                let routed = route::all(workspace).map(|routed| Taken { again: routed.due, failed: routed.failed });
                self.is_due(0, self.said(0, routed));
            }
            if touched.contains(&3) && self.has(3) {
                // The pool has its own due time; this one only brings us back here.
                self.is_due(DROPS, self.said(3, take_in(workspace, Side::Outbox)));
            }
            if touched.contains(&SWEEP) && self.has(SWEEP) {
                let tomorrow = Stamp(workspace.world.now().0 + DAY);
                let swept = tick::sweep(workspace).map(|()| Taken { again: Some(tomorrow), failed: Vec::new() });
                self.is_due(SWEEP, self.said(SWEEP, swept));
            }
            for bell in touched.iter().filter_map(|stage| bells.get(stage)) {
                let _ = bell.send(Word::Look);
            }
            let next = self.lock().values().min().copied();
            touched = match self.watch.wait(workspace.world.now(), next, Some(stop))? {
                Woken::Other => return Ok(()),
                Woken::Lost => {
                    let what = "a folder that was watched has been taken away";
                    return Err(
                        Fault::new(Kind::Machine, what).hint("start claw supervise again: it makes the folder anew")
                    );
                }
                Woken::Files(folders) => folders.iter().flat_map(|n| FOLDERS[*n].1).copied().collect(),
                Woken::Time => self.take_due(),
            };
        }
    }

    fn has(&self, stage: usize) -> bool {
        self.stages.contains(&STAGES[stage])
    }

    fn is_due(&self, stage: usize, due: Option<Stamp>) {
        match due {
            Some(due) => self.lock().insert(stage, due),
            None => self.lock().remove(&stage),
        };
    }

    /// The stages whose time has come.
    fn take_due(&self) -> Vec<usize> {
        let now = self.workspace.world.now();
        let mut due = Vec::new();
        self.lock().retain(|stage, at| {
            if *at <= now {
                due.push(if *stage == DROPS { 3 } else { *stage });
            }
            *at > now
        });
        // The slow interval and a clock that was set concern everybody but the sweeper.
        if due.is_empty() { (0..SWEEP).collect() } else { due }
    }

    /// What has failed is told; a stage's trouble is said, and the stage looks again in a while.
    fn said(&self, stage: usize, result: Result<Taken>) -> Option<Stamp> {
        match result {
            Ok(taken) => {
                failures(taken.failed).for_each(|outcome| (self.tell)(STAGES[stage], outcome));
                taken.again
            }
            Err(fault) => {
                self.workspace.world.say(&fault.to_string());
                Some(self.workspace.world.now().plus_seconds(5))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Stamp>> {
        self.dues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
