//! The outcome of handling a claimed event, the moves that end a failed attempt, and the notices about failures.

use crate::core::event::address::Address;
use crate::core::event::dispatch::Requester;
use crate::core::event::id::{Derived, Id};
use crate::core::event::origin::SenderClass;
use crate::core::event::retry;
use crate::core::event::scheduled::Scheduled;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Draft, Event, EventKind};
use crate::core::fault::{Cause, Fault, Kind, Result};
use crate::store::channel::listener_state;
use crate::store::fs::durable;
use crate::store::queue::drops::{self, Backlog, TakenIn};
use crate::store::queue::publish;
use crate::store::queue::spool::Job;
use crate::store::session::approvals;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::Mailbox;

/// The most attempts where a service answers in a way that cannot be read.
const MAX_UNREADABLE: u32 = 2;

/// The outcome of handling an event.
#[derive(Debug)]
pub struct Outcome {
    /// The event.
    pub id: Id,
    /// Its state.
    pub state: EventOutcome,
}

/// The state of an event after it was handled.
#[derive(Debug)]
pub enum EventOutcome {
    /// It has succeeded. Holds the ids of the published events, the place of the note, or the delivery's receipt.
    Done(Vec<String>),
    /// It is in `wait`, and retried at this instant.
    Waiting(Stamp, Fault),
    /// It is in `failed`.
    Failed(Fault),
    /// It was not handled, because the machine has a fault or stdout is closed. It is in `ready` again, or still
    /// claimed.
    GivenBack(Fault),
}

/// Takes in the drops of a mailbox. For an invalid one, `deliver_to` gets a notice, if it is set.
///
/// # Errors
/// Those of the file system.
pub fn take_in(workspace: &Workspace, mailbox: Mailbox) -> Result<TakenIn> {
    let taken = drops::take_in(workspace, mailbox, &|id, fault| notify(workspace, mailbox, id, 0, fault, None))?;
    publish_decisions(workspace, mailbox)?;
    Ok(taken)
}

/// Takes in the next drops of a mailbox, as [`take_in`]. If there are more, it is due again at once.
///
/// # Errors
/// Those of the file system.
pub fn take_batch(workspace: &Workspace, mailbox: Mailbox, backlog: &mut Backlog) -> Result<TakenIn> {
    let on_refused = |id: &Id, fault: &Fault| notify(workspace, mailbox, id, 0, fault, None);
    let is_listed_now = backlog.is_empty();
    let mut taken = drops::take_batch(workspace, mailbox, backlog, &on_refused)?;
    publish_decisions(workspace, mailbox)?;
    // Drops that arrived after the listing are in the next one.
    if !backlog.is_empty() || !is_listed_now {
        taken.again = Some(workspace.world.now());
    }
    Ok(taken)
}

/// Publishes the owner's decisions about approvals, which are drops of the inbox, too.
///
/// # Errors
/// Those of the file system.
pub fn publish_decisions(workspace: &Workspace, mailbox: Mailbox) -> Result<()> {
    if mailbox == Mailbox::Inbox {
        for (_, fault) in approvals::publish_decisions(workspace)? {
            workspace.world.say(&fault.to_string());
        }
    }
    Ok(())
}

/// The outcomes of events that failed before they could be claimed.
pub fn failures(failed: Vec<(Id, Fault)>) -> impl Iterator<Item = Outcome> {
    failed.into_iter().map(|(id, fault)| Outcome { id, state: EventOutcome::Failed(fault) })
}

/// Whether a temporary failure is retried. It depends on the event's sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryPolicy {
    /// Retried until the event expires.
    UntilExpired,
    /// Not retried and not kept: a user waits at a terminal, and is told.
    Never,
    /// Retried, except after an exceeded budget: another turn waits for the event.
    ExceptBudget,
}

/// Ends a failed attempt: gives the job back, schedules a retry, or fails the event.
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
    // A rate limit of the other side does not count as an attempt, until the event has reached the age of the last
    // retry.
    let is_young = job.entry.id.stamp().plus_seconds(retry::RETRY_FOR) > now;
    let is_limit = is_young && retry::is_longer(fault.after, attempts);
    let due = if is_spent {
        retry::pause(now, fault.after, expires)
    } else {
        retry::next(now, attempts, fault.after, expires, workspace.world.random())
    };
    // The same server will answer in the same way, and each time costs money.
    let is_hopeless = fault.cause == Some(Cause::Unreadable) && attempts >= MAX_UNREADABLE;
    let is_retried = match retry_policy {
        _ if is_hopeless => false,
        RetryPolicy::UntilExpired => true,
        RetryPolicy::Never => false,
        RetryPolicy::ExceptBudget => !is_spent,
    };
    if let (true, Some(due), true) = (fault.is_temporary(), due, is_retried) {
        let line = JournalLine {
            to: "wait".into(),
            until: Some(due.timestamp()),
            why: fault.to_string(),
            ..JournalLine::of(mailbox, "wait", &job.entry)
        };
        if is_spent {
            job.wait_for_budget(due)?;
        } else {
            job.wait(due, !is_limit)?;
        }
        journal::write(workspace, line);
        return Ok(EventOutcome::Waiting(due, fault));
    }
    if retry_policy == RetryPolicy::Never {
        end_unanswered(workspace, mailbox, job, &fault, event)?;
    } else {
        fail(workspace, mailbox, job, &fault, event)?;
    }
    Ok(EventOutcome::Failed(fault))
}

/// Ends an event whose failure is told to its sender at once. It leaves nothing in `failed`: it moves to `done`, with
/// the reason beside it. The reason is written first, for a turn that waits for this event.
fn end_unanswered(
    workspace: &Workspace,
    mailbox: Mailbox,
    job: Job,
    fault: &Fault,
    event: Option<&Event>,
) -> Result<()> {
    let line = failure(mailbox, &job, fault, "done");
    let path = mailbox.done_reason(workspace, &job.entry.id);
    let text = reason(fault, &about(&job, event), workspace.world.now()) + "\n";
    let written = path.parent().zip(path.file_name().and_then(|name| name.to_str())).map_or(Ok(true), |(dir, name)| {
        workspace.make_dir(dir, 1)?;
        durable::publish(dir, name, &mailbox.tmp(workspace), text.as_bytes(), workspace.sync()?)
    });
    match written {
        Ok(_) => job.done()?,
        Err(fault) => return job.give_back().and(Err(fault)),
    }
    journal::write(workspace, line);
    Ok(())
}

/// The line of the journal for a job that ends in the folder `to` with a fault.
fn failure(mailbox: Mailbox, job: &Job, fault: &Fault, to: &str) -> JournalLine {
    JournalLine { to: to.to_owned(), why: fault.to_string(), ..JournalLine::of(mailbox, "fail", &job.entry) }
}

/// The lane of a job, and the addresses of its event, for a `.reason` file.
fn about(job: &Job, event: Option<&Event>) -> String {
    let addresses = event.map(|e| format!(", from {} to {}", e.from, e.reply_to)).unwrap_or_default();
    format!("{}{addresses}", job.entry.lane)
}

/// Fails a job: first the notice to the sender, then the reason, then the move.
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
    let line = failure(mailbox, &job, fault, "failed");
    let about = about(&job, event);
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

/// Publishes a notice to the sender of a failed event, once per round of retries. There is none about a notice, and
/// none to the destination that was not reached.
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
    let home = workspace.home()?;
    let place = match (mailbox, event) {
        (_, Some(event)) if event.kind == EventKind::Notice => None,
        // The owner is told of failures in a row, not of each.
        (Mailbox::Inbox, Some(event)) if Scheduled::of(event).is_some() => None,
        // Details go to the owner, not to a contact.
        (Mailbox::Inbox, Some(event)) if is_contact(workspace, event)? => {
            tell_contact(workspace, (id, round), event)?;
            home.filter(|home| *home != event.reply_to)
        }
        (Mailbox::Inbox, Some(event)) => Some(workspace.person(event)?),
        // The owner is told once of an outage.
        (Mailbox::Outbox, Some(event)) if fault.cause == Some(Cause::TooOld) => home.filter(|home| {
            let channel = event.reply_to.channel();
            home.channel() != channel && listener_state::begins_outage(workspace, channel)
        }),
        (Mailbox::Outbox, Some(event)) => home.filter(|home| *home != event.reply_to),
        (_, None) => home,
    };
    let Some(place) = place else { return Ok(()) };
    let subject = event.map_or("an event", |e| {
        if mailbox == Mailbox::Inbox && e.kind == EventKind::Message { "your message" } else { "an event" }
    });
    let verb = if mailbox == Mailbox::Inbox { "could not be answered" } else { "could not be delivered" };
    let text = format!("{subject} {verb}: {fault}\nIt is saved: claw why {0}, claw retry {0}", id.short());
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
        // An invalid destination must not keep the event from failing.
        Err(fault) if fault.kind == Kind::Data => workspace.world.say(&fault.to_string()),
        published => drop(published?),
    }
    Ok(())
}

/// Whether the sender of an event talks to claw over a channel of the settings and is not the owner.
fn is_contact(workspace: &Workspace, event: &Event) -> Result<bool> {
    let is_on_channel = workspace.config()?.channels.get(event.from.channel()).is_some();
    Ok(is_on_channel && workspace.class(event)? != SenderClass::Owner)
}

/// Publishes one neutral sentence to a contact whose message could not be answered, in the first round only.
fn tell_contact(workspace: &Workspace, (id, round): (&Id, u32), event: &Event) -> Result<()> {
    if round > 0 {
        return Ok(());
    }
    let (from, now) = (Address::parse("claw:notice")?, workspace.world.now());
    let text = "Your message could not be answered.".to_owned();
    let mut notice = event.child(Derived::Notice, 1, &from, text, now);
    // The owner's notice has the other id.
    notice.id = id.derive(Derived::Notice, 1).derive(Derived::Notice, 1);
    publish::outbox(workspace, &notice).map(drop)
}

/// Publishes the failure of a dispatch to the agent that requested it. A turn that waits for it finds the event in
/// `failed`.
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
    let text = format!("The task for {agent} failed: {fault}\nIt is saved: claw why {}", id.short());
    let notice = event.child(Derived::Notice, round + 1, &Address::parse("claw:notice")?, text, workspace.world.now());
    let mut result = requester.result_event(notice)?;
    result.error = Some(fault.message.clone());
    publish::inbox(workspace, &result)?;
    Ok(())
}

/// The fault of an event whose workers were killed too often.
pub(crate) fn crashed(job: &Job) -> Option<Fault> {
    let tries = job.entry.tries;
    let kills = if tries.blamed >= retry::MAX_BLAMED { tries.blamed } else { tries.crashes };
    tries
        .is_given_up()
        .then(|| Fault::new(Kind::Failed, format!("its worker was killed {kills} times while it handled this event")))
}
