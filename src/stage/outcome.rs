//! The outcome of working on a claimed event: done, waiting, failed or given back, and the notices that failures send.

use crate::core::event::address::Address;
use crate::core::event::dispatch::Requester;
use crate::core::event::id::{Derived, Id};
use crate::core::event::retry;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Draft, Event, EventKind};
use crate::core::fault::{Fault, Kind, Result};
use crate::store::queue::drops::{self, TakenIn};
use crate::store::queue::publish;
use crate::store::queue::spool::Job;
use crate::store::session::approvals;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::Mailbox;

/// What became of a claimed event.
#[derive(Debug)]
pub struct Outcome {
    /// The event.
    pub id: Id,
    /// How it stands.
    pub state: EventOutcome,
}

/// How an event stands after somebody worked on it.
#[derive(Debug)]
pub enum EventOutcome {
    /// It has ended well; these events went out, or this is what it left.
    Done(Vec<String>),
    /// It is tried again then.
    Waiting(Stamp, Fault),
    /// It lies in `failed/`.
    Failed(Fault),
    /// Nothing was done: the machine is in trouble.
    GivenBack(Fault),
}

/// Takes in what was dropped; the owner is told of what was no event, where `deliver_to` says so.
///
/// # Errors
/// Where the file system refuses.
pub fn take_in(workspace: &Workspace, mailbox: Mailbox) -> Result<TakenIn> {
    let taken = drops::take_in(workspace, mailbox, &|id, fault| notify(workspace, mailbox, id, 0, fault, None))?;
    if mailbox == Mailbox::Inbox {
        for (_, fault) in approvals::publish_decisions(workspace)? {
            workspace.world.say(&fault.to_string());
        }
    }
    Ok(taken)
}

/// Outcomes of what failed before anybody could claim it.
pub fn failures(failed: Vec<(Id, Fault)>) -> impl Iterator<Item = Outcome> {
    failed.into_iter().map(|(id, fault)| Outcome { id, state: EventOutcome::Failed(fault) })
}

/// What kind of patience an event's sender has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryPolicy {
    /// Tried again until it expires.
    UntilExpired,
    /// Somebody sits before it and is told at once.
    Never,
    /// A turn waits for it: what comes back in a while is tried again, a spent budget is not waited for.
    ExceptBudget,
}

/// Settles a job that did not end well: give it back, let it wait, or fail it.
pub(crate) fn end_failed_attempt(
    workspace: &Workspace,
    mailbox: Mailbox,
    job: Job,
    fault: Fault,
    event: Option<&Event>,
    retry_policy: RetryPolicy,
) -> Outcome {
    let id = job.entry.id.clone();
    let state =
        try_end_attempt(workspace, mailbox, job, fault, event, retry_policy).unwrap_or_else(EventOutcome::GivenBack);
    Outcome { id, state }
}

fn try_end_attempt(
    workspace: &Workspace,
    mailbox: Mailbox,
    job: Job,
    fault: Fault,
    event: Option<&Event>,
    retry_policy: RetryPolicy,
) -> Result<EventOutcome> {
    if matches!(fault.kind, Kind::Machine | Kind::Closed) {
        job.give_back()?;
        return Ok(EventOutcome::GivenBack(fault));
    }
    let now = workspace.world.now();
    let is_spent = fault.kind == Kind::Spent;
    let (attempts, expires) = (job.entry.tries.attempts, event.and_then(Event::expires));
    // The other side's own limit is not the event's fault, unless it says so without end.
    let is_young = job.entry.id.stamp().plus_seconds(retry::RETRY_FOR) > now;
    let is_limit = is_young && retry::is_longer(fault.after, attempts);
    let due = if is_spent {
        retry::pause(now, fault.after, expires)
    } else {
        retry::next(now, attempts, fault.after, expires, workspace.world.random())
    };
    let is_patient = match retry_policy {
        RetryPolicy::UntilExpired => true,
        RetryPolicy::Never => false,
        RetryPolicy::ExceptBudget => !is_spent,
    };
    if let (true, Some(due), true) = (fault.is_temporary(), due, is_patient) {
        let line = JournalLine {
            to: "wait".into(),
            until: Some(due.timestamp()),
            why: fault.to_string(),
            ..JournalLine::of(mailbox, "wait", &job.entry)
        };
        job.wait(due, !is_limit && !is_spent)?;
        journal::write(workspace, line);
        return Ok(EventOutcome::Waiting(due, fault));
    }
    fail(workspace, mailbox, job, &fault, event)?;
    Ok(EventOutcome::Failed(fault))
}

/// Fails a job: first the notice to whoever asked, then the reason, then the move.
pub(crate) fn fail(
    workspace: &Workspace,
    mailbox: Mailbox,
    job: Job,
    fault: &Fault,
    event: Option<&Event>,
) -> Result<()> {
    if let Err(fault) = notify(workspace, mailbox, &job.entry.id, job.entry.tries.rounds, fault, event) {
        job.give_back()?;
        return Err(fault);
    }
    let line =
        JournalLine { to: "failed".into(), why: fault.to_string(), ..JournalLine::of(mailbox, "fail", &job.entry) };
    let whose = event.map(|e| format!(", from {} to {}", e.from, e.reply_to)).unwrap_or_default();
    let about = format!("{}{whose}", job.entry.lane);
    job.fail(&reason(fault, &about, workspace.world.now()))?;
    journal::write(workspace, line);
    Ok(())
}

/// The text of a `.reason` file.
pub(crate) fn reason(fault: &Fault, about: &str, now: Stamp) -> String {
    let mut text = fault.message.clone();
    if let Some(hint) = &fault.hint {
        text = format!("{text}\nhint: {hint}");
    }
    format!("{text}\nat: {}\nlane: {about}", now.timestamp())
}

/// Tells the sender of an event that it has failed, once a round; never about a notice, and never
/// the place that could not be reached.
pub(crate) fn notify(
    workspace: &Workspace,
    mailbox: Mailbox,
    id: &Id,
    round: u32,
    fault: &Fault,
    event: Option<&Event>,
) -> Result<()> {
    if let Some((event, requester)) = event.and_then(|event| Some((event, Requester::of(event)?))) {
        return failed_for(workspace, (id, round), &requester, event, fault);
    }
    let home = workspace.config()?.deliver_to.clone();
    let place = match (mailbox, event) {
        (_, Some(event)) if event.kind == EventKind::Notice => None,
        (Mailbox::Inbox, Some(event)) => Some(workspace.person(event)?),
        (Mailbox::Outbox, Some(event)) => home.filter(|home| *home != event.reply_to),
        (_, None) => home,
    };
    let Some(place) = place else { return Ok(()) };
    let what = event.map_or("an event", |e| {
        if mailbox == Mailbox::Inbox && e.kind == EventKind::Message { "your message" } else { "an event" }
    });
    let verb = if mailbox == Mailbox::Inbox { "could not be answered" } else { "could not be delivered" };
    let text = format!("{what} {verb}: {fault}\nIt is kept: claw why {0}, claw retry {0}", id.short());
    let from = Address::parse("claw:notice")?;
    let mut notice = if let Some(event) = event {
        event.child(Derived::Notice, round + 1, &from, text, workspace.world.now())
    } else {
        let draft = Draft { kind: EventKind::Notice, from: Some(from), ..Draft::message(text) };
        publish::complete(workspace, draft, id.derive(Derived::Notice, round + 1))?
    };
    notice.reply_to = place;
    notice.error = Some(fault.message.clone());
    match publish::outbox(workspace, &notice) {
        // Nobody can be told there, which must not keep the event from its end.
        Err(fault) if fault.kind == Kind::Data => workspace.world.say(&fault.to_string()),
        told => drop(told?),
    }
    Ok(())
}

/// Tells an agent of the failure of what it has asked for. Whoever waits for it sees it in `failed/`.
fn failed_for(
    workspace: &Workspace,
    (id, round): (&Id, u32),
    requester: &Requester,
    event: &Event,
    fault: &Fault,
) -> Result<()> {
    if requester.waits {
        return Ok(());
    }
    let agent = event.agent.as_deref().unwrap_or_default();
    let text = format!("What {agent} was to do could not be done: {fault}\nIt is kept: claw why {}", id.short());
    let notice = event.child(Derived::Notice, round + 1, &Address::parse("claw:notice")?, text, workspace.world.now());
    let mut result = requester.result_event(notice)?;
    result.error = Some(fault.message.clone());
    publish::inbox(workspace, &result)?;
    Ok(())
}

/// Ends an event that nobody can work on, in a lane that the caller holds or in `new/`.
pub(crate) fn crashed(job: &Job) -> Option<Fault> {
    (job.entry.tries.crashes >= retry::MAX_CRASHES).then(|| {
        let crashes = job.entry.tries.crashes;
        Fault::new(Kind::Failed, format!("its worker was killed {crashes} times while it worked on this event"))
    })
}
