//! The cost of a model call. It is reserved in the ledger under its event and step before the request is sent, and
//! settled when it is known. If a budget is exceeded, the event waits, and the owner gets one notice.

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

/// A call that a budget may limit.
pub(crate) struct MeteredCall<'a> {
    pub(crate) workspace: &'a Workspace,
    /// The event that the call answers.
    pub(crate) event: &'a Id,
    /// The step of its turn, from 1.
    pub(crate) step: usize,
    pub(crate) lane: &'a Lane,
    pub(crate) agent: &'a Agent,
    pub(crate) chosen: &'a ResolvedModel,
    pub(crate) request: &'a Request,
    pub(crate) may_recall: bool,
    /// A user waits at the terminal and needs no notice.
    pub(crate) is_interactive: bool,
}

/// The reservation of a call.
struct Reserved {
    line: LedgerLine,
    /// A budget limits it, so that the reservation is in the ledger.
    is_counted: bool,
}

impl MeteredCall<'_> {
    /// Reserves the cost, sends the request, and settles the charge. Calls `on_text` with every piece of text; ends as
    /// soon as `cancel` is set. Returns the reply or the failure, and the charge.
    ///
    /// # Errors
    /// If the request was not sent: `Spent` if a budget does not allow it, `Config` if a budget in money is set and the
    /// model has no price.
    pub(crate) fn send(&self, cancel: &CancelToken, on_text: &mut dyn FnMut(&str)) -> Result<(Result<Reply>, Charge)> {
        let reserved = self.reserve()?;
        let mut call = ModelCall {
            workspace: self.workspace,
            chosen: self.chosen,
            request: self.request,
            at: self.event.stamp(),
            may_recall: self.may_recall,
            lane: self.lane,
            cancel: Some(cancel),
            on_text,
            charge: Charge::default(),
            tape: Tape::default(),
        };
        let answer = provider::ask(&mut call);
        let charge = call.charge;
        if let Some(reserved) = reserved {
            self.settle_charge(reserved, charge, answer.as_ref().ok());
        }
        Ok((answer, charge))
    }

    /// Reserves the estimated cost; `None` for a model that costs nothing.
    fn reserve(&self) -> Result<Option<Reserved>> {
        if self.chosen.is_free() {
            return Ok(None);
        }
        let (config, agent) = (self.workspace.config()?, session_name::agent(&self.lane.name));
        if let Some(fault) = self.chosen.unpriced(&[&config.budget, &self.agent.budget], &config.currency) {
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
        // Thinking tokens with a budget of their own are added.
        estimate.output += self.chosen.model.thinking.as_ref().map_or(0, |thinking| u64::from(thinking.budget()));
        let line = self.priced(line, estimate);
        let is_counted = !limits.is_empty();
        if is_counted && let Err(out) = usage::reserve(self.workspace, &line, &limits)? {
            if !self.is_interactive {
                notify_exceeded(self.workspace, &out, &now)?;
            }
            return Err(Fault::new(Kind::Spent, out.describe())
                .hint(out.way_out(&now))
                .after(Some(out.retry_after(&now))));
        }
        Ok(Some(Reserved { line, is_counted }))
    }

    fn priced(&self, line: LedgerLine, usage: Usage) -> LedgerLine {
        let currency = self.workspace.config().map(|config| config.currency.clone()).unwrap_or_default();
        LedgerLine { usage, money: self.chosen.cost(&usage, &currency).0, ..line }
    }

    /// Writes the charge to the ledger. An error of the ledger does not lose the answer: the call then counts as it was
    /// reserved.
    fn settle_charge(&self, reserved: Reserved, charge: Charge, reply: Option<&Reply>) {
        let is_counted = reserved.is_counted;
        let (kind, usage, guess) = match (charge, reply) {
            (Charge::Nothing, _) if is_counted => (LedgerKind::Dropped, Usage::default(), false),
            (Charge::Counted(usage), _) => (LedgerKind::Settled, usage, false),
            (Charge::Unknown, Some(reply)) => (LedgerKind::Settled, guess(self.request, reply), true),
            (Charge::Unknown, None) if !is_counted => {
                (LedgerKind::Settled, Usage { output: 0, ..reserved.line.usage }, true)
            }
            // The call may have used all of its reservation, and the step's next request reserves its own.
            (Charge::Unknown, None) => (LedgerKind::Settled, reserved.line.usage, true),
            (Charge::Nothing, _) => return,
        };
        let at = self.workspace.world.now().timestamp();
        let line = LedgerLine { kind, at, is_estimated: guess, ..self.priced(reserved.line, usage) };
        let written = if is_counted { usage::settle_charge } else { usage::record };
        if let Err(fault) = written(self.workspace, &line) {
            self.workspace.world.say(&format!("the cost of a model call could not be written to the ledger: {fault}"));
        }
    }
}

/// An estimate of the usage if the server did not count it.
fn guess(request: &Request, reply: &Reply) -> Usage {
    let calls: usize = reply.calls.iter().map(|call| call.name.len() + call.arguments.to_string().len()).sum();
    Usage { output: budget::tokens(reply.content.len() + calls), ..budget::estimate(request) }
}

/// Publishes one notice to the owner per limit and day: the notice's id is made of both, and the ledger records that it
/// was published.
fn notify_exceeded(workspace: &Workspace, out: &Exceeded, now: &Zoned) -> Result<()> {
    let today = now.date().to_string();
    let key = out.limit.notice_key(&today);
    if usage::ledger(workspace)?.is_notified(&key) {
        return Ok(());
    }
    let midnight = now.start_of_day().map_or(now.timestamp(), |day| day.timestamp());
    let id = Id::parse(&format!("{}-budget-{}", Stamp::from(midnight), hash32(&key, 8)))?;
    let text = format!(
        "{}\nNew events wait: {}. Then `claw retry ID` continues at once; `claw status` lists the waiting events.",
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
            limit: Some(key),
            ..LedgerLine::default()
        },
    )
}
