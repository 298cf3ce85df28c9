//! The state of a job, as its ledger tells it.

use crate::core::crons::terms::{MissedReason, PauseReason, RunOutcome, SeenSchedule};
use crate::core::event::id::Id;
use crate::core::event::origin::Origin;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The state of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and in the ledger under its name")]
pub struct JobState {
    /// The schedule in force; `None`: the job was not seen yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<SeenSchedule>,
    /// Every instant up to this one has its record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The latest instant that has run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ran_to: Option<Timestamp>,
    /// The latest instant that was missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed_to: Option<Timestamp>,
    /// An instant of the schedule in force has run.
    pub has_fired: bool,
    /// The runs that have not ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<OpenRun>,
    /// The instants that wait for the end of the present run, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub queued: Vec<Timestamp>,
    /// The run that has ended last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<EndedRun>,
    /// The failures in a row.
    pub failures: u32,
    /// The owner was told of them.
    pub is_told: bool,
    /// The instants that were missed so far.
    pub misses: u64,
    /// Why an instant was missed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_miss: Option<LastMiss>,
    /// Why it is paused, and since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<(PauseReason, Timestamp)>,
    /// The file said `enabled: false`.
    pub is_disabled: bool,
    /// The folder was gone.
    pub is_gone: bool,
    /// A mark of everything that the last beat has looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// The hash of the command in `if` that the owner has approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved: Option<String>,
    /// An agent has made the job again while its folder was gone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_made_anew: bool,
    /// The agent that made the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maker: Option<Maker>,
}

/// A run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRun {
    /// The event.
    pub event: Id,
    /// The instant.
    pub due: Timestamp,
    /// The session.
    pub session: String,
    /// Its start is put off until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The schedule has changed since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_outdated: bool,
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedRun {
    /// The event.
    pub event: Id,
    /// When its outcome was recorded.
    pub at: Timestamp,
    /// How it has ended.
    pub how: RunOutcome,
    /// The reason of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The schedule had changed during the run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_outdated: bool,
}

/// The last instant that was missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastMiss {
    /// The instant.
    pub due: Timestamp,
    /// The reason.
    pub why: MissedReason,
}

/// The agent that made a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maker {
    /// Its id.
    pub agent: String,
    /// The origin of the turn that wrote the file.
    #[serde(default, skip_serializing_if = "Origin::is_default")]
    pub origin: Origin,
    /// The place where the agent was asked, as an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}
