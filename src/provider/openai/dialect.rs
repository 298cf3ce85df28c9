//! In what servers of this interface differ when they are asked. A row for each that is known, by its address and
//! the model's name; `dialect:` in the settings names one where these do not say. What differs in answers needs no
//! row: every shape is read from everybody (`chunk`).

use crate::core::fault::{Fault, Result};
use crate::core::model::settings::{Model, Thinking};
use crate::core::text::problem::nearest;
use serde_json::{Value, json};

/// What goes back of an answer beside what was said and called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    /// Nothing: some servers refuse a field that they do not know.
    Nothing,
    /// `reasoning_content`, with everything that called a tool, as long as the conversation lasts; empty where
    /// there was none.
    Text,
    /// `reasoning_details`, as they came.
    Details,
    /// Every call's `extra_content`, as it came.
    Signatures,
}

/// How the service is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// It cannot be told.
    Fixed,
    /// `reasoning_effort`, a word.
    Word,
    /// `thinking`, on or off, and the word besides.
    Switch,
    /// `reasoning`, an object.
    Object,
}

#[derive(Debug)]
pub(super) struct Dialect {
    name: &'static str,
    /// The end of the server's name.
    hosts: &'static [&'static str],
    /// The beginnings of the models' names, behind the last slash; all, where there are none.
    models: &'static [&'static str],
    /// What the most tokens of an answer are called.
    pub(super) most: &'static str,
    pub(super) has_temperature: bool,
    /// It counts tokens in a stream where it is asked to, and does not refuse the call.
    pub(super) counts: bool,
    /// Whose message the prompt is.
    pub(super) prompt: &'static str,
    pub(super) echo: Echo,
    effort: Effort,
}

/// What a server is taken for of which nothing is known.
const PLAIN: Dialect = Dialect {
    name: "plain",
    hosts: &[],
    models: &[],
    most: "max_tokens",
    has_temperature: true,
    counts: true,
    prompt: "system",
    echo: Echo::Nothing,
    effort: Effort::Word,
};

const OPENAI: &[&str] = &["api.openai.com", "openai.azure.com"];

/// The first row that fits is the one.
const DIALECTS: &[Dialect] = &[
    // It has the name of the next row's, and does not think.
    Dialect { name: "openai-chat", hosts: OPENAI, models: &["gpt-5-chat"], most: "max_completion_tokens", ..PLAIN },
    Dialect {
        name: "openai-reasoning",
        hosts: OPENAI,
        models: &["o1", "o3", "o4", "gpt-5", "gpt-6", "codex"],
        most: "max_completion_tokens",
        has_temperature: false,
        prompt: "developer",
        ..PLAIN
    },
    Dialect { name: "openai", hosts: OPENAI, most: "max_completion_tokens", ..PLAIN },
    // Without the thoughts of every call it refuses the request (api-docs.deepseek.com/guides/thinking_mode).
    Dialect { name: "deepseek", hosts: &["deepseek.com"], echo: Echo::Text, effort: Effort::Switch, ..PLAIN },
    Dialect {
        name: "moonshot",
        hosts: &["moonshot.ai", "moonshot.cn"],
        echo: Echo::Text,
        effort: Effort::Switch,
        ..PLAIN
    },
    Dialect { name: "zhipu", hosts: &["z.ai", "bigmodel.cn"], echo: Echo::Text, effort: Effort::Switch, ..PLAIN },
    Dialect { name: "openrouter", hosts: &["openrouter.ai"], echo: Echo::Details, effort: Effort::Object, ..PLAIN },
    // Gemini 3 refuses a call that comes back without its signature.
    Dialect {
        name: "gemini",
        hosts: &["generativelanguage.googleapis.com", "aiplatform.googleapis.com"],
        echo: Echo::Signatures,
        ..PLAIN
    },
    // It refuses fields that it does not know, and counts unasked.
    Dialect { name: "mistral", hosts: &["mistral.ai"], counts: false, effort: Effort::Fixed, ..PLAIN },
    Dialect { name: "groq", hosts: &["groq.com"], most: "max_completion_tokens", ..PLAIN },
    Dialect { name: "xai", hosts: &["x.ai"], most: "max_completion_tokens", ..PLAIN },
    Dialect { name: "cerebras", hosts: &["cerebras.ai"], most: "max_completion_tokens", ..PLAIN },
    PLAIN,
];

/// The dialects there are.
pub fn names() -> impl Iterator<Item = &'static str> {
    DIALECTS.iter().map(|dialect| dialect.name)
}

/// The dialect of a model that is reached so; `base` is the URL of its server.
pub(super) fn of(name: &str, settings: &Model, base: &str) -> Result<&'static Dialect> {
    if let Some(wanted) = &settings.dialect {
        return DIALECTS.iter().find(|dialect| dialect.name == wanted).ok_or_else(|| unknown(name, wanted));
    }
    let url = url::Url::parse(base).ok();
    let host = url.as_ref().and_then(url::Url::host_str).unwrap_or_default();
    let model = settings.model.as_deref().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_lowercase();
    let is_there = |known: &&str| host == *known || host.strip_suffix(known).is_some_and(|rest| rest.ends_with('.'));
    let is_of = |start: &&str| model.starts_with(start);
    let fits = |dialect: &&Dialect| {
        dialect.hosts.iter().any(is_there) && (dialect.models.is_empty() || dialect.models.iter().any(is_of))
    };
    Ok(DIALECTS.iter().find(fits).unwrap_or(&PLAIN))
}

fn unknown(name: &str, wanted: &str) -> Fault {
    let fault = Fault::config(format!("model {name}: there is no dialect `{wanted}`"));
    match nearest(wanted, names()) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint(format!("there are: {}", names().collect::<Vec<_>>().join(", "))),
    }
}

impl Dialect {
    /// Writes into a request how much is to be thought.
    pub(super) fn think(&self, body: &mut Value, thinking: &Thinking) {
        let word = thinking.effort().filter(|_| !thinking.is_off());
        match self.effort {
            Effort::Fixed => {}
            Effort::Word => {
                if let Some(word) = word.or(thinking.is_off().then_some("none")) {
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
    fn a_dialect_is_known_by_the_servers_address_and_the_models_name() {
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
    fn a_dialect_that_is_named_is_the_one_and_an_unknown_name_gets_a_guess() {
        let settings = |dialect: &str| Model { dialect: Some(dialect.into()), ..Model::default() };
        assert_eq!(of("m", &settings("deepseek"), "http://127.0.0.1/v1").unwrap().echo, Echo::Text);
        let fault = of("m", &settings("depseek"), "http://127.0.0.1/v1").unwrap_err();
        assert_eq!(fault.to_string(), "model m: there is no dialect `depseek` (did you mean `deepseek`?)");
    }

    #[test]
    fn how_much_is_to_be_thought_is_told_in_the_services_own_way() {
        let told = |base: &str, yaml: &str| {
            let mut body = json!({});
            let dialect = of("m", &Model::default(), base).unwrap();
            dialect.think(&mut body, &serde_yaml::from_str(yaml).unwrap());
            body
        };
        assert_eq!(told("http://localhost/v1", "low"), json!({"reasoning_effort": "low"}));
        assert_eq!(told("http://localhost/v1", "false"), json!({"reasoning_effort": "none"}));
        assert_eq!(told("http://localhost/v1", "true"), json!({}));
        assert_eq!(told("https://api.deepseek.com", "off"), json!({"thinking": {"type": "disabled"}}));
        let both = json!({"thinking": {"type": "enabled"}, "reasoning_effort": "high"});
        assert_eq!(told("https://api.deepseek.com", "high"), both);
        assert_eq!(told("https://openrouter.ai/api/v1", "5000"), json!({"reasoning": {"max_tokens": 5000}}));
        assert_eq!(told("https://openrouter.ai/api/v1", "off"), json!({"reasoning": {"enabled": false}}));
        assert_eq!(told("https://api.mistral.ai/v1", "high"), json!({}));
    }
}
