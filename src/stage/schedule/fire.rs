//! The event of an instant.

use crate::core::crons::heartbeat;
use crate::core::crons::state::Maker;
use crate::core::definition::cron::CHANNEL;
use crate::core::definition::{Cron, CronSession};
use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::event::scheduled::Scheduled;
use crate::core::event::session_name;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Draft, Event, EventKind};
use crate::core::fault::Result;
use crate::core::schedule::Timing;
use crate::store::queue::publish;
use crate::store::routes;
use crate::store::workspace::Workspace;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The shortest time for which the run of an instant is tried.
const MIN_PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// The longest one.
const MAX_PATIENCE: SignedDuration = SignedDuration::from_hours(24);

/// The event of a job for the instant `due`. It is tried until the next instant, as long as that is between ten minutes
/// and a day away, so that a job whose model is unreachable fails and does not block its next runs. It has the origin of
/// the turn in which an agent has made the job.
///
/// # Errors
/// `Data` if the job names an invalid session or agent; `Config` if `claw.yaml` is invalid.
pub fn event(
    workspace: &Workspace,
    (cron, maker): (&Cron, Option<&Maker>),
    zone: &TimeZone,
    id: Id,
    due: Timestamp,
) -> Result<Event> {
    session_name::check_agent(&cron.agent)?;
    let now = workspace.world.now().timestamp();
    let patience = match &cron.timing {
        Timing::At(_) => MAX_PATIENCE,
        timing => timing
            .next(zone, due, due)
            .map_or(MAX_PATIENCE, |next| next.duration_since(due).clamp(MIN_PATIENCE, MAX_PATIENCE)),
    };
    let (kind, from) = match cron.id.as_str() {
        heartbeat::ID => (EventKind::Heartbeat, "heartbeat:claw".to_owned()),
        id => (EventKind::Cron, format!("{CHANNEL}:{id}")),
    };
    let draft = Draft {
        kind,
        from: Some(Address::parse(&from)?),
        reply_to: Some(cron.deliver_to.clone().map_or_else(|| workspace.default_destination(), Ok)?),
        session: Some(session(workspace, cron, &id)?),
        agent: Some(cron.agent.clone()),
        expires_at: now.checked_add(patience).ok(),
        meta: cron.model.iter().map(|model| ("model".to_owned(), model.clone().into())).collect(),
        ..Draft::message(cron.prompt.clone())
    };
    let mut event = publish::complete(workspace, draft, id)?;
    if let Some(maker) = maker {
        event.origin = maker.origin.clone();
        // A run needs the approvals of its agent and of its maker.
        if maker.agent != cron.agent {
            event.origin.requesters.push(maker.agent.clone());
        }
    }
    let delivers = cron.deliver_to.is_some();
    let (job, timeout, condition) = (cron.id.clone(), cron.timeout, cron.condition.clone());
    Scheduled { job, due, delivers, timeout, condition }.write(&mut event)?;
    publish::check_size(&event)?;
    Ok(event)
}

/// The session of a run.
fn session(workspace: &Workspace, cron: &Cron, id: &Id) -> Result<String> {
    match &cron.session {
        CronSession::Fresh => Ok(session_name::for_run(&cron.agent, id)),
        CronSession::Named(name) => Ok(name.clone()),
        // The conversation with the owner may have moved to another session since it began.
        CronSession::Main => {
            let home = workspace.default_destination()?;
            let draft = Draft { agent: Some(cron.agent.clone()), reply_to: Some(home.clone()), ..Draft::message("x") };
            let probe = draft.complete(id.clone(), Stamp::from(workspace.world.now().timestamp()), &home, &home);
            Ok(routes::decide(workspace, &probe, &routes::load(workspace)?)?.session)
        }
    }
}
