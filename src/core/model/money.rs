//! Amounts of money in millionths of the owner's currency: integers, so that sums are exact. The currency itself is not
//! part of an amount.

use crate::core::model::Usage;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::fmt;

/// Digits after the decimal point.
const DIGITS: usize = 6;
/// One unit, in millionths. Also the number of tokens that a price is for.
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

/// The price of a model, for a million tokens each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Price {
    /// Input tokens.
    pub input: Option<Money>,
    /// Output tokens.
    pub output: Option<Money>,
    /// Input tokens from the provider's cache; default: the price of `input`.
    pub cached_input: Option<Money>,
    /// Input tokens written to the provider's cache; default: the price of `input`.
    pub cache_write: Option<Money>,
}

impl Price {
    /// The first required key that is missing.
    #[must_use]
    pub fn missing(&self) -> Option<&'static str> {
        match (self.input, self.output) {
            (None, _) => Some("input"),
            (_, None) => Some("output"),
            _ => None,
        }
    }

    /// The cost of these tokens, rounded up to a millionth.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> Money {
        let input = self.input.unwrap_or_default();
        let cached = usage.cached.min(usage.input);
        let cache_write = usage.cache_write.min(usage.input - cached);
        let parts = [
            (usage.input - cached - cache_write, input),
            (cache_write, self.cache_write.unwrap_or(input)),
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
    fn cost_is_the_sum_of_tokens_rounded_up() {
        let amount = |text| Money::parse(text);
        let price =
            Price { input: amount("1.25"), output: amount("10"), cached_input: amount("0.125"), ..Price::default() };
        let usage = |input, cached, output| Usage { input, output, cached, ..Usage::default() };
        assert_eq!(price.cost(&usage(1_000_000, 0, 0)), Money(1_250_000));
        assert_eq!(price.cost(&usage(1000, 400, 50)), Money(750 + 50 + 500));
        assert_eq!(price.cost(&usage(1, 0, 0)), Money(2));
        let plain = Price { cached_input: None, ..price };
        assert_eq!(plain.cost(&usage(1000, 400, 0)), Money(1250));
        let with_cache_write = Price { cache_write: amount("1.5625"), ..price };
        let usage = Usage { input: 1000, output: 50, cached: 400, cache_write: 320 };
        assert_eq!(with_cache_write.cost(&usage), Money(280 * 5 / 4 + 500 + 50 + 500));
        assert_eq!(price.cost(&usage), Money(750 + 50 + 500), "cache_write defaults to the price of input");
        assert_eq!(Price::default().cost(&usage), Money(0));
    }
}
