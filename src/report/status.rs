//! The report of the workspace: event counts, events that wait or have failed, locks, reached limits, scheduled
//! jobs, problems.

use crate::core::budget::Limit;
use crate::core::definition::task::TaskState;
use crate::core::event::address::Address;
use crate::core::event::entry::Entry;
use crate::core::event::id::Id;
use crate::core::event::session_name;
use crate::core::event::stamp::Stamp;
use crate::core::fault::Result;
use crate::core::text::visible;
use crate::core::tool::approval::Approval;
use crate::report::budget;
use crate::report::channels::{self, ChannelReport};
use crate::report::crons_overview::{self, NextRun, TroubledJob};
use crate::report::event_state::{LockHolder, failure};
use crate::report::risks;
use crate::store::agent::problems;
use crate::store::lock::holders::{self, Holder};
use crate::store::queue::{drops, listing, spool};
use crate::store::session::approvals;
use crate::store::tasks;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal;
use crate::store::workspace::mailbox::{Mailbox, State};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::time::Duration;

/// The longest search for repositories of agents that run programs.
const MAX_SEARCH: Duration = Duration::from_millis(200);
/// The most events of one kind that a report has; the counts have all of them.
pub const MOST: usize = 100;
/// The lock that a supervisor holds.
pub const SUPERVISOR: &str = "supervise";
/// The states that are counted, in their order.
pub const STATES: [State; 5] = [State::New, State::Ready, State::Run, State::Wait, State::Failed];

/// The report of the workspace, as `claw status --json` prints it.
#[derive(Debug, Serialize)]
pub struct StatusReport {
    /// The root folder.
    pub workspace: String,
    /// Whether it is trusted.
    pub trusted: bool,
    /// The default model; `None` if the settings are invalid.
    pub model: Option<String>,
    /// The process that runs `claw supervise`; of several, one.
    pub supervisor: Option<LockHolder>,
    /// The calls that wait for the owner's approval.
    pub approvals: Vec<ApprovalRow>,
    /// The claimed events whose worker has ended; the next one takes them over.
    pub orphans: Vec<EventRow>,
    /// The answers that wait for a terminal of this user.
    pub answers: usize,
    /// The number of events by mailbox and state.
    pub mailboxes: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    /// The oldest event that is new, ready or claimed, and due.
    pub oldest: Option<EventRow>,
    /// The first [`MOST`] events that are not due yet.
    pub waiting: Vec<EventRow>,
    /// The first [`MOST`] events that have failed.
    pub failed: Vec<EventRow>,
    /// The locks that processes hold.
    pub locks: Vec<LockRow>,
    /// The budget limits that are reached.
    pub limits_reached: Vec<LimitRow>,
    /// The other budget limits.
    pub limits: Vec<LimitRow>,
    /// The first scheduled run.
    pub next_run: Option<NextRun>,
    /// The scheduled jobs that are paused, or whose last runs have failed.
    pub jobs: Vec<TroubledJob>,
    /// The channels that receive.
    pub channels: Vec<ChannelReport>,
    /// The default destination: `deliver_to`, or the address that was learned from the owner's first message.
    pub deliver_to: Option<Address>,
    /// The number of tasks by state.
    pub tasks: BTreeMap<&'static str, usize>,
    /// The errors in settings and definitions; processes that run continue with the last valid ones.
    pub problems: Vec<String>,
    /// The number of weak places: permissions, settings and folders, which `claw check` names.
    pub risks: usize,
}

/// An event that is pending or has failed.
#[derive(Clone, Debug, Serialize)]
pub struct EventRow {
    /// The event's id.
    pub id: Id,
    /// `inbox` or `outbox`.
    pub mailbox: &'static str,
    /// The name of its folder in the mailbox.
    pub state: &'static str,
    /// Its lane; empty if it is not routed.
    pub lane: String,
    /// Nothing happens before this instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// Why it waits or has failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When the event was created, if that was looked up: the instant in the id of an answer is that of the question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
}

/// A call that waits for approval.
#[derive(Debug, Serialize)]
pub struct ApprovalRow {
    /// The id for `claw approve`.
    pub id: Id,
    /// The agent.
    pub agent: String,
    /// The call, in one line.
    pub call: String,
    /// The end of the time for a decision.
    pub expires_at: Timestamp,
}

/// A budget limit that is reached. Amounts are in the limit's unit.
#[derive(Debug, Serialize)]
pub struct LimitRow {
    /// The limit's key in its file.
    pub limit: String,
    /// The amount used in the period.
    pub used: String,
    /// The largest amount allowed.
    pub maximum: String,
}

/// A lock and its holder.
#[derive(Debug, Serialize)]
pub struct LockRow {
    /// The lock file, relative to `.claw/locks`.
    pub lock: String,
    /// The process.
    pub locked_by: LockHolder,
}

/// A listed event and its folder.
struct Listed {
    entry: Entry,
    mailbox: Mailbox,
    state: State,
}

/// The events of both mailboxes.
#[derive(Default)]
struct Listing {
    counts: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    oldest: Option<Listed>,
    waiting: Vec<Listed>,
    failed: Vec<Listed>,
    running: Vec<Listed>,
}

impl StatusReport {
    /// The report of a workspace.
    ///
    /// # Errors
    /// If a folder, a job's ledger or the budget's ledger cannot be read.
    pub fn of(workspace: &Workspace) -> Result<Self> {
        let mut listing = Listing::of(workspace)?;
        listing.waiting.truncate(MOST);
        listing.failed.truncate(MOST);
        let reasons = reasons_to_wait(workspace, listing.waiting.iter().map(|listed| &listed.entry.id));
        let row = |listed: Listed| EventRow {
            reason: match listed.state {
                State::Failed => failure(workspace, listed.mailbox, &listed.entry.id),
                State::New if listed.entry.due.is_some() => "scheduled by its sender".to_owned(),
                _ => reasons.get(listed.entry.id.as_str()).cloned().unwrap_or_default(),
            },
            created_at: None,
            id: listed.entry.id,
            mailbox: listed.mailbox.name(),
            state: listed.state.name(),
            due_at: listed.entry.due.map(Stamp::timestamp),
            lane: listed.entry.lane,
        };
        let oldest =
            listing.oldest.take().map(|listed| EventRow { created_at: created_at(workspace, &listed), ..row(listed) });
        let settings = workspace.config();
        let limits = if settings.is_ok() { budget::limits(workspace)? } else { Vec::new() };
        let limit_row = |(limit, used): (Limit, u64)| LimitRow {
            limit: limit.to_string(),
            used: limit.measure.show(used),
            maximum: limit.measure.show(limit.max),
        };
        let (reached, open): (Vec<_>, Vec<_>) = limits.into_iter().partition(|(limit, used)| *used >= limit.max);
        let all_locks = holders::list(&workspace.root);
        let is_locked = |listed: &Listed| {
            let lock = format!("{}/{}", listed.mailbox.name(), listed.entry.lane);
            all_locks.iter().any(|holder| holder.lock == lock)
        };
        // A lock that was released and an event that was moved since the listing look like an orphan.
        let is_there =
            |listed: &Listed| listed.mailbox.dir(workspace, State::Run).join(listed.entry.to_string()).exists();
        let orphans = listing.running.into_iter().filter(|listed| !is_locked(listed) && is_there(listed));
        let orphans = orphans.take(MOST).map(row).collect();
        let (supervisors, locks): (Vec<_>, Vec<_>) =
            all_locks.into_iter().partition(|holder| holder.lock == SUPERVISOR);
        let holder = |holder: Holder| LockHolder { pid: holder.pid, command: holder.command };
        let locks = locks.into_iter().map(|lock| LockRow { lock: lock.lock.clone(), locked_by: holder(lock) });
        let jobs = crons_overview::overview(workspace)?;
        let (channels, deliver_to) = match &settings {
            Ok(_) => (channels::all(workspace)?, workspace.home()?),
            Err(_) => (Vec::new(), None),
        };
        let definitions = problems::of(workspace).into_iter().filter(|problem| !problem.is_warning);
        let repositories = risks::repositories(workspace, MAX_SEARCH).into_iter();
        let definitions = definitions.chain(repositories).map(|problem| problem.to_string());
        Ok(Self {
            workspace: workspace.root.display().to_string(),
            trusted: workspace.is_trusted,
            model: settings.as_ref().ok().map(|config| config.model.clone()),
            mailboxes: listing.counts,
            supervisor: supervisors.into_iter().next().map(holder),
            approvals: approvals::pending(workspace)?.iter().map(approval_row).collect(),
            orphans,
            answers: answers(workspace)?,
            oldest,
            waiting: listing.waiting.into_iter().map(row).collect(),
            failed: listing.failed.into_iter().map(row).collect(),
            locks: locks.collect(),
            limits_reached: reached.into_iter().map(limit_row).collect(),
            limits: open.into_iter().map(limit_row).collect(),
            next_run: jobs.next,
            jobs: jobs.troubled,
            channels,
            deliver_to,
            tasks: TaskState::ALL.map(|state| (state.name(), tasks::count(workspace, state))).into(),
            risks: risks::of(workspace).len(),
            problems: settings.err().map(|fault| fault.to_string()).into_iter().chain(definitions).collect(),
        })
    }
}

impl Listing {
    fn of(workspace: &Workspace) -> Result<Self> {
        let mut listing = Self::default();
        for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
            for state in STATES {
                listing.add(workspace, mailbox, state)?;
            }
        }
        Ok(listing)
    }

    fn add(&mut self, workspace: &Workspace, mailbox: Mailbox, state: State) -> Result<()> {
        if state == State::Ready {
            let survey = listing::survey(workspace, mailbox, state)?;
            self.counts.entry(mailbox.name()).or_default().insert(state.name(), survey.count);
            self.older(survey.first, mailbox, state);
            return Ok(());
        }
        let entries = listing::list(workspace, mailbox, state)?;
        let failed_drops = if state == State::Failed { failed_drops(workspace, mailbox) } else { Vec::new() };
        let drops = if state == State::New && mailbox == Mailbox::Inbox { drops::count(workspace, mailbox) } else { 0 };
        if mailbox == Mailbox::Inbox || state != State::New {
            let count = entries.len() + failed_drops.len() + drops;
            self.counts.entry(mailbox.name()).or_default().insert(state.name(), count);
        }
        let first = entries.iter().find(|entry| entry.due.is_none()).cloned();
        self.older(first.filter(|_| !matches!(state, State::Failed | State::Wait)), mailbox, state);
        for entry in entries.into_iter().chain(failed_drops) {
            let into = match state {
                State::New if entry.due.is_some() => &mut self.waiting,
                State::Wait => &mut self.waiting,
                State::Failed => &mut self.failed,
                State::Run => &mut self.running,
                _ => continue,
            };
            into.push(Listed { entry, mailbox, state });
        }
        Ok(())
    }

    /// Takes this event if it is older than the oldest one so far.
    fn older(&mut self, first: Option<Entry>, mailbox: Mailbox, state: State) {
        if let Some(entry) = first
            && self.oldest.as_ref().is_none_or(|oldest| entry.id < oldest.entry.id)
        {
            self.oldest = Some(Listed { entry, mailbox, state });
        }
    }
}

/// When the event was created; `None` if its file cannot be read.
fn created_at(workspace: &Workspace, listed: &Listed) -> Option<Timestamp> {
    let path = listed.mailbox.dir(workspace, listed.state).join(listed.entry.to_string());
    spool::read_event(&path, &listed.entry.id).ok().map(|event| event.created_at)
}

fn approval_row(approval: &Approval) -> ApprovalRow {
    ApprovalRow {
        id: approval.id.clone(),
        agent: session_name::agent(&approval.session).to_owned(),
        call: visible::exact(&approval.summary()),
        expires_at: approval.expires_at,
    }
}

/// The number of answers for the terminals of this user that no process has printed.
fn answers(workspace: &Workspace) -> Result<usize> {
    let own = format!("cli-{}", workspace.world.user());
    let is_own = |lane: &str| lane == own || lane.strip_prefix(&own).is_some_and(|rest| rest.starts_with('.'));
    let lanes = listing::lanes(workspace, Mailbox::Outbox, &is_own)?;
    Ok(lanes.values().flatten().filter(|(state, _)| *state == State::Ready).count())
}

/// The drops that could not be taken in: `<id>~<name>.drop`.
fn failed_drops(workspace: &Workspace, mailbox: Mailbox) -> Vec<Entry> {
    let names = fs::read_dir(mailbox.dir(workspace, State::Failed)).into_iter().flatten().flatten();
    let id = |name: String| Id::parse(name.strip_suffix(".drop")?.split_once('~')?.0).ok();
    names.filter_map(|e| e.file_name().into_string().ok()).filter_map(id).map(|id| Entry::unrouted(id, None)).collect()
}

/// Why these events wait, from the journal's last two days.
fn reasons_to_wait<'a>(workspace: &Workspace, ids: impl Iterator<Item = &'a Id>) -> HashMap<String, String> {
    let wanted: HashSet<&str> = ids.map(Id::as_str).collect();
    let mut reasons = HashMap::new();
    if wanted.is_empty() {
        return reasons;
    }
    for path in journal::files(workspace).iter().rev().take(2).rev() {
        let text = fs::read_to_string(path).unwrap_or_default();
        for line in text.lines().filter_map(journal::parse) {
            if line.kind == "wait" && wanted.contains(&line.id[..]) {
                reasons.insert(line.id, line.why);
            }
        }
    }
    reasons
}
