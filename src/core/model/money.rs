//! Money in millionths of whatever the owner counts in: whole numbers, so that sums are exact. Which currency
//! that is nobody here knows.

use crate::core::model::Usage;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::fmt;

/// Digits behind the point.
const DIGITS: usize = 6;
/// One, in millionths. Also the number of tokens that a price is for.
const ONE: u64 = 1_000_000;
/// The most whole units that a setting may name.
const MOST: u64 = 1_000_000_000;

/// An amount, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(pub u64);

impl Money {
    /// Reads a decimal number such as `1.25`; `None` for anything else, for what is finer than a millionth, and
    /// for what is over a thousand million.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || part.len() > DIGITS || !is_digits(whole) || !is_digits(part) {
            return None;
        }
        let whole: u64 = whole.parse().ok().filter(|n| *n <= MOST)?;
        let part: u64 = format!("{part:0<DIGITS$}").parse().ok()?;
        Some(Self(whole * ONE + part))
    }
}

impl Money {
    /// The amount with the name of what it is counted in, where that has one.
    #[must_use]
    pub fn in_currency(self, currency: &str) -> String {
        format!("{self} {currency}").trim_end().to_owned()
    }
}

impl fmt::Display for Money {
    /// Two digits behind the point, more where there are more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = format!("{:0DIGITS$}", self.0 % ONE);
        let end = part.trim_end_matches('0').len().max(2);
        f.pad(&format!("{}.{}", self.0 / ONE, &part[..end]))
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        // The shortest text that means this number is the one that stands in the file.
        let text = number.to_string();
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is no amount: it is a number from 0, with at most {DIGITS} decimals"))
        })
    }
}

/// What a model costs: amounts for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Price {
    /// For what it reads.
    pub input: Option<Money>,
    /// For what it writes.
    pub output: Option<Money>,
    /// For what it reads and had read before; the price of `input` where it is not said.
    pub cached_input: Option<Money>,
    /// For what it reads and keeps for the next time; the price of `input` where it is not said.
    pub cache_write: Option<Money>,
}

impl Price {
    /// What is missing in it.
    #[must_use]
    pub fn missing(&self) -> Option<&'static str> {
        match (self.input, self.output) {
            (None, _) => Some("input"),
            (_, None) => Some("output"),
            _ => None,
        }
    }

    /// What these tokens cost, rounded up to a millionth.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> Money {
        let input = self.input.unwrap_or_default();
        let cached = usage.cached.min(usage.input);
        let kept = usage.cache_write.min(usage.input - cached);
        let parts = [
            (usage.input - cached - kept, input),
            (kept, self.cache_write.unwrap_or(input)),
            (cached, self.cached_input.unwrap_or(input)),
            (usage.output, self.output.unwrap_or_default()),
        ];
        let sum: u128 = parts.into_iter().map(|(tokens, price)| u128::from(tokens) * u128::from(price.0)).sum();
        Money(u64::try_from(sum.div_ceil(u128::from(ONE))).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_they_are_written() {
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
    fn a_call_costs_its_tokens_and_is_rounded_up() {
        let amount = |text| Money::parse(text);
        let price =
            Price { input: amount("1.25"), output: amount("10"), cached_input: amount("0.125"), ..Price::default() };
        let usage = |input, cached, output| Usage { input, output, cached, ..Usage::default() };
        assert_eq!(price.cost(&usage(1_000_000, 0, 0)), Money(1_250_000));
        assert_eq!(price.cost(&usage(1000, 400, 50)), Money(750 + 50 + 500));
        assert_eq!(price.cost(&usage(1, 0, 0)), Money(2));
        let plain = Price { cached_input: None, ..price };
        assert_eq!(plain.cost(&usage(1000, 400, 0)), Money(1250));
        let keeps = Price { cache_write: amount("1.5625"), ..price };
        let usage = Usage { input: 1000, output: 50, cached: 400, cache_write: 320 };
        assert_eq!(keeps.cost(&usage), Money(280 * 5 / 4 + 500 + 50 + 500));
        assert_eq!(price.cost(&usage), Money(750 + 50 + 500), "like what is read, where it is not said");
        assert_eq!(Price::default().cost(&usage), Money(0));
    }
}
