//! The settings `web:` of `claw.yaml` and of agents. A web tool is offered only if it is configured.

use crate::core::fault::{Fault, Result};
use crate::core::model::settings::is_clear_text;
use crate::core::web::url_policy::{Hosts, PrivateHost};
use serde::Deserialize;

/// The settings `web:` of `claw.yaml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Web {
    /// The search service of `websearch`.
    pub search: Option<SearchSettings>,
    /// Whether agents have the tool `webread`.
    pub read: bool,
    /// The proxy of both tools. Proxies in the environment are never used.
    pub proxy: Option<String>,
    /// Hosts that may be read although they are not on the public internet.
    pub allow_private: Vec<PrivateHost>,
}

/// A search service.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SearchSettings {
    /// The service.
    pub provider: Engine,
    /// The base URL; default: the service's public one.
    #[serde(default)]
    pub api_base: Option<String>,
    /// The API key itself; `api_key_env` and `api_key_file` are safer.
    #[serde(default)]
    pub api_key: Option<String>,
    /// The environment variable that contains the key.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// The file that contains the key.
    #[serde(default)]
    pub api_key_file: Option<String>,
}

/// The supported search services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The Brave Search API.
    Brave,
    /// A `SearXNG` instance; JSON output must be enabled in it.
    Searxng,
    /// Tavily.
    Tavily,
}

impl Web {
    /// The first invalid setting, as its key and a message.
    #[must_use]
    pub fn invalid(&self) -> Option<(&'static str, String)> {
        let is_url = |text: &str| {
            let url = url::Url::parse(text);
            url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        };
        if let Some(proxy) = self.proxy.as_deref().filter(|proxy| !is_url(proxy)) {
            return Some(("web.proxy", format!("web.proxy: `{proxy}` is not an http:// or https:// URL")));
        }
        let search = self.search.as_ref()?;
        match search.api_base.as_deref() {
            Some(base) if !is_url(base) => Some((
                "web.search.api_base",
                format!("web.search.api_base: `{base}` is not an http:// or https:// URL"),
            )),
            None if search.provider == Engine::Searxng => {
                Some(("web.search", "web.search: searxng needs `api_base`, like http://127.0.0.1:8080".to_owned()))
            }
            None if !search.has_key() => {
                Some(("web.search", "web.search needs an API key: set api_key_env or api_key_file".to_owned()))
            }
            _ => None,
        }
    }
}

impl SearchSettings {
    /// The base URL to which the key is sent unencrypted.
    #[must_use]
    pub fn clear_text_url(&self) -> Option<&str> {
        self.api_base.as_deref().filter(|base| self.has_key() && is_clear_text(base))
    }

    fn has_key(&self) -> bool {
        self.api_key.is_some() || self.api_key_env.is_some() || self.api_key_file.is_some()
    }
}

/// The settings `web:` of an AGENT.md.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct AgentWeb {
    /// The hosts that the agent may read; default: all public hosts.
    pub hosts: Option<Hosts>,
}

impl AgentWeb {
    /// Whether the agent may read this host.
    ///
    /// # Errors
    /// `Data` if it may not.
    pub fn allows(&self, host: &str) -> Result<()> {
        match &self.hosts {
            Some(hosts) if !hosts.has(host) => {
                let message = format!("{host} is not among the hosts that this agent may read");
                Err(Fault::data(message).hint("they are listed in its AGENT.md, under web: hosts:"))
            }
            _ => Ok(()),
        }
    }
}
