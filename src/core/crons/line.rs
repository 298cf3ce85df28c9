//! The lines of a job's ledger. Unknown kinds of lines are skipped, so that an older program reads the ledger of a newer
//! one.

use crate::core::crons::state::JobState;
use crate::core::crons::terms::{MissedReason, PauseReason, RunOutcome, SeenSchedule};
use crate::core::event::id::Id;
use crate::core::event::origin::Origin;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A line of `.claw/crons/<id>.jsonl`. `at` is the time of writing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "lowercase")]
pub enum CronLine {
    /// The schedule in force from here on.
    Seen {
        /// The time of writing.
        at: Timestamp,
        /// The schedule.
        #[serde(flatten)]
        schedule: SeenSchedule,
    },
    /// An instant runs: its event was published before.
    Fired {
        /// The time of writing.
        at: Timestamp,
        /// The instant; of a run by hand the time of the command.
        due: Timestamp,
        /// The event.
        event: Id,
        /// The session of the run.
        session: String,
        /// Its start is put off until then, because many runs are late.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<Timestamp>,
        /// The owner ran the job by hand, which does not move the schedule.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_hand: bool,
    },
    /// An instant waits for the end of the job's present run.
    Queued {
        /// The time of writing.
        at: Timestamp,
        /// The instant.
        due: Timestamp,
    },
    /// An instant did not run, or several in a row.
    Missed {
        /// The time of writing.
        at: Timestamp,
        /// The first instant.
        due: Timestamp,
        /// The last instant, if there are several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Timestamp>,
        /// The number of instants, at most [`MAX_COUNTED`].
        #[serde(default = "one", skip_serializing_if = "is_one")]
        count: u64,
        /// The reason.
        why: MissedReason,
    },
    /// An instant came again after the clock was set back; it had run before.
    Repeated {
        /// The time of writing.
        at: Timestamp,
        /// The instant.
        due: Timestamp,
    },
    /// A run has ended.
    Outcome {
        /// The time of writing.
        at: Timestamp,
        /// The event.
        event: Id,
        /// How it has ended.
        how: RunOutcome,
        /// The reason of a failure.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// The owner was told of failures in a row.
    Told {
        /// The time of writing.
        at: Timestamp,
    },
    /// The job is paused until it is resumed.
    Paused {
        /// The time of writing.
        at: Timestamp,
        /// The reason.
        why: PauseReason,
    },
    /// The job is no longer paused. Nothing earlier is due.
    Resumed {
        /// The time of writing.
        at: Timestamp,
    },
    /// The file says `enabled: false`.
    Disabled {
        /// The time of writing.
        at: Timestamp,
    },
    /// The file no longer says so. Nothing earlier is due.
    Enabled {
        /// The time of writing.
        at: Timestamp,
    },
    /// The job's folder is gone.
    Gone {
        /// The time of writing.
        at: Timestamp,
    },
    /// The clock was set back. Missed instants that are in the future again count as not looked at.
    Back {
        /// The time of writing.
        at: Timestamp,
    },
    /// An agent has written the job's file.
    Made {
        /// The time of writing.
        at: Timestamp,
        /// The agent.
        by: String,
        /// The origin of the turn that wrote it.
        #[serde(default, skip_serializing_if = "Origin::is_default")]
        origin: Origin,
        /// The place where the agent was asked, as an address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<String>,
    },
    /// A mark of everything that the beat behind it looks at.
    Beat {
        /// The time of writing.
        at: Timestamp,
        /// The mark.
        mark: String,
    },
    /// The owner has approved the command in `if`.
    Approved {
        /// The time of writing.
        at: Timestamp,
        /// The hash of the command, its agent and the files that it names.
        hash: String,
    },
    /// The sum of all lines before, so that a reader needs only the end of the file.
    State(Box<JobState>),
    /// A line of a newer program.
    #[serde(other)]
    Unknown,
}

/// The most instants of one line that are counted.
pub const MAX_COUNTED: u64 = 1000;

fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_one(n: &u64) -> bool {
    *n == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_flat_json_and_an_unknown_kind_is_skipped() {
        let at = Timestamp::UNIX_EPOCH;
        let schedule = SeenSchedule {
            timing: "schedule 0 7 * * *".into(),
            zone: "UTC".into(),
            data: String::new(),
            one_off: false,
            since: at,
            after: at,
        };
        let text = serde_json::to_string(&CronLine::Seen { at, schedule }).unwrap();
        let expected = r#"{"t":"seen","at":"1970-01-01T00:00:00Z","timing":"schedule 0 7 * * *","zone":"UTC","since":"1970-01-01T00:00:00Z","after":"1970-01-01T00:00:00Z"}"#;
        assert_eq!(text, expected);
        let missed = r#"{"t":"missed","at":"1970-01-01T00:00:00Z","due":"1970-01-01T00:00:00Z","why":"late"}"#;
        let line = CronLine::Missed { at, due: at, to: None, count: 1, why: MissedReason::Late };
        assert_eq!(serde_json::to_string(&line).unwrap(), missed);
        assert_eq!(serde_json::from_str::<CronLine>(missed).unwrap(), line);
        assert_eq!(serde_json::from_str::<CronLine>(r#"{"t":"rested","at":1}"#).unwrap(), CronLine::Unknown);
        let state = CronLine::State(Box::default());
        assert_eq!(serde_json::from_str::<CronLine>(&serde_json::to_string(&state).unwrap()).unwrap(), state);
    }
}
