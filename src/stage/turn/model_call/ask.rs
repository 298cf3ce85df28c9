//! Calls the agent's model, or one of its fallbacks: the models that its settings list under `fallback`, in that order.
//! The change of model is reported on stderr and written to the journal.

use crate::core::config::OFFLINE;
use crate::core::config::resolved_model::ResolvedModel;
use crate::core::event::dispatch::Requester;
use crate::core::event::retry;
use crate::core::event::scheduled::Scheduled;
use crate::core::fault::{Cause, Fault, Kind, Result};
use crate::stage::turn::active_turn::Turn;
use crate::stage::turn::progress::Progress;
use crate::store::lock::slots::{Group, Reservations, Slots, SlotsTaken};
use jiff::SignedDuration;
use std::time::{Duration, Instant};

/// The timeout of a call if the model's settings have none.
const TIMEOUT: SignedDuration = SignedDuration::from_mins(10);

impl Turn<'_> {
    /// Calls the model or a fallback, and writes the reply to the log. While a user waits at a terminal, a busy service
    /// is asked again after a moment.
    pub(crate) fn call_model(&mut self, is_last: bool) -> Result<()> {
        let chosen = self.choose()?;
        let (mut retries, mut waited) = (0, 0);
        loop {
            let mut fault = match self.call_any(&chosen, is_last) {
                Err(fault) if self.is_awaited() && !self.has_shown_text => fault,
                other => return other,
            };
            let Some(Cause::Busy(status)) = fault.cause else { return Err(fault) };
            retries += 1;
            let left = self.deadline.saturating_duration_since(Instant::now());
            let pause = retry::patient(retries, waited, fault.after);
            let Some(seconds) = pause.filter(|seconds| Duration::from_secs(*seconds) < left) else {
                if let Some(seconds) = fault.after.filter(|seconds| *seconds > 0) {
                    fault.hint.get_or_insert_with(|| format!("try again in {seconds} s"));
                }
                return Err(fault);
            };
            waited += seconds;
            self.report_progress(Progress::Retry(seconds, status));
            // A cassette does not become less busy.
            if !chosen.is_free() {
                self.cancel.sleep(Duration::from_secs(seconds));
            }
            if self.cancel.is_cancelled() {
                return Err(fault);
            }
        }
    }

    /// Whether a user at a terminal waits for this turn, or for a turn that waits for it.
    fn is_awaited(&self) -> bool {
        self.interactive.is_some() || Requester::of(self.event).is_some_and(|requester| requester.is_interactive)
    }

    /// Calls the model, then its fallbacks. If all fail, the first one's failure decides whether the event is retried.
    fn call_any(&mut self, chosen: &ResolvedModel, is_last: bool) -> Result<()> {
        self.has_shown_text = false;
        let mut fault = match self.call_one(chosen, None, is_last) {
            Err(fault) if may_fall_back(&fault) && !chosen.model.fallback.is_empty() => fault,
            other => return other,
        };
        let mut last = fault.message.clone();
        for name in &chosen.model.fallback {
            // Text that was shown at the terminal cannot be withdrawn, and a turn that must end needs no other model.
            if self.has_shown_text || self.cancel.is_cancelled() || self.deadline <= Instant::now() {
                break;
            }
            match self.call_fallback(chosen, name, &last, is_last) {
                Ok(()) => return Ok(()),
                // A disk error concerns all models, and so does a budget.
                Err(other) if matches!(other.kind, Kind::Machine | Kind::Spent) => return Err(other),
                Err(other) => {
                    fault.message = format!("{}; {}", fault.message, other.message);
                    last = other.message;
                }
            }
        }
        Err(fault)
    }

    /// The model to call: the terminal's choice, the event's, or the agent's.
    pub(crate) fn choose(&self) -> Result<ResolvedModel> {
        let workspace = self.workspace;
        let wanted = self.event.meta.get("model").and_then(|m| m.as_str());
        let wanted = self.interactive.and_then(|interactive| interactive.model).or(wanted);
        let chosen = workspace.config()?.resolve_model(&self.agent, wanted)?;
        workspace.permit_model(&chosen)?;
        // A user sees that no model is set up; the reader of a report would take the answer for one.
        if chosen.model.provider.as_deref() == Some(OFFLINE) && wanted.is_none() && Scheduled::of(self.event).is_some()
        {
            return Err(Fault::config("no model is set up for scheduled jobs, and the offline one is none")
                .hint("set `model:` in claw.yaml, in the AGENT.md or in the CRON.md"));
        }
        Ok(chosen)
    }

    /// Calls this model, `instead_of` the first one, and writes the reply to the log. A request that the server refuses
    /// as too long is compacted and sent once more; after an empty answer the same request is sent once more.
    pub(crate) fn call_one(&mut self, chosen: &ResolvedModel, instead_of: Option<&str>, is_last: bool) -> Result<()> {
        let mut chosen = chosen.clone();
        // The call ends when the turn must end.
        let left = self.deadline.saturating_duration_since(Instant::now());
        let left = SignedDuration::try_from(left).unwrap_or(SignedDuration::MAX);
        if left < chosen.model.timeout.unwrap_or(TIMEOUT) {
            chosen.model.timeout = Some(left);
        }
        let request = self.request(&chosen, is_last)?;
        let refused = match self.send(&chosen, instead_of, &request) {
            Err(fault) if fault.cause == Some(Cause::Empty) => return self.send(&chosen, instead_of, &request),
            Err(fault) => fault,
            done => return done,
        };
        if !self.overflowed(&chosen, &request, &refused)? {
            return Err(refused);
        }
        let request = self.request(&chosen, is_last)?;
        self.send(&chosen, instead_of, &request)
    }

    fn call_fallback(&mut self, first: &ResolvedModel, name: &str, why: &str, is_last: bool) -> Result<()> {
        let workspace = self.workspace;
        let chosen = workspace.config()?.resolve_model(&self.agent, Some(name))?;
        workspace.permit_model(&chosen)?;
        let groups: Vec<Group> = chosen.slots().into_iter().collect();
        // A process waits for slots only while it holds none, to exclude deadlocks; this turn holds some.
        let SlotsTaken::All(_slots) = Slots::attempt(workspace, &groups, &Reservations::default())? else {
            return Err(Fault::new(Kind::Later, format!("model {name}: all of its slots are taken")));
        };
        workspace.world.say(&format!("{why}; asking {name} instead"));
        self.call_one(&chosen, Some(&first.name), is_last)
    }
}

/// Whether a fallback is tried: not if the request itself is invalid or too long.
fn may_fall_back(fault: &Fault) -> bool {
    matches!(fault.kind, Kind::Unavailable | Kind::Later) || matches!(fault.cause, Some(Cause::Refused | Cause::Empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fallback_is_tried_if_a_model_is_unreachable_refuses_or_is_empty() {
        let fault = |kind| Fault::new(kind, "x");
        for kind in [Kind::Unavailable, Kind::Later] {
            assert!(may_fall_back(&fault(kind)));
        }
        assert!(may_fall_back(&Fault::config("x").cause(Cause::Refused)));
        assert!(may_fall_back(&fault(Kind::Failed).cause(Cause::Empty)));
        assert!(!may_fall_back(&Fault::config("x")), "wrong settings are reported, not bypassed");
        assert!(!may_fall_back(&fault(Kind::Failed).cause(Cause::Overflow)));
        for kind in [Kind::Failed, Kind::Spent, Kind::Machine, Kind::Data] {
            assert!(!may_fall_back(&fault(kind)));
        }
    }
}
