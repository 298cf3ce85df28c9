//! `deliver`: sends the events in `outbox/ready`. The receipt of a delivery is synced before the event moves.

use crate::channel::outgoing::Outgoing;
use crate::channel::{self, CLI, Delivery};
use crate::core::event::Event;
use crate::core::event::entry::Entry;
use crate::core::event::retry::RETRY_FOR;
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Cause, Fault, Kind, Result};
use crate::stage::outcome::{EventOutcome, Outcome, RetryPolicy, crashed, end_failed_attempt};
use crate::stage::worker::handler::Handler;
use crate::store::channel::listener_state;
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
    /// If set, only this channel.
    pub channel: Option<&'a str>,
    /// Prints answers for this process's terminal; without it, events for terminals are not handled.
    pub print: Option<PrintEvent<'a>>,
    /// The connection of the channel's listener; without it, events for channels whose listener delivers are not
    /// handled.
    pub outgoing: Option<&'a Outgoing>,
}

impl Handler for Deliver<'_> {
    fn mailbox(&self) -> Mailbox {
        Mailbox::Outbox
    }

    fn handles(&self, lane: &str) -> bool {
        let channel = lane.split('-').next().unwrap_or_default();
        match self.channel {
            Some(only) if only != channel => false,
            _ if channel == CLI => self.print.is_some(),
            _ => self.outgoing.is_some() || !self.needs_listener(channel),
        }
    }

    fn limit_key<'k>(&self, lane: &'k str) -> &'k str {
        lane.split('-').next().unwrap_or(lane)
    }

    fn slots(&self, _: &str) -> Result<Vec<(String, u32)>> {
        Ok(Vec::new())
    }

    fn may_run_apart(&self, job: &Job) -> bool {
        !job.entry.lane.starts_with("cli-") && self.outgoing.is_none()
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
        let sent = match crashed(&job) {
            Some(fault) => self.receipt(&event).and_then(|receipt| receipt.ok_or(fault)),
            None => self.send(&event, &job, lane),
        };
        match sent {
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
                        if !channel::is_built_in(event.reply_to.channel()) {
                            listener_state::end_outage(self.workspace, event.reply_to.channel());
                        }
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
    /// Whether only the listener of the channel `name` can deliver.
    fn needs_listener(&self, name: &str) -> bool {
        !channel::is_built_in(name)
            && self
                .workspace
                .config()
                .is_ok_and(|config| channel::listener(&config, name).is_some_and(|listener| listener.delivers))
    }

    /// The last line of the receipt, if an earlier worker has delivered the event.
    fn receipt(&self, event: &Event) -> Result<Option<String>> {
        let receipt = Receipt::open(self.workspace, event)?;
        Ok(receipt.lines.last().filter(|_| channel::is_sent(self.workspace, event, &receipt)).cloned())
    }

    /// Refuses an answer that is older than its channel keeps answers.
    fn check_age(&self, event: &Event) -> Result<()> {
        let config = self.workspace.config()?;
        let Some((settings, _)) = config.channels.get(event.reply_to.channel()) else { return Ok(()) };
        let until = Stamp::from(event.created_at).plus_seconds(settings.keep.as_secs());
        if until >= self.workspace.world.now() {
            return Ok(());
        }
        let fault = Fault::new(Kind::Failed, format!("it is older than {:#}, so it was not sent", settings.keep));
        Err(fault.hint("`claw retry` sends it if `keep` of the channel is longer").cause(Cause::TooOld))
    }

    /// Sends the event. Returns the last line of the receipt.
    fn send(&self, event: &Event, job: &Job, lane: &Lane) -> Result<String> {
        if event.expires().is_some_and(|end| end < self.workspace.world.now()) && event.reply_to.channel() != CLI {
            return Err(Fault::new(Kind::Failed, "it has expired before it could be sent"));
        }
        self.check_age(event)?;
        let no_terminal = |_: &Event| Err(Fault::new(Kind::Later, "this process has no terminal for the answer"));
        let mut delivery = Delivery {
            workspace: self.workspace,
            event,
            attempt: job.entry.tries.attempts,
            receipt: Receipt::open(self.workspace, event)?,
            lane,
            outgoing: self.outgoing,
            print: self.print.unwrap_or(&no_terminal),
        };
        channel::send(&mut delivery)?;
        Ok(delivery.receipt.lines.pop().unwrap_or_default())
    }
}

/// Moves answers for a terminal that were not fetched within a day to `done/`, where they stay readable: the process
/// that asked has ended.
///
/// # Errors
/// `Machine`.
pub fn give_up_unread(workspace: &Workspace) -> Result<()> {
    let now = workspace.world.now();
    // The id is older than the answer if its event was retried; the event has the answer's own time.
    let is_old = |(state, entry): &(State, Entry)| {
        let path = Mailbox::Outbox.dir(workspace, *state).join(entry.to_string());
        let created = || spool::read_event(&path, &entry.id).map(|event| Stamp::from(event.created_at));
        let ended = |at: Stamp| at.plus_seconds(RETRY_FOR) < now;
        ended(entry.id.stamp()) && created().is_ok_and(ended)
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
            // The claim skips copies of ended events, so this may be another event than the first entry.
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
