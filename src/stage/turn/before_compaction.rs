//! Before a compaction the model is asked once which facts of the dropped part are worth a note. The request is outside
//! of the conversation and has one tool. Nothing depends on it: if it fails or a budget forbids it, compaction goes on.

use crate::core::config::OFFLINE;
use crate::core::config::resolved_model::ResolvedModel;
use crate::core::context::compact::Plan;
use crate::core::context::worth_keeping::{self, MAX_ANSWER, MOST};
use crate::core::fault::{Kind, Result};
use crate::core::model::{Call, Request};
use crate::stage::turn::active_turn::Turn;
use crate::stage::turn::calls;
use crate::stage::turn::compact::WindowBudget;
use crate::stage::turn::model_call::meter;
use crate::tool;
use jiff::SignedDuration;

/// The step numbers of these requests in the ledger begin here, beyond those of turns and summaries.
const STEP: usize = 2_000_000;
/// The numbers of these calls in the ids of their notes begin here, beyond those of the turn's calls.
const NUMBER: u32 = 10_000;
/// The longest wait for the answer.
const TIMEOUT: SignedDuration = SignedDuration::from_mins(1);

impl Turn<'_> {
    /// Asks the model for notes, and publishes them. Only for an agent that has the tool and needs no approval for it.
    ///
    /// # Errors
    /// `Machine` or `Closed` if the machine fails.
    pub(super) fn note_before_dropping(
        &mut self,
        chosen: &ResolvedModel,
        budget: &WindowBudget,
        plan: &Plan,
    ) -> Result<()> {
        let is_offline = chosen.model.provider.as_deref() == Some(OFFLINE);
        if plan.dropped.is_empty() || is_offline || chosen.model.tools == Some(false) || self.cancel.is_cancelled() {
            return Ok(());
        }
        if !self.workspace.config()?.compact.remember {
            return Ok(());
        }
        let Some(tool) = calls::free_tool(self, tool::REMEMBER) else { return Ok(()) };
        let answer = u64::from(chosen.model.max_tokens.unwrap_or(MAX_ANSWER).min(MAX_ANSWER));
        let room = budget.gauge.estimate(budget.limit.saturating_sub(answer).max(budget.window / 4));
        let request = Request {
            model: chosen.model.model.clone(),
            temperature: chosen.model.temperature,
            max_tokens: u32::try_from(answer).ok(),
            ..worth_keeping::request(plan, tool.spec.clone(), room)
        };
        let found = match self.ask_for_notes(chosen, &request) {
            Ok(found) => found,
            Err(fault) if matches!(fault.kind, Kind::Machine | Kind::Closed) => return Err(fault),
            Err(fault) => {
                let session = &self.lane.name;
                self.workspace.world.say(&format!("{session}: no notes were made before the compaction: {fault}"));
                return Ok(());
            }
        };
        let before = 100 * self.state.steps.len() + self.noted.len();
        let first = NUMBER + u32::try_from(before).unwrap_or_default();
        let wanted = found.into_iter().filter(|call| call.name == tool::REMEMBER).take(MOST);
        for (number, call) in (first..).zip(wanted) {
            // A note that is refused concerns nobody: it was not asked for.
            self.noted.extend(calls::publish_note(self, &call, number)?);
        }
        Ok(())
    }

    fn ask_for_notes(&self, chosen: &ResolvedModel, request: &Request) -> Result<Vec<Call>> {
        let mut chosen = chosen.clone();
        chosen.model.timeout = Some(chosen.model.timeout.map_or(TIMEOUT, |own| own.min(TIMEOUT)));
        let call = meter::MeteredCall {
            workspace: self.workspace,
            event: &self.event.id,
            step: STEP + self.state.steps.len(),
            lane: self.lane,
            agent: &self.agent,
            chosen: &chosen,
            request,
            may_recall: false,
            is_interactive: self.interactive.is_some(),
        };
        let (answer, _) = call.send(&self.cancel, &mut |_| {})?;
        Ok(answer?.calls)
    }
}
