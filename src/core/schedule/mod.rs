//! When a schedule is due: an expression, an interval, or one instant. No clock and no I/O.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A cron expression.
#[derive(Clone, Debug)]
pub struct Expression(cron::Cron);

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.pattern.to_string() == other.0.pattern.to_string()
    }
}

/// When a job is due: exactly one of `schedule`, `every` and `at`.
#[derive(Clone, Debug, PartialEq)]
pub enum Timing {
    /// At the instants of an expression.
    Cron(Expression),
    /// At a fixed interval from when the job was first seen.
    Every(SignedDuration),
    /// Once.
    At(DateTime),
}

impl Timing {
    /// Parses the canonical text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (key, value) = text.split_once(' ')?;
        match key {
            "schedule" => cron::parser::CronParser::new().parse(value).ok().map(|cron| Self::Cron(Expression(cron))),
            "every" => value.parse().ok().map(Self::Every),
            "at" => value.parse().ok().map(Self::At),
            _ => None,
        }
    }

    /// The first due instant strictly after `after`; `None` if there is none.
    #[must_use]
    pub fn next(&self, zone: &TimeZone, first_seen: Timestamp, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(expression) => {
                let after = after.to_zoned(zone.clone());
                expression.0.find_next_occurrence(&after, false).ok().map(|at| at.timestamp())
            }
            Self::Every(every) => {
                let passed = after.duration_since(first_seen).as_nanos().max(0);
                let count = passed / every.as_nanos().max(1) + 1;
                let by = SignedDuration::from_nanos(i64::try_from(every.as_nanos() * count).ok()?);
                first_seen.checked_add(by).ok()
            }
            Self::At(at) => zone.to_timestamp(*at).ok().filter(|at| *at > after),
        }
    }

    /// All due instants after `after` and not after `until`, oldest first.
    pub fn due<'a>(
        &'a self,
        zone: &'a TimeZone,
        first_seen: Timestamp,
        after: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = Timestamp> + 'a {
        std::iter::successors(self.next(zone, first_seen, after), move |at| self.next(zone, first_seen, *at))
            .take_while(move |at| *at <= until)
    }
}
