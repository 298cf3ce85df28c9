//! How the web is reached: `web:` in `claw.yaml`. Each tool is there only where it is set up.

use crate::core::fault::{Fault, Result};
use crate::core::web::url_policy::{Hosts, PrivateHost};
use serde::Deserialize;

/// The settings of the web tools.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Web {
    /// Who is asked by `websearch`.
    pub search: Option<SearchSettings>,
    /// Whether agents have `webread`.
    pub read: bool,
    /// The proxy for both. The environment's is never used.
    pub proxy: Option<String>,
    /// What may be read although it is not on the public internet.
    pub allow_private: Vec<PrivateHost>,
}

/// A search service.
#[derive(Clone, Debug, Deserialize)]
pub struct SearchSettings {
    /// Which one.
    pub provider: Engine,
    /// Its base URL, where it is not the service's own.
    #[serde(default)]
    pub api_base: Option<String>,
    /// The key itself; better one of the next two.
    #[serde(default)]
    pub api_key: Option<String>,
    /// The environment variable that has the key.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// The file that has the key.
    #[serde(default)]
    pub api_key_file: Option<String>,
}

/// The search services that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The Brave Search API.
    Brave,
    /// A `SearXNG` of one's own, which must serve JSON.
    Searxng,
    /// Tavily.
    Tavily,
}

/// The keys of `web:`, besides those that a model has too.
pub const WEB_KEYS: &[&str] = &["web", "search", "read", "proxy", "allow_private"];

impl Web {
    /// What is wrong with them: the key, and why.
    #[must_use]
    pub fn invalid(&self) -> Option<(&'static str, String)> {
        let is_url = |text: &str| {
            let url = url::Url::parse(text);
            url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        };
        if let Some(proxy) = self.proxy.as_deref().filter(|proxy| !is_url(proxy)) {
            return Some(("web.proxy", format!("web.proxy: `{proxy}` is no http:// or https:// URL")));
        }
        let search = self.search.as_ref()?;
        match search.api_base.as_deref() {
            Some(base) if !is_url(base) => {
                Some(("web.search.api_base", format!("web.search.api_base: `{base}` is no http:// or https:// URL")))
            }
            None if search.provider == Engine::Searxng => {
                Some(("web.search", "web.search: searxng needs its `api_base`, like http://127.0.0.1:8080".to_owned()))
            }
            None if !search.has_key() => {
                Some(("web.search", "web.search: it needs a key: name it by api_key_env or api_key_file".to_owned()))
            }
            _ => None,
        }
    }
}

impl SearchSettings {
    fn has_key(&self) -> bool {
        self.api_key.is_some() || self.api_key_env.is_some() || self.api_key_file.is_some()
    }
}

/// What an agent's file says about the web.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AgentWeb {
    /// The hosts that it may read; all that are public where it does not say.
    pub hosts: Option<Hosts>,
}

impl AgentWeb {
    /// Whether the agent may read this host.
    ///
    /// # Errors
    /// `Data` where it may not.
    pub fn allows(&self, host: &str) -> Result<()> {
        match &self.hosts {
            Some(hosts) if !hosts.has(host) => {
                let what = format!("{host} is none of the hosts that this agent may read");
                Err(Fault::data(what).hint("they are in its AGENT.md, under web: hosts:"))
            }
            _ => Ok(()),
        }
    }
}
