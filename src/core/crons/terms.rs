//! The words of a ledger: schedules, reasons and outcomes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A schedule in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenSchedule {
    /// The schedule, as canonical text.
    pub timing: String,
    /// The zone's name.
    pub zone: String,
    /// A mark of the zone's data; it changes with them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub data: String,
    /// It is over after its first run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_off: bool,
    /// When it was first seen: an interval counts from here.
    pub since: Timestamp,
    /// Instants after this one are due.
    pub after: Timestamp,
}

/// Why an instant did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissedReason {
    /// claw did not look in time: it was stopped, or the machine was asleep.
    Late,
    /// The job's run before was not over.
    Overlap,
    /// Too many instants wait for the end of the job's run.
    Full,
    /// HEARTBEAT.md has nothing to do.
    Empty,
    /// It is outside of the heartbeat's hours.
    Inactive,
    /// A turn of the heartbeat's session runs or waits.
    Busy,
    /// Nothing has changed since the last beat.
    Unchanged,
    /// A reason of a newer program.
    #[serde(other)]
    Other,
}

impl MissedReason {
    /// The reason in a few words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Late => "claw was not running in time",
            Self::Overlap => "the run before was not over",
            Self::Full => "too many instants waited for the run before",
            Self::Empty => "HEARTBEAT.md has nothing to do",
            Self::Inactive => "outside of the active hours",
            Self::Busy => "its session was busy",
            Self::Unchanged => "nothing had changed",
            Self::Other => "a reason that this version does not know",
        }
    }
}

/// How a run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunOutcome {
    /// With an answer, or without text.
    Done,
    /// The agent had nothing to say.
    Quiet,
    /// It failed.
    Failed,
    /// The owner has ended it.
    Discarded,
    /// An outcome of a newer program.
    #[serde(other)]
    Other,
}

impl RunOutcome {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Quiet => "quiet",
            Self::Failed => "failed",
            Self::Discarded => "discarded",
            Self::Other => "other",
        }
    }

    /// Whether the run did its work.
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(self, Self::Done | Self::Quiet)
    }
}

/// Why a job is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PauseReason {
    /// The owner has paused it.
    Owner,
    /// Too many of its runs in a row have failed.
    #[serde(other)]
    Failures,
}

impl PauseReason {
    /// The reason in a few words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Owner => "by the owner",
            Self::Failures => "after ten failures in a row",
        }
    }
}
