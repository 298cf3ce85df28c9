//! `supervise`: all stages, or some, in one process that sleeps until a file or a due time wakes it.

mod service_manager;

use crate::core::config;
use crate::core::event::entry::Entry;
use crate::core::event::stamp::{DAY, Stamp};
use crate::core::fault::{Fault, Kind, Result};
use crate::report::status::SUPERVISOR;
use crate::stage::listen::fleet;
use crate::stage::outcome::{Outcome, failures};
use crate::stage::supervise::service_manager::ServiceManager;
use crate::stage::task::{CLAIMS, Inline, LISTEN, PoolSpec, Runner, SCHEDULE, SWEEP, Start, TASKS, turn_width};
use crate::stage::worker::pool::{self, PoolMode};
use crate::stage::worker::threads::PoolMessage;
use crate::store::agent::definitions;
use crate::store::crons;
use crate::store::fs::lease;
use crate::store::fs::watch::{Change, Watch, WatchKind, Woken};
use crate::store::lock::NamedLock;
use crate::store::queue::drops::TakenIn;
use crate::store::session::approvals;
use crate::store::tasks;
use crate::store::tasks::claims;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{Mailbox, State};
use rustix::event::{EventfdFlags, eventfd};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The reaction to a change in a watched folder.
#[derive(Clone, Copy)]
enum Trigger {
    /// Run the task of this number; with `drops_only` only for files named `….drop`.
    Task { task: usize, drops_only: bool },
    /// A file has arrived in `ready` of this mailbox.
    Arrived(Mailbox),
    /// A lane of this mailbox was released.
    LaneReleased(Mailbox),
    /// Slots were released.
    SlotsReleased,
    /// Settings, or an agent's files, were saved.
    Edited,
}

/// The watched folders, and the reactions to their changes.
fn folders(workspace: &Workspace) -> Vec<(PathBuf, WatchKind, Trigger)> {
    let locks = |name: &str| workspace.path(".claw/locks").join(name);
    let mut folders = vec![
        (workspace.root.clone(), WatchKind::Required, Trigger::Edited),
        (locks("slots"), WatchKind::Releases, Trigger::SlotsReleased),
    ];
    for (task, row) in TASKS.iter().enumerate() {
        let own = (row.folders)(workspace).into_iter();
        let drops = own.map(|folder| (folder.path, folder.kind, Trigger::Task { task, drops_only: folder.drops_only }));
        folders.extend(drops);
    }
    for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
        folders.push((mailbox.dir(workspace, State::Ready), WatchKind::Arrivals, Trigger::Arrived(mailbox)));
        folders.push((locks(mailbox.name()), WatchKind::Releases, Trigger::LaneReleased(mailbox)));
    }
    folders
}

/// Runs the named stages until `stop` is readable, then finishes the events in progress. `report` is called with every
/// outcome and its stage. `end` ends the process: it is called if one of the supervisor's threads cannot be started or
/// has panicked, because without it the others would wait for ever.
///
/// # Errors
/// If the folders cannot be watched, or `claw.yaml` is invalid at the start.
pub fn run(workspace: &Workspace, stages: &[&str], stop: BorrowedFd, report: OnOutcome, end: EndProcess) -> Result<()> {
    // `claw status` names its holder; several supervisors may share the stages.
    let _lock = NamedLock::attempt(workspace, SUPERVISOR)?;
    approvals::make_layout(workspace)?;
    tasks::make_layout(workspace)?;
    claims::make_layout(workspace)?;
    crons::make_layout(workspace)?;
    let folders = folders(workspace);
    let watch = Watch::new(&folders.iter().map(|(path, kind, _)| (path.clone(), *kind)).collect::<Vec<_>>())?;
    let triggers = folders.into_iter().map(|(.., trigger)| trigger).collect();
    turn_width(workspace)?;
    let mut supervisor =
        Supervisor { workspace, stages, watch, triggers, pools: BTreeMap::new(), dues: Mutex::default(), report };
    let mut pools = Vec::new();
    for (task, row) in TASKS.iter().enumerate().filter(|(_, row)| stages.contains(&row.stage)) {
        if let Runner::Pool(pool) = row.run {
            let (sender, receiver) = mpsc::channel();
            let pool = pool(workspace);
            supervisor.pools.insert(task, (pool.handler.mailbox(), sender.clone()));
            pools.push((task, row, pool, sender, receiver));
        }
    }
    let supervisor = &supervisor;
    let stop_listeners = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|e| Fault::new(Kind::Machine, format!("cannot make an eventfd: {e}")))?;
    let stop_listeners = &stop_listeners;
    std::thread::scope(|scope| {
        for (task, row, PoolSpec { handler, width }, sender, receiver) in pools {
            let work = move || {
                let mut each = |outcome| report(row.stage, outcome);
                let sleeping = |due: Option<Stamp>| {
                    if supervisor.set_due(task, due) {
                        supervisor.watch.wake();
                    }
                };
                let width = || width(workspace);
                let channel = (&sender, &receiver);
                pool::run(workspace, &*handler, &width, PoolMode::Forever, channel, &mut each, &sleeping)
            };
            let thread = std::thread::Builder::new().name(row.name.to_owned());
            let started = thread.spawn_scoped(scope, move || or_end(row.name, end, work).map(drop));
            if let Err(error) = started {
                let fault = Fault::new(Kind::Machine, format!("cannot start a thread for {}: {error}", row.name));
                match end(fault.hint("raise the limits of processes and memory (ulimit -u, ulimit -v)")) {}
            }
        }
        let listeners_stop = stop_listeners.as_fd();
        if stages.contains(&LISTEN) {
            let work = move || match fleet::run(workspace, None, listeners_stop) {
                Ok(()) => {}
                // The folders are gone, or nothing can be watched: the supervisor's own thread ends for the same reason.
                Err(fault) => workspace.world.say(&fault.to_string()),
            };
            let started = std::thread::Builder::new().name(LISTEN.to_owned());
            let started = started.spawn_scoped(scope, move || or_end(LISTEN, end, work));
            if let Err(error) = started {
                match end(Fault::new(Kind::Machine, format!("cannot start a thread for {LISTEN}: {error}"))) {}
            }
        }
        let result = or_end("the supervisor", end, || supervisor.attend(stop));
        let _ = rustix::io::write(stop_listeners, &1u64.to_ne_bytes());
        supervisor.notify(None, || PoolMessage::Stop);
        result
    })
}

/// Runs a thread's work. If it panics, the process ends.
fn or_end<T>(name: &str, end: EndProcess, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let fault = Fault::new(Kind::Failed, format!("{name}: a thread has panicked"));
        match end(fault.hint("start claw supervise again")) {}
    })
}

/// Ends the process with the exit code of a fault.
pub type EndProcess<'a> = &'a (dyn Fn(Fault) -> Infallible + Sync);

/// Called with every outcome and the name of its stage.
pub type OnOutcome<'a> = &'a (dyn Fn(&str, Outcome) + Sync);

/// The supervisor's own thread: it runs the inline tasks and notifies the pools. Tasks are numbered as in [`TASKS`].
struct Supervisor<'a> {
    workspace: &'a Workspace,
    stages: &'a [&'a str],
    watch: Watch,
    /// The reactions to changes in the watched folders, in their order.
    triggers: Vec<Trigger>,
    /// The pools, each with its mailbox.
    pools: BTreeMap<usize, (Mailbox, Sender<PoolMessage>)>,
    /// The next due time of each task.
    dues: Mutex<BTreeMap<usize, Stamp>>,
    report: OnOutcome<'a>,
}

impl Supervisor<'_> {
    fn attend(&self, stop: BorrowedFd) -> Result<()> {
        let workspace = self.workspace;
        let mut inline = Inline::new(workspace);
        let mut tasks = at_once();
        self.read_definitions();
        for (task, row) in TASKS.iter().enumerate() {
            if let Start::After(seconds) = row.start {
                self.set_due(task, Some(workspace.world.now().plus_seconds(seconds)));
            }
        }
        let manager = ServiceManager::of(&workspace.world);
        manager.tell("READY=1");
        loop {
            let then: Vec<&str> = tasks.iter().filter_map(|task| TASKS[*task].then).collect();
            tasks.extend((0..TASKS.len()).filter(|task| then.contains(&TASKS[*task].name)));
            for task in std::mem::take(&mut tasks).into_iter().filter(|task| self.has(*task)) {
                if let Runner::Inline(run) = TASKS[task].run {
                    self.set_due(task, self.report_failures(task, run(&mut inline)));
                } else if let Some((_, pool)) = self.pools.get(&task) {
                    let _ = pool.send(PoolMessage::Due);
                }
            }
            let sign_of_life = manager.keep_alive(workspace.world.now());
            let next = self.lock().values().copied().chain(sign_of_life).min();
            match self.watch.wait(&workspace.world, next, Some(stop))? {
                Woken::Other => {
                    manager.tell("STOPPING=1");
                    return Ok(());
                }
                Woken::Lost(folder) => {
                    let way_out = if folder == workspace.root {
                        "start claw supervise where the workspace is now"
                    } else {
                        "start claw supervise again: it creates the folder again"
                    };
                    let removed = format!("{} was removed", folder.display());
                    return Err(Fault::new(Kind::Machine, removed).hint(way_out));
                }
                Woken::Files(changes) => {
                    if changes.iter().any(|change| self.is_edit(change)) {
                        self.read_definitions();
                        tasks.extend(TASKS.iter().position(|task| task.name == SCHEDULE));
                    }
                    tasks.extend(changes.into_iter().filter_map(|change| self.react(change, inline.claims > 0)));
                    // Files may change without a pause.
                    tasks.extend(self.overdue());
                }
                Woken::Time => tasks = self.take_due(),
            }
        }
    }

    /// Reads settings and definitions, so that mistakes are reported now and the last valid version is known; then
    /// pools that wait for slots or budgets read the limits again.
    fn read_definitions(&self) {
        let workspace = self.workspace;
        if let Err(fault) = workspace.config() {
            workspace.world.say(&fault.to_string());
        }
        let agents = workspace.path("agents");
        self.watch.add(&agents, WatchKind::Edits);
        for id in definitions::folders(workspace, "agents").unwrap_or_default() {
            self.watch.add(&agents.join(id), WatchKind::Edits);
        }
        let jobs = workspace.path(crons::FOLDER);
        self.watch.add(&jobs, WatchKind::Edits);
        for id in definitions::folders(workspace, crons::FOLDER).unwrap_or_default() {
            self.watch.add(&jobs.join(id), WatchKind::Edits);
        }
        let known = definitions::agents(workspace).unwrap_or_else(|fault| {
            workspace.world.say(&fault.to_string());
            Vec::new()
        });
        for (id, read) in known {
            // A file that is being written changes once more.
            if let Err(fault) = read
                && !lease::is_being_written(&agents.join(id).join("AGENT.md"))
            {
                workspace.world.say(&fault.to_string());
            }
        }
        self.notify(None, || PoolMessage::SlotsReleased);
        self.notify(None, || PoolMessage::Due);
    }

    /// Whether settings or definitions may have changed. Other files in the workspace's own folder are ignored.
    fn is_edit(&self, change: &Change) -> bool {
        match self.triggers.get(change.folder) {
            Some(Trigger::Edited) => {
                change.name.as_deref().is_none_or(|name| matches!(name, config::FILE | "agents" | crons::FOLDER))
            }
            // A new folder of a job is watched, too.
            Some(Trigger::Task { task, .. }) => TASKS[*task].name == SCHEDULE,
            Some(_) => false,
            // The other watched folders are agents and jobs.
            None => true,
        }
    }

    /// Notifies the pools of a change, and returns the task to run. `has_claims`: a released lane may free claims.
    fn react(&self, change: Change, has_claims: bool) -> Option<usize> {
        let trigger = *self.triggers.get(change.folder)?;
        match (trigger, change.name) {
            (Trigger::Task { task, .. }, None) => {
                self.notify(None, || PoolMessage::Rescan);
                Some(task)
            }
            (_, None) => {
                self.notify(None, || PoolMessage::Rescan);
                None
            }
            (Trigger::Task { drops_only: true, .. }, Some(name)) if !name.ends_with(".drop") => None,
            (Trigger::Task { task, .. }, Some(_)) => Some(task),
            (Trigger::Arrived(mailbox), Some(name)) => {
                let entry = Entry::parse(&name).filter(|entry| !entry.lane.is_empty())?;
                self.notify(Some(mailbox), || PoolMessage::Arrived(entry.clone()));
                None
            }
            (Trigger::LaneReleased(mailbox), Some(name)) => {
                self.notify(Some(mailbox), || PoolMessage::LaneReleased(name.clone()));
                let is_claims = mailbox == Mailbox::Inbox && has_claims;
                TASKS.iter().position(|task| is_claims && task.name == CLAIMS)
            }
            (Trigger::SlotsReleased, Some(_)) => {
                self.notify(Some(Mailbox::Inbox), || PoolMessage::SlotsReleased);
                None
            }
            (Trigger::Edited, Some(_)) => None,
        }
    }

    /// Sends a message to the pools of a mailbox, or to all.
    fn notify(&self, mailbox: Option<Mailbox>, message: impl Fn() -> PoolMessage) {
        for (_, pool) in self.pools.values().filter(|(own, _)| mailbox.is_none_or(|mailbox| mailbox == *own)) {
            let _ = pool.send(message());
        }
    }

    fn has(&self, task: usize) -> bool {
        self.stages.contains(&TASKS[task].stage)
    }

    /// Records the next due time of a task; true if that changes the time to sleep.
    fn set_due(&self, task: usize, due: Option<Stamp>) -> bool {
        let before = match due {
            Some(due) => self.lock().insert(task, due),
            None => self.lock().remove(&task),
        };
        due.is_some() && before != due
    }

    /// The tasks whose due time has come.
    fn overdue(&self) -> BTreeSet<usize> {
        let now = self.workspace.world.now();
        let mut due = BTreeSet::new();
        self.lock().retain(|task, at| {
            if *at <= now {
                due.insert(*task);
            }
            *at > now
        });
        due
    }

    /// The tasks that are due now. If there is none, the slow interval has ended, or the clock was set.
    fn take_due(&self) -> BTreeSet<usize> {
        let now = self.workspace.world.now();
        let mut due = self.overdue();
        if due.is_empty() {
            // The slow interval, or a changed clock. All due times are computed again; a sweep is a day away at most,
            // however far ahead the clock was.
            self.notify(None, || PoolMessage::Rescan);
            let tomorrow = Stamp(now.0 + DAY);
            self.lock().iter_mut().filter(|(task, _)| TASKS[**task].name == SWEEP).for_each(|(_, at)| {
                *at = (*at).min(tomorrow);
            });
            due.extend(at_once());
        }
        due
    }

    /// Reports failed events, and returns the next due time. After an error of the task itself that is in five seconds.
    fn report_failures(&self, task: usize, result: Result<TakenIn>) -> Option<Stamp> {
        match result {
            Ok(taken) => {
                failures(taken.failed).for_each(|outcome| (self.report)(TASKS[task].stage, outcome));
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

/// The tasks that run at the start.
fn at_once() -> BTreeSet<usize> {
    (0..TASKS.len()).filter(|task| TASKS[*task].start == Start::AtOnce).collect()
}
