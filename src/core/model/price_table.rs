//! Prices of common models at their makers' own services, in dollars, so that `claw usage` shows money without typing
//! prices. Each row was read from its source on its date; a model without a source has no row. `price:` in the settings
//! takes precedence, and so does a cost that the service reports with an answer.

use crate::core::model::money::Money;
use crate::core::model::price::Price;
use jiff::civil::Date;

/// The currency of the table.
pub const CURRENCY: &str = "USD";
/// The age of a row from which `claw check` warns, in days.
pub const OLD: i32 = 180;

/// The price of some models, in millionths of a dollar for a million tokens.
#[derive(Debug)]
pub struct PriceRow {
    /// The host of the service.
    host: &'static str,
    /// Names of models, without a date at their end.
    models: &'static [&'static str],
    input: u64,
    output: u64,
    /// 0: not known; the price of `input` counts.
    cached_input: u64,
    /// 0: not known; the price of `input` counts.
    cache_write: u64,
    /// The page with the price.
    pub source: &'static str,
    /// The day on which it was read: year, month, day.
    pub read: (i16, i8, i8),
}

const ANTHROPIC: PriceRow = PriceRow {
    host: "api.anthropic.com",
    models: &[],
    input: 0,
    output: 0,
    cached_input: 0,
    cache_write: 0,
    source: "https://platform.claude.com/docs/en/about-claude/pricing",
    read: (2026, 12, 1),
};

const GEMINI: PriceRow = PriceRow {
    host: "generativelanguage.googleapis.com",
    source: "https://ai.google.dev/gemini-api/docs/pricing",
    read: (2026, 10, 7),
    ..ANTHROPIC
};

/// The table.
pub const PRICES: &[PriceRow] = &[
    PriceRow {
        models: &["claude-fable-5-1"],
        input: 10_000_000,
        output: 50_000_000,
        cached_input: 250_000,
        cache_write: 12_500_000,
        ..ANTHROPIC
    },
    PriceRow {
        models: &["claude-fable-5"],
        input: 10_000_000,
        output: 50_000_000,
        cached_input: 1_000_000,
        cache_write: 12_500_000,
        ..ANTHROPIC
    },
    PriceRow {
        models: &["claude-opus-5", "claude-opus-4-8", "claude-opus-4-7", "claude-opus-4-6", "claude-opus-4-5"],
        input: 5_000_000,
        output: 25_000_000,
        cached_input: 500_000,
        cache_write: 6_250_000,
        ..ANTHROPIC
    },
    PriceRow {
        models: &["claude-opus-4-1", "claude-opus-4", "claude-3-opus"],
        input: 15_000_000,
        output: 75_000_000,
        cached_input: 1_500_000,
        cache_write: 18_750_000,
        ..ANTHROPIC
    },
    PriceRow {
        models: &["claude-sonnet-5"],
        input: 2_000_000,
        output: 10_000_000,
        cached_input: 200_000,
        cache_write: 2_500_000,
        source: "https://platform.claude.com/docs/en/models/sonnet-5/overview",
        ..ANTHROPIC
    },
    PriceRow {
        models: &["claude-sonnet-4-6", "claude-sonnet-4-5", "claude-sonnet-4", "claude-3-7-sonnet"],
        input: 3_000_000,
        output: 15_000_000,
        cached_input: 300_000,
        cache_write: 3_750_000,
        ..ANTHROPIC
    },
    PriceRow {
        models: &["claude-haiku-4-5"],
        input: 1_000_000,
        output: 5_000_000,
        cached_input: 100_000,
        cache_write: 1_250_000,
        ..ANTHROPIC
    },
    PriceRow {
        models: &["claude-3-5-haiku"],
        input: 800_000,
        output: 4_000_000,
        cached_input: 80_000,
        cache_write: 1_000_000,
        ..ANTHROPIC
    },
    PriceRow {
        models: &["claude-3-haiku"],
        input: 250_000,
        output: 1_250_000,
        cached_input: 30_000,
        cache_write: 300_000,
        ..ANTHROPIC
    },
    PriceRow {
        host: "api.openai.com",
        models: &["gpt-5-mini"],
        input: 250_000,
        output: 2_000_000,
        cached_input: 25_000,
        source: "https://developers.openai.com/api/docs/models/gpt-5-mini",
        ..ANTHROPIC
    },
    PriceRow { models: &["gemini-3.5-flash"], input: 1_500_000, output: 9_000_000, ..GEMINI },
    PriceRow { models: &["gemini-3.5-flash-lite"], input: 300_000, output: 2_500_000, ..GEMINI },
    // For prompts of up to 200,000 tokens; longer ones cost more.
    PriceRow { models: &["gemini-3.1-pro-preview"], input: 2_000_000, output: 12_000_000, ..GEMINI },
];

impl PriceRow {
    fn price(&self) -> Price {
        let known = |millionths: u64| Some(Money(millionths)).filter(|price| *price > Money(0));
        Price {
            input: Some(Money(self.input)),
            output: Some(Money(self.output)),
            cached_input: known(self.cached_input),
            cache_write: known(self.cache_write),
        }
    }

    /// The day on which the row was read.
    #[must_use]
    pub fn read(&self) -> Option<Date> {
        let (year, month, day) = self.read;
        Date::new(year, month, day).ok()
    }
}

/// The row of a model at this host.
#[must_use]
pub fn row(host: &str, model: &str) -> Option<&'static PriceRow> {
    let name = without_date(model);
    PRICES.iter().find(|row| row.host == host && row.models.contains(&name))
}

/// The price of a model at this host.
#[must_use]
pub fn price(host: &str, model: &str) -> Option<Price> {
    row(host, model).map(PriceRow::price)
}

/// A model's name without the date or the word `latest` at its end, and without the folder `models/` before it.
fn without_date(model: &str) -> &str {
    let name = model.strip_prefix("models/").unwrap_or(model);
    let name = name.strip_suffix("-latest").unwrap_or(name);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let compact = name.rsplit_once('-').filter(|(_, date)| date.len() == 8 && is_number(date));
    if let Some((name, _)) = compact {
        return name;
    }
    let at = name.len().saturating_sub("-2025-08-07".len());
    let is_date = name.get(at..).is_some_and(|end| {
        let parts: Vec<&str> = end.split('-').collect();
        matches!(parts[..], ["", year, month, day] if [year, month, day].into_iter().all(is_number) && year.len() == 4)
    });
    if is_date { &name[..at] } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_has_its_makers_price_only_at_its_maker() {
        let input = |host: &str, model: &str| price(host, model).and_then(|price| price.input).map(|money| money.0);
        assert_eq!(input("api.anthropic.com", "claude-sonnet-4-5-20250929"), Some(3_000_000));
        assert_eq!(input("api.anthropic.com", "claude-3-5-haiku-latest"), Some(800_000));
        assert_eq!(input("api.anthropic.com", "claude-sonnet-5-5"), None, "another model");
        assert_eq!(input("api.openai.com", "gpt-5-mini-2025-08-07"), Some(250_000));
        assert_eq!(input("generativelanguage.googleapis.com", "models/gemini-3.5-flash"), Some(1_500_000));
        assert_eq!(input("127.0.0.1", "gpt-5-mini"), None);
        assert_eq!(input("api.openai.com", "x"), None);
    }

    #[test]
    fn every_row_has_a_source_a_date_and_both_prices() {
        for row in PRICES {
            assert!(row.source.starts_with("https://") && row.read().is_some(), "{row:?}");
            assert!(row.input > 0 && row.output > row.input && !row.models.is_empty(), "{row:?}");
            assert!(
                row.cached_input < row.input && row.models.iter().all(|name| without_date(name) == *name),
                "{row:?}"
            );
        }
    }
}
