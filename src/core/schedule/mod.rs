//! The instants at which a job is due: a cron expression, a period or one instant, in a time zone.
//!
//! Where clocks change, Debian's cron is the rule. A job at fixed times (neither minute nor hour begins with `*`) runs
//! once in a repeated hour, in its first pass, and once right after a gap in which it would have run. A job with `*` in
//! minute or hour follows the clock: it runs in both passes, and not in the gap. A period has no zone.

mod expression;
mod field;
mod occurrences;

pub use expression::Expression;
pub use occurrences::Occurrences;

use crate::core::fault::{Fault, Result};
use crate::core::text::cut::cut;
use jiff::civil::{self, Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::str::FromStr;

/// The longest wait for a run, in years: leap days are up to eight years apart.
pub const MAX_YEARS: i16 = 9;
/// The shortest period.
const MIN_PERIOD: SignedDuration = SignedDuration::from_secs(1);
/// The longest period.
const MAX_PERIOD: SignedDuration = SignedDuration::from_hours(MAX_YEARS as i64 * 366 * 24);
/// The last day of `at`: every zone can represent it.
const LAST_DAY: Date = civil::date(9999, 12, 29);
/// The longest part of a value that an error repeats, in bytes.
const SHOWN: usize = 80;

/// When a job is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timing {
    /// At the instants of a cron expression.
    Cron(Expression),
    /// Periodically, counted from when the job was first seen.
    Every(SignedDuration),
    /// Once.
    At(Moment),
}

/// A point in time: in the job's zone, or with an offset of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A time of the calendar, in the job's zone.
    Local(DateTime),
    /// An instant.
    Instant(Timestamp),
}

impl Timing {
    /// The value of `schedule`: a cron expression.
    ///
    /// # Errors
    /// `Data`, with the field and the way out.
    pub fn schedule(text: &str) -> Result<Self> {
        Expression::parse(text).map(Self::Cron)
    }

    /// The value of `every`: a period in whole seconds, like `90m` or `2h 30m`.
    ///
    /// # Errors
    /// `Data`, with the way out.
    pub fn every(text: &str) -> Result<Self> {
        let text = text.trim();
        let fault = |why: &str| Fault::data(format!("every `{}`: {why}", cut(text, SHOWN).escape_debug()));
        let Ok(period) = text.parse::<SignedDuration>() else {
            let has_days = text.contains(['d', 'w', 'y']) || text.contains("mo");
            return Err(fault("it is not a period").hint(if has_days {
                "days may have 23 or 25 hours: write `every: 24h`, or `schedule: \"@daily\"` for a time of day"
            } else {
                "write hours, minutes and seconds, like 2h, 90m or 1h 30m"
            }));
        };
        if period < MIN_PERIOD {
            return Err(fault("it is shorter than a second").hint("the shortest period is 1s"));
        }
        if period > MAX_PERIOD {
            return Err(fault("it is longer than nine years"));
        }
        if period.subsec_nanos() != 0 {
            return Err(fault("it has a fraction of a second").hint("periods are whole seconds"));
        }
        Ok(Self::Every(period))
    }

    /// The value of `at`: date and time, with an offset or in the job's zone, from 1970 to 9999.
    ///
    /// # Errors
    /// `Data`, with the way out.
    pub fn at(text: &str) -> Result<Self> {
        let text = text.trim();
        let fault = |why: &str| Fault::data(format!("at `{}`: {why}", cut(text, SHOWN).escape_debug()));
        let form = "write date and time, like 2026-12-24T18:00 (in the job's zone) or 2026-12-24T18:00+01:00";
        let time = text.split_once(['T', ' ']).map(|(_, time)| time);
        let Some(time) = time else { return Err(fault("it has no date with a time of day").hint(form)) };
        if time.contains('[') {
            return Err(fault("it names a zone").hint("the zone goes into `timezone`"));
        }
        let unreadable = || fault("it is not a date with a time of day").hint(form);
        let moment = if time.contains(['+', '-', 'Z', 'z']) {
            Moment::Instant(text.parse().map_err(|_| unreadable())?)
        } else {
            Moment::Local(text.parse().map_err(|_| unreadable())?)
        };
        let time = match moment {
            Moment::Local(time) => time,
            Moment::Instant(instant) => TimeZone::UTC.to_datetime(instant),
        };
        if time.year() < 1970 || time.date() > LAST_DAY {
            return Err(fault(&format!("it is not between 1970-01-01 and {LAST_DAY}")));
        }
        if time.subsec_nanosecond() != 0 {
            return Err(fault("it has a fraction of a second").hint("write whole seconds"));
        }
        Ok(Self::At(moment))
    }

    /// The first due instant after `after`, in `zone`; `None` if there is none any more. `first_seen` is when the job
    /// was first seen: periods are counted from it.
    #[must_use]
    pub fn next(&self, zone: &TimeZone, first_seen: Timestamp, after: Timestamp) -> Option<Timestamp> {
        self.all_after(zone, first_seen, after).next()
    }

    /// All due instants after `after`, oldest first.
    #[must_use]
    pub fn all_after<'a>(&'a self, zone: &'a TimeZone, first_seen: Timestamp, after: Timestamp) -> Occurrences<'a> {
        Occurrences::new(self, zone, first_seen, after)
    }

    /// The due instants after `after` until `until`, which is included; oldest first.
    pub fn due<'a>(
        &'a self,
        zone: &'a TimeZone,
        first_seen: Timestamp,
        after: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = Timestamp> + 'a {
        self.all_after(zone, first_seen, after).take_while(move |due| *due <= until)
    }

    /// The expression, if no day of the nine years after `now` matches it.
    #[must_use]
    pub fn never_fires(&self, now: Timestamp) -> Option<&Expression> {
        let Self::Cron(expression) = self else { return None };
        let first = TimeZone::UTC.to_datetime(now).date();
        let last = Date::new(first.year().saturating_add(MAX_YEARS), first.month(), 28).unwrap_or(Date::MAX);
        (!expression.has_day(first, last)).then_some(expression)
    }
}

/// The canonical form: `0 7 * * *`, `every 2h`, `at 2026-12-24T18:00:00`. It parses back to the same timing, and a job
/// whose form has changed starts anew.
impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron(expression) => write!(f, "{expression}"),
            Self::Every(period) => write!(f, "every {period:#}"),
            Self::At(Moment::Local(time)) => write!(f, "at {time}"),
            Self::At(Moment::Instant(instant)) => write!(f, "at {instant}"),
        }
    }
}

impl FromStr for Timing {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(' ') {
            Some(("every", period)) => Self::every(period),
            Some(("at", moment)) => Self::at(moment),
            _ => Self::schedule(text),
        }
    }
}

#[cfg(test)]
mod tests;
