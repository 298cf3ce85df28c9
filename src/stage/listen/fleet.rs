//! The listeners of a supervisor: one process for each channel, under a watcher, started again with back-off when it
//! ends. A listener ends by itself when its settings go.

use crate::channel;
use crate::core::channel::settings::ChannelSettings;
use crate::core::config::FILE;
use crate::core::event::address::Address;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Draft, EventKind};
use crate::core::fault::{Fault, Kind, Result};
use crate::process::{self, Launch, OutputTo, RunningProgram};
use crate::store::channel::listener_state::{self, ListenerCondition, ListenerState};
use crate::store::fs::watch::{Watch, WatchKind, Woken};
use crate::store::queue::publish;
use crate::store::workspace::Workspace;
use crate::store::workspace::clock;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// The option that lets a listener end with its stdin.
pub const UNTIL_EOF: &str = "--until-eof";
/// The longest back-off, in seconds.
const MAX_BACK_OFF: i64 = 300;
/// A listener that ran for so many seconds was no part of a crash loop.
const STABLE: i64 = 300;
/// So many failures in a row are a crash loop.
const CRASH_LOOP: u32 = 5;
/// How often a channel is looked at on which another process listens, in seconds.
const ELSEWHERE: i64 = 60;
/// How long listeners may take to end when they are asked to.
const GRACE: Duration = Duration::from_secs(75);
/// The exit code for invalid settings.
const CONFIG: i32 = 78;

/// A channel's listener.
struct Member {
    status: MemberStatus,
    /// The settings with which it was started.
    settings: ChannelSettings,
}

enum MemberStatus {
    Running {
        program: RunningProgram,
        since: Stamp,
    },
    /// Started at this instant.
    Waiting(Stamp),
    /// Started when its settings change, or at this instant: its key file, or its program, may be right by then.
    Misconfigured(Stamp),
}

/// Runs the listeners of all channels, or of those in `only`, until `stop` is readable; then all have ended.
///
/// # Errors
/// If `claw.yaml` cannot be watched.
pub fn run(workspace: &Workspace, only: Option<&[String]>, stop: BorrowedFd) -> Result<()> {
    if !workspace.is_trusted {
        workspace.world.log("no channel is listened on: this workspace is not trusted (claw trust)");
        return Ok(());
    }
    let watch = Watch::new(&[(workspace.root.clone(), WatchKind::Required)])?;
    let events = epoll::create(CreateFlags::CLOEXEC).map_err(machine)?;
    epoll::add(&events, stop, EventData::new_u64(0), EventFlags::IN).map_err(machine)?;
    let mut fleet = Fleet { workspace, only, events, members: BTreeMap::new() };
    loop {
        fleet.reconcile();
        fleet.start_due();
        match watch.wait(&workspace.world, fleet.next(), Some(fleet.events.as_fd()))? {
            Woken::Other => {
                if is_readable(stop) {
                    fleet.end();
                    return Ok(());
                }
                fleet.collect();
            }
            Woken::Lost(folder) => {
                fleet.end();
                return Err(Fault::new(Kind::Machine, format!("{} was removed", folder.display())));
            }
            Woken::Files(changes) if changes.iter().all(|change| change.name.as_deref().is_some_and(|n| n != FILE)) => {
            }
            Woken::Files(_) | Woken::Time => {}
        }
    }
}

struct Fleet<'a> {
    workspace: &'a Workspace,
    only: Option<&'a [String]>,
    /// Readable when a listener has ended or the fleet must end.
    events: OwnedFd,
    members: BTreeMap<String, Member>,
}

impl Fleet<'_> {
    /// Adds new channels, and drops those that are gone.
    fn reconcile(&mut self) {
        let Ok(config) = self.workspace.config() else { return };
        let now = self.workspace.world.now();
        let wanted: Vec<String> = channel::listening_names(&config)
            .into_iter()
            .filter(|name| self.only.is_none_or(|only| only.contains(name)))
            .collect();
        self.members
            .retain(|name, member| wanted.contains(name) || matches!(member.status, MemberStatus::Running { .. }));
        for name in wanted {
            let Some((settings, _)) = config.channels.get(&name) else { continue };
            // Other settings are tried at once; a running listener restarts by itself.
            let is_new = |member: &Member| {
                !matches!(member.status, MemberStatus::Running { .. }) && member.settings != *settings
            };
            if self.members.get(&name).is_none_or(is_new) {
                let settings = settings.clone();
                self.members.insert(name, Member { status: MemberStatus::Waiting(now), settings });
            }
        }
    }

    fn start_due(&mut self) {
        let (workspace, now) = (self.workspace, self.workspace.world.now());
        for (name, member) in &mut self.members {
            // A start further ahead was planned before the clock was set back.
            let is_due = |until: Stamp| until <= now || until > now.plus_seconds(MAX_BACK_OFF);
            let (MemberStatus::Waiting(until) | MemberStatus::Misconfigured(until)) = member.status else { continue };
            if !is_due(until) {
                continue;
            }
            if listener_state::has_process(workspace, name) {
                member.status = MemberStatus::Waiting(now.plus_seconds(ELSEWHERE));
                continue;
            }
            if let Ok(config) = workspace.config()
                && let Some((settings, _)) = config.channels.get(name)
            {
                member.settings = settings.clone();
            }
            member.status = match start(workspace, name) {
                Ok(program) => {
                    let added = epoll::add(&self.events, program.end_fd(), EventData::new_u64(1), EventFlags::IN);
                    added.unwrap_or_else(|e| workspace.world.say(&machine(e).to_string()));
                    MemberStatus::Running { program, since: now }
                }
                Err(fault) => {
                    workspace.world.say(&format!("channel `{name}`: {fault}"));
                    MemberStatus::Waiting(now.plus_seconds(ELSEWHERE))
                }
            };
        }
    }

    /// The next instant at which something is to be done.
    fn next(&self) -> Option<Stamp> {
        let at = |member: &Member| match member.status {
            MemberStatus::Waiting(until) | MemberStatus::Misconfigured(until) => Some(until),
            MemberStatus::Running { .. } => None,
        };
        self.members.values().filter_map(at).min()
    }

    /// Plans the next start of listeners that have ended.
    fn collect(&mut self) {
        let (workspace, now) = (self.workspace, self.workspace.world.now());
        for (name, member) in &mut self.members {
            let has_ended = |status: &MemberStatus| matches!(status, MemberStatus::Running { program, .. } if is_readable(program.end_fd()));
            if !has_ended(&member.status) {
                continue;
            }
            let before = std::mem::replace(&mut member.status, MemberStatus::Waiting(now.plus_seconds(1)));
            let MemberStatus::Running { program, since } = before else { continue };
            let _ = epoll::delete(&self.events, program.end_fd());
            let code = program.wait().map_or(1, |(code, _)| code);
            member.status = match code {
                0 => MemberStatus::Waiting(now.plus_seconds(1)),
                CONFIG => MemberStatus::Misconfigured(misconfigured(workspace, name, now)),
                _ => MemberStatus::Waiting(failed(workspace, name, code, since, now)),
            };
        }
    }

    /// Asks all listeners to end, and kills those that do not.
    fn end(&mut self) {
        let running = self.members.values_mut().filter_map(|member| match &mut member.status {
            MemberStatus::Running { program, .. } => Some(program),
            MemberStatus::Waiting(_) | MemberStatus::Misconfigured(_) => None,
        });
        let mut running: Vec<&mut RunningProgram> = running.collect();
        for program in &mut running {
            drop(program.stdin.take());
        }
        let end = Instant::now() + GRACE;
        for program in running {
            if !program.ends_within(end.saturating_duration_since(Instant::now())) {
                program.kill();
            }
        }
        self.members.clear();
    }
}

/// Starts the listener of a channel.
fn start(workspace: &Workspace, name: &str) -> Result<RunningProgram> {
    let root = workspace.root.display().to_string();
    let command = ["/proc/self/exe", "-w", &root, "listen", UNTIL_EOF, name].map(ToOwned::to_owned);
    process::start(
        Launch { command: &command, dir: &workspace.root, env: &[], inherits: true, sandbox: None, locks: Vec::new() },
        OutputTo::Inherit,
    )
}

/// Records when a listener with wrong settings is started again although they have not changed.
fn misconfigured(workspace: &Workspace, name: &str, now: Stamp) -> Stamp {
    let next = now.plus_seconds(MAX_BACK_OFF);
    let state = ListenerState { next_try: Some(next.timestamp()), ..listener_state::read(workspace, name) };
    if let Err(fault) = listener_state::write(workspace, name, &state) {
        workspace.world.say(&fault.to_string());
    }
    next
}

/// Records that a listener has failed; returns when it starts again. The owner is told once of a crash loop.
fn failed(workspace: &Workspace, name: &str, code: i32, since: Stamp, now: Stamp) -> Stamp {
    let mut state = listener_state::read(workspace, name);
    let is_stable = since.plus_seconds(STABLE) <= now;
    state.failures = if is_stable { 1 } else { state.failures.saturating_add(1) };
    let next = now.plus_seconds(back_off(state.failures));
    // A listener that could not report its end has left its last condition.
    if state.condition != ListenerCondition::Failed {
        state.why = format!("its process has ended with {code}");
    }
    state.next_try = Some(next.timestamp());
    if state.failures >= CRASH_LOOP {
        if state.condition != ListenerCondition::CrashLoop && state.failures == CRASH_LOOP {
            let text = format!("channel `{name}` fails again and again: {}\nSee: claw channels", state.why);
            workspace.world.log(&text);
            if let Err(fault) = tell_owner(workspace, name, text) {
                workspace.world.say(&fault.to_string());
            }
        }
        state.condition = ListenerCondition::CrashLoop;
    } else {
        state.condition = ListenerCondition::Failed;
    }
    if let Err(fault) = listener_state::write(workspace, name, &state) {
        workspace.world.say(&fault.to_string());
    }
    next
}

/// The wait in seconds after so many failures in a row: 1, 2, 4 … at most 5 minutes.
fn back_off(failures: u32) -> i64 {
    (1 << failures.saturating_sub(1).min(16)).min(MAX_BACK_OFF)
}

/// Sends a notice to the owner, unless the owner is only reached by this channel.
fn tell_owner(workspace: &Workspace, name: &str, text: String) -> Result<()> {
    let Some(home) = workspace.home()?.filter(|home| home.channel() != name) else { return Ok(()) };
    let from = Some(Address::parse("claw:notice")?);
    let draft = Draft { kind: EventKind::Notice, from, reply_to: Some(home), ..Draft::message(text) };
    let event = publish::complete(workspace, draft, clock::next_id(workspace)?)?;
    publish::outbox(workspace, &event).map(drop)
}

fn is_readable(fd: BorrowedFd) -> bool {
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|count| count > 0)
}

fn machine(error: rustix::io::Errno) -> Fault {
    Fault::new(Kind::Machine, format!("cannot wait for listeners: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_up_to_five_minutes() {
        assert_eq!([1, 2, 3, 4, 9, 10, 64, u32::MAX].map(back_off), [1, 2, 4, 8, 256, 300, 300, 300]);
    }
}
