//! A look at all jobs: ends of runs are recorded, due instants are chosen, their events published, and the ledgers
//! written.

use crate::core::crons::choose::Action;
use crate::core::crons::heartbeat;
use crate::core::crons::line::CronLine;
use crate::core::crons::state::{JobState, OpenRun};
use crate::core::event::Event;
use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::event::scheduled::{self, Scheduled};
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Kind, Result};
use crate::core::schedule::Timing;
use crate::core::text::base32::hash32;
use crate::stage::schedule::{ended, fire};
use crate::store::crons::due_index::DueIndex;
use crate::store::crons::job::{self, CronJob};
use crate::store::crons::ledger::{self, CronLedger};
use crate::store::crons::{self, FOLDER};
use crate::store::queue::drops::TakenIn;
use crate::store::queue::{listing, locate, publish, spool};
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{Mailbox, State};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeSet, HashMap};

/// The most jobs that are claimed under one lock, so that the ends of runs are recorded in between.
const BATCH: usize = 256;
/// The longest time over which late runs are spread, in seconds.
const MAX_SPREAD: u32 = 300;
/// A job that could not be claimed is looked at again after this many seconds.
const PAUSE: i64 = 5;

/// Looks at all jobs. The next due time is that of the first instant that is not due yet.
///
/// # Errors
/// `Machine`; what was claimed before stays claimed.
pub fn all(workspace: &Workspace) -> Result<TakenIn> {
    let mut next = None;
    if workspace.is_trusted {
        let ids = job::ids(workspace)?;
        mark_gone(workspace, &ids)?;
        let (mut due, mut index) = (Vec::new(), DueIndex::load(workspace));
        for id in ids {
            match look_with(&mut index, workspace, &id)? {
                Some(at) if at <= workspace.world.now() => due.push(id),
                at => next = next.into_iter().chain(at).min(),
            }
        }
        index.save();
        let late = u32::try_from(due.len()).unwrap_or(MAX_SPREAD).min(MAX_SPREAD);
        for batch in due.chunks(BATCH) {
            claim(workspace, batch, late)?;
        }
        for id in due {
            let soon = workspace.world.now().plus_seconds(PAUSE);
            let at = look(workspace, &id)?.0.map(|at| if at <= workspace.world.now() { soon } else { at });
            next = next.into_iter().chain(at).min();
        }
    }
    Ok(TakenIn { again: next, failed: Vec::new() })
}

/// Records the end of a scheduled event that this process has ended; does nothing for any other event. An error is only
/// printed, because the next look at the schedule records the end all the same.
pub fn record_end(workspace: &Workspace, event: &Event, session: &str) {
    let Some(scheduled) = Scheduled::of(event) else { return };
    let run = OpenRun {
        event: event.id.clone(),
        due: scheduled.due,
        session: session.to_owned(),
        not_before: None,
        is_outdated: false,
    };
    if let Err(fault) = end_run(workspace, &scheduled.job, &run) {
        workspace.world.say(&format!("the end of a run of {} is recorded later: {fault}", scheduled.job));
    }
}

fn end_run(workspace: &Workspace, id: &str, run: &OpenRun) -> Result<()> {
    {
        let _lock = crons::lock(workspace)?;
        let mut ledger = CronLedger::clone(&*ledger::read(workspace, &ledger::name(id))?);
        ended::settle(workspace, id, &mut ledger, run)?;
    }
    // An instant may have waited for the end, and a one-off job is over.
    claim(workspace, &[id.to_owned()], 1)
}

/// Makes the event of a run by hand, publishes it, and records it in the ledger. The schedule stays as it is.
///
/// # Errors
/// `Data` or `Config` if the job cannot run; those of the file system.
pub fn run_by_hand(workspace: &Workspace, job: &CronJob) -> Result<Id> {
    let _lock = crons::lock(workspace)?;
    let due = workspace.world.now().timestamp();
    let name = ledger::name(&job.id);
    let mut ledger = CronLedger::clone(&*ledger::read(workspace, &name)?);
    let what = (&*job.cron, ledger.state.maker.as_ref());
    let event = fire::event(workspace, what, &job.zone.rules, scheduled::event_id(&job.id, due)?, due)?;
    publish::inbox(workspace, &event)?;
    ledger::append(workspace, &name, &mut ledger, &[fired(&event, due, due, true)])?;
    ledger::sync_names(workspace)?;
    Ok(event.id)
}

/// When a job needs work. The index saves the look at most jobs.
fn look_with(index: &mut DueIndex, workspace: &Workspace, id: &str) -> Result<Option<Stamp>> {
    let files = index.files(id);
    if let Some(at) = index.due(id, &files) {
        return Ok(at);
    }
    let (at, lasting) = look(workspace, id)?;
    if let Some(job) = lasting {
        index.add(&job, files, at);
    }
    Ok(at)
}

/// When a job needs work: an instant is due, a run may have ended, or a one-off job is over. Returns also the job, if that
/// depends on its file, its ledger and its zone only.
fn look(workspace: &Workspace, id: &str) -> Result<(Option<Stamp>, Option<CronJob>)> {
    let ledger = ledger::read(workspace, &ledger::name(id))?;
    let (state, now) = (&ledger.state, workspace.world.now());
    if state.open.iter().any(|run| ended::may_have_ended(workspace, run) || is_put_off(workspace, run)) {
        return Ok((Some(now), None));
    }
    match CronJob::read_with(workspace, id, state)? {
        Ok(job) if job.cron.one_off && ended::is_over(state) => Ok((Some(now), None)),
        Ok(job) => {
            let next = job.next(workspace, state)?.map(Stamp::from);
            // A run ends in the mailboxes, and the rights of an agent and the settings bound its jobs.
            let depends_on_more = !state.open.is_empty() || state.maker.is_some() || id == heartbeat::ID;
            let is_lasting = !depends_on_more && next.is_none_or(|next| next > now);
            Ok((next, is_lasting.then_some(job)))
        }
        Err(fault) => {
            workspace.world.say(&fault.to_string());
            Ok((None, None))
        }
    }
}

/// Whether the start of a run was put off by a clock that has been set back since.
fn is_put_off(workspace: &Workspace, run: &OpenRun) -> bool {
    let latest = workspace.world.now().plus_seconds(MAX_SPREAD.into());
    run.not_before.is_some_and(|start| Stamp::from(start) > latest)
}

/// A job in a batch: its ledger, and its lines, of which one may need an event.
struct CronClaim {
    id: String,
    ledger: CronLedger,
    lines: Vec<CronLine>,
    /// The event to publish, and the place of its line.
    event: Option<(Event, usize)>,
}

/// Carries out the work of some jobs under one lock. `late` is the number of seconds over which late runs are spread.
fn claim(workspace: &Workspace, ids: &[String], late: u32) -> Result<()> {
    let _lock = crons::lock(workspace)?;
    let mut known = None;
    let mut claims = Vec::new();
    for id in ids {
        // An error concerns this job only, unless the machine is at fault.
        match prepare(workspace, id, late, &mut known) {
            Err(fault) if fault.kind == Kind::Machine => return Err(fault),
            Err(fault) => workspace.world.say(&format!("{FOLDER}/{id}: {fault}")),
            Ok(claim) => claims.extend(claim),
        }
    }
    let events = claims.iter().filter_map(|claim| claim.event.as_ref().map(|(event, _)| event));
    let mut results = publish::all(workspace, Mailbox::Inbox, events)?.into_iter();
    let mut trouble = Ok(());
    for mut claim in claims {
        if let Some((_, place)) = &claim.event
            && let Some(Err(fault)) = results.next()
        {
            // The lines before it stand for themselves; the instant is chosen again.
            claim.lines.truncate(*place);
            trouble = Err(fault);
        }
        ledger::append(workspace, &ledger::name(&claim.id), &mut claim.ledger, &claim.lines)?;
    }
    ledger::sync_names(workspace)?;
    trouble
}

/// Records the ends of a job's runs, and makes the lines and the event of its due instants. The caller holds the lock.
fn prepare(
    workspace: &Workspace,
    id: &str,
    late: u32,
    known: &mut Option<HashMap<Id, Option<String>>>,
) -> Result<Option<CronClaim>> {
    let mut ledger = CronLedger::clone(&*ledger::read(workspace, &ledger::name(id))?);
    for run in ledger.state.open.clone() {
        if is_put_off(workspace, &run) {
            publish::end_delay(workspace, &run.event, run.not_before)?;
        }
        ended::settle(workspace, id, &mut ledger, &run)?;
    }
    let job = match CronJob::read_with(workspace, id, &ledger.state)? {
        Ok(job) => job,
        Err(fault) => {
            workspace.world.say(&fault.to_string());
            return Ok(None);
        }
    };
    if job.cron.one_off && ended::is_over(&ledger.state) {
        crons::move_to_done(workspace, id)?;
        return Ok(None);
    }
    let mut claim = CronClaim { id: id.to_owned(), lines: Vec::new(), event: None, ledger };
    let (now, zone) = (workspace.world.now().timestamp(), &job.zone.rules);
    for action in job.choose(workspace, &claim.ledger.state)? {
        let (due, is_late) = match action {
            Action::Record(line) => {
                claim.lines.push(line);
                continue;
            }
            Action::Fire { due, is_late } => (due, is_late),
        };
        let event_id = scheduled::event_id(id, due)?;
        let maker = claim.ledger.state.maker.as_ref();
        let mut event = fire::event(workspace, (&job.cron, maker), zone, event_id.clone(), due)?;
        if is_late && late > 1 {
            event.not_before = now.checked_add(spread(id, late)).ok();
        }
        let session = event.session.clone().unwrap_or_default();
        let mut mark = None;
        match job::beat(workspace, &job, &claim.ledger.state, &session)? {
            Some((Some(why), _)) => {
                claim.lines.push(CronLine::Missed { at: now, due, to: None, count: 1, why });
                continue;
            }
            Some((None, found)) => mark = Some(found),
            None => {}
        }
        match known_event(workspace, known, &event_id)? {
            None => {
                claim.lines.push(fired(&event, now, due, false));
                claim.event = Some((event, claim.lines.len() - 1));
            }
            // A process was killed between the event and its line.
            Some(known) => {
                event.session = known.session.or(event.session);
                claim.lines.push(fired(&event, now, due, false));
            }
        }
        claim.lines.extend(mark.map(|mark| CronLine::Beat { at: now, mark }));
    }
    for line in &claim.lines {
        if let CronLine::Missed { due, .. } = line
            && let Timing::At(_) = job.cron.timing
        {
            tell_missed(workspace, &job, &claim.ledger.state, *due)?;
        }
    }
    Ok(Some(claim))
}

fn fired(event: &Event, at: Timestamp, due: Timestamp, by_hand: bool) -> CronLine {
    let session = event.session.clone().unwrap_or_default();
    CronLine::Fired { at, due, event: event.id.clone(), session, not_before: event.not_before, by_hand }
}

/// The part of the time over which late runs are spread that a job waits. It depends on the job's id only.
fn spread(id: &str, seconds: u32) -> SignedDuration {
    let hash = hash32(id, 8).bytes().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    SignedDuration::from_secs(i64::try_from(hash % u64::from(seconds.max(1))).unwrap_or_default())
}

/// Tells the maker of a job that its only instant has passed.
fn tell_missed(workspace: &Workspace, job: &CronJob, state: &JobState, due: Timestamp) -> Result<()> {
    let place = state.maker.as_ref().and_then(|maker| Address::parse(maker.place.as_deref()?).ok());
    let text = format!(
        "the scheduled job `{0}` of {1} was missed and does not run: claw was not running in time\n{2}\n\
         To run it now: claw crons run {0}",
        job.id,
        job.zone.show(due),
        job.cron.prompt
    );
    ended::tell(workspace, &scheduled::event_id(&job.id, due)?, text, place)
}

/// An event that is known already.
struct KnownEvent {
    /// Its session, if it can be read.
    session: Option<String>,
}

/// The event `id`, if it is known already. An event that moves while the folders are listed may be missed in all of them,
/// so they are listed twice.
fn known_event(
    workspace: &Workspace,
    known: &mut Option<HashMap<Id, Option<String>>>,
    id: &Id,
) -> Result<Option<KnownEvent>> {
    if known.is_none() {
        let mut all = HashMap::new();
        for state in [State::New, State::Ready, State::Wait, State::Run, State::Failed].repeat(2) {
            for entry in listing::list(workspace, Mailbox::Inbox, state)? {
                let lane = Some(entry.lane).filter(|lane| !lane.is_empty());
                let session: &mut Option<String> = all.entry(entry.id).or_default();
                *session = lane.or(std::mem::take(session));
            }
        }
        *known = Some(all);
    }
    match known.as_ref().and_then(|known| known.get(id)) {
        Some(Some(session)) => return Ok(Some(KnownEvent { session: Some(session.clone()) })),
        None if !Mailbox::Inbox.done(workspace, id).exists() => return Ok(None),
        _ => {}
    }
    let found = locate::of(workspace, Mailbox::Inbox, id)?.into_iter().next();
    let session = found.and_then(|found| spool::read_event(&found.path, id).ok()).and_then(|event| event.session);
    Ok(Some(KnownEvent { session }))
}

/// Records that the folders of jobs are gone.
fn mark_gone(workspace: &Workspace, ids: &[String]) -> Result<()> {
    let here: BTreeSet<String> = ids.iter().map(|id| ledger::name(id)).collect();
    for name in ledger::names(workspace)?.into_iter().filter(|name| !here.contains(name)) {
        let state = |ledger: &CronLedger| ledger.state.seen.is_some() && !ledger.state.is_gone;
        if state(&*ledger::read(workspace, &name)?) {
            let _lock = crons::lock(workspace)?;
            let mut ledger = CronLedger::clone(&*ledger::read(workspace, &name)?);
            let at = workspace.world.now().timestamp();
            ledger::append(workspace, &name, &mut ledger, &[CronLine::Gone { at }])?;
        }
    }
    Ok(())
}
