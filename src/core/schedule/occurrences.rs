//! Due instants one after the other.

use crate::core::schedule::expression::{CalendarMinute, Expression};
use crate::core::schedule::{Moment, Timing};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// The due instants of a timing, oldest first.
#[derive(Debug)]
pub struct Occurrences<'a>(Course<'a>);

#[derive(Debug)]
enum Course<'a> {
    /// A job at fixed times: the times of the calendar are converted one by one.
    Fixed {
        expression: &'a Expression,
        zone: &'a TimeZone,
        from: CalendarMinute,
        after: Timestamp,
    },
    /// A job that follows the clock: the times with one offset, until the next change of the offset.
    Wild {
        expression: &'a Expression,
        zone: &'a TimeZone,
        from: CalendarMinute,
        offset: Offset,
        end: Option<Timestamp>,
    },
    Every {
        next: Option<Timestamp>,
        period: SignedDuration,
    },
    Once(Option<Timestamp>),
}

impl<'a> Occurrences<'a> {
    /// The due instants after `after`.
    pub(super) fn new(timing: &'a Timing, zone: &'a TimeZone, first_seen: Timestamp, after: Timestamp) -> Self {
        Self(match timing {
            Timing::Cron(expression) => {
                let from = CalendarMinute::of(zone.to_datetime(after));
                if expression.is_wild() {
                    let (offset, end) = segment(zone, after);
                    Course::Wild { expression, zone, from: from.after(), offset, end }
                } else {
                    Course::Fixed { expression, zone, from, after }
                }
            }
            Timing::Every(period) => Course::Every { next: period_after(first_seen, *period, after), period: *period },
            Timing::At(Moment::Instant(instant)) => Course::Once(Some(*instant).filter(|at| *at > after)),
            Timing::At(Moment::Local(time)) => Course::Once(fixed(zone, *time).filter(|at| *at > after)),
        })
    }
}

impl Iterator for Occurrences<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        match &mut self.0 {
            Course::Fixed { expression, zone, from, after } => loop {
                let minute = expression.at_or_after(*from)?;
                *from = minute.after();
                // In a repeated hour, and for several times in one gap, the instant was returned already.
                let instant = fixed(zone, minute.time())?;
                if instant > *after {
                    *after = instant;
                    return Some(instant);
                }
            },
            Course::Wild { expression, zone, from, offset, end } => loop {
                let minute = expression.at_or_after(*from)?;
                let instant = offset.to_timestamp(minute.time()).ok();
                match *end {
                    Some(start) if instant.is_none_or(|instant| instant >= start) => {
                        (*offset, *end) = segment(zone, start);
                        *from = first_minute(offset.to_datetime(start));
                    }
                    _ => {
                        *from = minute.after();
                        return instant;
                    }
                }
            },
            Course::Every { next, period } => {
                let now = (*next)?;
                *next = now.checked_add(*period).ok();
                Some(now)
            }
            Course::Once(instant) => instant.take(),
        }
    }
}

/// The offset at `start`, and the instant at which it changes next.
fn segment(zone: &TimeZone, start: Timestamp) -> (Offset, Option<Timestamp>) {
    let offset = zone.to_offset(start);
    (offset, zone.following(start).find(|change| change.offset() != offset).map(|change| change.timestamp()))
}

/// The first whole minute at or after `time`.
fn first_minute(time: DateTime) -> CalendarMinute {
    let minute = CalendarMinute::of(time);
    if minute.time() == time { minute } else { minute.after() }
}

/// The instant of a time of the calendar: the first one where it is repeated, the end of the gap where it is missing.
fn fixed(zone: &TimeZone, time: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(time).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(time).ok(),
        AmbiguousOffset::Gap { before, after } => {
            let (earliest, latest) = (after.to_timestamp(time).ok()?, before.to_timestamp(time).ok()?);
            let mut changes = zone.following(earliest).map(|change| change.timestamp());
            changes.find(|change| zone.to_datetime(*change) > time).filter(|change| *change <= latest).or(Some(latest))
        }
    }
}

/// The first instant after `after` that is a whole number of periods, at least one, after `first_seen`.
fn period_after(first_seen: Timestamp, period: SignedDuration, after: Timestamp) -> Option<Timestamp> {
    let passed = after.duration_since(first_seen).as_nanos();
    let count = passed.checked_div(period.as_nanos()).filter(|_| passed >= 0).unwrap_or(0) + 1;
    let total = SignedDuration::try_from_nanos_i128(count.checked_mul(period.as_nanos())?)?;
    first_seen.checked_add(total).ok()
}
