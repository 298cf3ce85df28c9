//! Tests of due instants: examples, and random expressions beside a walk over every minute.

use super::*;
use proptest::prelude::*;

/// Zones whose clocks change in unusual ways: by half an hour, by two hours, at midnight, backwards in summer, by a day.
const ZONES: [&str; 12] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Europe/Dublin",
    "America/Havana",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "America/Scoresbysund",
];

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The first due instants after `after`, in the zone's time with its offset.
fn next(timing: &str, name: &str, after: &str, count: usize) -> Vec<String> {
    let (timing, zone) = (timing.parse::<Timing>().unwrap(), zone(name));
    let due = Occurrences::new(&timing, &zone, Timestamp::UNIX_EPOCH, at(after));
    due.take(count).map(|due| due.to_zoned(zone.clone()).strftime("%d %H:%M%:z").to_string()).collect()
}

#[test]
fn fixed_time_runs_once_in_a_repeated_hour_and_once_after_a_gap() {
    // Berlin, 2026: 02:00 to 03:00 is missing on March 29, and is repeated on October 25.
    assert_eq!(
        next("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00Z", 3),
        ["28 02:30+01:00", "29 03:00+02:00", "30 02:30+02:00"]
    );
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", 2), ["25 02:30+02:00", "26 02:30+01:00"]);
    // From within the second pass, the first pass is over.
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10Z", 1), ["26 02:30+01:00"]);
    // Several times in one gap are one instant.
    assert_eq!(
        next("0,15,45 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00Z", 3),
        ["29 03:00+02:00", "29 03:15+02:00", "29 03:45+02:00"]
    );
    // Lord Howe moves by half an hour.
    assert_eq!(next("10 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00Z", 1), ["04 02:30+11:00"]);
    // Apia had no December 30 in 2011.
    assert_eq!(
        next("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00Z", 3),
        ["29 12:00-10:00", "31 00:00+14:00", "31 12:00+14:00"]
    );
}

#[test]
fn job_with_a_star_follows_the_clock() {
    assert_eq!(
        next("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:00Z", 4),
        ["29 01:30+01:00", "29 03:00+02:00", "29 03:30+02:00", "29 04:00+02:00"]
    );
    assert_eq!(next("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", 2), ["30 02:00+02:00", "30 02:30+02:00"],);
    assert_eq!(
        next("30 * * * *", "Europe/Berlin", "2026-10-24T23:40Z", 4),
        ["25 02:30+02:00", "25 02:30+01:00", "25 03:30+01:00", "25 04:30+01:00"]
    );
    assert_eq!(
        next("0 * * * *", "Australia/Lord_Howe", "2026-04-04T13:30Z", 3),
        ["05 01:00+11:00", "05 02:00+10:30", "05 03:00+10:30"]
    );
}

#[test]
fn period_keeps_its_phase() {
    let (timing, zone) = (Timing::every("2h").unwrap(), zone("Europe/Berlin"));
    let seen = at("2026-03-29T00:10:05Z");
    let next = |after: &str| timing.next(&zone, seen, at(after)).unwrap().to_string();
    assert_eq!(next("2026-03-28T00:00Z"), "2026-03-29T02:10:05Z");
    assert_eq!(next("2026-03-29T00:10:05Z"), "2026-03-29T02:10:05Z");
    assert_eq!(next("2026-03-29T02:10:04Z"), "2026-03-29T02:10:05Z");
    assert_eq!(next("2026-03-29T02:10:05Z"), "2026-03-29T04:10:05Z");
    assert_eq!(next("2030-01-01T00:00Z"), "2030-01-01T00:10:05Z");
    assert_eq!(timing.next(&zone, seen, Timestamp::MAX), None);
    assert_eq!(timing.due(&zone, seen, seen, at("2026-03-30T00:10:05Z")).count(), 12);
}

#[test]
fn moment_is_due_once() {
    let next = |text: &str, after: &str| {
        let timing = Timing::at(text).unwrap();
        timing.next(&zone("Europe/Berlin"), Timestamp::MIN, at(after)).map(|due| due.to_string())
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(next("2026-12-24T18:00", "2026-12-01T00:00Z"), some("2026-12-24T17:00:00Z"));
    assert_eq!(next("2026-12-24 18:00:30", "2026-12-01T00:00Z"), some("2026-12-24T17:00:30Z"));
    assert_eq!(next("2026-12-24T18:00+05:30", "2026-12-01T00:00Z"), some("2026-12-24T12:30:00Z"));
    assert_eq!(next("2026-12-24T18:00Z", "2026-12-24T18:00Z"), None);
    assert_eq!(next("2026-03-29T02:30", "2026-03-01T00:00Z"), some("2026-03-29T01:00:00Z"));
    assert_eq!(next("2026-10-25T02:30", "2026-03-01T00:00Z"), some("2026-10-25T00:30:00Z"));
    assert_eq!(next("1970-01-01T00:00", "2026-03-01T00:00Z"), None);
    assert_eq!(next("9999-12-29T23:59", "2026-03-01T00:00Z"), some("9999-12-29T22:59:00Z"));
}

#[test]
fn malformed_period_or_moment_is_refused_with_the_way_out() {
    for (text, expected) in [
        ("0s", "every `0s`: it is shorter than a second (the shortest period is 1s)"),
        ("1ns", "every `1ns`: it is shorter than a second (the shortest period is 1s)"),
        ("-2h", "every `-2h`: it is shorter than a second (the shortest period is 1s)"),
        ("1500ms", "every `1500ms`: it has a fraction of a second (periods are whole seconds)"),
        ("90000h", "every `90000h`: it is longer than nine years"),
        ("30", "every `30`: it is not a period (write hours, minutes and seconds, like 2h, 90m or 1h 30m)"),
    ] {
        assert_eq!(Timing::every(text).unwrap_err().to_string(), expected);
    }
    assert!(Timing::every("1 day").unwrap_err().to_string().contains("24h"));
    assert!(Timing::every("").is_err() && Timing::every(&"9".repeat(9999)).is_err());
    for (text, expected) in [
        ("09:00", "it has no date with a time of day"),
        ("2026-12-24", "it has no date with a time of day"),
        ("tomorrow at nine", "it is not a date"),
        ("tomorrow", "it has no date with a time of day"),
        ("2026-12-24T18:00[Europe/Berlin]", "the zone goes into `timezone`"),
        ("2026-13-24T18:00", "it is not a date"),
        ("2026-02-29T18:00", "it is not a date"),
        ("2026-12-24T25:00+01:00", "it is not a date"),
        ("1969-12-31T23:59", "it is not between 1970-01-01 and 9999-12-29"),
        ("9999-12-30T00:00", "it is not between 1970-01-01 and 9999-12-29"),
        ("2026-12-24T18:00:00.5", "it has a fraction of a second"),
    ] {
        let fault = Timing::at(text).unwrap_err().to_string();
        assert!(fault.contains(expected), "{fault}");
    }
}

#[test]
fn canonical_form_parses_back() {
    for (timing, form) in [
        (Timing::schedule(" 0  7 * * MON-FRI"), "0 7 * * mon-fri"),
        (Timing::schedule("@daily"), "@daily"),
        (Timing::every("90m"), "every 1h 30m"),
        (Timing::every("PT1S"), "every 1s"),
        (Timing::at("2026-12-24 18:00"), "at 2026-12-24T18:00:00"),
        (Timing::at("2026-12-24T18:00+01:00"), "at 2026-12-24T17:00:00Z"),
    ] {
        let timing = timing.unwrap();
        assert_eq!(timing.to_string(), form);
        assert_eq!(form.parse::<Timing>(), Ok(timing));
    }
}

#[test]
fn expression_without_a_date_in_nine_years_never_fires() {
    let never = |text: &str| Timing::schedule(text).unwrap().never_fires(at("2026-12-01T00:00Z")).is_some();
    assert!(never("0 0 30 2 *") && never("0 0 31 4-4 *"));
    assert!(!never("0 0 29 2 *") && !never("* * * * *"));
    let leap = Timing::schedule("0 0 29 2 *").unwrap();
    assert!(leap.never_fires(at("2096-03-01T00:00Z")).is_none());
    assert!(Timing::every("1s").unwrap().never_fires(Timestamp::MAX).is_none());
}

/// The due instants in a window by a walk over every minute. A job at fixed times is due when the furthest time that the
/// clock has shown passes one of its times.
fn walked(expression: &Expression, zone: &TimeZone, after: Timestamp, minutes: i64) -> Vec<Timestamp> {
    let is_due = |time: DateTime| {
        let minute = expression::CalendarMinute::of(time);
        expression.at_or_after(minute) == Some(minute)
    };
    // The clock has never been back by more than a day.
    let first = after.as_second().div_euclid(60) - 2 * 1440;
    let mut furthest = zone.to_datetime(Timestamp::from_second(first * 60 - 60).unwrap());
    let mut due = Vec::new();
    for minute in first..after.as_second().div_euclid(60) + minutes {
        let instant = Timestamp::from_second(minute * 60).unwrap();
        let time = zone.to_datetime(instant);
        let mut has_passed = false;
        while furthest < time {
            furthest = furthest.checked_add(SignedDuration::from_mins(1)).unwrap();
            has_passed |= is_due(furthest);
        }
        if instant > after && if expression.is_wild() { is_due(time) } else { has_passed } {
            due.push(instant);
        }
    }
    due
}

/// A field of numbers between `low` and `high`.
fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        3 => (low..=high).prop_map(|n| n.to_string()),
        1 => (2..high).prop_map(|n| format!("*/{n}")),
        1 => (low..=high, low..=high).prop_map(|(a, b)| format!("{a},{b}")),
        2 => (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Around changes of the clock of every kind.
    #[test]
    fn due_instants_are_those_of_a_walk_over_every_minute(
        name in prop::sample::select(ZONES.to_vec()),
        year in 1990_i16..2038,
        change in 0_usize..3,
        distance in -100_000_i64..100_000,
        text in (field(0, 59), field(0, 4), field(1, 31), field(1, 12), field(0, 7))
            .prop_map(|(a, b, c, d, e)| format!("{a} {b} {c} {d} {e}")),
        is_daily in any::<bool>(),
    ) {
        let zone = zone(name);
        let start = civil::date(year, 1, 1).to_zoned(TimeZone::UTC).unwrap().timestamp();
        let change = zone.following(start).nth(change).map_or(start, |change| change.timestamp());
        let after = change.checked_add(SignedDuration::from_secs(distance)).unwrap();
        // Few random dates lie in the window.
        let text = if is_daily { text.split(' ').take(2).collect::<Vec<_>>().join(" ") + " * * *" } else { text };
        let Ok(timing @ Timing::Cron(_)) = text.parse::<Timing>() else { panic!("{text}") };
        let Timing::Cron(expression) = &timing else { unreachable!() };
        // A date that never comes would be searched for in all years, at every minute.
        prop_assume!(timing.never_fires(start).is_none());
        let expected = walked(expression, &zone, after, 4 * 1440);
        let until = Timestamp::from_second((after.as_second().div_euclid(60) + 4 * 1440) * 60 - 1).unwrap();
        let found: Vec<Timestamp> = timing.due(&zone, start, after, until).collect();
        prop_assert_eq!(&found, &expected, "{} {} after {}", name, text, after);
        // One after the other gives the same instants.
        let mut last = after;
        for due in found.into_iter().take(20) {
            prop_assert_eq!(timing.next(&zone, start, last), Some(due));
            last = due;
        }
    }

    /// Whenever and however often it is asked, and in every zone.
    #[test]
    fn period_is_due_at_whole_multiples_after_the_first_look(
        seconds in 1_i64..400_000,
        seen in -1_000_000_000_000_i64..1_000_000_000_000,
        distance in -1_000_000_000_000_i64..100_000_000_000_000,
        name in prop::sample::select(ZONES.to_vec()),
    ) {
        let (timing, zone) = (Timing::every(&format!("{seconds}s")).unwrap(), zone(name));
        let seen = Timestamp::from_microsecond(seen).unwrap();
        let after = seen.checked_add(SignedDuration::from_micros(distance)).unwrap();
        let due = timing.next(&zone, seen, after).unwrap();
        let passed = due.duration_since(seen).as_micros();
        let period = i128::from(seconds) * 1_000_000;
        prop_assert!(due > after && passed >= period && passed % period == 0);
        prop_assert!(passed == period || due.duration_since(after).as_micros() <= period);
        prop_assert_eq!(timing.to_string().parse::<Timing>(), Ok(timing));
    }

    /// Croner agrees where no clock changes. Two day fields of which one is a star with a step are left out: croner lets
    /// one of them be enough, as other crons do.
    #[test]
    fn croner_finds_the_same_instants_in_a_zone_without_changes(
        fields in (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7)),
        start in 0_i64..2_000_000_000,
    ) {
        let (minute, hour, day, month, weekday) = fields;
        let is_odd = |one: &str, other: &str| one.starts_with("*/") && other != "*";
        prop_assume!(!is_odd(&day, &weekday) && !is_odd(&weekday, &day));
        let text = format!("{minute} {hour} {day} {month} {weekday}");
        let (timing, after) = (Timing::schedule(&text).unwrap(), Timestamp::from_second(start).unwrap());
        prop_assume!(timing.never_fires(after).is_none());
        let croner = cron::parser::CronParser::new().parse(&text).unwrap();
        let expected = croner.find_next_occurrence(&after.to_zoned(TimeZone::UTC), false).unwrap();
        prop_assert_eq!(timing.next(&TimeZone::UTC, after, after), Some(expected.timestamp()), "{} {}", text, after);
    }

    #[test]
    fn no_text_makes_the_parser_fail_otherwise(text in "[0-9*/,@a-z?#LW -]{0,40}") {
        let _ = text.parse::<Timing>();
        let _ = Timing::every(&text);
        let _ = Timing::at(&text);
    }
}
