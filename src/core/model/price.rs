//! Prices of tokens, and the cost of a call.

use crate::core::model::Usage;
use crate::core::model::money::Money;
use serde::Deserialize;

/// The number of tokens that a price is for.
const TOKENS: u64 = 1_000_000;

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
        Money(u64::try_from(sum.div_ceil(u128::from(TOKENS))).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let usage = Usage { input: 1000, output: 50, cached: 400, cache_write: 320, cost: None };
        assert_eq!(with_cache_write.cost(&usage), Money(280 * 5 / 4 + 500 + 50 + 500));
        assert_eq!(price.cost(&usage), Money(750 + 50 + 500), "cache_write defaults to the price of input");
        assert_eq!(Price::default().cost(&usage), Money(0));
    }
}
