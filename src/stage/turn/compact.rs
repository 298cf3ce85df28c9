//! Compaction: before a request that would not fit, and for `/compact`. Its result is a line in the session's log,
//! synced before a request relies on it. Until the next such line, every request starts with the same messages and
//! appends the new ones. If no model can write the summary, one is made without a model.

use crate::core::config::OFFLINE;
use crate::core::config::resolved_model::ResolvedModel;
use crate::core::context::compact::{self, Plan, Room};
use crate::core::context::summary;
use crate::core::fault::{Cause, Fault, Kind, Result};
use crate::core::model::context_window;
use crate::core::model::tokens::{self, TokenScale};
use crate::core::model::{Reply, Request};
use crate::core::session::compaction::{CompactReason, CompactRecord, CompactedTurn, LearnedWindow};
use crate::core::session::record::Record;
use crate::core::turn::Replay;
use crate::provider::Charge;
use crate::stage::turn::active_turn::Turn;
use crate::stage::turn::model_call::meter;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::Mailbox;

/// The most requests for one summary; each is half as long as the one before.
const TRIES: u32 = 3;
/// The first step number of summaries in the ledger, beyond those of all turns.
const STEP: usize = 1_000_000;
/// The size of a conversation, in estimated tokens, from which an unclear refusal may be for its length.
const LONG: usize = 2000;
/// The tokens that a model may write in addition to the summary, for thinking.
const THOUGHT: u64 = 512;

/// A model's context window, and its division.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowBudget {
    /// The whole window, in tokens.
    pub(crate) window: u64,
    /// The source of that number.
    pub(crate) source: &'static str,
    /// The size of a request from which the conversation is compacted, in tokens.
    pub(crate) limit: u64,
    /// Converts estimates to the model's tokens.
    pub(crate) gauge: TokenScale,
    /// The size of the prompt and the tools, in estimated tokens.
    pub(crate) fixed: usize,
}

impl WindowBudget {
    pub(crate) fn of(workspace: &Workspace, chosen: &ResolvedModel, state: &Replay, fixed: usize) -> Result<Self> {
        let (mut window, mut source) = chosen.model.window();
        if let Some(learned) = state.learned_window(&chosen.name).filter(|learned| *learned < window) {
            (window, source) = (learned, "reported by its server");
        }
        let share = workspace.config()?.compact.of(window);
        // An answer of `max_tokens` must fit too, unless that is more than half of the window.
        let answer = chosen.model.max_tokens.map_or(0, u64::from).min(window / 2);
        let limit = share.min(window - answer);
        Ok(Self { window, source, limit, gauge: TokenScale::of(&chosen.name, state.count.as_ref()), fixed })
    }

    /// The tokens of a request with messages of this estimated size.
    pub(crate) fn tokens(&self, messages: usize) -> u64 {
        self.gauge.tokens(self.fixed + messages)
    }

    fn room(&self) -> Room {
        let estimate = |tokens| self.gauge.estimate(tokens);
        // If the prompt alone exceeds the limit, the provider decides whether the request is too long.
        let limit = estimate(self.limit).saturating_sub(self.fixed).max(estimate(self.window / 8));
        Room { limit, keep: estimate(self.window / 5) }
    }
}

/// The answer to `/compact`.
pub(crate) fn describe(compact: Option<&CompactRecord>) -> String {
    let Some(CompactRecord { before, after, model, .. }) = compact else {
        return "there is nothing to compact: the conversation is short".to_owned();
    };
    let by = model.as_deref().map_or_else(|| "without a model".to_owned(), |model| format!("by {model}"));
    format!(
        "compacted {by}: {} messages, about {} tokens; before {} messages, about {} tokens. The log keeps everything",
        after[0], after[1], before[0], before[1]
    )
}

impl Turn<'_> {
    /// Compacts the conversation if the next request would not fit.
    pub(crate) fn make_room(&mut self, chosen: &ResolvedModel, fixed: usize) -> Result<()> {
        let budget = WindowBudget::of(self.workspace, chosen, &self.state, fixed)?;
        let room = budget.room();
        self.compact(chosen, budget, room, CompactReason::Threshold, None).map(drop)
    }

    /// Compacts the conversation after the server refused the request as too long. False if the refusal had another
    /// reason, or nothing can be compacted.
    pub(crate) fn overflowed(&mut self, chosen: &ResolvedModel, request: &Request, fault: &Fault) -> Result<bool> {
        let sent = tokens::messages(&request.messages);
        let is_sure = match fault.cause {
            Some(Cause::Overflow) => true,
            // One try with a shorter conversation, if there is one.
            Some(Cause::PerhapsOverflow) if sent > LONG => false,
            _ => return Ok(false),
        };
        let fixed = tokens::fixed(&request.system, &request.tools);
        let budget = WindowBudget::of(self.workspace, chosen, &self.state, fixed)?;
        // The window is smaller than the refused request, so it is at most nine tenths of it.
        let over = budget.tokens(sent) * 9 / 10;
        let window = context_window::from_refusal(&fault.message).unwrap_or(over).min(over).min(budget.window);
        let learned = LearnedWindow { model: chosen.name.clone(), tokens: window };
        let limit = self.workspace.config()?.compact.of(window);
        let budget = WindowBudget { window, limit: limit.min(budget.limit), ..budget };
        let room = Room { limit: budget.room().limit.min(sent * 2 / 3), ..budget.room() };
        self.compact(chosen, budget, room, CompactReason::Overflow, Some(learned).filter(|_| is_sure))
    }

    /// Runs `/compact`, and returns the answer. If an earlier worker has logged the compaction, it is not repeated.
    pub(crate) fn compact_now(&mut self, focus: Option<&str>) -> Result<String> {
        let is_done = |turn: &Self| turn.state.compact.as_ref().is_some_and(|compact| compact.id == turn.event.id);
        if !is_done(self) {
            let chosen = self.choose()?;
            let (system, _) = self.system()?;
            let fixed = tokens::fixed(&system, self.tools.iter().map(|tool| &tool.spec));
            let budget = WindowBudget::of(self.workspace, &chosen, &self.state, fixed)?;
            let talk = self.state.conversation(None, &[]);
            let size = talk.size();
            if let Some(plan) = compact::plan(&talk, budget.room(), CompactReason::Requested) {
                self.note_before_dropping(&chosen, &budget, &plan)?;
                let made = self.summarise(&chosen, &budget, plan, CompactReason::Requested, focus)?;
                self.commit_compaction(&budget, made, size, None)?;
            }
        }
        Ok(describe(self.state.compact.as_ref().filter(|_| is_done(self))))
    }

    fn compact(
        &mut self,
        chosen: &ResolvedModel,
        budget: WindowBudget,
        room: Room,
        why: CompactReason,
        learned: Option<LearnedWindow>,
    ) -> Result<bool> {
        let (question, turn) = (self.state.user_message(&self.event.content), self.state.turn_messages());
        let talk = self.state.conversation(Some(&question), &turn);
        let Some(plan) = compact::plan(&talk, room, why) else { return Ok(false) };
        let size = talk.size();
        self.note_before_dropping(chosen, &budget, &plan)?;
        let made = self.summarise(chosen, &budget, plan, why, None)?;
        self.commit_compaction(&budget, made, size, learned).map(|()| true)
    }

    /// Writes the compaction to the log and syncs it, before a request relies on it.
    fn commit_compaction(
        &mut self,
        budget: &WindowBudget,
        mut made: CompactRecord,
        before: (usize, usize),
        learned: Option<LearnedWindow>,
    ) -> Result<()> {
        let known = self.state.compact.as_ref().and_then(|compact| compact.window.clone());
        made.window = learned.or(known);
        made.count.clone_from(&self.state.count);
        let begun = made.turn.clone().unwrap_or_default();
        let question = made.turn.as_ref().map(|begun: &CompactedTurn| begun.question.as_str());
        let talk = compact::Conversation {
            compacted: Some(&made.compacted),
            history: &made.recent,
            question,
            turn: &begun.messages,
            steps: begun.steps,
        };
        let size = |(count, estimated): (usize, usize)| [count as u64, budget.tokens(estimated)];
        (made.before, made.after) = (size(before), size(talk.size()));
        self.log.append(&[Record::Compact(Box::new(made.clone()))])?;
        self.log.commit()?;
        let line = JournalLine {
            tokens: Some([made.before[1], made.after[1]]),
            why: made.model.clone().unwrap_or_else(|| "without a model".to_owned()),
            lane: self.lane.name.clone(),
            ..JournalLine::about(Mailbox::Inbox, "compact", &self.event.id)
        };
        self.state.apply_compaction(made);
        journal::write(self.workspace, line);
        Ok(())
    }

    /// Carries out a plan, with a summary by the model or, if it fails, one made without a model.
    fn summarise(
        &self,
        chosen: &ResolvedModel,
        budget: &WindowBudget,
        mut plan: Plan,
        why: CompactReason,
        focus: Option<&str>,
    ) -> Result<CompactRecord> {
        let (model, summary) = if plan.dropped.is_empty() {
            (None, plan.earlier.clone())
        } else if chosen.model.provider.as_deref() == Some(OFFLINE) {
            (None, summary::without_model(&plan))
        } else {
            match self.ask_for_summary(chosen, budget, &plan, focus)? {
                Ok(answer) => (Some(chosen.name.clone()), summary::parse(&answer, &mut plan.user_messages)),
                Err(fault) => {
                    let (world, session) = (&self.workspace.world, &self.lane.name);
                    world.say(&format!("{session}: no summary by a model, so one is made without it: {fault}"));
                    (None, summary::without_model(&plan))
                }
            }
        };
        let compacted = plan.compacted(&self.secrets.hide(summary));
        let (at, id) = (self.now(), self.event.id.clone());
        let (recent, turn) = (plan.recent, plan.turn);
        Ok(CompactRecord {
            at,
            id,
            why,
            model,
            compacted,
            recent,
            turn,
            before: [0; 2],
            after: [0; 2],
            window: None,
            taint: self.state.taint.clone(),
            count: None,
        })
    }

    /// Asks the model for a summary; if the request is too long, for one of half as much. The inner error concerns only
    /// the summary, which is then made without a model; the outer one concerns the turn.
    fn ask_for_summary(
        &self,
        chosen: &ResolvedModel,
        budget: &WindowBudget,
        plan: &Plan,
        focus: Option<&str>,
    ) -> Result<Result<String>> {
        let answer = budget.gauge.tokens(plan.rooms[1]) + THOUGHT;
        let answer = chosen.model.max_tokens.map_or(answer, |most| answer.min(u64::from(most)));
        let mut room = budget.gauge.estimate(budget.limit.saturating_sub(answer).max(budget.window / 4));
        let mut left = TRIES;
        loop {
            let request = Request {
                model: chosen.model.model.clone(),
                temperature: chosen.model.temperature,
                max_tokens: u32::try_from(answer).ok(),
                ..summary::request(plan, focus, room)
            };
            left -= 1;
            match self.ask_once(chosen, &request)? {
                Err(fault) if fault.cause == Some(Cause::Overflow) && left > 0 => room /= 2,
                other => return Ok(other.map(|reply| reply.content)),
            }
        }
    }

    fn ask_once(&self, chosen: &ResolvedModel, request: &Request) -> Result<Result<Reply>> {
        let call = meter::MeteredCall {
            workspace: self.workspace,
            event: &self.event.id,
            step: STEP + self.state.steps.len(),
            lane: self.lane,
            agent: &self.agent,
            chosen,
            request,
            may_recall: false,
            is_interactive: self.interactive.is_some(),
        };
        let (answer, charge) = call.send(&self.cancel, &mut |_| {})?;
        match answer {
            Ok(reply) if reply.content.trim().is_empty() => {
                Ok(Err(Fault::new(Kind::Unavailable, format!("model {}: its summary is empty", chosen.name))))
            }
            Err(fault) if self.cancel.is_cancelled() || blocks_the_turn(&fault, charge) => Err(fault),
            other => Ok(other),
        }
    }
}

/// Whether the next request of the turn would fail too, so that a summary without a model does not help: the model is
/// unreachable, or asks to wait.
fn blocks_the_turn(fault: &Fault, charge: Charge) -> bool {
    match fault.kind {
        Kind::Spent | Kind::Later | Kind::Machine | Kind::Closed | Kind::Config => true,
        Kind::Unavailable => charge == Charge::Nothing,
        _ => false,
    }
}
