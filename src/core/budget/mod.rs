//! Budgets: how much of calls, tokens and money the models may take, a day and in all, for everybody and for
//! one agent. A call is reserved before it leaves; what does not fit waits.

pub mod ledger;
pub mod ledger_line;

use crate::core::budget::ledger::Ledger;
use crate::core::budget::ledger_line::{LedgerLine, Sums};
use crate::core::model::money::Money;
use crate::core::model::{Message, Request, Usage};
use jiff::Zoned;
use serde::Deserialize;
use std::fmt;

/// Tokens that an answer is reserved with where its model has no `max_tokens`.
pub const ANSWER: u64 = 4096;
/// Bytes that count as a token where nobody has counted: fewer than a token of any common text has.
const BYTES: u64 = 3;
/// How long what waits for no certain day waits, in seconds: somebody may have raised the limit.
const RECHECK: u64 = 3600;

/// The most of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct BudgetSettings {
    /// Tokens read and written.
    pub tokens: Option<u64>,
    /// What they cost.
    pub money: Option<Money>,
    /// Requests that leave this machine, answered or not.
    pub calls: Option<u64>,
}

/// `budget:` of `claw.yaml` or of an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Budget {
    /// For a day of the owner's.
    pub day: BudgetSettings,
    /// For ever.
    pub total: BudgetSettings,
}

impl Budget {
    /// Whether somebody must know what a model costs.
    #[must_use]
    pub fn is_in_money(&self) -> bool {
        self.day.money.is_some() || self.total.money.is_some()
    }

    /// Its limits; those that never open again of themselves stand first.
    #[must_use]
    pub fn limits(&self, agent: Option<&str>) -> Vec<Limit> {
        let of = |is_total: bool, limits: &BudgetSettings| {
            let most = [
                (Measure::Calls, limits.calls),
                (Measure::Tokens, limits.tokens),
                (Measure::Money, limits.money.map(|m| m.0)),
            ];
            let set = most.into_iter().filter_map(|(what, most)| Some((what, most?)));
            set.map(|(what, most)| Limit { agent: agent.map(ToOwned::to_owned), is_total, what, most })
                .collect::<Vec<_>>()
        };
        [of(true, &self.total), of(false, &self.day)].concat()
    }
}

/// What is limited.
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
    /// As a key of `budget:`.
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

    /// An amount of it, for people.
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
    /// Whose; `None`: of all together.
    pub agent: Option<String>,
    /// In all, not a day.
    pub is_total: bool,
    /// Of what.
    pub what: Measure,
    /// How much.
    pub most: u64,
}

impl Limit {
    /// How much of it is taken.
    #[must_use]
    pub fn used(&self, ledger: &Ledger, today: &str) -> u64 {
        self.what.of(&ledger.used((!self.is_total).then_some(today), self.agent.as_deref()))
    }

    /// What is left of it, for people.
    #[must_use]
    pub fn left(&self, used: u64, currency: &str) -> String {
        let [left, most] = [self.most.saturating_sub(used), self.most].map(|n| self.what.show(n));
        let unit = match self.what {
            Measure::Calls => "calls",
            Measure::Tokens => "tokens",
            Measure::Money => currency,
        };
        format!("{left} of {most} {unit}").trim_end().to_owned() + &format!(" ({self})")
    }

    /// By what it is known that its owner has been told: another day or another limit is another word.
    #[must_use]
    pub fn mark(&self, today: &str) -> String {
        let (agent, what, most) = (self.agent.as_deref().unwrap_or(""), self.what.name(), self.most);
        let when = if self.is_total { "total" } else { today };
        format!("{when}-{what}-{most}-{agent}")
    }
}

impl fmt::Display for Limit {
    /// Where it is set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = if self.is_total { "total" } else { "day" };
        let what = self.what.name();
        match &self.agent {
            Some(agent) => write!(f, "budget.{period}.{what} in agents/{agent}/AGENT.md"),
            None => write!(f, "budget.{period}.{what} in claw.yaml"),
        }
    }
}

/// Why a call does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Into which limit.
    pub limit: Limit,
    /// How much of it is taken.
    pub used: u64,
    /// How much the call may take.
    pub asks: u64,
}

/// Whether a call still fits under all limits. What a killed worker has reserved for the same step is given back
/// first, but for its request, which has left.
///
/// # Errors
/// The first limit that it does not fit under.
pub fn decide(ledger: &Ledger, limits: &[Limit], call: &LedgerLine) -> Result<(), Box<Exceeded>> {
    let before = ledger.reserved(call.id.as_ref(), call.step);
    for limit in limits {
        let is_in = before.is_some_and(|line| limit.is_total || line.day == call.day);
        let back = before.filter(|_| is_in).map_or(0, |line| limit.what.of(&Sums { calls: 0, ..line.sums() }));
        let (used, asks) = (limit.used(ledger, &call.day), limit.what.of(&call.sums()));
        if used.saturating_sub(back).saturating_add(asks) > limit.most {
            return Err(Box::new(Exceeded { limit: limit.clone(), used, asks }));
        }
    }
    Ok(())
}

impl Exceeded {
    /// Whether waiting for tomorrow would help.
    fn opens(&self) -> bool {
        !self.limit.is_total && self.asks <= self.limit.most
    }

    /// After how many seconds it is worth another try: at the next local midnight, or in a while.
    #[must_use]
    pub fn after(&self, now: &Zoned) -> u64 {
        let midnight = now.tomorrow().and_then(|day| day.start_of_day()).ok().filter(|_| self.opens());
        let left = midnight.map(|at| at.timestamp().duration_since(now.timestamp()).as_millis());
        left.and_then(|ms| u64::try_from(ms).ok()).map_or(RECHECK, |ms| ms.div_ceil(1000))
    }

    /// What is wrong, for people.
    #[must_use]
    pub fn why(&self) -> String {
        let Self { limit, used, asks } = self;
        let [used, asks, most, left] =
            [*used, *asks, limit.most, limit.most.saturating_sub(*used)].map(|n| limit.what.show(n));
        let (what, period) = (limit.what.name(), if limit.is_total { "in all" } else { "today" });
        if self.asks > limit.most {
            return format!("one call may take {asks} of {what}, and the budget is {most} {period} ({limit})");
        }
        if self.used >= limit.most {
            return format!("the budget is spent: {used} of {most} {what} {period} ({limit})");
        }
        format!("the budget has {left} of {most} {what} left {period}, and this call may take {asks} ({limit})")
    }

    /// When it opens, and the way out.
    #[must_use]
    pub fn way_out(&self, now: &Zoned) -> String {
        let midnight = now.tomorrow().and_then(|day| day.start_of_day()).ok().filter(|_| self.opens());
        let raise = if self.asks > self.limit.most && self.limit.what != Measure::Calls {
            "raise it, or set the model's max_tokens"
        } else {
            "raise it"
        };
        match midnight {
            Some(at) => format!("it opens {}; or {raise}", at.strftime("%Y-%m-%d %H:%M")),
            None => raise.to_owned(),
        }
    }
}

/// The most tokens that a request is taken to cost before anybody has counted: a third of its bytes, and the
/// longest answer.
#[must_use]
pub fn estimate(request: &Request) -> Usage {
    let said: usize = request.messages.iter().map(Message::weight).sum();
    let tools: usize =
        request.tools.iter().map(|tool| tool.description.len() + tool.parameters.to_string().len()).sum();
    let output = request.max_tokens.map_or(ANSWER, u64::from);
    Usage { input: tokens(request.system.len() + said + tools), output, ..Usage::default() }
}

/// About how many tokens so much text is.
#[must_use]
pub fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES)
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
            what: Kind::Reserved,
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

    fn spent(ledger: &Ledger, limits: &[Limit], call: &LedgerLine) -> Option<String> {
        decide(ledger, limits, call).err().map(|out| out.why())
    }

    #[test]
    fn so_many_calls_fit_and_not_one_more() {
        let limits = budget("day: {calls: 2}").limits(None);
        let mut ledger = Ledger::default();
        for n in 0..2 {
            assert_eq!(spent(&ledger, &limits, &call(n, 1)), None);
            ledger.take(call(n, 1), "pickle");
        }
        let why = "the budget is spent: 2 of 2 calls today (budget.day.calls in claw.yaml)";
        assert_eq!(spent(&ledger, &limits, &call(3, 1)).as_deref(), Some(why));
        // The same step once more is one more request.
        assert_eq!(spent(&ledger, &limits, &call(1, 1)).as_deref(), Some(why));
        let tomorrow = LedgerLine { day: "2026-11-26".into(), ..call(3, 1) };
        assert_eq!(spent(&ledger, &limits, &tomorrow), None);
    }

    #[test]
    fn the_tokens_of_a_step_are_reserved_once_however_often_its_worker_is_killed() {
        let limits = budget("total: {tokens: 60}").limits(Some("pickle"));
        let mut ledger = Ledger::default();
        ledger.take(call(1, 40), "pickle");
        assert_eq!(spent(&ledger, &limits, &call(1, 40)), None);
        let why = "the budget has 10 of 60 tokens left in all, and this call may take 50 (budget.total.tokens in \
                   agents/pickle/AGENT.md)";
        assert_eq!(spent(&ledger, &limits, &call(2, 40)).as_deref(), Some(why));
        // Another agent's are not its own.
        let other = budget("total: {tokens: 60}").limits(Some("cookie"));
        assert_eq!(spent(&ledger, &other, &call(2, 40)), None);
    }

    #[test]
    fn what_never_opens_of_itself_is_told_before_what_opens_tomorrow() {
        let limits = budget("{day: {money: 0.0001}, total: {money: 0.0001}}").limits(None);
        let mut ledger = Ledger::default();
        ledger.take(call(1, 1), "pickle");
        let out = decide(&ledger, &limits, &call(2, 1)).unwrap_err();
        assert!(out.limit.is_total);
        assert_eq!(out.why(), "the budget is spent: 0.0001 of 0.0001 money in all (budget.total.money in claw.yaml)");
    }

    #[test]
    fn a_day_ends_at_the_owners_midnight_also_when_the_clocks_change() {
        let out = |most| Exceeded {
            limit: budget(&format!("day: {{tokens: {most}}}")).limits(None)[0].clone(),
            used: 0,
            asks: 5,
        };
        let at = |text: &str| text.parse::<Zoned>().unwrap();
        assert_eq!(out(9).after(&at("2026-11-25T23:59:58.5+01:00[Europe/Berlin]")), 2);
        // The night with an hour more.
        assert_eq!(out(9).after(&at("2026-10-25T00:00:00+02:00[Europe/Berlin]")), 25 * 3600);
        assert_eq!(out(4).after(&at("2026-11-25T23:59:58+01:00[Europe/Berlin]")), 3600, "tomorrow it fits no better");
        assert!(out(4).way_out(&at("2026-11-25T23:59:58+01:00[Europe/Berlin]")).contains("max_tokens"));
        let opens = out(9).way_out(&at("2026-11-25T23:00:00+01:00[Europe/Berlin]"));
        assert_eq!(opens, "it opens 2026-11-26 00:00; or raise it");
    }
}
