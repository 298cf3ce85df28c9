//! What a model call takes: reserved under its event and step before it leaves, settled when it is known. Out of
//! budget the event waits, and the owner is told once.

use crate::core::address::Address;
use crate::core::budget::{self, Limit, Out};
use crate::core::config::{Chosen, OFFLINE};
use crate::core::event::{Draft, EventKind};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::id::{Id, hash32};
use crate::core::ledger::{Line, What};
use crate::core::model::{Reply, Request, Usage};
use crate::core::session;
use crate::core::stamp::Stamp;
use crate::provider::Took;
use crate::stage::turn::Turn;
use crate::store::workspace::Workspace;
use crate::store::{definitions, publish, usage};
use crate::world;
use jiff::Zoned;

/// A call that may leave now.
pub(super) struct Call {
    line: Line,
    /// A budget counts on what becomes of it.
    is_reserved: bool,
}

/// Lets a call leave, if it fits; the built-in model takes nothing.
///
/// # Errors
/// `Spent` where it does not fit, `Config` where nobody knows what it costs and somebody wants to.
pub(super) fn reserve(turn: &Turn, chosen: &Chosen, request: &Request) -> Result<Option<Call>> {
    if chosen.model.provider.as_deref() == Some(OFFLINE) {
        return Ok(None);
    }
    let (workspace, config) = (turn.workspace, turn.workspace.config()?);
    let agent = session::agent(&turn.lane.name);
    let limits = [config.budget.limits(None), turn.agent.budget.limits(Some(agent))].concat();
    if let Some(fault) = chosen.unpriced(&[&config.budget, &turn.agent.budget]) {
        return Err(fault);
    }
    let now = workspace.world.now().timestamp().to_zoned(world::zone());
    let line = Line {
        what: What::Reserved,
        at: now.timestamp(),
        day: now.date().to_string(),
        id: Some(turn.event.id.clone()),
        step: u32::try_from(turn.state.steps.len() + 1).unwrap_or(u32::MAX),
        agent: agent.to_owned(),
        session: turn.lane.name.clone(),
        model: chosen.name.clone(),
        ..Line::default()
    };
    let call = Call { line, is_reserved: !limits.is_empty() };
    if !call.is_reserved {
        return Ok(Some(call));
    }
    let line = call.priced(chosen, budget::estimate(request));
    match usage::reserve(workspace, &line, &limits)? {
        Ok(()) => Ok(Some(call)),
        Err(out) => Err(spent(turn, &out, &now)?),
    }
}

impl Call {
    fn priced(&self, chosen: &Chosen, usage: Usage) -> Line {
        let money = chosen.model.price.map(|price| price.cost(&usage).0).unwrap_or_default();
        Line { usage, money, ..self.line.clone() }
    }

    /// Writes down what became of it. An answer is not lost for a ledger that cannot be written: then the call
    /// counts as it was reserved.
    pub(super) fn settle(self, turn: &Turn, chosen: &Chosen, request: &Request, took: Took, reply: Option<&Reply>) {
        let (what, usage, guess) = match (took, reply) {
            (Took::Nothing, _) if self.is_reserved => (What::Dropped, Usage::default(), false),
            (Took::Nothing, _) => return,
            (Took::Counted(usage), _) => (What::Settled, usage, false),
            (Took::Unknown, Some(reply)) => (What::Settled, guess(request, reply), true),
            // Until the step is asked again it counts as it was reserved.
            (Took::Unknown, None) if self.is_reserved => return,
            (Took::Unknown, None) => (What::Settled, Usage { output: 0, ..budget::estimate(request) }, true),
        };
        let line = Line { what, at: turn.now(), guess, ..self.priced(chosen, usage) };
        let written = if self.is_reserved { usage::settle } else { usage::note };
        if let Err(fault) = written(turn.workspace, &line) {
            turn.workspace.world.say(&format!("what a call took could not be written down: {fault}"));
        }
    }
}

/// About what an answer took that nobody has counted.
fn guess(request: &Request, reply: &Reply) -> Usage {
    let calls: usize = reply.calls.iter().map(|call| call.name.len() + call.arguments.to_string().len()).sum();
    Usage { output: budget::tokens(reply.content.len() + calls), ..budget::estimate(request) }
}

/// What does not fit waits; the owner is told, if it is not he who sits before it.
fn spent(turn: &Turn, out: &Out, now: &Zoned) -> Result<Fault> {
    if turn.asked.is_none() {
        tell(turn.workspace, out, now)?;
    }
    Ok(Fault::new(Kind::Spent, out.why()).hint(out.way_out(now)).after(Some(out.after(now))))
}

/// Tells the owner of a limit, once: the notice has its name of the limit and the day, and the ledger says that
/// it was published.
fn tell(workspace: &Workspace, out: &Out, now: &Zoned) -> Result<()> {
    let today = now.date().to_string();
    let mark = out.limit.mark(&today);
    if usage::look(workspace)?.is_told(&mark) {
        return Ok(());
    }
    let midnight = now.start_of_day().map_or(now.timestamp(), |day| day.timestamp());
    let id = Id::parse(&format!("{}-budget-{}", Stamp::from(midnight), hash32(&mark, 8)))?;
    let text = format!(
        "{}\nWhat comes in waits: {}. Then `claw retry ID` goes on at once; `claw status` says what waits.",
        out.why(),
        out.way_out(now)
    );
    let from = Some(Address::parse("claw:notice")?);
    let mut notice = publish::complete(workspace, Draft { kind: EventKind::Notice, from, ..Draft::message(text) }, id)?;
    notice.reply_to = workspace.home()?;
    publish::outbox(workspace, &notice)?;
    usage::note(
        workspace,
        &Line { what: What::Told, at: now.timestamp(), day: today, limit: Some(mark), ..Line::default() },
    )
}

/// Every limit that is set, with what is used of it.
///
/// # Errors
/// Where the settings are bad or the ledger cannot be read.
pub fn standing(workspace: &Workspace) -> Result<Vec<(Limit, u64)>> {
    let mut limits = workspace.config()?.budget.limits(None);
    for id in definitions::folders(workspace, "agents") {
        limits.extend(definitions::agent(workspace, &id).into_iter().flat_map(|agent| agent.budget.limits(Some(&id))));
    }
    if limits.is_empty() {
        return Ok(Vec::new());
    }
    let (ledger, today) = (usage::look(workspace)?, usage::today(workspace));
    Ok(limits.into_iter().map(|limit| (limit.clone(), limit.used(&ledger, &today))).collect())
}
