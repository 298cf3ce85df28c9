//! One field of a cron expression, as a set of numbers: `*`, numbers, names, ranges, steps and lists of them.

use crate::core::fault::{Fault, Result};

/// A field's name, bounds and names of numbers.
pub(super) struct FieldKind {
    /// As errors call it.
    pub name: &'static str,
    low: u32,
    high: u32,
    /// The names of the numbers from `low` on.
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The five fields in their order.
pub(super) const FIELDS: [FieldKind; 5] = [
    FieldKind { name: "minute", low: 0, high: 59, names: &[] },
    FieldKind { name: "hour", low: 0, high: 23, names: &[] },
    FieldKind { name: "day of month", low: 1, high: 31, names: &[] },
    FieldKind { name: "month", low: 1, high: 12, names: &MONTHS },
    // Sunday is 0 and 7.
    FieldKind { name: "day of week", low: 0, high: 7, names: &WEEKDAYS },
];

impl FieldKind {
    /// The set of numbers that `text` means, one bit each; Sunday is bit 0. `text` is in lower case.
    ///
    /// # Errors
    /// `Data`, which names the field, the part and the way out.
    pub fn parse(&self, text: &str) -> Result<u64> {
        let mut set = 0;
        for part in text.split(',') {
            set |= self.part(part, text)?;
        }
        let is_weekday = self.high == 7;
        Ok(if is_weekday && set & (1 << 7) != 0 { set & !(1 << 7) | 1 } else { set })
    }

    /// The set of one part of the list `text`.
    fn part(&self, part: &str, text: &str) -> Result<u64> {
        let (span, step) = match part.split_once('/') {
            Some((span, step)) => (span, Some(self.step(step, part)?)),
            None => (part, None),
        };
        let (low, high) = match span.split_once('-') {
            _ if span == "*" => (self.low, self.high),
            Some((low, high)) => (self.number(low, part, text)?, self.number(high, part, text)?),
            None => {
                let number = self.number(span, part, text)?;
                if step.is_some() {
                    let hint =
                        format!("write `{number}-{}/…` for steps from {number} on, or only `{number}`", self.top());
                    return Err(self.fault(part, "has a step, but no range").hint(hint));
                }
                (number, number)
            }
        };
        if low > high {
            let hint = format!("a range goes up: write `{}`", self.turned(low, high));
            return Err(self.fault(part, "ends before it begins").hint(hint));
        }
        Ok((low..=high).step_by(step.unwrap_or(1)).fold(0, |set, number| set | 1 << number))
    }

    /// A number or a name.
    fn number(&self, word: &str, part: &str, text: &str) -> Result<u32> {
        if let Some(at) = self.names.iter().position(|name| *name == word) {
            return Ok(self.low + u32::try_from(at).unwrap_or_default());
        }
        if word.is_empty() || !word.bytes().all(|b| b.is_ascii_digit()) {
            let fault = self.fault(part, if part.is_empty() { "is empty" } else { "is not a number" });
            return Err(fault.hint(self.advice(word, text)));
        }
        // A number that is too long is out of bounds.
        let number = word.parse().unwrap_or(u32::MAX);
        if number < self.low || number > self.high {
            return Err(self.fault(part, &format!("is not in {}", run(self.low, self.high))));
        }
        Ok(number)
    }

    fn step(&self, step: &str, part: &str) -> Result<usize> {
        let is_number = !step.is_empty() && step.bytes().all(|b| b.is_ascii_digit());
        let number = if is_number { step.parse().unwrap_or(usize::MAX) } else { 0 };
        if number == 0 {
            return Err(self.fault(part, "has no positive step").hint("a step is like `*/5` or `8-18/2`"));
        }
        Ok(number)
    }

    /// The steps in `text` that are longer than the field, so that only the first number of their range matches.
    pub fn long_step<'a>(&self, text: &'a str) -> Option<&'a str> {
        let is_long = |part: &&str| {
            let step = part.split_once('/').and_then(|(_, step)| step.parse::<u32>().ok());
            step.is_some_and(|step| step > self.top() - self.low)
        };
        text.split(',').find(is_long)
    }

    /// The way out for words of other dialects.
    fn advice(&self, word: &str, text: &str) -> String {
        let name = |name: &&&str| word.starts_with(**name) && word.bytes().all(|b| b.is_ascii_lowercase());
        let is_known = |rest: &str| {
            rest.is_empty() || rest == "l" || rest.bytes().all(|b| b.is_ascii_digit()) || self.names.contains(&rest)
        };
        if word.contains('?') {
            "`?` is Quartz's; write `*`".to_owned()
        } else if word.contains('#') || word.strip_suffix(['l', 'w']).is_some_and(is_known) {
            "`L`, `W` and `#` are Quartz's; name the days, like `25-31`, and let a command in `if` decide".to_owned()
        } else if let Some(short) = self.names.iter().find(name) {
            format!("names have three letters: `{short}`")
        } else if word.contains(['h', '~']) {
            "cron chooses no random times; write a number".to_owned()
        } else if text.contains(",,") || text.starts_with(',') || text.ends_with(',') {
            "a comma stands between two numbers".to_owned()
        } else {
            let names = self.names.first().zip(self.names.last());
            let names = names.map(|(first, last)| format!(", names {first}-{last}")).unwrap_or_default();
            format!("numbers {}{names}, `*`, ranges `a-b`, steps `*/n`, lists `a,b`", run(self.low, self.high))
        }
    }

    /// A range that passes the end of the field, as a list.
    fn turned(&self, low: u32, high: u32) -> String {
        let rest = run(self.low, high);
        if low > self.top() { rest } else { format!("{},{rest}", run(low, self.top())) }
    }

    /// The highest number that has no second meaning.
    fn top(&self) -> u32 {
        self.high.min(if self.high == 7 { 6 } else { 59 })
    }

    fn fault(&self, part: &str, why: &str) -> Fault {
        Fault::data(format!("{} `{}` {why}", self.name, part.escape_debug()))
    }
}

/// `2-5`, or `2` for a range of one number.
fn run(low: u32, high: u32) -> String {
    if low == high { low.to_string() } else { format!("{low}-{high}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(field: usize, text: &str) -> Vec<u32> {
        let bits = FIELDS[field].parse(text).unwrap();
        (0..64).filter(|n| bits & (1 << n) != 0).collect()
    }

    #[test]
    fn field_is_a_set_of_numbers() {
        assert_eq!(set(0, "5"), [5]);
        assert_eq!(set(0, "*/20,007"), [0, 7, 20, 40]);
        assert_eq!(set(1, "8-18/5,23"), [8, 13, 18, 23]);
        assert_eq!(set(2, "31,1-3"), [1, 2, 3, 31]);
        assert_eq!(set(3, "jan,mar-may"), [1, 3, 4, 5]);
        assert_eq!(set(4, "fri-7"), [0, 5, 6]);
        assert_eq!(set(4, "0-7"), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(set(4, "*/7"), [0]);
        assert_eq!(set(0, "*/90"), [0]);
        assert_eq!(set(1, "*").len(), 24);
    }

    #[test]
    fn malformed_field_is_refused_with_the_way_out() {
        let fault = |field: usize, text: &str| FIELDS[field].parse(text).unwrap_err().to_string();
        for (field, text, expected) in [
            (0, "61", "minute `61` is not in 0-59"),
            (0, "99999999999999999999", "minute `99999999999999999999` is not in 0-59"),
            (0, "5/10", "minute `5/10` has a step, but no range (write `5-59/…` for steps from 5 on, or only `5`)"),
            (0, "*/0", "minute `*/0` has no positive step (a step is like `*/5` or `8-18/2`)"),
            (0, "*/", "minute `*/` has no positive step (a step is like `*/5` or `8-18/2`)"),
            (0, "1,,2", "minute `` is empty (a comma stands between two numbers)"),
            (0, "h", "minute `h` is not a number (cron chooses no random times; write a number)"),
            (1, "22-2", "hour `22-2` ends before it begins (a range goes up: write `22-23,0-2`)"),
            (2, "?", "day of month `?` is not a number (`?` is Quartz's; write `*`)"),
            (2, "0", "day of month `0` is not in 1-31"),
            (3, "january", "month `january` is not a number (names have three letters: `jan`)"),
            (4, "fri-sun", "day of week `fri-sun` ends before it begins (a range goes up: write `5-6,0`)"),
            (4, "7-2", "day of week `7-2` ends before it begins (a range goes up: write `0-2`)"),
            (4, "8", "day of week `8` is not in 0-7"),
            (4, "mondays", "day of week `mondays` is not a number (names have three letters: `mon`)"),
        ] {
            assert_eq!(fault(field, text), expected);
        }
        for (field, text) in [(2, "l"), (2, "15w"), (2, "lw"), (4, "mon#2"), (4, "6l"), (4, "fril")] {
            assert!(fault(field, text).contains("are Quartz's"), "{}", fault(field, text));
        }
        for text in ["", "-5", "5-", "1-2-3", "*5", "**", "* *", "+5", "５", "1/2/3", "1.5", "~", "*-5", "\u{7}"] {
            assert!(FIELDS[0].parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn step_longer_than_the_field_is_found() {
        assert_eq!(FIELDS[0].long_step("5,*/90"), Some("*/90"));
        assert_eq!(FIELDS[0].long_step("*/59"), None);
        assert_eq!(FIELDS[1].long_step("*/24"), Some("*/24"));
        assert_eq!(FIELDS[4].long_step("*/6"), None);
        assert_eq!(FIELDS[4].long_step("*/7"), Some("*/7"));
    }
}
