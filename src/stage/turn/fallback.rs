//! Who is asked where a model cannot be reached: the models that its settings name as its fallback, in their order,
//! and nobody else. That another one answers is said, and written down.

use crate::core::config::resolved_model::ResolvedModel;
use crate::core::fault::{Cause, Fault, Kind, Result};
use crate::stage::turn::Turn;
use crate::store::lock::slots::{Group, Reservations, Slots, SlotsTaken};
use std::time::Instant;

impl Turn<'_> {
    /// Asks the model, or one that stands in for it, and writes the answer down. Where none of them answers, the
    /// first one's failure decides what becomes of the event.
    pub(crate) fn ask(&mut self, is_last: bool) -> Result<()> {
        let chosen = self.choose()?;
        self.has_spoken = false;
        let mut fault = match self.ask_one(&chosen, None, is_last) {
            Err(fault) if is_for_others(&fault) && !chosen.model.fallback.is_empty() => fault,
            other => return other,
        };
        let mut last = fault.message.clone();
        for name in &chosen.model.fallback {
            // Half an answer on a terminal cannot be taken back; and a turn that is over needs no other.
            if self.has_spoken || self.cancel.is_cancelled() || self.until <= Instant::now() {
                break;
            }
            match self.stand_in(&chosen, name, &last, is_last) {
                Ok(()) => return Ok(()),
                // Nobody can go on without the disk, and a budget is everybody's.
                Err(other) if matches!(other.kind, Kind::Machine | Kind::Spent) => return Err(other),
                Err(other) => {
                    fault.message = format!("{}; {}", fault.message, other.message);
                    last = other.message;
                }
            }
        }
        Err(fault)
    }

    fn stand_in(&mut self, first: &ResolvedModel, name: &str, why: &str, is_last: bool) -> Result<()> {
        let workspace = self.workspace;
        let chosen = workspace.config()?.resolve_model(&self.agent, Some(name))?;
        let groups: Vec<Group> = chosen.slots().into_iter().collect();
        // Whoever waits for a slot holds a lane and nothing else; this one holds slots.
        let SlotsTaken::All(_slots) = Slots::attempt(workspace, &groups, &Reservations::default())? else {
            return Err(Fault::new(Kind::Later, format!("model {name}: all of its slots are taken")));
        };
        workspace.world.say(&format!("{why}; asking {name} instead"));
        self.ask_one(&chosen, Some(&first.name), is_last)
    }
}

/// Whether another model may do better: not where the request itself is wrong, or too long.
fn is_for_others(fault: &Fault) -> bool {
    matches!(fault.kind, Kind::Unavailable | Kind::Later) || matches!(fault.cause, Some(Cause::Refused | Cause::Empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_model_is_asked_where_this_one_cannot_be_reached() {
        let fault = |kind| Fault::new(kind, "x");
        for kind in [Kind::Unavailable, Kind::Later] {
            assert!(is_for_others(&fault(kind)));
        }
        assert!(is_for_others(&Fault::config("x").cause(Cause::Refused)));
        assert!(is_for_others(&fault(Kind::Failed).cause(Cause::Empty)));
        assert!(!is_for_others(&Fault::config("x")), "what is set up wrong is put right");
        assert!(!is_for_others(&fault(Kind::Failed).cause(Cause::Overflow)));
        for kind in [Kind::Failed, Kind::Spent, Kind::Machine, Kind::Data] {
            assert!(!is_for_others(&fault(kind)));
        }
    }
}
