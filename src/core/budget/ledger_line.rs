//! A line of the ledger, and what lines add up to.

use crate::core::event::id::Id;
use crate::core::model::Usage;
use crate::core::model::money::Money;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LedgerKind {
    /// A request is about to leave, and may take this.
    Reserved,
    /// It took this.
    Settled,
    /// It never left.
    Dropped,
    /// The owner was told that a limit is reached.
    #[serde(rename = "told")]
    Notified,
    /// A line of a newer program.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A line of `.claw/usage/<day>.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerLine {
    /// What happened.
    #[serde(rename = "t")]
    pub kind: LedgerKind,
    /// When.
    pub at: Timestamp,
    /// The owner's day on which the request left.
    pub day: String,
    /// The event that is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// The step of its turn, from 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub step: u32,
    /// Who answers it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent: String,
    /// In which session.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// By which model.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Tokens.
    #[serde(flatten)]
    pub usage: Usage,
    /// What they cost, in millionths.
    pub money: u64,
    /// Nobody has counted the tokens.
    #[serde(rename = "guess", skip_serializing_if = "std::ops::Not::not")]
    pub is_estimated: bool,
    /// `told`: of which limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde requested for a reference")]
fn is_zero(step: &u32) -> bool {
    *step == 0
}

impl LedgerLine {
    pub(super) fn is_for(&self, id: Option<&Id>, step: u32) -> bool {
        (self.id.as_ref(), self.step) == (id, step)
    }

    /// What it adds.
    #[must_use]
    pub fn sums(&self) -> Sums {
        Sums { calls: 1, usage: self.usage, money: self.money, estimated_calls: u64::from(self.is_estimated) }
    }
}

/// A request of which nothing else is known.
pub(super) const CALL: Sums =
    Sums { calls: 1, usage: Usage { input: 0, output: 0, cached: 0, cache_write: 0 }, money: 0, estimated_calls: 0 };

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sums {
    /// Requests that left.
    pub calls: u64,
    /// Their tokens.
    #[serde(flatten)]
    pub usage: Usage,
    /// What they cost, in millionths.
    pub money: u64,
    /// In how many of them nobody has counted the tokens.
    #[serde(rename = "guesses")]
    pub estimated_calls: u64,
}

impl Sums {
    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.each(other, u64::saturating_add);
    }

    /// Tokens, read and written.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.usage.input.saturating_add(self.usage.output)
    }

    /// The sums in a few words; a `~` where somebody has guessed.
    #[must_use]
    pub fn describe(&self, currency: &str) -> String {
        let guess = if self.estimated_calls > 0 { "~" } else { "" };
        let money = Money(self.money).in_currency(currency);
        let money = if self.money > 0 { format!(", {guess}{money}") } else { String::new() };
        format!("{} calls, {guess}{} tokens{money}", self.calls, self.tokens())
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
