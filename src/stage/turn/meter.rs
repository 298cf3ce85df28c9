//! What a model call takes: reserved under its event and step before it leaves, settled when it is known. Out of
//! budget the event waits, and the owner is told once.

use crate::core::budget::ledger_line::{LedgerKind, LedgerLine};
use crate::core::budget::{self, Exceeded};
use crate::core::config::resolved_model::ResolvedModel;
use crate::core::definition::Agent;
use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::event::session_name;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Draft, EventKind};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::{Reply, Request, Usage};
use crate::core::text::base32::hash32;
use crate::provider::{self, Charge, ModelCall, Tape};
use crate::store::lock::Lane;
use crate::store::queue::publish;
use crate::store::session::stop::CancelToken;
use crate::store::usage;
use crate::store::workspace::Workspace;
use crate::world;
use jiff::Zoned;

/// A call that is about to leave.
pub(crate) struct MeteredCall<'a> {
    pub(crate) workspace: &'a Workspace,
    /// The event that is answered.
    pub(crate) event: &'a Id,
    /// The step of its turn, from 1.
    pub(crate) step: usize,
    pub(crate) lane: &'a Lane,
    pub(crate) agent: &'a Agent,
    pub(crate) chosen: &'a ResolvedModel,
    pub(crate) request: &'a Request,
    /// Somebody sits before it, and need not be sent word.
    pub(crate) is_asked: bool,
}

/// What has been written down of a call.
struct Reserved {
    line: LedgerLine,
    /// A budget counts on what becomes of it.
    is_counted: bool,
}

impl MeteredCall<'_> {
    /// Pays for it and asks: what came of it, and what it took. `heard` hears the answer as it comes; it ends as
    /// soon as the turn is to end.
    ///
    /// # Errors
    /// Where it did not leave: `Spent` where it does not fit, `Config` where nobody knows what it costs and somebody
    /// wants to.
    pub(crate) fn ask(&self, cancel: &CancelToken, heard: &mut dyn FnMut(&str)) -> Result<(Result<Reply>, Charge)> {
        let reserved = self.reserve()?;
        let mut question = ModelCall {
            workspace: self.workspace,
            chosen: self.chosen,
            request: self.request,
            at: self.event.stamp(),
            lane: self.lane,
            cancel: Some(cancel),
            on_text: heard,
            charge: Charge::default(),
            tape: Tape::default(),
        };
        let answer = provider::ask(&mut question);
        let charge = question.charge;
        if let Some(reserved) = reserved {
            self.settle_charge(reserved, charge, answer.as_ref().ok());
        }
        Ok((answer, charge))
    }

    /// Lets it leave, if it fits; what answers without asking anybody takes nothing.
    fn reserve(&self) -> Result<Option<Reserved>> {
        if self.chosen.is_free() {
            return Ok(None);
        }
        let (config, agent) = (self.workspace.config()?, session_name::agent(&self.lane.name));
        if let Some(fault) = self.chosen.unpriced(&[&config.budget, &self.agent.budget]) {
            return Err(fault);
        }
        let limits = [config.budget.limits(None), self.agent.budget.limits(Some(agent))].concat();
        let now = self.workspace.world.now().timestamp().to_zoned(world::zone());
        let line = LedgerLine {
            kind: LedgerKind::Reserved,
            at: now.timestamp(),
            day: now.date().to_string(),
            id: Some(self.event.clone()),
            step: u32::try_from(self.step).unwrap_or(u32::MAX),
            agent: agent.to_owned(),
            session: self.lane.name.clone(),
            model: self.chosen.name.clone(),
            ..LedgerLine::default()
        };
        let mut estimate = budget::estimate(self.request);
        // Where thoughts are counted by themselves they come on top.
        estimate.output += self.chosen.model.thinking.as_ref().map_or(0, |thinking| u64::from(thinking.budget()));
        let line = self.priced(line, estimate);
        let is_counted = !limits.is_empty();
        if is_counted && let Err(out) = usage::reserve(self.workspace, &line, &limits)? {
            if !self.is_asked {
                tell(self.workspace, &out, &now)?;
            }
            return Err(Fault::new(Kind::Spent, out.describe())
                .hint(out.way_out(&now))
                .after(Some(out.retry_after(&now))));
        }
        Ok(Some(Reserved { line, is_counted }))
    }

    fn priced(&self, line: LedgerLine, usage: Usage) -> LedgerLine {
        let money = self.chosen.model.price.map(|price| price.cost(&usage).0).unwrap_or_default();
        LedgerLine { usage, money, ..line }
    }

    /// Writes down what became of it. An answer is not lost for a ledger that cannot be written: then the call
    /// counts as it was reserved.
    fn settle_charge(&self, reserved: Reserved, charge: Charge, reply: Option<&Reply>) {
        let is_counted = reserved.is_counted;
        let (what, usage, guess) = match (charge, reply) {
            (Charge::Nothing, _) if is_counted => (LedgerKind::Dropped, Usage::default(), false),
            (Charge::Counted(usage), _) => (LedgerKind::Settled, usage, false),
            (Charge::Unknown, Some(reply)) => (LedgerKind::Settled, guess(self.request, reply), true),
            (Charge::Unknown, None) if !is_counted => {
                (LedgerKind::Settled, Usage { output: 0, ..reserved.line.usage }, true)
            }
            // It may have taken all of it, and the next request of this step takes its own besides.
            (Charge::Unknown, None) => (LedgerKind::Settled, reserved.line.usage, true),
            (Charge::Nothing, _) => return,
        };
        let at = self.workspace.world.now().timestamp();
        let line = LedgerLine { kind: what, at, is_estimated: guess, ..self.priced(reserved.line, usage) };
        let written = if is_counted { usage::settle_charge } else { usage::record };
        if let Err(fault) = written(self.workspace, &line) {
            self.workspace.world.say(&format!("what a call took could not be written down: {fault}"));
        }
    }
}

/// About what an answer took that nobody has counted.
fn guess(request: &Request, reply: &Reply) -> Usage {
    let calls: usize = reply.calls.iter().map(|call| call.name.len() + call.arguments.to_string().len()).sum();
    Usage { output: budget::tokens(reply.content.len() + calls), ..budget::estimate(request) }
}

/// Tells the owner of a limit, once: the notice has its name of the limit and the day, and the ledger says that
/// it was published.
fn tell(workspace: &Workspace, out: &Exceeded, now: &Zoned) -> Result<()> {
    let today = now.date().to_string();
    let mark = out.limit.notice_key(&today);
    if usage::ledger(workspace)?.is_notified(&mark) {
        return Ok(());
    }
    let midnight = now.start_of_day().map_or(now.timestamp(), |day| day.timestamp());
    let id = Id::parse(&format!("{}-budget-{}", Stamp::from(midnight), hash32(&mark, 8)))?;
    let text = format!(
        "{}\nWhat comes in waits: {}. Then `claw retry ID` goes on at once; `claw status` says what waits.",
        out.describe(),
        out.way_out(now)
    );
    let from = Some(Address::parse("claw:notice")?);
    let mut notice = publish::complete(workspace, Draft { kind: EventKind::Notice, from, ..Draft::message(text) }, id)?;
    notice.reply_to = workspace.default_destination()?;
    publish::outbox(workspace, &notice)?;
    usage::record(
        workspace,
        &LedgerLine {
            kind: LedgerKind::Notified,
            at: now.timestamp(),
            day: today,
            limit: Some(mark),
            ..LedgerLine::default()
        },
    )
}
