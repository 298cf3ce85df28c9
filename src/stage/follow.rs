//! Follows one event until it has left its stage, for a stage that was given an id and for `ask`. The caller's process
//! handles the event unless another one does.

use crate::core::event::entry::Entry;
use crate::core::event::id::{Derived, Id};
use crate::core::event::stamp::{SECOND, Stamp};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::slash;
use crate::stage::outcome::{EventOutcome, Outcome};
use crate::stage::worker::attempt;
use crate::stage::worker::handler::Handler;
use crate::store::fs::watch::{Watch, WatchKind, Woken};
use crate::store::lock::Lane;
use crate::store::lock::slots::{Reservations, Slots, SlotsTaken};
use crate::store::queue::listing;
use crate::store::queue::locate::{self, LocatedEvent};
use crate::store::queue::spool::{self, LaneHead};
use crate::store::routes;
use crate::store::session::stop::CancelToken;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::{Mailbox, State};
use std::fs;
use std::os::fd::BorrowedFd;

/// The end of a wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deadline<'a> {
    /// The instant.
    pub until: Option<Stamp>,
    /// A descriptor that becomes readable when the wait must end.
    pub stop_fd: Option<BorrowedFd<'a>>,
}

impl Deadline<'_> {
    /// Sleeps until a watched file changes or `due` comes. False if the deadline has passed.
    ///
    /// # Errors
    /// If the kernel refuses to wait.
    pub fn sleep(&self, workspace: &Workspace, watch: &Watch, due: Option<Stamp>) -> Result<bool> {
        if self.until.is_some_and(|until| until <= workspace.world.now()) {
            return Ok(false);
        }
        let next = self.until.into_iter().chain(due).min();
        Ok(watch.wait(&workspace.world, next, self.stop_fd)? != Woken::Other)
    }
}

/// Handles the lane of event `id`, or waits for the process that does, until the event has left the stage. The handlers
/// are those of one mailbox; the event's lane selects one.
///
/// # Errors
/// `Later` if the event is not in this stage yet, `Data` if there is none with this id.
pub fn run_until_done(workspace: &Workspace, handlers: &[&dyn Handler], id: &Id) -> Result<Outcome> {
    let outcome = run_with_deadline(workspace, handlers, id, Deadline::default())?;
    outcome.ok_or_else(|| Fault::new(Kind::Later, format!("the wait for {id} has ended")))
}

/// As [`run_until_done`], with a deadline; `None` if it has passed.
///
/// # Errors
/// As [`run_until_done`].
pub fn run_with_deadline(
    workspace: &Workspace,
    handlers: &[&dyn Handler],
    id: &Id,
    limit: Deadline,
) -> Result<Option<Outcome>> {
    let mailbox = handlers.first().map_or(Mailbox::Inbox, |handler| handler.mailbox());
    let mut watch = None;
    loop {
        let located = locate_event(workspace, mailbox, id)?;
        let lane = match finished(workspace, mailbox, &located, id)? {
            Some(outcome) => return Ok(Some(outcome)),
            None => located.entry.lane.clone(),
        };
        let Some(handler) = handlers.iter().find(|handler| handler.handles(&lane)) else {
            return Err(Fault::data(format!("{id} is in lane {lane}, which is not for this stage")));
        };
        // The watch is created before the last attempt, so that no release is missed.
        let is_watching = watch.is_some();
        if let Some(lane) = Lane::attempt(workspace, mailbox, &lane)? {
            let is_over = !take_slots(workspace, *handler, &lane, limit)?;
            let outcome = if is_over { Ok(None) } else { handle_lane(workspace, *handler, &lane, id) };
            lane.release();
            match outcome? {
                None if !is_over => continue,
                outcome => return Ok(outcome),
            }
        }
        let exits = match watch.take() {
            Some(exits) => exits,
            None => watch_exits(workspace, mailbox)?,
        };
        if is_watching && !limit.sleep(workspace, &exits, None)? {
            return Ok(None);
        }
        watch = Some(exits);
    }
}

/// Handles a lane that the caller holds, up to and including event `id`; `None` if another process has moved that
/// event. A stop of that event ends the wait for slots.
///
/// # Errors
/// Those of the file system; `Later` if an earlier event of the lane waits.
pub fn run_up_to(workspace: &Workspace, handler: &dyn Handler, lane: &Lane, id: &Id) -> Result<Option<Outcome>> {
    let at_once = Deadline { until: Some(workspace.world.now()), stop_fd: None };
    if !take_slots(workspace, handler, lane, at_once)? {
        let cancel = CancelToken::open(workspace, id, []);
        let limit = Deadline { until: None, stop_fd: cancel.stop_fd() };
        if !take_slots(workspace, handler, lane, limit)? {
            let entries = listing::lane(workspace, handler.mailbox(), &lane.name)?;
            match entries.iter().position(|(_, entry)| entry.id == *id) {
                // Its turn calls no model any more, so it needs no slots.
                Some(0) => {}
                Some(at) => {
                    end_unbegun(workspace, handler.mailbox(), &entries[at].1)?;
                    return Ok(Some(Outcome { id: id.clone(), state: EventOutcome::Done(Vec::new()) }));
                }
                None => return Ok(None),
            }
        }
    }
    handle_lane(workspace, handler, lane, id)
}

/// Ends an event that was stopped before its turn began, while other events are before it in its lane.
fn end_unbegun(workspace: &Workspace, mailbox: Mailbox, entry: &Entry) -> Result<()> {
    spool::finish(workspace, mailbox, entry)?;
    let line = JournalLine {
        from: State::Ready.name().into(),
        to: "done".into(),
        why: "stopped before its turn began".into(),
        ..JournalLine::of(mailbox, "discard", entry)
    };
    journal::write(workspace, line);
    Ok(())
}

fn handle_lane(workspace: &Workspace, handler: &dyn Handler, lane: &Lane, id: &Id) -> Result<Option<Outcome>> {
    let mailbox = handler.mailbox();
    let mut entries = listing::lane(workspace, mailbox, &lane.name)?;
    loop {
        match spool::claim(workspace, mailbox, lane, &mut entries)? {
            LaneHead::Nothing => return Ok(None),
            LaneHead::NotDue(due) => return Err(not_due(workspace, id, due, "")),
            LaneHead::Job(job) => {
                let is_it = job.entry.id == *id;
                let Some(outcome) = attempt::run(handler, job, lane) else {
                    entries = listing::lane(workspace, mailbox, &lane.name)?;
                    continue;
                };
                match outcome.state {
                    _ if is_it => {
                        lane.occupy(Slots::default());
                        return Ok(Some(outcome));
                    }
                    EventOutcome::Waiting(due, fault) => {
                        return Err(not_due(workspace, id, due, &format!(" behind {}: {fault}", outcome.id)));
                    }
                    EventOutcome::GivenBack(fault) => return Err(fault),
                    EventOutcome::Done(_) | EventOutcome::Failed(_) => {}
                }
            }
        }
    }
}

/// Takes the slots of a lane that the caller holds, as soon as they are free. False if the deadline has passed.
///
/// # Errors
/// Those of the file system, or if the settings are invalid.
pub fn take_slots(workspace: &Workspace, handler: &dyn Handler, lane: &Lane, limit: Deadline) -> Result<bool> {
    // The number of slots may change during the wait.
    let key = handler.limit_key(&lane.name);
    let (mut watch, mut reserved) = (None, Reservations::default());
    loop {
        let groups = handler.slots(key)?;
        match Slots::attempt(workspace, &groups, &reserved)? {
            SlotsTaken::All(slots) => {
                lane.occupy(slots);
                return Ok(true);
            }
            SlotsTaken::Full(count) if reserved.renew(workspace, &groups[..count])? => continue,
            SlotsTaken::Full(_) => {}
        }
        match &watch {
            Some(watch) if !limit.sleep(workspace, watch, None)? => return Ok(false),
            Some(_) => {}
            // The watch is created before the last attempt, so that no release is missed.
            None => {
                let created = Watch::new(&[(workspace.path(".claw/locks/slots"), WatchKind::Releases)])?;
                created.add(&workspace.root, WatchKind::Edits);
                created.add(&workspace.path("agents").join(key), WatchKind::Edits);
                watch = Some(created);
            }
        }
    }
}

/// A watch on all folders through which an event can leave a stage.
///
/// # Errors
/// If the kernel's limit on watches is reached.
pub fn watch_exits(workspace: &Workspace, mailbox: Mailbox) -> Result<Watch> {
    let locks = workspace.path(".claw/locks").join(mailbox.name());
    let [ready, wait, failed] =
        [State::Ready, State::Wait, State::Failed].map(|state| (mailbox.dir(workspace, state), WatchKind::Arrivals));
    Watch::new(&[(locks, WatchKind::Releases), ready, wait, failed])
}

fn locate_event(workspace: &Workspace, mailbox: Mailbox, id: &Id) -> Result<LocatedEvent> {
    // A remaining copy must be handled, even if the event has ended. A reader may see an event that moves in neither
    // folder, so it looks twice.
    let look = || -> Result<Option<LocatedEvent>> {
        let mut found = locate::of(workspace, mailbox, id)?;
        let live = |f: &LocatedEvent| matches!(f.state, Some(State::Ready | State::Wait | State::Run));
        let at = found.iter().position(live).unwrap_or(0);
        Ok((!found.is_empty()).then(|| found.swap_remove(at)))
    };
    let found = match look()? {
        None => look()?,
        found => found,
    };
    found.ok_or_else(|| Fault::data(format!("there is no event {id} in {}", mailbox.name())))
}

/// The outcome of an event that needs no more handling; `None` if it is ready or running.
fn finished(workspace: &Workspace, mailbox: Mailbox, found: &LocatedEvent, id: &Id) -> Result<Option<Outcome>> {
    let outcome = |state| Ok(Some(Outcome { id: id.clone(), state }));
    match found.state {
        None => {
            let published = published_ids(workspace, mailbox, found, id);
            match fs::read_to_string(mailbox.done_reason(workspace, id)) {
                Ok(reason) if published.is_empty() => outcome(failure(&reason)),
                _ => outcome(EventOutcome::Done(published)),
            }
        }
        Some(State::Failed) => outcome(failure(&fs::read_to_string(mailbox.reason(workspace, id)).unwrap_or_default())),
        Some(State::New) => {
            let fault = Fault::new(Kind::Later, format!("{id} is not routed yet"));
            Err(fault.hint("`claw route` first, or wait until it is due"))
        }
        Some(State::Wait) => match spool::waits_until(workspace, &found.entry) {
            Some(due) => {
                let fault = Fault::new(Kind::Later, "an attempt has failed").hint(format!("claw why {}", id.short()));
                outcome(EventOutcome::Waiting(due, fault))
            }
            None => Ok(None),
        },
        Some(State::Ready | State::Run) => Ok(None),
    }
}

/// The failure that a `.reason` file describes.
fn failure(reason: &str) -> EventOutcome {
    let first = reason.lines().next().unwrap_or("no reason was written");
    EventOutcome::Failed(Fault::new(Kind::Failed, first))
}

/// The ids of the events that a finished event has published, from its session's log.
fn published_ids(workspace: &Workspace, mailbox: Mailbox, found: &LocatedEvent, id: &Id) -> Vec<String> {
    if mailbox == Mailbox::Outbox {
        return Vec::new();
    }
    let event = spool::read_capped(&found.path).ok().and_then(|b| crate::core::event::Event::from_json(&b).ok());
    let Some(event) = event else { return Vec::new() };
    if slash::is_command(&event) {
        return vec![id.derive(Derived::Reply, 1).to_string()];
    }
    let known = routes::load(workspace).unwrap_or_default();
    let Ok(decision) = routes::decide(workspace, &event, &known) else { return Vec::new() };
    let records = crate::store::session::log::read(workspace, &decision.lane, id).unwrap_or_default();
    let out = crate::core::turn::replay(records, id).done.unwrap_or_default();
    out.into_iter().map(|event| event.id.to_string()).collect()
}

fn not_due(workspace: &Workspace, id: &Id, due: Stamp, why: &str) -> Fault {
    let left = u64::try_from(due.0.saturating_sub(workspace.world.now().0) / SECOND).unwrap_or_default();
    Fault::new(Kind::Later, format!("{id} waits until {}{why}", due.timestamp())).after(Some(left + 1))
}
