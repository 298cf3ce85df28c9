//! `listen`: runs the listener of one channel, and delivers its lanes if that needs the connection. It only publishes
//! and delivers; it neither routes events nor runs agents.

pub mod fleet;

use crate::channel::listening::Listening;
use crate::channel::outgoing::Outgoing;
use crate::channel::{self, Listener};
use crate::core::channel::settings::ChannelSettings;
use crate::core::config::FILE;
use crate::core::event::entry::Entry;
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Kind, Result};
use crate::stage::deliver::Deliver;
use crate::stage::outcome::Outcome;
use crate::stage::task::DELIVERIES;
use crate::stage::worker::pool::{self, PoolMode};
use crate::stage::worker::threads::PoolMessage;
use crate::store::channel::listener_state::{ListenerCondition, lock_name};
use crate::store::fs::watch::{Change, Watch, WatchKind, Woken};
use crate::store::lock::NamedLock;
use crate::store::workspace::mailbox::{Mailbox, State};
use crate::store::workspace::{Workspace, home};
use rustix::pipe::{PipeFlags, pipe_with};
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};

/// What a listener's process needs from its caller.
pub struct ListenerProcess<'a> {
    /// Readable once the process must end.
    pub stop: BorrowedFd<'a>,
    /// Poll once, deliver what is due, and return.
    pub once: bool,
    /// Called with every outcome of a delivery.
    pub report: &'a (dyn Fn(Outcome) + Sync),
    /// Ends the process: the listener hangs and cannot be asked to end.
    pub end: &'a (dyn Fn(Fault) -> Infallible + Sync),
}

/// Listens on the channel `name` until it is stopped or the settings no longer have the channel. The settings are read
/// again when they change.
///
/// # Errors
/// `Data` if there is no such channel, or it does not receive; `Later` if another process listens on it; the listener's
/// fault.
pub fn run(workspace: &Workspace, name: &str, process: &ListenerProcess) -> Result<()> {
    let config = workspace.config()?;
    if config.channels.get(name).is_none() {
        return Err(channel::unknown(&config, name));
    }
    if !workspace.is_trusted {
        return Err(
            Fault::config("channels are not used: this workspace is not trusted").hint("run `claw trust` in it")
        );
    }
    let Some(lock) = NamedLock::attempt(workspace, &lock_name(name))? else {
        return Err(Fault::new(Kind::Later, format!("another process listens on channel `{name}`")));
    };
    loop {
        let config = workspace.config()?;
        let Some((settings, kind)) = config.channels.get(name) else {
            workspace.world.log(&format!("claw.yaml no longer has channel `{name}`: its listener ends"));
            return Ok(());
        };
        let Some(listener) = channel::listener(&config, name) else {
            return Err(Fault::config(format!("channel `{name}`: type `{kind}` does not receive messages")));
        };
        forget_other_home(workspace, name)?;
        let run = Run { workspace, name, settings, listener, process };
        if run.until_stopped(&lock)? == End::Over {
            return Ok(());
        }
    }
}

/// Forgets a learned default destination of another account: the same name there may be another person.
fn forget_other_home(workspace: &Workspace, name: &str) -> Result<()> {
    let learned = home::learned(&workspace.root, &*workspace.config()?).filter(|home| home.address.channel() == name);
    match learned {
        Some(home) if home.account != channel::account(workspace, name)? => home::forget(&workspace.root),
        _ => Ok(()),
    }
}

/// Why a run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was stopped, or has polled once.
    Over,
    /// The settings of the channel have changed.
    Changed,
}

/// A run of a listener under one version of its settings.
struct Run<'a> {
    workspace: &'a Workspace,
    name: &'a str,
    settings: &'a ChannelSettings,
    listener: &'static Listener,
    process: &'a ListenerProcess<'a>,
}

/// The folders that a run watches, in this order.
const ROOT: usize = 0;
const READY: usize = 1;

impl Run<'_> {
    fn until_stopped(&self, lock: &NamedLock) -> Result<End> {
        let workspace = self.workspace;
        // A pipe: the HTTP client waits for it, too.
        let (stop, end) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|e| Fault::new(Kind::Machine, format!("cannot make a pipe: {e}")))?;
        let outgoing = Outgoing::new()?;
        let watch = Watch::new(&[
            (workspace.root.clone(), WatchKind::Required),
            (Mailbox::Outbox.dir(workspace, State::Ready), WatchKind::Arrivals),
            (workspace.path(".claw/locks/outbox"), WatchKind::Releases),
        ])?;
        let (sender, receiver) = mpsc::channel();
        let locks = || Ok(vec![lock.share()?]);
        let connected = || {
            let _ = sender.send(PoolMessage::Due);
            watch.wake();
        };
        let listening = Listening::new(
            workspace,
            (self.name, self.settings),
            stop.as_fd(),
            self.process.once,
            &outgoing,
            &locks,
            &connected,
        );
        let ended: Mutex<Option<Result<()>>> = Mutex::default();
        let due: Mutex<Option<Stamp>> = Mutex::default();
        let is_delivered = AtomicBool::new(false);
        let handler = Deliver { workspace, channel: Some(self.name), print: None, outgoing: Some(&outgoing) };
        listening.enter(ListenerCondition::Starting, "", None);
        let end = std::thread::scope(|scope| {
            let listen = || {
                let result = catch_unwind(AssertUnwindSafe(|| (self.listener.run)(&listening)));
                let result = result.unwrap_or_else(|_| Err(Fault::new(Kind::Failed, "the listener has panicked")));
                // Deliveries must not wait for it any more.
                outgoing.close();
                *ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                watch.wake();
            };
            let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
            let no_thread = |e: std::io::Error| Fault::new(Kind::Machine, format!("cannot start a thread: {e}"));
            let listening_thread = thread("listener").spawn_scoped(scope, listen).map_err(no_thread)?;
            let deliver = |receiver: Receiver<PoolMessage>| {
                let mode = if self.process.once { PoolMode::Drain } else { PoolMode::Forever };
                let width = || if outgoing.is_open() { DELIVERIES } else { 0 };
                let sleeping = |next| {
                    *due.lock().unwrap_or_else(PoisonError::into_inner) = next;
                    watch.wake();
                };
                let mut report = |outcome| (self.process.report)(outcome);
                let channel = (&sender, &receiver);
                let result = pool::run(workspace, &handler, &width, mode, channel, &mut report, &sleeping);
                is_delivered.store(true, Ordering::Release);
                watch.wake();
                result.map(drop)
            };
            let is_over = || ended.lock().unwrap_or_else(PoisonError::into_inner).is_some();
            let (mut receiver, mut pool) = (Some(receiver), None);
            let result = loop {
                if is_over() {
                    break Ok(End::Over);
                }
                let may_deliver = self.listener.delivers && (!self.process.once || outgoing.is_open());
                if let Some(receiver) = receiver.take_if(|_| may_deliver) {
                    match thread("deliver").spawn_scoped(scope, move || deliver(receiver)) {
                        Ok(thread) => pool = Some(thread),
                        Err(e) => break Err(no_thread(e)),
                    }
                }
                if self.process.once && is_delivered.load(Ordering::Acquire) {
                    break Ok(End::Over);
                }
                let poll_deadline = listening.poll_deadline();
                let due = *due.lock().unwrap_or_else(PoisonError::into_inner);
                let next = poll_deadline.into_iter().chain(due).min();
                let woken = watch.wait(&workspace.world, next, Some(self.process.stop));
                match woken.and_then(|woken| self.woken(woken, &sender)) {
                    Err(fault) => break Err(fault),
                    Ok(Some(end)) => break Ok(end),
                    Ok(None) => {}
                }
                // A poll that has ended meanwhile has no deadline.
                if listening.poll_deadline().is_some_and(|deadline| deadline <= workspace.world.now()) {
                    match self.hangs(&listening) {}
                }
            };
            // Deliveries in progress need the listener.
            let _ = sender.send(PoolMessage::Stop);
            let delivered = pool.map_or(Ok(Ok(())), std::thread::ScopedJoinHandle::join);
            let _ = rustix::io::write(&end, b"x");
            let _ = listening_thread.join();
            delivered.unwrap_or_else(|_| Err(Fault::new(Kind::Failed, "the deliveries have panicked")))?;
            result
        });
        let ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner).unwrap_or(Ok(()));
        let end = ended.and(end);
        match &end {
            Ok(_) => listening.enter(ListenerCondition::Stopped, "", None),
            Err(fault) => listening.failed(fault),
        }
        end
    }

    /// Passes on what has happened to the deliveries; or why the run ends.
    fn woken(&self, woken: Woken, sender: &Sender<PoolMessage>) -> Result<Option<End>> {
        match woken {
            Woken::Other => return Ok(Some(End::Over)),
            Woken::Lost(folder) => {
                return Err(Fault::new(Kind::Machine, format!("{} was removed", folder.display())));
            }
            Woken::Files(changes) => {
                if changes.iter().any(is_settings) && self.is_changed() {
                    return Ok(Some(End::Changed));
                }
                for change in changes {
                    notify(sender, change);
                }
            }
            Woken::Time => drop(sender.send(PoolMessage::Due)),
        }
        Ok(None)
    }

    /// Whether the settings of the channel have changed; invalid settings leave the last ones in force.
    fn is_changed(&self) -> bool {
        let Ok(config) = self.workspace.config() else { return false };
        config.channels.get(self.name).is_none_or(|(settings, _)| settings != self.settings)
    }

    /// Ends the process, because the listener hangs.
    fn hangs(&self, listening: &Listening) -> Infallible {
        let message = format!("channel `{}`: a poll has neither ended nor failed for 90 s", self.name);
        let fault = Fault::new(Kind::Later, message);
        listening.failed(&fault);
        (self.process.end)(fault)
    }
}

fn is_settings(change: &Change) -> bool {
    change.folder == ROOT && change.name.as_deref().is_none_or(|name| name == FILE)
}

/// Notifies the pool of a change in the outbox.
fn notify(pool: &Sender<PoolMessage>, change: Change) {
    let message = match (change.folder, change.name) {
        (ROOT, Some(_)) => return,
        (_, None) => PoolMessage::Rescan,
        (READY, Some(name)) => match Entry::parse(&name).filter(|entry| !entry.lane.is_empty()) {
            Some(entry) => PoolMessage::Arrived(entry),
            None => return,
        },
        (_, Some(name)) => PoolMessage::LaneReleased(name),
    };
    let _ = pool.send(message);
}
