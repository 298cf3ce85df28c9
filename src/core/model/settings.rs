//! The settings of a model: an entry of `models:` in `claw.yaml`, or the `llm:` of an agent.

use crate::core::model::context_window;
use crate::core::model::price::Price;
use crate::core::program_env::ProgramEnv;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The provider that answers from a cassette.
pub const REPLAY: &str = "replay";

/// One model and its server. The same keys in an agent's `llm:` override these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Model {
    /// `openai`, `anthropic`, `ollama`, `command`, `replay` or `offline`.
    pub provider: Option<String>,
    /// The provider's name for the model.
    pub model: Option<String>,
    /// The server's base URL, including `/v1`.
    pub api_base: Option<String>,
    /// The key itself; one of the next two is safer.
    #[serde(skip_serializing)]
    pub api_key: Option<String>,
    /// The environment variable with the key.
    #[serde(skip_serializing)]
    pub api_key_env: Option<String>,
    /// The file with the key.
    #[serde(skip_serializing)]
    pub api_key_file: Option<String>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// The longest answer, in tokens.
    pub max_tokens: Option<u32>,
    /// The context window, in tokens; default by the model's name.
    pub window: Option<u64>,
    /// Whether and how much the model thinks before it answers.
    pub thinking: Option<Thinking>,
    /// `false`: the model is offered no tools, because it or its server does not support them.
    pub tools: Option<bool>,
    /// Whether the model reads images, and documents where its interface has them; default by the model's name.
    pub images: Option<bool>,
    /// `ollama`: the context window that the server allocates, in tokens.
    pub num_ctx: Option<u32>,
    /// `ollama`: how long the model stays loaded, in the server's syntax: `10m`, `-1`.
    pub keep_alive: Option<String>,
    /// `openai`: the variant of the protocol, where it does not follow from the address and the model's name.
    pub dialect: Option<String>,
    /// `openai`: the interface, `chat` (chat completions) or `responses`; default: `responses` at the service of `OpenAI`,
    /// `chat` at every other address.
    pub wire: Option<Interface>,
    /// Headers of every request, by name, for gateways; they replace those of the program.
    #[serde(skip_serializing)]
    pub headers: BTreeMap<String, String>,
    /// Fields that are merged into the body of every request; null removes a field.
    pub extra_body: Map<String, Value>,
    /// The models to use when this one cannot be reached, in this order.
    pub fallback: Vec<String>,
    /// `command`: the program and its arguments.
    pub command: Vec<String>,
    /// `command`: variables of claw's environment that the program gets besides HOME and PATH, or `inherit` for all.
    pub env: ProgramEnv,
    /// `replay`: the cassette.
    pub cassette: Option<String>,
    /// The longest wait for a connection; default 10 s.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub connect_timeout: Option<SignedDuration>,
    /// The longest wait for the first token; default 2 min.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub first_token_timeout: Option<SignedDuration>,
    /// The longest pause within an answer; default 1 min.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub idle_timeout: Option<SignedDuration>,
    /// The longest time for a whole answer; default 10 min.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub timeout: Option<SignedDuration>,
    /// The concurrency limit over all processes, in requests.
    pub max_concurrency: Option<u32>,
    /// The price of its tokens.
    #[serde(skip_serializing)]
    pub price: Option<Price>,
}

/// An interface of the `openai` provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Interface {
    /// Chat completions, which most servers have.
    Chat,
    /// Responses: the newer interface of `OpenAI`.
    Responses,
}

/// Whether requests to this URL cross a network unencrypted: plain HTTP to another machine.
#[must_use]
pub fn is_clear_text(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else { return false };
    let is_local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => true,
    };
    url.scheme() == "http" && !is_local
}

/// The problem of a header, as the end of a sentence whose subject is its name.
fn bad_header(name: &str, value: &str) -> Option<&'static str> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_name) {
        return Some("is not the name of a header");
    }
    let is_value = |b: u8| b == b'\t' || (0x20..0x7f).contains(&b);
    (!value.bytes().all(is_value)).then_some("has a value with characters that no header can carry")
}

/// The warning that a key is sent unencrypted to `url`, the value of the setting `key`.
#[must_use]
pub fn clear_text_warning(key: &str, url: &str) -> String {
    format!("{key}: the API key is sent unencrypted to {url}; use https, or a server on this machine")
}

impl Model {
    /// The first invalid key and a message to append to the model's name; an empty key means the whole entry.
    #[must_use]
    pub fn problem(&self) -> Option<(&'static str, String)> {
        let Some(provider) = &self.provider else {
            return Some(("", " has no `provider` (openai, anthropic, ollama, command, replay or offline)".to_owned()));
        };
        if let Some((name, why)) = self.headers.iter().find_map(|(name, value)| Some((name, bad_header(name, value)?)))
        {
            return Some(("headers", format!(".headers: `{name}` {why}")));
        }
        if provider == REPLAY && self.cassette.is_none() {
            return Some(("", " has no `cassette`".to_owned()));
        }
        if let Some(missing) = self.price.and_then(|price| price.missing()) {
            let message = format!(".price has no `{missing}` (for a million tokens; 0 if it costs nothing)");
            return Some(("price", message));
        }
        let is_too_small = self.window.is_some_and(|window| window < 1000);
        is_too_small.then(|| ("window", ".window is under 1000 tokens: the prompt alone would not fit".to_owned()))
    }

    /// The base URL to which the key is sent unencrypted.
    #[must_use]
    pub fn clear_text_url(&self) -> Option<&str> {
        let has_key = self.api_key.is_some() || self.api_key_env.is_some() || self.api_key_file.is_some();
        self.api_base.as_deref().filter(|base| has_key && is_clear_text(base))
    }

    /// The context window in tokens, and the source of that number.
    #[must_use]
    pub fn window(&self) -> (u64, &'static str) {
        let known = || self.model.as_deref().and_then(context_window::by_name);
        // Ollama silently drops the tokens beyond `num_ctx`.
        match (self.window.or(self.num_ctx.map(u64::from)), known()) {
            (Some(window), _) => (window, "by claw.yaml"),
            (None, Some(window)) => (window, "by its name"),
            (None, None) => (context_window::DEFAULT, "by default, because this model is unknown"),
        }
    }

    /// Overrides these settings with those that `over` has.
    pub fn merge(&mut self, over: &Self) {
        fn take<T: Clone>(into: &mut Option<T>, from: Option<&T>) {
            if let Some(value) = from {
                *into = Some(value.clone());
            }
        }
        // Price, context window and sight belong to the old model.
        if over.model.as_ref().is_some_and(|model| self.model.as_ref() != Some(model)) {
            (self.price, self.window, self.images) = (None, None, None);
        }
        take(&mut self.provider, over.provider.as_ref());
        take(&mut self.model, over.model.as_ref());
        take(&mut self.api_base, over.api_base.as_ref());
        take(&mut self.api_key, over.api_key.as_ref());
        take(&mut self.api_key_env, over.api_key_env.as_ref());
        take(&mut self.api_key_file, over.api_key_file.as_ref());
        take(&mut self.temperature, over.temperature.as_ref());
        take(&mut self.max_tokens, over.max_tokens.as_ref());
        take(&mut self.window, over.window.as_ref());
        take(&mut self.thinking, over.thinking.as_ref());
        take(&mut self.tools, over.tools.as_ref());
        take(&mut self.images, over.images.as_ref());
        take(&mut self.num_ctx, over.num_ctx.as_ref());
        take(&mut self.keep_alive, over.keep_alive.as_ref());
        take(&mut self.dialect, over.dialect.as_ref());
        take(&mut self.wire, over.wire.as_ref());
        self.headers.extend(over.headers.clone());
        self.extra_body.extend(over.extra_body.clone());
        take(&mut self.cassette, over.cassette.as_ref());
        take(&mut self.connect_timeout, over.connect_timeout.as_ref());
        take(&mut self.first_token_timeout, over.first_token_timeout.as_ref());
        take(&mut self.idle_timeout, over.idle_timeout.as_ref());
        take(&mut self.timeout, over.timeout.as_ref());
        take(&mut self.max_concurrency, over.max_concurrency.as_ref());
        take(&mut self.price, over.price.as_ref());
        if !over.fallback.is_empty() {
            self.fallback.clone_from(&over.fallback);
        }
        if over.env != ProgramEnv::default() {
            self.env.clone_from(&over.env);
        }
        if !over.command.is_empty() {
            self.command.clone_from(&over.command);
        }
    }
}

/// Whether and how much a model thinks before it answers: `true`, `false`, an effort (`low`, `medium`, `high`, or
/// another word of the service), or a number of tokens. Each provider translates it into its own format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Thinking {
    /// On, with the provider's default, or off.
    Is(bool),
    /// At most this many tokens.
    Tokens(u32),
    /// An effort by name.
    Effort(String),
}

impl Thinking {
    /// Whether thinking is switched off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        match self {
            Self::Is(thinks) => !thinks,
            Self::Tokens(tokens) => *tokens == 0,
            Self::Effort(word) => matches!(word.as_str(), "off" | "none"),
        }
    }

    /// The number of tokens, if it is set as a number.
    #[must_use]
    pub fn tokens(&self) -> Option<u32> {
        match self {
            Self::Tokens(tokens) => Some(*tokens),
            _ => None,
        }
    }

    /// The effort as a word; `None` where no amount is set.
    #[must_use]
    pub fn effort(&self) -> Option<&str> {
        match self {
            Self::Tokens(0) | Self::Is(_) => None,
            Self::Tokens(..=2048) => Some("low"),
            Self::Tokens(..=8192) => Some("medium"),
            Self::Tokens(_) => Some("high"),
            Self::Effort(word) => Some(word.as_str()).filter(|word| *word != "on"),
        }
    }

    /// The budget in tokens.
    #[must_use]
    pub fn budget(&self) -> u32 {
        match self {
            Self::Tokens(tokens) => *tokens,
            _ if self.is_off() => 0,
            Self::Effort(word) => match word.as_str() {
                "minimal" | "low" => 4096,
                "high" => 16_384,
                "xhigh" | "max" => 32_768,
                _ => 8192,
            },
            Self::Is(_) => 8192,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::text::keys;
    use serde_yaml::{Mapping, Value};
    use std::collections::BTreeSet;

    /// Every setting, each with a value of its own.
    const ALL: &str = "{provider: openai, model: a, api_base: b, api_key: c, api_key_env: d, api_key_file: e,
        temperature: 0.25, max_tokens: 10, window: 2000, thinking: low, num_ctx: 20, keep_alive: f, dialect: g,
        fallback: [h], command: [i], env: [i], cassette: j, connect_timeout: 1s, first_token_timeout: 2s, idle_timeout: 3s,
        timeout: 4s, max_concurrency: 5, price: {input: 6, output: 7}, tools: false, images: false, wire: chat, headers: {x-a: k},
        extra_body: {a: 1}}";
    const OTHER: &str = "{provider: ollama, model: A, api_base: B, api_key: C, api_key_env: D, api_key_file: E,
        temperature: 0.75, max_tokens: 11, window: 2001, thinking: high, num_ctx: 21, keep_alive: F, dialect: G,
        fallback: [H], command: [I], env: [I], cassette: J, connect_timeout: 11s, first_token_timeout: 12s, idle_timeout: 13s,
        timeout: 14s, max_concurrency: 15, price: {input: 16, output: 17}, tools: true, images: true, wire: responses,
        headers: {x-a: K}, extra_body: {a: 2}}";

    fn model(settings: &Mapping) -> Model {
        serde_yaml::from_value(Value::from(settings.clone())).unwrap()
    }

    #[test]
    fn setting_of_an_agent_overrides_the_same_setting_and_no_other() {
        let [all, other] = [ALL, OTHER].map(|text| serde_yaml::from_str::<Mapping>(text).unwrap());
        let tested: BTreeSet<&str> = other.keys().filter_map(Value::as_str).collect();
        let known = keys::of::<Model>();
        assert_eq!(&tested | &keys::of::<Price>(), known, "the table has every setting");
        for (key, value) in &other {
            let mut merged = model(&all);
            merged.merge(&model(&Mapping::from_iter([(key.clone(), value.clone())])));
            let mut expected = all.clone();
            expected.insert(key.clone(), value.clone());
            if *key == "model" {
                // They belong to the old model.
                expected.remove("price");
                expected.remove("window");
                expected.remove("images");
            }
            assert_eq!(merged, model(&expected), "{key:?}");
        }
        let mut merged = model(&all);
        merged.merge(&Model::default());
        assert_eq!(merged, model(&all));
        merged.merge(&model(&other));
        assert_eq!(merged, model(&other));
    }

    #[test]
    fn words_and_numbers_of_thinking_have_a_budget_and_an_effort() {
        for (yaml, is_off, budget, effort) in [
            ("true", false, 8192, None),
            ("false", true, 0, None),
            ("off", true, 0, Some("off")),
            ("none", true, 0, Some("none")),
            ("on", false, 8192, None),
            ("minimal", false, 4096, Some("minimal")),
            ("low", false, 4096, Some("low")),
            ("medium", false, 8192, Some("medium")),
            ("high", false, 16_384, Some("high")),
            ("xhigh", false, 32_768, Some("xhigh")),
            ("max", false, 32_768, Some("max")),
            ("0", true, 0, None),
            ("1", false, 1, Some("low")),
            ("2048", false, 2048, Some("low")),
            ("2049", false, 2049, Some("medium")),
            ("8192", false, 8192, Some("medium")),
            ("8193", false, 8193, Some("high")),
        ] {
            let thinking: Thinking = serde_yaml::from_str(yaml).unwrap();
            assert_eq!((thinking.is_off(), thinking.budget(), thinking.effort()), (is_off, budget, effort), "{yaml}");
        }
    }

    #[test]
    fn window_has_a_thousand_tokens_at_least() {
        let problem = |window: u64| {
            let model = Model { provider: Some("openai".into()), window: Some(window), ..Model::default() };
            model.problem().map(|(key, _)| key)
        };
        assert_eq!([999, 1000, 1001].map(problem), [Some("window"), None, None]);
    }
}
