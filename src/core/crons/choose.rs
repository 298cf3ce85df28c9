//! The choice of the instants that run, as a pure function of a job's file, its state and the time.
//!
//! Every instant has one record: it runs, it waits for the end of the present run, or it was missed. Sleep, a stop, a
//! start of the machine and a clock that was set forward are the same case: several instants are due at once, and
//! `missed` decides.

use crate::core::crons::line::{CronLine, MAX_COUNTED};
use crate::core::crons::state::JobState;
use crate::core::crons::terms::{MissedReason, SeenSchedule};
use crate::core::definition::{Cron, Missed, Overlap};
use crate::core::schedule::Timing;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// The most missed instants that run at once.
pub const MOST: usize = 24;
/// An instant that is looked at no later than this is not missed: timers are rarely exact.
pub const ON_TIME: SignedDuration = SignedDuration::from_mins(10);
/// The longest default of `grace`.
const MAX_GRACE: SignedDuration = SignedDuration::from_hours(24);

/// A job's file and the time at which it is looked at.
pub struct Look<'a> {
    /// The file.
    pub cron: &'a Cron,
    /// The job's zone.
    pub zone: &'a TimeZone,
    /// The zone's name.
    pub zone_name: &'a str,
    /// A mark of the zone's data.
    pub zone_data: &'a str,
    /// The time.
    pub now: Timestamp,
    /// The instants after `until` that have run or wait, if [`JobState::must_look_back`].
    pub ran: &'a BTreeSet<Timestamp>,
}

/// A consequence of a look, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write this line.
    Record(CronLine),
    /// Publish the event of this instant, then write that it runs.
    Fire {
        /// The instant.
        due: Timestamp,
        /// It was missed and runs late, so that its start may be spread.
        is_late: bool,
    },
}

/// The consequences of a look at a job; none if nothing is due.
#[must_use]
pub fn choose(look: &Look, before: &JobState) -> Vec<Action> {
    let mut choice = CronChoice { look, state: before.clone(), actions: Vec::new(), is_busy: !before.open.is_empty() };
    choice.see();
    if !choice.may_run() {
        return choice.actions;
    }
    if !choice.is_busy && !choice.state.queued.is_empty() {
        choice.fire(choice.state.queued[0]);
    }
    choice.look_at_instants();
    choice.actions
}

/// The instant of the next action without a change of the file; `None` if there is none.
#[must_use]
pub fn next(look: &Look, state: &JobState) -> Option<Timestamp> {
    if !choose(look, state).is_empty() {
        return Some(look.now);
    }
    let is_over = look.cron.one_off && state.has_fired;
    if state.paused.is_some() || !look.cron.enabled || is_over {
        return None;
    }
    look.cron.timing.next(look.zone, state.seen.as_ref()?.since, state.until?)
}

/// How late the instant may run: `grace`, else the time to the next instant, at least [`ON_TIME`] and at most a day. A
/// single instant may run a day late.
#[must_use]
pub fn grace(cron: &Cron, zone: &TimeZone, since: Timestamp, due: Timestamp) -> SignedDuration {
    cron.grace.unwrap_or_else(|| match cron.timing.next(zone, since, due) {
        Some(next) => next.duration_since(due).clamp(ON_TIME, MAX_GRACE),
        None => MAX_GRACE,
    })
}

struct CronChoice<'a> {
    look: &'a Look<'a>,
    state: JobState,
    actions: Vec<Action>,
    is_busy: bool,
}

impl CronChoice<'_> {
    fn record(&mut self, line: CronLine) {
        self.state.add(&line);
        self.actions.push(Action::Record(line));
    }

    fn fire(&mut self, due: Timestamp) {
        let is_late = self.look.now.duration_since(due) > ON_TIME;
        self.actions.push(Action::Fire { due, is_late });
        self.state.queued.retain(|queued| *queued != due);
        self.state.until = self.state.until.max(Some(due));
        self.state.has_fired = true;
        self.is_busy = true;
    }

    /// Records a new or changed schedule, and a clock that was set back.
    fn see(&mut self) {
        let look = self.look;
        let Look { cron, zone, now, .. } = *look;
        let seen = self.state.seen.clone().filter(|seen| {
            let is_same = seen.timing == cron.timing_text && seen.zone == look.zone_name;
            is_same && seen.since <= now && !self.state.is_gone
        });
        let schedule = |since, after| SeenSchedule {
            timing: cron.timing_text.clone(),
            zone: look.zone_name.to_owned(),
            data: look.zone_data.to_owned(),
            one_off: cron.one_off,
            since,
            after,
        };
        match seen {
            None => {
                let at = matches!(cron.timing, Timing::At(_)).then(|| cron.timing.next(zone, now, Timestamp::MIN));
                // A single instant that has just passed is due; nothing else is.
                let before = at.flatten().filter(|at| *at <= now).map(|at| at - SignedDuration::from_nanos(1));
                let schedule = schedule(now, before.unwrap_or(now));
                self.record(CronLine::Seen { at: now, schedule });
            }
            Some(seen) if (seen.data.as_str(), seen.one_off) != (look.zone_data, cron.one_off) => {
                let schedule = schedule(seen.since, self.state.until.unwrap_or(now));
                self.record(CronLine::Seen { at: now, schedule });
            }
            Some(_) => {}
        }
        let is_ahead = self.state.until > Some(now) && self.state.ran_to < self.state.until;
        if is_ahead || self.state.missed_to > Some(now) {
            self.record(CronLine::Back { at: now });
        }
    }

    /// Whether the job may run now; records that the file has enabled or disabled it.
    fn may_run(&mut self) -> bool {
        let at = self.look.now;
        match (self.look.cron.enabled, self.state.is_disabled) {
            (false, false) => self.record(CronLine::Disabled { at }),
            (true, true) => self.record(CronLine::Enabled { at }),
            _ => {}
        }
        self.look.cron.enabled && self.state.paused.is_none()
    }

    fn look_at_instants(&mut self) {
        let Look { cron, zone, now, ran, .. } = *self.look;
        let (Some(since), Some(after)) = (self.state.seen.as_ref().map(|seen| seen.since), self.state.until) else {
            return;
        };
        if cron.one_off && self.state.has_fired {
            return;
        }
        // Most looks end here: the search from the end is many times as long.
        let Some(from) = cron.timing.next(zone, since, after).filter(|first| *first <= now) else { return };
        let due = last_instants(&cron.timing, zone, since, (after, now), MOST + 1);
        let Some(newest) = due.last().copied() else { return };
        let late = now.duration_since(newest);
        let most = match cron.missed {
            Missed::All => MOST,
            Missed::Once if late <= grace(cron, zone, since, newest) => 1,
            Missed::Skip if late <= ON_TIME.min(cron.grace.unwrap_or(ON_TIME)) => 1,
            Missed::Once | Missed::Skip => 0,
        };
        // `missed: all` is limited only by a `grace` of the file.
        let is_within = |due: &Timestamp| cron.grace.is_none_or(|grace| now.duration_since(*due) <= grace);
        let mut first = due.len() - most.min(due.len());
        while first < due.len() && !is_within(&due[first]) {
            first += 1;
        }
        let (missed, chosen) = due.split_at(first);
        let chosen = if cron.one_off { &chosen[..chosen.len().min(1)] } else { chosen };
        if let Some(last) = missed.last() {
            self.miss(since, from, *last);
        }
        let has_made_up = cron.missed == Missed::All && chosen.len() > 1;
        for at in chosen {
            let is_queued = self.is_busy && (cron.overlap == Overlap::Queue || has_made_up);
            match *at {
                due if ran.contains(&due) => self.record(CronLine::Repeated { at: now, due }),
                due if !self.is_busy => self.fire(due),
                due if is_queued && self.state.queued.len() < MOST => self.record(CronLine::Queued { at: now, due }),
                due => {
                    let why = if is_queued { MissedReason::Full } else { MissedReason::Overlap };
                    self.record(CronLine::Missed { at: now, due, to: None, count: 1, why });
                }
            }
        }
    }

    /// Records the missed instants from one to another one.
    fn miss(&mut self, since: Timestamp, from: Timestamp, last: Timestamp) {
        let Look { cron, zone, now, .. } = *self.look;
        let most = usize::try_from(MAX_COUNTED).unwrap_or(usize::MAX);
        let more = cron.timing.due(zone, since, from, last).take(most - 1).count();
        let count = more as u64 + 1;
        let to = (from < last).then_some(last);
        self.record(CronLine::Missed { at: now, due: from, to, count, why: MissedReason::Late });
    }
}

/// The last `most` instants in a range (without its start, with its end), oldest first. After a year of sleep there may
/// be half a million, so the search begins at the end.
fn last_instants(
    timing: &Timing,
    zone: &TimeZone,
    since: Timestamp,
    (after, until): (Timestamp, Timestamp),
    most: usize,
) -> Vec<Timestamp> {
    let mut width = SignedDuration::from_mins(1);
    loop {
        let from = until.checked_sub(width).map_or(after, |from| from.max(after));
        let mut found: Vec<Timestamp> = timing.due(zone, since, from, until).collect();
        if found.len() >= most || from <= after {
            return found.split_off(found.len().saturating_sub(most));
        }
        width = width.checked_mul(2).unwrap_or(SignedDuration::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::crons::terms::{PauseReason, RunOutcome};
    use crate::core::definition::cron;
    use crate::core::event::id::Id;

    fn at(text: &str) -> Timestamp {
        format!("2026-03-{text}Z").parse().unwrap()
    }

    fn cron(fields: &str) -> Cron {
        let text = format!("---\nname: j\nagent: a\n{fields}\n---\nDo it.\n");
        cron::read("j", "crons/j/CRON.md", &text, Timestamp::UNIX_EPOCH).unwrap().0
    }

    /// A job, and its state as of the lines so far.
    struct Job {
        cron: Cron,
        state: JobState,
        lines: Vec<CronLine>,
    }

    impl Job {
        fn new(fields: &str) -> Self {
            Self { cron: cron(fields), state: JobState::default(), lines: Vec::new() }
        }

        /// A job that was first seen then.
        fn seen(fields: &str, first: &str) -> Self {
            let mut job = Self::new(fields);
            assert_eq!(job.look(first), ["seen"]);
            job
        }

        fn write(&mut self, line: CronLine) {
            self.state.add(&line);
            self.lines.push(line);
        }

        fn end_all(&mut self, now: &str) {
            let open: Vec<Id> = self.state.open.iter().map(|run| run.event.clone()).collect();
            for event in open {
                self.write(CronLine::Outcome { at: at(now), event, how: RunOutcome::Done, why: None });
            }
        }

        /// Looks at the job, and describes the consequences: `run 06T07:00`, `late 1 06T07:00..`.
        fn look(&mut self, now: &str) -> Vec<String> {
            let now = at(now);
            let ran: BTreeSet<Timestamp> = self
                .lines
                .iter()
                .filter_map(|line| match line {
                    CronLine::Fired { due, .. } | CronLine::Queued { due, .. } => Some(*due),
                    _ => None,
                })
                .filter(|due| self.state.must_look_back() && Some(*due) > self.state.until)
                .collect();
            // A fresh `at` is looked up as well.
            let look = Look { cron: &self.cron, zone: &TimeZone::UTC, zone_name: "UTC", zone_data: "", now, ran: &ran };
            let actions = choose(&look, &self.state);
            let next = next(&look, &self.state);
            assert_eq!(next == Some(now), !actions.is_empty(), "{next:?} {actions:?}");
            let short = |due: &Timestamp| due.strftime("%dT%H:%M").to_string();
            let mut texts = Vec::new();
            for action in actions {
                let (text, line) = match action {
                    Action::Fire { due, is_late } => {
                        let event = Id::parse(&format!("{}-j", crate::core::event::stamp::Stamp::from(due))).unwrap();
                        let line = CronLine::Fired {
                            at: now,
                            due,
                            event,
                            session: "a.s".into(),
                            not_before: None,
                            by_hand: false,
                        };
                        (format!("{} {}", if is_late { "run late" } else { "run" }, short(&due)), line)
                    }
                    Action::Record(line) => (
                        match &line {
                            CronLine::Seen { .. } => "seen".to_owned(),
                            CronLine::Missed { due, to, count, why, .. } => {
                                let to = to.map(|to| format!("..{}", short(&to))).unwrap_or_default();
                                format!("{} {count}: {}{to}", format!("{why:?}").to_lowercase(), short(due))
                            }
                            CronLine::Queued { due, .. } => format!("queue {}", short(due)),
                            CronLine::Repeated { due, .. } => format!("ran {}", short(due)),
                            CronLine::Back { .. } => "back".to_owned(),
                            CronLine::Disabled { .. } => "disabled".to_owned(),
                            CronLine::Enabled { .. } => "enabled".to_owned(),
                            other => format!("{other:?}"),
                        },
                        line,
                    ),
                };
                texts.push(text);
                self.write(line);
            }
            texts
        }
    }

    const DAILY: &str = "schedule: '0 7 * * *'";
    const NONE: [&str; 0] = [];

    #[test]
    fn new_job_starts_now_and_runs_each_instant_once() {
        let mut job = Job::seen(DAILY, "06T08:00");
        assert_eq!(job.look("07T06:59:59"), NONE);
        assert_eq!(job.look("07T07:00"), ["run 07T07:00"]);
        assert_eq!(job.look("07T07:00"), NONE);
        job.end_all("07T07:01");
        assert_eq!(job.look("08T07:03"), ["run 08T07:00"]);
    }

    #[test]
    fn changed_schedule_starts_now_and_a_changed_prompt_does_not() {
        let mut job = Job::seen(DAILY, "06T08:00");
        job.cron.prompt = "Other.".into();
        assert_eq!(job.look("07T07:00"), ["run 07T07:00"]);
        job.end_all("07T07:01");
        job.cron = cron("schedule: '30 6 * * *'");
        assert_eq!(job.look("08T08:00"), ["seen"]);
        assert_eq!(job.look("09T06:30"), ["run 09T06:30"]);
    }

    #[test]
    fn interval_counts_from_the_first_look() {
        let mut job = Job::seen("every: 2h", "06T08:10");
        assert_eq!(job.look("06T10:09"), NONE);
        assert_eq!(job.look("06T10:10"), ["run 06T10:10"]);
        job.end_all("06T11:50");
        assert_eq!(job.look("06T12:15"), ["run 06T12:10"]);
    }

    #[test]
    fn single_instant_that_has_just_passed_runs_at_once_and_an_old_one_is_missed() {
        let mut job = Job::new("at: 2026-03-06T07:00:00");
        assert_eq!(job.look("06T07:01"), ["seen", "run 06T07:00"]);
        assert_eq!(job.look("06T07:02"), NONE);
        let mut job = Job::new("at: 2026-03-06T07:00:00");
        assert_eq!(job.look("07T07:01"), ["seen", "late 1: 06T07:00"]);
        let mut job = Job::new("at: 2026-03-06T07:00:00\ngrace: 5m");
        assert_eq!(job.look("06T07:06"), ["seen", "late 1: 06T07:00"]);
        let mut job = Job::seen("at: 2026-03-06T07:00:00", "05T07:00");
        assert_eq!(job.look("06T09:00"), ["run late 06T07:00"]);
    }

    #[test]
    fn after_a_sleep_missed_decides() {
        let slept = |fields: &str, now: &str| Job::seen(fields, "02T08:00").look(now);
        assert_eq!(slept(DAILY, "05T08:00"), ["late 2: 03T07:00..04T07:00", "run late 05T07:00"]);
        let skip = format!("{DAILY}\nmissed: skip");
        assert_eq!(slept(&skip, "05T08:00"), ["late 3: 03T07:00..05T07:00"]);
        assert_eq!(slept(&skip, "05T07:10"), ["late 2: 03T07:00..04T07:00", "run 05T07:00"]);
        let all = format!("{DAILY}\nmissed: all");
        assert_eq!(slept(&all, "05T08:00"), ["run late 03T07:00", "queue 04T07:00", "queue 05T07:00"]);
        let short = format!("{DAILY}\ngrace: 30m");
        assert_eq!(slept(&short, "05T08:00"), ["late 3: 03T07:00..05T07:00"]);
        assert_eq!(
            slept(&format!("{all}\ngrace: 26h"), "05T08:00"),
            ["late 1: 03T07:00", "run late 04T07:00", "queue 05T07:00"]
        );
        // The default of `grace` is one period, at least ten minutes.
        assert_eq!(slept("schedule: '0 * * * *'", "02T10:30"), ["late 1: 02T09:00", "run late 02T10:00"]);
        assert_eq!(slept("schedule: '*/5 * * * *'", "02T08:09"), ["run 02T08:05"]);
        // A weekly job runs at most a day late.
        assert_eq!(slept("schedule: '0 7 * * 2'", "04T07:01"), ["late 1: 03T07:00"]);
    }

    #[test]
    fn year_of_sleep_is_bounded() {
        let mut job = Job::seen("schedule: '* * * * *'\nmissed: all", "02T08:00");
        let now: Timestamp = "2027-03-02T08:00:00Z".parse().unwrap();
        let look =
            Look { cron: &job.cron, zone: &TimeZone::UTC, zone_name: "UTC", zone_data: "", now, ran: &BTreeSet::new() };
        let actions = choose(&look, &job.state);
        assert_eq!(actions.len(), 1 + MOST);
        let Action::Record(CronLine::Missed { count, due, to, .. }) = &actions[0] else { panic!("{actions:?}") };
        assert_eq!((*count, *due), (MAX_COUNTED, at("02T08:01")));
        assert_eq!(to.unwrap().to_string(), "2027-03-02T07:36:00Z");
        // The clock was wrong: the next instants of the right time run.
        for action in actions {
            match action {
                Action::Record(line) => job.write(line),
                Action::Fire { due, .. } => {
                    let event = Id::parse("20270302T073700.000000Z-j").unwrap();
                    job.write(CronLine::Fired {
                        at: now,
                        due,
                        event,
                        session: String::new(),
                        not_before: None,
                        by_hand: false,
                    });
                }
            }
        }
        job.state.queued.clear();
        job.end_all("02T08:00");
        assert_eq!(job.look("02T08:02"), ["back"]);
        assert_eq!(job.look("02T08:03"), ["run 02T08:03"]);
    }

    #[test]
    fn clock_that_was_set_back_repeats_nothing() {
        let mut job = Job::seen("schedule: '0 * * * *'", "06T08:30");
        for hour in ["09", "10", "11"] {
            assert_eq!(job.look(&format!("06T{hour}:00")), [format!("run 06T{hour}:00")]);
            job.end_all("06T11:01");
        }
        assert_eq!(job.look("06T09:30"), NONE);
        assert_eq!(job.look("06T11:00"), NONE);
        assert_eq!(job.look("06T12:00"), ["run 06T12:00"]);
        job.end_all("06T12:01");
        // Missed instants that are in the future again are due; those that ran are not.
        assert_eq!(job.look("06T15:00"), ["late 2: 06T13:00..06T14:00", "run 06T15:00"]);
        job.end_all("06T15:01");
        assert_eq!(job.look("06T12:30"), ["back"]);
        assert_eq!(job.look("06T13:00"), ["run 06T13:00"]);
        job.end_all("06T13:01");
        assert_eq!(job.look("06T14:00"), ["run 06T14:00"]);
        job.end_all("06T14:01");
        assert_eq!(job.look("06T15:00"), ["ran 06T15:00"]);
        assert_eq!(job.look("06T16:00"), ["run 06T16:00"]);
        // Behind its first look the job is new.
        job.end_all("06T16:01");
        assert_eq!(job.look("06T08:00"), ["seen"]);
        assert_eq!(job.look("06T09:00"), ["ran 06T09:00"]);
    }

    #[test]
    fn restored_backup_counts_as_a_sleep() {
        let mut job = Job::seen(DAILY, "02T08:00");
        let backup = job.state.clone();
        assert_eq!(job.look("03T07:00"), ["run 03T07:00"]);
        (job.state, job.lines) = (backup, Vec::new());
        assert_eq!(job.look("03T07:30"), ["run late 03T07:00"], "under the same event id");
        assert_eq!(job.look("05T09:30"), ["late 1: 04T07:00", "overlap 1: 05T07:00"]);
    }

    #[test]
    fn overlapping_instant_is_missed_or_queued() {
        let mut job = Job::seen("schedule: '0 * * * *'", "06T08:30");
        assert_eq!(job.look("06T09:00"), ["run 06T09:00"]);
        assert_eq!(job.look("06T10:00"), ["overlap 1: 06T10:00"]);
        let mut job = Job::seen("schedule: '0 * * * *'\noverlap: queue", "06T08:30");
        assert_eq!(job.look("06T09:00"), ["run 06T09:00"]);
        assert_eq!(job.look("06T10:00"), ["queue 06T10:00"]);
        assert_eq!(job.look("06T11:00"), ["queue 06T11:00"]);
        job.end_all("06T11:01");
        assert_eq!(job.look("06T11:02"), ["run late 06T10:00"]);
        job.end_all("06T11:03");
        assert_eq!(job.look("06T11:04"), ["run 06T11:00"]);
        job.end_all("06T11:05");
        assert_eq!(job.look("06T11:06"), NONE);
    }

    #[test]
    fn paused_and_disabled_jobs_start_anew() {
        let mut job = Job::seen(DAILY, "02T08:00");
        job.write(CronLine::Paused { at: at("02T09:00"), why: PauseReason::Owner });
        assert_eq!(job.look("04T07:00"), NONE);
        job.write(CronLine::Resumed { at: at("04T08:00") });
        assert_eq!(job.look("04T08:00"), NONE);
        assert_eq!(job.look("05T07:00"), ["run 05T07:00"]);
        job.end_all("05T07:01");
        job.cron.enabled = false;
        assert_eq!(job.look("05T08:00"), ["disabled"]);
        assert_eq!(job.look("06T08:00"), NONE);
        job.cron.enabled = true;
        assert_eq!(job.look("07T08:00"), ["enabled"]);
        assert_eq!(job.look("08T07:00"), ["run 08T07:00"]);
    }

    #[test]
    fn one_off_runs_once_and_again_only_with_another_schedule() {
        let mut job = Job::seen(&format!("{DAILY}\none_off: true"), "02T08:00");
        assert_eq!(job.look("05T08:00"), ["late 2: 03T07:00..04T07:00", "run late 05T07:00"]);
        job.end_all("05T08:01");
        assert_eq!(job.look("06T07:00"), NONE);
        job.cron = cron("at: 2026-03-07T09:00:00\none_off: true");
        assert_eq!(job.look("06T08:00"), ["seen"]);
        assert_eq!(job.look("07T09:00"), ["run 07T09:00"]);
    }

    #[test]
    fn folder_that_was_gone_starts_anew() {
        let mut job = Job::seen(DAILY, "02T08:00");
        assert_eq!(job.look("03T07:00"), ["run 03T07:00"]);
        job.end_all("03T07:01");
        job.write(CronLine::Gone { at: at("03T08:00") });
        assert_eq!(job.look("06T08:00"), ["seen"]);
        assert_eq!(job.look("07T07:00"), ["run 07T07:00"]);
    }
}
