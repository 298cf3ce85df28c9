//! The services that `claw setup` and `claw init` know: where they are, and how their keys look. A service is a row;
//! every other server is set up by its URL.

use crate::core::fault::{Fault, Result};
use crate::core::model::settings::Model;
use url::Url;

/// A service with models.
#[derive(Debug, PartialEq, Eq)]
pub struct Service {
    /// The word that `claw setup --provider` takes.
    pub id: &'static str,
    /// Its name.
    pub title: &'static str,
    /// The provider of its protocol.
    pub provider: &'static str,
    /// Its base URL; `None`: the provider's own, or one that the user names.
    pub api_base: Option<&'static str>,
    /// The environment variable in which other programs expect its key; empty for a service without keys.
    pub key_env: &'static str,
    /// The environment variable that replaces its base URL.
    pub base_env: &'static str,
    /// The beginning of its keys; empty if they have none.
    pub prefix: &'static str,
    /// A model to begin with; empty if the user must name one.
    pub model: &'static str,
    /// The name of its model in `claw.yaml`.
    pub name: &'static str,
    /// The page on which keys are made.
    pub page: &'static str,
}

const OPENAI: Service = Service {
    id: "openai",
    title: "OpenAI",
    provider: "openai",
    api_base: None,
    key_env: "OPENAI_API_KEY",
    base_env: "OPENAI_BASE_URL",
    prefix: "sk-",
    model: "gpt-5-mini",
    name: "gpt",
    page: "https://platform.openai.com/api-keys",
};

/// The id of a server that the user names by its URL.
pub const COMPATIBLE: &str = "compatible";
/// The id of a program that answers.
pub const PROGRAM: &str = "program";
/// The id of a server on the user's machine.
pub const OLLAMA: &str = "ollama";

/// Every service, in the order in which a key in the environment is taken.
pub const SERVICES: &[Service] = &[
    OPENAI,
    Service {
        id: "anthropic",
        title: "Anthropic",
        provider: "anthropic",
        key_env: "ANTHROPIC_API_KEY",
        base_env: "ANTHROPIC_BASE_URL",
        prefix: "sk-ant-",
        model: "claude-sonnet-5",
        name: "claude",
        page: "https://platform.claude.com/settings/keys",
        ..OPENAI
    },
    Service {
        id: "gemini",
        title: "Google Gemini",
        api_base: Some("https://generativelanguage.googleapis.com/v1beta/openai"),
        key_env: "GEMINI_API_KEY",
        base_env: "",
        prefix: "AIza",
        model: "gemini-3.5-flash",
        name: "gemini",
        page: "https://aistudio.google.com/apikey",
        ..OPENAI
    },
    Service {
        id: "openrouter",
        title: "OpenRouter",
        api_base: Some("https://openrouter.ai/api/v1"),
        key_env: "OPENROUTER_API_KEY",
        base_env: "",
        prefix: "sk-or-",
        model: "openrouter/auto",
        name: "openrouter",
        page: "https://openrouter.ai/settings/keys",
        ..OPENAI
    },
    Service {
        id: "groq",
        title: "Groq",
        api_base: Some("https://api.groq.com/openai/v1"),
        key_env: "GROQ_API_KEY",
        base_env: "",
        prefix: "gsk_",
        model: "openai/gpt-oss-120b",
        name: "groq",
        page: "https://console.groq.com/keys",
        ..OPENAI
    },
    Service {
        id: "mistral",
        title: "Mistral",
        api_base: Some("https://api.mistral.ai/v1"),
        key_env: "MISTRAL_API_KEY",
        base_env: "",
        prefix: "",
        model: "mistral-medium-latest",
        name: "mistral",
        page: "https://console.mistral.ai/api-keys",
        ..OPENAI
    },
    Service {
        id: "deepseek",
        title: "DeepSeek",
        api_base: Some("https://api.deepseek.com/v1"),
        key_env: "DEEPSEEK_API_KEY",
        base_env: "",
        model: "deepseek-chat",
        name: "deepseek",
        page: "https://platform.deepseek.com/api_keys",
        ..OPENAI
    },
    Service {
        id: OLLAMA,
        title: "Ollama, on this machine",
        provider: "ollama",
        key_env: "",
        base_env: "",
        prefix: "",
        model: "",
        name: "ollama",
        page: "",
        ..OPENAI
    },
    Service {
        id: COMPATIBLE,
        title: "another server that is compatible with OpenAI's, by its URL",
        key_env: "",
        base_env: "",
        prefix: "",
        model: "",
        name: "server",
        page: "",
        ..OPENAI
    },
    Service {
        id: PROGRAM,
        title: "a program: JSON on stdin, the answer on stdout",
        provider: "command",
        key_env: "",
        base_env: "",
        prefix: "",
        model: "",
        name: "program",
        page: "",
        ..OPENAI
    },
];

impl Service {
    /// The row of an id.
    #[must_use]
    pub fn named(id: &str) -> Option<&'static Self> {
        SERVICES.iter().find(|service| service.id == id)
    }

    /// The service of a configured model, by its provider and its host.
    #[must_use]
    pub fn of(model: &Model) -> &'static Self {
        let host = |url: &str| Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let (provider, own) = (model.provider.as_deref().unwrap_or_default(), model.api_base.as_deref().and_then(host));
        let is_of = |service: &&Self| {
            service.provider == provider && service.id != COMPATIBLE && service.api_base.and_then(host) == own
        };
        let other = if provider == "ollama" { OLLAMA } else { COMPATIBLE };
        SERVICES.iter().find(is_of).or_else(|| Self::named(other)).unwrap_or(&OPENAI)
    }

    /// Whether it has keys of its own.
    #[must_use]
    pub fn has_key(&self) -> bool {
        !self.key_env.is_empty()
    }
}

/// The key, without the white space around it, if it can be one.
///
/// # Errors
/// `Data` if it is empty, or has spaces, line breaks or characters that no HTTP header can carry; with the likely reason.
pub fn check_key(text: &str) -> Result<&str> {
    let key = text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'));
    let why = match key {
        "" => "it is empty",
        key if key.contains(['\n', '\r']) => "it has several lines: paste the key alone",
        key if key.contains(char::is_whitespace) => "it has a space in it: paste the key alone",
        key if key.contains('=') && key.split('=').next().is_some_and(|name| name.ends_with("_KEY")) => {
            "it is an assignment: leave out the name and the ="
        }
        key if key.starts_with(['"', '\'']) || key.ends_with(['"', '\'']) => "it has quotes around it",
        key if key.contains(|c: char| !c.is_ascii_graphic()) => "it has characters that no key has",
        key if key.len() > 4096 => "it is longer than 4096 characters",
        key => return Ok(key),
    };
    Err(Fault::data(format!("this is no key: {why}")))
}

/// The reason to doubt that `key` is one of `service`: another service's beginning, or not its own.
#[must_use]
pub fn doubt(service: &Service, key: &str) -> Option<String> {
    if service.id == COMPATIBLE {
        return None;
    }
    let longest = |row: &&Service| row.prefix.len();
    // Servers of all kinds have keys that begin with `sk-`.
    let begins = |row: &&Service| !["", OPENAI.prefix].contains(&row.prefix) && key.starts_with(row.prefix);
    let other = SERVICES.iter().filter(begins).max_by_key(longest);
    if let Some(other) = other.filter(|other| other.prefix != service.prefix) {
        return Some(format!("it begins with `{}`, as the keys of {} do", other.prefix, other.title));
    }
    let is_foreign = !service.prefix.is_empty() && !key.starts_with(service.prefix);
    is_foreign.then(|| format!("keys of {} begin with `{}`", service.title, service.prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_that_cannot_be_one_is_explained() {
        let error = |key: &str| check_key(key).unwrap_err().message;
        assert_eq!(check_key(" sk-1\r\n"), Ok("sk-1"));
        assert_eq!(check_key("\u{feff}a=b=="), Ok("a=b=="));
        for (key, why) in [
            (" \n", "empty"),
            ("sk-1\nsk-2", "several lines"),
            ("sk- 1", "a space"),
            ("OPENAI_API_KEY=sk-1", "assignment"),
            ("\"sk-1\"", "quotes"),
            ("sk-ключ", "characters"),
            ("sk-\u{7}1", "characters"),
        ] {
            assert!(error(key).contains(why), "{key:?}: {}", error(key));
        }
        assert!(error(&"k".repeat(5000)).contains("4096"));
    }

    #[test]
    fn key_of_another_service_is_doubted() {
        let doubt = |id: &str, key: &str| doubt(Service::named(id).unwrap(), key);
        assert_eq!(doubt("openai", "sk-proj-1"), None);
        assert!(doubt("openai", "sk-ant-1").unwrap().contains("Anthropic"));
        assert!(doubt("anthropic", "sk-1").unwrap().contains("`sk-ant-`"));
        assert!(doubt("deepseek", "sk-or-1").unwrap().contains("OpenRouter"));
        assert!(doubt("groq", "abc").unwrap().contains("gsk_"));
        assert_eq!([doubt("mistral", "abc"), doubt(COMPATIBLE, "abc"), doubt("deepseek", "sk-1")], [None, None, None]);
        assert!(doubt("mistral", "gsk_1").unwrap().contains("Groq"));
        assert_eq!([doubt("mistral", "sk-1"), doubt(COMPATIBLE, "sk-ant-1")], [None, None]);
    }

    #[test]
    fn service_of_a_model_is_found_by_its_host() {
        let of = |provider: &str, base: Option<&str>| {
            let (provider, api_base) = (Some(provider.to_owned()), base.map(str::to_owned));
            Service::of(&Model { provider, api_base, ..Model::default() }).id
        };
        assert_eq!(of("openai", None), "openai");
        assert_eq!(of("openai", Some("https://api.groq.com/openai/v1/")), "groq");
        assert_eq!(of("openai", Some("http://127.0.0.1:1/v1")), COMPATIBLE);
        assert_eq!(of("ollama", Some("http://127.0.0.1:11434")), OLLAMA);
        assert_eq!(of("anthropic", None), "anthropic");
        assert_eq!(of("command", None), PROGRAM);
    }
}
