//! The table of tasks: one row per kind of work. `supervise` runs a task when one of its folders has changed or when
//! it is due; `tick` runs all of them once, in the order of the table. A new kind of work is one row.

use crate::core::definition::task::TaskState;
use crate::core::event::stamp::{DAY, SECOND, Stamp};
use crate::core::fault::Result;
use crate::stage::control::{self, Control};
use crate::stage::deliver::{self, Deliver};
use crate::stage::outcome::take_batch;
use crate::stage::remember::Remember;
use crate::stage::route::Router;
use crate::stage::schedule;
use crate::stage::task_watch::{self, Announcer};
use crate::stage::turn::run_agent::RunAgent;
use crate::stage::worker::handler::Handler;
use crate::store::crons;
use crate::store::fs::watch::WatchKind;
use crate::store::memory::history;
use crate::store::queue::drops::{Backlog, TakenIn};
use crate::store::retention;
use crate::store::session::approvals::{self, Verdict};
use crate::store::tasks::{self, claims};
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{Mailbox, State};
use std::path::PathBuf;

/// The stages that `claw supervise STAGE…` can name, in the order of an event's way.
pub const STAGES: &[&str] = &["route", "run-agent", "remember", "deliver", "tick", LISTEN];

/// The stage of the channels' listeners; it has no row in [`TASKS`], because each listener is a process of its own.
pub const LISTEN: &str = "listen";
/// Concurrent deliveries of one process.
pub const DELIVERIES: usize = 8;

/// Pending changes of the memories are looked at again after this time.
const HISTORY: i64 = 60 * SECOND;

/// A kind of work.
pub struct TaskRow {
    /// Its name, unique in the table.
    pub name: &'static str,
    /// The stage that it belongs to, one of [`STAGES`].
    pub stage: &'static str,
    /// The folders whose changes make `supervise` run it.
    pub folders: fn(&Workspace) -> Vec<Folder>,
    /// The work.
    pub run: Runner,
    /// When `supervise` runs it first.
    pub start: Start,
    /// Another task that `supervise` runs along with it.
    pub then: Option<&'static str>,
    /// Tasks that `tick` runs before it once more, because earlier ones made work for them.
    pub again: &'static [&'static str],
}

/// A folder that a task watches.
pub struct Folder {
    /// Its path.
    pub path: PathBuf,
    /// The changes that count.
    pub kind: WatchKind,
    /// Only files named `….drop` count; other files in the folder are being written.
    pub drops_only: bool,
}

/// How a task works.
pub enum Runner {
    /// On the calling thread, in one go. Returns the events that failed, and the next due time.
    Inline(fn(&mut Inline) -> Result<TakenIn>),
    /// By a pool of worker threads.
    Pool(for<'w> fn(&'w Workspace) -> PoolSpec<'w>),
}

/// When `supervise` runs a task for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the start, and again whenever notifications may have been missed.
    AtOnce,
    /// After so many seconds; `tick` runs it at once.
    After(i64),
    /// On a change only; `tick` leaves it out.
    OnChange,
}

/// A worker pool: its handler, and the most events that it handles at once.
pub struct PoolSpec<'w> {
    /// Handles one event.
    pub handler: Box<dyn Handler + 'w>,
    /// Evaluated again whenever something has changed.
    pub width: fn(&Workspace) -> usize,
}

/// The state of the inline tasks of one process.
pub struct Inline<'w> {
    workspace: &'w Workspace,
    router: Router<'w>,
    announcer: Announcer<'w>,
    /// Drops that were listed and are not taken in yet, of the inbox and of the outbox.
    backlogs: [Backlog; 2],
    /// Claims of the task list that become free when a lane is released.
    pub claims: usize,
}

impl<'w> Inline<'w> {
    /// The state before the first task.
    #[must_use]
    pub fn new(workspace: &'w Workspace) -> Self {
        Self {
            workspace,
            router: Router::new(workspace),
            announcer: Announcer::new(workspace),
            backlogs: Default::default(),
            claims: 0,
        }
    }

    fn know_claims(&mut self, claims: usize) -> TakenIn {
        self.claims = claims;
        TakenIn::default()
    }
}

/// All tasks, in the order of an event's way.
pub const TASKS: &[TaskRow] = &[
    TaskRow {
        name: CLAIMS,
        folders: |workspace| vec![folder(claims::locks(workspace), WatchKind::Releases)],
        run: Runner::Inline(|inline| task_watch::release_claims(inline.workspace).map(|left| inline.know_claims(left))),
        start: Start::OnChange,
        ..TICK
    },
    TaskRow {
        name: "announce",
        folders: |workspace| {
            // The folder above is watched too, because `open` may be removed and created again.
            let open = tasks::dir(workspace, TaskState::Open);
            [workspace.path(tasks::FOLDER), open].map(|path| folder(path, WatchKind::Edits)).into()
        },
        run: Runner::Inline(|inline| inline.announcer.announce().map(|left| inline.know_claims(left))),
        ..TICK
    },
    TaskRow {
        name: SCHEDULE,
        folders: |workspace| {
            // A command may have paused or resumed a job.
            [crons::FOLDER, crons::LEDGERS].map(|path| folder(workspace.path(path), WatchKind::Edits)).into()
        },
        run: Runner::Inline(|inline| schedule::pass::all(inline.workspace)),
        ..TICK
    },
    TaskRow {
        name: "take-in",
        stage: "route",
        folders: |workspace| {
            let decided = [Verdict::Approved, Verdict::Denied]
                .map(|verdict| folder(approvals::dir(workspace, verdict.folder()), WatchKind::Arrivals));
            drop_folders(workspace, Mailbox::Inbox).into_iter().chain(decided).collect()
        },
        run: Runner::Inline(|inline| take_batch(inline.workspace, Mailbox::Inbox, &mut inline.backlogs[0])),
        then: Some("route"),
        ..TICK
    },
    TaskRow {
        name: "route",
        stage: "route",
        folders: |workspace| vec![folder(Mailbox::Inbox.dir(workspace, State::New), WatchKind::Arrivals)],
        run: Runner::Inline(|inline| {
            inline.router.route().map(|routed| TakenIn { again: routed.due, failed: routed.failed })
        }),
        ..TICK
    },
    // Commands have threads of their own, because turns may occupy all of theirs.
    TaskRow {
        name: "control",
        stage: "run-agent",
        run: Runner::Pool(|workspace| PoolSpec {
            handler: Box::new(Control::all(workspace)),
            width: |_| control::WIDTH,
        }),
        ..TICK
    },
    TaskRow {
        name: "run-agent",
        stage: "run-agent",
        run: Runner::Pool(|workspace| PoolSpec {
            handler: Box::new(RunAgent::all(workspace)),
            width: |workspace| turn_width(workspace).unwrap_or(1),
        }),
        ..TICK
    },
    TaskRow {
        name: "remember",
        stage: "remember",
        run: Runner::Pool(|workspace| PoolSpec { handler: Box::new(Remember { workspace }), width: |_| 1 }),
        // Turns publish notes.
        again: &["take-in", "route"],
        ..TICK
    },
    TaskRow {
        name: "history",
        // Changes become pending while git is in use by the owner.
        folders: |workspace| vec![folder(workspace.path(history::STATE), WatchKind::Arrivals)],
        run: Runner::Inline(|inline| {
            let is_waiting = history::commit_pending(inline.workspace)?;
            let later = Stamp(inline.workspace.world.now().0 + HISTORY);
            Ok(TakenIn { again: is_waiting.then_some(later), failed: Vec::new() })
        }),
        ..TICK
    },
    TaskRow {
        name: "take-out",
        stage: "deliver",
        // Scheduled runs send their answers to sessions, too.
        again: &["run-agent"],
        folders: |workspace| drop_folders(workspace, Mailbox::Outbox),
        run: Runner::Inline(|inline| take_batch(inline.workspace, Mailbox::Outbox, &mut inline.backlogs[1])),
        ..TICK
    },
    TaskRow {
        name: "deliver",
        stage: "deliver",
        run: Runner::Pool(|workspace| PoolSpec {
            handler: Box::new(Deliver { workspace, channel: None, print: None, outgoing: None }),
            width: |_| DELIVERIES,
        }),
        ..TICK
    },
    TaskRow {
        name: SWEEP,
        run: Runner::Inline(|inline| {
            sweep(inline.workspace)?;
            let tomorrow = Stamp(inline.workspace.world.now().0 + DAY);
            Ok(TakenIn { again: Some(tomorrow), failed: Vec::new() })
        }),
        // First the interrupted events are resumed.
        start: Start::After(60),
        ..TICK
    },
];

/// The task that frees claims of the task list.
pub const CLAIMS: &str = "claims";
/// The task that makes events of due instants.
pub const SCHEDULE: &str = "schedule";
/// The task that prunes.
pub const SWEEP: &str = "sweep";

/// The defaults of a row.
const TICK: TaskRow = TaskRow {
    name: "",
    stage: "tick",
    folders: |_| Vec::new(),
    run: Runner::Inline(|_| Ok(TakenIn { again: None, failed: Vec::new() })),
    start: Start::AtOnce,
    then: None,
    again: &[],
};

fn folder(path: PathBuf, kind: WatchKind) -> Folder {
    Folder { path, kind, drops_only: false }
}

/// The drop zone of a mailbox, and its `tmp`, where retried and half-taken drops are.
fn drop_folders(workspace: &Workspace, mailbox: Mailbox) -> Vec<Folder> {
    let tmp = Folder { drops_only: true, ..folder(mailbox.tmp(workspace), WatchKind::Edits) };
    vec![folder(workspace.path(mailbox.name()), WatchKind::Drops), tmp]
}

/// Concurrent turns of one process.
///
/// # Errors
/// If `claw.yaml` is invalid.
pub fn turn_width(workspace: &Workspace) -> Result<usize> {
    Ok(usize::try_from(workspace.config()?.max_concurrency).unwrap_or(usize::MAX).min(256))
}

/// Prunes: unread answers, expired approvals, old days, old sessions.
fn sweep(workspace: &Workspace) -> Result<()> {
    deliver::give_up_unread(workspace)?;
    approvals::expire(workspace)?;
    retention::run(workspace).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_name_known_stages_and_tasks() {
        let names: Vec<&str> = TASKS.iter().map(|task| task.name).collect();
        for task in TASKS {
            assert!(STAGES.contains(&task.stage), "{}", task.name);
            assert_eq!(names.iter().filter(|name| **name == task.name).count(), 1, "{}", task.name);
            let others = task.then.iter().chain(task.again);
            assert!(others.into_iter().all(|other| names.contains(other)), "{}", task.name);
        }
        assert!([CLAIMS, SCHEDULE, SWEEP].iter().all(|name| names.contains(name)));
    }
}
