//! Budgets: limits for calls, tokens and money, per day and in total, for all agents together and for one agent. A call
//! is reserved before it is sent; a call that does not fit waits.

pub mod bars;
pub mod ledger;
pub mod ledger_line;

use crate::core::budget::ledger::Ledger;
use crate::core::budget::ledger_line::{LedgerLine, Sums};
use crate::core::model::money::Money;
use crate::core::model::{Message, Request, Usage};
use jiff::Zoned;
use serde::Deserialize;
use std::fmt;

/// Output tokens that are reserved for a model without `max_tokens`.
const DEFAULT_OUTPUT: u64 = 4096;
/// Bytes per token in estimates: fewer than in any common text, so that estimates are on the high side.
const BYTES_PER_TOKEN: u64 = 3;
/// The wait for a limit without a renewal, in seconds: the owner may have raised it by then.
const RECHECK: u64 = 3600;

/// The limits of one period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct BudgetSettings {
    /// Input and output tokens.
    pub tokens: Option<u64>,
    /// Their cost.
    pub money: Option<Money>,
    /// Requests sent, answered or not.
    pub calls: Option<u64>,
}

/// `budget:` of `claw.yaml` or of an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Budget {
    /// Limits for a day in the owner's time zone.
    pub day: BudgetSettings,
    /// Limits for all time.
    pub total: BudgetSettings,
}

impl Budget {
    /// Whether a limit in money is set, so that every model needs a price.
    #[must_use]
    pub fn needs_price(&self) -> bool {
        self.day.money.is_some() || self.total.money.is_some()
    }

    /// The limits that are set; the total ones, which are never renewed, first.
    #[must_use]
    pub fn limits(&self, agent: Option<&str>) -> Vec<Limit> {
        let of = |is_total: bool, limits: &BudgetSettings| {
            let all = [
                (Measure::Calls, limits.calls),
                (Measure::Tokens, limits.tokens),
                (Measure::Money, limits.money.map(|m| m.0)),
            ];
            let set = all.into_iter().filter_map(|(measure, max)| Some((measure, max?)));
            set.map(|(measure, max)| Limit { agent: agent.map(ToOwned::to_owned), is_total, measure, max })
                .collect::<Vec<_>>()
        };
        [of(true, &self.total), of(false, &self.day)].concat()
    }
}

/// A limited quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Requests.
    Calls,
    /// Tokens.
    Tokens,
    /// Money, in millionths.
    Money,
}

impl Measure {
    /// The key in `budget:`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Tokens => "tokens",
            Self::Money => "money",
        }
    }

    fn of(self, sums: &Sums) -> u64 {
        match self {
            Self::Calls => sums.calls,
            Self::Tokens => sums.usage.input.saturating_add(sums.usage.output),
            Self::Money => sums.money,
        }
    }

    /// An amount as text for users.
    #[must_use]
    pub fn show(self, amount: u64) -> String {
        match self {
            Self::Money => Money(amount).to_string(),
            _ => amount.to_string(),
        }
    }
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The agent; `None` for all agents together.
    pub agent: Option<String>,
    /// The limit is for all time, not for a day.
    pub is_total: bool,
    /// The limited quantity.
    pub measure: Measure,
    /// The amount.
    pub max: u64,
}

impl Limit {
    /// The amount used so far.
    #[must_use]
    pub fn used(&self, ledger: &Ledger, today: &str) -> u64 {
        self.measure.of(&ledger.used((!self.is_total).then_some(today), self.agent.as_deref()))
    }

    /// The remaining amount, as text for users.
    #[must_use]
    pub fn left(&self, used: u64, currency: &str) -> String {
        let [left, max] = [self.max.saturating_sub(used), self.max].map(|n| self.measure.show(n));
        let unit = match self.measure {
            Measure::Calls => "calls",
            Measure::Tokens => "tokens",
            Measure::Money => currency,
        };
        format!("{left} of {max} {unit}").trim_end().to_owned() + &format!(" ({self})")
    }

    /// A key for the notice about this limit: the owner is notified once for each day and each value of the limit.
    #[must_use]
    pub fn notice_key(&self, today: &str) -> String {
        let (agent, name, max) = (self.agent.as_deref().unwrap_or(""), self.measure.name(), self.max);
        let period = if self.is_total { "total" } else { today };
        format!("{period}-{name}-{max}-{agent}")
    }
}

impl fmt::Display for Limit {
    /// The settings key and its file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = if self.is_total { "total" } else { "day" };
        let name = self.measure.name();
        match &self.agent {
            Some(agent) => write!(f, "budget.{period}.{name} in agents/{agent}/AGENT.md"),
            None => write!(f, "budget.{period}.{name} in claw.yaml"),
        }
    }
}

/// A call that does not fit under a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The limit.
    pub limit: Limit,
    /// The amount used so far.
    pub used: u64,
    /// The most that the call may use.
    pub requested: u64,
}

/// Checks that a call fits under all limits. A reservation of a killed worker for the same step is released first,
/// except for its request, which was sent.
///
/// # Errors
/// The first limit that is exceeded.
pub fn check(ledger: &Ledger, limits: &[Limit], call: &LedgerLine) -> Result<(), Box<Exceeded>> {
    let before = ledger.reserved(call.id.as_ref(), call.step);
    for limit in limits {
        let is_in = before.is_some_and(|line| limit.is_total || line.day == call.day);
        let released = before.filter(|_| is_in).map_or(0, |line| limit.measure.of(&Sums { calls: 0, ..line.sums() }));
        let (used, requested) = (limit.used(ledger, &call.day), limit.measure.of(&call.sums()));
        if used.saturating_sub(released).saturating_add(requested) > limit.max {
            return Err(Box::new(Exceeded { limit: limit.clone(), used, requested }));
        }
    }
    Ok(())
}

impl Exceeded {
    /// Whether the call fits on another day.
    fn fits_tomorrow(&self) -> bool {
        !self.limit.is_total && self.requested <= self.limit.max
    }

    /// Seconds until the next attempt: until local midnight, or one hour where midnight does not help.
    #[must_use]
    pub fn retry_after(&self, now: &Zoned) -> u64 {
        let midnight = now.tomorrow().and_then(|day| day.start_of_day()).ok().filter(|_| self.fits_tomorrow());
        let left = midnight.map(|at| at.timestamp().duration_since(now.timestamp()).as_millis());
        left.and_then(|ms| u64::try_from(ms).ok()).map_or(RECHECK, |ms| ms.div_ceil(1000))
    }

    /// The problem, as text for users.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self { limit, used, requested } = self;
        let [used, requested, max, left] =
            [*used, *requested, limit.max, limit.max.saturating_sub(*used)].map(|n| limit.measure.show(n));
        let (name, period) = (limit.measure.name(), if limit.is_total { "in total" } else { "today" });
        if self.requested > limit.max {
            return format!("one call may use {requested} {name}, but the budget is {max} {period} ({limit})");
        }
        if self.used >= limit.max {
            return format!("the budget is used up: {used} of {max} {name} {period} ({limit})");
        }
        format!("the budget has {left} of {max} {name} left {period}, but this call may use {requested} ({limit})")
    }

    /// The instant of the renewal, if any, and the way out.
    #[must_use]
    pub fn way_out(&self, now: &Zoned) -> String {
        let midnight = now.tomorrow().and_then(|day| day.start_of_day()).ok().filter(|_| self.fits_tomorrow());
        let raise = if self.requested > self.limit.max && self.limit.measure != Measure::Calls {
            "raise it, or set the model's max_tokens"
        } else {
            "raise it"
        };
        match midnight {
            Some(at) => format!("it is renewed {}; or {raise}", at.strftime("%Y-%m-%d %H:%M")),
            None => raise.to_owned(),
        }
    }
}

/// An upper estimate of the tokens of a request: a third of its bytes, and the longest answer.
#[must_use]
pub fn estimate(request: &Request) -> Usage {
    let messages: usize = request.messages.iter().map(Message::weight).sum();
    let tools: usize =
        request.tools.iter().map(|tool| tool.description.len() + tool.parameters.to_string().len()).sum();
    let output = request.max_tokens.map_or(DEFAULT_OUTPUT, u64::from);
    Usage { input: tokens(request.system.len() + messages + tools), output, ..Usage::default() }
}

/// An upper estimate of the tokens of a text of this length in bytes.
#[must_use]
pub fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_TOKEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::budget::ledger_line::LedgerKind as Kind;
    use crate::core::event::id::Id;
    use crate::core::event::stamp::Stamp;
    use jiff::Timestamp;

    fn call(n: i64, input: u64) -> LedgerLine {
        LedgerLine {
            kind: Kind::Reserved,
            at: Timestamp::UNIX_EPOCH,
            day: "2026-11-25".into(),
            id: Some(Id::new(Stamp(n), 0)),
            step: 1,
            agent: "pickle".into(),
            usage: Usage { input, output: 10, ..Usage::default() },
            money: 100,
            ..LedgerLine::default()
        }
    }

    fn budget(yaml: &str) -> Budget {
        serde_yaml::from_str(yaml).unwrap()
    }

    fn refusal(ledger: &Ledger, limits: &[Limit], call: &LedgerLine) -> Option<String> {
        check(ledger, limits, call).err().map(|exceeded| exceeded.describe())
    }

    #[test]
    fn calls_up_to_the_limit_fit() {
        let limits = budget("day: {calls: 2}").limits(None);
        let mut ledger = Ledger::default();
        for n in 0..2 {
            assert_eq!(refusal(&ledger, &limits, &call(n, 1)), None);
            ledger.add(call(n, 1), "pickle");
        }
        let why = "the budget is used up: 2 of 2 calls today (budget.day.calls in claw.yaml)";
        assert_eq!(refusal(&ledger, &limits, &call(3, 1)).as_deref(), Some(why));
        // Another request for the same step is another call.
        assert_eq!(refusal(&ledger, &limits, &call(1, 1)).as_deref(), Some(why));
        let tomorrow = LedgerLine { day: "2026-11-26".into(), ..call(3, 1) };
        assert_eq!(refusal(&ledger, &limits, &tomorrow), None);
    }

    #[test]
    fn step_is_reserved_once_after_any_number_of_kills() {
        let limits = budget("total: {tokens: 60}").limits(Some("pickle"));
        let mut ledger = Ledger::default();
        ledger.add(call(1, 40), "pickle");
        assert_eq!(refusal(&ledger, &limits, &call(1, 40)), None);
        let why = "the budget has 10 of 60 tokens left in total, but this call may use 50 (budget.total.tokens in \
                   agents/pickle/AGENT.md)";
        assert_eq!(refusal(&ledger, &limits, &call(2, 40)).as_deref(), Some(why));
        // The usage of another agent does not count.
        let other = budget("total: {tokens: 60}").limits(Some("cookie"));
        assert_eq!(refusal(&ledger, &other, &call(2, 40)), None);
    }

    #[test]
    fn total_limit_is_reported_before_daily_limit() {
        let limits = budget("{day: {money: 0.0001}, total: {money: 0.0001}}").limits(None);
        let mut ledger = Ledger::default();
        ledger.add(call(1, 1), "pickle");
        let exceeded = check(&ledger, &limits, &call(2, 1)).unwrap_err();
        assert!(exceeded.limit.is_total);
        assert_eq!(
            exceeded.describe(),
            "the budget is used up: 0.0001 of 0.0001 money in total (budget.total.money in claw.yaml)"
        );
    }

    #[test]
    fn day_ends_at_local_midnight_also_when_the_clocks_change() {
        let exceeded = |max| Exceeded {
            limit: budget(&format!("day: {{tokens: {max}}}")).limits(None)[0].clone(),
            used: 0,
            requested: 5,
        };
        let at = |text: &str| text.parse::<Zoned>().unwrap();
        assert_eq!(exceeded(9).retry_after(&at("2026-11-25T23:59:58.5+01:00[Europe/Berlin]")), 2);
        // The day with 25 hours.
        assert_eq!(exceeded(9).retry_after(&at("2026-10-25T00:00:00+02:00[Europe/Berlin]")), 25 * 3600);
        assert_eq!(
            exceeded(4).retry_after(&at("2026-11-25T23:59:58+01:00[Europe/Berlin]")),
            3600,
            "midnight does not help"
        );
        assert!(exceeded(4).way_out(&at("2026-11-25T23:59:58+01:00[Europe/Berlin]")).contains("max_tokens"));
        let renewal = exceeded(9).way_out(&at("2026-11-25T23:00:00+01:00[Europe/Berlin]"));
        assert_eq!(renewal, "it is renewed 2026-11-26 00:00; or raise it");
    }
}
