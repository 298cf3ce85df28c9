//! Schedules against cronsim, an independent implementation of Debian's rules in Python: random expressions in zones
//! whose clocks change in unusual ways, from instants around the changes. Every difference must be one of
//! [`DIFFERENCES`], and then a walk over every minute must find our instant.

use crate::common::peer;
use crate::common::proof::{self, Proof, Random};
use claw::core::schedule::Timing;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

const ZONES: [&str; 24] = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Caracas",
    "America/Havana",
    "America/New_York",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/Istanbul",
    "Europe/London",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kwajalein",
    "UTC",
];
/// The starts for each expression and zone.
const STARTS: usize = 20;

/// A question: expression, zone, starts in seconds since 1970.
struct Question {
    expression: String,
    zone: usize,
    starts: Vec<i64>,
}

impl Question {
    fn line(&self) -> String {
        let starts: String = self.starts.iter().map(|start| format!("\t{start}")).collect();
        format!("{}\t{}{starts}", ZONES[self.zone], self.expression)
    }
}

/// An answer of cronsim.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Theirs {
    instant: Option<i64>,
    /// Whether the zone's calendar has this time.
    is_real: bool,
    /// Whether its search did not end.
    is_endless: bool,
}

/// The differences, each with its reason; the test of a difference gets the start, our instant and theirs.
type Difference = (&'static str, fn(i64, i64, Theirs) -> bool);
const DIFFERENCES: [Difference; 4] = [
    // In St. John's, whose clocks were set back at 00:01, it goes round in circles between 23:14 and 00:00.
    ("its search does not end", |_, _, theirs| theirs.is_endless),
    // From the second pass of a repeated hour cronsim answers with a time of the first one, which is over.
    ("its instant is not after the start", |start, _, theirs| theirs.instant.is_some_and(|instant| instant <= start)),
    // A job with a star whose day begins in a gap: cronsim sets the clock to 00:00, which that day does not have.
    ("its time does not exist", |_, _, theirs| !theirs.is_real),
    // Cronsim goes on by whole hours of real time, so that after a change by half an hour, or one within an hour, it
    // begins in the middle of an hour and does not look at the minutes before.
    ("it skips minutes after a change", |_, ours, theirs| theirs.instant.is_none_or(|instant| instant > ours)),
];

/// Asks cronsim; `None` if it is not installed.
fn ask(lines: &[String]) -> Option<Vec<Result<Vec<Theirs>, ()>>> {
    let python = peer::folder().join("venv/bin/python");
    let is_there = Command::new(&python).args(["-c", "import cronsim"]).output().is_ok_and(|ran| ran.status.success());
    let why_not =
        "cronsim is not installed: python3 -m venv venv && venv/bin/pip install -r requirements.txt in tests/peers";
    if !peer::is_there(is_there, why_not) {
        return None;
    }
    let mut child = Command::new(python)
        .arg(peer::folder().join("cronsim_next.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let answers = std::thread::scope(|scope| {
        scope.spawn(move || {
            for line in lines {
                writeln!(stdin, "{line}").unwrap();
            }
        });
        stdout.lines().map(|line| answer(&line.unwrap())).collect()
    });
    assert!(child.wait().unwrap().success());
    Some(answers)
}

fn answer(line: &str) -> Result<Vec<Theirs>, ()> {
    let one = |word: &str| {
        let number = word.trim_end_matches('!');
        Theirs { instant: number.parse().ok(), is_real: number == word, is_endless: word == "?" }
    };
    if line == "error" { Err(()) } else { Ok(line.split('\t').map(one).collect()) }
}

/// A random field.
fn field(random: &mut Random, low: usize, high: usize, names: &[&str]) -> String {
    let number = |random: &mut Random| low + random.below(high - low + 1);
    let name = |n: usize| {
        names.get(n - low).filter(|_| n.is_multiple_of(2)).map_or_else(|| n.to_string(), |name| (*name).to_owned())
    };
    match random.below(10) {
        0..4 => name(number(random)),
        4 | 5 => format!("*/{}", random.below(high + 2) + 1),
        6 => format!("{},{}", name(number(random)), number(random)),
        7 => {
            let (a, b) = (number(random), number(random));
            format!("{}-{}", name(a.min(b)), a.max(b))
        }
        // Of `4-4/2` cronsim makes `4-7/2`, so the two numbers differ.
        8 => {
            let low = random.below(high - low) + low;
            format!("{low}-{}/{}", low + 1 + random.below(high - low), random.below(high) + 1)
        }
        _ => format!("{},*/{},{}", number(random), random.below(high) + 1, number(random)),
    }
}

/// A random expression: often at night, and on every day, so that it meets the changes.
fn expression(random: &mut Random) -> String {
    let star = |random: &mut Random, share: usize, other: String| {
        if random.below(100) < share { "*".to_owned() } else { other }
    };
    let (minute, hour) = (field(random, 0, 59, &[]), field(random, 0, 23, &[]));
    let night = [0, 1, 2, 3, 4, 23][random.below(6)];
    let hour = if random.below(2) == 0 { night.to_string() } else { hour };
    let day = field(random, 1, 31, &[]);
    let month = ["jan", "FEB", "mar", "Apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let month = field(random, 1, 12, &month);
    let weekday = field(random, 0, 7, &["sun", "Mon", "TUE", "wed", "thu", "fri", "sat"]);
    [
        star(random, 20, minute),
        star(random, 30, hour),
        star(random, 60, day),
        star(random, 75, month),
        star(random, 60, weekday),
    ]
    .join(" ")
}

/// Starts in 1993 to 2036: most of them around the changes of a zone.
fn starts(random: &mut Random, changes: &[i64]) -> Vec<i64> {
    let (from, until) = (725_846_400, 2_082_758_400);
    let mut within =
        |low: i64, high: i64| low + i64::try_from(random.below(usize::try_from(high - low).unwrap())).unwrap();
    let near = |n: usize| {
        let last = i64::try_from(changes.len()).unwrap() - 1;
        if last < 0 || n >= 14 {
            return within(from, until);
        }
        let change = changes[usize::try_from(within(0, last + 1)).unwrap()];
        let distance = if n < 6 { 2 * 3600 } else { 3 * 86_400 };
        change + within(-distance, distance)
    };
    (0..STARTS).map(near).collect()
}

/// The numbers of a field, one bit each, read in the simplest way.
fn numbers(text: &str, low: u32, high: u32, names: &[&str]) -> u64 {
    let number = |word: &str| {
        let name = names.iter().position(|name| name.eq_ignore_ascii_case(word));
        name.map_or_else(|| word.parse().unwrap(), |at| low + u32::try_from(at).unwrap())
    };
    let one = |part: &str| {
        let (span, step) = part.split_once('/').unwrap_or((part, "1"));
        let (from, to) = match span.split_once('-') {
            _ if span == "*" => (low, high),
            Some((from, to)) => (number(from), number(to)),
            None => (number(span), number(span)),
        };
        (from..=to).step_by(step.parse().unwrap()).collect::<Vec<u32>>()
    };
    text.split(',').flat_map(one).fold(0, |set, number| set | 1 << number)
}

/// The first due instant after `start` until `end` by a walk over every minute. A job at fixed times is due when the
/// furthest time that the clock has shown passes one of its times.
fn walk(expression: &str, zone: &TimeZone, start: i64, end: i64) -> Option<i64> {
    let fields: Vec<&str> = expression.split(' ').collect();
    let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let bounds: [(u32, u32, &[&str]); 5] =
        [(0, 59, &[]), (0, 23, &[]), (1, 31, &[]), (1, 12, &months), (0, 7, &weekdays)];
    let sets: Vec<u64> =
        fields.iter().zip(bounds).map(|(text, (low, high, names))| numbers(text, low, high, names)).collect();
    let has = |set: usize, number: i8| sets[set] >> number & 1 == 1;
    let is_both = fields[2].starts_with('*') || fields[4].starts_with('*');
    let is_due = |time: DateTime| {
        let weekday = time.date().weekday();
        let (day, weekday) =
            (has(2, time.day()), has(4, weekday.to_sunday_zero_offset()) || has(4, weekday.to_monday_one_offset()));
        has(0, time.minute())
            && has(1, time.hour())
            && has(3, time.month())
            && if is_both { day && weekday } else { day || weekday }
    };
    let is_wild = fields[0].starts_with('*') || fields[1].starts_with('*');
    let time = |minute: i64| zone.to_datetime(Timestamp::from_second(minute * 60).unwrap());
    // No clock was ever set back by more than a day.
    let first = start.div_euclid(60) - 2 * 1440;
    let mut furthest = time(first - 1);
    for minute in first..=end.div_euclid(60) {
        let now = time(minute);
        let mut has_passed = false;
        while furthest < now {
            furthest = furthest.checked_add(SignedDuration::from_mins(1)).unwrap();
            has_passed |= is_due(furthest);
        }
        if minute * 60 > start && if is_wild { is_due(now) } else { has_passed } {
            return Some(minute * 60);
        }
    }
    None
}

/// The changes of a zone's offset in 1993 to 2036, in seconds since 1970.
fn changes(zone: &TimeZone) -> Vec<i64> {
    let from: Timestamp = "1993-01-01T00:00Z".parse().unwrap();
    let mut offset = zone.to_offset(from);
    let all = zone.following(from).map(|change| (change.timestamp(), change.offset()));
    let all = all.take_while(|(at, _)| at.as_second() < 2_082_758_400);
    all.filter(|(_, new)| std::mem::replace(&mut offset, *new) != *new).map(|(at, _)| at.as_second()).collect()
}

#[test]
fn instants_are_those_of_cronsim_but_for_listed_differences() {
    let mut proof = Proof::begin("cron expressions beside cronsim, in 24 zones around changes of the clock");
    let seed = proof::seed();
    proof.seed = Some(seed);
    let mut random = Random(seed);
    let zones = ZONES.map(|name| TimeZone::get(name).unwrap());
    let changes: Vec<Vec<i64>> = zones.iter().map(changes).collect();
    let count = if proof::is_full() { 5000 } else { 800 };
    let mut questions = Vec::new();
    while questions.len() < if proof::is_full() { count * ZONES.len() } else { count } {
        let expression = expression(&mut random);
        // Both refuse February 30, so it would compare nothing.
        if Timing::schedule(&expression).unwrap().never_fires(Timestamp::UNIX_EPOCH).is_some() {
            continue;
        }
        let all = if proof::is_full() {
            0..ZONES.len()
        } else {
            let zone = random.below(ZONES.len());
            zone..zone + 1
        };
        questions.extend(all.map(|zone| Question {
            expression: expression.clone(),
            zone,
            starts: starts(&mut random, &changes[zone]),
        }));
    }
    let Some(answers) = ask(&questions.iter().map(Question::line).collect::<Vec<_>>()) else { return };
    assert_eq!(answers.len(), questions.len());
    let mut known_differences: BTreeMap<&str, usize> = BTreeMap::new();
    for (Question { expression, zone, starts }, theirs) in questions.iter().zip(answers) {
        let timing = Timing::schedule(expression).unwrap();
        let is_never = timing.never_fires(Timestamp::from_second(starts[0]).unwrap()).is_some();
        let Ok(theirs) = theirs else {
            assert!(is_never, "cronsim refuses {expression}");
            continue;
        };
        for (start, theirs) in starts.iter().zip(theirs) {
            proof.points += 1;
            let after = Timestamp::from_second(*start).unwrap();
            let ours = timing.next(&zones[*zone], after, after).map(Timestamp::as_second);
            if ours == theirs.instant && theirs.is_real {
                continue;
            }
            let known = ours.and_then(|ours| DIFFERENCES.iter().find(|(_, is)| is(*start, ours, theirs)));
            let is_ours = ours.is_some_and(|ours| walk(expression, &zones[*zone], *start, ours) == Some(ours));
            match known {
                Some((name, _)) if is_ours => *known_differences.entry(name).or_default() += 1,
                _ => proof
                    .found
                    .push(format!("{expression} {} after {after}: {ours:?}, cronsim {theirs:?}", ZONES[*zone])),
            }
        }
    }
    for (name, count) in &known_differences {
        println!("{count} × {name}");
    }
    assert!(
        !proof::is_full() || known_differences.len() == DIFFERENCES.len(),
        "a listed difference was not found: {known_differences:?}"
    );
    proof.judge(count * STARTS * 9 / 10);
}

/// Expressions of which one of the two refuses some, with the reason.
#[test]
fn same_expressions_are_refused_as_by_cronsim_but_for_listed_ones() {
    let both_refuse = [
        "",
        "*",
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 0 *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "5-1 * * * *",
        "1,,2 * * * *",
        ",1 * * * *",
        "-1 * * * *",
        "1- * * * *",
        "a * * * *",
        "* * * foo *",
        "* * * * foo",
        "** * * * *",
        "*5 * * * *",
        "1.5 * * * *",
        "? * * * *",
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        "* * * * mon#6",
        "@reboot",
        "1-2-3 * * * *",
        "* * * * fri-sun",
        "22-2/2 * * * *",
    ];
    let both_accept = [
        "* * * * *",
        "*/90 * * * *",
        "0 0 * * 7",
        "007 * * * *",
        "0 0 29 2 *",
        "0 0 30 2 mon",
        "0 0 * * SUN-sat",
        "*,5 * * * *",
        "1-5,7-9/2,*/20 * * * *",
        "0 0 1-31/5 JAN-dec/2 *",
    ];
    // (expression, do we accept it)
    let differ = [
        // Vixie's cron reads `5/15` as 5, Quartz and cronsim as 5-59/15: a guess would be wrong for one of them.
        ("5/15 * * * *", false),
        // Extensions of Quartz and of cronsim, which Debian's cron does not have.
        ("0 0 L * *", false),
        ("0 0 LW * *", false),
        ("0 0 * * mon#2", false),
        ("0 0 * * 5L", false),
        ("* * * * * *", false),
        // Names of Debian's cron that cronsim does not have.
        ("@daily", true),
        ("@hourly", true),
    ];
    let all: Vec<(&str, bool, bool)> = both_refuse
        .map(|text| (text, false, false))
        .into_iter()
        .chain(both_accept.map(|text| (text, true, true)))
        .chain(differ.map(|(text, ours)| (text, ours, !ours)))
        .collect();
    let lines: Vec<String> = all.iter().map(|(text, ..)| format!("UTC\t{text}\t1800000000")).collect();
    let Some(answers) = ask(&lines) else { return };
    for ((text, ours, theirs), answer) in all.into_iter().zip(answers) {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let is_accepted = Timing::schedule(text).is_ok_and(|timing| timing.never_fires(now).is_none());
        assert_eq!((is_accepted, answer.is_ok()), (ours, theirs), "{text}");
    }
}

/// On a fixed clock, in time for a slow machine.
#[test]
fn year_of_two_hundred_jobs_has_as_many_runs_as_cronsim_counts() {
    let jobs: Vec<(String, usize)> = (0..200)
        .map(|n| {
            let text = match n {
                0 => "* * * * *".to_owned(),
                1..20 => format!("*/15 {}-17 * * mon-fri", n % 9),
                20..60 => format!("{n} * * * *"),
                60..160 => format!("{} {} * * *", n % 60, n % 24),
                _ => format!("{} 7 {} * fri", n % 60, n % 28 + 1),
            };
            // Half-hour changes are among the listed differences.
            let zone = if ZONES[n % 24] == "Australia/Lord_Howe" { 23 } else { n % 24 };
            (text, zone)
        })
        .collect();
    let (from, until) = (1_767_225_600, 1_798_761_600);
    // Cronsim takes a minute for all of them.
    let asked: Vec<usize> = (0..jobs.len()).filter(|n| proof::is_full() || n % 10 == 1).collect();
    let line = |n: &usize| format!("{}\t{}\t{from}..{until}", ZONES[jobs[*n].1], jobs[*n].0);
    let Some(answers) = ask(&asked.iter().map(line).collect::<Vec<_>>()) else { return };
    let zones = ZONES.map(|name| TimeZone::get(name).unwrap());
    let [from, until] = [from, until].map(|at| Timestamp::from_second(at).unwrap());
    let began = Instant::now();
    let count =
        |(text, zone): &(String, usize)| Timing::schedule(text).unwrap().due(&zones[*zone], from, from, until).count();
    let ours: Vec<usize> = jobs.iter().map(count).collect();
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    for (n, theirs) in asked.into_iter().zip(answers) {
        assert_eq!(Some(i64::try_from(ours[n]).unwrap()), theirs.unwrap()[0].instant, "{:?}", jobs[n]);
    }
}
