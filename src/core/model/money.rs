//! Amounts of money in millionths of the owner's currency: integers, so that sums are exact. The currency itself is not
//! part of an amount.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Digits after the decimal point.
const DIGITS: usize = 6;
/// One unit, in millionths.
const ONE: u64 = 1_000_000;
/// The largest amount in a setting, in whole units.
const MAX_UNITS: u64 = 1_000_000_000;

/// An amount, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(pub u64);

impl Money {
    /// Parses a decimal number such as `1.25`; `None` for any other text, for more than six decimals, and for more than
    /// a thousand million.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || part.len() > DIGITS || !is_digits(whole) || !is_digits(part) {
            return None;
        }
        let whole: u64 = whole.parse().ok().filter(|n| *n <= MAX_UNITS)?;
        let part: u64 = format!("{part:0<DIGITS$}").parse().ok()?;
        Some(Self(whole * ONE + part))
    }
}

impl Money {
    /// An amount that a service reports, rounded up to a millionth; `None` for a negative one, and for more than a
    /// thousand million.
    #[must_use]
    pub fn from_f64(units: f64) -> Option<Self> {
        #[expect(clippy::cast_precision_loss, reason = "both are powers of ten")]
        let (one, most) = (ONE as f64, (MAX_UNITS * ONE) as f64);
        let millionths = (units * one - 1e-6).ceil().max(0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to MAX_UNITS")]
        (units >= 0.0 && millionths <= most).then_some(Self(millionths as u64))
    }

    /// The amount with the name of the currency, which may be empty.
    #[must_use]
    pub fn in_currency(self, currency: &str) -> String {
        format!("{self} {currency}").trim_end().to_owned()
    }
}

impl fmt::Display for Money {
    /// Two decimals, or more where the amount has more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = format!("{:0DIGITS$}", self.0 % ONE);
        let end = part.trim_end_matches('0').len().max(2);
        f.pad(&format!("{}.{}", self.0 / ONE, &part[..end]))
    }
}

impl Serialize for Money {
    /// A number of units, as in a setting.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(clippy::cast_precision_loss, reason = "exact up to nine thousand million units")]
        serializer.serialize_f64(self.0 as f64 / ONE as f64)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        // The shortest text of this number is the one in the file.
        let text = number.to_string();
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is not an amount: use a number from 0, with at most {DIGITS} decimals"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_parse_exactly() {
        for (text, millionths) in [("0", 0), ("1.25", 1_250_000), ("0.000001", 1), ("0.1", 100_000), ("12", 12_000_000)]
        {
            assert_eq!(Money::parse(text), Some(Money(millionths)), "{text}");
            assert_eq!(serde_yaml::from_str::<Money>(text).unwrap(), Money(millionths), "{text}");
        }
        for text in ["-1", "0.0000001", "1e30", ".nan", ".inf", "many"] {
            assert!(serde_yaml::from_str::<Money>(text).is_err(), "{text}");
        }
        let shown = [0, 1, 1_250_000, 100_000].map(|n| Money(n).to_string());
        assert_eq!(shown, ["0.00", "0.000001", "1.25", "0.10"]);
    }

    #[test]
    fn reported_amounts_are_rounded_up_and_written_as_they_are_read() {
        let cases = [
            (0.0, Some(0)),
            (0.000_123_45, Some(124)),
            (0.25, Some(250_000)),
            (-0.1, None),
            (1e30, None),
            (f64::NAN, None),
        ];
        for (units, millionths) in cases {
            assert_eq!(Money::from_f64(units), millionths.map(Money), "{units}");
        }
        for millionths in [0, 1, 124, 250_000, 12_345_678] {
            let text = serde_json::to_string(&Money(millionths)).unwrap();
            assert_eq!(serde_json::from_str::<Money>(&text).unwrap(), Money(millionths), "{text}");
        }
    }
}
