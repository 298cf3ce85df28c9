//! `supervise`: all stages, or some, in one process that sleeps until a file or a due time wakes it.

use crate::core::config;
use crate::core::definition::task::TaskState;
use crate::core::event::entry::Entry;
use crate::core::event::stamp::{DAY, Stamp};
use crate::core::fault::{Fault, Kind, Result};
use crate::stage::control::{self, Control};
use crate::stage::deliver::Deliver;
use crate::stage::outcome::{Outcome, failures, take_in};
use crate::stage::remember::Remember;
use crate::stage::route::Router;
use crate::stage::task_watch::{self, News};
use crate::stage::tick;
use crate::stage::turn::run_agent::RunAgent;
use crate::stage::worker::handler::Handler;
use crate::stage::worker::pool::{self, PoolMode};
use crate::stage::worker::threads::PoolMessage;
use crate::store::agent::definitions;
use crate::store::fs::lease;
use crate::store::fs::watch::{Change, Watch, WatchKind, Woken};
use crate::store::queue::drops::TakenIn;
use crate::store::session::approvals::{self, Verdict};
use crate::store::tasks;
use crate::store::tasks::claims;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{Mailbox, State};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The stages, in the order of an event's way.
pub const STAGES: &[&str] = &["route", "run-agent", "remember", "deliver", "tick"];

/// What there may be to do. The pools do theirs in threads of their own, the rest is the desk's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Claims,
    Tasks,
    TakeIn,
    Route,
    Control,
    RunAgent,
    Remember,
    TakeOut,
    Deliver,
    Sweep,
}

impl Task {
    /// All but the sweeping (and claims, which go with the tasks), in the order of an event's way.
    const USUAL: [Self; 8] = [
        Self::Tasks,
        Self::TakeIn,
        Self::Route,
        Self::Control,
        Self::RunAgent,
        Self::Remember,
        Self::TakeOut,
        Self::Deliver,
    ];

    fn stage(self) -> &'static str {
        match self {
            Self::TakeIn | Self::Route => "route",
            Self::Control | Self::RunAgent => "run-agent",
            Self::Remember => "remember",
            Self::TakeOut | Self::Deliver => "deliver",
            Self::Claims | Self::Tasks | Self::Sweep => "tick",
        }
    }
}

/// What a folder that changes means.
#[derive(Clone, Copy)]
enum Trigger {
    /// The desk has this to do.
    Task(Task),
    /// The same, where a drop has come: one that is retried, or that somebody had begun with. Other files there are
    /// only being written.
    Begun(Task),
    /// A file has come into `ready` of this box.
    Came(Mailbox),
    /// A lane of this box was let go of.
    Freed(Mailbox),
    /// Slots were let go of.
    Slots,
    /// Somebody saves files: settings, or an agent's.
    Edits,
}

/// The folders that are watched, and what it means when they change.
fn folders(workspace: &Workspace) -> Vec<(PathBuf, WatchKind, Trigger)> {
    let locks = |name: &str| workspace.path(".claw/locks").join(name);
    let mut folders = vec![
        (workspace.path("inbox"), WatchKind::Drops, Trigger::Task(Task::TakeIn)),
        (Mailbox::Inbox.dir(workspace, State::New), WatchKind::Arrivals, Trigger::Task(Task::Route)),
        (workspace.path("outbox"), WatchKind::Drops, Trigger::Task(Task::TakeOut)),
        (Mailbox::Inbox.tmp(workspace), WatchKind::Edits, Trigger::Begun(Task::TakeIn)),
        (Mailbox::Outbox.tmp(workspace), WatchKind::Edits, Trigger::Begun(Task::TakeOut)),
        (locks("slots"), WatchKind::Releases, Trigger::Slots),
        (workspace.root.clone(), WatchKind::Required, Trigger::Edits),
        // Below it the open ones may come back.
        (workspace.path(tasks::FOLDER), WatchKind::Edits, Trigger::Task(Task::Tasks)),
        (tasks::dir(workspace, TaskState::Open), WatchKind::Edits, Trigger::Task(Task::Tasks)),
        (claims::locks(workspace), WatchKind::Releases, Trigger::Task(Task::Claims)),
    ];
    for verdict in [Verdict::Approved, Verdict::Denied] {
        let decided = approvals::dir(workspace, verdict.folder());
        folders.push((decided, WatchKind::Arrivals, Trigger::Task(Task::TakeIn)));
    }
    for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
        folders.push((mailbox.dir(workspace, State::Ready), WatchKind::Arrivals, Trigger::Came(mailbox)));
        folders.push((locks(mailbox.name()), WatchKind::Releases, Trigger::Freed(mailbox)));
    }
    folders
}

/// Runs the named stages until `stop` is readable, then finishes what was begun. `tell` hears every
/// outcome with its stage.
///
/// # Errors
/// Where the folders cannot be watched, or `claw.yaml` is bad at the start.
pub fn run(workspace: &Workspace, stages: &[&str], stop: BorrowedFd, tell: OnOutcome) -> Result<()> {
    approvals::make_layout(workspace)?;
    tasks::make_layout(workspace)?;
    claims::make_layout(workspace)?;
    let folders = folders(workspace);
    let watch = Watch::new(&folders.iter().map(|(path, hears, _)| (path.clone(), *hears)).collect::<Vec<_>>())?;
    let means = folders.into_iter().map(|(.., means)| means).collect();
    // It changes with the settings.
    tick::width(workspace)?;
    let width = || tick::width(workspace).unwrap_or(1);
    let commands = Control::all(workspace);
    let run_agent = RunAgent::all(workspace);
    let remember = Remember { workspace };
    let deliver = Deliver { workspace, channel: None, print: None };
    // Commands have threads of their own: turns may hold all of theirs.
    let works: [(Task, &dyn Handler, &Width); 4] = [
        (Task::Control, &commands, &|| control::WIDTH),
        (Task::RunAgent, &run_agent, &width),
        (Task::Remember, &remember, &|| 1),
        (Task::Deliver, &deliver, &|| tick::DELIVERIES),
    ];
    let mut supervisor = Supervisor {
        workspace,
        stages,
        watch,
        means,
        bells: BTreeMap::new(),
        dues: Mutex::default(),
        has_claims: AtomicBool::new(false),
        tell,
    };
    let mut pools = Vec::new();
    for (task, work, width) in works.into_iter().filter(|(task, ..)| stages.contains(&task.stage())) {
        let (bell, hear) = mpsc::channel();
        supervisor.bells.insert(task, (work.mailbox(), bell.clone()));
        pools.push((task, work, width, bell, hear));
    }
    let supervisor = &supervisor;
    std::thread::scope(|scope| {
        for (task, work, width, bell, hear) in pools {
            scope.spawn(move || {
                let mut report = |outcome| tell(task.stage(), outcome);
                let sleeping = |due: Option<Stamp>| {
                    if supervisor.is_due(task, due) {
                        supervisor.watch.wake();
                    }
                };
                pool::run(workspace, work, width, PoolMode::Forever, (&bell, &hear), &mut report, &sleeping)
            });
        }
        let result = supervisor.attend(stop);
        supervisor.ring(None, || PoolMessage::Stop);
        result
    })
}

/// How many events a pool may work on at once.
type Width<'a> = dyn Fn() -> usize + Sync + 'a;

/// Hears every outcome, with the name of its stage.
pub type OnOutcome<'a> = &'a (dyn Fn(&str, Outcome) + Sync);

/// The supervisor's own thread: it routes, takes in drops, sweeps, and rings for the others.
struct Supervisor<'a> {
    workspace: &'a Workspace,
    stages: &'a [&'a str],
    watch: Watch,
    /// What the watched folders mean, in their order.
    means: Vec<Trigger>,
    /// The pools, with the box that each works off.
    bells: BTreeMap<Task, (Mailbox, Sender<PoolMessage>)>,
    /// When there will be something to do that nobody is told of.
    dues: Mutex<BTreeMap<Task, Stamp>>,
    /// Tasks are claimed that may become free by a lane's being let go of.
    has_claims: AtomicBool,
    tell: OnOutcome<'a>,
}

impl Supervisor<'_> {
    fn attend(&self, stop: BorrowedFd) -> Result<()> {
        let workspace = self.workspace;
        let mut router = Router::new(workspace);
        let mut news = News::new(workspace);
        let mut chores = BTreeSet::from(Task::USUAL);
        self.read_definitions();
        // Sweeping can wait until what was interrupted has been taken up again.
        self.is_due(Task::Sweep, Some(workspace.world.now().plus_seconds(60)));
        loop {
            if chores.contains(&Task::TakeIn) {
                // What is taken in is routed at once.
                chores.insert(Task::Route);
            }
            for task in std::mem::take(&mut chores).into_iter().filter(|task| self.has(*task)) {
                let done = match task {
                    Task::Claims => task_watch::put_back(workspace).map(|left| self.knows_claims(left)),
                    Task::Tasks => news.tell().map(|left| self.knows_claims(left)),
                    Task::TakeIn => take_in(workspace, Mailbox::Inbox),
                    Task::Route => router.route().map(|routed| TakenIn { again: routed.due, failed: routed.failed }),
                    Task::TakeOut => take_in(workspace, Mailbox::Outbox),
                    Task::Sweep => tick::sweep(workspace).map(|()| {
                        let tomorrow = Stamp(workspace.world.now().0 + DAY);
                        TakenIn { again: Some(tomorrow), failed: Vec::new() }
                    }),
                    Task::Control | Task::RunAgent | Task::Remember | Task::Deliver => {
                        self.bells.get(&task).map(|(_, bell)| bell.send(PoolMessage::Look));
                        continue;
                    }
                };
                self.is_due(task, self.said(task, done));
            }
            let next = self.lock().values().min().copied();
            match self.watch.wait(workspace.world.now(), next, Some(stop))? {
                Woken::Other => return Ok(()),
                Woken::Lost(folder) => {
                    let way_out = if folder == workspace.root {
                        "start claw supervise where the workspace is now"
                    } else {
                        "start claw supervise again: it makes the folder anew"
                    };
                    let what = format!("{} has been taken away", folder.display());
                    return Err(Fault::new(Kind::Machine, what).hint(way_out));
                }
                Woken::Files(changes) => {
                    if changes.iter().any(|change| self.is_edit(change)) {
                        self.read_definitions();
                    }
                    chores.extend(changes.into_iter().filter_map(|change| self.heard(change)));
                }
                Woken::Time => chores = self.take_due(),
            }
        }
    }

    fn knows_claims(&self, left: usize) -> TakenIn {
        self.has_claims.store(left > 0, Ordering::Relaxed);
        TakenIn::default()
    }

    /// Reads what people write, so that what is wrong with it is said now and the last good one is known; then
    /// whoever waits for slots looks how many there are.
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
        let known = definitions::agents(workspace).unwrap_or_else(|fault| {
            workspace.world.say(&fault.to_string());
            Vec::new()
        });
        for (id, read) in known {
            // Of one that is only being written we hear again.
            if let Err(fault) = read
                && !lease::is_being_written(&agents.join(id).join("AGENT.md"))
            {
                workspace.world.say(&fault.to_string());
            }
        }
        self.ring(None, || PoolMessage::Slots);
    }

    /// Whether settings or definitions may have changed. Other files in the workspace's own folder are nobody's.
    fn is_edit(&self, change: &Change) -> bool {
        match self.means.get(change.folder) {
            Some(Trigger::Edits) => change.name.as_deref().is_none_or(|name| matches!(name, config::FILE | "agents")),
            Some(_) => false,
            // What is watched beside those are agents.
            None => true,
        }
    }

    /// Tells the pools what has changed, or returns what the desk has to do itself.
    fn heard(&self, change: Change) -> Option<Task> {
        let means = self.means.get(change.folder)?;
        match (means, change.name) {
            (_, None) => self.ring(None, || PoolMessage::Missed),
            (Trigger::Came(mailbox), Some(name)) => {
                let entry = Entry::parse(&name).filter(|entry| !entry.lane.is_empty())?;
                self.ring(Some(*mailbox), || PoolMessage::Came(entry.clone()));
            }
            (Trigger::Freed(mailbox), Some(name)) => {
                self.ring(Some(*mailbox), || PoolMessage::Freed(name.clone()));
                return (*mailbox == Mailbox::Inbox && self.has_claims.load(Ordering::Relaxed)).then_some(Task::Claims);
            }
            (Trigger::Slots, Some(_)) => self.ring(Some(Mailbox::Inbox), || PoolMessage::Slots),
            (Trigger::Begun(_), Some(name)) if !name.ends_with(".drop") => return None,
            (Trigger::Task(_) | Trigger::Begun(_) | Trigger::Edits, Some(_)) => {}
        }
        match means {
            Trigger::Task(task) | Trigger::Begun(task) => Some(*task),
            _ => None,
        }
    }

    /// Says a word to the pools of a box, or to all.
    fn ring(&self, mailbox: Option<Mailbox>, word: impl Fn() -> PoolMessage) {
        for (_, bell) in self.bells.values().filter(|(own, _)| mailbox.is_none_or(|mailbox| mailbox == *own)) {
            let _ = bell.send(word());
        }
    }

    fn has(&self, task: Task) -> bool {
        self.stages.contains(&task.stage())
    }

    /// Notes when there will be something to do; true where that is news to a sleeper.
    fn is_due(&self, task: Task, due: Option<Stamp>) -> bool {
        let before = match due {
            Some(due) => self.lock().insert(task, due),
            None => self.lock().remove(&task),
        };
        due.is_some() && before != due
    }

    /// What there is to do now that time has passed.
    fn take_due(&self) -> BTreeSet<Task> {
        let now = self.workspace.world.now();
        let mut due = BTreeSet::new();
        self.lock().retain(|task, at| {
            if *at <= now {
                due.insert(*task);
            }
            *at > now
        });
        if due.is_empty() {
            // The slow interval, or a clock that was set. What else is due is reckoned anew; a sweep is a day away
            // at most, however far ahead the clock was.
            self.ring(None, || PoolMessage::Missed);
            self.lock().entry(Task::Sweep).and_modify(|at| *at = (*at).min(Stamp(now.0 + DAY)));
            due.extend(Task::USUAL);
        }
        due
    }

    /// What has failed is told; a chore's trouble is said, and it is tried again in a while.
    fn said(&self, task: Task, result: Result<TakenIn>) -> Option<Stamp> {
        match result {
            Ok(taken) => {
                failures(taken.failed).for_each(|outcome| (self.tell)(task.stage(), outcome));
                taken.again
            }
            Err(fault) => {
                self.workspace.world.say(&fault.to_string());
                Some(self.workspace.world.now().plus_seconds(5))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Task, Stamp>> {
        self.dues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
