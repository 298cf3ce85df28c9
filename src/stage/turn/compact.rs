//! Compaction at work: before a request leaves that would not fit, and when somebody says `/compact`. What comes
//! of it is a line in the session's log, synced before a request relies on it; until the next such line the model
//! is sent the same list, longer by what is new. Where no model can write the summary, one is made without it.

use crate::core::config::OFFLINE;
use crate::core::config::resolved_model::ResolvedModel;
use crate::core::context::compact::{self, Plan, Room};
use crate::core::context::summary;
use crate::core::fault::{Fault, Kind, Mark, Result};
use crate::core::model::context_window;
use crate::core::model::tokens::{self, Gauge};
use crate::core::model::{Reply, Request};
use crate::core::session::compaction::{CompactRecord, CompactedTurn, LearnedWindow, Why};
use crate::core::session::record::Record;
use crate::core::turn::Replay;
use crate::provider::Charge;
use crate::stage::turn::active_turn::Turn;
use crate::stage::turn::model_call::meter;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::Mailbox;

/// Requests for one summary, each half as long as the one before.
const TRIES: u32 = 3;
/// In the ledger a summary is a step beyond all others.
const STEP: usize = 1_000_000;
/// What a model may write for a summary, beside the summary itself, in tokens.
const THOUGHT: u64 = 512;

/// A model's window, and what of it is whose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowBudget {
    /// All of it, in tokens.
    pub(crate) window: u64,
    /// How that is known.
    pub(crate) source: &'static str,
    /// Where a conversation is made shorter, in tokens.
    pub(crate) limit: u64,
    /// How estimates become its tokens.
    pub(crate) gauge: Gauge,
    /// The prompt and the tools, by the estimate.
    pub(crate) fixed: usize,
}

impl WindowBudget {
    pub(crate) fn of(workspace: &Workspace, chosen: &ResolvedModel, state: &Replay, fixed: usize) -> Result<Self> {
        let (mut window, mut source) = chosen.model.window();
        if let Some(learned) = state.learned(&chosen.name).filter(|learned| *learned < window) {
            (window, source) = (learned, "by its server's word");
        }
        let share = workspace.config()?.compact.of(window);
        // An answer of the length that was set up for must fit beside it, unless that is most of the window.
        let answer = chosen.model.max_tokens.map_or(0, u64::from).min(window / 2);
        let limit = share.min(window - answer);
        Ok(Self { window, source, limit, gauge: Gauge::of(&chosen.name, state.count.as_ref()), fixed })
    }

    /// The tokens of a request with these messages.
    pub(crate) fn tokens(&self, messages: usize) -> u64 {
        self.gauge.tokens(self.fixed + messages)
    }

    fn room(&self) -> Room {
        let estimate = |tokens| self.gauge.estimate(tokens);
        // Where the prompt alone takes it all, the provider has the word.
        let limit = estimate(self.limit).saturating_sub(self.fixed).max(estimate(self.window / 8));
        Room { limit, keep: estimate(self.window / 5) }
    }
}

/// What became of `/compact`, or that there was nothing to gain.
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
    /// Makes room for the next request, if it needs any.
    pub(crate) fn make_room(&mut self, chosen: &ResolvedModel, fixed: usize) -> Result<()> {
        let measure = WindowBudget::of(self.workspace, chosen, &self.state, fixed)?;
        let room = measure.room();
        self.compact(chosen, measure, room, Why::Share, None).map(drop)
    }

    /// Makes room because the model's server refused the request as too long; false where it cannot.
    pub(crate) fn overflowed(&mut self, chosen: &ResolvedModel, request: &Request, fault: &Fault) -> Result<bool> {
        if fault.mark != Some(Mark::Overflow) {
            return Ok(false);
        }
        let fixed = tokens::fixed(&request.system, &request.tools);
        let measure = WindowBudget::of(self.workspace, chosen, &self.state, fixed)?;
        let sent = tokens::messages(&request.messages);
        // Whatever it reads at most, it is less than this.
        let over = measure.tokens(sent) * 9 / 10;
        let window = context_window::named(&fault.message).unwrap_or(over).min(over).min(measure.window);
        let learned = LearnedWindow { model: chosen.name.clone(), tokens: window };
        let limit = self.workspace.config()?.compact.of(window);
        let measure = WindowBudget { window, limit: limit.min(measure.limit), ..measure };
        let room = Room { limit: measure.room().limit.min(sent * 2 / 3), ..measure.room() };
        self.compact(chosen, measure, room, Why::Overflow, Some(learned))
    }

    /// Does what `/compact` says, and returns the answer. The line of an earlier worker is not made again.
    pub(crate) fn compact_now(&mut self, focus: Option<&str>) -> Result<String> {
        let is_done = |turn: &Self| turn.state.compact.as_ref().is_some_and(|compact| compact.id == turn.event.id);
        if !is_done(self) {
            let chosen = self.choose()?;
            let (system, _) = self.system()?;
            let fixed = tokens::fixed(&system, self.tools.iter().map(|tool| &tool.spec));
            let measure = WindowBudget::of(self.workspace, &chosen, &self.state, fixed)?;
            let talk = self.state.talk(None, &[]);
            let size = talk.size();
            if let Some(plan) = compact::plan(&talk, measure.room(), Why::Asked) {
                let made = self.summarise(&chosen, &measure, plan, Why::Asked, focus)?;
                self.relied_on(&measure, made, size, None)?;
            }
        }
        Ok(describe(self.state.compact.as_ref().filter(|_| is_done(self))))
    }

    fn compact(
        &mut self,
        chosen: &ResolvedModel,
        measure: WindowBudget,
        room: Room,
        why: Why,
        learned: Option<LearnedWindow>,
    ) -> Result<bool> {
        let (question, turn) = (self.state.question(&self.event.content), self.state.turn());
        let talk = self.state.talk(Some(&question), &turn);
        let Some(plan) = compact::plan(&talk, room, why) else { return Ok(false) };
        let size = talk.size();
        let made = self.summarise(chosen, &measure, plan, why, None)?;
        self.relied_on(&measure, made, size, learned).map(|()| true)
    }

    /// Writes down what is sent from here on, before anything relies on it.
    fn relied_on(
        &mut self,
        measure: &WindowBudget,
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
            past: Some(&made.past),
            history: &made.kept,
            question,
            turn: &begun.messages,
            steps: begun.steps,
        };
        let size = |(count, estimated): (usize, usize)| [count as u64, measure.tokens(estimated)];
        (made.before, made.after) = (size(before), size(talk.size()));
        self.log.append(&[Record::Compact(Box::new(made.clone()))])?;
        self.log.commit()?;
        let line = JournalLine {
            tokens: Some([made.before[1], made.after[1]]),
            why: made.model.clone().unwrap_or_else(|| "without a model".to_owned()),
            lane: self.lane.name.clone(),
            ..JournalLine::about(Mailbox::Inbox, "compact", &self.event.id)
        };
        self.state.compacted(made);
        journal::write(self.workspace, line);
        Ok(())
    }

    /// Carries a plan out: with a summary by the model, or with one of our own.
    fn summarise(
        &self,
        chosen: &ResolvedModel,
        measure: &WindowBudget,
        mut plan: Plan,
        why: Why,
        focus: Option<&str>,
    ) -> Result<CompactRecord> {
        let (model, summary) = if plan.gone.is_empty() {
            (None, plan.earlier.clone())
        } else if chosen.model.provider.as_deref() == Some(OFFLINE) {
            (None, summary::local(&plan))
        } else {
            match self.ask_for_summary(chosen, measure, &plan, focus)? {
                Ok(answer) => (Some(chosen.name.clone()), summary::read(&answer, &mut plan.said)),
                Err(fault) => {
                    let (world, session) = (&self.workspace.world, &self.lane.name);
                    world.say(&format!("{session}: no summary by a model, so one is made without it: {fault}"));
                    (None, summary::local(&plan))
                }
            }
        };
        let past = plan.past(&self.secrets.hide(summary));
        let (at, id) = (self.now(), self.event.id.clone());
        let (kept, turn) = (plan.kept, plan.turn);
        Ok(CompactRecord {
            at,
            id,
            why,
            model,
            past,
            kept,
            turn,
            before: [0; 2],
            after: [0; 2],
            window: None,
            count: None,
        })
    }

    /// Asks the model for a summary; if even that is too long for it, for one of half as much. The inner failure
    /// is the summary's own.
    fn ask_for_summary(
        &self,
        chosen: &ResolvedModel,
        measure: &WindowBudget,
        plan: &Plan,
        focus: Option<&str>,
    ) -> Result<Result<String>> {
        let answer = measure.gauge.tokens(plan.rooms[1]) + THOUGHT;
        let answer = chosen.model.max_tokens.map_or(answer, |most| answer.min(u64::from(most)));
        let mut room = measure.gauge.estimate(measure.limit.saturating_sub(answer).max(measure.window / 4));
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
                Err(fault) if fault.mark == Some(Mark::Overflow) && left > 0 => room /= 2,
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

/// Whether a failure is none of the summary's own: the request behind it would have it too, as where the model
/// cannot be reached at all, or asks us to wait.
fn blocks_the_turn(fault: &Fault, charge: Charge) -> bool {
    match fault.kind {
        Kind::Spent | Kind::Later | Kind::Machine | Kind::Closed | Kind::Config => true,
        Kind::Unavailable => charge == Charge::Nothing,
        _ => false,
    }
}
