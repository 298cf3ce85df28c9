//! Seeing one event through: for a stage that was given an id, and for `ask`. Whoever does the work,
//! this returns when the event has left its stage.

use crate::core::event::id::{Derived, Id};
use crate::core::event::stamp::{SECOND, Stamp};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::slash;
use crate::stage::outcome::{EventOutcome, Outcome};
use crate::stage::worker::handler::Handler;
use crate::store::fs::watch::{Watch, WatchKind, Woken};
use crate::store::lock::Lane;
use crate::store::lock::slots::{Reservations, Slots, SlotsTaken};
use crate::store::queue::listing;
use crate::store::queue::locate::{self, Located};
use crate::store::queue::spool::{self, LaneHead};
use crate::store::routes;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{Mailbox, State};
use std::fs;
use std::os::fd::BorrowedFd;

/// How long somebody waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deadline<'a> {
    /// Until then.
    pub until: Option<Stamp>,
    /// Until this is readable.
    pub stop_fd: Option<BorrowedFd<'a>>,
}

impl Deadline<'_> {
    /// Sleeps until something changes, or `due` comes. False where nobody waits any longer.
    ///
    /// # Errors
    /// Where the kernel refuses to wait.
    pub fn sleep(&self, workspace: &Workspace, watch: &Watch, due: Option<Stamp>) -> Result<bool> {
        let now = workspace.world.now();
        if self.until.is_some_and(|until| until <= now) {
            return Ok(false);
        }
        let next = self.until.into_iter().chain(due).min();
        Ok(watch.wait(now, next, self.stop_fd)? != Woken::Other)
    }
}

/// Works on the lane of event `id`, or waits for whoever does, until the event has left the stage. The works
/// are those of one box; which one does it, the lane says.
///
/// # Errors
/// `Later` where it is not this stage's turn yet, `Data` where there is no such event.
pub fn run_until_done(workspace: &Workspace, works: &[&dyn Handler], id: &Id) -> Result<Outcome> {
    let seen = run_with_deadline(workspace, works, id, Deadline::default())?;
    seen.ok_or_else(|| Fault::new(Kind::Later, format!("nobody waits for {id} any longer")))
}

/// The same for whoever does not wait for ever; `None` where that is over.
///
/// # Errors
/// As [`see_through`].
pub fn run_with_deadline(
    workspace: &Workspace,
    works: &[&dyn Handler],
    id: &Id,
    limit: Deadline,
) -> Result<Option<Outcome>> {
    let mailbox = works.first().map_or(Mailbox::Inbox, |work| work.mailbox());
    let mut watch = None;
    loop {
        let place = place(workspace, mailbox, id)?;
        let lane = match standing(workspace, mailbox, &place, id)? {
            Some(outcome) => return Ok(Some(outcome)),
            None => place.entry.lane.clone(),
        };
        let Some(work) = works.iter().find(|work| work.handles(&lane)) else {
            return Err(Fault::data(format!("{id} is in lane {lane}, which is not for this stage")));
        };
        // The watch is there before the last try, so that no release is missed.
        let is_watching = watch.is_some();
        if let Some(lane) = Lane::attempt(workspace, mailbox, &lane)? {
            let is_over = !take_slots(workspace, *work, &lane, limit)?;
            let outcome = if is_over { Ok(None) } else { work_off(workspace, *work, &lane, id) };
            lane.release();
            match outcome? {
                None if !is_over => continue,
                outcome => return Ok(outcome),
            }
        }
        let eye = match watch.take() {
            Some(eye) => eye,
            None => watch_exits(workspace, mailbox)?,
        };
        if is_watching && !limit.sleep(workspace, &eye, None)? {
            return Ok(None);
        }
        watch = Some(eye);
    }
}

/// Works off a lane that the caller holds, up to and with event `id`; `None` where that has moved on
/// by other hands.
///
/// # Errors
/// Where the file system refuses, or the lane is held up (`Later`).
pub fn run_up_to(workspace: &Workspace, work: &dyn Handler, lane: &Lane, id: &Id) -> Result<Option<Outcome>> {
    take_slots(workspace, work, lane, Deadline::default())?;
    work_off(workspace, work, lane, id)
}

fn work_off(workspace: &Workspace, work: &dyn Handler, lane: &Lane, id: &Id) -> Result<Option<Outcome>> {
    let mailbox = work.mailbox();
    let mut entries = listing::lane(workspace, mailbox, &lane.name)?;
    loop {
        match spool::claim(workspace, mailbox, lane, &mut entries)? {
            LaneHead::Nothing => return Ok(None),
            LaneHead::NotDue(due) => return Err(not_due(workspace, id, due, "")),
            LaneHead::Job(job) => {
                let is_it = job.entry.id == *id;
                let outcome = work.run(job, lane);
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

/// Takes the slots of a lane that the caller holds, as soon as they are free. False where nobody waits for them
/// any longer.
///
/// # Errors
/// Where the file system refuses, or the settings are bad.
pub fn take_slots(workspace: &Workspace, work: &dyn Handler, lane: &Lane, limit: Deadline) -> Result<bool> {
    // How many there are may change while we wait.
    let key = work.limit_key(&lane.name);
    let (mut watch, mut promised) = (None, Reservations::default());
    loop {
        let groups = work.slots(key)?;
        match Slots::attempt(workspace, &groups, &promised)? {
            SlotsTaken::All(slots) => {
                lane.occupy(slots);
                return Ok(true);
            }
            SlotsTaken::Full(count) if promised.renew(workspace, &groups[..count])? => continue,
            SlotsTaken::Full(_) => {}
        }
        match &watch {
            Some(watch) if !limit.sleep(workspace, watch, None)? => return Ok(false),
            Some(_) => {}
            // It is there before the last try, so that no release is missed.
            None => {
                let made = Watch::new(&[(workspace.path(".claw/locks/slots"), WatchKind::Releases)])?;
                made.add(&workspace.root, WatchKind::Edits);
                made.add(&workspace.path("agents").join(key), WatchKind::Edits);
                watch = Some(made);
            }
        }
    }
}

/// A watch on everything by which an event can leave a stage.
///
/// # Errors
/// Where the kernel has no watch left.
pub fn watch_exits(workspace: &Workspace, mailbox: Mailbox) -> Result<Watch> {
    let locks = workspace.path(".claw/locks").join(mailbox.name());
    let [ready, wait, failed] =
        [State::Ready, State::Wait, State::Failed].map(|state| (mailbox.dir(workspace, state), WatchKind::Arrivals));
    Watch::new(&[(locks, WatchKind::Releases), ready, wait, failed])
}

fn place(workspace: &Workspace, mailbox: Mailbox, id: &Id) -> Result<Located> {
    // A copy that is still there is to be worked off, also where the event has ended; and between two
    // folders an event is in neither for a reader, who therefore looks twice.
    let look = || -> Result<Option<Located>> {
        let mut found = locate::of(workspace, mailbox, id)?;
        let live = |f: &Located| matches!(f.state, Some(State::Ready | State::Wait | State::Run));
        let at = found.iter().position(live).unwrap_or(0);
        Ok((!found.is_empty()).then(|| found.swap_remove(at)))
    };
    let found = match look()? {
        None => look()?,
        found => found,
    };
    found.ok_or_else(|| Fault::data(format!("there is no event {id} in {}", mailbox.name())))
}

/// How the event stands, if nobody has to work on it any more.
fn standing(workspace: &Workspace, mailbox: Mailbox, found: &Located, id: &Id) -> Result<Option<Outcome>> {
    let outcome = |state| Ok(Some(Outcome { id: id.clone(), state }));
    match found.state {
        None => outcome(EventOutcome::Done(left_behind(workspace, mailbox, found, id))),
        Some(State::Failed) => {
            let reason = fs::read_to_string(mailbox.reason(workspace, id)).unwrap_or_default();
            let first = reason.lines().next().unwrap_or("no reason was written").to_owned();
            outcome(EventOutcome::Failed(Fault::new(Kind::Failed, first)))
        }
        Some(State::New) => {
            let fault = Fault::new(Kind::Later, format!("{id} is not routed yet"));
            Err(fault.hint("`claw route` first, or wait until it is due"))
        }
        Some(State::Wait) => match found.entry.waits_until(workspace.world.now()) {
            Some(due) => {
                let fault = Fault::new(Kind::Later, "an attempt has failed").hint(format!("claw why {}", id.short()));
                outcome(EventOutcome::Waiting(due, fault))
            }
            None => Ok(None),
        },
        Some(State::Ready | State::Run) => Ok(None),
    }
}

/// What a finished event has sent out, by its session's log.
fn left_behind(workspace: &Workspace, mailbox: Mailbox, found: &Located, id: &Id) -> Vec<String> {
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
