//! A line of the ledger, and sums of lines.

use crate::core::event::id::Id;
use crate::core::model::Usage;
use crate::core::model::money::Money;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The kind of a ledger line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LedgerKind {
    /// A request is about to be sent; the line has its estimated usage.
    Reserved,
    /// The request has ended; the line has its usage.
    Settled,
    /// The request was not sent.
    Dropped,
    /// The owner was notified that a limit is reached.
    #[serde(rename = "told")]
    Notified,
    /// A line of a newer version; ignored.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A line of `.claw/usage/<day>.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerLine {
    /// The kind.
    #[serde(rename = "t")]
    pub kind: LedgerKind,
    /// The instant of the line.
    pub at: Timestamp,
    /// The day, in the owner's time zone, on which the request was sent.
    pub day: String,
    /// The event of the turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// The step of the turn, from 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub step: u32,
    /// The agent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent: String,
    /// The session.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// The model.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Tokens.
    #[serde(flatten)]
    pub usage: Usage,
    /// Their cost, in millionths.
    pub money: u64,
    /// The tokens are our estimate, not the provider's count.
    #[serde(rename = "guess", skip_serializing_if = "std::ops::Not::not")]
    pub is_estimated: bool,
    /// For a line of kind `told`: the key of the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if wants a reference")]
fn is_zero(step: &u32) -> bool {
    *step == 0
}

impl LedgerLine {
    pub(super) fn is_for(&self, id: Option<&Id>, step: u32) -> bool {
        (self.id.as_ref(), self.step) == (id, step)
    }

    /// The sums of this line alone.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let usage = Usage { cost: None, ..self.usage };
        Sums { calls: 1, usage, money: self.money, estimated_calls: u64::from(self.is_estimated) }
    }
}

/// One request with unknown usage.
pub(super) const CALL: Sums = Sums {
    calls: 1,
    usage: Usage { input: 0, output: 0, cached: 0, cache_write: 0, cost: None },
    money: 0,
    estimated_calls: 0,
};

/// Summed usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sums {
    /// Requests that were sent.
    pub calls: u64,
    /// Their tokens.
    #[serde(flatten)]
    pub usage: Usage,
    /// Their cost, in millionths.
    pub money: u64,
    /// Requests whose tokens are estimates.
    #[serde(rename = "guesses")]
    pub estimated_calls: u64,
}

impl Sums {
    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.each(other, u64::saturating_add);
    }

    /// Input and output tokens.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.usage.input.saturating_add(self.usage.output)
    }

    /// The sums as text for users; `~` marks estimates.
    #[must_use]
    pub fn describe(&self, currency: &str) -> String {
        let tilde = if self.estimated_calls > 0 { "~" } else { "" };
        let money = Money(self.money).in_currency(currency);
        let money = if self.money > 0 { format!(", {tilde}{money}") } else { String::new() };
        format!("{} calls, {tilde}{} tokens{money}", self.calls, self.tokens())
    }

    pub(super) fn subtract(&mut self, other: &Self) {
        self.each(other, u64::saturating_sub);
    }

    fn each(&mut self, other: &Self, change: fn(u64, u64) -> u64) {
        let pairs = [
            (&mut self.calls, other.calls),
            (&mut self.usage.input, other.usage.input),
            (&mut self.usage.output, other.usage.output),
            (&mut self.usage.cached, other.usage.cached),
            (&mut self.usage.cache_write, other.usage.cache_write),
            (&mut self.money, other.money),
            (&mut self.estimated_calls, other.estimated_calls),
        ];
        for (own, other) in pairs {
            *own = change(*own, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_show_money_and_estimates_only_where_there_are_any() {
        let describe = |money, estimated_calls| {
            let usage = Usage { input: 10, output: 5, ..Usage::default() };
            Sums { calls: 3, usage, money, estimated_calls }.describe("EUR")
        };
        assert_eq!(describe(0, 0), "3 calls, 15 tokens");
        assert_eq!(describe(0, 1), "3 calls, ~15 tokens");
        assert_eq!(describe(0, 2), "3 calls, ~15 tokens");
        assert_eq!(describe(1_250_000, 0), "3 calls, 15 tokens, 1.25 EUR");
        assert_eq!(describe(1, 3), format!("3 calls, ~15 tokens, ~{}", Money(1).in_currency("EUR")));
    }

    #[test]
    fn sums_are_added_and_subtracted_field_by_field() {
        let sums = |n: u64| Sums {
            calls: n,
            usage: Usage { input: n + 1, output: n + 2, cached: n + 3, cache_write: n + 4, cost: None },
            money: n + 5,
            estimated_calls: n + 6,
        };
        let mut sum = sums(100);
        sum.add(&sums(10));
        let both = Sums {
            calls: 110,
            usage: Usage { input: 112, output: 114, cached: 116, cache_write: 118, cost: None },
            money: 120,
            estimated_calls: 122,
        };
        assert_eq!(sum, both);
        sum.subtract(&sums(10));
        assert_eq!(sum, sums(100));
        sum.subtract(&both);
        assert_eq!(sum, Sums::default());
    }
}
