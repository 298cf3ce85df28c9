//! The text form of an instant in ids and file names: `20261121T004130.123456Z`, UTC, microseconds, fixed width, so
//! that text order is time order.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::fmt;

/// The length of the text form in bytes.
pub const WIDTH: usize = 23;
/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds in a day.
pub const DAY: i64 = 86_400 * SECOND;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub i64);

impl Stamp {
    /// Parses the text form; `None` for any other text and for impossible dates.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != WIDTH || bytes[8] != b'T' || bytes[15] != b'.' || bytes[22] != b'Z' {
            return None;
        }
        let number = |range: std::ops::Range<usize>| -> Option<i32> {
            let digits = text.get(range)?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let small = |range| i8::try_from(number(range)?).ok();
        let date_time = DateTime::new(
            i16::try_from(number(0..4)?).ok()?,
            small(4..6)?,
            small(6..8)?,
            small(9..11)?,
            small(11..13)?,
            small(13..15)?,
            number(16..22)? * 1000,
        )
        .ok()?;
        let instant = date_time.to_zoned(TimeZone::UTC).ok()?.timestamp();
        Some(Self(instant.as_microsecond()))
    }

    /// The first instant of a UTC day, `2026-11-21`; `None` for any other text.
    #[must_use]
    pub fn of_day(text: &str) -> Option<Self> {
        let first = Self::parse(&format!("{}T000000.000000Z", text.replace('-', "")))?;
        (first.day() == text).then_some(first)
    }

    /// This instant, `days` earlier.
    #[must_use]
    pub fn minus_days(self, days: u32) -> Self {
        Self(self.0.saturating_sub(i64::from(days).saturating_mul(DAY)))
    }

    /// The same instant as a `jiff` timestamp; the epoch if it is out of range.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_microsecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// This instant moved by `seconds`.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(SECOND)))
    }

    /// The UTC day, `2026-11-21`: the name of the folder in `done/`.
    #[must_use]
    pub fn day(self) -> String {
        self.timestamp().strftime("%Y-%m-%d").to_string()
    }
}

impl From<Timestamp> for Stamp {
    fn from(instant: Timestamp) -> Self {
        Self(instant.as_microsecond())
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.timestamp().strftime("%Y%m%dT%H%M%S.%6fZ"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_parses_back_to_the_instant() {
        for micros in [0, 1, 1_795_221_690_123_456, 253_402_207_199_999_999] {
            let text = Stamp(micros).to_string();
            assert_eq!(text.len(), WIDTH);
            assert_eq!(Stamp::parse(&text), Some(Stamp(micros)));
        }
        assert_eq!(Stamp(1_795_221_690_123_456).to_string(), "20261121T004130.123456Z");
        assert_eq!(Stamp(1_795_221_690_123_456).day(), "2026-11-21");
    }

    #[test]
    fn only_a_valid_day_parses_as_a_day() {
        assert_eq!(Stamp::of_day("1970-01-02"), Some(Stamp(DAY)));
        let day = Stamp(1_795_221_690_123_456).day();
        assert_eq!(Stamp::of_day(&day).map(Stamp::day), Some(day));
        for text in
            ["", "2025", "1 important", "2025-archive.tar", "20250101", "2025-1-001", "2025-02-30", "2025-01-01a"]
        {
            assert_eq!(Stamp::of_day(text), None, "{text}");
        }
    }

    #[test]
    fn huge_number_of_days_does_not_overflow() {
        let now = Stamp(1_795_221_690_123_456);
        assert_eq!(now.minus_days(1), Stamp(now.0 - DAY));
        for days in [200_000_000, 1_000_000_000, u32::MAX] {
            assert!(now.minus_days(days) < Stamp(0), "{days}");
        }
    }

    #[test]
    fn malformed_instant_is_refused() {
        for text in ["", "20261121T004130.123456", "20261321T004130.123456Z", "２0261121T004130.12345Z"] {
            assert_eq!(Stamp::parse(text), None, "{text}");
        }
        assert_eq!(Stamp::parse("+0261121T004130.123456Z"), None);
    }
}
