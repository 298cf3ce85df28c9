//! The model that is asked: what `claw.yaml`, an agent and a question say of it, put together.

use crate::core::budget::Budget;
use crate::core::config::{Config, FILE, OFFLINE};
use crate::core::definition;
use crate::core::event::address::safe_name;
use crate::core::fault::{Fault, Result};
use crate::core::model::settings::{Model, REPLAY};
use crate::core::text::problem;

/// The model that shall be used: its name, and how to reach it.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedModel {
    /// What the owner calls it.
    pub name: String,
    /// How to reach it.
    pub model: Model,
}

impl ResolvedModel {
    /// Who it is to others: its thoughts are given back to nobody else.
    #[must_use]
    pub fn by(&self) -> String {
        let model = self.model.model.as_deref().unwrap_or(&self.name);
        format!("{}/{model}", self.model.provider.as_deref().unwrap_or_default())
    }

    /// The slots that its requests share, and how many there are, where there is a limit.
    #[must_use]
    pub fn slots(&self) -> Option<(String, u32)> {
        let limit = self.model.max_concurrency?;
        Some((format!("model-{}", safe_name(&self.name, 40)), limit.max(1)))
    }

    /// The built-in model, whatever `models:` calls by its name.
    #[must_use]
    pub fn offline() -> Self {
        Self { name: OFFLINE.to_owned(), model: Model { provider: Some(OFFLINE.to_owned()), ..Model::default() } }
    }

    /// Whether nobody is asked, so that nothing is taken.
    #[must_use]
    pub fn is_free(&self) -> bool {
        matches!(self.model.provider.as_deref(), Some(OFFLINE | REPLAY))
    }

    /// That nobody knows what this model costs, where one of these budgets is in money.
    #[must_use]
    pub fn unpriced(&self, budgets: &[&Budget]) -> Option<Fault> {
        let is_known = self.model.price.is_some() || self.is_free();
        if is_known || !budgets.iter().any(|budget| budget.needs_price()) {
            return None;
        }
        let what = format!("a budget is in money, and model `{}` has no price", self.name);
        let way_out = format!("give it one under models: in {FILE}, or `price: {{input: 0, output: 0}}` if it is free");
        Some(Fault::config(what).hint(way_out))
    }
}

impl Config {
    /// The model for `agent`, or the one that was asked for by name.
    ///
    /// # Errors
    /// `Config` where no model has that name, with a guess.
    pub fn choose(&self, agent: &definition::Agent, asked: Option<&str>) -> Result<ResolvedModel> {
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
            None => format!("name it under models: in {FILE}, or use offline or provider/model"),
        };
        Err(Fault::config(format!("no model is called `{name}`")).hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::parse;

    #[test]
    fn a_model_is_chosen_by_name_and_an_agent_overrides_parts() {
        let (config, _) =
            parse("model: fast\nmodels:\n  fast: {provider: openai, model: a, temperature: 0.5}\n").unwrap();
        let mut agent = definition::Agent::default();
        agent.llm.model = Some("b".to_owned());
        let chosen = config.choose(&agent, None).unwrap();
        assert_eq!((chosen.name.as_str(), chosen.model.model.as_deref()), ("fast", Some("b")));
        assert_eq!(chosen.model.temperature, Some(0.5));
        let asked = config.choose(&agent, Some("openai/c")).unwrap();
        assert_eq!(asked.model.model.as_deref(), Some("c"));
        let error = config.choose(&agent, Some("fats")).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean `fast`?"));
    }
}
