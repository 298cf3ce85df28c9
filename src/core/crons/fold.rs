//! The state of a job as the sum of its ledger's lines.

use crate::core::crons::line::CronLine;
use crate::core::crons::state::{EndedRun, JobState, LastMiss, Maker, OpenRun};
use crate::core::crons::terms::{RunOutcome, SeenSchedule};
use crate::core::event::id::Id;
use jiff::Timestamp;

impl JobState {
    /// The state after another line.
    pub fn add(&mut self, line: &CronLine) {
        match line {
            CronLine::Seen { schedule, .. } => self.see(schedule),
            CronLine::Fired { due, event, session, by_hand, not_before, .. } => {
                self.queued.retain(|queued| queued != due);
                let (event, session) = (event.clone(), session.clone());
                // The end of a run is recorded before its line if a process was killed between its event and the line.
                let has_ended = self.last.as_ref().is_some_and(|last| last.event == event);
                if !has_ended && self.open.iter().all(|run| run.event != event) {
                    self.open.push(OpenRun { event, due: *due, session, not_before: *not_before, is_outdated: false });
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
                self.is_made_anew = self.is_gone;
                self.maker = Some(Maker { agent: by.clone(), origin: origin.clone(), place: place.clone() });
            }
            CronLine::Beat { mark, .. } => self.mark = Some(mark.clone()),
            CronLine::Approved { hash, .. } => self.approved = Some(hash.clone()),
            CronLine::State(state) => *self = (**state).clone(),
            CronLine::Unknown => {}
        }
    }

    fn see(&mut self, schedule: &SeenSchedule) {
        let is_same = |old: &SeenSchedule| old.timing == schedule.timing && old.since == schedule.since;
        if self.is_gone || !self.seen.as_ref().is_some_and(is_same) {
            self.has_fired = false;
            self.queued.clear();
            // A new job of the same name is the owner's, unless an agent makes it.
            if self.is_gone && !self.is_made_anew {
                self.maker = None;
            }
            self.open.iter_mut().for_each(|run| run.is_outdated = true);
            if let Some(last) = &mut self.last {
                last.is_outdated = true;
            }
        }
        (self.is_gone, self.is_made_anew) = (false, false);
        self.until = Some(schedule.after);
        self.seen = Some(schedule.clone());
    }

    fn end(&mut self, at: Timestamp, event: &Id, how: RunOutcome, why: Option<String>) {
        let open = self.open.iter().position(|run| run.event == *event).map(|at| self.open.remove(at));
        let is_outdated = match (&open, &self.last) {
            (Some(run), _) => run.is_outdated,
            (None, Some(last)) if last.event == *event => last.is_outdated,
            (None, _) => false,
        };
        match how {
            RunOutcome::Done | RunOutcome::Quiet => (self.failures, self.is_told) = (0, false),
            RunOutcome::Failed => self.failures = self.failures.saturating_add(1),
            RunOutcome::Discarded | RunOutcome::Other => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_after_the_end_of_its_run_opens_nothing() {
        let (at, event) = (Timestamp::UNIX_EPOCH, Id::parse("20261121T004130.123456Z-k7f3q9").unwrap());
        let end = CronLine::Outcome { at, event: event.clone(), how: RunOutcome::Failed, why: None };
        let session = "a.s".to_owned();
        let fired = CronLine::Fired { at, due: at, event, session, by_hand: false, not_before: None };
        let state = |lines: &[&CronLine]| {
            let mut state = JobState::default();
            for line in lines {
                state.add(line);
            }
            (state.open.len(), state.failures)
        };
        assert_eq!(state(&[&end, &fired]), (0, 1));
        assert_eq!(state(&[&fired]), (1, 0));
        assert_eq!(state(&[&fired, &end]), (0, 1));
    }
}
