//! `supervise`: all stages, or some, in one process that sleeps until a file or a due time wakes it.

use crate::core::fault::Result;
use crate::core::stamp::{DAY, Stamp};
use crate::stage::deliver::Deliver;
use crate::stage::pool::{self, Mode, Word, Work};
use crate::stage::remember::Remember;
use crate::stage::run_agent::RunAgent;
use crate::stage::{Outcome, failures, route, take_in, tick};
use crate::store::boxes::Side;
use crate::store::watch::{Watch, Woken};
use crate::store::workspace::Workspace;
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};

/// The stages, in the order of an event's way.
pub const STAGES: &[&str] = &["route", "run-agent", "remember", "deliver", "tick"];

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
pub fn run(
    workspace: &Workspace,
    stages: &[&str],
    stop: BorrowedFd,
    tell: &(dyn Fn(&str, Outcome) + Sync),
) -> Result<()> {
    let paths: Vec<PathBuf> = FOLDERS.iter().map(|(name, _)| workspace.path(name)).collect();
    let watch = Watch::new(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
    let width = tick::width(workspace)?;
    let run_agent = RunAgent::all(workspace);
    let remember = Remember { workspace };
    let deliver = Deliver { workspace, channel: None, print: None };
    let works: [(usize, &dyn Work, usize); 3] =
        [(1, &run_agent, width), (2, &remember, 1), (3, &deliver, tick::DELIVERIES)];
    let has = |stage: usize| stages.contains(&STAGES[stage]);
    // When each stage has to look again without being told to.
    let dues: Mutex<BTreeMap<usize, Stamp>> = Mutex::default();
    let is_due = |stage: usize, due: Option<Stamp>| {
        let mut dues = dues.lock().unwrap_or_else(PoisonError::into_inner);
        match due {
            Some(due) => dues.insert(stage, due),
            None => dues.remove(&stage),
        };
    };
    std::thread::scope(|scope| {
        let mut bells: BTreeMap<usize, Sender<Word>> = BTreeMap::new();
        for (stage, work, width) in works.into_iter().filter(|(stage, ..)| has(*stage)) {
            let (bell, hear) = mpsc::channel();
            bells.insert(stage, bell.clone());
            let is_due = &is_due;
            let watch = &watch;
            scope.spawn(move || {
                let mut report = |outcome| tell(STAGES[stage], outcome);
                let sleeping = |due| {
                    is_due(stage, due);
                    if due.is_some() {
                        watch.nudge();
                    }
                };
                pool::run(workspace, work, width, Mode::Forever, (&bell, &hear), &mut report, &sleeping)
            });
        }
        let result = attend(workspace, &watch, stop, &has, &bells, &dues, &is_due, tell);
        for bell in bells.values() {
            let _ = bell.send(Word::Stop);
        }
        result
    })
}

/// The supervisor's own thread: routes, takes in drops, sweeps, and rings for the others.
fn attend(
    workspace: &Workspace,
    watch: &Watch,
    stop: BorrowedFd,
    has: &dyn Fn(usize) -> bool,
    bells: &BTreeMap<usize, Sender<Word>>,
    dues: &Mutex<BTreeMap<usize, Stamp>>,
    is_due: &dyn Fn(usize, Option<Stamp>),
    tell: &dyn Fn(&str, Outcome),
) -> Result<()> {
    // Sweeping can wait until what was interrupted has been taken up again.
    let mut touched: Vec<usize> = (0..4).collect();
    is_due(4, Some(workspace.world.now().plus_seconds(60)));
    loop {
        let now = workspace.world.now();
        if touched.contains(&0) && has(0) {
            let routed = route::all(workspace).map(|routed| {
                failures(routed.failed).for_each(|outcome| tell(STAGES[0], outcome));
                routed.due
            });
            is_due(0, said(workspace, routed));
        }
        if touched.contains(&3) && has(3) {
            let taken = take_in(workspace, Side::Outbox).map(|taken| {
                failures(taken.failed).for_each(|outcome| tell(STAGES[3], outcome));
                taken.again
            });
            let again = said(workspace, taken);
            // The pool has its own due time; this one only brings us back here.
            is_due(DROPS, again);
        }
        if touched.contains(&4) && has(4) {
            said(workspace, tick::sweep(workspace).map(|()| None));
            is_due(4, Some(Stamp(now.0 + DAY)));
        }
        for bell in touched.iter().filter_map(|stage| bells.get(stage)) {
            let _ = bell.send(Word::Look);
        }
        let next = dues.lock().unwrap_or_else(PoisonError::into_inner).values().min().copied();
        touched = match watch.wait(workspace.world.now(), next, Some(stop))? {
            Woken::Other => return Ok(()),
            Woken::Files(folders) => folders.iter().flat_map(|n| FOLDERS[*n].1).copied().collect(),
            Woken::Time => {
                let now = workspace.world.now();
                let mut dues = dues.lock().unwrap_or_else(PoisonError::into_inner);
                let due: Vec<usize> = dues.iter().filter(|(_, at)| **at <= now).map(|(stage, _)| *stage).collect();
                dues.retain(|_, at| *at > now);
                // The slow interval and a clock that was set concern everybody but the sweeper.
                if due.is_empty() {
                    vec![0, 1, 2, 3]
                } else {
                    due.into_iter().map(|stage| if stage == DROPS { 3 } else { stage }).collect()
                }
            }
        };
    }
}

/// A stage's trouble is said, and the stage looks again in a while.
fn said(workspace: &Workspace, result: Result<Option<Stamp>>) -> Option<Stamp> {
    result.unwrap_or_else(|fault| {
        workspace.world.say(&fault.to_string());
        Some(workspace.world.now().plus_seconds(5))
    })
}
