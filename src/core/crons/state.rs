//! The state of a job: the sum of its ledger's lines.

use crate::core::crons::line::{CronLine, MissedReason, Outcome, PauseReason, SeenSchedule};
use crate::core::event::id::Id;
use crate::core::event::origin::Origin;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The state of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
    pub how: Outcome,
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

impl JobState {
    /// The state after another line.
    pub fn add(&mut self, line: &CronLine) {
        match line {
            CronLine::Seen { schedule, .. } => self.see(schedule),
            CronLine::Fired { due, event, session, by_hand, .. } => {
                self.queued.retain(|queued| queued != due);
                let (event, session) = (event.clone(), session.clone());
                if self.open.iter().all(|run| run.event != event) {
                    self.open.push(OpenRun { event, due: *due, session, is_outdated: false });
                }
                if !by_hand {
                    self.has_fired = true;
                    self.until = self.until.max(Some(*due));
                    self.ran_to = self.ran_to.max(Some(*due));
                }
            }
            CronLine::Queued { due, .. } => {
                self.queued.push(*due);
                self.until = self.until.max(Some(*due));
                self.ran_to = self.ran_to.max(Some(*due));
            }
            CronLine::Missed { due, to, count, why, .. } => {
                let last = to.unwrap_or(*due);
                self.until = self.until.max(Some(last));
                self.missed_to = self.missed_to.max(Some(last));
                self.misses = self.misses.saturating_add(*count);
                self.last_miss = Some(LastMiss { due: last, why: *why });
            }
            CronLine::Repeated { due, .. } => self.until = self.until.max(Some(*due)),
            CronLine::Outcome { at, event, how, why } => self.end(*at, event, *how, why.clone()),
            CronLine::Told { .. } => self.is_told = true,
            CronLine::Paused { at, why } => self.paused = Some((*why, *at)),
            CronLine::Resumed { at } => {
                (self.paused, self.failures) = (None, 0);
                self.until = Some(*at);
            }
            CronLine::Disabled { .. } => self.is_disabled = true,
            CronLine::Enabled { at } => {
                self.is_disabled = false;
                self.until = Some(*at);
            }
            CronLine::Gone { .. } => self.is_gone = true,
            CronLine::Back { at } => {
                self.until = Some(*at);
                self.missed_to = None;
            }
            CronLine::Made { by, origin, place, .. } => {
                self.maker = Some(Maker { agent: by.clone(), origin: origin.clone(), place: place.clone() });
            }
            CronLine::State(state) => *self = (**state).clone(),
            CronLine::Unknown => {}
        }
    }

    fn see(&mut self, schedule: &SeenSchedule) {
        let is_same = |old: &SeenSchedule| old.timing == schedule.timing && old.since == schedule.since;
        if self.is_gone || !self.seen.as_ref().is_some_and(is_same) {
            self.has_fired = false;
            self.queued.clear();
            self.open.iter_mut().for_each(|run| run.is_outdated = true);
            if let Some(last) = &mut self.last {
                last.is_outdated = true;
            }
        }
        self.is_gone = false;
        self.until = Some(schedule.after);
        self.seen = Some(schedule.clone());
    }

    fn end(&mut self, at: Timestamp, event: &Id, how: Outcome, why: Option<String>) {
        let open = self.open.iter().position(|run| run.event == *event).map(|at| self.open.remove(at));
        let is_outdated = match (&open, &self.last) {
            (Some(run), _) => run.is_outdated,
            (None, Some(last)) if last.event == *event => last.is_outdated,
            (None, _) => false,
        };
        match how {
            Outcome::Done | Outcome::Quiet => (self.failures, self.is_told) = (0, false),
            Outcome::Failed => self.failures = self.failures.saturating_add(1),
            Outcome::Discarded | Outcome::Other => {}
        }
        self.last = Some(EndedRun { event: event.clone(), at, how, why, is_outdated });
    }

    /// Whether the clock may have been set back behind an instant that has run, so that the instants after `until` must
    /// be looked up in the ledger.
    #[must_use]
    pub fn must_look_back(&self) -> bool {
        self.ran_to > self.until
    }
}
