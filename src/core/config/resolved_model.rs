//! Resolving the model of a call from `claw.yaml`, the agent and the request.

use crate::core::budget::Budget;
use crate::core::config::{Config, FILE, OFFLINE};
use crate::core::definition;
use crate::core::event::address::safe_name;
use crate::core::fault::{Fault, Result};
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

    /// Whether calls cost nothing, because no service is called.
    #[must_use]
    pub fn is_free(&self) -> bool {
        matches!(self.model.provider.as_deref(), Some(OFFLINE | REPLAY))
    }

    /// The error for a model without a price where one of these budgets is in money.
    #[must_use]
    pub fn unpriced(&self, budgets: &[&Budget]) -> Option<Fault> {
        let is_known = self.model.price.is_some() || self.is_free();
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
}
