//! The audit of a ledger: every due instant is computed again from the schedules that were in force, and must have one
//! record.

use crate::core::crons::choose::ON_TIME;
use crate::core::crons::line::CronLine;
use crate::core::crons::state::JobState;
use crate::core::crons::terms::SeenSchedule;
use crate::core::schedule::Timing;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};

/// The result of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// The due instants.
    pub due: u64,
    /// Those that ran, or wait for the end of the present run.
    pub ran: u64,
    /// Those that were missed, with a reason.
    pub missed: u64,
    /// Those at which the job was paused, disabled, gone or changed.
    pub excused: u64,
    /// Those of the last ten minutes that were not looked at yet.
    pub pending: u64,
    /// Those without a record.
    pub missing: Vec<Timestamp>,
    /// Those that ran twice.
    pub twice: Vec<Timestamp>,
    /// Those that cannot be judged, because the data of their zone have changed since.
    pub unknown: Vec<Timestamp>,
}

impl Audit {
    /// Whether every due instant has one record.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.missing.is_empty() && self.twice.is_empty()
    }
}

/// The rules of a zone today, and a mark of its data; `None` if there is no such zone any more.
pub type FindZone<'a> = &'a dyn Fn(&str) -> Option<(TimeZone, String)>;

/// Reads a ledger line by line, oldest first.
#[derive(Debug, Default)]
pub struct Auditor {
    state: JobState,
    /// How often each instant ran.
    ran: BTreeMap<Timestamp, u32>,
    /// Ranges of missed instants, both ends included.
    missed: Vec<(Timestamp, Timestamp)>,
    /// Ranges (without their start) in which nothing was due.
    excused: Vec<(Timestamp, Timestamp)>,
    /// The schedules that were in force, each with its end.
    past: Vec<(SeenSchedule, Timestamp)>,
    /// The instant after which the one-off job of the schedule in force was over.
    over: BTreeMap<Timestamp, Timestamp>,
}

impl Auditor {
    /// Takes the next line.
    pub fn add(&mut self, line: &CronLine) {
        let (before, until) = (self.state.seen.clone(), self.state.until);
        let excuse = |to: Timestamp| until.map(|from| (from, to));
        match line {
            CronLine::Fired { due, by_hand: false, .. } => {
                *self.ran.entry(*due).or_default() += 1;
                if let Some(seen) = before.as_ref().filter(|seen| seen.one_off) {
                    self.over.entry(seen.since).or_insert(*due);
                }
            }
            CronLine::Queued { due, .. } => {
                self.ran.entry(*due).or_default();
            }
            CronLine::Missed { due, to, .. } => self.missed.push((*due, to.unwrap_or(*due))),
            CronLine::Seen { at, .. } | CronLine::Gone { at } => {
                self.past.extend(before.clone().filter(|_| !self.state.is_gone).map(|seen| (seen, *at)));
                self.excused.extend(excuse(*at));
            }
            CronLine::Resumed { at } | CronLine::Enabled { at } => self.excused.extend(excuse(*at)),
            _ => {}
        }
        // The line may repeat the sum of lines that are known already.
        if !matches!(line, CronLine::State(_)) {
            self.state.add(line);
        }
    }

    /// Judges all instants from `since` until `now`. With `is_idle` the job cannot run at present: its file is invalid
    /// or gone.
    #[must_use]
    pub fn finish(mut self, since: Timestamp, now: Timestamp, is_idle: bool, find_zone: FindZone) -> Audit {
        let until = self.state.until;
        let is_idle = is_idle || self.state.paused.is_some() || self.state.is_disabled;
        let end = until.filter(|_| is_idle).map(|until| (until, now));
        self.excused.extend(end);
        let last = self.state.seen.clone().filter(|_| !self.state.is_gone);
        let all = std::mem::take(&mut self.past).into_iter().chain(last.map(|seen| (seen, now)));
        let twice = self.ran.iter().filter(|(due, count)| **count > 1 && **due >= since);
        let mut audit = Audit { twice: twice.map(|(due, _)| *due).collect(), ..Audit::default() };
        let mut seen = BTreeSet::new();
        for (schedule, to) in all {
            let Ok(timing) = schedule.timing.parse::<Timing>() else { continue };
            let Some((zone, data)) = find_zone(&schedule.zone) else { continue };
            let is_same = data == schedule.data;
            for due in timing.due(&zone, schedule.since, schedule.after, to.min(now)) {
                let is_over = self.over.get(&schedule.since).is_some_and(|last| due > *last);
                if due >= since && !is_over && seen.insert(due) {
                    self.judge(due, now, is_same, &mut audit);
                }
            }
        }
        audit
    }

    fn judge(&self, due: Timestamp, now: Timestamp, is_same: bool, audit: &mut Audit) {
        audit.due += 1;
        if self.ran.contains_key(&due) {
            audit.ran += 1;
        } else if self.missed.iter().any(|(from, to)| *from <= due && due <= *to) {
            audit.missed += 1;
        } else if self.excused.iter().any(|(from, to)| *from < due && due <= *to) {
            audit.excused += 1;
        } else if !is_same {
            audit.unknown.push(due);
        } else if self.state.until < Some(due) && now.duration_since(due) <= ON_TIME {
            audit.pending += 1;
        } else {
            audit.missing.push(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::crons::terms::{MissedReason, PauseReason};
    use crate::core::event::id::Id;

    fn at(text: &str) -> Timestamp {
        format!("2026-03-{text}Z").parse().unwrap()
    }

    fn seen(timing: &str, now: &str) -> CronLine {
        let (timing, zone, data) = (timing.to_owned(), "UTC".to_owned(), String::new());
        let schedule = SeenSchedule { timing, zone, data, one_off: false, since: at(now), after: at(now) };
        CronLine::Seen { at: at(now), schedule }
    }

    fn fired(due: &str) -> CronLine {
        let event = Id::parse("20260302T073700.000000Z-j").unwrap();
        CronLine::Fired { at: at(due), due: at(due), event, session: String::new(), not_before: None, by_hand: false }
    }

    fn missed(due: &str, to: &str) -> CronLine {
        CronLine::Missed { at: at(to), due: at(due), to: Some(at(to)), count: 2, why: MissedReason::Late }
    }

    /// Counts of due, ran, missed, excused, pending; the missing days; the days that ran twice.
    fn audit(lines: &[CronLine], now: &str) -> ([u64; 5], Vec<i8>, Vec<i8>) {
        let mut auditor = Auditor::default();
        for line in lines {
            auditor.add(line);
        }
        let find = |_: &str| Some((TimeZone::UTC, String::new()));
        let audit = auditor.finish(Timestamp::MIN, at(now), false, &find);
        let days = |all: &[Timestamp]| all.iter().map(|due| TimeZone::UTC.to_datetime(*due).day()).collect();
        let counts = [audit.due, audit.ran, audit.missed, audit.excused, audit.pending];
        (counts, days(&audit.missing), days(&audit.twice))
    }

    #[test]
    fn every_instant_has_a_record() {
        let daily = "0 7 * * *";
        let lines = [seen(daily, "01T08:00"), fired("02T07:00"), missed("03T07:00", "04T07:00"), fired("05T07:00")];
        assert_eq!(audit(&lines, "05T08:00"), ([4, 2, 2, 0, 0], vec![], vec![]));
        assert_eq!(audit(&lines, "06T07:05"), ([5, 2, 2, 0, 1], vec![], vec![]));
        assert_eq!(audit(&lines, "06T07:11"), ([5, 2, 2, 0, 0], vec![6], vec![]), "claw did not run");
        let mut holed = lines.to_vec();
        holed.remove(2);
        assert_eq!(audit(&holed, "05T08:00").1, [3, 4]);
        holed.push(fired("05T07:00"));
        assert_eq!(audit(&holed, "05T08:00").2, [5]);
    }

    #[test]
    fn pauses_and_changes_are_records() {
        let daily = "0 7 * * *";
        let mut lines = vec![seen(daily, "01T08:00"), fired("02T07:00")];
        lines.push(CronLine::Paused { at: at("02T08:00"), why: PauseReason::Owner });
        assert_eq!(audit(&lines, "04T08:00"), ([3, 1, 0, 2, 0], vec![], vec![]));
        lines.push(CronLine::Resumed { at: at("04T08:00") });
        assert_eq!(audit(&lines, "05T08:00"), ([4, 1, 0, 2, 0], vec![5], vec![]));
        // The change came before the next look.
        lines.push(seen("0 9 * * *", "05T08:00"));
        assert_eq!(audit(&lines, "05T08:30"), ([4, 1, 0, 3, 0], vec![], vec![]));
        lines.push(fired("05T09:00"));
        lines.push(CronLine::Gone { at: at("05T10:00") });
        assert_eq!(audit(&lines, "09T08:30"), ([5, 2, 0, 3, 0], vec![], vec![]));
    }
}
