//! `deliver`: from `outbox/ready` to the world. What the other side has taken is in the receipt,
//! synced, before the event moves.

use crate::channel::{self, CLI, Delivery};
use crate::core::event::Event;
use crate::core::event::entry::Entry;
use crate::core::event::retry::PATIENCE;
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Kind, Result};
use crate::stage::outcome::{EventOutcome, Outcome, RetryPolicy, crashed, end_failed_attempt};
use crate::stage::worker::handler::Handler;
use crate::store::lock::Lane;
use crate::store::queue::listing;
use crate::store::queue::receipt::Receipt;
use crate::store::queue::spool::{self, Job, LaneHead};
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::{Mailbox, State};

/// Prints an event for the terminal.
pub type PrintEvent<'a> = &'a (dyn Fn(&Event) -> Result<()> + Sync);

/// Deliveries, for all channels or for one.
pub struct Deliver<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// Only this channel.
    pub channel: Option<&'a str>,
    /// Prints for the terminal; nobody's terminal is ours without it.
    pub print: Option<PrintEvent<'a>>,
}

impl Handler for Deliver<'_> {
    fn mailbox(&self) -> Mailbox {
        Mailbox::Outbox
    }

    fn handles(&self, lane: &str) -> bool {
        let channel = lane.split('-').next().unwrap_or_default();
        self.channel.is_none_or(|only| only == channel) && (channel != CLI || self.print.is_some())
    }

    fn limit_key<'k>(&self, lane: &'k str) -> &'k str {
        lane.split('-').next().unwrap_or(lane)
    }

    fn slots(&self, _: &str) -> Result<Vec<(String, u32)>> {
        Ok(Vec::new())
    }

    fn run(&self, job: Job, lane: &Lane) -> Outcome {
        let id = job.entry.id.clone();
        let event = match job.read() {
            Ok(event) => event,
            Err(fault) => {
                return end_failed_attempt(
                    self.workspace,
                    Mailbox::Outbox,
                    job,
                    fault,
                    None,
                    RetryPolicy::UntilExpired,
                );
            }
        };
        if let Some(fault) = crashed(&job) {
            return end_failed_attempt(
                self.workspace,
                Mailbox::Outbox,
                job,
                fault,
                Some(&event),
                RetryPolicy::UntilExpired,
            );
        }
        match self.hand_over(&event, &job, lane) {
            Ok(receipt) => {
                let sent = JournalLine {
                    to: "done".into(),
                    why: event.reply_to.to_string(),
                    receipt: Some(receipt.clone()).filter(|r| !r.is_empty()),
                    ..JournalLine::of(Mailbox::Outbox, "sent", &job.entry)
                };
                match job.done() {
                    Ok(()) => {
                        journal::write(self.workspace, sent);
                        Outcome { id, state: EventOutcome::Done(vec![receipt]) }
                    }
                    Err(fault) => Outcome { id, state: EventOutcome::GivenBack(fault) },
                }
            }
            Err(fault) => {
                end_failed_attempt(self.workspace, Mailbox::Outbox, job, fault, Some(&event), RetryPolicy::UntilExpired)
            }
        }
    }
}

impl Deliver<'_> {
    /// Sends, and returns the receipt's last line.
    fn hand_over(&self, event: &Event, job: &Job, lane: &Lane) -> Result<String> {
        if event.expires().is_some_and(|end| end < self.workspace.world.now()) && event.reply_to.channel() != CLI {
            return Err(Fault::new(Kind::Failed, "it has expired before it could be sent"));
        }
        let silent = |_: &Event| Err(Fault::new(Kind::Later, "this is not the terminal"));
        let mut delivery = Delivery {
            workspace: self.workspace,
            event,
            attempt: job.entry.tries.attempts,
            receipt: Receipt::open(self.workspace, event)?,
            lane,
            print: self.print.unwrap_or(&silent),
        };
        channel::send(&mut delivery)?;
        Ok(delivery.receipt.lines.pop().unwrap_or_default())
    }
}

/// Answers for a terminal that nobody has fetched within a day go to `done/`, where they stay
/// readable: their asker is gone.
///
/// # Errors
/// The machine's trouble.
pub fn give_up_unread(workspace: &Workspace) -> Result<()> {
    let now = workspace.world.now();
    // The id may be older than the answer, whose question was tried again; only the event knows.
    let is_old = |(state, entry): &(State, Entry)| {
        let path = Mailbox::Outbox.dir(workspace, *state).join(entry.to_string());
        let made = || spool::read_event(&path, &entry.id).map(|event| Stamp::from(event.created_at));
        let ended = |at: Stamp| at.plus_seconds(PATIENCE) < now;
        ended(entry.id.stamp()) && made().is_ok_and(ended)
    };
    let is_terminal = |lane: &str| lane.starts_with("cli-");
    for (name, entries) in listing::lanes(workspace, Mailbox::Outbox, &is_terminal)? {
        if !entries.first().is_some_and(is_old) {
            continue;
        }
        let Some(lane) = Lane::attempt(workspace, Mailbox::Outbox, &name)? else { continue };
        let mut entries = listing::lane(workspace, Mailbox::Outbox, &name)?;
        while entries.first().is_some_and(is_old) {
            let LaneHead::Job(job) = spool::claim(workspace, Mailbox::Outbox, &lane, &mut entries)? else { break };
            // A copy of what has ended may have stood before it.
            if !is_old(&(State::Run, job.entry.clone())) {
                job.give_back()?;
                break;
            }
            let unread = JournalLine { to: "done".into(), ..JournalLine::of(Mailbox::Outbox, "unread", &job.entry) };
            job.done()?;
            journal::write(workspace, unread);
        }
        lane.release();
    }
    Ok(())
}
