//! Resolving the model of a call from `claw.yaml`, the agent and the request.

use crate::core::budget::Budget;
use crate::core::config::{Config, FILE, OFFLINE};
use crate::core::definition;
use crate::core::event::address::safe_name;
use crate::core::fault::{Fault, Result};
use crate::core::model::Usage;
use crate::core::model::money::Money;
use crate::core::model::price::Price;
use crate::core::model::price_table;
use crate::core::model::settings::{Model, REPLAY};
use crate::core::text::problem;

/// A model with its complete settings.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedModel {
    /// The owner's name for it, as in `models:`.
    pub name: String,
    /// Its settings.
    pub model: Model,
}

impl ResolvedModel {
    /// Its identity, `provider/model`. Recorded thinking is sent back only to the model with the same identity.
    #[must_use]
    pub fn identity(&self) -> String {
        let model = self.model.model.as_deref().unwrap_or(&self.name);
        format!("{}/{model}", self.model.provider.as_deref().unwrap_or_default())
    }

    /// The name and the number of the slots that its requests share; `None` without a concurrency limit.
    #[must_use]
    pub fn slots(&self) -> Option<(String, u32)> {
        let limit = self.model.max_concurrency?;
        Some((format!("model-{}", safe_name(&self.name, 40)), limit.max(1)))
    }

    /// Whether it is the built-in model.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.model.provider.as_deref() == Some(OFFLINE)
    }

    /// Whether calls cost nothing, because no service is called.
    #[must_use]
    pub fn is_free(&self) -> bool {
        matches!(self.model.provider.as_deref(), Some(OFFLINE | REPLAY))
    }

    /// The host of its service; empty for a model without a server.
    #[must_use]
    pub fn host(&self) -> String {
        let own = match self.model.provider.as_deref() {
            Some("openai") => "https://api.openai.com",
            Some("anthropic") => "https://api.anthropic.com",
            _ => "",
        };
        let url = url::Url::parse(self.model.api_base.as_deref().unwrap_or(own).trim());
        url.ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
    }

    /// The price of its tokens: that of the settings, or of the table that the program ships. The table is in dollars.
    #[must_use]
    pub fn price(&self, currency: &str) -> Option<Price> {
        let is_same = ["", price_table::CURRENCY, "$"].contains(&currency);
        let model = self.model.model.as_deref().filter(|_| is_same);
        self.model.price.or_else(|| price_table::price(&self.host(), model?))
    }

    /// The cost of a call in this currency: by the price of the settings, as its service reports it in dollars, or by
    /// the table.
    #[must_use]
    pub fn cost(&self, usage: &Usage, currency: &str) -> Money {
        let is_dollars = ["", price_table::CURRENCY, "$"].contains(&currency);
        match usage.cost.filter(|_| self.model.price.is_none() && is_dollars) {
            Some(reported) => reported,
            None => self.price(currency).map(|price| price.cost(usage)).unwrap_or_default(),
        }
    }

    /// The error for a model without a price where one of these budgets is in money.
    #[must_use]
    pub fn unpriced(&self, budgets: &[&Budget], currency: &str) -> Option<Fault> {
        let is_known = self.price(currency).is_some() || self.is_free();
        if is_known || !budgets.iter().any(|budget| budget.needs_price()) {
            return None;
        }
        let message = format!("a budget is in money, but model `{}` has no price", self.name);
        let hint = format!("set its price under models: in {FILE}, or `price: {{input: 0, output: 0}}` if it is free");
        Some(Fault::config(message).hint(hint))
    }
}

impl Config {
    /// The model of `agent`, or the one requested by name.
    ///
    /// # Errors
    /// `Config` if no model has that name, with the nearest name as a hint.
    pub fn resolve_model(&self, agent: &definition::Agent, asked: Option<&str>) -> Result<ResolvedModel> {
        let name = asked.or(agent.model.as_deref()).unwrap_or(&self.model);
        let mut model = self.named(name)?;
        if asked.is_none() {
            model.merge(&agent.llm);
        }
        Ok(ResolvedModel { name: name.to_owned(), model })
    }

    fn named(&self, name: &str) -> Result<Model> {
        if let Some(model) = self.models.get(name) {
            return Ok(model.clone());
        }
        if name == OFFLINE {
            return Ok(Model { provider: Some(OFFLINE.to_owned()), ..Model::default() });
        }
        if let Some((provider, model)) = name.split_once('/') {
            let (provider, model) = (Some(provider.to_owned()), Some(model.to_owned()));
            return Ok(Model { provider, model, ..Model::default() });
        }
        let names = self.models.keys().map(String::as_str).chain([OFFLINE]);
        let hint = match problem::nearest(name, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("define it under models: in {FILE}, or use offline or provider/model"),
        };
        Err(Fault::config(format!("no model is called `{name}`")).hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::parse;

    #[test]
    fn agent_overrides_parts_of_the_named_model() {
        let (config, _) =
            parse("model: fast\nmodels:\n  fast: {provider: openai, model: a, temperature: 0.5}\n").unwrap();
        let mut agent = definition::Agent::default();
        agent.llm.model = Some("b".to_owned());
        let resolved = config.resolve_model(&agent, None).unwrap();
        assert_eq!((resolved.name.as_str(), resolved.model.model.as_deref()), ("fast", Some("b")));
        assert_eq!(resolved.model.temperature, Some(0.5));
        let requested = config.resolve_model(&agent, Some("openai/c")).unwrap();
        assert_eq!(requested.model.model.as_deref(), Some("c"));
        let error = config.resolve_model(&agent, Some("fats")).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean `fast`?"));
    }

    #[test]
    fn cost_is_that_of_the_settings_of_the_service_or_of_the_table() {
        let (config, _) = parse(
            "models:\n  own: {provider: anthropic, model: claude-haiku-4-5}\n  \
             set: {provider: anthropic, model: claude-haiku-4-5, price: {input: 7, output: 7}}\n  \
             other: {provider: openai, model: gpt-5-mini, api_base: 'http://127.0.0.1:1/v1'}\n",
        )
        .unwrap();
        let usage = Usage { input: 1_000_000, ..Usage::default() };
        let reported = Usage { cost: Some(Money(5)), ..usage };
        let cost = |name: &str, usage: &Usage, currency: &str| {
            config.resolve_model(&definition::Agent::default(), Some(name)).unwrap().cost(usage, currency).0
        };
        assert_eq!(
            [cost("own", &usage, ""), cost("set", &usage, ""), cost("other", &usage, "")],
            [1_000_000, 7_000_000, 0]
        );
        assert_eq!(
            [cost("own", &reported, "USD"), cost("set", &reported, ""), cost("other", &reported, "")],
            [5, 7_000_000, 5]
        );
        assert_eq!(cost("own", &usage, "EUR"), 0, "the table is in dollars");
    }
}
