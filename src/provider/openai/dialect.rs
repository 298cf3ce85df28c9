//! Differences between the requests that servers of this interface accept. A row per known server, selected by its host
//! and the model's name, or by `dialect:` in the settings. Differences between answers need no row: every known shape is
//! accepted from every server (`chunk`).

use crate::core::fault::{Fault, Result};
use crate::core::model::effort::{self, Efforts};
use crate::core::model::settings::{Model, Thinking};
use crate::core::model::structured;
use crate::core::text::problem::nearest;
use serde_json::{Value, json};

/// The part of an answer that is sent back beside its text and calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    /// Nothing: some servers refuse unknown fields.
    Nothing,
    /// `reasoning_content`, with every message that calls a tool, for the whole conversation; empty if there was no
    /// thought.
    Text,
    /// `reasoning_details`, unchanged.
    Details,
    /// `extra_content` of every call, unchanged.
    Signatures,
}

/// The request field that controls thinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// None.
    Fixed,
    /// `reasoning_effort`.
    Word,
    /// `thinking`, on or off, and `reasoning_effort`.
    Switch,
    /// `reasoning`, an object.
    Object,
}

#[derive(Debug)]
pub(super) struct Dialect {
    name: &'static str,
    /// Host names; subdomains match too.
    hosts: &'static [&'static str],
    /// Prefixes of model names after the last slash; empty for every model.
    models: &'static [&'static str],
    /// The field with the longest answer in tokens.
    pub(super) max_tokens: &'static str,
    pub(super) has_temperature: bool,
    /// It accepts `stream_options`, which requests the token counts of a stream.
    pub(super) reports_usage: bool,
    /// The role of the prompt.
    pub(super) prompt_role: &'static str,
    pub(super) echo: Echo,
    effort: Effort,
    /// The words for the effort that its models accept.
    efforts: &'static [Efforts],
    /// It accepts PDF documents as parts of a message.
    pub(super) has_documents: bool,
    /// Prefixes of the models whose requests have marks for the cache.
    marked: &'static [&'static str],
    /// Prefixes of the models whose answers it binds to a JSON Schema, beside tools.
    structured: &'static [&'static str],
}

/// The dialect of unknown servers.
const PLAIN: Dialect = Dialect {
    name: "plain",
    hosts: &[],
    models: &[],
    max_tokens: "max_tokens",
    has_temperature: true,
    reports_usage: true,
    prompt_role: "system",
    echo: Echo::Nothing,
    effort: Effort::Word,
    efforts: &[],
    has_documents: false,
    marked: &[],
    structured: &[],
};

const OPENAI: &[&str] = &["api.openai.com", "openai.azure.com"];

/// The first matching row applies.
const DIALECTS: &[Dialect] = &[
    // Its name begins like those of the next row, but it does not think.
    Dialect {
        name: "openai-chat",
        hosts: OPENAI,
        models: &["gpt-5-chat"],
        has_documents: true,
        max_tokens: "max_completion_tokens",
        efforts: effort::OPENAI,
        structured: structured::OPENAI,
        ..PLAIN
    },
    Dialect {
        name: "openai-reasoning",
        hosts: OPENAI,
        models: &["o1", "o3", "o4", "gpt-5", "gpt-6", "codex"],
        has_documents: true,
        max_tokens: "max_completion_tokens",
        has_temperature: false,
        prompt_role: "developer",
        efforts: effort::OPENAI,
        structured: structured::OPENAI,
        ..PLAIN
    },
    Dialect {
        name: "openai",
        hosts: OPENAI,
        max_tokens: "max_completion_tokens",
        efforts: effort::OPENAI,
        structured: structured::OPENAI,
        has_documents: true,
        ..PLAIN
    },
    // Refuses a request without the thoughts of every call (api-docs.deepseek.com/guides/thinking_mode).
    Dialect { name: "deepseek", hosts: &["deepseek.com"], echo: Echo::Text, effort: Effort::Switch, ..PLAIN },
    Dialect {
        name: "moonshot",
        hosts: &["moonshot.ai", "moonshot.cn"],
        echo: Echo::Text,
        effort: Effort::Switch,
        ..PLAIN
    },
    Dialect { name: "zhipu", hosts: &["z.ai", "bigmodel.cn"], echo: Echo::Text, effort: Effort::Switch, ..PLAIN },
    // Anthropic's models behind it cache only what is marked (openrouter.ai/docs/features/prompt-caching).
    Dialect {
        name: "openrouter",
        hosts: &["openrouter.ai"],
        echo: Echo::Details,
        effort: Effort::Object,
        has_documents: true,
        marked: &["anthropic/"],
        ..PLAIN
    },
    // Gemini 3 refuses a call that is sent back without its signature.
    Dialect {
        name: "gemini",
        hosts: &["generativelanguage.googleapis.com", "aiplatform.googleapis.com"],
        echo: Echo::Signatures,
        efforts: effort::GEMINI,
        ..PLAIN
    },
    // Refuses unknown fields, and reports token counts without being asked.
    Dialect { name: "mistral", hosts: &["mistral.ai"], reports_usage: false, effort: Effort::Fixed, ..PLAIN },
    Dialect { name: "groq", hosts: &["groq.com"], max_tokens: "max_completion_tokens", ..PLAIN },
    Dialect { name: "xai", hosts: &["x.ai"], max_tokens: "max_completion_tokens", efforts: effort::XAI, ..PLAIN },
    Dialect { name: "cerebras", hosts: &["cerebras.ai"], max_tokens: "max_completion_tokens", ..PLAIN },
    PLAIN,
];

/// The names of all dialects.
pub fn names() -> impl Iterator<Item = &'static str> {
    DIALECTS.iter().map(|dialect| dialect.name)
}

/// The dialect of a model with these settings; `base` is the URL of its server.
pub(super) fn of(name: &str, settings: &Model, base: &str) -> Result<&'static Dialect> {
    if let Some(wanted) = &settings.dialect {
        return DIALECTS.iter().find(|dialect| dialect.name == wanted).ok_or_else(|| unknown(name, wanted));
    }
    let url = url::Url::parse(base).ok();
    let host = url.as_ref().and_then(url::Url::host_str).unwrap_or_default();
    let model = settings.model.as_deref().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_lowercase();
    let is_host = |known: &&str| host == *known || host.strip_suffix(known).is_some_and(|rest| rest.ends_with('.'));
    let is_model = |prefix: &&str| model.starts_with(prefix);
    let matches = |dialect: &&Dialect| {
        dialect.hosts.iter().any(is_host) && (dialect.models.is_empty() || dialect.models.iter().any(is_model))
    };
    Ok(DIALECTS.iter().find(matches).unwrap_or(&PLAIN))
}

fn unknown(name: &str, wanted: &str) -> Fault {
    let fault = Fault::config(format!("model {name}: there is no dialect `{wanted}`"));
    match nearest(wanted, names()) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint(format!("there are: {}", names().collect::<Vec<_>>().join(", "))),
    }
}

impl Dialect {
    /// Whether requests to this model have marks for the cache.
    pub(super) fn marks_cache(&self, model: &str) -> bool {
        self.marked.iter().any(|prefix| model.starts_with(prefix))
    }

    /// Whether the answers of this model are bound to the schema of a request.
    pub(super) fn binds_answers(&self, model: &str) -> bool {
        structured::is_bound(self.structured, model)
    }

    /// Writes the thinking setting into a request.
    pub(super) fn think(&self, body: &mut Value, model: &str, thinking: &Thinking) {
        let word = thinking.effort().filter(|_| !thinking.is_off());
        match self.effort {
            Effort::Fixed => {}
            Effort::Word => {
                let wanted = word.or(thinking.is_off().then_some("none"));
                if let Some(word) = wanted.and_then(|word| effort::accepted(self.efforts, model, word)) {
                    body["reasoning_effort"] = json!(word);
                }
            }
            Effort::Switch => {
                body["thinking"] = json!({"type": if thinking.is_off() { "disabled" } else { "enabled" }});
                if let Some(word) = word {
                    body["reasoning_effort"] = json!(word);
                }
            }
            Effort::Object => {
                body["reasoning"] = match (thinking.tokens().filter(|n| *n > 0), word) {
                    (Some(tokens), _) => json!({"max_tokens": tokens}),
                    (None, Some(word)) => json!({"effort": word}),
                    (None, None) => json!({"enabled": !thinking.is_off()}),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(base: &str, model: &str) -> &'static str {
        of("m", &Model { model: Some(model.into()), ..Model::default() }, base).unwrap().name
    }

    #[test]
    fn dialect_is_selected_by_host_and_model_name() {
        let cases = [
            ("https://api.openai.com/v1", "gpt-4o", "openai"),
            ("https://api.openai.com/v1", "gpt-5-mini", "openai-reasoning"),
            ("https://api.openai.com/v1", "gpt-5-chat-latest", "openai-chat"),
            ("https://me.openai.azure.com/openai/v1", "o4-mini", "openai-reasoning"),
            ("https://openrouter.ai/api/v1", "openai/gpt-5", "openrouter"),
            ("https://api.deepseek.com", "deepseek-chat", "deepseek"),
            ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-3-pro", "gemini"),
            ("https://api.x.ai/v1", "grok-4", "xai"),
            ("https://max.ai/v1", "grok-4", "plain"),
            ("http://127.0.0.1:8080/v1", "gpt-5", "plain"),
            ("nonsense", "", "plain"),
        ];
        for (base, model, dialect) in cases {
            assert_eq!(named(base, model), dialect, "{base} {model}");
        }
    }

    #[test]
    fn configured_dialect_takes_precedence_and_unknown_name_gets_a_suggestion() {
        let settings = |dialect: &str| Model { dialect: Some(dialect.into()), ..Model::default() };
        assert_eq!(of("m", &settings("deepseek"), "http://127.0.0.1/v1").unwrap().echo, Echo::Text);
        let fault = of("m", &settings("depseek"), "http://127.0.0.1/v1").unwrap_err();
        assert_eq!(fault.to_string(), "model m: there is no dialect `depseek` (did you mean `deepseek`?)");
    }

    #[test]
    fn thinking_is_written_in_the_field_of_the_dialect() {
        let written = |base: &str, yaml: &str| {
            let mut body = json!({});
            let dialect = of("m", &Model::default(), base).unwrap();
            dialect.think(&mut body, "m", &serde_yaml::from_str(yaml).unwrap());
            body
        };
        assert_eq!(written("http://localhost/v1", "low"), json!({"reasoning_effort": "low"}));
        assert_eq!(written("http://localhost/v1", "false"), json!({"reasoning_effort": "none"}));
        assert_eq!(written("http://localhost/v1", "true"), json!({}));
        assert_eq!(written("https://api.deepseek.com", "off"), json!({"thinking": {"type": "disabled"}}));
        let both = json!({"thinking": {"type": "enabled"}, "reasoning_effort": "high"});
        assert_eq!(written("https://api.deepseek.com", "high"), both);
        assert_eq!(written("https://openrouter.ai/api/v1", "5000"), json!({"reasoning": {"max_tokens": 5000}}));
        assert_eq!(written("https://openrouter.ai/api/v1", "off"), json!({"reasoning": {"enabled": false}}));
        assert_eq!(written("https://api.mistral.ai/v1", "high"), json!({}));
    }
}
