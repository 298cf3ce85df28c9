//! Keys, by their values. They are hidden in everything that is written to disk or sent on.

use crate::core::channel::settings::ChannelSettings;
use crate::core::channel::web::hook::Hook;
use crate::core::definition::Agent;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::settings::Model;
use crate::store::agent::definitions;
use crate::store::fs::unreadable;
use crate::store::workspace::Workspace;
use std::fs;

/// The replacement of a key.
const HIDDEN: &str = "[hidden]";
/// The length from which a value counts as a key, in bytes. A shorter one would be hidden in the middle of words.
const SHORTEST: usize = 8;
/// The endings of environment variables that contain secrets.
const NAMES: [&str; 4] = ["_KEY", "_TOKEN", "_SECRET", "_PASSWORD"];

/// The key of a model; `None` if it has none.
///
/// # Errors
/// `Config` if the variable is not set, or the file cannot be read.
pub fn key(workspace: &Workspace, name: &str, model: &Model) -> Result<Option<String>> {
    read(workspace, &format!("model {name}"), [&model.api_key_env, &model.api_key_file, &model.api_key])
}

/// The key of the search service; `None` if it has none.
///
/// # Errors
/// As [`key`].
pub fn search_key(workspace: &Workspace) -> Result<Option<String>> {
    let Some(search) = &workspace.config()?.web.search else { return Ok(None) };
    read(workspace, "web.search", [&search.api_key_env, &search.api_key_file, &search.api_key])
}

/// The token of the channel `name`; `None` if it has none.
///
/// # Errors
/// As [`key`].
pub fn channel_token(workspace: &Workspace, name: &str, settings: &ChannelSettings) -> Result<Option<String>> {
    read(workspace, &format!("channels.{name}"), [&settings.token_env, &settings.token_file, &settings.token])
}

/// The secret of a webhook.
///
/// # Errors
/// `Config` if the variable is not set, the file cannot be read, or it is empty.
pub fn hook_secret(workspace: &Workspace, name: &str, hook: &Hook) -> Result<String> {
    let owner = format!("webhook {name}");
    let secret = read(workspace, &owner, [&hook.secret_env, &hook.secret_file, &None])?;
    secret.ok_or_else(|| Fault::config(format!("{owner}: the secret is empty")))
}

/// A key from an environment variable, a file, or the setting itself. A key of nothing but white space is none.
fn read(workspace: &Workspace, owner: &str, [variable, file, itself]: [&Option<String>; 3]) -> Result<Option<String>> {
    if let Some(variable) = variable {
        let key = workspace.world.var(variable);
        return key
            .map(cleaned)
            .ok_or_else(|| Fault::config(format!("{owner}: the environment variable {variable} is not set")));
    }
    if let Some(file) = file {
        let path = workspace.root.join(file);
        let text = fs::read_to_string(&path)
            .map_err(|e| unreadable(&format!("{owner}: the key file {}", path.display()), &path, &e))?;
        return Ok(cleaned(&text));
    }
    Ok(itself.as_deref().and_then(cleaned))
}

/// A key without what editors and shells add: white space and line ends around it, and a byte order mark.
#[must_use]
pub fn cleaned(text: &str) -> Option<String> {
    let key = text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}' | '\0'));
    Some(key.to_owned()).filter(|key| !key.is_empty())
}

/// Whether a header carries a credential by its name.
#[must_use]
pub fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "key", "token", "secret", "cookie", "password"].iter().any(|part| name.contains(part))
}

/// The values of all known keys, longest first.
#[derive(Debug, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// The keys of all models, including those in AGENT.md files, of the search service and of channels; and every
    /// environment variable named like a key, a token, a secret or a password.
    ///
    /// # Errors
    /// If a key file or the settings cannot be read because of the machine: an unknown key cannot be hidden.
    pub fn of(workspace: &Workspace, agent: &Agent) -> Result<Self> {
        Self::with(workspace, &agent.llm)
    }

    /// As [`Secrets::of`], with the key of this model instead of the agent's.
    ///
    /// # Errors
    /// As [`Secrets::of`].
    pub fn with(workspace: &Workspace, model: &Model) -> Result<Self> {
        let config = workspace.config()?;
        let llms = definitions::llms(workspace)?;
        let models = config.models.values().chain(llms.iter().map(|llm| &**llm)).chain([model]);
        let mut values = Vec::new();
        let tokens = config.channels.named.iter().map(|(name, channel)| channel_token(workspace, name, channel));
        let keys = models.clone().map(|model| key(workspace, "", model));
        for key in keys.chain([search_key(workspace)]).chain(tokens) {
            match key {
                Err(fault) if fault.kind == Kind::Machine => return Err(fault),
                // A missing key needs no hiding.
                key => values.extend(key.ok().flatten()),
            }
        }
        let headers = models.flat_map(|model| &model.headers).filter(|(name, _)| is_secret_header(name));
        values.extend(headers.map(|(_, value)| value.clone()));
        let is_secret = |name: &str| NAMES.iter().any(|end| name.ends_with(end));
        let secret = workspace.world.vars().filter(|(name, _)| is_secret(name));
        values.extend(secret.filter_map(|(_, value)| cleaned(value)));
        values.retain(|value| value.len() >= SHORTEST);
        // Longest first: a key may be the beginning of another.
        values.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Ok(Self(values))
    }

    /// Whether the text contains none of the keys.
    #[must_use]
    pub fn are_absent_from(&self, text: &str) -> bool {
        !self.0.iter().any(|secret| text.contains(secret))
    }

    /// The length of the longest key, in bytes: so much of an unfinished text may be the beginning of one.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.0.first().map_or(0, String::len)
    }

    /// The text with every key replaced by `[hidden]`.
    #[must_use]
    pub fn hide(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| if text.contains(secret) { text.replace(secret, HIDDEN) } else { text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_cleaned_of_what_editors_add() {
        for text in ["sk-1", " sk-1\r\n", "\u{feff}sk-1\n", "\tsk-1\u{200b}"] {
            assert_eq!(cleaned(text).as_deref(), Some("sk-1"), "{text:?}");
        }
        assert_eq!([cleaned(""), cleaned(" \n"), cleaned("\u{feff}\n")], [None, None, None]);
    }

    #[test]
    fn longer_key_is_hidden_first() {
        let secrets = Secrets(vec!["sk-abcdef-more".into(), "sk-abcdef".into()]);
        assert_eq!(secrets.hide("a sk-abcdef-more b sk-abcdef c".into()), "a [hidden] b [hidden] c");
        assert_eq!(Secrets::default().hide("x".into()), "x");
    }
}
