//! What nobody may see: keys, by their values. They are hidden in everything that is written down or sent on.

use crate::core::definition::Agent;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::settings::Model;
use crate::store::agent::definitions;
use crate::store::fs::unreadable;
use crate::store::workspace::Workspace;
use std::fs;

/// What stands where a key was.
const HIDDEN: &str = "[hidden]";
/// What is shorter is no key, and would be hidden in the middle of words.
const SHORTEST: usize = 8;
/// How the environment calls what it keeps secret.
const NAMES: [&str; 4] = ["_KEY", "_TOKEN", "_SECRET", "_PASSWORD"];

/// The key that a model is set up with, if it is with any.
///
/// # Errors
/// `Config` where it cannot be had.
pub fn key(workspace: &Workspace, name: &str, model: &Model) -> Result<Option<String>> {
    read(workspace, &format!("model {name}"), [&model.api_key_env, &model.api_key_file, &model.api_key])
}

/// The key of the search service, if it is set up with any.
///
/// # Errors
/// `Config` where it cannot be had.
pub fn search_key(workspace: &Workspace) -> Result<Option<String>> {
    let Some(search) = &workspace.config()?.web.search else { return Ok(None) };
    read(workspace, "web.search", [&search.api_key_env, &search.api_key_file, &search.api_key])
}

/// A key by its variable, its file, or itself.
fn read(workspace: &Workspace, whose: &str, [variable, file, itself]: [&Option<String>; 3]) -> Result<Option<String>> {
    if let Some(variable) = variable {
        let key = workspace.world.var(variable);
        return key
            .map(|k| Some(k.to_owned()))
            .ok_or_else(|| Fault::config(format!("{whose}: the environment variable {variable} is not set")));
    }
    if let Some(file) = file {
        let path = workspace.root.join(file);
        let text = fs::read_to_string(&path)
            .map_err(|e| unreadable(&format!("{whose}: the key file {}", path.display()), &path, &e))?;
        return Ok(Some(text.trim().to_owned()));
    }
    Ok(itself.clone())
}

/// The keys that this workspace knows.
#[derive(Debug, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// Every model's key, also those that agents' files name, that of the search service, and what the environment calls a key, a token, a secret or a password.
    ///
    /// # Errors
    /// Where the machine cannot read one, or the settings: what is not known cannot be hidden.
    pub fn of(workspace: &Workspace, agent: &Agent) -> Result<Self> {
        Self::with(workspace, &agent.llm)
    }

    /// All of these, and the key of this model.
    ///
    /// # Errors
    /// As [`Secrets::of`].
    pub fn with(workspace: &Workspace, model: &Model) -> Result<Self> {
        let config = workspace.config()?;
        let llms = definitions::llms(workspace)?;
        let models = config.models.values().chain(llms.iter().map(|llm| &**llm)).chain([model]);
        let mut values = Vec::new();
        for key in models.map(|model| key(workspace, "", model)).chain([search_key(workspace)]) {
            match key {
                Err(fault) if fault.kind == Kind::Machine => return Err(fault),
                // One that is not there is nobody's secret.
                key => values.extend(key.ok().flatten()),
            }
        }
        let is_secret = |name: &str| NAMES.iter().any(|end| name.ends_with(end));
        values.extend(workspace.world.vars().filter(|(name, _)| is_secret(name)).map(|(_, value)| value.to_owned()));
        values.retain(|value| value.len() >= SHORTEST);
        // The longest first: one may be the beginning of another.
        values.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Ok(Self(values))
    }

    /// Whether none of them is in the text.
    #[must_use]
    pub fn are_absent_from(&self, text: &str) -> bool {
        !self.0.iter().any(|secret| text.contains(secret))
    }

    /// The text without them.
    #[must_use]
    pub fn hide(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| if text.contains(secret) { text.replace(secret, HIDDEN) } else { text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_one_is_hidden_first() {
        let secrets = Secrets(vec!["sk-abcdef-more".into(), "sk-abcdef".into()]);
        assert_eq!(secrets.hide("a sk-abcdef-more b sk-abcdef c".into()), "a [hidden] b [hidden] c");
        assert_eq!(Secrets::default().hide("x".into()), "x");
    }
}
