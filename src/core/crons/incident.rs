//! Failures in a row: the owner is told once per incident, and once when the job works again. After too many the job is
//! paused.

use crate::core::crons::state::JobState;
use crate::core::crons::terms::RunOutcome;

/// The owner is told after so many failures in a row.
pub const TELL_AFTER: u32 = 2;
/// The job is paused after so many failures in a row.
pub const PAUSE_AFTER: u32 = 10;

/// The consequence of an outcome for the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// None.
    None,
    /// The owner is told that the job fails.
    Begins,
    /// The job is paused, and the owner is told.
    Pauses,
    /// The owner is told that the job works again.
    Ends,
}

/// The consequence of an outcome in this state.
#[must_use]
pub fn of(state: &JobState, how: RunOutcome) -> Incident {
    let failures = state.failures.saturating_add(1);
    match how {
        RunOutcome::Failed if failures >= PAUSE_AFTER && state.paused.is_none() => Incident::Pauses,
        RunOutcome::Failed if failures >= TELL_AFTER && !state.is_told => Incident::Begins,
        RunOutcome::Done | RunOutcome::Quiet if state.is_told => Incident::Ends,
        _ => Incident::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::crons::line::CronLine;
    use crate::core::crons::terms::PauseReason;
    use crate::core::event::id::Id;
    use jiff::Timestamp;

    #[test]
    fn owner_is_told_once_per_incident() {
        let (at, event) = (Timestamp::UNIX_EPOCH, Id::parse("20270302T073700.000000Z-j").unwrap());
        let mut state = JobState::default();
        let mut add = |how: RunOutcome| {
            let incident = of(&state, how);
            state.add(&CronLine::Outcome { at, event: event.clone(), how, why: None });
            match incident {
                Incident::Begins => state.add(&CronLine::Told { at }),
                Incident::Pauses => state.add(&CronLine::Paused { at, why: PauseReason::Failures }),
                _ => {}
            }
            incident
        };
        let failed: Vec<Incident> = (0..11).map(|_| add(RunOutcome::Failed)).collect();
        let mut expected = [Incident::None; 11];
        (expected[1], expected[9]) = (Incident::Begins, Incident::Pauses);
        assert_eq!(failed, expected);
        assert_eq!(
            [RunOutcome::Done, RunOutcome::Failed, RunOutcome::Done].map(&mut add),
            [Incident::Ends, Incident::None, Incident::None]
        );
        assert_eq!(
            [RunOutcome::Failed, RunOutcome::Discarded, RunOutcome::Failed].map(add),
            [Incident::None, Incident::None, Incident::Begins]
        );
    }
}
