//! Cron expressions as Debian's cron (3.0pl1) reads them: minute, hour, day of month, month, day of week, or a name like
//! `@daily`. If both day fields are restricted, a day that matches one of them is enough; if one of them begins with
//! `*`, both must match (`*/2` too).

use crate::core::fault::{Fault, Result};
use crate::core::schedule::field::FIELDS;
use crate::core::text::cut::cut;
use crate::core::text::problem::nearest;
use jiff::civil::{Date, DateTime};
use std::fmt;

/// The longest part of an expression that an error repeats, in bytes.
const SHOWN: usize = 80;
/// The names for expressions.
const NAMED: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];
const ORDER: &str = "minute, hour, day of month, month, day of week";

/// A cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether a day must match both day fields.
    needs_both: bool,
    /// Whether minute or hour begins with `*`: such a job follows the clock through changes of the offset.
    is_wild: bool,
    text: String,
}

/// A minute of the calendar, without a zone. The minute may be 60: the place after the last one of its hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CalendarMinute {
    date: Date,
    hour: i8,
    minute: i8,
}

impl CalendarMinute {
    /// The minute that contains `time`.
    pub fn of(time: DateTime) -> Self {
        Self { date: time.date(), hour: time.hour(), minute: time.minute() }
    }

    /// The next minute, in the form that [`Expression::at_or_after`] reads.
    pub fn after(self) -> Self {
        Self { minute: self.minute + 1, ..self }
    }

    /// Its first instant.
    pub fn time(self) -> DateTime {
        self.date.at(self.hour, self.minute, 0, 0)
    }
}

impl Expression {
    /// Parses an expression; case and the amount of white space do not matter.
    ///
    /// # Errors
    /// `Data`, with the field and the way out.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.split_ascii_whitespace().map(str::to_ascii_lowercase).collect::<Vec<_>>().join(" ");
        let about =
            |fault: Fault| Fault { message: format!("schedule `{}`: {}", short(&text), fault.message), ..fault };
        let meaning = if text.starts_with('@') { named(&text).map_err(about)? } else { &text };
        let fields: Vec<&str> = meaning.split(' ').filter(|field| !field.is_empty()).collect();
        let [minute, hour, day, month, weekday] = fields[..] else { return Err(about(miscounted(&fields))) };
        let parse = |n: usize, text: &str| FIELDS[n].parse(text).map_err(about);
        Ok(Self {
            minutes: parse(0, minute)?,
            hours: parse(1, hour)?,
            days: parse(2, day)?,
            months: parse(3, month)?,
            weekdays: parse(4, weekday)?,
            needs_both: day.starts_with('*') || weekday.starts_with('*'),
            is_wild: minute.starts_with('*') || hour.starts_with('*'),
            text,
        })
    }

    /// Whether minute or hour begins with `*`.
    pub(super) fn is_wild(&self) -> bool {
        self.is_wild
    }

    /// Whether a day of the calendar matches.
    fn is_day(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        has(self.months, date.month()) && if self.needs_both { day && weekday } else { day || weekday }
    }

    /// The first matching day between `date` and `last`, both included.
    fn day_from(&self, mut date: Date, last: Date) -> Option<Date> {
        while date <= last {
            if self.is_day(date) {
                return Some(date);
            }
            date = if has(self.months, date.month()) { date } else { date.last_of_month() }.tomorrow().ok()?;
        }
        None
    }

    /// The first matching time of day at or after this one.
    fn time_from(&self, hour: i8, minute: i8) -> Option<(i8, i8)> {
        if let Some(minute) = first(self.minutes, minute).filter(|_| has(self.hours, hour)) {
            return Some((hour, minute));
        }
        Some((first(self.hours, hour + 1)?, first(self.minutes, 0)?))
    }

    /// The first matching minute at or after this one; `None` after the year 9999.
    pub(super) fn at_or_after(&self, from: CalendarMinute) -> Option<CalendarMinute> {
        if self.is_day(from.date)
            && let Some((hour, minute)) = self.time_from(from.hour, from.minute)
        {
            return Some(CalendarMinute { date: from.date, hour, minute });
        }
        let date = self.day_from(from.date.tomorrow().ok()?, Date::MAX)?;
        let (hour, minute) = self.time_from(0, 0)?;
        Some(CalendarMinute { date, hour, minute })
    }

    /// Whether a day between `first` and `last`, both included, matches.
    #[must_use]
    pub fn has_day(&self, first: Date, last: Date) -> bool {
        self.day_from(first, last).is_some()
    }

    /// A mistake that does not make it invalid: `*/90` as minute is 0, and nothing else.
    #[must_use]
    pub fn oddity(&self) -> Option<String> {
        let fields = self.text.split(' ').zip(FIELDS.iter());
        let mut found = fields.filter_map(|(text, field)| Some((field.name, field.long_step(text)?)));
        let (name, step) = found.next()?;
        Some(format!(
            "the step of {name} `{step}` is longer than the field, so only its first number matches; for other periods \
             write `every`"
        ))
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn short(text: &str) -> String {
    let part = cut(text, SHOWN);
    format!("{}{}", part.escape_debug(), if part.len() < text.len() { "…" } else { "" })
}

/// The expression that a name stands for.
fn named(name: &str) -> Result<&'static str> {
    if let Some((_, meaning)) = NAMED.iter().find(|(known, _)| *known == name) {
        return Ok(meaning);
    }
    let fault = Fault::data("there is no such name");
    Err(match nearest(name, NAMED.iter().map(|(known, _)| *known)) {
        _ if name == "@reboot" => {
            fault.hint("nothing runs at a start of the machine; a job has instants, like `@daily`")
        }
        _ if name.starts_with("@every") => fault.hint("instead of `schedule` write `every: 2h`"),
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint("the names are @hourly, @daily, @weekly, @monthly and @yearly"),
    })
}

/// The fault that there are not five fields.
fn miscounted(fields: &[&str]) -> Fault {
    let count = format!("it has {} field{}", fields.len(), if fields.len() == 1 { "" } else { "s" });
    let is_quartz = fields.iter().any(|field| field.contains(['?', '#']));
    match fields.len() {
        6 | 7 if is_quartz => {
            let hint = "this is Quartz's dialect: leave out seconds and year, write `*` for `?`, and number the days of \
                        the week from 0 (Sunday)";
            Fault::data(format!("{count} instead of five ({ORDER})")).hint(hint)
        }
        6 | 7 => Fault::data(format!("{count} instead of five ({ORDER})"))
            .hint("there are no fields for seconds and years: leave them out, or write `every: 30s`"),
        _ => Fault::data(count).hint(format!("five are needed: {ORDER}, like `0 7 * * mon-fri`")),
    }
}

/// Whether a number is in the set.
fn has(set: u64, number: i8) -> bool {
    u32::try_from(number).is_ok_and(|n| set.checked_shr(n).unwrap_or(0) & 1 == 1)
}

/// The smallest number of the set that is at least `from`.
fn first(set: u64, from: i8) -> Option<i8> {
    let from = u32::try_from(from).ok()?;
    let rest = u64::MAX.checked_shl(from).unwrap_or(0) & set;
    (rest != 0).then(|| i8::try_from(rest.trailing_zeros()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn days(text: &str, first: Date, count: usize) -> Vec<String> {
        let expression = Expression::parse(text).unwrap();
        let mut days = Vec::new();
        let mut from = CalendarMinute::of(first.at(0, 0, 0, 0));
        while days.len() < count {
            from = expression.at_or_after(from).unwrap();
            days.push(from.time().to_string());
            from = from.after();
        }
        days
    }

    #[test]
    fn minutes_follow_each_other() {
        let first = date(2026, 12, 31);
        assert_eq!(
            days("58-59 23 * * *", first, 3),
            ["2026-12-31T23:58:00", "2026-12-31T23:59:00", "2027-01-01T23:58:00"]
        );
        assert_eq!(days("0 0 29 2 *", first, 2), ["2028-02-29T00:00:00", "2032-02-29T00:00:00"]);
        assert_eq!(days("0 0 29 2 *", date(2096, 3, 1), 1), ["2104-02-29T00:00:00"]);
    }

    /// 2026-12-04 is a Friday.
    #[test]
    fn one_of_two_restricted_day_fields_is_enough_and_a_star_needs_both() {
        let first = date(2026, 12, 1);
        let either = days("0 0 13 * fri", first, 4);
        assert_eq!(either.join(" ").replace("T00:00:00", ""), "2026-12-04 2026-12-11 2026-12-13 2026-12-18");
        // Odd days that are Fridays.
        let both = days("0 0 */2 * fri", first, 3);
        assert_eq!(both.join(" ").replace("T00:00:00", ""), "2026-12-11 2026-12-25 2027-01-01");
        // A list that begins with a star has every number, and needs both all the same.
        assert_eq!(days("0 0 *,13 * fri", first, 3), days("0 0 * * fri", first, 3));
        assert_eq!(days("0 0 1-31 * fri", first, 3), days("0 0 * * *", first, 3));
        assert_eq!(days("0 0 13 * *", first, 2), ["2026-12-13T00:00:00", "2027-01-13T00:00:00"]);
    }

    #[test]
    fn names_are_their_expressions() {
        for (name, meaning) in NAMED {
            let (name, meaning) = (Expression::parse(name).unwrap(), Expression::parse(meaning).unwrap());
            assert_eq!(Expression { text: meaning.text.clone(), ..name }, meaning);
        }
        assert!(Expression::parse("@hourly").unwrap().is_wild() && !Expression::parse("@daily").unwrap().is_wild());
        assert_eq!(Expression::parse(" 0\t7 * *  MON-Fri\n").unwrap().to_string(), "0 7 * * mon-fri");
    }

    #[test]
    fn foreign_dialects_are_refused_with_the_way_out() {
        let fault = |text: &str| Expression::parse(text).unwrap_err().to_string();
        assert_eq!(
            fault("* * *"),
            "schedule `* * *`: it has 3 fields (five are needed: minute, hour, day of month, month, day of week, like `0 7 \
             * * mon-fri`)"
        );
        assert!(fault("").contains("it has 0 fields"), "{}", fault(""));
        assert!(fault("every day").contains("it has 2 fields"));
        assert!(fault("* * * * * *").contains("there are no fields for seconds"), "{}", fault("* * * * * *"));
        assert!(fault("0 0 12 ? * MON-FRI").contains("Quartz"));
        assert!(fault("0 0 ? * 2#1").contains("`?` is Quartz's; write `*`"));
        assert!(fault(&"* ".repeat(60)).contains("it has 60 fields") && fault(&"* ".repeat(9000)).len() < 300);
        assert!(fault("@reboot").contains("start of the machine"));
        assert!(fault("@every 5m").contains("every: 2h"));
        assert!(fault("@dayly").contains("did you mean `@daily`?"));
        assert!(fault("99 * * * *").contains("minute `99` is not in 0-59"));
    }

    #[test]
    fn day_that_does_not_exist_is_never_reached() {
        let has_day = |text: &str| Expression::parse(text).unwrap().has_day(date(2026, 12, 1), date(2035, 12, 1));
        for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2-2 */1", "* * 30,31 feb *"] {
            assert!(!has_day(never), "{never}");
        }
        for some in ["0 0 29 2 *", "0 0 30 2 mon", "0 0 31 * *", "* * * * *"] {
            assert!(has_day(some), "{some}");
        }
    }

    #[test]
    fn step_that_is_too_long_is_odd() {
        assert!(Expression::parse("*/90 * * * *").unwrap().oddity().unwrap().contains("minute `*/90`"));
        assert_eq!(Expression::parse("*/30 */12 */2 * *").unwrap().oddity(), None);
        assert_eq!(Expression::parse("@daily").unwrap().oddity(), None);
    }
}
